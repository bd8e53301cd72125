"""Random models on ragged pairs, in the shapes that other libraries want; each loss goes down to the hidden states."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

LONGEST, WIDTH, WORDS = 7, 5, 11
IGNORED = -100


@dataclass
class Toy:
    """Chosen responses first, then the rejected: rows `[2 P, L]` of hidden states and tokens."""

    hidden: Tensor
    ref_hidden: Tensor
    head: Tensor
    ref_head: Tensor
    tokens: Tensor
    """IGNORED beyond a response."""

    @property
    def mask(self) -> Tensor:
        return self.tokens != IGNORED

    def scores(self, reference: bool = False) -> SimpleNamespace:
        """What TRL's models with a fused head return, of response tokens only."""
        hidden, head = (self.ref_hidden, self.ref_head) if reference else (self.hidden, self.head)
        logps = (hidden @ head.T).log_softmax(dim=-1)
        taken = logps.gather(-1, self.tokens.clamp(min=0)[..., None]).squeeze(-1)
        zeros = torch.zeros_like(taken)
        return SimpleNamespace(
            log_probs=torch.where(self.mask, taken, zeros),
            log_sum_sq_probs=(2 * logps).logsumexp(dim=-1),
            entropy=zeros,
            mean_logits=zeros,
            is_top1=self.mask,
        )

    def base(self) -> dict[str, Tensor]:
        """Our base signals, as lists of two with the chosen response first."""
        policy, reference = self.scores(), self.scores(reference=True)
        collisions = torch.where(self.mask, policy.log_sum_sq_probs, torch.zeros_like(policy.log_probs))
        rows = {
            "token_logps": policy.log_probs,
            "token_ref_logps": reference.log_probs,
            "logps": policy.log_probs.sum(dim=1),
            "ref_logps": reference.log_probs.sum(dim=1),
            "log_collisions": collisions.sum(dim=1),
            "lengths": self.mask.sum(dim=1).to(policy.log_probs.dtype),
            "labels": torch.ones_like(self.hidden[:, 0, 0]),
        }
        pairs = {name: torch.stack(value.chunk(2), dim=1) for name, value in rows.items()}
        pairs["labels"] = torch.tensor([1.0, 0.0], dtype=self.hidden.dtype).expand_as(pairs["labels"])
        return pairs


def toy(dtype: torch.dtype = torch.float64, pairs: int = 5, seed: int = 0) -> Toy:
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)

    lengths = torch.randint(2, LONGEST + 1, (2 * pairs, 1), generator=rng)
    tokens = torch.randint(WORDS, (2 * pairs, LONGEST), generator=rng)
    return Toy(
        hidden=normal(2 * pairs, LONGEST, WIDTH).requires_grad_(),
        ref_hidden=normal(2 * pairs, LONGEST, WIDTH),
        head=normal(WORDS, WIDTH),
        ref_head=normal(WORDS, WIDTH),
        tokens=tokens.masked_fill(torch.arange(LONGEST) >= lengths, IGNORED),
    )


def loss_and_gradient(objective, given: Toy, **settings: Tensor) -> tuple[Tensor, Tensor]:
    """Ours, and its gradient by the hidden states."""
    signals = {
        name: value for name, value in {**given.base(), **settings}.items() if name in objective.signals
    }
    loss = objective(**signals).loss
    (gradient,) = torch.autograd.grad(loss, given.hidden)
    return loss.detach(), gradient
