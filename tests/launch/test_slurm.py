"""What is told to SLURM, and when a job is given back to the queue; the cluster itself is in tests/slurm."""

import signal
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from alignlab.errors import ConfigError, RunError
from alignlab.launch import jobs, sbatch, slurm
from tests.config.compose import composed

ARRAY = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "0"}
SWEEP = Path("/shared/sweep/slurm")
RUNNING = "JobId=12 JobState=RUNNING Reason=None"


@pytest.fixture
def asked(monkeypatch):
    """Commands of SLURM that were called; `scontrol show` answers with the last one of `answers`."""
    commands, answers = [], [RUNNING]

    def ask(*command):
        commands.append(command)
        return CompletedProcess(command, 0, answers[-1], "")

    monkeypatch.setattr(slurm, "_ask", ask)
    return commands, answers


def test_a_task_of_an_array_requeues_itself_and_not_the_array(asked):
    assert slurm.requeue({"requeue": True}, signal.SIGTERM, ARRAY)
    assert asked[0][-1] == ("scontrol", "requeue", "12_3")
    assert slurm.requeue({"requeue": True}, signal.SIGUSR1, {"SLURM_JOB_ID": "7"})
    assert asked[0][-1] == ("scontrol", "requeue", "7")


@pytest.mark.parametrize(
    ("launcher", "number", "environ", "answer"),
    [
        ({"requeue": False}, signal.SIGTERM, ARRAY, RUNNING),
        ({"name": "local"}, signal.SIGTERM, ARRAY, RUNNING),
        ({"requeue": True}, signal.SIGINT, ARRAY, RUNNING),
        ({"requeue": True}, signal.SIGTERM, {}, RUNNING),
        ({"requeue": True}, signal.SIGTERM, {**ARRAY, "SLURM_PROCID": "1"}, RUNNING),
        ({"requeue": True}, signal.SIGTERM, ARRAY, "JobState=COMPLETING Reason=None"),
        ({"requeue": True}, signal.SIGTERM, ARRAY, "JobState=CANCELLED Reason=None"),
        ({"requeue": True}, signal.SIGTERM, ARRAY, "JobState=PENDING Reason=BeginTime"),
    ],
    ids=[
        "off",
        "local",
        "ctrl-c",
        "no-job",
        "second-rank",
        "being-cancelled",
        "cancelled",
        "requeued-by-slurm",
    ],
)
def test_left_alone(launcher, number, environ, answer, asked):
    asked[1].append(answer)
    assert not slurm.requeue(launcher, number, environ)
    assert not [command for command in asked[0] if "requeue" in command]


def test_out_of_time_without_notice_is_requeued(asked):
    asked[1].append("JobState=COMPLETING Reason=TimeLimit")
    assert slurm.requeue({"requeue": True}, signal.SIGTERM, ARRAY)


def options(*overrides):
    return sbatch.options(composed("launcher=slurm", *overrides)["launcher"], "train")


def test_the_script():
    told = options(
        "launcher.partition=gpu",
        "launcher.account=lab",
        "launcher.qos=long",
        "launcher.time=2-00:00:00",
        "launcher.nodes=2",
        "launcher.gpus_per_node=4",
        "launcher.mem=64G",
        "launcher.parallel=2",
        "launcher.setup=[module load cuda]",
        "launcher.signal=TERM@90",
        "launcher.requeue=false",
        "+launcher.sbatch.constraint=a100",
    )
    lines = sbatch.script(told, SWEEP, 4).splitlines()
    wanted = {
        "partition=gpu",
        "account=lab",
        "qos=long",
        "time=2-00:00:00",
        "nodes=2",
        "gpus-per-node=4",
        "ntasks-per-node=4",
        "mem=64G",
        "array=0-3%2",
        "signal=TERM@90",
        "no-requeue",
        "constraint=a100",
    }
    assert {f"#SBATCH --{line}" for line in wanted} <= set(lines)
    assert "module load cuda" in lines
    assert "#SBATCH --requeue" in sbatch.script(options(), SWEEP, 1).splitlines()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("launcher.signal=HUP@60", "expected USR1@seconds or TERM@seconds"),
        ("launcher.signal=USR1", "expected USR1@seconds or TERM@seconds"),
        ("launcher.time=2", "it would be requeued for ever"),
    ],
)
def test_settings_that_cannot_work(override, said):
    with pytest.raises(ConfigError, match=said):
        options(override)


def test_devices_follow_the_job():
    assert composed("launcher=slurm")["trainer"]["devices"] == 1
    config = composed("launcher=slurm", "launcher.nodes=2", "launcher.gpus_per_node=8")
    assert (config["trainer"]["num_nodes"], config["trainer"]["devices"]) == (2, 8)


def test_how_a_job_stands(tmp_path):
    job = jobs.Job(0, "12_0", str(tmp_path / "0"), ["seed=1"])
    assert jobs.standing(job, {"12_0": "PENDING"}) == "pending"
    assert jobs.standing(job, {"12_0": "CANCELLED"}) == "cancelled"
    assert jobs.standing(job, {}) == "ended"
    job.run.folder.write_json("summary.json", {"status": "failed", "error": "DataError: row 3"})
    assert jobs.standing(job, {"12_0": "RUNNING"}) == "running"
    assert jobs.standing(job, {"12_0": "FAILED"}) == "failed"
    job.log.write_text("".join(f"line {i}\n" for i in range(40)))
    told = jobs.failure(job, {})
    assert "DataError: row 3" in told
    assert told.endswith("line 39")
    assert "line 24\n" not in told


def test_jobs_are_noted_and_sent_anew(tmp_path):
    with pytest.raises(RunError, match="no jobs were sent from there"):
        jobs.read(tmp_path)
    jobs.add(tmp_path, [jobs.Job(i, f"1_{i}", str(i), []) for i in range(2)])
    jobs.add(tmp_path, [jobs.Job(1, "2", "1", [])])
    assert [job.id for job in jobs.read(tmp_path)] == ["1_0", "2"]
