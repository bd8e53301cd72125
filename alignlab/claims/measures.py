"""Statistics of a finished run that are no final metric of it: small named functions of its folder.

Each is called in the process of the run, before its folder goes; what it gives stands beside the final metrics.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from alignlab.analysis.examined import examine, scored
from alignlab.analysis.samples import points
from alignlab.config.stage_of import run_config, stage_of_run, stage_to_score
from alignlab.console import quiet
from alignlab.data.transforms.reward_augmented import stated
from alignlab.launch.finished_run import evaluated, start_of
from alignlab.metrics.lengths import rank_correlation
from alignlab.metrics.ranking import flips, idealized_wins
from alignlab.policies.causal_lm.pretrained import load
from alignlab.runs.extrapolation import extrapolate
from alignlab.runs.folder import RunFolder
from alignlab.training.gold import measure
from alignlab.training.opened import first_prompts, open_rows
from alignlab.types import Message

ALPHAS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Of ExPO; the trained model itself is 0."""
Measure = Callable[[RunFolder], Mapping[str, float]]


def reference_reward(run: RunFolder) -> dict[str, float]:
    """Gold reward of what the last stage was held against: the stage before it, or the start of a plain run."""
    summary = run.read_json("summary.json")
    stages = summary.get("stages") or []
    before = stages[-2]["final"] if len(stages) > 1 else summary["initial"]
    return {"reference/gold": before["gold/reward"]}


@quiet()
def goal_sweep(run: RunFolder) -> dict[str, float]:
    """Gold reward of answers that are asked for each score of the scale, and its rank correlation with the score.

    Nothing of a run that was not trained on scores.
    """
    step = run_config(run)["pipeline"].get("reward_augmented")
    if step is None:
        return {}
    stage = stage_of_run(run)
    assert stage.gold is not None
    opened, model = open_rows(stage), load(path=str(run.model))[0]
    asked = first_prompts(opened.splits.validation, stage.gold.prompts)
    low, high = (int(end) for end in step["scale"])
    found = {}
    for goal in range(low, high + 1):
        text = stated(step["template"], float(goal), (float(low), float(high)))
        report = measure(stage.gold, model, None, opened.encoder, [_goal(one, text) for one in asked])
        found[goal] = report.metrics["reward"]
    told = {f"goal/{goal}": reward for goal, reward in found.items()}
    goals, rewards = (torch.tensor([*side], dtype=torch.float64) for side in (found, found.values()))
    return told | {"goal/correlation": rank_correlation(goals, rewards)}


def _goal(prompt: list[Message], text: str) -> list[Message]:
    return [{**turn, "content": text} if turn["role"] == "system" else turn for turn in prompt]


@quiet()
def expo_curve(run: RunFolder) -> dict[str, float]:
    """Gold reward of the models beyond the trained one, by alpha (arXiv:2404.16792)."""
    found = {"expo/0": run.read_json("summary.json")["final"]["gold/reward"]}
    with tempfile.TemporaryDirectory() as scratch:
        start = start_of(run, Path(scratch) / "start")
        for alpha in ALPHAS:
            made = Path(scratch) / f"alpha-{alpha:g}"
            extrapolate(start, run.model, made, alpha)
            found[f"expo/{alpha:g}"] = evaluated(run, made)["gold/reward"]
    return found


def reward_path(run: RunFolder) -> dict[str, float]:
    """Gold reward over the checkpoints kept: its peak, the KL at which that is, and the fall from there to the end."""
    path = [(point.metrics["reward"], point.metrics["kl"]) for point in points(stage_of_run(run), run)]
    peak, kl = max(path)
    told = {f"path/{place}": reward for place, (reward, _) in enumerate(path)}
    return told | {"peak/reward": peak, "peak/kl": kl, "peak/fall": peak - path[-1][0]}


def ranking(run: RunFolder) -> dict[str, float]:
    """Ranking accuracy that the optimum would have (arXiv:2405.19534), and the share of wrong pairs that were mended.

    The optimum is that of the objective's own beta, with raters that agree.
    """
    rows = scored(examine(stage_to_score([f"run={run.path}", "reference=precomputed"])))
    assert rows.ref_logps is not None
    before, after = (rows.gaps(values, every=True) for values in (rows.ref_logps, rows.logps))
    beta = float(run_config(run)["objective"]["loss"]["beta"])
    mended, _ = flips(before, after)
    wrong = (before < 0).double().sum().clamp(min=1)
    return {
        "ranking/idealized": idealized_wins(before, torch.ones_like(before), beta=beta).mean().item(),
        "ranking/mended": (mended.double().sum() / wrong).item(),
    }


MEASURES: Mapping[str, Measure] = {
    one.__name__: one for one in (reference_reward, goal_sweep, expo_curve, reward_path, ranking)
}


def measured(run: RunFolder, names: tuple[str, ...]) -> dict[str, float]:
    """Final metrics, those of the start as `initial/...`, and what these measures give."""
    summary = run.read_json("summary.json")
    found = {**summary["final"], **{f"initial/{name}": value for name, value in summary["initial"].items()}}
    for name in names:
        found |= MEASURES[name](run)
    return found
