"""A checkpoint of a run as a plain Hugging Face folder.

alignlab export run=outputs/dpo-lab/2026-11-21_11-42-54 out=/my/model
alignlab export run=... checkpoint=best out=/my/model

    run=FOLDER          the run; of a run of several stages, the folder of a stage
    checkpoint=last     or best, or the path of one, in the run's checkpoints/
    out=FOLDER          a new folder
    trust=[PACKAGE]     packages of yours that the config of the run may name

The checkpoint may be a file, or a folder that the ranks of fsdp, fsdp2 or DeepSpeed wrote. No GPU and no other process
is needed: weights are read one by one into the model that the run began with; adapters are merged in.
"""

from collections.abc import Sequence

from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.verbs.words import output, path, read, text, trust

KEYS = {"run": path(), "checkpoint": text("last"), "out": output(), "trust": trust()}


def run(words: Sequence[str]) -> None:
    """Export the checkpoint, and print which one the folder holds."""
    own = read(words, KEYS).own
    if missing := [key for key in ("run", "out") if getattr(own, key) is None]:
        raise ConfigError(f"{missing[0]}= is missing: run=<a run folder> out=<a new folder>")

    from alignlab.console import quiet
    from alignlab.launch.export_checkpoint import export_checkpoint

    with quiet():
        checkpoint = export_checkpoint(RunFolder(own.run, trusted=tuple(own.trust)), own.checkpoint, own.out)
    print(f"{checkpoint} -> {own.out}")
