"""Run again what a run folder holds: `python scripts/rerun.py run=<folder> [key=value ...]`.

The manifest.json in it is enough: train.py gets its overrides once more, in the folder it was started in, and makes a
new run folder. With the same versions on the same kind of machine the losses are the same, bit for bit. What differs
today from then is told: versions, and the commit. A config that comes out different (a default was changed since) is an
error that lists the keys. Further overrides are for what is meant to differ: `output_dir=elsewhere`, `seed=2`.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from alignlab.config import resolvers
from alignlab.config.stage_configs import resolved
from alignlab.errors import AlignlabError, ConfigError
from alignlab.places import CONF
from alignlab.runs.config_keys import changes_no_result, differences
from alignlab.runs.manifest import environment
from alignlab.runs.overrides import without_resume

TRAIN = Path(__file__).resolve().parents[1] / "train.py"

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> None:
    runs = [text.removeprefix("run=") for text in arguments if text.startswith("run=")]
    if len(runs) != 1:
        raise ConfigError("name one run folder: python scripts/rerun.py run=<folder>")
    manifest, more = manifest_of(Path(runs[0])), [text for text in arguments if not text.startswith("run=")]
    line = without_resume(manifest["overrides"])
    if Path(manifest["working_directory"]).is_dir():  # where its relative paths are meant from
        os.chdir(manifest["working_directory"])
    require_same_config(manifest, [*manifest["searchpath"], *line])
    for name, (then, now) in differences(
        {key: manifest[key] for key in ("versions", "git")},
        {key: value for key, value in environment().items() if key in ("versions", "git")},
    ):
        log.warning("%s was %s then, and is %s: bits may differ", name, then, now)
    os.execv(
        sys.executable, [sys.executable, str(TRAIN), *manifest["searchpath"], *line, "hydra.mode=RUN", *more]
    )


def manifest_of(run: Path) -> dict[str, Any]:
    """What the run was; ConfigError where the folder holds none."""
    file = run / "manifest.json"
    if not file.is_file():
        raise ConfigError(f"run={run}: there is no manifest.json")
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return manifest


def require_same_config(manifest: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """ConfigError where these overrides do not make the config of the run any more."""
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        now = resolved(compose("train", overrides=list(overrides)))
    changed = {
        key: values for key, values in differences(manifest["config"], now) if not changes_no_result(key)
    }
    if changed:
        lines = "".join(f"\n  {key}: {then} -> {new}" for key, (then, new) in changed.items())
        commit = (manifest["git"] or {}).get("commit", "of the run")
        raise ConfigError(
            f"the same overrides make another config now (then -> now):{lines}\nCheck out the commit {commit}"
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        main(sys.argv[1:])
    except AlignlabError as problem:
        sys.exit(f"error: {problem}")
