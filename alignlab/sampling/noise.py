"""Random numbers by key: the noise of a token depends on (seed, prompt, sample, place) and on nothing drawn before it.

The generator is Philox4x32-10 (Salmon et al., SC 2011) in whole numbers of torch, so that every device has the same.
"""

import hashlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = 0xFFFFFFFF
ROUNDS = 10
AT_ONCE = 2**15
"""The number of blocks of four words that are computed together on a CPU, so few that they stay in its cache."""
Words = tuple[Tensor, Tensor, Tensor, Tensor]


def key_of(seed: int, prompt: str) -> tuple[int, int]:
    """Return the two words of the key for all samples of a prompt."""
    digest = hashlib.sha256(f"{seed}/{prompt}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Return four random words (32 bits each, in int64) for every counter, under keys of two words.

    Words of counters need only broadcast with one another, and hold a row for each key: the first rounds have less to
    do then.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        # c1 and c3 may hold more than their 32 bits: the xor carries nothing over, and the rest is cut off
        c0 = (p1 >> 32).bitwise_xor(c1).bitwise_xor_(k0).bitwise_and_(LOW)
        c2 = (p0 >> 32).bitwise_xor(c3).bitwise_xor_(k1).bitwise_and_(LOW)
        c1, c3 = p1, p0
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return c0, c1 & LOW, c2, c3 & LOW


def gumbel(
    keys: Int[Tensor, "R 2"], samples: Int[Tensor, "R"], places: Int[Tensor, "R"], size: int
) -> Float[Tensor, "R V"]:
    """Return standard Gumbel noise for a vocabulary of `size` tokens, a row for each (key, sample, place).

    The largest of log p + noise is a draw from p, and its own log-probability is log p there.
    """
    blocks = -(-size // 4)
    step = len(keys) if keys.device.type != "cpu" else max(1, AT_ONCE // blocks)
    counters = torch.stack([samples, places], 1)
    noise = [
        _gumbel(keys[start : start + step], counters[start : start + step], blocks)[:, :size]
        for start in range(0, len(keys), step)
    ]
    return torch.cat(noise)


def _gumbel(keys: Int[Tensor, "C 2"], counters: Int[Tensor, "C 2"], blocks: int) -> Float[Tensor, "C W"]:
    block = torch.arange(blocks, device=keys.device)[None]
    sample, place = (counters[:, i, None] for i in (0, 1))
    words = philox((block, place, sample, torch.zeros_like(sample)), (keys[:, :1], keys[:, 1:]))
    share = torch.empty(len(keys), 4, blocks, device=keys.device)
    for i, word in enumerate(words):
        share[:, i] = word
    # -log of an exponential variable, which is exact where it is small: there its token wins
    exponential = share.flatten(1).add_(0.5).mul_(-(2.0**-32)).log1p_().neg_()
    return exponential.log_().neg_()
