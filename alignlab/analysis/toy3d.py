"""A toy that shows the dynamics of an objective: the 3D-properties, arXiv:2406.07327.

Four prompts and ten responses; each prompt has one of the first four chosen and one of the next four rejected.
Under DPO the rejected one drops drastically, then the chosen one degrades, and what it loses disperses to
responses that the prompt's data does not hold.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.analysis.result import CHOSEN, MARK, OTHER, REJECTED, Analysis, legend, panels
from alignlab.errors import ConfigError
from alignlab.objective.objective import Objective

PROMPTS, RESPONSES, WIDTH = 4, 10, 64
START = (0.12, 0.02)
"""The probability of each of the first eight responses before training, and of each of the other two."""
GIVEN = {"logps", "ref_logps", "logratios", "lengths", "labels", "where"}


@dataclass(frozen=True)
class Course:
    """The course of a training of the toy: means over the prompts, one value for each epoch."""

    chosen: Float[Tensor, "E"]
    """The log-probability of chosen, in nats."""
    rejected: Float[Tensor, "E"]
    """The log-probability of rejected, in nats."""
    others: Float[Tensor, "E"]
    """The probability of all responses but these two."""
    push: Float[Tensor, "E"]
    """The push on rejected over the pull on chosen: -(d loss / d p(rejected)) / (d loss / d p(chosen))."""

    @property
    def peak(self) -> int:
        """The epoch at which chosen is most likely."""
        return int(self.chosen.argmax())


def toy3d(objective: Objective, *, epochs: int = 500, lr: float = 0.001, seed: int = 0) -> Analysis:
    """Train the toy on an objective and show where the probability goes; ConfigError as in `train`."""
    course = train(objective, epochs=epochs, lr=lr, seed=seed)
    moments = (0, course.peak, epochs)
    curves = {
        "log-prob of chosen, nats": course.chosen,
        "log-prob of rejected, nats": course.rejected,
        "probability of all others": course.others,
        "push on rejected over pull on chosen": course.push,
    }
    lines = [("epoch: first / chosen at its best / last", " / ".join(str(epoch) for epoch in moments))]
    lines += [(name, " / ".join(f"{curve[e]:.3g}" for e in moments)) for name, curve in curves.items()]
    figure, (probability, logps, ratio) = panels(3)
    groups = {
        "chosen": (course.chosen.exp(), CHOSEN, "-"),
        "rejected": (course.rejected.exp(), REJECTED, "--"),
        "all others": (course.others, MARK, "-."),
    }
    for name, (values, colour, style) in groups.items():
        probability.plot(values.tolist(), style, color=colour, label=name, lw=2)
    for name, (_, colour, style) in list(groups.items())[:2]:
        logps.plot(getattr(course, name).tolist(), style, color=colour, label=name, lw=2)
    label = "push on rejected over pull on chosen"
    ratio.plot(course.push.tolist(), color=OTHER, lw=2, label=label)
    ratio.axhline(1, color="grey", lw=0.6)
    probability.set(xlabel="epoch", ylabel="probability", ylim=(-0.03, 1.03))
    logps.set(xlabel="epoch", ylabel="log-probability, nats")
    ratio.set(xlabel="epoch", ylabel="ratio of gradients by probability", yscale="log")
    for axes in (probability, logps, ratio):
        legend(axes)
    return Analysis(f"toy of the 3D-properties: {objective.name}", lines, figure)


def train(objective: Objective, *, epochs: int, lr: float, seed: int) -> Course:
    """Train a network of three layers over one-hot prompts by full-batch Adam.

    Raises ConfigError for an objective that takes more than log-probabilities, lengths and labels.
    """
    if more := sorted(objective.signals - GIVEN):
        raise ConfigError(
            f"objective '{objective.name}' takes {', '.join(more)}, which the toy has not: choose one that goes by "
            "log-probabilities, such as objective=dpo"
        )
    model, prompts = _started(seed), torch.eye(PROMPTS, dtype=torch.float64)
    ref_logps = _pairs(model(prompts).log_softmax(-1)).detach()
    fixed: dict[str, Any] = {
        "ref_logps": ref_logps,
        "lengths": torch.ones_like(ref_logps),
        "labels": torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(ref_logps),
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    history = []
    for epoch in range(epochs + 1):
        logps = _pairs(model(prompts).log_softmax(-1))
        loss = objective(progress=epoch / max(epochs, 1), logps=logps, **fixed).loss
        slopes = by_probability(loss, logps)
        others = 1 - logps.detach().exp().sum(1).mean()
        ratio = -slopes[:, 1].mean() / slopes[:, 0].mean()
        history.append(torch.stack([*logps.detach().mean(0), others, ratio]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Course(*torch.stack(history).T)


def by_probability(loss: Float[Tensor, ""], logps: Float[Tensor, "*X"]) -> Float[Tensor, "*X"]:
    """The derivatives of a loss by the probabilities exp(logps).

    For DPO, the derivative by rejected is -chosen / rejected times that by chosen: as rejected vanishes, the push
    on it grows without bound (for beta < 1), and the pull on chosen vanishes.
    """
    return torch.autograd.grad(loss, logps, retain_graph=True)[0] / logps.detach().exp()


def _started(seed: int) -> nn.Sequential:
    """The network, trained to the probabilities of the start."""
    probabilities = torch.tensor([START[0]] * 2 * PROMPTS + [START[1]] * (RESPONSES - 2 * PROMPTS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(PROMPTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(WIDTH, RESPONSES)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        logps = model(torch.eye(PROMPTS, dtype=torch.float64)).log_softmax(-1)
        optimizer.zero_grad()
        torch.autograd.backward(-(probabilities.double() * logps).sum(-1).mean())
        optimizer.step()
    return model


def _pairs(logps: Float[Tensor, "X V"]) -> Float[Tensor, "X 2"]:
    """The chosen and the rejected response of each prompt."""
    prompt = torch.arange(PROMPTS)
    return torch.stack([logps[prompt, prompt], logps[prompt, prompt + PROMPTS]], dim=1)
