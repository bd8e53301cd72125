"""A bandit that shows what own samples and negative gradients are worth, arXiv:2404.14367.

A hundred arms lie on a line; the reference draws those near one end, and the reward is largest far from there. The
policy is the reference plus smooth functions of the place of an arm, so that what is learned of some arms holds for
their neighbours. `of` says whose samples it learns from: its own, or those of the reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alignlab.analysis.result import CHOSEN, MARK, OTHER, PALE, REJECTED, Analysis, panels
from alignlab.losses.pairs.dpo import dpo

ARMS, START, PEAK = 100, 20.0, 70.0
"""The number of arms, and the places of the largest probability of the reference and of the largest reward."""
SPREAD, SLOPE, WIDTH = 6.0, 0.02, 10.0
"""The standard deviation of the reference in arms, the reward that an arm nearer to the peak has more, and how far what
is learned of an arm holds, in arms."""
LISTS, SAMPLES = 16, 8
"""The lists of a step, and the responses of each."""
Of = Literal["policy", "reference"]
Logps = Float[Tensor, "B K"]
Loss = Callable[[Logps, Logps, Float[Tensor, "B K"]], Float[Tensor, ""]]
"""A function of log-probabilities of drawn arms under policy and reference, and of their rewards."""


def best_of_n(logps: Logps, ref_logps: Logps, rewards: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Fine-tuning on the best arm of each list; nothing is pushed down."""
    return -logps.gather(1, rewards.argmax(1, keepdim=True)).mean()


def contrast(logps: Logps, ref_logps: Logps, rewards: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """DPO on the best against the worst arm of each list, with beta 0.1."""
    best, worst = rewards.argmax(1, keepdim=True), rewards.argmin(1, keepdim=True)
    ratios = logps - ref_logps
    return dpo(ratios.gather(1, best)[:, 0], ratios.gather(1, worst)[:, 0], beta=0.1).mean()


def policy_gradient(logps: Logps, ref_logps: Logps, rewards: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """REINFORCE with the mean reward of the list as its baseline."""
    return -((rewards - rewards.mean(1, keepdim=True)) * logps).mean()


METHODS: Mapping[str, tuple[Loss, Of]] = {
    "best of n, samples of the reference": (best_of_n, "reference"),
    "best of n, own samples": (best_of_n, "policy"),
    "DPO, samples of the reference": (contrast, "reference"),
    "DPO, own samples": (contrast, "policy"),
    "policy gradient, own samples": (policy_gradient, "policy"),
}
COLOURS = (PALE, MARK, REJECTED, CHOSEN, OTHER)


@dataclass(frozen=True)
class Course:
    """The course of a training: the mean reward before each step and at the end, and the policy that it ends with."""

    rewards: Float[Tensor, "T"]
    probabilities: Float[Tensor, "A"]

    @property
    def kl(self) -> float:
        """The divergence from the reference, in nats."""
        logps = self.probabilities.clamp_min(1e-300).log()
        return float((self.probabilities * (logps - reference())).sum())

    @property
    def reached(self) -> int | None:
        """The first step before which the mean reward is within five arms of the largest; None where there is none."""
        near = (self.rewards >= -5 * SLOPE).nonzero()
        return int(near[0]) if len(near) else None

    @property
    def at_peak(self) -> float:
        """The probability of arms within five of the peak."""
        return float(self.probabilities[(places() - PEAK).abs() <= 5].sum())


def on_policy(*, steps: int = 300, lr: float = 0.05, seed: int = 0) -> Analysis:
    """Train each method on as many samples, and once more with each batch used eight times; show where it gets to."""
    courses = {name: train(loss, of, steps=steps, lr=lr, seed=seed) for name, (loss, of) in METHODS.items()}
    again = train(contrast, "policy", steps=steps, lr=lr, seed=seed, reuse=8)
    named = {**courses, "DPO, own samples, each batch 8 times": again}
    lines = [("", "reward / probability near the peak / KL, nats / steps to within 5 arms")]
    lines += [(name, _line(one)) for name, one in named.items()]
    figure, (where, reward) = panels()
    where.plot(reference().exp().tolist(), color="black", lw=1, ls=":", label="reference")
    where.axvline(PEAK, color="grey", lw=0.6)
    for (name, one), colour in zip(courses.items(), COLOURS, strict=True):
        where.plot(one.probabilities.tolist(), color=colour, lw=2, label=name)
        reward.plot(one.rewards.tolist(), color=colour, lw=2, label=name)
    where.set(xlabel="arm", ylabel="probability")
    reward.set(xlabel="step", ylabel="mean reward")
    reward.legend(frameon=False, fontsize=9, loc="center right")
    return Analysis("bandit: what samples and negative gradients are worth", lines, figure)


def _line(course: Course) -> str:
    """What a training came to, in words."""
    reached = "never" if course.reached is None else str(course.reached)
    return f"{course.rewards[-1]:.3f} / {course.at_peak:.3f} / {course.kl:.2f} / {reached}"


def train(loss: Loss, of: Of, *, steps: int, lr: float, seed: int, reuse: int = 1) -> Course:
    """Train on `steps` batches, drawn from the policy as it is or from the reference, with `reuse` updates on each.

    Samples of the reference are drawn once for each step, so that all see as many.
    """
    noise = torch.Generator().manual_seed(seed)
    features, ref_A, rewards_A = _features(), reference(), reward()
    weights = torch.zeros(features.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=lr)

    def policy() -> Float[Tensor, "A"]:
        return (ref_A + features @ weights).log_softmax(0)

    history = []
    for _ in range(steps):
        with torch.no_grad():
            logps_A = policy()
            history.append((logps_A.exp() * rewards_A).sum())
        arms = _drawn(logps_A if of == "policy" else ref_A, noise)
        for _ in range(reuse):
            optimizer.zero_grad()
            loss(policy()[arms], ref_A[arms], rewards_A[arms]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        probabilities = policy().exp()
    return Course(torch.stack([*history, (probabilities * rewards_A).sum()]), probabilities)


def places() -> Float[Tensor, "A"]:
    """The places of the arms."""
    return torch.arange(ARMS, dtype=torch.float64)


def reference() -> Float[Tensor, "A"]:
    """The log-probabilities of the reference."""
    return (-0.5 * ((places() - START) / SPREAD) ** 2).log_softmax(0)


def reward() -> Float[Tensor, "A"]:
    """The reward of each arm: 0 at the peak, and less with every arm that is farther away."""
    return -SLOPE * (places() - PEAK).abs()


def _features() -> Float[Tensor, "A F"]:
    """Bumps along the line, each over its neighbours too."""
    centres = torch.arange(0, ARMS, WIDTH / 2, dtype=torch.float64)
    return torch.exp(-0.5 * ((places()[:, None] - centres) / WIDTH) ** 2)


def _drawn(logps: Float[Tensor, "A"], noise: torch.Generator) -> Int[Tensor, "B K"]:
    return torch.multinomial(logps.exp(), LISTS * SAMPLES, replacement=True, generator=noise).view(
        LISTS, SAMPLES
    )
