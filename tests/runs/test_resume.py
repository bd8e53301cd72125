"""Going on with a run: the same config, or what may differ from it."""

import pytest
from omegaconf import OmegaConf

from alignlab.errors import ConfigError, RunError
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.runs.resume import require_same, same_run, unfinished
from tests.config.compose import composed

BEGUN = ("trainer.max_steps=10", "seed=1")


def test_a_run_whose_report_is_due_is_not_done(tmp_path):
    def left(name, **summary):
        RunFolder(tmp_path / name).write_json("summary.json", {"status": "finished", **summary})
        RunFolder(tmp_path / name).write_text("overrides.txt", "seed=1\n")
        return Record(tmp_path / name).report_due

    assert not left("1", status="interrupted", report="due")
    assert left("2", report="due")
    assert not left("3", report="written")
    assert not left("4")
    assert unfinished(tmp_path, ["seed=1", "resume=auto"]) == tmp_path / "2"
    assert unfinished(tmp_path, ["seed=2"]) is None


@pytest.fixture
def changes(tmp_path):
    """`changes(*overrides)` goes on with the run that BEGUN began: what changed, one line each."""
    folder = RunFolder(tmp_path)
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(composed(*BEGUN))))
    folder.write_text("checkpoints/last.ckpt", "")

    def go_on(*overrides):
        return require_same(composed(*overrides), Record(tmp_path))

    return go_on


def test_nothing_changed(changes):
    assert changes(*BEGUN, "resume=none", "resume.path=auto") == []


def test_what_changes_no_result_may_change(changes):
    told = changes(
        "trainer.max_steps=20",
        "seed=1",
        "resume=auto",
        "output_dir=elsewhere",
        "logger=[csv,wandb]",
        "callbacks.progress.every_n_steps=1",
        "callbacks.checkpoint.keep=5",
    )
    keys = {line.partition(":")[0] for line in told}
    assert keys >= {"trainer.max_steps", "output_dir", "logger.wandb", "callbacks.checkpoint.keep"}
    assert "trainer.max_steps: 10 -> 20" in told


def test_everything_else_is_listed_and_refused(changes):
    with pytest.raises(ConfigError) as caught:
        changes("trainer.max_steps=5", "seed=2", "resume=auto", "objective=ipo", "+extra=1")
    said = str(caught.value)
    assert "seed: 1 -> 2" in said
    assert "trainer.max_steps: 10 -> 5" in said
    assert "objective.name: dpo -> ipo" in said
    assert "objective.loss.beta: 0.1 -> (absent)" in said
    assert "extra: (absent) -> 1" in said
    assert "resume: " not in said
    assert "'resume.allow=[" in said


def test_what_is_allowed_may_change(changes):
    told = changes(
        "trainer.max_steps=10",
        "seed=2",
        "resume=auto",
        "objective.loss.beta=0.2",
        "resume.allow=[seed,data.source,objective]",
    )
    assert {"seed: 1 -> 2", "objective.loss.beta: 0.1 -> 0.2"} <= set(told)
    with pytest.raises(ConfigError, match=r"optimizer\.weight_decay: 0.0 -> 0.5"):
        changes(*BEGUN, "resume=auto", "optimizer.weight_decay=0.5", "resume.allow=[optimizer.weight]")


def test_without_being_asked_to_go_on(changes):
    with pytest.raises(RunError, match="already holds a run: add resume=auto"):
        changes(*BEGUN)


def test_a_folder_without_work_in_it_may_hold_any_config(tmp_path):
    RunFolder(tmp_path).write_text("config.yaml", "seed: 5\n")
    assert require_same(composed(*BEGUN), Record(tmp_path)) == []


def test_another_cache_changes_nothing(changes):
    lines = changes(*BEGUN, "resume=auto", "cache_dir=elsewhere")
    assert "model.loader.cache_dir" in {line.partition(":")[0] for line in lines}


def test_another_order_of_the_pipeline_is_another_run(tmp_path):
    config = {"resume": {"path": "auto", "allow": []}, "pipeline": {"pairs": {}, "limit": {}}}
    folder = RunFolder(tmp_path)
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    folder.write_text("checkpoints/last.ckpt", "")
    with pytest.raises(ConfigError, match="pipeline: pairs limit -> limit pairs"):
        require_same({**config, "pipeline": {"limit": {}, "pairs": {}}}, Record(tmp_path))


def test_work_in_a_stage_counts(tmp_path):
    assert not RunFolder(tmp_path).begun
    RunFolder(tmp_path).write_text("stages/01-first/checkpoints/last.ckpt", "")
    assert RunFolder(tmp_path).begun


def test_commands_of_the_same_run():
    line = ["seed=1", "resume=auto", "objective=dpo", "output_dir=x", "resume.allow=[a]"]
    assert same_run(line) == ["objective=dpo", "seed=1"]
    assert same_run(["optimizer.lr=1", "seed=1", "optimizer=adamw"], ["optimizer"]) == ["seed=1"]
    assert same_run(["optimizer.lr=1", "+new=1"], ["optimizer.l", "new"]) == ["optimizer.lr=1"]
