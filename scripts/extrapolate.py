"""Go on in the direction that training took (ExPO, arXiv:2404.16792): theta1 + alpha * (theta1 - theta0).

    python scripts/extrapolate.py run=outputs/dpo-lab/... --alphas 0.1 0.3 0.5
    python scripts/extrapolate.py start=/my/sft trained=/my/dpo --alphas 0.3 --out /my/expo

With `run`, theta0 is what that run began with, theta1 its model, and every model made is scored as the run scored
its own: validation metrics, and samples where it had an exact reward. A table shows what each alpha does.

No model is loaded to make one: tensors are read and written shard by shard, computed in float32 and stored in the
dtype they have; those of whole numbers are taken from theta1.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignlab.console import before_and_after, print_table
from alignlab.errors import AlignlabError, ConfigError, nearest
from alignlab.launch.finished_run import evaluated, start_of
from alignlab.runs.extrapolation import extrapolate
from alignlab.runs.folder import RunFolder

KEYS = ("run", "start", "trained")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", metavar="key=folder", help=" ".join(KEYS))
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--out", type=Path, help="of the models made; <trained>-expo unless told otherwise")
    parser.add_argument("--no-evaluation", action="store_true", help="make the models and no more")
    chosen = parser.parse_intermixed_args(arguments)
    try:
        folders = read(chosen.folders)
        with tempfile.TemporaryDirectory() as scratch:
            work(
                folders, sorted(set(chosen.alphas)), chosen.out, Path(scratch), score=not chosen.no_evaluation
            )
    except AlignlabError as error:
        sys.exit(f"error: {error}")


def read(texts: Sequence[str]) -> dict[str, Path]:
    """Folders from `key=folder`."""
    folders = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in KEYS:
            raise ConfigError(f"'{text}': expected key=folder; {nearest(key, KEYS)}")
        folders[key] = Path(value)
    if "run" not in folders and not {"start", "trained"} <= folders.keys():
        raise ConfigError("say what to extrapolate: run=<a run folder>, or start=<folder> trained=<folder>")
    return folders


def work(
    folders: Mapping[str, Path], alphas: Sequence[float], out: Path | None, scratch: Path, *, score: bool
) -> None:
    run = RunFolder(folders["run"]) if "run" in folders else None
    trained = folders.get("trained") or run.model
    start = folders.get("start") or start_of(run, scratch)
    made = {
        alpha: (out or trained.with_name(f"{trained.name}-expo")) / f"alpha-{alpha:g}" for alpha in alphas
    }
    for alpha, folder in made.items():
        folder.parent.mkdir(parents=True, exist_ok=True)
        extrapolate(start, trained, folder, alpha)
        print(folder)
    if run is not None and score:
        moments = {f"{alpha:g}": evaluated(run, folder) for alpha, folder in {0.0: trained, **made}.items()}
        print_table("by alpha", ["", *moments], before_and_after(*moments.values()))


if __name__ == "__main__":
    main()
