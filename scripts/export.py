"""A checkpoint of a run as a plain Hugging Face folder: `python scripts/export.py run=outputs/dpo-lab/... out=/my/m`.

    checkpoint=last     or best, or the path of one, in the run's checkpoints/

The checkpoint may be a file, or a folder that the ranks of fsdp, fsdp2 or DeepSpeed wrote. No GPU and no other process
is needed: weights are read one by one into the model that the run began with; adapters are merged in. Of a run of
several stages, run= is the folder of a stage.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alignlab.console import quiet
from alignlab.errors import AlignlabError, ConfigError, nearest
from alignlab.launch.export_checkpoint import export_checkpoint
from alignlab.runs.folder import RunFolder

KEYS = ("run", "checkpoint", "out")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", metavar="key=value", help=" ".join(KEYS))
    try:
        given = read(parser.parse_args(arguments).settings)
        out = Path(given["out"])
        with quiet():
            checkpoint = export_checkpoint(
                RunFolder(Path(given["run"])), given.get("checkpoint", "last"), out
            )
        print(f"{checkpoint} -> {out}")
    except AlignlabError as error:
        sys.exit(f"error: {error}")


def read(texts: Sequence[str]) -> dict[str, str]:
    """Settings from `key=value`."""
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in KEYS:
            raise ConfigError(f"'{text}': expected key=value; {nearest(key, KEYS)}")
        given[key] = value
    if missing := [key for key in ("run", "out") if not given.get(key)]:
        raise ConfigError(f"{missing[0]}= is missing: run=<a run folder> out=<a new folder>")
    return given


if __name__ == "__main__":
    main()
