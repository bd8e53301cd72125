"""One run: check the config, train, and leave a run folder. `usage` is what `alignlab train --help` prints."""

import os
import re
import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from alignlab.config.kept_sweep import with_own_values
from alignlab.config.typed import require_typed
from alignlab.launch.cli import job, launch
from alignlab.places import CONF

EXAMPLES = {
    "": "the embedded world: no file, no network, half a minute",
    "objective=ipo objective.loss.tau=0.5 'regularizers=[sft]'": "a choice of a group, a key, several choices",
    "data=local data.path=pairs.jsonl model=local model.path=/my/model": "your own data and model",
    "-m objective=dpo,ipo,lipo_lambda seed=1,2": "a sweep, with a table at its end",
    "resume=auto": "go on with the newest unfinished run of this command",
    "experiment=sdpo": "the settings of a paper",
}
GROUP = re.compile(r"  - (?:optional )?(\w+): (.+?)  # (.+)")
"""A line of the defaults list of conf/train.yaml: the group, its default choice, and what it is for."""


@hydra.main(version_base=None, config_path=str(CONF), config_name="train")
def main(cfg: DictConfig) -> float:
    """Run one job of a command; returns the optimized metric."""
    return job(cfg)


def run(words: Sequence[str]) -> None:
    """Train as these words, in the form of Hydra's command line, say."""
    require_typed(words)
    words, replaced = with_own_values(words)
    for line in replaced:
        print(line, file=sys.stderr)
    sys.argv = ["train.py", *words]
    launch(main)


def usage() -> str:
    """Return the help on one screen: every group of choices, examples, and where to find more."""
    lines = GROUP.findall((CONF / "train.yaml").read_text(encoding="utf-8"))
    groups = "\n".join(f"  {name:<13} {choice:<13} {what}" for name, choice, what in lines)
    examples = "\n".join(f"  # {what}\n  python train.py {line}".rstrip() for line, what in EXAMPLES.items())
    return f"""\
python train.py [-m] group=choice group.key=value ...     one run (-m: many), from preferences to an aligned model

Groups of choices, and what is chosen without a word; a misspelt one is answered with all there are:
{groups}

{examples}

Objectives: alignlab objectives [NAME]. Choices: a file each in {os.path.relpath(CONF)}/<group>/.
Keys: docs/config.md, or `--cfg job` behind any command, which prints its whole config. Hydra's own: --hydra-help."""
