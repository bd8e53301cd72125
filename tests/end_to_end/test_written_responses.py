"""Pairs with a response that a model wrote train: negatives without context, and replies that displeased."""

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


@pytest.mark.parametrize("step", ["context_dropout_completions", "wildfeedback"])
def test_written_responses_train(tmp_path, step):
    path = save_policy(CausalLM, tmp_path / "start")
    rows = [
        {"id": str(i), "prompt": PROMPT, "responses": ["It eats mice. It can dig.", "No."], "labels": [1, 0]}
        for i in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    data = ["data=local", f"data.path={tmp_path}/rows.jsonl", "data.validation_fraction=null"]
    pipeline = [f"pipeline=[{step}]", f"pipeline.{step}.model={path}", f"pipeline.{step}.max_new_tokens=6"]
    model = ["model=local", f"model.path={path}"]
    small = [text for text in SMALL if not text.startswith(("model.loader", "data.limit"))]
    stage = stage_of(
        [*data, *pipeline, *model, *small, f"output_dir={tmp_path}", f"cache_dir={tmp_path}/cache"]
    )
    assert run_stage(stage, RunFolder(tmp_path / "run")).status == "finished"
