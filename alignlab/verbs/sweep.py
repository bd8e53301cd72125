"""Many runs: every combination of the values given, a kept sweep, or a study that chooses them.

alignlab sweep objective=dpo,ipo,lipo_lambda seed=0,1,2           a grid: every combination
alignlab sweep dpo_beta_lr                                        a kept sweep of sweeps/, as sweeps=dpo_beta_lr
alignlab sweep hydra/sweeper=optuna 'objective.loss.beta=tag(log, interval(0.01, 0.5))' seed=0,1,2
alignlab sweep objectives_compare launcher=joblib hydra.launcher.n_jobs=4

It is `alignlab train -m ...`: takes every override of train, ends with a table (docs/sweeps.md), and goes on where it
was stopped with hydra.sweep.dir=<its folder> resume=auto.
"""

from collections.abc import Sequence

from alignlab.config.typed import kept_sweeps
from alignlab.errors import one_of


def run(words: Sequence[str]) -> None:
    """Start the sweep that these words describe."""
    from alignlab.verbs import train

    plain = [word if "=" in word or word.startswith("-") else _kept(word) for word in words]
    train.run(["-m", *plain])


def _kept(name: str) -> str:
    return f"sweeps={one_of('sweeps', name, kept_sweeps())}"
