"""Answers of a model to the prompts of a data set: several a prompt, with their tokens and log-probabilities.

alignlab generate run=outputs/dpo-lab/2026-11-21_11-42-54 samples=4 out=answers.jsonl
alignlab generate model=local model.path=/my/model data=hh_rlhf data.path=/my/copy split=train out=answers.jsonl

    run=FOLDER           the trained model of a run, on the rows of the run, changed by the overrides
    samples=1            answers a prompt
    out=FILE.jsonl       a line a prompt: id, prompt, responses, finished (false: cut), their ids, token_logps (nats)
    split=validation     or train
    prompts=N            the first N prompts; all unless told otherwise
    decoder=sample       or greedy, or contrastive (the likeliest tokens that repeat least: alpha=0.6 candidates=4)
    temperature=1 top_p=1 top_k=0     the distribution that decoder=sample draws from; top_k=0 keeps all tokens
    max_new_tokens=256   the largest length of an answer
    draw_seed=0          other numbers draw other answers
    batch_size=64        so many answers are drawn together, which changes the speed alone
    generator=server generator.url=http://127.0.0.1:8000     the model of a server draws, in place of this process; the
                         model of the command gives the tokens, and has to be the same (docs/serving.md)
    trust=[PACKAGE]      packages of yours that the config of the run may name

Takes the overrides of train. Broken off, the same command goes on behind the last whole line of the file, and ends with
the same file. An answer depends on the model, its prompt and the settings, and not on what is drawn beside it.
"""

from collections.abc import Sequence
from functools import partial

from alignlab.errors import ConfigError
from alignlab.verbs import drawing
from alignlab.verbs.words import choice, output, path, read, trust, whole

KEYS = {
    "run": path(),
    "samples": whole(1),
    "out": output(),
    "split": choice("validation", ("validation", "train")),
    "prompts": whole(None),
    "batch_size": whole(None),
    "trust": trust(),
    **drawing.KEYS,
}


def run(words: Sequence[str]) -> None:
    """Draw the answers that the words ask for, and write them."""
    typed = read(words, KEYS, overrides=True)
    own, how = typed.own, drawing.sampling(typed.own)
    if own.out is None or own.out.suffix != ".jsonl":
        raise ConfigError("out= is missing: name the file to write, as out=answers.jsonl")

    from alignlab.config.stage_of import stage_to_score, trained_run
    from alignlab.console import printer, quiet
    from alignlab.sampling.in_process import InProcess
    from alignlab.sampling.rollout import Prompt
    from alignlab.sampling.written import write
    from alignlab.training.opened import one_device, open_rows

    trained = None if own.run is None else trained_run(own.run, own.trust)
    stage = stage_to_score(typed.overrides, trained)
    make = stage.make_generator
    if own.batch_size is not None:
        if make is not InProcess:
            raise ConfigError(
                "batch_size is of draws in this process, and generator=... has its own: see its settings"
            )
        make = partial(InProcess, rows=own.batch_size)
    with quiet():
        opened = open_rows(stage, one_device(stage))
    rows = getattr(opened.splits, own.split)
    count = min(len(rows), own.prompts or len(rows))
    prompts = [Prompt(rows.ids[i], rows.prompts[i].tolist()) for i in range(count)]
    sampler = make(opened.model, sorted(opened.encoder.stops))
    begun = write(own.out, sampler, prompts, own.samples, how, opened.tokenizer)
    went_on = f", {begun} of them drawn before" if begun else ""
    printer().print(f"written: {own.out} ({count} prompts{went_on})", soft_wrap=True)
