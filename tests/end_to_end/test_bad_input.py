"""Input that cannot work ends in seconds with one message, the way out in it, and a failed exit code."""

import errno
import json
import operator

import pytest

from tests.config.compose import STORIES
from tests.end_to_end.command import SMALL, summary, train

needs_stories = pytest.mark.skipif(not STORIES.is_dir(), reason=f"no model in {STORIES}: set ALIGNLAB_SHARED")
LOCAL = ("data=local", "model=local", f"model.path={STORIES}", "evaluation=none", "trainer.max_steps=2")

COMPOSED = {
    ("objective=dpoo",): "did you mean 'dpo'?",
    ("objective.loss.betaa=1",): "did you mean 'objective.loss.beta'?",
    ("+objective.loss.betaa=1",): "did you mean 'beta'?",
    ("regularizers.kl.weight=1",): "choose it first: regularizers=[kl]",
    ("data=knobs",): "choose one of ",
    ("model=local",): "set model.path=...",
    ("resume=/nowhere",): "resume=/nowhere: expected auto; a folder is resume.path=",
    ("resume.path=/nowhere",): "resume.path=/nowhere: no run folder there; resume=auto",
    ("output_dir=/dev/null/x",): "Choose another with output_dir=",
    ("objective=dpo,ipo",): "are a sweep, with -m",
}


def row(i, **changes):
    return {
        "id": f"r{i}",
        "prompt": f"Say {i}",
        "responses": [f"it is {i}", "no"],
        "labels": [1, 0],
    } | changes


def write(file, rows):
    file.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return f"data.path={file}"


GOOD = [row(i) for i in range(30)]
BROKEN = {
    '{"prompt": "x", ': "broken JSON",
    json.dumps(row(99, labels=[float("nan"), 1])): "expected a finite number",
    json.dumps(row(99, responses=["", "no"])): "the response is empty",
}


def told(done, *wanted):
    """One message on standard error, without a traceback."""
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.count("error: ") == 1
    assert "Error executing job" not in done.err
    for words in wanted:
        assert words in done.err


@pytest.mark.parametrize("overrides", COMPOSED, ids=" ".join)
def test_choices_that_do_not_compose(overrides, command):
    told(command(*overrides), COMPOSED[overrides])


@needs_stories
@pytest.mark.slow
@pytest.mark.parametrize("line", BROKEN, ids=BROKEN.values())
def test_a_bad_row_is_named_and_can_be_skipped(line, command, tmp_path):
    path = write(tmp_path / "rows.jsonl", [*GOOD[:20], line, *GOOD[20:]])
    told(command(*LOCAL, path), BROKEN[line], "row 21", "data.on_bad_row=skip")
    assert command(*LOCAL, path, "data.on_bad_row=skip", "hydra.run.dir=run").code == 0
    dropped = [json.loads(text) for text in (tmp_path / "run/dropped_rows.jsonl").read_text().splitlines()]
    assert [drop["row"] for drop in dropped] == [21]
    assert BROKEN[line] in dropped[0]["reason"]


@needs_stories
@pytest.mark.slow
def test_prompts_longer_than_the_context(command, tmp_path):
    long = [row(i, prompt=f"{i} " + "word " * 600) for i in range(20)]
    done = command(*LOCAL, write(tmp_path / "long.jsonl", long))
    told(done, "data.max_prompt_length=", "data.max_length=")
    some = write(tmp_path / "some.jsonl", [*GOOD, *long[:3]])
    assert command(*LOCAL, some, "hydra.run.dir=run").code == 0
    dropped = (tmp_path / "run/dropped_rows.jsonl").read_text().splitlines()
    assert {json.loads(text)["id"] for text in dropped} == {
        "r0#2",
        "r1#2",
        "r2#2",
    }  # ids that were there before
    counts = json.loads((tmp_path / "run/manifest.json").read_text())["rows"]["tokenize"]
    assert counts["in"] - counts["out"] == 3


@needs_stories
def test_local_rows_that_turn_out_to_be_pairs(command, tmp_path):
    pairs = [{"prompt": f"Say {i}", "chosen": f"it is {i}", "rejected": "no"} for i in range(20)]
    path = write(tmp_path / "pairs.jsonl", pairs)
    told(command(*LOCAL, path, "objective=lipo_lambda"), "needs lists", "objective=dpo")


def test_a_hub_out_of_reach(command, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    told(command("data=ultrafeedback"), "cannot be reached", "data.path=")


def test_a_model_that_is_nowhere(command, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path = write(tmp_path / "rows.jsonl", GOOD)
    done = command("data=local", path, "model=smollm2_135m", "evaluation=none", f"cache_dir={tmp_path}/c")
    told(done, "cannot be reached", "model.path=/my/model")


def test_a_failed_run_is_on_record(command, tmp_path):
    told(command("seed=-1", "hydra.run.dir=run"), "seed=-1")
    assert summary(tmp_path / "run")["status"] == "failed"
    assert "seed=-1" in summary(tmp_path / "run")["error"]
    assert "seed=-1" in (tmp_path / "run/train.log").read_text()


def test_an_error_of_ours_has_no_traceback_in_the_log_but_a_bug_has(command, tmp_path, monkeypatch):
    monkeypatch.setattr("alignlab.launch.chain.build_stage", operator.truediv)  # no code of the user's own
    with pytest.raises(TypeError):
        command("hydra.run.dir=run")
    assert "Traceback" in (tmp_path / "run/train.log").read_text()
    assert summary(tmp_path / "run")["error"].startswith("TypeError: ")


def test_ctrl_c_before_training(command, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("alignlab.launch.chain.build_stage", interrupted)
    done = command("hydra.run.dir=run")
    assert done.code == 130
    assert "resume=auto goes on" in done.err
    assert "Traceback" not in done.err
    assert summary(tmp_path / "run")["status"] == "interrupted"


def test_a_full_disk_is_told(command, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("alignlab.launch.chain.build_stage", full)
    told(command("hydra.run.dir=run"), "the disk is full", "is kept in")
    assert summary(tmp_path / "run")["status"] == "failed"


@pytest.mark.slow
def test_a_non_finite_loss_saves_the_ids_of_its_batch(command, tmp_path):
    done = command(*SMALL, "optimizer.lr=1e30", "trainer.max_steps=9", "hydra.run.dir=run")
    told(done, "nonfinite/step-0000", "lower optimizer.lr")
    (file,) = (tmp_path / "run/nonfinite").glob("*.json")
    assert len(json.loads(file.read_text())["ids"]) == 8
    assert file.with_suffix(".safetensors").is_file()
    assert summary(tmp_path / "run")["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [("objective=dpoo",), ("+foo=1", "seed=-1")], ids=" ".join)
def test_as_a_user_runs_it(overrides, tmp_path, cache):
    done = train(*overrides, cwd=tmp_path, cache=cache)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 4  # a seed is that of the data, too
