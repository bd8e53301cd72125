"""Samples of the policies of a run: its start, its checkpoints, what it came to."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from alignlab.analysis.displacement import Seen
from alignlab.analysis.frontier import Point
from alignlab.analysis.scored import Scored
from alignlab.config.build import build_stage
from alignlab.config.check import check
from alignlab.console import tracked
from alignlab.data.encoding.tokenize import Encoder
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.evaluation.gold import evaluate
from alignlab.launch.inspect import quiet, rows_of
from alignlab.launch.scoring import NAMES, SPLITS, Opened, config_of
from alignlab.metrics import intervals
from alignlab.metrics.displacement import Mass
from alignlab.metrics.intervals import Estimate
from alignlab.metrics.refusals import refuses
from alignlab.passes.token_mass import mass
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.pretrained import load
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.checkpoints import step_of
from alignlab.training.checkpointing.tensor_file import read
from alignlab.training.gold import against, measure
from alignlab.training.spec import on_gpu


@quiet()
def points(run: RunFolder, overrides: Sequence[str], *, split: str = "validation") -> list[Point]:
    """The start of a run, each checkpoint that it kept, and its model: metrics of samples, scored by `evaluation`.

    Raises ConfigError where the run has no reward for samples, and the overrides name none.
    """
    one_of("split", split, SPLITS)
    config = config_of(run, overrides)
    if not config["evaluation"]["reward"]:
        raise ConfigError(
            "frontier needs a reward of samples: pass evaluation=gold, and for data other than the lab's "
            "evaluation.reward=<module.function> of (prompt, response), whose result has a field reward"
        )
    check(config)
    stage = build_stage(config, run, NAMES)
    assert stage.gold is not None
    start, tokenizer = stage.load_model()
    splits, _ = rows_of(stage, start, tokenizer)
    rows = getattr(splits, split)
    prompts = [rows.messages(i) for i in range(min(stage.gold.prompts, len(rows)))]
    device = torch.device("cuda" if on_gpu(stage.trainer.accelerator) else "cpu")
    encoder, start = Encoder(tokenizer), start.to(device)
    base, found = None, []
    for name, step, make in _policies(run, stage.load_model):
        report = measure(stage.gold, make().to(device), start, encoder, prompts)
        base = base or report
        found.append(Point(name, step, against(report, base)))
    return found


def _policies(run: RunFolder, load_start: Callable[[], Any]) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """(name, step, loader) from the first to the last."""
    yield "start", 0, lambda: load_start()[0]
    steps = int(run.read_json("summary.json")["steps"])
    kept = {step_of(file): file for file in run.checkpoints.glob("step-*.ckpt")}
    for step in sorted(kept.keys() - {0, steps}):
        yield f"step {step}", step, lambda step=step: _restored(load_start()[0], kept[step])  # type: ignore[misc]
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
def seen(given: Opened, rows: Scored, *, samples: int) -> Seen:
    """What an analysis of displacement takes: probabilities at chosen responses, and who refuses.

    `samples` prompts are answered by reference and policy; 0 draws none. Raises ConfigError without a reference.
    """
    if given.reference is None:
        raise ConfigError(
            "displacement needs a reference: pass run=<a run folder> (reference=precomputed for a run without one)"
        )
    before, after = (
        _mass(given, policy, what)
        for policy, what in ((given.reference, "reference"), (given.policy, "policy"))
    )
    return Seen(
        before, after, lambda token: str(given.tokenizer.decode([token])), _refusals(given, rows, samples)
    )


def _mass(given: Opened, policy: CausalLM, what: str) -> Mass:
    with tracked(f"probabilities of the {what}", len(given.rows)) as advance:
        return mass(policy, given.rows, budget=given.stage.data.microbatch_tokens, track=advance)


def _refusals(given: Opened, rows: Scored, samples: int) -> dict[str, Estimate]:
    """Of the data's chosen and rejected responses, and of samples before and after."""
    refusing = torch.zeros_like(rows.labels)
    for row, place in zip(refusing, given.rows.places, strict=True):
        told = [float(refuses(_text(response))) for response in given.rows.examples[int(place)].responses]
        row[: len(told)] = torch.tensor(told)
    found = {
        f"{side} of the data": _share(rows.sides.take(refusing, side)) for side in ("chosen", "rejected")
    }
    prompts = [given.rows.messages(i) for i in range(min(samples, len(given.rows)))]
    models = {"samples before": given.reference, "samples after": given.policy}
    for name, policy in models.items() if prompts else ():
        assert policy is not None
        report = evaluate(
            policy.model, None, given.tokenizer, prompts, reward=_refusal, seed=given.stage.seed
        )
        found[name] = _share(torch.tensor([sample.reward for sample in report.samples]))
    return found


def _refusal(_: str, response: str) -> float:
    return float(refuses(response))


def _share(found: torch.Tensor) -> Estimate:
    return intervals.share(found, torch.ones_like(found))


def _text(response: Any) -> str:
    return response if isinstance(response, str) else str(response[-1]["content"])
