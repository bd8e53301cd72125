"""Killed runs go on where they stopped: the same weights bit for bit, the same metrics."""

import signal

import pytest

from tests.end_to_end.command import SMALL, metrics, signalled, summary, train, untimed, weights

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
            done = train(
                *RUNS[name], *LONG, f"hydra.run.dir={made[name]}", cwd=made[name].parent, cache=cache
            )
            assert done.returncode == 0, done.stderr
        return made[name]

    return run


def go_on(run, cache, *overrides):
    done = train(*overrides, *LONG, f"hydra.run.dir={run}", cwd=run.parent, cache=cache)
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
    assert 14 <= summary(run)["steps"] < 40
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
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
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and p.name != "train.log"}
    done = go_on(run, cache, *RUNS["dpo"])
    assert "is finished already" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_used_folder_is_refused_without_resume(whole, cache):
    run = whole("dpo")
    done = train(*SMALL, f"hydra.run.dir={run}", cwd=run.parent, cache=cache)
    assert done.returncode == 1
    assert "add resume=auto" in done.stderr
    assert summary(run)["status"] == "finished"


def test_more_steps_are_those_of_a_longer_run(tmp_path, cache):
    constant = ("scheduler=constant", "scheduler.warmup_ratio=0", "trainer.validate_every_n_steps=5")
    line = (*RUNS["dpo"], *SMALL, *constant, "reference=live", "resume=auto")
    for run, steps in (("short", 10), ("short", 20), ("long", 20)):
        folder = tmp_path / run
        done = train(
            *line, f"trainer.max_steps={steps}", f"hydra.run.dir={folder}", cwd=tmp_path, cache=cache
        )
        assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "short") == weights(tmp_path / "long")
    assert metrics(tmp_path / "short") == metrics(tmp_path / "long")
    assert summary(tmp_path / "short")["steps"] == 20
