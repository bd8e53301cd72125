"""Puts responses that a model drew beside the rows, as lists without a label, for MetaRM."""

from collections.abc import Iterator

from alignlab.data.encoding.chat_text import turns_of
from alignlab.types import Example


def unlabelled_samples(example: Example, *, split: str = "train") -> Iterator[Example]:
    """Give the row, and in training a list of weight 0 with the different texts of its meta["samples"], if two or more.

    Such a list counts for nothing in a loss; `trainer.meta_rate` has a reward model tell its responses apart
    (arXiv:2401.06080), which are to come from the policy that the reward model is for.
    """
    yield example
    samples: list[str] = list(dict.fromkeys(example.meta.get("samples") or []))
    if split != "train" or len(samples) < 2:
        return
    yield Example(
        prompt=example.prompt,
        responses=[turns_of(sample) for sample in samples],
        labels=[0.0] * len(samples),
        weight=0.0,
        id=f"{example.id}/samples",
        meta={name: value for name, value in example.meta.items() if name in ("source", "user")},
    )
