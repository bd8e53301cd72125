"""`alignlab inspect` shows what a model will see."""

import json

import pytest

from alignlab.program import main

MODEL = ["model.loader.hidden_size=16", "model.loader.layers=1", "model.loader.steps=2"]


@pytest.fixture
def run(tmp_path, capsys):
    def run(*arguments):
        cache = f"cache_dir={tmp_path / 'cache'}"
        main(["inspect", *MODEL, cache, "data.limit=20", "data.limit_validation=6", *arguments])
        return " ".join(capsys.readouterr().out.split())

    return run


def test_lists_account_statistics_and_pictures(run, tmp_path):
    out = tmp_path / "out"
    text = run("pipeline=[ranked]", "pipeline.ranked.min_distinct=4", f"out={out}")
    assert "list 2: lab-train-" in text
    assert "list 3: lab-train-" not in text
    assert "⟨<|assistant|>⟩ response 0, label 0." in text
    assert text.count("⟨</s>⟩") == 12
    assert "responses a list │ 4: " in text
    assert {file.name for file in out.iterdir()} >= {"lengths.png", "labels.png"}
    drops = [json.loads(line) for line in (out / "dropped_rows.jsonl").read_text().splitlines()]
    assert {drop["reason"] for drop in drops} == {"fewer than 4 distinct labels"}
    assert f"{len(drops)} fewer than 4 distinct labels (e.g. {drops[0]['id']})" in text


def test_one_list_whole(run):
    text = run("row=1", "split=validation")
    assert "list 1: lab-validation-" in text
    assert "rows of both splits" not in text


def test_errors_are_messages(run):
    with pytest.raises(SystemExit, match="row=99: the train split has lists 0 to 19"):
        run("row=99")
    with pytest.raises(SystemExit, match=r"error: .*data\.nonsense"):
        run("data.nonsense=1")
