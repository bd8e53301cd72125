"""Runs of several stages: models are handed on byte for byte, rows are shared out, killed runs go on."""

import csv
import json
import math

import numpy as np
import pytest
from omegaconf import OmegaConf

from alignlab.launch import chain
from alignlab.recipes.rails import ROWS, model_hash
from alignlab.training.module import PreferenceModule
from tests.end_to_end.command import SMALL, metrics, summary, weights

pytestmark = pytest.mark.slow

QUICK = (*SMALL, "trainer.max_steps=3")
LN2 = math.log(2)


def stages(run):
    return sorted((run / "stages").iterdir())


def facts(run, name="manifest.json"):
    return json.loads((run / name).read_text())


def first_loss(run):
    return next(float(row["train/loss"]) for row in metrics(run) if row["train/loss"])


@pytest.fixture
def done(command, tmp_path):
    """`done(name, *overrides)` is the folder of a run that went well."""

    def go(name, *overrides):
        told = command(*QUICK, f"hydra.run.dir={name}", *overrides)
        assert told.code == 0, told.err
        return tmp_path / name

    return go


@pytest.fixture
def broken(command, tmp_path, monkeypatch):
    """`broken(name, stage, step, *overrides)` is a run that died in that step of that stage; nothing was tidied up."""

    def go(name, stage, step, *overrides):
        run_stage, train, count = chain.run_stage, PreferenceModule.training_step, []

        def counted(*arguments):
            count.append(1)
            return run_stage(*arguments)

        def dies(module, *arguments):
            if len(count) == stage and module.global_step + 1 == step:
                raise MemoryError("killed")
            train(module, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(chain, "run_stage", counted)
            patch.setattr(PreferenceModule, "training_step", dies)
            with pytest.raises(MemoryError):
                command(*QUICK, f"hydra.run.dir={name}", *overrides)
        return tmp_path / name

    return go


def test_stepwise(done):
    """One run, many questions."""
    run = done("run", "recipe=stepwise", "recipe.steps=2", "report=true")
    first, second = stages(run)
    assert [stage.name for stage in (first, second)] == ["01-step1", "02-step2"]
    for stage in (first, second):
        assert first_loss(stage) == pytest.approx(LN2, abs=1e-6)
        assert summary(stage)["status"] == "finished"
        assert summary(stage)["model_sha256"] == model_hash(stage / "model")
    assert facts(first)["reference"]["model"] == "tiny"
    assert facts(second)["reference"]["model"] == str(first / "model")
    assert OmegaConf.load(second / "config.yaml").model.path == str(first / "model")
    assert weights(run) == weights(second) != weights(first)
    rows = [np.load(stage / ROWS) for stage in (first, second)]
    assert len(set.union(*map(set, rows))) == sum(map(len, rows)) == 96
    _whole(run, first, second)


def _whole(run, first, second):
    told = summary(run)
    assert (told["status"], told["steps"]) == ("finished", 6)
    assert told["initial"] == summary(first)["initial"]
    assert told["final"] == summary(second)["final"]
    assert [stage["name"] for stage in told["stages"]] == [first.name, second.name]
    trained = [row for row in metrics(run) if row["train/loss"]]
    assert [(row["step"], row["stage"]) for row in trained] == [
        (str(step), str(1 + (step > 3))) for step in range(1, 7)
    ]
    assert (run / "plots" / "loss.png").is_file()
    assert not (run / "checkpoints").exists()


def test_scores_of_a_reference_are_its_own(done, cache):
    """Each stage has scores of its own, of the same rows too; a run like it makes none."""
    line = ("recipe=stages", "recipe.stages=[{name: a}, {name: b}]", "seed=11")

    def entries():
        return set((cache / "scores").glob("*/*.shard"))

    done("plain")
    before = entries()
    done("one", *line)
    made = entries() - before
    assert len(made) >= 2  # of the first stage, other rows than those of the plain run; of the second all
    done("two", *line)
    assert entries() - before == made


def test_one_step_is_the_plain_run(done):
    plain, step = done("plain"), done("step", "recipe=stepwise", "recipe.steps=1")
    assert weights(plain) == weights(step)
    assert [{"stage": "1", **row} for row in metrics(plain)] == [{**row} for row in metrics(step)]


def test_a_dead_run_goes_on_where_it_stood(done, broken):
    line = ("recipe=stepwise", "recipe.steps=2", "callbacks.checkpoint.every_n_steps=1")
    whole = done("whole", *line)
    for place in ((1, 3), (2, 2), (2, 3)):
        goes_on(whole, place, broken(f"died-{place[0]}-{place[1]}", *place, *line), done, line)


def goes_on(whole, place, run, done, line):
    times = {p: p.stat().st_mtime_ns for p in (run / "stages/01-step1").rglob("*") if p.is_file()}
    assert summary(run)["status"] == "failed"
    done(run.name, *line, "resume=auto")
    assert weights(run) == weights(whole)
    assert metrics(run) == metrics(whole)
    assert summary(run)["status"] == "finished"
    assert "error" not in summary(run)
    if place[0] == 2:
        assert {p: p.stat().st_mtime_ns for p in times} == times


def test_a_model_that_was_changed_between_stages_is_refused(broken, command):
    line = ("recipe=stepwise", "recipe.steps=2")
    run = broken("run", 2, 1, *line)
    model = stages(run)[0] / "model" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\x01")
    told = command(*QUICK, "hydra.run.dir=run", *line, "resume=auto")
    assert told.code == 1
    assert "is not the model that its stage came to" in told.err


def test_nothing_is_trained_where_a_later_stage_is_wrong(command, tmp_path):
    told = command(
        *QUICK, "hydra.run.dir=run", "recipe=stepwise", 'recipe.overrides={2:["objective.loss.betaa=1"]}'
    )
    assert told.code == 1
    assert "stage 2, step2" in told.err
    assert "objective.loss.beta" in told.err
    assert not (tmp_path / "run" / "stages").exists()


def test_a_stage_sees_config_folders_of_ones_own(done, tmp_path):
    for folder, name in (("mine", "mine"), ("yours", "yours")):
        place = tmp_path / folder / "objective"
        place.mkdir(parents=True)
        node = {"name": name, "loss": {"_target_": "alignlab.losses.pairs.dpo.dpo", "beta": 0.25}}
        OmegaConf.save({**node, "pairs": "best_worst", "reduction": "mean"}, place / f"{name}.yaml")
    run = done(
        "run",
        f"hydra.searchpath=[file://{tmp_path}/mine]",
        "recipe=stages",
        'recipe.stages=[{name: a, overrides: ["objective=mine"]}, {name: b, overrides: ["objective=yours"]}]',
        "--config-dir",
        str(tmp_path / "yours"),
    )
    assert [summary(stage)["objective"] for stage in stages(run)] == ["mine", "yours"]


def test_jobs_of_a_sweep_have_stages(command, tmp_path):
    told = command("-m", *QUICK, "recipe=stepwise", "objective=dpo,ipo", "hydra.sweep.dir=sweep")
    assert told.code == 0, told.err
    for job, name in (("0", "dpo"), ("1", "ipo")):
        assert [summary(stage)["objective"] for stage in stages(tmp_path / "sweep" / job)] == [name, name]
    with (tmp_path / "sweep" / "sweep_summary.csv").open(newline="") as stream:
        assert [row["failed"] for row in csv.DictReader(stream)] == ["0", "0"]


def test_curriculum(done):
    run = done("run", "recipe=curriculum", "trainer.max_steps=2")
    made = stages(run)
    assert [stage.name for stage in made] == ["01-stage1", "02-stage2", "03-stage3"]
    rows = [set(np.load(stage / ROWS)) for stage in made]
    assert len(set.union(*rows)) == sum(map(len, rows))
    assert [facts(stage)["reference"]["model"] for stage in made[1:]] == [
        str(stage / "model") for stage in made[:-1]
    ]
    assert all(first_loss(stage) == pytest.approx(LN2, abs=1e-6) for stage in made)


def test_curriculum_in_one_run(done):
    run = done("run", "recipe=curriculum", "recipe.iterative=false", "trainer.max_steps=2")
    (stage,) = stages(run)
    shuffled = done(
        "other", "recipe=curriculum", "recipe.iterative=false", "data.shuffle=true", "trainer.max_steps=2"
    )
    assert facts(stage)["first_ids_sha256"] != facts(stages(shuffled)[0])["first_ids_sha256"]


def test_rounds_collect_their_data_once(done, broken):
    collect = "recipe.collect={_target_: tests.end_to_end.collecting.same_answers, words: 2}"
    line = (
        "recipe=iterative",
        "recipe.rounds=2",
        collect,
        "data.min_response_length=1",
        "recipe.reference=initial",
    )
    run = broken("run", 2, 2, *line, "callbacks.checkpoint.every_n_steps=1")
    kept = {p: p.stat().st_mtime_ns for p in run.rglob("collected/*.jsonl")}
    assert len(kept) == 4
    done("run", *line, "callbacks.checkpoint.every_n_steps=1", "resume=auto")
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    first, second = stages(run)
    files = [stage / "collected" / "train.jsonl" for stage in (first, second)]
    texts = [[json.loads(row) for row in file.read_text().splitlines()] for file in files]
    prompts = [{row["prompt"][0]["content"] for row in rows} for rows in texts]
    assert [len(rows) for rows in texts] == [48, 48]
    assert texts[0][0]["responses"][1].endswith("Ask me again. Ask me again.")
    assert prompts[0] != prompts[1]
    assert facts(second)["reference"]["model"] == "tiny"
    assert first_loss(first) == pytest.approx(LN2, abs=1e-6)
    assert first_loss(second) != pytest.approx(LN2, abs=1e-3)


def test_sft_then(done):
    more = 'sft:["trainer.max_steps=6"],preference:["data.lists_per_step=96","trainer.max_steps=1"]'
    line = ("regularizers=[sft]", "objective.loss.beta=0.2", f"recipe.overrides={{{more}}}")
    run = done("run", "recipe=sft_then", *line)
    sft, preference = stages(run)
    assert (summary(sft)["objective"], summary(sft)["steps"]) == ("supervised", 6)
    assert facts(sft)["reference"] == {"mode": "none", "model": None}
    assert summary(sft)["final"]["val/loss"] < summary(sft)["initial"]["val/loss"]
    assert "train/loss/sft" not in metrics(sft)[0]
    assert facts(preference)["reference"]["model"] == str(sft / "model")
    assert "val/loss/sft" in metrics(preference)[0]
    assert summary(preference)["initial"]["val/loss/dpo"] == pytest.approx(LN2, abs=1e-6)
    start = next(row for row in metrics(preference) if row["train/loss"])
    margin = float(start["train/logps/chosen"]) - float(start["train/logps/rejected"])
    assert summary(preference)["reference_margin"] == pytest.approx(margin, abs=1e-3)  # one step had all rows


@pytest.mark.parametrize("reference", ["previous", "base"])
def test_adapters_are_merged_before_the_next_stage(reference, done):
    """Switched off, those of stage 2 give stage 1's result: the reference only where the stage starts from it."""
    pytest.importorskip("peft")
    run = done("run", "recipe=stepwise", f"recipe.reference={reference}", "peft=lora", "regularizers=[kl]")
    first, second = stages(run)
    assert "lora" not in (second / "model" / "config.json").read_text()
    live = {"previous": ("adapter", str(first / "model")), "base": ("live", "tiny")}[reference]
    assert tuple(facts(second)["reference"].values()) == live
    start = summary(second)["initial"]["val/loss/dpo"]
    assert (start == pytest.approx(LN2, abs=1e-5)) == (reference == "previous")
    assert weights(first) != weights(second)


def test_kept_adapters_go_on_in_the_next_stage_and_are_its_reference(done):
    pytest.importorskip("peft")
    run = done("run", "recipe=stepwise", "peft=lora", "peft.export=adapter")
    first, second = stages(run)
    adapters = [
        json.loads((stage / "model" / "adapter_config.json").read_text()) for stage in (first, second)
    ]
    assert adapters[0] == adapters[1]
    assert tuple(facts(second)["reference"].values()) == ("precomputed", str(first / "model"))
    assert summary(second)["initial"]["val/loss/dpo"] == pytest.approx(LN2, abs=1e-5)
    assert summary(second)["final"]["val/loss/dpo"] < summary(second)["initial"]["val/loss/dpo"]


def test_a_hard_update_makes_policy_and_reference_one(done):
    run = done("run", "reference.update=hard", "reference.every_n_steps=2", "trainer.max_steps=4")
    losses = [float(row["train/loss"]) for row in metrics(run) if row["train/loss"]]
    assert [abs(loss - LN2) < 1e-6 for loss in losses] == [True, False, True, False]
    assert facts(run)["reference"]["mode"] == "live"


def test_a_moving_average_goes_on_exactly(done, broken):
    line = ("reference.update=ema", "reference.every_n_steps=1", "callbacks.checkpoint.every_n_steps=1")
    whole, run = done("whole", *line), broken("run", 1, 3, *line)
    done("run", *line, "resume=auto")
    assert weights(run) == weights(whole)
    assert metrics(run) == metrics(whole)
    fixed = done("fixed", "reference=live")
    assert metrics(fixed)[-1]["val/loss"] != metrics(whole)[-1]["val/loss"]
