"""Programs judged by their tests, and trained on: solutions beside copies that are changed at one place."""

import json
import shutil

from alignlab.config.stage_of import stage_of
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from alignlab.verbs import annotate
from tests.judges.asked import save_policy
from tests.test_papers import SMALL

TASKS = {
    "twice": ("a", "    return a * 2\n", "assert f(3) == 6"),
    "larger": ("a, b", "    return a if a >= b else b\n", "assert f(1, 2) == f(2, 1) == 2"),
    "without_effect": ("a", "    unused = 1 + 1\n    return a\n", "assert f(1) == 1"),
    "unsolved": ("a", "    return a + 1\n", "assert False"),
}


def test_programs_that_pass_are_trained_on_against_those_that_fail(tmp_path):
    rows = [
        {
            "task_id": name,
            "prompt": f"def {name}({arguments}):\n",
            "entry_point": name,
            "canonical_solution": body,
            "test": f"def check(f):\n    {assertion}\n",
        }
        for name, (arguments, body, assertion) in TASKS.items()
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    common = ["data.validation_fraction=null", f"cache_dir={tmp_path}/cache"]
    sandbox = "bubblewrap" if shutil.which("bwrap") else "process"
    out = tmp_path / "judged.jsonl"
    judge = ["judge=unit_tests", f"judge.sandbox={sandbox}", f"out={out}"]
    annotate.run([*common, "data=human_eval", f"data.path={tmp_path}/tasks.jsonl", *judge])
    judged = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert judged["twice"]["rewards"] == [1.0, 0.0, 0.0]
    assert judged["larger"]["rewards"] == [1.0, 0.0]
    assert {*judged["without_effect"]["rewards"]} == {1.0}
    assert {*judged["unsolved"]["rewards"]} == {0.0}
    assert [rating["given"] for rating in judged["without_effect"]["meta"]["ratings"]] == [1.0, 0.0, 0.0, 0.0]

    model = save_policy(CausalLM, tmp_path / "model")
    words = ["objective=dpo", "data=local", f"data.path={out}", "model=local", f"model.path={model}"]
    small = [text for text in SMALL if not text.startswith(("model.loader", "data.limit"))]
    stage = stage_of([*words, *small, *common, "data.lists_per_step=2", f"output_dir={tmp_path}"])
    run = RunFolder(tmp_path / "run")
    assert run_stage(stage, run).status == "finished"
    dropped = run.read_lines("dropped_rows.jsonl")
    tied = {row["id"] for row in dropped if row["reason"] == "all responses have the same label"}
    assert tied == {"without_effect", "unsolved"}
