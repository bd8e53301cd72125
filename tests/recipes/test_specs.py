"""What recipes yield: how many stages, from which models, with which overrides."""

import pytest

from alignlab.errors import ConfigError
from alignlab.recipes.curriculum import curriculum
from alignlab.recipes.iterative import iterative
from alignlab.recipes.sft_then import sft_then
from alignlab.recipes.single import single
from alignlab.recipes.stages import stages
from alignlab.recipes.stepwise import stepwise


def told(recipe, *names, **options):
    return list(recipe(list(names), **options))


def test_single_is_the_run_itself():
    (stage,) = told(single)
    assert (stage.name, stage.overrides, stage.init, stage.reference) == ("", (), "base", "base")


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_stepwise_has_a_stage_a_part(steps):
    made = told(stepwise, "pairs", steps=steps)
    assert [stage.name for stage in made] == [f"step{n}" for n in range(1, steps + 1)]
    assert [stage.overrides[-1] for stage in made] == [
        f"pipeline.stepwise.part={n}" for n in range(1, steps + 1)
    ]
    for stage in made:
        assert {"pipeline=[pairs,stepwise]", f"pipeline.stepwise.of={steps}"} <= set(stage.overrides)
        assert "pipeline.stepwise.by=reward_accuracy" in stage.overrides
        assert stage.own_rows
        assert (stage.init, stage.reference) == ("previous", "previous")


def test_stepwise_ablations():
    for stage in told(stepwise, init="base", reference="base", by="equal", order="hard_to_easy"):
        assert (stage.init, stage.reference) == ("base", "base")
        assert "pipeline.stepwise.by=equal" in stage.overrides
        assert "pipeline.stepwise.order=hard_to_easy" in stage.overrides


def test_a_step_that_the_pipeline_has_already_is_not_there_twice():
    assert told(stepwise, "stepwise", "pairs")[0].overrides[0] == "pipeline=[pairs,stepwise]"
    assert told(curriculum, "curry_pairs", "curry")[0].overrides[0] == "pipeline=[curry]"


def test_curriculum_chains_its_stages():
    made = told(curriculum, stages=2, by="reference", scope="global", reverse=True)
    assert [stage.name for stage in made] == ["stage1", "stage2"]
    assert set(made[1].overrides) == {
        "pipeline=[curry]",
        "pipeline.curry.by=reference",
        "pipeline.curry.scope=global",
        "pipeline.curry.reverse=true",
        "pipeline.curry.of=2",
        "pipeline.curry.stage=2",
    }
    assert {stage.reference for stage in made} == {"previous"}
    assert {stage.reference for stage in told(curriculum, reference="initial")} == {"base"}
    assert {stage.init for stage in told(curriculum, reference="initial")} == {"previous"}


def test_curriculum_in_one_ordered_run():
    (stage,) = told(curriculum, iterative=False)
    assert "pipeline.curry.stage=null" in stage.overrides
    assert stage.reference == "base"


def test_iterative_gives_each_round_its_part_and_its_collector():
    node = {"_target_": "math.sqrt"}
    made = told(iterative, rounds=3, reference="initial", collect=node)
    assert [stage.overrides[-1] for stage in made] == [f"pipeline.stepwise.part={n}" for n in (1, 2, 3)]
    assert all(stage.reference == "base" and stage.collect == node and stage.own_rows for stage in made)


def test_sft_then_tunes_on_the_best_response_alone():
    sft, preference = told(sft_then)
    assert set(sft.overrides) == {
        "objective=supervised",
        "regularizers=[]",
        "modifiers=[]",
        "reference=none",
    }
    assert preference.overrides == ()
    assert (preference.init, preference.reference) == ("previous", "previous")
    assert told(sft_then, reference="base")[1].reference == "base"


def test_stages_as_they_are_written():
    first, second = told(
        stages,
        stages=[
            {"name": "a", "overrides": ["objective=ipo"]},
            {"name": "b", "init": "base", "reference": "ema"},
        ],
    )
    assert (first.overrides, first.init) == (("objective=ipo",), "previous")
    assert (second.overrides, second.init, second.reference) == ((), "base", "ema")


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        (stepwise, {"init": "previus"}, "did you mean 'previous'"),
        (stepwise, {"reference": "initial"}, "recipe.reference=initial"),
        (curriculum, {"reference": "base"}, "recipe.reference=base"),
        (sft_then, {"reference": "x"}, "recipe.reference=x"),
        (stages, {}, "recipe.stages is empty"),
        (stages, {"stages": [{"overrides": []}]}, "stage 1: expected name"),
        (stages, {"stages": [{"name": "a", "overides": []}]}, "did you mean 'overrides'"),
    ],
)
def test_errors_name_the_key(recipe, options, message):
    with pytest.raises(ConfigError, match=message):
        told(recipe, **options)
