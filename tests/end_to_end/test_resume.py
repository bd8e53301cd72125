"""Killed runs go on where they stopped: the same weights bit for bit, the same metrics."""

import json
import os
import signal
import subprocess
import sys

import pytest

from alignlab.training import opened
from tests.end_to_end.command import SMALL, forked, metrics, signalled, summary, untimed, weights
from tests.training.small import load_small

RUNS = {
    "dpo": ("objective=dpo",),
    "lipo_lambda": ("objective=lipo_lambda", "regularizers=[kl]", "pipeline=[ranked]"),
}
LONG = (*SMALL, "trainer.max_steps=40", "callbacks.checkpoint.every_n_steps=7", "resume=auto")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """Uninterrupted runs, one a recipe of overrides."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "run"
            done = forked(
                *RUNS[name], *LONG, f"hydra.run.dir={made[name]}", cwd=made[name].parent, cache=cache
            )
            assert done.returncode == 0, done.stderr
        return made[name]

    return run


def go_on(run, cache, *overrides):
    done = forked(*overrides, *LONG, f"hydra.run.dir={run}", cwd=run.parent, cache=cache)
    assert done.returncode == 0, done.stderr
    return done


def equal(run, other):
    assert weights(run) == weights(other)
    assert metrics(run) == metrics(other)
    for name in ("initial", "final", "best"):
        assert untimed(summary(run)[name]) == untimed(summary(other)[name])
    assert summary(run)["status"] == "finished"
    assert summary(run)["steps"] == 40


@pytest.mark.parametrize("name", RUNS)
def test_killed_and_resumed_is_the_same_run(name, whole, tmp_path, cache):
    run = tmp_path / "run"
    assert signalled(signal.SIGKILL, 17, *RUNS[name], *LONG, run=run, cache=cache) == -signal.SIGKILL
    assert summary(run)["status"] == "interrupted"
    assert 7 <= summary(run)["steps"] < 40  # of a checkpoint every 7 steps, which a thread completes
    done = go_on(run, cache, *RUNS[name])
    assert "resuming" in done.stderr
    equal(run, whole(name))


def test_killed_before_the_first_checkpoint(whole, tmp_path, cache):
    run = tmp_path / "run"
    assert signalled(signal.SIGKILL, 2, *RUNS["dpo"], *LONG, run=run, cache=cache) == -signal.SIGKILL
    if (run / "checkpoints/last.ckpt").exists():
        pytest.skip("the kill came after step 7")
    assert "resuming" not in go_on(run, cache, *RUNS["dpo"]).stderr
    equal(run, whole("dpo"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGINT, 130)]
)
def test_asked_to_stop(number, code, whole, tmp_path, cache):
    run = tmp_path / "run"
    assert signalled(number, 9, *RUNS["dpo"], *LONG, run=run, cache=cache) == code
    stopped = summary(run)
    assert stopped["status"] == "interrupted"
    assert 9 <= stopped["steps"] < 40
    assert max(int(row["step"]) for row in metrics(run)) == stopped["steps"]
    assert "Traceback" not in (tmp_path / "run.log").read_text()
    assert "resume=auto goes on" in (tmp_path / "run.log").read_text()
    go_on(run, cache, *RUNS["dpo"])
    equal(run, whole("dpo"))


def test_a_finished_run_says_so_and_is_left_alone(whole, cache):
    run = whole("dpo")
    before = {
        p: p.stat().st_mtime_ns
        for p in run.rglob("*")
        if p.is_file() and p.name not in ("train.log", ".lock")
    }
    done = go_on(run, cache, *RUNS["dpo"])
    assert "is finished already" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_used_folder_is_refused_without_resume(whole, cache):
    run = whole("dpo")
    done = forked(*SMALL, f"hydra.run.dir={run}", cwd=run.parent, cache=cache)
    assert done.returncode == 1
    assert "add resume=auto" in done.stderr
    assert summary(run)["status"] == "finished"


def test_more_steps_are_those_of_a_longer_run(tmp_path, cache):
    constant = ("scheduler=constant", "scheduler.warmup_ratio=0", "trainer.validate_every_n_steps=5")
    line = (*RUNS["dpo"], *SMALL, *constant, "reference=live", "resume=auto")
    for run, steps in (("short", 10), ("short", 20), ("long", 20)):
        folder = tmp_path / run
        done = forked(
            *line, f"trainer.max_steps={steps}", f"hydra.run.dir={folder}", cwd=tmp_path, cache=cache
        )
        assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "short") == weights(tmp_path / "long")
    assert metrics(tmp_path / "short") == metrics(tmp_path / "long")
    assert summary(tmp_path / "short")["steps"] == 20


TWO_STAGES = ("recipe=stepwise", "recipe.steps=2", "trainer.max_steps=2")


@pytest.mark.parametrize("work", ["load_examples", "attach_reference"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_before_training(work, number, code, command, tmp_path, monkeypatch):
    monkeypatch.setattr(f"alignlab.training.opened.{work}", lambda *_, **__: os.kill(os.getpid(), number))
    done = command(*SMALL, "hydra.run.dir=run")
    assert done.code == code
    assert f"stopped by signal {int(number)}, at step 0 of" in done.err
    assert "Traceback" not in done.err
    assert summary(tmp_path / "run")["status"] == "interrupted"


def test_asked_to_stop_while_the_report_is_drawn(command, tmp_path, monkeypatch):
    """The training is done, so only the report is made when the run goes on."""

    def drawn(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    line = (*SMALL, "trainer.max_steps=2", "report=true", "output_dir=runs", "resume=auto")
    with monkeypatch.context() as interrupted:
        interrupted.setattr("alignlab.report.page.plot_run", drawn)
        done = command(*line)
    (run,) = (tmp_path / "runs").glob("*/*")
    assert done.code == 128 + signal.SIGTERM
    assert "while the report of" in done.err
    assert (summary(run)["status"], summary(run)["report"]) == ("finished", "due")
    trained = (run / "metrics.csv").read_bytes()
    assert not (run / "report.html").exists()
    assert command(*line).code == 0
    assert [*(tmp_path / "runs").glob("*/*")] == [run]
    assert summary(run)["report"] == "written"
    assert (run / "report.html").is_file()
    assert (run / "metrics.csv").read_bytes() == trained


def test_asked_to_stop_in_the_second_stage(command, tmp_path, monkeypatch):
    line, load, calls = (*SMALL, *TWO_STAGES, "resume=auto"), opened.load_examples, []
    assert command(*line, "hydra.run.dir=whole").code == 0

    def second(*arguments, **settings):
        calls.append(arguments)
        return os.kill(os.getpid(), signal.SIGTERM) if len(calls) == 2 else load(*arguments, **settings)

    monkeypatch.setattr(opened, "load_examples", second)
    assert command(*line, "hydra.run.dir=parts").code == 143
    assert summary(tmp_path / "parts")["status"] == "interrupted"
    monkeypatch.setattr(opened, "load_examples", load)
    done = command(*line, "hydra.run.dir=parts")
    assert done.code == 0, done.err
    assert "stage 01-step1 is finished already" in done.err
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")


def test_a_second_run_in_the_same_folder_is_refused(command, tmp_path):
    (tmp_path / "run").mkdir()
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run/.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        holder.stdout.readline()
        done = command(*SMALL, "trainer.max_steps=2", "hydra.run.dir=run")
        assert done.code == 1
        assert "another run" in done.err
        assert {p.name for p in (tmp_path / "run").iterdir()} == {".lock"}
        holder.kill()
    assert command(*SMALL, "trainer.max_steps=2", "hydra.run.dir=run").code == 0


def test_a_changed_config_is_listed_and_refused_unless_allowed(command, tmp_path):
    line = (*SMALL, "scheduler=constant", "hydra.run.dir=run", "resume=auto")
    assert command(*line, "trainer.max_steps=2").code == 0
    assert not (tmp_path / "run/report.html").exists()
    before = {
        p: p.read_bytes()
        for p in (tmp_path / "run").rglob("*")
        if p.is_file() and p.name not in ("train.log", ".lock")
    }
    changed = (*line, "trainer.max_steps=4", "objective.loss.beta=0.3", "optimizer.lr=1e-3")
    done = command(*changed)
    assert done.code == 1
    assert "objective.loss.beta: 0.1 -> 0.3" in done.err
    assert "optimizer.lr: auto -> 0.001" in done.err
    assert "trainer.max_steps" not in done.err
    assert {p: p.read_bytes() for p in before} == before
    done = command(*changed, "report=true", "resume.allow=[objective.loss,optimizer.lr]")
    assert done.code == 0, done.err
    assert "going on with another setting: optimizer.lr: auto -> 0.001" in done.err
    assert summary(tmp_path / "run")["steps"] == 4
    assert (tmp_path / "run/report.html").is_file()


def test_other_inputs_are_refused_and_leave_the_run_as_it_was(tmp_path, cache):
    rows = [
        {"prompt": f"say fox {i}", "chosen": f"the fox {i} runs", "rejected": "no fox"} for i in range(40)
    ]
    data, model, run = tmp_path / "pairs.jsonl", tmp_path / "model", tmp_path / "run"
    small = [text for text in SMALL if not text.startswith("model.")]
    line = ("data=local", f"data.path={data}", "model=local", f"model.path={model}", *small, "resume=auto")

    def go(steps, written, seed, *overrides):
        data.write_text("".join(f"{json.dumps(row)}\n" for row in written))
        for part in load_small(seed=seed):
            part.save_pretrained(model)
        steps = f"trainer.max_steps={steps}"
        return forked(*line, steps, *overrides, f"hydra.run.dir={run}", cwd=tmp_path, cache=cache)

    done = go(2, rows, 0)
    assert done.returncode == 0, done.stderr
    before = summary(run)
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    for written, seed, said in (
        (swapped, 0, "the data 'local' (rows) changed since"),
        (rows, 1, f"the model {model} changed since"),
    ):
        done = go(3, written, seed)
        assert done.returncode == 1
        assert said in done.stderr
        assert summary(run) == before
    done = go(3, swapped, 1, "resume.allow=[data.rows,model.files]")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on with what is there now") == 3  # rows, tokens, model
