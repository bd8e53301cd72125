"""Statistics of a finished run that are no final metric of it: small named functions of its folder.

Each is called in the process of the run, before its folder goes; what it gives stands beside the final metrics.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from alignlab.analysis.examined import examine, scored
from alignlab.analysis.samples import points
from alignlab.config.stage_of import run_config, stage_of_run, stage_to_score
from alignlab.console import quiet
from alignlab.data.transforms.reward_augmented import stated
from alignlab.launch.finished_run import evaluated, start_of
from alignlab.metrics.lengths import rank_correlation
from alignlab.metrics.ranking import flips, idealized_wins
from alignlab.online.written import Rollouts
from alignlab.policies.causal_lm.pretrained import load
from alignlab.runs.extrapolation import extrapolate
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import read_run
from alignlab.training.gold import measure
from alignlab.training.opened import first_prompts, open_rows
from alignlab.types import Message

ALPHAS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Steps of ExPO beyond the trained model, which itself is 0."""
Measure = Callable[[RunFolder], Mapping[str, float]]


def reference_reward(run: RunFolder) -> dict[str, float]:
    """The gold reward of what the last stage was held against: the stage before it, or the start of a plain run."""
    record = read_run(run.path)
    stages = record.summary.get("stages") or []
    before = stages[-2]["final"] if len(stages) > 1 else record.initial
    return {"reference/gold": before["gold/reward"]}


@quiet()
def goal_sweep(run: RunFolder) -> dict[str, float]:
    """The gold reward of answers that are asked for each score of the scale, and its rank correlation with the score.

    A run that was not trained on scores has none of these.
    """
    step = run_config(run)["pipeline"].get("reward_augmented")
    if step is None:
        return {}
    stage = stage_of_run(run)
    assert stage.gold is not None
    opened, model = open_rows(stage), load(path=str(run.model))[0]
    asked = first_prompts(opened.splits.validation, stage.gold.prompts)
    low, high = (int(end) for end in step["scale"])
    rewards = {}
    for goal in range(low, high + 1):
        text = stated(step["template"], float(goal), (float(low), float(high)))
        report = measure(stage.gold, model, None, opened.encoder, [_goal(one, text) for one in asked])
        rewards[goal] = report.metrics["reward"]
    goals, answers = (torch.tensor([*side], dtype=torch.float64) for side in (rewards, rewards.values()))
    by_goal = {f"goal/{goal}": reward for goal, reward in rewards.items()}
    return by_goal | {"goal/correlation": rank_correlation(goals, answers)}


def _goal(prompt: list[Message], text: str) -> list[Message]:
    return [{**turn, "content": text} if turn["role"] == "system" else turn for turn in prompt]


@quiet()
def expo_curve(run: RunFolder) -> dict[str, float]:
    """The gold reward of the models beyond the trained one, by alpha (ExPO, arXiv:2404.16792)."""
    rewards = {"expo/0": read_run(run.path).final["gold/reward"]}
    with tempfile.TemporaryDirectory() as scratch:
        start = start_of(run, Path(scratch) / "start")
        for alpha in ALPHAS:
            model = Path(scratch) / f"alpha-{alpha:g}"
            extrapolate(start, run.model, model, alpha)
            rewards[f"expo/{alpha:g}"] = evaluated(run, model)["gold/reward"]
    return rewards


def reward_path(run: RunFolder) -> dict[str, float]:
    """The gold reward at each checkpoint kept, its peak, the KL there (nats), and the fall from it to the end."""
    path = [(point.metrics["reward"], point.metrics["kl"]) for point in points(stage_of_run(run), run)]
    peak, kl = max(path)
    rewards = {f"path/{place}": reward for place, (reward, _) in enumerate(path)}
    return rewards | {"peak/reward": peak, "peak/kl": kl, "peak/fall": peak - path[-1][0]}


def ranking(run: RunFolder) -> dict[str, float]:
    """The ranking accuracy of the optimum (arXiv:2405.19534), and the share of wrong pairs that training mended.

    The optimum is that of the objective's own beta, with raters that agree.
    """
    rows = scored(examine(stage_to_score(["reference=precomputed"], run)))
    assert rows.logps is not None
    assert rows.ref_logps is not None
    before, after = (rows.gaps(values, every=True) for values in (rows.ref_logps, rows.logps))
    beta = float(run_config(run)["objective"]["loss"]["beta"])
    mended, _ = flips(before, after)
    wrong = (before < 0).double().sum().clamp(min=1)
    return {
        "ranking/idealized": idealized_wins(before, torch.ones_like(before), beta=beta).mean().item(),
        "ranking/mended": (mended.double().sum() / wrong).item(),
    }


def one_sided_winners(run: RunFolder) -> dict[str, float]:
    """The share of the lists drawn first whose best response is poor by one of the rewards that are combined.

    Poor is below the median of the list; of equals the first is the best. A run without such lists has none of these.
    """
    poor = []
    for one in Rollouts(run.path).past(0).lists:
        if one.judged.rewards is None or not one.judged.aspects:
            continue
        best = np.nanargmax(np.array(one.judged.rewards, float))
        parts = np.array([*one.judged.aspects.values()], float)
        poor.append(bool((parts[:, best] < np.nanmedian(parts, axis=1)).any()))
    return {"winners/one_sided": fmean(poor)} if poor else {}


MEASURES: Mapping[str, Measure] = {
    one.__name__: one
    for one in (reference_reward, goal_sweep, expo_curve, reward_path, ranking, one_sided_winners)
}


def measured(run: RunFolder, names: tuple[str, ...]) -> dict[str, float]:
    """The final metrics of a run, those of its start as `initial/...`, and what the measures of these names give."""
    record = read_run(run.path)
    metrics = {**record.final, **{f"initial/{name}": value for name, value in record.initial.items()}}
    for name in names:
        metrics |= MEASURES[name](run)
    return metrics
