"""Go on in the direction that training took (ExPO, arXiv:2404.16792): theta1 + alpha * (theta1 - theta0).

alignlab extrapolate run=outputs/dpo-lab/2026-11-21_11-42-54 alphas=[0.1,0.3,0.5]
alignlab extrapolate start=/my/sft trained=/my/dpo alphas=[0.3] out=/my/expo

    run=FOLDER               theta0 is what the run began with, theta1 its model
    start=FOLDER trained=FOLDER     two models of one shape instead
    alphas=[0.1,0.3,0.5]     a model is made of each
    out=FOLDER               of the models made; <trained>-expo unless told otherwise
    evaluation=true          false: make the models and no more
    trust=[PACKAGE]          packages of yours that the config of the run may name

With `run`, every model made is scored as the run scored its own: validation metrics, and samples where it had an exact
reward. A table shows what each alpha does.

No model is loaded to make one: tensors are read and written shard by shard, computed in float32 and stored in the
dtype they have; those of whole numbers are taken from theta1.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.verbs.words import flag, many, number, output, path, read, trust

KEYS = {
    "run": path(),
    "start": path(),
    "trained": path(),
    "alphas": many(number([0.1, 0.3, 0.5])),
    "out": output(),
    "evaluation": flag(True),
    "trust": trust(),
}


def run(words: Sequence[str]) -> None:
    """Make the extrapolated models, and print the results of each alpha."""
    own = read(words, KEYS).own
    if own.run is None and (own.start is None or own.trained is None):
        raise ConfigError("say what to extrapolate: run=<a run folder>, or start=<folder> trained=<folder>")
    if not own.alphas:
        raise ConfigError("alphas=[]: expected a number at the least, a model is made of each")
    with tempfile.TemporaryDirectory() as scratch:
        _extrapolated(own, Path(scratch))


def _extrapolated(own: SimpleNamespace, scratch: Path) -> None:
    from alignlab.console import before_and_after, print_table
    from alignlab.launch.finished_run import evaluated, start_of
    from alignlab.runs.extrapolation import extrapolate

    folder = RunFolder(own.run, trusted=tuple(own.trust)) if own.run else None
    trained: Path = own.trained or RunFolder(own.run).model
    start: Path = own.start or start_of(RunFolder(own.run, trusted=tuple(own.trust)), scratch)
    out = own.out or trained.with_name(f"{trained.name}-expo")
    models = {alpha: out / f"alpha-{alpha:g}" for alpha in sorted(set(own.alphas))}
    for alpha, model in models.items():
        model.parent.mkdir(parents=True, exist_ok=True)
        extrapolate(start, trained, model, alpha)
        print(model)
    if folder is not None and own.evaluation:
        moments = {
            f"{alpha:g}": evaluated(folder, model) for alpha, model in {0.0: trained, **models}.items()
        }
        print_table("by alpha", ["", *moments], before_and_after(*moments.values()))
