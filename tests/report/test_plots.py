"""Which pictures a history makes, and that they show something."""

import math
from pathlib import Path

import matplotlib.image
import pytest

from alignlab.report import plots, reliability
from alignlab.report.figures import COLOURS, look
from alignlab.report.plots import plot_run, plots_of
from alignlab.report.reliability import plot_reliability
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from tests.report.runs import make_run

NAN = math.nan


def names(*metrics):
    return {plot.name: list(plot.topics) for plot in plots_of({name: ([0], [1.0]) for name in metrics})}


def test_known_topics_and_whatever_else_there_is():
    assert names("train/loss", "val/logps/chosen", "train/logps/rejected") == {
        "loss": ["loss"],
        "logps": ["logps/chosen", "logps/rejected"],
    }
    assert names("val/new_metric", "val/new/a", "train/new/b") == {
        "new_metric": ["new_metric"],
        "new": ["new/a", "new/b"],
    }
    assert names("gold/reward") == {}


def test_parts_of_a_loss_are_drawn_where_there_are_several():
    assert "loss_parts" not in names("val/loss", "val/loss/dpo")
    assert names("val/loss", "val/loss/dpo", "val/loss/sft")["loss_parts"] == ["loss/dpo", "loss/sft"]


def test_slices_of_one_metric_go_together():
    sliced = [
        f"val/source/{name}/{metric}"
        for name in ("a", "b")
        for metric in ("rewards/accuracy", "rewards/margin")
    ]
    assert names(*sliced) == {
        "source_rewards_accuracy": ["source/a/rewards/accuracy", "source/b/rewards/accuracy"],
        "source_rewards_margin": ["source/a/rewards/margin", "source/b/rewards/margin"],
    }
    labels = [plot.label for plot in plots_of({name: ([0], [1.0]) for name in sliced})]
    assert labels == ["share of pairs ranked right, by source", "implicit reward margin, nats, by source"]


def test_many_lines_make_several_pictures():
    made = names(*(f"val/task/{i}" for i in range(len(COLOURS) + 3)))
    assert [len(topics) for topics in made.values()] == [len(COLOURS), 3]
    assert list(made) == ["task", "task_2"]


def test_pictures_are_drawn(tmp_path):
    steps = 60
    metrics = {
        "train/loss": [0.7 - 0.001 * i for i in range(steps)],
        "val/loss": [0.7 if i % 20 == 0 else NAN for i in range(steps)],
    }
    run = make_run(tmp_path / "run", metrics=metrics)
    (file,) = plot_run(Record(run), run / "plots")
    picture = matplotlib.image.imread(file)
    assert picture.shape[1] > picture.shape[0] > 300
    assert picture[..., :3].std() > 0.05


def test_a_mean_is_centred_and_only_of_what_is_noisy(tmp_path, monkeypatch):
    """A straight line is its own mean, where one that looks back would lag behind it."""
    drawn = {}

    def caught(axes, *, y, **_):
        drawn[y] = [(line.get_xdata(), line.get_ydata()) for line in axes.get_lines()]

    monkeypatch.setattr(plots, "finish", caught)
    slope = [0.1 * i for i in range(100)]
    metrics = {
        f"train/{name}": slope for name in ("loss", "lr", "memory_mb", "tokens_per_second", "rewards/margin")
    }
    run = make_run(tmp_path / "run", metrics=metrics)
    plot_run(Record(run), run / "plots")
    assert {label: len(lines) for label, lines in drawn.items()} == {
        "loss": 2,
        "implicit reward margin, nats": 2,
        "learning rate": 1,
        "peak memory, MiB": 1,
        "tokens a second": 1,
    }
    steps, means = drawn["loss"][1]
    assert (steps[0], steps[-1]) == (2, 97)
    assert means == pytest.approx([slope[step] for step in steps])


def test_a_mean_leaves_out_what_is_not_finite():
    assert plots.centred([1, 2, 3, 4, 5], [1.0, math.inf, 3.0, 5.0, 7.0], 3) == ([2, 3, 4], [2.0, 4.0, 5.0])


def test_no_metrics_no_pictures(tmp_path):
    assert plot_run(Record(tmp_path), tmp_path / "plots") == []
    assert not (tmp_path / "plots").exists()


def test_a_history_leaves_out_empty_cells(tmp_path):
    run = make_run(tmp_path / "run", metrics={"train/loss": [NAN, 0.6, 0.5], "val/loss": [0.7, NAN, 0.5]})
    history = Record(run).history
    assert history == {"train/loss": ([1, 2], [0.6, 0.5]), "val/loss": ([0, 2], [0.7, 0.5])}


def test_stages_begin_where_their_numbers_do(tmp_path):
    file = Path(tmp_path / "metrics.csv")
    file.write_text("step,stage,train/loss\n0,1,1.0\n3,1,0.9\n3,2,0.8\n9,3,0.7\n")
    run = Record(tmp_path)
    assert run.stage_starts == (3, 9)
    assert set(run.history) == {"train/loss"}
    file.write_text("step,train/loss\n0,1.0\n")
    assert Record(tmp_path).stage_starts == ()


@pytest.mark.parametrize("many", [8, 32])
def test_looks_differ(many):
    looks = [look(i) for i in range(many)]
    assert len({(seen["color"], seen["marker"]) for seen in looks}) == many


def test_rewards_have_the_unit_of_their_objective():
    history = {"val/rewards/chosen": ([0], [1.0]), "val/gap/low/rewards/margin": ([0], [1.0])}
    labels = [plot.label for plot in plots_of(history, "nats a token")]
    assert labels == ["implicit reward, nats a token", "implicit reward margin, nats a token, by gap"]


def diagram(step):
    return {"step": step, "predicted": [0.3, 0.7], "observed": [0.1, 0.9], "count": [10.0, 10.0]}


def test_the_reliability_diagram_is_that_of_the_first_and_the_last_validation(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    assert plot_reliability(folder) is None
    folder.write_lines("reliability.jsonl", [diagram(0), diagram(4), diagram(8)])
    drawn = []
    monkeypatch.setattr(
        reliability, "finish", lambda axes, **_: drawn.append(axes.get_legend_handles_labels()[1])
    )
    assert plot_reliability(folder) == tmp_path / "plots" / "reliability.png"
    assert drawn == [["calibrated", *(f"validation, step {n} (areas: pairs)" for n in (0, 8))]]
    (tmp_path / "stages/01-a").mkdir(parents=True)
    RunFolder(tmp_path / "stages/01-a").write_lines("reliability.jsonl", [diagram(3)])
    plot_reliability(folder)
    assert drawn[-1] == ["calibrated", "validation, step 3 (areas: pairs)"]
