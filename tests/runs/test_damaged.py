"""Whatever happened to the files of a run folder, its readers fall back, or say in one line what is wrong."""

import json
import random
import shutil
from contextlib import suppress

import pytest
import yaml

from alignlab.errors import AlignlabError
from alignlab.program import main
from alignlab.runs.record import Record, runs_below
from alignlab.runs.resume import require_same, unfinished
from tests.report.runs import make_run
from tests.test_cache import cut, flipped, garbage, longer, missing, swapped, zeroed

FILES = ("summary.json", "manifest.json", "metrics.csv", "config.yaml", "overrides.txt", "samples.jsonl")


def emptied(file, rng):
    file.write_bytes(b"")


def no_object(file, rng):
    file.write_text("[1, 2]\n")


DAMAGES = [cut, zeroed, flipped, garbage, longer, missing, swapped, emptied, no_object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    sample = {
        "prompt": "Which?",
        "before": "This.",
        "after": "That.",
        "reward_before": 0.5,
        "reward_after": 1.0,
    }
    return make_run(
        tmp_path_factory.mktemp("whole") / "run",
        initial={"val/loss": 0.69},
        final={"val/loss": 0.55},
        overrides=("seed=1", "objective=ipo"),
        samples=(sample,),
    )


def read_all(path):
    """Everything that a record tells."""
    record = Record(path)
    names = [
        name for name in dir(Record) if not name.startswith("_") and name not in ("path", "folder", "result")
    ]
    return {name: getattr(record, name) for name in names} | {"loss": record.result("val/loss")}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_record_is_read_or_falls_back(whole, tmp_path, caplog, name, damage):
    before = read_all(whole)
    for seed in range(8):
        folder, rng = tmp_path / str(seed), random.Random(seed)
        shutil.copytree(whole, folder)
        damage(folder / name, rng)
        caplog.clear()
        after = read_all(folder)
        quiet = damage in (missing, swapped) or name == "overrides.txt" or (folder / name).read_bytes() == b""
        lost = [key for key in ("status", "history", "config", "samples") if before[key] and not after[key]]
        assert quiet or not lost or caplog.records, f"{lost} were lost without a word"
        if (folder / "summary.json").exists():
            assert [run.path for run in runs_below(folder)] == [folder]


@pytest.mark.parametrize("damage", [flipped, cut, garbage, no_object])
def test_a_report_of_damaged_runs_is_made_or_refused_in_one_line(whole, tmp_path, damage):
    for seed, name in enumerate(
        ("summary.json", "manifest.json", "metrics.csv", "config.yaml", "samples.jsonl")
    ):
        for place in ("a", "b"):
            shutil.rmtree(tmp_path / place, ignore_errors=True)
            shutil.copytree(whole, tmp_path / place)
        damage(tmp_path / "a" / name, random.Random(seed))
        both = f"runs=[{tmp_path / 'a'},{tmp_path / 'b'}]"
        for words in ([f"runs={tmp_path / 'a'}"], [both, f"out={tmp_path / 'out'}"]):
            with suppress(SystemExit):  # one line, where it is refused; any other exception is a traceback
                main(["report", *words])


@pytest.mark.parametrize("damage", [flipped, cut, garbage, no_object, emptied])
def test_no_verb_ends_in_a_traceback(whole, tmp_path, damage):
    for name in ("manifest.json", "config.yaml", "overrides.txt"):
        folder = tmp_path / name
        shutil.copytree(whole, folder)
        damage(folder / name, random.Random(1))
        for words in (["rerun"], ["export", f"out={tmp_path / 'out'}"], ["extrapolate"]):
            with pytest.raises(SystemExit, match="error: "):
                main([*words, f"run={folder}"])


def test_resuming_passes_over_what_cannot_be_read_and_says_so(whole, tmp_path, caplog):
    for name, status in (("1", "interrupted"), ("2", "interrupted")):
        shutil.copytree(whole, tmp_path / name)
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        (tmp_path / name / "summary.json").write_text(json.dumps({**summary, "status": status}))
    (tmp_path / "2" / "summary.json").write_text('{"status": "inter')
    assert unfinished(tmp_path, ["seed=1", "objective=ipo"]) == tmp_path / "1"
    assert any(f"{tmp_path / '2'} is passed over" in record.message for record in caplog.records)


def test_a_run_without_a_readable_config_is_not_gone_on_with(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-000001.ckpt").touch()
    (folder / "config.yaml").write_text("{")
    config = {**yaml.safe_load((whole / "config.yaml").read_text()), "resume": {"path": "auto", "allow": []}}
    with pytest.raises(AlignlabError, match="that can be read"):
        require_same(config, Record(folder))
