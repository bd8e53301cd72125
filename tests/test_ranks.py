"""Who starts processes together, and how they are told where to meet."""

from alignlab import ranks

TASK = {
    "SLURM_JOB_ID": "40007",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}


def test_a_task_of_srun_is_a_rank():
    told = ranks.from_slurm({**TASK, "MASTER_ADDR": "10.0.0.7"})
    assert told == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "GROUP_RANK": "1",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
        "TORCHELASTIC_RUN_ID": "40007",
        "MASTER_PORT": "20007",
    }


def test_tasks_of_one_node_need_no_name():
    assert ranks.from_slurm({**TASK, "SLURM_STEP_NUM_NODES": "1"})["MASTER_ADDR"] == "127.0.0.1"


def test_counted_once_and_left_to_torchrun():
    environ = {**TASK, "MASTER_ADDR": "10.0.0.7"}
    assert ranks.started_outside(environ) == 8
    assert environ["RANK"] == "5"
    assert ranks.started_outside({**TASK, "WORLD_SIZE": "2", "RANK": "0"}) == 2
    assert ranks.started_outside({**TASK, "SLURM_STEP_NUM_TASKS": "1"}) == 1
    assert ranks.started_outside({"SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}) == 1, (
        "in the script, not in a task"
    )
