"""How responses are drawn, as the keys of every verb that draws some."""

from types import SimpleNamespace

from alignlab.sampling.settings import DECODERS, Sampling
from alignlab.verbs.words import Key, choice, number, whole

KEYS: dict[str, Key] = {
    "decoder": choice("sample", DECODERS),
    "temperature": number(1.0, positive=True),
    "top_p": number(1.0, positive=True),
    "top_k": whole(0, least=0),
    "max_new_tokens": whole(256),
    "alpha": number(0.6),
    "candidates": whole(4),
    "draw_seed": whole(0, least=0),
}


def sampling(own: SimpleNamespace) -> Sampling:
    """Return the settings typed; raises ConfigError for those that make no sense."""
    typed = {name: getattr(own, name) for name in KEYS if name != "draw_seed"}
    return Sampling(**typed, seed=own.draw_seed)
