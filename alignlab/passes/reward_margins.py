"""The margins of several reward models, by which the strength of a preference is judged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from alignlab.console import tracked
from alignlab.data.steps import Reads
from alignlab.data.transforms.margins import ends
from alignlab.errors import ConfigError, DataError
from alignlab.policies.load import LoadedPolicy, load_policy
from alignlab.types import Example

AT_ONCE = 512
"""The number of rows whose responses are tokenized together."""


def reward_margins(
    examples: Sequence[Example],
    *,
    models: Sequence[str] | None = None,
    validation: bool = False,
    split: str = "train",
) -> Annotated[Iterator[Example], Reads(("models",))]:
    """Give each row meta["margins"], one of each reward model in the folders `models`: arXiv:2401.06080, section 2.

    A margin is the value of the best response minus that of the worst, best and worst by label. Labels stay as they
    are; `filter_preference_strength` and `label_transform` go by the mean of these margins. Margins that rows have
    already are replaced. Rows of the validation are given none, unless `validation`, so that they keep their labels.
    Models None stands for the members of `recipe=ensemble`.

    Raises ConfigError for a folder that holds no reward model, DataError where there are no models.
    """
    if not models:
        raise DataError(
            "pipeline.reward_margins.models is empty: name the model/ folders of reward models, or use recipe=ensemble"
        )
    if split != "train" and not validation:
        yield from examples
        return
    margins: list[list[float]] = [[] for _ in range(len(examples))]
    for folder in models:
        loaded = load_policy(Path(folder))
        if "values" not in loaded.policy.provides:
            raise ConfigError(
                f"pipeline.reward_margins.models: {folder} is no reward model, and gives no values of responses"
            )
        with tracked(f"margins of {folder}", len(examples)) as advance:
            for start in range(0, len(examples), AT_ONCE):
                rows = [examples[i] for i in range(start, min(start + AT_ONCE, len(examples)))]
                for offset, margin in enumerate(_margins(loaded, rows)):
                    margins[start + offset].append(margin)
                advance(len(rows))
    for example, own in zip(examples, margins, strict=True):
        yield replace(example, meta={**example.meta, "margins": own})


def _margins(loaded: LoadedPolicy, rows: Sequence[Example]) -> Iterator[float]:
    for example, signals in zip(rows, loaded.scores(loaded.encoder(rows), rows), strict=True):
        best, worst = ends(example)
        yield float(signals["values"][best] - signals["values"][worst])
