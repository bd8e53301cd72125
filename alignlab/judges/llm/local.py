"""A language model in this process, of a folder or of the run itself, that answers a judge's questions."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from alignlab.errors import ConfigError
from alignlab.judges.llm.asking import Question
from alignlab.judges.llm.backend import Chosen, Unanswered, chosen
from alignlab.judges.scoring_model import ScoringModel
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.scored import token_logps
from alignlab.sampling.settings import Sampling


class LocalModel:
    """Answers by one read of each question (labels), or by greedy decoding (texts)."""

    def __init__(self, model: ScoringModel, *, max_tokens: int) -> None:
        self.model, self.max_tokens = model, max_tokens

    @property
    def identity(self) -> str:
        """The hashes of the model."""
        return self.model.identity

    def choose(self, questions: Sequence[Question]) -> list[Chosen | Unanswered]:
        """Return how probable each label is as the first token of an answer, in any spelling with a space before it.

        Raises ConfigError for a model to which a label is no single token.
        """
        prompts = self._prompts(questions)
        fit = [place for place, prompt in enumerate(prompts) if isinstance(prompt, Prompt)]
        reads = [_read(prompts[place], self._tokens(questions[place].labels)) for place in fit]  # type: ignore[arg-type]
        answers: list[Chosen | Unanswered] = [
            prompt if isinstance(prompt, Unanswered) else Unanswered("") for prompt in prompts
        ]
        for place, logps in zip(fit, token_logps(self.model.policy.policy.model, reads), strict=True):
            spellings = self._tokens(questions[place].labels)
            values = iter(np.exp([float(one[0]) for one in logps]))
            answers[place] = chosen([float(sum(next(values) for _ in tokens)) for tokens in spellings])
        return answers

    def write(self, questions: Sequence[Question]) -> list[str | Unanswered]:
        """Return the greedy answers."""
        prompts = self._prompts(questions)
        fit = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
        how = Sampling(decoder="greedy", max_new_tokens=self.max_tokens)
        loaded = self.model.policy
        sampler = InProcess(loaded.policy.model, sorted(loaded.encoder.stops), rows=8)
        texts = iter(
            str(loaded.tokenizer.decode(rollout.responses[0], skip_special_tokens=True))
            for rollout in sampler.draw(fit, 1, how)
        )
        return [prompt if isinstance(prompt, Unanswered) else next(texts) for prompt in prompts]

    def _prompts(self, questions: Sequence[Question]) -> list[Prompt | Unanswered]:
        config = self.model.policy.policy.model.config.get_text_config()
        most = getattr(config, "max_position_embeddings", None)
        encoder, prompts = self.model.policy.encoder, list[Prompt | Unanswered]()
        for number, question in enumerate(questions):
            ids = encoder.prompt_ids([{"role": "user", "content": question.text}])
            longest = len(ids) + (1 if question.labels else self.max_tokens)
            if most and longest > most:
                prompts.append(Unanswered(f"longer than the context of the judge ({most} tokens)"))
            else:
                prompts.append(Prompt(str(number), ids))
        return prompts

    def _tokens(self, labels: Sequence[str]) -> list[list[int]]:
        """The tokens that stand for each label."""
        for label in labels:
            if not self.spellings(label):
                raise ConfigError(
                    f"judge.verdict=labels: '{label}' is no single token of this model, so that its probability "
                    "cannot be read: judge.verdict=text reads written answers"
                )
        return [self.spellings(label) for label in labels]

    def spellings(self, label: str) -> list[int]:
        """Return the tokens that are a label alone, or with a space before it; none, where it is no single token."""
        if label not in self._spellings:
            encode = self.model.policy.tokenizer
            ways = [encode(text, add_special_tokens=False)["input_ids"] for text in (label, f" {label}")]
            single = {ids[0] for ids in ways if len(ids) == 1 and self._reads(ids[0], label)}
            self._spellings[label] = sorted(single)
        return self._spellings[label]

    @cached_property
    def _spellings(self) -> dict[str, list[int]]:
        return {}

    def _reads(self, token: int, label: str) -> bool:
        """Whether a token is the label, and no unknown one that stands for any text."""
        return str(self.model.policy.tokenizer.decode([token])).strip() == label


def _read(prompt: Prompt, spellings: Sequence[Sequence[int]]) -> Rollout:
    """The prompt with every spelling of every label as a response of one token."""
    tokens = tuple(np.array([token]) for of_label in spellings for token in of_label)
    count = len(tokens)
    return Rollout(
        prompt.id, np.asarray(prompt.ids), tokens, (np.zeros(1, np.float32),) * count, (True,) * count, 0, ""
    )
