"""Rails between stages: a model is what its stage wrote, a row is in one stage."""

import json

import pytest
import torch
from safetensors.torch import save_file

from alignlab.errors import RunError
from alignlab.recipes.rails import check_own_rows, check_unchanged, model_hash
from alignlab.runs.folder import RunFolder


@pytest.fixture
def stage(tmp_path):
    """A finished stage with a model of two files."""
    folder = RunFolder(tmp_path / "stages" / "01-a")
    folder.model.mkdir(parents=True)
    for name in ("one", "two"):
        save_file({name: torch.arange(3.0)}, folder.model / f"{name}.safetensors")
    folder.write_json("summary.json", {"model_sha256": model_hash(folder.model)})
    return folder


def test_the_hash_is_of_weights_and_not_of_what_stands_beside_them(stage):
    before = model_hash(stage.model)
    (stage.model / "config.json").write_text(json.dumps({"a": 1}))
    assert model_hash(stage.model) == before
    (stage.model / "one.safetensors").rename(stage.model / "three.safetensors")
    assert model_hash(stage.model) != before


def test_a_model_that_was_changed_is_refused(stage):
    assert check_unchanged(stage) == model_hash(stage.model)
    save_file({"one": torch.arange(3.0) + 1}, stage.model / "one.safetensors")
    with pytest.raises(RunError, match="is not the model that its stage came to"):
        check_unchanged(stage)


def test_a_row_is_in_one_stage(tmp_path):
    folders = [RunFolder(tmp_path / name) for name in "abc"]
    for folder in folders:
        folder.path.mkdir()
    check_own_rows(["1", "2"], folders[0], [])
    check_own_rows(["3"], folders[1], folders[:1])
    with pytest.raises(RunError, match="row 2 of stage c was trained on in a"):
        check_own_rows(["4", "2"], folders[2], folders[:2])
    check_own_rows(["4"], folders[2], folders[:2])
    check_own_rows(["4"], folders[2], folders[:2])  # a resumed stage says the same again


def test_stages_without_a_claim_to_their_rows_are_passed_over(tmp_path):
    first, second = RunFolder(tmp_path / "a"), RunFolder(tmp_path)
    check_own_rows(["1"], second, [first])
