"""Loss and gradient of an objective along simple paths, as `alignlab objectives` draws them.

Responses have 20 tokens of -1 nat on average under policy and reference, by turns a tenth more and less; a move adds
nats to the policy's log-probability, evenly over the tokens. All else is neutral: divergences and other text 0, rewards
the labels less 1/2, responses as likely as samples of the policy, a reference whose entropy makes RainbowPO's phi 1.
Each list is an optimizer step of its own, but single responses see the batch statistics of responses that have not
moved.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.losses.lists.lambda_weights import lambda_weights
from alignlab.losses.lists.masked_lists import gaps, ordered
from alignlab.objective.objective import Objective
from alignlab.signals import BASE, Signal, trailing_sizes

TOKENS, STEPS = 20, 4
SIZES = {"L": TOKENS, "S": STEPS, "M": 2, "A": 1, "D": 1, "N": 1, "R": 1}


def along(
    objective: Objective, moves: Float[Tensor, "n K"], labels: Sequence[float]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n K"]]:
    """The loss of each list, and its gradient by the moves (nats) of the log-probabilities of its K responses.

    >>> from alignlab import load_objective
    >>> along(load_objective("dpo"), torch.tensor([[0.0, 0.0]]), [1.0, 0.0])
    (tensor([0.6931]), tensor([[-0.0500,  0.0500]]))
    """
    objective.bind(trailing_sizes(SIZES))
    for module in objective.modules.values():
        module.eval()
    labels_K = torch.tensor(labels, dtype=moves.dtype)
    moves = moves.detach().clone().requires_grad_()
    apart = objective.gathers and objective.data_form != "single"
    steps = moves.chunk(len(moves)) if apart else (moves,)
    losses = torch.cat([_losses(objective, step, labels_K) for step in steps])
    if not losses.requires_grad:
        return losses, torch.zeros_like(moves)
    (gradients,) = torch.autograd.grad(losses.sum(), moves)
    return losses.detach(), gradients


def has_curve(objective: Objective) -> bool:
    """Whether the loss moves with the scores of responses: divergences over the vocabulary are none of these."""
    return any(BASE[name].moves for name in objective.signals)


def reach(objective: Objective, direction: Sequence[float], labels: Sequence[float]) -> float:
    """The range in nats along a direction that a curve should show: a round number from loss and slope at the start."""
    start = torch.zeros(1, len(direction), dtype=torch.float64)
    value, gradient = along(objective, start, labels)
    slope = (gradient @ torch.tensor(direction, dtype=torch.float64)).abs().item()
    far = 3 * value.abs().item() / slope if slope else 20.0
    scale = 10.0 ** math.floor(math.log10(max(far, 1.0)))
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= far or step == 10)


def pair_matrix(
    objective: Objective, moves: Sequence[float], labels: Sequence[float]
) -> tuple[str, Float[Tensor, "K K"]]:
    """The interaction of responses i and j in a listwise loss at these moves (nats): a title, and a matrix.

    The matrix holds the weights of a loss that weighs pairs; for a sum over pairs, the size of the gradient of
    pair (i, j) alone; else the second derivative, by which the gradient of i depends on the log-ratio of j.
    """
    here_1K, labels_1K = (torch.tensor([values], dtype=torch.float64) for values in (moves, labels))
    everywhere = torch.ones_like(here_1K, dtype=torch.bool)
    bound = objective.loss.hyper
    if "gain" in bound:
        chosen = {key: bound[key] for key in ("gain", "discount", "topn", "normalize")}
        weights_1KK = lambda_weights(here_1K, labels_1K, everywhere, **chosen)
        better_1KK = ordered(labels_1K, everywhere)
        return "weight of pair (i, j), i better", weights_1KK.masked_fill(~better_1KK, 0)[0]
    if "pair_mean" in bound:
        pairs = [[i, j] for i in range(len(labels)) for j in range(len(labels))]
        pushes = [along(objective, here_1K[:, pair], [labels[i] for i in pair])[1][0, 0] for pair in pairs]
        better_KK = ordered(labels_1K, everywhere)[0]
        return "size of the gradient of pair (i, j) alone, i better", (
            torch.stack(pushes).abs().reshape(better_KK.shape).masked_fill(~better_KK, 0)
        )

    def total(moves_K: Tensor) -> Tensor:
        return _losses(objective, moves_K[None], labels_1K[0]).sum()

    hessian = torch.autograd.functional.hessian(total, here_1K[0])  # type: ignore[no-untyped-call]
    return "second derivative by responses i and j", hessian


def _losses(objective: Objective, moves_BK: Tensor, labels_K: Tensor) -> Tensor:
    """The loss of each list, summed over whatever values the objective returns for it."""
    signals = _neutral_signals(objective, moves_BK, labels_K)
    gathered = None
    if objective.data_form == "single":
        gathered = objective.contribute(**_neutral_signals(objective, torch.zeros_like(moves_BK), labels_K))
    values = objective(**signals, gathered=gathered).values[objective.name]
    return values.reshape(len(moves_BK), -1).sum(dim=1)


def _neutral_signals(objective: Objective, moves_BK: Tensor, labels_K: Tensor) -> dict[str, Any]:
    """The base signals of neutral responses, of which the policy's scores have moved by `moves_BK`."""
    labels_BK = labels_K.expand_as(moves_BK.detach())
    judged = {"labels": labels_BK, "rewards": labels_BK - 0.5}
    judged["ratings"] = judged["rewards"][..., None]
    judged |= {"wins": (1 + gaps(labels_BK).sign()) / 2, "preferences": gaps(moves_BK)}
    return {
        name: judged[name] if name in judged else _neutral(BASE[name], moves_BK) for name in objective.signals
    }


def _neutral(signal: Signal, moves_BK: Tensor) -> Tensor:
    """The values of a signal for neutral responses of TOKENS tokens in STEPS even steps, moved where it moves."""
    letters = signal.shape.split()
    pieces = TOKENS if "L" in letters else STEPS if "S" in letters else 1
    sizes = SIZES | dict(zip("BK", moves_BK.shape, strict=True))
    value = signal.neutral * TOKENS / pieces if signal.additive else signal.neutral
    values = moves_BK.detach().new_full([sizes.get(x) or int(x) for x in letters], value)
    if letters == ["B", "K", "L"] and signal.additive:
        values = values * (1 + 0.1 * (-1) ** torch.arange(TOKENS))
    if not signal.moves:
        return values
    return values + moves_BK.reshape(*moves_BK.shape, *[1] * (values.dim() - 2)) / pieces
