"""What a reward model's validation leaves in the run folder, and what the report makes of it."""

import torch

from alignlab.metrics.split_metrics import Rows
from alignlab.report.scores import calibration_lines, margins, mistakes, plot_scores
from alignlab.runs.folder import VALIDATION_SCORES, RunFolder
from alignlab.training.validated import write_scores
from alignlab.types import Example

SCORES = torch.tensor([[2.0, 0.0, 9.0], [0.0, 3.0, 1.0], [0.5, 2.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.5], [1.0, 0.0, 0.0]])
WHERE = torch.tensor([[True, True, False], [True] * 3, [True, True, False]])


def rows(**more):
    return Rows(
        SCORES, torch.tensor([[3.0, 4.0, 0.0], [5.0, 6.0, 7.0], [8.0, 9.0, 0.0]]), LABELS, WHERE, **more
    )


def example(name):
    return Example(
        [{"role": "user", "content": f"ask {name}"}], [f"{name}{k}" for k in range(3)], [0.0] * 3, id=name
    )


def test_scores_and_the_widest_mistake_of_each_list(tmp_path):
    folder = RunFolder(tmp_path)
    write_scores(folder, ["c", "a", "b"], rows(), example)
    lists = folder.read_lines(VALIDATION_SCORES)
    assert [one["id"] for one in lists] == ["a", "b", "c"]
    assert lists[2] == {"id": "c", "scores": [2.0, 0.0], "lengths": [3.0, 4.0], "labels": [1.0, 0.0]}
    assert sorted(margins(lists)) == [-3.0, -2.0, -1.5, -1.0, 2.0]
    (first, second) = mistakes(folder)
    assert (first["id"], first["better"], first["preferred"], first["gap"]) == ("a", "a0", "a1", 3.0)
    assert (second["id"], second["gap"]) == ("b", 1.5)
    assert first["prompt"][0]["content"] == "ask a"


def test_a_preference_model_goes_by_its_scores_of_pairs(tmp_path):
    leads = SCORES[:, :, None] - SCORES[:, None, :]
    folder = RunFolder(tmp_path)
    write_scores(folder, ["c", "a", "b"], rows(leads=-leads), example)
    assert sorted(margins(folder.read_lines(VALIDATION_SCORES))) == [-2.0, 1.0, 1.5, 2.0, 3.0]
    assert [one["id"] for one in mistakes(folder)] == ["c"]


def test_the_report_has_calibration_and_pictures(tmp_path):
    folder = RunFolder(tmp_path)
    assert plot_scores(folder) == calibration_lines(folder) == mistakes(folder) == []
    write_scores(folder, ["c", "a", "b"], rows(), example)
    assert [file.stem for file in plot_scores(folder)] == ["scores", "leads", "score_by_length"]
    lines = dict(calibration_lines(folder))
    assert lines["accuracy"] == "0.2000"
    brier = (-torch.tensor([2.0, -3.0, -1.0, -2.0, -1.5])).sigmoid().square().mean()
    assert lines["Brier score"] == f"{brier:.4f}"
    assert "ECE at that temperature" not in lines  # the wrong pairs outweigh the right ones: it is infinite
