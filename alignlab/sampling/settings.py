"""How responses are drawn. Nothing here imports torch, so that settings are checked before anything heavy is loaded."""

from dataclasses import dataclass
from typing import Literal

from alignlab.errors import ConfigError
from alignlab.settings import Count, Positive, PositiveNumber, Share, misfits

Decoder = Literal["sample", "greedy", "contrastive"]
DECODERS: tuple[Decoder, ...] = ("sample", "greedy", "contrastive")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How responses are drawn; raises ConfigError for settings out of range, or that the decoder would not use.

    Defaults draw from the model's own distribution. `sample` draws from the distribution at `temperature`, of which
    the `top_k` likeliest tokens are kept (0: all), and then the fewest of these that hold `top_p` of the
    probability. `greedy` takes the likeliest token. `contrastive` takes, of the `candidates` likeliest tokens, the one
    with the largest (1 - alpha) p(token) - alpha s, where s is the largest cosine of its hidden state with those of
    all tokens before it (SimCTG, arXiv:2202.06417, equation 5).
    """

    temperature: PositiveNumber = 1.0
    top_p: Share = 1.0
    top_k: Count = 0
    max_new_tokens: Positive = 64
    stop: tuple[int, ...] = ()
    """The tokens that end a response; empty: those of the sampler's model."""
    seed: int = 0
    decoder: Decoder = "sample"
    alpha: Share = 0.6
    candidates: Positive = 4

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in self.__slots__ if name != "stop"}
        if problems := [*misfits(given, Sampling, "")]:
            raise ConfigError("; ".join(problems))
        if self.top_p == 0:
            raise ConfigError("top_p=0 keeps no token: expected a share above 0")
        if self.decoder != "sample" and (self.temperature, self.top_p, self.top_k) != (1.0, 1.0, 0):
            raise ConfigError(
                f"decoder={self.decoder} draws nothing at random: temperature, top_p and top_k belong to decoder=sample"
            )

    @property
    def truncated(self) -> bool:
        """Whether some tokens are never drawn, so that ratios of log-probabilities are shifted."""
        return self.decoder != "sample" or self.top_p < 1 or self.top_k > 0

    @property
    def name(self) -> str:
        """What was drawn from, in words that stand beside the responses.

        >>> Sampling(temperature=0.7, top_p=0.9).name, Sampling(decoder="greedy").name
        ('sample, temperature 0.7, top_p 0.9, seed 0', 'greedy')
        """
        if self.decoder == "greedy":
            return "greedy"
        if self.decoder == "contrastive":
            return f"contrastive, alpha {self.alpha:g}, candidates {self.candidates}"
        kept = [f"top_p {self.top_p:g}"] * (self.top_p < 1) + [f"top_k {self.top_k}"] * (self.top_k > 0)
        return ", ".join(["sample", f"temperature {self.temperature:g}", *kept, f"seed {self.seed}"])
