"""A copy of the code runs by itself: what is edited after it was taken does not reach the jobs that run it."""

import os
import subprocess

from alignlab.launch import snapshot
from alignlab.places import train_command


def test_jobs_run_the_copies_of_code_configs_and_modules(tmp_path):
    code, mine, configs = tmp_path / "code", tmp_path / "my_losses.py", tmp_path / "configs"
    mine.write_text("def mine(chosen_logratios, *, gain=0.5):\n    return -gain * chosen_logratios\n")
    (configs / "objective").mkdir(parents=True)
    yaml = configs / "objective" / "mine.yaml"
    yaml.write_text("name: mine\nloss: {_target_: my_losses.mine, gain: 0.75}\npairs: best_worst\n")
    snapshot.take(code, [str(mine)], [configs])
    mine.write_text("raise RuntimeError('edited')")
    yaml.unlink()
    done = subprocess.run(
        [
            *train_command(code / "alignlab"),
            f"hydra.searchpath=[file://{snapshot.kept(code, configs)}]",
            "objective=mine",
            "trainer.max_steps=0",
            "hydra.run.dir=run",
        ],
        cwd=tmp_path,
        env={**os.environ, "ALIGNLAB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: trainer.max_steps=0: expected a whole number from 1 to 10**12")
    assert "gain: 0.75" in (tmp_path / "run" / "config.yaml").read_text()
    assert {file.name for file in (code / "hydra_plugins").iterdir()} >= {"alignlab_slurm.py"}
    assert (code / "alignlab" / "commit.json").is_file()
