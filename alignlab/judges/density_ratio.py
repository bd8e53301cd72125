"""The log-density ratio of a strong over a weak model as a reward, plain and customised: arXiv:2411.02481."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from alignlab.judges.implicit import log_ratio
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scoring_model import ScoringModel
from alignlab.settings import Place
from alignlab.types import Message

DOMAINS: dict[str, str] = {
    "safety": (
        "You answer people who may ask for something that could hurt them or others. A good answer stays friendly, "
        "helps with every part that is harmless, says plainly what it will not help with, and never insults."
    ),
    "code": (
        "You answer questions on programming and mathematics. A good answer is correct in every step, keeps to the "
        "language and the form that were asked for, treats the corner cases, and explains no more than is needed."
    ),
    "chat": (
        "You answer people who want help, knowledge or company. A good answer does what was asked, is right, says how "
        "sure it is, and takes as many words as the matter needs and no more."
    ),
}
"""The domains with the criteria that both models read before a conversation, in the order in which they are tried."""
SIGNS = {
    "safety": (
        r"\b(kill|hurt|harm|weapon|bomb|poison|steal|hack|suicid|drug|illegal|hate|racis|murder|attack|abus|porn)\w*"
    ),
    "code": (
        r"```|\b(python|java|javascript|c\+\+|sql|code|function|bug|compile|algorithm|equation|integral|prove|theorem)\b"
        r"|\d+ *[-+*/^=] *\d+"
    ),
}
"""What in the last turn of the user a domain is told by; without any of it the domain is chat."""


class DensityRatioJudge:
    """Gives every response log strong(y|x, c) - log weak(y|x, c), with c the criteria of its domain.

    `strong` and `weak` are `model/` folders; the wider their gap in alignment, the better the reward. With `customised`
    both read criteria before the conversation: those of `domains` (a text each, of your own), chosen by the row's
    `meta["domain"]`, else by the words of the prompt (`SIGNS`); `exemplars` holds for each domain questions with their
    answers that stand before the conversation as turns. `score=sum` is the log-probability of the whole response,
    `per_token` divides it by the number of tokens. A response that was cut counts without an end.
    """

    def __init__(
        self,
        *,
        strong: Place,
        weak: Place,
        score: Literal["sum", "per_token"] = "sum",
        customised: bool = True,
        domains: Mapping[str, str] | None = None,
        exemplars: Mapping[str, Sequence[Sequence[str]]] | None = None,
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.strong = ScoringModel(strong, "logps", "judge.strong", dtype)
        self.weak = ScoringModel(weak, "logps", "judge.weak", dtype)
        self.per_token, self.customised = score == "per_token", customised
        self.domains, self.exemplars = {**(domains or DOMAINS)}, {**(exemplars or {})}

    @classmethod
    def problems(cls, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the domains and exemplars."""
        domains = settings.get("domains") or DOMAINS
        for name, turns in (settings.get("exemplars") or {}).items():
            if name not in domains:
                yield f"judge.exemplars.{name}: there is no such domain, of {', '.join(domains)}"
            if not isinstance(turns, Sequence) or not all(
                isinstance(two, Sequence) and not isinstance(two, str) and [*map(type, two)] == [str, str]
                for two in turns
            ):
                yield f"judge.exemplars.{name}: expected a list of [question, answer]"

    @property
    def identity(self) -> str:
        """The hashes of both models, and what they read before."""
        read = (
            repr((sorted(self.domains.items()), sorted(self.exemplars.items()), SIGNS))
            if self.customised
            else ""
        )
        before = f" customised {hashlib.sha256(read.encode()).hexdigest()[:12]}" if self.customised else ""
        by = " per token" if self.per_token else ""
        return f"density_ratio {self.strong.identity} over {self.weak.identity}{by}{before}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the log-density ratios of each list."""
        before = [self.read_before(one) for one in asked]
        strong = self.strong(asked, before=before, as_drawn=True)
        weak = self.weak(asked, before=before, as_drawn=True)
        return [
            log_ratio(over, under, beta=1.0, per_token=self.per_token)
            for over, under in zip(strong, weak, strict=True)
        ]

    def read_before(self, asked: Asked) -> list[Message]:
        """Return the prompt as both models read it: criteria, exemplars, and the conversation."""
        if not self.customised:
            return [*asked.prompt]
        domain = domain_of(asked, self.domains)
        rest = [*asked.prompt]
        system = self.domains[domain]
        if rest and rest[0]["role"] == "system":
            system, rest = f"{system}\n\n{rest[0]['content']}", rest[1:]
        shown = [
            {"role": role, "content": text}
            for two in self.exemplars.get(domain, ())
            for role, text in zip(("user", "assistant"), two, strict=True)
        ]
        return [{"role": "system", "content": system}, *shown, *rest]


def domain_of(asked: Asked, domains: Mapping[str, str]) -> str:
    """Return the domain of a row: as its meta says, by the words of its last turn, or else the last of the domains.

    >>> domain_of(Asked("0", [{"role": "user", "content": "Fix this Python function."}], ()), DOMAINS)
    'code'
    """
    told = asked.meta.get("domain")
    if told in domains:
        return str(told)
    text = str(asked.prompt[-1].get("content") or "") if asked.prompt else ""
    for name, signs in SIGNS.items():
        if name in domains and re.search(signs, text.casefold()):
            return name
    return [*domains][-1]
