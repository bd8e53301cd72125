"""Run again what a run folder holds.

alignlab rerun run=outputs/dpo-lab/2026-11-21_11-42-54 [key=value ...]

The manifest.json in it is enough: `alignlab train` gets its overrides once more, in the folder it was started in, and
makes a new run folder. With the same versions on the same kind of machine the losses are the same, bit for bit. What
differs today from then is printed: versions, and the commit. A config that comes out different (a default was changed
since) is an error that lists the keys. Further overrides are for what is meant to differ: output_dir=elsewhere, seed=2.

    trust=[PACKAGE]     packages of yours that the overrides of the run may name
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError
from alignlab.places import train_command
from alignlab.runs.folder import RunFolder
from alignlab.verbs.words import path, read, trust

KEYS = {"run": path(), "trust": trust()}
RUN_BY_HYDRA = ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")
"""The settings of Hydra by which a config can have code run."""
LISTS = ("overrides", "searchpath")
"""The keys of a manifest that hold words of a command line."""


def run(words: Sequence[str]) -> None:
    """Check that the overrides still make the config of the run, and become the process that trains."""
    typed = read(words, KEYS, overrides=True)
    if typed.own.run is None:
        raise ConfigError("name one run folder: alignlab rerun run=<folder>")
    manifest = _manifest_of(typed.own.run)

    from alignlab.runs.config_keys import differences
    from alignlab.runs.manifest import environment
    from alignlab.runs.overrides import without_resume

    line = without_resume(manifest["overrides"])
    if Path(manifest["working_directory"]).is_dir():  # where its relative paths are meant from
        os.chdir(manifest["working_directory"])
    _require_same_config(manifest, [*manifest["searchpath"], *line], typed.own.run, typed.own.trust)
    for name, (then, now) in differences(
        {key: manifest[key] for key in ("versions", "git")},
        {key: value for key, value in environment().items() if key in ("versions", "git")},
    ):
        print(f"{name} was {then} then, and is {now}: bits may differ", file=sys.stderr, flush=True)
    command = [*train_command(), *manifest["searchpath"], *line, "hydra.mode=RUN", *typed.overrides]
    os.execv(command[0], command)


def _manifest_of(run: Path) -> dict[str, Any]:
    """Return the manifest of a run; raises ConfigError where the folder holds none that can be run again."""
    file = run / "manifest.json"
    if not file.is_file():
        raise ConfigError(f"run={run}: there is no manifest.json")
    manifest = RunFolder(run).read_json("manifest.json")
    wanted = {*LISTS, "config", "working_directory", "versions", "git"}
    if not wanted <= manifest.keys():
        raise ConfigError(f"{file} is no whole manifest of a run: it has no {', '.join(sorted(wanted))}")
    for name in LISTS:
        if not isinstance(manifest[name], list) or not all(isinstance(text, str) for text in manifest[name]):
            raise ConfigError(f"{file}: {name}: expected a list of words")
    for text in manifest["overrides"]:
        if re.match(r"-|[~+]*hydra\b", text):
            raise ConfigError(
                f"{file}: {text}: the overrides of a run hold no flags and no settings of Hydra"
            )
    if strange := [text for text in manifest["searchpath"] if not text.startswith("hydra.searchpath=")]:
        raise ConfigError(f"{file}: searchpath: expected hydra.searchpath=[...], found {strange[0]}")
    return manifest


def _require_same_config(
    manifest: Mapping[str, Any], overrides: Sequence[str], run: Path, trusted: Sequence[str]
) -> None:
    """Raise ConfigError where these overrides no longer make the config of the run, or name unknown code."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from alignlab.config import resolvers
    from alignlab.config.stage_configs import resolved
    from alignlab.places import CONF
    from alignlab.runs.config_keys import changes_no_result, differences
    from alignlab.runs.trust import require_trusted

    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        now = resolved(compose("train", overrides=list(overrides)))
        hydra = compose("train", overrides=list(overrides), return_hydra_config=True).hydra
    own = {key: OmegaConf.to_container(hydra[key]) for key in RUN_BY_HYDRA}
    require_trusted({**now, "hydra": own}, run / "manifest.json", trusted)
    changed = {
        key: values for key, values in differences(manifest["config"], now) if not changes_no_result(key)
    }
    if changed:
        lines = "".join(f"\n  {key}: {then} -> {new}" for key, (then, new) in changed.items())
        commit = (manifest["git"] or {}).get("commit", "of the run")
        raise ConfigError(
            f"the same overrides make another config now (then -> now):{lines}\nCheck out the commit {commit}"
        )
