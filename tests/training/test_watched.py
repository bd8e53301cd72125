"""What a run reports beside its loss: change since the start, memory, slices; and where each comes from."""

import math
from dataclasses import replace
from unittest.mock import MagicMock

import pytest

from alignlab.data.encoding.token_rows import TokenRows
from alignlab.lab import world
from alignlab.runs.folder import RunFolder
from alignlab.training.callbacks.validation import sources_of, with_changes
from alignlab.training.settings import MovingSpec
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from tests.data.transforms.hand_made import row
from tests.training.small import load_small, small_stage
from tests.training.test_csv_log import rows

CHANGES = ("logps_change/chosen", "logps_change/rejected")


def reports(folder, split):
    """(step, metrics) of a split."""
    for told in rows(folder / "metrics.csv"):
        found = {k.removeprefix(f"{split}/"): float(v) for k, v in told.items() if k.startswith(split) and v}
        if found:
            yield int(told["step"]), found


def ran(folder, **changes):
    run_stage(small_stage(folder, **changes), RunFolder(folder))
    return folder


def test_against_the_start_the_change_is_the_log_ratio(tmp_path):
    folder = ran(tmp_path)
    steps = [found for _, found in reports(folder, "train")]
    assert len(steps) == 3
    for found in steps:
        margin = 0.1 * (found[CHANGES[0]] - found[CHANGES[1]])
        assert found["rewards/margin"] == pytest.approx(margin, abs=1e-5)
        assert found["memory_mb"] > 50
        assert "gpu_memory_mb" not in found
    told = [found for _, found in reports(folder, "val")]
    for name in CHANGES:
        assert told[0][name] == 0
        level = name.replace("logps_change", "logps")
        assert told[-1][name] == pytest.approx(told[-1][level] - told[0][level], abs=1e-3)
        assert told[-1][name] != 0


@pytest.mark.parametrize("reference", ["none", "other", "moving"])
def test_elsewhere_it_is_told_at_validation_against_the_first(tmp_path, reference):
    specs = {
        "none": ("simpo", "auto", {}),
        "other": ("dpo", "auto", {"load": lambda: load_small(seed=1), "is_start": False}),
        "moving": ("dpo", "live", {"moving": MovingSpec("hard", 1)}),
    }
    objective, mode, changes = specs[reference]
    spec = ReferenceSpec(**{"mode": mode, "name": "small", "load": load_small, "is_start": True, **changes})
    folder = ran(tmp_path, objective=objective, reference=spec)
    assert not any(set(CHANGES) & set(found) for _, found in reports(folder, "train"))
    told = [found for _, found in reports(folder, "val")]
    for name in CHANGES:
        level = name.replace("logps_change", "logps")
        assert told[0][name] == 0
        assert told[-1][name] == pytest.approx(told[-1][level] - told[0][level], abs=1e-6)


def test_validation_knows_lists_calibration_and_slices(tmp_path):
    (_, first), *_, (_, last) = reports(ran(tmp_path), "val")
    assert (first["calibration/ece"], first["calibration/brier"]) == (0, 0.25)
    assert "length_correlation" not in first  # all rewards are 0
    assert -1 <= last["length_correlation"] <= 1
    assert 0 < last["lists/ndcg"] <= 1
    assert first["lists/kendall_tau"] == 0
    gaps = {name.split("/")[1] for name in last if name.startswith("gap/")}
    assert gaps == {"low", "middle", "high"}
    thirds = [last[f"gap/{gap}/rewards/margin"] for gap in gaps]
    assert min(thirds) <= last["rewards/margin"] <= max(thirds)
    assert not [name for name in last if name.startswith("source/")]  # the lab is one source


def test_sources_are_told_by_id():
    examples = [row(id="a", meta={"source": "x"}), row(id="b"), row(id="c", meta={"source": ""})]
    rows_ = MagicMock(examples=examples, places=[2, 0, 1], ids=["c", "a", "b"])
    rows_.__len__.return_value = 3
    rows_.source.side_effect = lambda number: TokenRows.source(rows_, number)
    assert sources_of(rows_) == {"a": "x", "b": "unknown", "c": "unknown"}


def test_changes_that_are_known_stay():
    initial = {"logps/chosen": -2.0, "logps/rejected": -3.0}
    now = {"logps/chosen": -2.5, "logps/rejected": -5.0, "logps_change/chosen": -0.4}
    found = with_changes(now, initial)
    assert found["logps_change/chosen"] == -0.4
    assert found["logps_change/rejected"] == -2.0
    assert with_changes({"loss": math.pi}, {}) == {"loss": math.pi}


def test_every_validation_leaves_its_reliability_diagram(tmp_path):
    folder = ran(tmp_path)
    told = RunFolder(folder).read_lines("reliability.jsonl")
    seen = dict(reports(folder, "val"))
    assert [diagram["step"] for diagram in told] == [*seen]
    for diagram in told:
        columns = zip(diagram["predicted"], diagram["observed"], diagram["count"], strict=True)
        gaps = [abs(predicted - observed) * count for predicted, observed, count in columns]
        error = seen[diagram["step"]]["calibration/ece"]
        assert sum(gaps) / sum(diagram["count"]) == pytest.approx(error, abs=1e-6)


def lone(*, split, size):
    """Every response of the lab alone in its row, desirable or not."""
    for example in world.examples(split=split, size=size // 2, responses=2):
        for place, response in enumerate(example.responses):
            name = f"{example.id}-{place}"
            yield replace(example, id=name, responses=[response], labels=[1.0 - place], rewards=None)


def test_lone_responses_are_watched_by_their_side(tmp_path):
    folder = ran(tmp_path, objective="kto", data={"source": lone, "form": "single"})
    for split in ("train", "val"):
        last = [found for _, found in reports(folder, split)][-1]
        assert last["rewards/margin"] == pytest.approx(last["rewards/chosen"] - last["rewards/rejected"])
        assert 0 <= last["rewards/accuracy"] <= 1
        assert last["logps/chosen"] < 0 < last["lengths/rejected"]
        assert "ranking_accuracy" not in last
    start = next(found for _, found in reports(folder, "val"))
    assert (start["rewards/accuracy"], start["rewards/margin"]) == (0.5, 0.0)
    assert not (folder / "reliability.jsonl").exists()
