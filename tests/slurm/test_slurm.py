"""Runs as jobs of a real cluster: sweeps, preemption, time-out, failure, snapshots, ranks."""

import csv
import json
import shutil
import subprocess
import sys

import pytest

from alignlab.ranks import from_slurm
from tests.end_to_end.command import SMALL, environment, metrics, summary, until, weights
from tests.repository import ROOT
from tests.test_ranks import TASK

pytestmark = pytest.mark.slow

WAIT = 300
"""Seconds that anything may take on a busy machine."""

SLURM = ("launcher=slurm", "hydra.sweep.dir=sweep")
LONG = (
    *SMALL,
    "trainer.max_steps=300",
    "trainer.validate_every_n_steps=150",
    "callbacks.progress.every_n_steps=10",
)


def steps(run):
    """The last step that the log of a run tells of."""
    log = run / "slurm.log"
    lines = [line for line in log.read_text().splitlines() if "] step " in line] if log.is_file() else []
    return int(lines[-1].split("step ")[1].split("/")[0]) if lines else 0


def ids(sweep):
    return [job["id"] for job in json.loads((sweep / "slurm/jobs.json").read_text())]


def test_a_sweep_is_an_array(command, cluster, tmp_path):
    line = ("objective=dpo,ipo", "seed=1,2", *SMALL, "trainer.max_steps=3", *SLURM)
    printed = command("scripts/submit.py", *line, "dry_run=true").out
    done = command("train.py", "-m", *line)
    assert done.code == 0, done.err
    sweep = tmp_path / "sweep"
    array = ids(sweep)[0].partition("_")[0]
    assert ids(sweep) == [f"{array}_{i}" for i in range(4)]
    assert (sweep / f"slurm/{array}_submission.sh").read_text().strip() == printed.strip()
    with (sweep / "sweep_summary.csv").open(newline="") as stream:
        assert sum(1 for _ in csv.DictReader(stream)) == 2, "a row for each objective, over its seeds"
    for i, (objective, seed) in enumerate([("dpo", 1), ("dpo", 2), ("ipo", 1), ("ipo", 2)]):
        manifest = json.loads((sweep / f"{i}/manifest.json").read_text())
        assert (manifest["config"]["objective"]["name"], manifest["seed"]) == (objective, seed)
        assert "step 3/3" in (sweep / f"{i}/slurm.log").read_text()
        assert weights(sweep / str(i))
    assert len({weights(sweep / str(i)) for i in range(4)}) == 4
    assert command("scripts/submit.py", f"state={sweep}").out.count("finished") == 4


def test_preempted_is_the_same_run(command, cluster, tmp_path):
    sweep = tmp_path / "sweep"
    done = command("scripts/submit.py", "run_name=left_alone,preempted", *LONG, *SLURM)
    assert done.code == 0, done.err
    alone, preempted = ids(sweep)
    until(lambda: steps(sweep / "1") >= 20, WAIT)
    cluster.ask(
        "scancel", "--signal=TERM", preempted
    )  # all that SLURM itself sends to a job that must make way
    cluster.wait_for(preempted, "PENDING")
    assert summary(sweep / "1")["status"] == "interrupted"
    assert cluster.shown(preempted, "Restarts") == "1"
    cluster.start_requeued(preempted)
    for job in (alone, preempted):
        cluster.wait_for(job, "COMPLETED")
    assert "back in the queue" in (sweep / "1/slurm.log").read_text()
    assert "resuming" in (sweep / "1/train.log").read_text()
    assert weights(sweep / "0") == weights(sweep / "1")
    assert metrics(sweep / "0") == metrics(sweep / "1")


def test_out_of_time_is_requeued_and_cancelled_is_not(command, cluster, tmp_path):
    sweep, line = tmp_path / "sweep", (*LONG, "trainer.max_steps=100000", *SLURM)
    done = command("scripts/submit.py", *line, "launcher.time=2", "launcher.signal=USR1@100")
    assert done.code == 0, done.err
    (job,) = ids(sweep)
    cluster.wait_for(job, "RUNNING")
    cluster.start_requeued(job)
    assert cluster.shown(job, "Restarts") == "1"
    log = (sweep / "0/slurm.log").read_text()
    assert "stopped by signal 10" in log
    assert "back in the queue" in log
    reached = steps(sweep / "0")  # none, where the signal came while Python loaded
    until(lambda: steps(sweep / "0") > reached, WAIT)
    assert command("scripts/submit.py", f"cancel={sweep}").out == f"cancelled: {job}\n"
    cluster.wait_for(job, "CANCELLED")
    until(lambda: (sweep / "0/slurm.log").read_text().count("stopped by signal 15") == 1, WAIT)
    assert (sweep / "0/slurm.log").read_text().count("back in the queue") == 1
    assert summary(sweep / "0")["status"] == "interrupted"
    assert "cancelled" in command("scripts/submit.py", f"state={sweep}").out


def test_a_failure_is_told(command, cluster, tmp_path):
    sweep = tmp_path / "sweep"
    done = command("train.py", "-m", "reference=precomputed,none", *SMALL, "trainer.max_steps=2", *SLURM)
    assert done.code == 1
    good, bad = ids(sweep)
    reason = "objective 'dpo' needs a reference: use reference=auto, not reference=none"
    assert f"job 1 ({bad}) failed" in done.err
    assert reason in done.err
    assert "Traceback" not in done.err
    told = command("scripts/submit.py", f"failures={sweep}").out
    assert "1 of 2 jobs failed" in told
    assert f"error: {reason}" in told, "the last line of the job's log"
    assert f"({good})" not in told


def test_a_job_runs_what_it_was_sent_with(cluster, cache, tmp_path):
    """alignlab, its configs, further configs and a module of one's own are all changed before the job starts."""
    checkout, own = tmp_path / "checkout", tmp_path / "own"
    for folder, name in ((ROOT / "alignlab", "alignlab"), (ROOT / "conf", "alignlab/conf")):
        shutil.copytree(
            folder, checkout / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
    shutil.copy(ROOT / "train.py", checkout)
    (own / "objective").mkdir(parents=True)
    files = {
        checkout / "alignlab/runs/manifest.py": ('"machine": platform.machine()', '"machine": "early"'),
        checkout / "alignlab/conf/trainer/default.yaml": (
            "gradient_clip_val: 1.0",
            "gradient_clip_val: 0.75",
        ),
    }
    for file, (was, early) in files.items():
        assert was in file.read_text()
        file.write_text(file.read_text().replace(was, early))
    mine, yaml = own / "my_losses.py", own / "objective/mine.yaml"
    mine.write_text(
        "def hinge(chosen_logratios, rejected_logratios, *, beta=0.1):\n"
        "    return (1 - beta * (chosen_logratios - rejected_logratios)).relu()\n"
    )
    yaml.write_text(
        "name: mine\nloss: {_target_: my_losses.hinge, beta: 0.3}\npairs: best_worst\nreduction: mean\n"
    )
    line = (
        "objective=mine",
        f"hydra.searchpath=[file://{own}]",
        f"launcher.snapshot=[{mine}]",
        *SMALL,
        *SLURM,
    )
    subprocess.run(
        [
            sys.executable,
            checkout / "train.py",
            *line,
            "trainer.max_steps=2",
            "launcher.wait=false",
            "+launcher.sbatch.hold=true",
        ],
        cwd=tmp_path,
        env={**environment(cache), **cluster.environment, "PYTHONPATH": f"{checkout}:{own}"},
        check=True,
    )
    for file, (_, early) in files.items():
        file.write_text(
            file.read_text().replace(early, early.replace("0.75", "0.5").replace("early", "late"))
        )
    mine.write_text("raise RuntimeError('edited')")
    yaml.write_text(yaml.read_text().replace("0.3", "0.4"))
    (job,) = ids(tmp_path / "sweep")
    cluster.ask("scontrol", "release", job)
    run = tmp_path / "sweep/0"
    cluster.wait_for(job, "COMPLETED", "FAILED")
    manifest = json.loads((run / "manifest.json").read_text())
    assert summary(run)["status"] == "finished", (run / "slurm.log").read_text()
    assert manifest["hardware"]["machine"] == "early"
    assert manifest["config"]["trainer"]["gradient_clip_val"] == 0.75
    assert manifest["config"]["objective"]["loss"]["beta"] == 0.3


def test_two_ranks(command, cluster, tmp_path):
    sweep = tmp_path / "sweep"
    done = command("train.py", *SMALL, "trainer.max_steps=4", *SLURM, "launcher.tasks_per_node=2")
    assert done.code == 0, done.err
    run = sweep / "0"
    assert summary(run)["status"] == "finished"
    assert json.loads((run / "manifest.json").read_text())["config"]["trainer"]["devices"] == 2
    assert (run / "slurm-1.log").is_file()
    assert not (run / "ranks").exists(), "rank 1 is the second task, and not a process that rank 0 started"


def test_tasks_of_several_nodes_meet_at_the_first(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    assert from_slurm(TASK)["MASTER_ADDR"] == "gpu07"


def test_refused(command, tmp_path):
    done = command("train.py", *SLURM, "launcher.partition=nowhere")
    assert done.code == 1
    assert "SLURM refused the job" in done.err
    assert "partition" in done.err
