"""Samples of the policies of a run: its start, its checkpoints, what it came to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from alignlab.analysis.displacement import Evidence
from alignlab.analysis.examined import Examined
from alignlab.analysis.frontier import Point
from alignlab.analysis.scored import Scored
from alignlab.console import quiet, tracked
from alignlab.data.spec import SPLITS
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.evaluation.gold import evaluate
from alignlab.metrics.displacement import Mass
from alignlab.metrics.refusals import refuses
from alignlab.passes.token_mass import mass
from alignlab.policies.causal_lm.model import language_model
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.policy import Policy
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.training.checkpointing.checkpoints import step_of
from alignlab.training.checkpointing.tensor_file import read
from alignlab.training.gold import against, measure
from alignlab.training.opened import first_prompts, one_device, open_rows
from alignlab.training.spec import Stage
from alignlab.uncertainty import Estimate, share


@quiet()
def points(stage: Stage, run: RunFolder, *, split: str = "validation") -> list[Point]:
    """Metrics of samples of a run's start, of each checkpoint that it kept, and of its model, in the order of steps.

    `stage` is that of the run as it began; its reward scores the samples.

    Raises ConfigError where it has none.
    """
    one_of("split", split, SPLITS)
    if stage.gold is None:
        raise ConfigError(
            "frontier needs a reward of samples: pass evaluation=gold, and for data other than the lab's "
            "evaluation.reward=<module.function> of (prompt, response), whose result has a field reward"
        )
    opened = open_rows(stage, one_device(stage))
    prompts = first_prompts(getattr(opened.splits, split), stage.gold.prompts)
    base, path = None, []
    for name, step, load_model in _policies(run, stage):
        model = load_model().to(opened.place.device)
        report = measure(stage.gold, model, opened.model, opened.encoder, prompts)
        base = base or report
        path.append(Point(name, step, against(report, base)))
    return path


def _policies(run: RunFolder, stage: Stage) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """(name, step, loader of the model) from the first to the last."""
    yield "start", 0, lambda: stage.load_model()[0]
    steps = Record(run.path).steps
    kept = {step_of(file): file for file in run.checkpoints.glob("step-*.ckpt")}
    for step in sorted(kept.keys() - {0, steps}):
        yield f"step {step}", step, lambda step=step: _restored(stage.load_model()[0], kept[step])  # type: ignore[misc]
    yield f"step {steps}, the end", steps, lambda: load(path=str(run.model))[0]


def _restored(model: Any, file: Path) -> Any:
    """The model with the weights of a checkpoint, whose names have the path to it in front."""
    state = read(file)["state_dict"]
    own = list(model.state_dict())
    paths = {name.removesuffix(own[0]) for name in state if name.endswith(f".{own[0]}")}
    paths |= {name.removesuffix(last) for last in own for name in state if name.endswith(f".{last}")}
    if not paths:
        raise RunError(f"{file}: it holds no weights of this model")
    path = min(paths, key=len)
    model.load_state_dict({name: state[path + name] for name in own if path + name in state}, strict=False)
    return model


@quiet()
def evidence(examined: Examined, rows: Scored, *, samples: int) -> Evidence:
    """What an analysis of displacement takes: probabilities at chosen responses, and who refuses.

    `samples` prompts are answered by reference and policy; 0 draws none. Raises ConfigError without a reference.
    """
    if examined.reference is None:
        raise ConfigError(
            "displacement needs a reference: pass run=<a run folder> (reference=precomputed for a run without one)"
        )
    tokenizer = examined.opened.tokenizer
    return Evidence(
        _mass(examined, examined.reference, "reference"),
        _mass(examined, examined.opened.policy, "policy"),
        lambda token: str(tokenizer.decode([token])),
        _refusals(examined, rows, samples),
    )


def _mass(examined: Examined, policy: Policy, what: str) -> Mass:
    """What a policy holds likely where the chosen responses of the rows stand."""
    rows, budget = examined.rows, examined.opened.stage.data.microbatch_tokens
    with tracked(f"probabilities of the {what}", len(rows)) as advance:
        return mass(language_model(policy, "displacement"), rows, budget=budget, track=advance)


def _refusals(examined: Examined, rows: Scored, samples: int) -> dict[str, Estimate]:
    """The share that refuses, of the data's chosen and rejected responses, and of samples before and after."""
    opened = examined.opened
    refusing = torch.zeros_like(rows.labels)
    for row, place in zip(refusing, examined.rows.places, strict=True):
        responses = examined.rows.examples[int(place)].responses
        row[: len(responses)] = torch.tensor([float(refuses(_text(response))) for response in responses])
    shares = {
        f"{side} of the data": _share(rows.sides.take(refusing, side)) for side in ("chosen", "rejected")
    }
    prompts = first_prompts(examined.rows, samples)
    models = {"samples before": examined.reference, "samples after": opened.policy}
    for name, policy in models.items() if prompts else ():
        assert policy is not None
        report = evaluate(
            policy.model, None, opened.tokenizer, prompts, reward=_refusal, seed=opened.stage.seed
        )
        shares[name] = _share(torch.tensor([sample.reward for sample in report.samples]))
    return shares


def _refusal(_: str, response: str) -> float:
    return float(refuses(response))


def _share(values: torch.Tensor) -> Estimate:
    return share(values.tolist(), [1.0] * len(values))


def _text(response: Any) -> str:
    return response if isinstance(response, str) else str(response[-1]["content"])
