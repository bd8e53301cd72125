"""Rollouts on the page of a run: the best, the worst, one that was cut, one that was dropped, along the run."""

import json

from alignlab.report.over_optimization import plot_over_optimization
from alignlab.report.rollouts import shown_rollouts
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record


def line(texts, judged, *, finished=(True, True), dropped=""):
    return {"prompt": "ask", "texts": texts, "judged": judged, "finished": list(finished), "dropped": dropped}


def test_responses_of_the_first_the_middle_and_the_last_step(tmp_path):
    lists = [
        line(["good", "bad"], [2.0, -1.0]),
        line(["so", "la"], [0.5, None], finished=(True, False)),
        line(["same", "same"], [1.0, 1.0], dropped="all tied"),
    ]
    for step in range(9):
        rows = [{"step": step}, *lists, {"sha256": ""}]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        RunFolder(tmp_path).write_text(f"rollouts/step-{step:06d}.jsonl", text)
    shown = shown_rollouts(RunFolder(tmp_path))
    assert [one.title.partition(",")[0] for one in shown] == ["step 1"] * 4 + ["step 5"] * 4 + ["step 9"] * 4
    assert [one.text for one in shown[:4]] == ["good", "bad", "la", "same"]
    assert shown[0].title.endswith("reward 2")
    assert shown_rollouts(RunFolder(tmp_path / "other")) == []


def test_a_proxy_and_the_exact_reward_are_drawn_against_the_kl(tmp_path):
    names = ["step", "online/reward", "online/gold", "online/kl"]
    rows = [f"{step},{step * 0.2},{step * 0.1 - step**2 * 0.005},{step * 0.5}" for step in range(1, 21)]
    (tmp_path / "metrics.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    assert plot_over_optimization(Record(tmp_path), tmp_path / "plots").is_file()
    (tmp_path / "metrics.csv").write_text("step,online/reward,online/kl\n1,0.5,0.1\n")
    assert plot_over_optimization(Record(tmp_path), tmp_path / "plots") is None
