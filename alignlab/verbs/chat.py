"""A conversation with a model in the terminal.

alignlab chat run=outputs/dpo-lab/2026-11-21_11-42-54
alignlab chat model=local model.path=/my/model system="You are a pirate." temperature=0.7

    run=FOLDER           the trained model of a run; else that of the overrides of train
    system=TEXT          what the conversation begins with
    decoder=sample       or greedy, or contrastive (the likeliest tokens that repeat least: alpha=0.6 candidates=4)
    temperature=1 top_p=1 top_k=0     the distribution that decoder=sample draws from; top_k=0 keeps all tokens
    max_new_tokens=256   the largest length of an answer
    draw_seed=0          other numbers draw other answers
    trust=[PACKAGE]      packages of yours that the config of the run may name

A line is a turn; /reset begins anew, /exit (or the end of the input) ends. The model sees all turns of the
conversation, written by its chat template.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from alignlab.errors import ConfigError
from alignlab.verbs import drawing
from alignlab.verbs.words import path, read, text, trust

if TYPE_CHECKING:
    from alignlab.sampling.settings import Sampling

KEYS = {"run": path(), "system": text(), "trust": trust(), **drawing.KEYS}
CUT = " [...]"
"""What stands behind an answer that was cut."""


def run(words: Sequence[str]) -> None:
    """Load the model, and answer what is typed."""
    typed = read(words, KEYS, overrides=True)
    how = drawing.sampling(typed.own)

    from alignlab.config.stage_of import stage_to_score, trained_run
    from alignlab.console import quiet
    from alignlab.training.opened import one_device

    trained = None if typed.own.run is None else trained_run(typed.own.run, typed.own.trust)
    stage = stage_to_score(typed.overrides, trained)
    with quiet():
        model, tokenizer = stage.load_model()
    begun = [{"role": "system", "content": typed.own.system}] if typed.own.system else []
    converse(model.to(one_device(stage).device), tokenizer, how, begun, sys.stdin, sys.stdout)


def converse(
    model: Any,
    tokenizer: Any,
    how: "Sampling",
    begun: list[dict[str, Any]],
    lines: Iterable[str],
    out: Any,
) -> None:
    """Answer line by line; `begun` are the turns that a conversation begins with."""
    from alignlab.data.encoding.tokenize import Encoder
    from alignlab.policies.causal_lm.chat_format import stop_ids
    from alignlab.sampling.in_process import InProcess
    from alignlab.sampling.rollout import Prompt

    def say(words: str, end: str = "\n") -> None:
        print(words, end=end, file=out, flush=True)

    encoder = Encoder(tokenizer, stop_ids(model))
    sampler, turns = InProcess(model, sorted(encoder.stops)), [*begun]
    marker = "> " if out.isatty() else ""
    say(marker, end="")
    for line in lines:
        word = line.strip()
        if word == "/exit":
            break
        if word == "/reset":
            turns = [*begun]
        elif word:
            asked = [*turns, {"role": "user", "content": word}]
            try:
                (rollout,) = sampler.draw([Prompt(str(len(turns)), encoder.prompt_ids(asked))], 1, how)
            except ConfigError as error:
                say(f"{error} (/reset begins anew)")
            else:
                answer = str(tokenizer.decode(rollout.responses[0], skip_special_tokens=True)).strip()
                say(answer + ("" if rollout.finished[0] else CUT))
                turns = [*asked, {"role": "assistant", "content": answer}]
        say(marker, end="")
