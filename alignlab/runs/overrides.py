"""Overrides as texts: what they set, how a value is quoted for Hydra, and the command that they make."""

import re
import shlex
from collections.abc import Sequence

from alignlab.runs.config_keys import changes_no_result, is_seed


def key_of(override: str) -> str:
    """The key that an override sets.

    >>> key_of("+regularizers.sft.weight=0.1"), key_of("~peft")
    ('regularizers.sft.weight', 'peft')
    """
    return override.lstrip("+~").partition("=")[0]


def quoted(text: str, mark: str = "'") -> str:
    """A value that Hydra takes for this very text, whatever is in it, between these quotation marks.

    Backslashes mean something before a mark only, and before `${`, which names another value.

    >>> quoted("/a b/it's")
    "'/a b/it\\\\'s'"
    """
    inside = re.sub(
        rf"(\\*)({mark}|$)", lambda match: match[1] * 2 + match[2].replace(mark, f"\\{mark}"), text
    )
    return mark + re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", inside) + mark


def without_resume(overrides: Sequence[str]) -> list[str]:
    """Overrides of a run without those that made it go on with another."""
    return [text for text in overrides if key_of(text).partition(".")[0] != "resume"]


def that_change_results(overrides: Sequence[str]) -> list[str]:
    """Overrides that set apart what a run does: no seeds, and nothing that changes no result.

    >>> that_change_results(["objective=ipo", "seed=3", "report=false"])
    ['objective=ipo']
    """
    keys = ((text, key_of(text)) for text in overrides)
    return [text for text, key in keys if not (is_seed(key) or changes_no_result(key))]


def command(overrides: Sequence[str], searchpath: Sequence[str] = ()) -> str:
    """The line that runs these overrides; `searchpath` is the override that names other folders of configs.

    >>> command(["objective=dpo", "pipeline=[pairs]"])
    "python train.py objective=dpo 'pipeline=[pairs]'"
    """
    return shlex.join(["python", "train.py", *searchpath, *overrides])
