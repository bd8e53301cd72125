"""What the name of a data file tells of its split."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from alignlab.data.reading.data_files import Found

WORDS = {
    "train": ("training", "train", "trn"),
    "validation": ("validation", "valid", "val", "dev", "heldout", "holdout"),
    "eval": ("evaluation", "eval"),
    "test": ("testing", "test"),
}
"""The words in a name that tell its kind."""
HELD_OUT = ("validation", "eval", "test")
"""The kinds that validate, the first choice first."""
BESIDE = (
    r"(?:my|our|new|all|prefs?|preferences?|pairs?|data|dataset|sets?|split|files?|rows|examples?|samples?|lists?|"
    r"parts?|dpo|kto|rm|sft)*"
)
"""What may stand beside such a word without a mark between: valset, traindata, prefstest."""
PERHAPS = re.compile(r"(?:^(?:test|valid|eval)|(?:test|valid|val|eval|dev)$)")
"""A word that is none of these, and may be meant as one of them: kettletest, and latest too."""
SHARD = re.compile(r"(?:[-_ ]?(?:part|shard|chunk)\d*)?(?:[-_ ]\d+)*(?:[-_]of[-_]\d+)?(?:[-_][0-9a-f]{16})?$")
"""The end of a name that numbers the parts of one split: train-00000-of-00004."""


@dataclass(frozen=True)
class Source:
    """A data file or a saved dataset, with the split that its name tells."""

    path: Path
    name: str
    """What names the split, without endings and numbers of shards: train_prefs."""
    label: str
    """The name with the folders above it: x/train_prefs."""
    kinds: frozenset[str]
    """The kinds that the name tells: none, one, or several where its words contradict each other."""

    @property
    def held_out(self) -> bool:
        """Whether the name tells one kind, which is not to be trained on."""
        return len(self.kinds) == 1 and not self.kinds.isdisjoint(HELD_OUT)

    @property
    def base(self) -> str:
        """The name without the words of its kind: equal for train_prefs and test_prefs."""
        return " ".join(word for word in _words(self.name) if not kinds_of(word))

    @property
    def perhaps_held_out(self) -> bool:
        """Whether the name tells no kind, and has a word that looks like that of a held-out split."""
        return not self.kinds and any(PERHAPS.search(word) for word in _words(self.name))

    @property
    def stem(self) -> str:
        """The path without the ending of its format, which is that of the same rows in another format."""
        return (
            str(self.path).removesuffix(".gz").removesuffix(Path(str(self.path).removesuffix(".gz")).suffix)
        )


def labelled(found: Found) -> list[Source]:
    """The sources with the splits that their names tell, below the folder that all share.

    Where no name tells any, those of the folders above count too, up to the root.
    """
    shared = Path(os.path.commonpath([path.parent for path in found.sources]))
    sources = [_labelled(path, shared) for path in found.sources]
    if any(source.kinds for source in sources) or not shared.is_relative_to(found.root):
        return sources
    return [_labelled(path, found.root) for path in found.sources]


def kinds_of(text: str) -> frozenset[str]:
    """The kinds of split that the words of a name tell.

    >>> [sorted(kinds_of(name)) for name in ("traindata", "prefs_test", "valSet", "latest", "train_test_mix")]
    [['train'], ['test'], ['validation'], [], ['test', 'train']]
    """
    return frozenset(
        kind
        for token in _words(text)
        for kind, words in WORDS.items()
        if re.fullmatch(f"{BESIDE}(?:{'|'.join(words)}){BESIDE}", token)
    )


def _words(text: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()
    return re.findall("[a-z]+", re.sub(r"(held|hold)[-_ ]?out", "heldout", parted))


def _labelled(path: Path, below: Path) -> Source:
    """A source whose name is the last part of its path with a word of a split, or the last part where none has.

    A dot divides parts as a folder does: tldr.train.jsonl is the training split of tldr.
    """
    relative = str(path.relative_to(below)) if path != below else path.name
    if not path.is_dir():
        relative = relative.removesuffix(".gz").removesuffix(Path(relative.removesuffix(".gz")).suffix)
    parts = [part for part in re.split(r"[/.]", relative) if part]
    telling = [number for number, part in enumerate(parts) if kinds_of(part)]
    last = telling[-1] if telling else len(parts) - 1
    kinds = frozenset(kind for number in telling for kind in kinds_of(parts[number]))
    names = [*parts[:last], SHARD.sub("", parts[last]) or parts[last]]
    return Source(path, names[-1], "/".join(names), kinds)
