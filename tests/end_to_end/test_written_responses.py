"""Responses that a model writes train: out of conversations, without context, and judged by a density ratio."""

import json

import pytest

from alignlab.config.stage_of import stage_of
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from tests.judges.asked import save_policy
from tests.test_papers import SMALL

TURNS = ["Tell me about the fox. The owl can dig.", "The fox is red.", "No. Tell me what it eats."]
PROMPT = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(TURNS)]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return save_policy(CausalLM, tmp_path_factory.mktemp("models") / "start")


def trained(folder, start, *words):
    small = [text for text in SMALL if not text.startswith(("model.loader", "data.limit"))]
    model = ["model=local", f"model.path={start}"]
    stage = stage_of([*model, *small, f"output_dir={folder}", f"cache_dir={folder}/cache", *words])
    return run_stage(stage, RunFolder(folder / "run"))


def test_a_reply_that_displeased_and_a_negative_without_context_train(tmp_path, start):
    steps = ("wildfeedback", "context_dropout_completions")
    rows = [
        {"id": str(i), "prompt": PROMPT, "responses": ["It digs.", "No."], "labels": [1, 0]}
        for i in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    data = ["data=local", f"data.path={tmp_path}/rows.jsonl", "data.validation_fraction=null"]
    settings = [f"pipeline.{step}.{key}" for step in steps for key in (f"model={start}", "max_new_tokens=6")]
    result = trained(tmp_path, start, *data, f"pipeline=[{','.join(steps)}]", *settings)
    assert (result.status, result.steps) == ("finished", 2)
    assert result.final["val/loss"] != result.initial["val/loss"]


def test_own_responses_judged_by_a_density_ratio_are_written_and_trained_on(tmp_path, start):
    strong = save_policy(CausalLM, tmp_path / "strong", seed=1)
    judge = ["judge=density_ratio", f"judge.strong={strong}", f"judge.weak={start}", "judge.score=per_token"]
    loop = [
        "recipe=online",
        "objective=simpo",
        "pairs=max_min",
        "online.max_new_tokens=6",
        "data.lists_per_step=4",
    ]
    result = trained(tmp_path, start, "data=lab", "data.limit=24", "data.limit_validation=8", *loop, *judge)
    assert (result.status, result.steps) == ("finished", 2)
    lines = (tmp_path / "run" / "rollouts" / "step-000000.jsonl").read_text().splitlines()
    assert "density_ratio" in lines[0]
    assert sum('"id"' in line for line in lines) >= 4
