"""Whether two models read the same token ids, and give as many logits: one scores what the other's tokenizer wrote."""

import logging
from typing import Any

from alignlab.errors import ConfigError

log = logging.getLogger(__name__)


def require_same_tokens(tokenizer: Any, other: Any, name: str) -> None:
    """Raise ConfigError where an id is one token for the tokenizer and another for the `other` one, of model `name`.

    Chat templates do not matter, since the other model is given ids. Tokens that the other tokenizer lacks (a padding
    that was added, say) are told in a warning; ids beyond its model are refused elsewhere, where rows have them.
    """
    own = {number: token for token, number in tokenizer.get_vocab().items()}
    others = {number: token for token, number in other.get_vocab().items()}
    if differing := sorted(number for number in own.keys() & others.keys() if own[number] != others[number]):
        first = differing[0]
        raise ConfigError(
            f"{name} has another vocabulary than the model that trains: {len(differing)} of {len(own)} token ids "
            f"differ (id {first} is {others[first]!r} there, and {own[first]!r} here), so that it would score other "
            "texts: take a reference with the same tokenizer"
        )
    if lacking := sorted(own.keys() - others.keys()):
        log.warning(
            "the tokenizer of %s lacks %d tokens of the model that trains (first: %r): it has learned nothing of them",
            name,
            len(lacking),
            own[lacking[0]],
        )


def require_same_width(model: Any, other: Any, name: str) -> None:
    """Raise ConfigError where two models give another number of logits, so that their distributions do not compare.

    `name` is that of the `other` model. Models of one tokenizer differ in it where one of them was padded.
    """
    own, width = (each.config.get_text_config().vocab_size for each in (model, other))
    if own != width:
        raise ConfigError(
            f"{name} gives {width} logits and the model that trains {own}, and the objective compares distributions "
            "over the vocabulary: take a reference with as many, resize the embeddings of one of them "
            "(resize_token_embeddings), or take terms that go by log-probabilities of responses alone"
        )
