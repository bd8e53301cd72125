"""Which files of a path a run trains on, and which validate; told by `data.split`, or by the names of the files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignlab.data.reading.data_files import Found, data_files
from alignlab.data.reading.split_names import HELD_OUT, Source, labelled
from alignlab.errors import DataError, nearest


@dataclass(frozen=True)
class Choice:
    """The files of each split that a run reads, and what is to be said of all files."""

    files: Mapping[str, list[Path]]
    root: Path
    """The folder above all files, as the path gives it."""
    notes: list[str] = field(default_factory=list)
    """What is as one would expect, for the log."""
    warnings: list[str] = field(default_factory=list)
    """What somebody may not expect."""


def chosen_files(
    path: str | Sequence[str], split: Any = None, published: Mapping[str, str | None] | None = None
) -> Choice:
    """The files of the training and the validation split at a path; a split without files is left out.

    `split` is the setting `data.split`: the name of the training split, a list of names to be joined, or a mapping
    from train and validation to such. `published` names the splits of the source's own data set, and counts where
    files of that name are there. Otherwise words in the names tell: validation before eval before test, and files
    without such a word train where none is called train. Raises DataError where the names leave more than one choice.
    """
    found = data_files(path)
    shown = path if isinstance(path, str) else f"[{','.join(path)}]"
    return _Choosing(f"data.path={shown}", found, labelled(found), asked(split), published or {}).choice()


def asked(split: Any) -> dict[str, list[str]]:
    """The names that `data.split` asks for, by split; an empty list where a split is to have none.

    >>> asked("train_prefs"), asked({"train": ["a", "b"], "validation": None})
    ({'train': ['train_prefs']}, {'train': ['a', 'b'], 'validation': []})
    """
    node = split if isinstance(split, Mapping) else {} if split is None else {"train": split}
    for key in node:
        if key not in ("train", "validation"):
            raise DataError(f"data.split.{key}: {nearest(str(key), ('train', 'validation'))}")
    lists = {key: names if isinstance(names, list) else [names] for key, names in node.items()}
    return {key: [str(name) for name in names if name is not None] for key, names in lists.items()}


@dataclass(frozen=True)
class _Choosing:
    """The sources at a path, what the user asks for, and what the source's own data set calls its splits."""

    shown: str
    found: Found
    sources: list[Source]
    asked: Mapping[str, list[str]]
    published: Mapping[str, str | None]

    def choice(self) -> Choice:
        """The choice, with all that is to be said of it."""
        train = self._train()
        validation = self._validation(train)
        notes, warnings = list[str](), list[str]()
        by_words = not self.asked.get("train") and not self._published("train")
        for split, group in (("train", train), ("validation", validation)):
            self._require_one_format(group)
            if group and all(source.path.is_file() and not source.path.stat().st_size for source in group):
                raise DataError(f"{self.shown}: {group[0].path} is empty")
            if len(labels := sorted({source.label for source in group})) > 1:
                odd = by_words and any(source.kinds or source.perhaps_held_out for source in group)
                text = f"{self.shown}: {split} rows are read from {_listed(labels)} together; data.split= chooses"
                (warnings if odd else notes).append(text)
        rest = [source for source in self.sources if source not in (*train, *validation)]
        untold = [self._relative(source.path) for source in rest if not source.kinds]
        untold += [self._relative(file) for file in self.found.unreadable]
        if told := [self._relative(source.path) for source in rest if source.kinds]:
            notes.append(f"{self.shown}: not read, being of other splits: {_listed(told)}")
        if untold:
            text = f"{self.shown}: not read, beside files that are: {_listed(untold)}"
            (warnings if by_words else notes).append(text)
        files = {"train": [s.path for s in train], "validation": [s.path for s in validation]}
        return Choice(
            {split: paths for split, paths in files.items() if paths}, self.found.root, notes, warnings
        )

    def _train(self) -> list[Source]:
        """The sources to train on."""
        if wanted := self.asked.get("train"):
            return [source for name in wanted for source in self._named(name)]
        if group := self._published("train"):
            return group
        if len(self.sources) == 1 and (self.found.explicit or not self.sources[0].held_out):
            return self.sources
        self._require_one_meaning()
        group = [source for source in self.sources if source.kinds == {"train"}]
        plain = [source for source in self.sources if not source.kinds]
        if not group and not plain:
            names = _listed(self._relative(source.path) for source in self.sources)
            raise DataError(
                f"{self.shown}: by its name everything there is held out from training: {names}. "
                f"data.split={self.sources[0].name} trains on it all the same"
            )
        self._require_one_split("train", group or [source for source in plain if source.path.is_dir()])
        return group or plain

    def _validation(self, train: Sequence[Source]) -> list[Source]:
        """The sources that validate: of the splits that go with those that train, where there are such."""
        if "validation" in self.asked:
            return [source for name in self.asked["validation"] for source in self._named(name)]
        if group := [source for source in self._published("validation") if source not in train]:
            return group
        held_out = [source for source in self.sources if source.held_out and source not in train]
        bases = {source.base for source in train} - {""}
        partners = [source for source in held_out if source.base in bases]
        for kind in HELD_OUT:
            if group := [source for source in partners or held_out if source.kinds == {kind}]:
                if not partners or len(bases) == 1:
                    self._require_one_split("validation", group)
                return group
        return []

    def _named(self, name: str) -> list[Source]:
        """The sources that `data.split` means by a name: that of a split, with its folder or alone, or a file."""
        whole = [source for source in self.sources if name == source.name]
        if group := whole or [s for s in self.sources if name in (s.label, self._relative(s.path))]:
            return group
        there = sorted({source.name for source in self.sources})
        raise DataError(f"data.split={name}: {self.shown} has no such split; there are {_listed(there)}")

    def _published(self, split: str) -> list[Source]:
        """The sources with the name that this split has in the source's own data set."""
        name = self.published.get(split)
        if not name or self.asked.get("train"):
            return []
        return [
            source
            for source in self.sources
            if source.name == name or self._relative(source.path).endswith(name)
        ]

    def _require_one_meaning(self) -> None:
        """Raise DataError where the words in a name contradict each other."""
        for source in self.sources:
            if len(source.kinds) > 1:
                raise DataError(
                    f"{self.shown}: {self._relative(source.path)} has words of several splits in its name, "
                    f"{_listed(sorted(source.kinds))}: say which files are read, as in "
                    f"'data.split={{train: {source.label}, validation: null}}'"
                )

    def _require_one_split(self, split: str, group: Sequence[Source]) -> None:
        """Raise DataError where several splits of one kind would be joined."""
        names = sorted({source.name for source in group})
        if len(names) > 1:
            form = "data.split=%s" if split == "train" else f"data.split={{train: ..., {split}: %s}}"
            raise DataError(
                f"{self.shown} has several {split} splits, {_listed(names)}: choose one with '{form % names[0]}', or "
                f"join them with '{form % ('[' + ','.join(names) + ']')}'"
            )

    def _require_one_format(self, group: Sequence[Source]) -> None:
        """Raise DataError where one split seems to be there in two formats, and its rows would be read twice."""
        paths: dict[str, Path] = {}
        for source in () if self.found.explicit else group:
            if (other := paths.setdefault(source.stem, source.path)) != source.path:
                raise DataError(
                    f"{self.shown}: {self._relative(other)} and {self._relative(source.path)} look like the same rows "
                    "in two formats: give the file to read as data.path, or both in a list"
                )

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.found.root)) if path != self.found.root else path.name


def _listed(names: Iterable[str]) -> str:
    """The first names of a list, and how many more there are."""
    every = list(names)
    return ", ".join(every[:8]) + (f" and {len(every) - 8} more" if len(every) > 8 else "")
