"""The optimizer steps of a stage that draws its lists from its own policy."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from alignlab import ranks
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import ConfigError
from alignlab.judges.active import ActiveJudge
from alignlab.judges.gold import Gold
from alignlab.judges.judge import Asked, Bound, Judge, Judged, Learner
from alignlab.objective.objective import Objective
from alignlab.online.against import Against
from alignlab.online.labels import Labelling, Samples
from alignlab.online.of_reference import DrawOne
from alignlab.online.settings import LabelsOf, OnlineSpec
from alignlab.online.source import Source, TellOf
from alignlab.online.steps import OnlineSteps
from alignlab.online.verdicts import verdicts
from alignlab.online.ways import Drawing
from alignlab.online.written import Rollouts
from alignlab.policies.causal_lm.adapters import switched_off
from alignlab.policies.causal_lm.without_adapter import WithoutAdapter
from alignlab.policies.load import LoadedPolicy
from alignlab.policies.policy import Policy
from alignlab.runs.folder import RunFolder
from alignlab.sampling.generator import Generator
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.training.opened import Prepared
from alignlab.training.own_signals import OWN, own_signals
from alignlab.training.references import frozen
from alignlab.training.rows import context_of, step_ends
from alignlab.training.spec import Online

log = logging.getLogger(__name__)


def drawn_steps(ready: Prepared, folder: RunFolder) -> OnlineSteps:
    """Return the steps of an opened stage, whose rollouts are kept in its folder; the policy draws in this process.

    The judge is asked once for a row of the data before anything is drawn. Raises ConfigError where it does not give
    what the objective takes.
    """
    opened, online = ready.opened, ready.opened.stage.online
    assert online is not None
    spec, judge = online.spec, _bound(online.make_judge(), ready)
    _check_judge(judge, online)

    def decode(ids: Any) -> str:
        return str(opened.tokenizer.decode(ids, skip_special_tokens=True))

    whole = opened.stage.draws_lists and online.way is None
    labelling = _labelling(online, opened.stage.objective, ready.loader.rows)
    generator = _generator(ready, spec)
    source = Source(
        ready.loader.over(ready.loader.rows, lists_per_step=1),
        generator,
        judge,
        labelling,
        decode,
        how=spec.sampling,
        samples=spec.samples,
        refills=spec.refills,
        within=opened.place.autocast,
        tell_of=_tells(ready, spec, generator) if whole else None,
        reference=_of_reference(ready, spec) if whole else None,
        at_once=max(1, generator.rows // spec.samples) if isinstance(generator, InProcess) else 0,
        gold=opened.stage.gold.reward if opened.stage.gold and not isinstance(judge, Gold) else None,
        way=(online.way, _drawing(ready, spec, generator, decode, judge)) if online.way else None,
    )
    wanted = opened.stage.objective.signals
    steps = OnlineSteps(ready.loader, source, Rollouts(folder.path), spec, wanted=wanted)
    if ranks.main():
        _tell(ready, online)
        is_new = not steps.rollouts.file(0).is_file()
        has_budget = isinstance(judge, ActiveJudge)  # which is for what is drawn
        if judge is not None and isinstance(labelling, Labelling) and is_new and not has_budget:
            _probe(ready, judge, decode, labelling)
    return steps


def _check_judge(judge: Judge | None, online: Online) -> None:
    """Raise ConfigError for a judge that learns from draws, or labels some of their lists, where that cannot be."""
    name, ahead = type(judge).__name__, online.spec.ahead
    if ahead and isinstance(judge, Learner):
        raise ConfigError(
            f"online.ahead={ahead} draws lists before this judge has learned from those before them: leave it out "
            f"beside a judge that learns ({name})"
        )
    if online.way and isinstance(judge, Learner | ActiveJudge):
        raise ConfigError(
            f"judge: {name} chooses among the whole lists of a step which to ask about, and draw=... asks it of parts, "
            "many times a step: use another judge, or choose no draw=..."
        )


def _bound(judge: Judge | None, ready: Prepared) -> Judge | None:
    """Return a judge that reads models of the run with these models; all ranks must call this."""
    if not isinstance(judge, Bound):
        return judge
    opened, first = ready.opened, ready.references[0]
    stage = opened.stage
    reference = None
    if "initial" in judge.wants:
        reference = frozen(stage, stage.load_initial or stage.load_model, opened.place, opened.tokenizer)
    elif "reference" in judge.wants:
        whole = first if isinstance(first, Policy) else None
        reference = whole or frozen(stage, stage.reference.load, opened.place, opened.tokenizer)
    judge.bind(
        LoadedPolicy(opened.policy, opened.tokenizer) if "policy" in judge.wants else None,
        None if reference is None else LoadedPolicy(reference, opened.tokenizer),
    )
    return judge


def _generator(ready: Prepared, spec: OnlineSpec) -> Generator:
    """Return what draws: from the policy, or from its reference, which is a model of its own then."""
    opened = ready.opened
    model = opened.model if spec.by == "policy" else ready.references[0].model
    return opened.stage.make_generator(model, sorted(opened.encoder.stops))


def _drawing(
    ready: Prepared, spec: OnlineSpec, generator: Generator, decode: Any, judge: Judge | None
) -> Drawing:
    """Return what a way of drawing works with."""
    opened = ready.opened
    ends = step_ends(opened.tokenizer, opened.model, opened.stage.data.step_delimiter)
    return Drawing(
        generator,
        spec.sampling,
        spec.samples,
        frozenset(opened.encoder.stops),
        frozenset(np.flatnonzero(ends).tolist()),
        decode,
        judge,
        spec.seed,
    )


def _tells(ready: Prepared, spec: OnlineSpec, generator: Generator) -> TellOf | None:
    """Return what scores drawn tokens by the policy itself; None where the sampler tells all that is asked for."""
    opened = ready.opened
    with opened.place.autocast():
        mixed = any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
    exact = opened.model.dtype in (torch.float32, torch.float64) and not mixed
    exact = exact and isinstance(generator, InProcess) and spec.by == "policy"
    signals = opened.stage.objective.signals
    same = exact and not spec.sampling.truncated and "from_reference" not in signals
    asked = OWN.keys() & signals - ({"token_old_logps"} if same else set())
    return partial(own_signals, opened.policy, {name: OWN[name] for name in sorted(asked)}) if asked else None


def _of_reference(ready: Prepared, spec: OnlineSpec) -> DrawOne | None:
    """Return what draws from the reference; None where the objective does not ask who drew a response."""
    opened, first = ready.opened, ready.references[0]
    if "from_reference" not in opened.stage.objective.signals:
        return None
    model = first.policy.model if isinstance(first, WithoutAdapter) else first.model
    generator = InProcess(model, sorted(opened.encoder.stops))

    def draw(prompts: Sequence[Prompt]) -> list[Rollout]:
        with switched_off(model) if isinstance(first, WithoutAdapter) else nullcontext():
            return generator.draw(prompts, 1, spec.sampling)

    return draw


def _labelling(online: Online, objective: Objective, rows: TokenRows) -> Labelling | Samples | Against:
    spec = online.spec
    if spec.lists == "data" or online.way:  # which gives labels of its own
        return Samples()
    if spec.lists == "against_data":
        return Against(rows)
    unit = objective.labels == "unit" or (objective.labels == "desirable" and spec.samples == 1)
    auto: LabelsOf = "logistic" if unit else "raw"
    return Labelling(
        to=auto if spec.labels == "auto" else spec.labels,
        builder=online.builder,
        built=online.built,
        unfinished=spec.unfinished,
        unfinished_reward=spec.unfinished_reward or 0.0,
        distinct=spec.distinct,
        compares=objective.data_form != "single",
        keeps_ties=objective.data_form == "single" or objective.counts_ties,
        seed=spec.seed,
    )


def _tell(ready: Prepared, online: Online) -> None:
    """Log what a run should know of its drawing before the first step."""
    spec = online.spec
    if spec.temperature != 1 and not online.way:
        log.info(
            "responses are drawn, and scored by policy and reference, at temperature %g: what is trained is the model "
            "as it is drawn from at this temperature",
            spec.temperature,
        )
    rows, context = ready.loader.rows, context_of(ready.opened.model)
    lengths = rows.prompts.lengths[ready.loader.visited()]
    if context and (cut := int(np.sum(lengths + spec.max_new_tokens > context))):
        log.warning(
            "%d of %d prompts leave less than online.max_new_tokens=%d of the model's context of %d tokens: their "
            "responses are cut there",
            cut,
            len(lengths),
            spec.max_new_tokens,
            context,
        )


def _probe(ready: Prepared, judge: Judge, decode: Any, labelling: Labelling) -> None:
    """Ask the judge for a row of the data; ConfigError where it gives none of what the run needs."""
    rows, objective = ready.loader.rows, ready.opened.stage.objective
    texts = tuple(decode(rows.responses[member]) for member in rows.members[0])
    example = rows.examples[int(rows.places[0])]
    asked = Asked(rows.ids[0], rows.messages(0), texts, (True,) * len(texts), example.meta)
    (judged,) = verdicts(judge, [asked])
    log.info("judge: %s; it gives %s for the responses of row %s", judge.identity, _said(judged), rows.ids[0])
    if judged.unsaid is not None:
        log.warning(
            "the judge could not say which response of row %s is better: %s", rows.ids[0], judged.unsaid
        )
    elif judged.rewards is None:
        if "rewards" in objective.signals:
            raise ConfigError(
                f"objective '{objective.name}' takes rewards, and {judge.identity} gives preferences alone: use one "
                "that gives rewards (judge=function, judge=reward_model)"
            )
        if labelling.unfinished in ("subtract", "replace"):
            raise ConfigError(
                f"online.unfinished={labelling.unfinished} changes rewards, and {judge.identity} gives preferences "
                "alone: use keep or drop"
            )


def _said(judged: Judged) -> str:
    if judged.rewards is None:
        return "preferences" if judged.unsaid is None else "nothing"
    return ", ".join("none" if value is None else f"{value:.3g}" for value in judged.rewards)
