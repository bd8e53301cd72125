"""What a user model has beside its decoder: prototypes of preferences, and the mixture of them that each user is."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alignlab.errors import ConfigError

FILE = "user_head.safetensors"
"""The file of these weights in the folder of a model, which transformers leaves alone."""
FIRST_SCALE, MOST_SCALE = 1 / 0.07, 100.0
"""The factor of cosines at the start, and at most."""


class UserHead(nn.Module):
    """Prototypes, users as mixtures of them, and a residual map of responses, of PAL, arXiv:2406.08469.

    Form A holds prototypes in the space of hidden states, form B a linear map of prompts for each prototype. A row of
    `logits` is a user. Those of `new` users are apart, in `fitted`, even mixtures that can be fitted alone, until they
    `join` the others.
    """

    def __init__(
        self, form: str, *, prototypes: int, hidden: int, width: int, users: Sequence[str], new: Sequence[str]
    ) -> None:
        super().__init__()
        self.users = [*users, *new]
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        is_point = form == "A"
        self.prototypes = nn.Parameter(drawn(prototypes, hidden)) if is_point else None
        self.maps = None if is_point else nn.Parameter(drawn(prototypes, hidden, width) / hidden)
        self.log_scale = None if is_point else nn.Parameter(torch.tensor([math.log(FIRST_SCALE)]))
        self.logits = nn.Parameter(torch.zeros(len(users), prototypes))
        self.fitted = nn.Parameter(torch.zeros(len(new), prototypes))
        self.inner = nn.Parameter(drawn(width, width) / math.sqrt(width))
        self.outer = nn.Parameter(torch.zeros(width, width))  # the map starts as the identity

    def join(self) -> None:
        """Put new users among the others, as mixtures that differ: even ones would learn nothing but their mean."""
        drawn = torch.randn(self.fitted.shape, generator=torch.Generator().manual_seed(len(self.logits)))
        self.logits = nn.Parameter(torch.cat([self.logits.data, drawn]))
        self.fitted = nn.Parameter(self.fitted.data[:0])

    def items(self, vectors: Float[Tensor, "*N width"]) -> Float[Tensor, "*N width"]:
        """Return responses, or the points of users, where they are compared."""
        mapped: Tensor = vectors + F.gelu(vectors @ self.inner) @ self.outer
        return mapped

    def mixtures(self, numbers: Int[Tensor, "B"]) -> Float[Tensor, "B prototypes"]:
        """Return the weights of the prototypes for each user, by their numbers in `users`; they sum to 1."""
        return torch.cat([self.logits, self.fitted])[numbers].softmax(dim=-1)

    def ideals(
        self, prompts_BKD: Float[Tensor, "B K hidden"], numbers: Int[Tensor, "B"]
    ) -> Float[Tensor, "B K width"]:
        """Return the ideal response of each user to its prompts, of form B: the mixture of the maps of a prompt."""
        assert self.maps is not None
        each = torch.einsum("bkd,pdw->bkpw", prompts_BKD.to(self.maps.dtype), self.maps)
        return torch.einsum("bkpw,bp->bkw", each, self.mixtures(numbers))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The factor of cosines of form B."""
        assert self.log_scale is not None
        return self.log_scale.squeeze().clamp(max=math.log(MOST_SCALE)).exp()


def by_distance(
    items_BKW: Float[Tensor, "B K width"], ideals_BW: Float[Tensor, "B width"]
) -> Float[Tensor, "B K"]:
    """Return the values of form A: minus the distance of each response from the user's ideal point."""
    gaps_BKW = items_BKW - ideals_BW[:, None]
    return -(gaps_BKW.square().sum(dim=-1) + torch.finfo(items_BKW.dtype).tiny).sqrt()


def by_angle(
    items_BKW: Float[Tensor, "B K width"],
    ideals_BKW: Float[Tensor, "B K width"],
    scale: Float[Tensor, ""] | float,
) -> Float[Tensor, "B K"]:
    """Return the values of form B: `scale` times the cosine of each response with the user's ideal for its prompt."""
    return scale * F.cosine_similarity(items_BKW, ideals_BKW, dim=-1)


def saved_users(model: Any) -> list[str]:
    """Return the users of the folder that a model was loaded from; none where it is no user model."""
    said = getattr(model.config, "alignlab_users", None)
    return list(said) if said else []


def restore(head: UserHead, model: Any) -> None:
    """Put the weights beside a model into a head; ConfigError where that is of another form or size."""
    stored = load_file(Path(model.name_or_path) / FILE)
    own = {name: value for name, value in head.state_dict().items() if name != "fitted"}
    if {name: value.shape for name, value in stored.items()} != {name: v.shape for name, v in own.items()}:
        sizes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(stored.items()))
        raise ConfigError(
            f"model.path={model.name_or_path} is a user model of another form or size ({sizes}): set policy.form, "
            "policy.prototypes and policy.width as it was trained"
        )
    head.load_state_dict(stored, strict=False)


def save(head: UserHead, folder: Path) -> None:
    """Write the weights of a head into the folder of a model, new users among the others."""
    weights = {name: value.detach() for name, value in head.state_dict().items() if name != "fitted"}
    weights["logits"] = torch.cat([head.logits.detach(), head.fitted.detach()])
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / FILE)
