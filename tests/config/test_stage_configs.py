"""Stages as configs: what they inherit from the command line, and what is wrong with any of them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from safetensors.torch import save_file

from alignlab.assembly.build import build_reference
from alignlab.config import resolvers
from alignlab.config.stage_configs import combined, placed, planned, resolved
from alignlab.errors import ConfigError
from alignlab.places import CONF


def plan(*overrides):
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base=None):
        config = resolved(compose("train", overrides=list(overrides)))
        return planned(config, list(overrides), [], "train")


def model_folder(folder):
    """What looks like a model folder as long as nobody loads it."""
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    save_file({}, folder / "model.safetensors")


def test_a_plain_run_is_its_own_config():
    (stage,) = plan("objective=ipo", "seed=3")
    assert (stage.config["objective"]["name"], stage.config["seed"]) == ("ipo", 3)
    assert placed(stage, None) == dict(stage.config)


def test_a_number_is_text_where_a_setting_is(tmp_path, monkeypatch):
    (tmp_path / "2024").mkdir()
    (tmp_path / "2024/7.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path)
    (stage,) = plan(
        "data=local", "data.path=2024", "data.split=7", "run_name=5", "model=smollm2_135m", "seed=3"
    )
    assert (stage.config["data"]["path"], stage.config["data"]["split"]) == ("2024", "7")
    assert (stage.config["run_name"], stage.config["seed"]) == ("5", 3)


def test_stages_have_what_the_run_has_and_more():
    made = plan(
        "recipe=stepwise",
        "recipe.steps=3",
        "seed=4",
        'recipe.overrides={2:["objective=ipo"],step3:[seed=5]}'.replace("[seed=5]", '["seed=5"]'),
    )
    assert [stage.title for stage in made] == ["01-step1", "02-step2", "03-step3"]
    assert [stage.config["objective"]["name"] for stage in made] == ["dpo", "ipo", "dpo"]
    assert [stage.config["seed"] for stage in made] == [4, 4, 5]
    assert [stage.config["pipeline"]["stepwise"]["part"] for stage in made] == [1, 2, 3]


@pytest.mark.parametrize(
    ("run", "stage", "result"),
    [
        (["seed=1"], ["seed=2"], ["seed=1", "seed=2"]),
        (["objective=dpo", "objective.loss.beta=0.3"], ["objective=ipo"], ["objective=ipo"]),
        (
            ["pipeline=[pairs]", "pipeline.pairs.choose=all", "pipeline.ranked.k=2"],
            ["pipeline=[pairs,stepwise]"],
            ["pipeline.pairs.choose=all", "pipeline=[pairs,stepwise]"],
        ),
        (["regularizers=[kl]", "regularizers.kl.weight=1"], ["regularizers=[]"], ["regularizers=[]"]),
        (["+regularizers.kl.weight=1"], ["regularizers=[]"], ["regularizers=[]"]),
        (["seed=1", "reference.update=ema"], ["reference=none"], ["seed=1", "reference=none"]),
    ],
)  # fmt: skip
def test_what_a_stage_chooses_anew_is_not_half_of_the_old_choice(run, stage, result):
    assert combined(run, stage) == result


def test_nor_half_of_what_an_experiment_chose():
    first, second = plan("experiment=reward_augmented", "recipe=sft_then", "data=lab", "seed=3")
    assert first.config["objective"]["name"] == "supervised"
    assert "beta" not in first.config["objective"]["loss"]
    assert (first.config["modifiers"], first.config["reference"]["mode"]) == ({}, "none")
    assert second.config["objective"]["loss"]["beta"] == 0.01
    assert second.config["modifiers"]["label_smoothing"]["epsilon"] == 0.3
    moving = plan("experiment=tr_dpo", "recipe=sft_then", "data=lab")
    assert [stage.config["reference"]["update"] for stage in moving] == ["none", "ema"]


def test_steps_that_a_stage_keeps_keep_their_settings():
    line = ("pipeline=[pairs]", "pipeline.pairs.choose=all", "seed=3")
    for stage in plan("recipe=stepwise", *line):
        assert stage.config["pipeline"]["pairs"]["choose"] == "all"
        assert list(stage.config["pipeline"]) == ["pairs", "stepwise"]
        assert stage.config["pipeline"]["stepwise"]["seed"] == 3
    for stage in plan("experiment=rdpo_noise", "recipe=stepwise", "data=lab"):
        assert stage.config["pipeline"]["flip_noise"]["rate"] == 0.1
        assert stage.config["pipeline"]["stepwise"]["of"] == 2


def test_what_is_set_of_the_objective_is_for_the_stage_that_draws():
    more = "recipe.overrides={policy:['online.samples=8']}"
    line = (
        "recipe=rlhf",
        "objective=rloo",
        "objective.loss.beta=0.3",
        "optimizer.lr=1e-4",
        "trainer.max_steps=7",
    )
    reward, policy = (stage.config for stage in plan(*line, more))
    assert (reward["objective"]["name"], policy["objective"]["name"]) == ("bradley_terry", "rloo")
    assert policy["objective"]["loss"]["beta"] == 0.3
    assert "beta" not in reward["objective"]["loss"]
    assert [config["optimizer"]["lr"] for config in (reward, policy)] == [1e-4, 1e-4]
    assert [config["trainer"]["max_steps"] for config in (reward, policy)] == [7, 7]
    assert (reward["online"], policy["online"]["samples"]) == ({}, 8)


@pytest.mark.parametrize("unused", ["judge=gold", "pairs=max_min", "generator=inprocess"])
def test_what_no_stage_would_draw_by_is_told_with_the_stage_that_does(unused):
    with pytest.raises(ConfigError, match=r"its stage policy does, and takes them by recipe\.overrides="):
        plan("recipe=rlhf", unused)


def test_a_chain_of_models():
    first, second = plan("recipe=stepwise")
    assert placed(first, None)["model"] == first.config["model"]
    config = placed(second, Path("/runs/1/model"))
    assert config["model"]["path"] == config["model"]["loader"]["path"] == "/runs/1/model"
    assert config["model"]["name"] == "tiny"
    reference = build_reference(config, first.config["model"])
    assert (reference.name, reference.is_start) == ("/runs/1/model", True)


def test_the_first_model_as_the_reference_of_a_later_stage():
    first, second = plan("recipe=stepwise", "recipe.reference=base")
    reference = build_reference(placed(second, Path("/runs/1/model")), first.config["model"])
    assert (reference.name, reference.is_start) == ("tiny", False)
    assert build_reference(placed(first, None), first.config["model"]).is_start


def test_a_start_from_the_first_model_and_the_last_result_as_its_reference():
    first, second = plan("recipe=stepwise", "recipe.init=base")
    config = placed(second, Path("/runs/1/model"))
    assert config["model"] == first.config["model"]
    assert (config["reference"]["path"], build_reference(config, None).is_start) == ("/runs/1/model", False)


def test_a_folder_as_the_start(tmp_path):
    model_folder(tmp_path)
    (stage,) = plan("recipe=stages", f"recipe.stages=[{{name: a, init: '{tmp_path}', reference: base}}]")
    config = placed(stage, None)
    assert config["model"]["path"] == str(tmp_path)
    assert build_reference(config, stage.config["model"]).is_start is False


def test_the_dtype_holds_for_every_model_of_the_run(tmp_path):
    model_folder(tmp_path)
    line = ["data=hh_rlhf", "model=local", f"model.path={tmp_path}", "model.loader.dtype=bfloat16"]
    _, second = plan("recipe=stepwise", *line)
    assert placed(second, Path("/x"))["model"]["loader"] == {
        "_target_": "alignlab.policies.causal_lm.pretrained.load",
        "path": "/x",
        "dtype": "bfloat16",
        "attn_implementation": "sdpa",
        "trust_remote_code": False,
    }


def test_a_moving_average_as_the_reference():
    (stage,) = plan("recipe=stages", "recipe.stages=[{name: a, reference: ema}]")
    assert stage.config["reference"]["update"] == "ema"


def test_adapters_are_no_reference_where_that_is_the_first_model():
    made = plan("recipe=stepwise", "peft=lora", "reference=adapter")
    assert len(made) == 2
    with pytest.raises(
        ConfigError, match=r"stage 2, step2: reference=adapter is the model that training starts"
    ):
        plan("recipe=stepwise", "recipe.reference=base", "peft=lora", "reference=adapter")


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (['recipe.overrides={3:["seed=1"]}'], ["recipe.overrides.3: no such stage", "step1"]),
        (['recipe.overrides={1:"seed=1"}'], ["recipe.overrides.1=seed=1: expected a list"]),
        (['recipe.overrides={2:["objective=dpoo"]}'], ["stage 2, step2", "did you mean 'dpo'"]),
        (
            ['recipe.overrides={1:["seed=-1"],2:["optimizer.lr=x"]}'],
            ["stage 1, step1:", "seed=-1: expected a whole number", "stage 2, step2: optimizer.lr=x"],
        ),
        (["recipe.by=sauce"], ["pipeline.stepwise.by=sauce: did you mean 'source'?"]),
        (["seed=-1"], ["seed=-1: expected a whole number from 0 to 4294967295"]),
    ],
)
def test_everything_that_is_wrong_is_told_with_its_stage(overrides, messages):
    with pytest.raises(ConfigError) as told:
        plan("recipe=stepwise", *overrides)
    for message in messages:
        assert message in str(told.value)


def test_two_stages_of_one_name():
    with pytest.raises(ConfigError, match="two stages of one name: a, a"):
        plan("recipe=stages", "recipe.stages=[{name: a}, {name: a}]")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("{name: a, init: previos}", "stage 1, a: init=previos: did you mean 'previous'?; or a model folder"),
        ("{name: a, reference: emma}", "reference=emma: did you mean 'ema'?"),
        ("{name: a, init: ./nowhere}", "init=./nowhere: no such folder"),
        ("{name: a, collect: {_target_: math.sqroot}}", "collect._target_: 'math' has no 'sqroot'"),
        ("{name: a, collect: {words: 1}}", "collect._target_"),
        ("{name: a/b}", "name=a/b: expected the name of one folder"),
    ],
)
def test_names_models_and_collectors_that_cannot_be(stage, message):
    with pytest.raises(ConfigError) as told:
        plan("recipe=stages", f"recipe.stages=[{stage}]")
    assert message in str(told.value)
