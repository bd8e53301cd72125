"""The run as a whole, put together from the folders of its stages."""

import csv
import io

import pytest

from alignlab.runs.folder import RunFolder
from alignlab.runs.joined_stages import joined_metrics, publish, summarized


def metrics(loss, step=0.0):
    return {"val/loss": loss} | ({"val/step": step} if step else {})


@pytest.fixture
def stages(tmp_path):
    """Two stages of 4 and 6 steps."""
    folders = [RunFolder(tmp_path / "stages" / name) for name in ("01-a", "02-b")]
    for folder, steps, loss, rate in zip(folders, (4, 6), (0.7, 0.5), (100.0, 200.0), strict=True):
        folder.write_json(
            "summary.json",
            {
                "status": "finished",
                "steps": steps,
                "initial": metrics(loss),
                "final": metrics(loss - 0.1),
                "best": metrics(loss - 0.2, step=2.0),
                "timings": {"train": steps / 2, "total": steps},
                "tokens_per_second": rate,
                "reference_margin": loss,
            },
        )
    folders[0].write_text("metrics.csv", "step,val/loss\n0,0.7\n4,0.6\n")
    folders[1].write_text("metrics.csv", "step,val/loss,val/new\n0,0.5,1\n6,0.4,2\n")
    return folders


def test_summary(stages):
    whole = summarized(stages)
    assert whole["steps"] == 10
    assert (whole["initial"], whole["final"]) == (metrics(0.7), metrics(0.4))
    assert whole["best"] == metrics(0.3, step=6.0)  # its second step, behind four of the first stage
    assert whole["timings"] == {"train": 5.0, "total": 10}
    assert whole["tokens_per_second"] == 160.0  # 200 tokens in 2 s, 600 in 3 s
    assert [stage["name"] for stage in whole["stages"]] == ["01-a", "02-b"]
    assert [stage["reference_margin"] for stage in whole["stages"]] == [0.7, 0.5]


def test_steps_of_the_metrics_run_on(stages):
    rows = list(csv.DictReader(io.StringIO(joined_metrics(stages))))
    assert [(row["step"], row["stage"]) for row in rows] == [("0", "1"), ("4", "1"), ("4", "2"), ("10", "2")]
    assert [row["val/loss"] for row in rows] == ["0.7", "0.6", "0.5", "0.4"]
    assert [row["val/new"] for row in rows] == ["", "", "1", "2"]


def test_the_model_is_the_last_ones_and_takes_no_room(stages, tmp_path):
    last, run = stages[-1], RunFolder(tmp_path)
    last.write_text("model/model.safetensors", "weights")
    last.write_text("samples.jsonl", "{}\n")
    run.write_text("model/old.safetensors", "of a run before")
    publish(last, run)
    assert [file.name for file in run.model.iterdir()] == ["model.safetensors"]
    assert (run.model / "model.safetensors").samefile(last.model / "model.safetensors")
    assert (run.path / "samples.jsonl").read_text() == "{}\n"


def test_the_model_is_copied_where_files_cannot_be_linked(stages, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    stages[-1].write_text("model/model.safetensors", "weights")
    monkeypatch.setattr("os.link", refuse)
    publish(stages[-1], RunFolder(tmp_path))
    assert (tmp_path / "model" / "model.safetensors").read_text() == "weights"
