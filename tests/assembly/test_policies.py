"""The group `policy`: what an objective asks for and the policy does not give is told, with who gives it."""

import pytest
import torch

from alignlab import ConfigError
from alignlab.assembly.build import build_stage
from alignlab.assembly.provided import name_of
from alignlab.config.stage_of import stage_of
from alignlab.policies.attribute_model import AttributeModel
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.classifier import Classifier
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reranker import Reranker
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.user_model import UserModel
from alignlab.runs.folder import RunFolder
from alignlab.signals import BASE, DATA, FRESH, OTHERS, POLICY, REFERENCE, SAMPLER
from alignlab.training.optim import auto_lr
from tests.config.compose import composed, problem

REWARD_MODEL = ("policy=reward_model", "objective=bradley_terry")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["policy=reward_model"],
            "dpo takes logps, ref_logps: policy=reward_model does not give this; use policy=causal_lm, or",
        ),
        (
            ["objective=bradley_terry"],
            "bradley_terry takes values: policy=causal_lm does not give this; use policy=reward_model, or",
        ),
        ([*REWARD_MODEL, "regularizers=[sft]"], "sft takes logps: policy=reward_model does not give this"),
        ([*REWARD_MODEL, "regularizers=[length]"], "bradley_terry takes logps: policy=reward_model"),
        ([*REWARD_MODEL, "evaluation=gold"], "policy=reward_model draws none: use evaluation=none"),
        (
            [*REWARD_MODEL, "trainer.meta_rate=0.1", "strategy=fsdp"],
            "trainer.meta_rate: strategy=fsdp keeps gradients to itself; use ddp or fsdp2",
        ),
        (["trainer.meta_rate=0.1"], "rewards by a model's values, and objective=dpo takes none"),
        (["policy._target_=alignlab.policies.reward_model.Nobody"], "has no 'Nobody'"),
        (
            ["policy=preference_model", "objective=gpm", "policy.dimension=3"],
            "policy.dimension=3: expected an even",
        ),
        (
            [
                *REWARD_MODEL,
                "pipeline=[stepwise]",
                "pipeline.stepwise.by=reward_accuracy",
                "pipeline.stepwise.of=2",
            ],
            "policy=reward_model has none: have it go by something else (recipe.by=equal",
        ),
        (["policy=user_model", "objective=pal"], "policy.users=[anna,ben]"),
        (["policy=attribute_model", "objective=bradley_terry"], "policy.attributes=[...]"),
        (
            ["policy=attribute_model", "objective=attribute_regression", "policy.attributes=[quality]"],
            "policy.fit=gate trains the gate alone",
        ),
        (
            ["policy=attribute_model", "objective=bradley_terry", "policy.attributes=[quality]", "peft=lora"],
            "peft=lora trains adapters, and policy.fit=gate leaves the decoder as it is",
        ),
        (
            ["policy=reward_model", "objective=gpm"],
            "gpm takes preferences: policy=reward_model does not give this; use policy=preference_model",
        ),
        (
            ["policy._target_=alignlab.policies.causal_lm.packing.forms.choose"],
            "expected a class of policies",
        ),
    ],
)
def test_what_a_policy_cannot_do_is_told_before_anything_loads(overrides, told):
    assert told in problem(composed(*overrides))


def test_a_signal_that_nobody_gives_is_told(monkeypatch):
    for policy in (RewardModel, UserModel, AttributeModel, Classifier, Reranker):
        monkeypatch.setattr(policy, "provides", frozenset())
    assert "bradley_terry takes values: no policy here gives this; compute" in problem(
        composed(*REWARD_MODEL)
    )


def test_a_reward_model_is_in_order_and_leaves_samples_out():
    config = composed(*REWARD_MODEL)
    assert problem(config) == ""
    assert config["evaluation"]["reward"] is None
    assert name_of(config["policy"]) == "reward_model"


def test_steps_of_the_pipeline_that_go_by_log_probabilities_are_refused():
    message = "filter_difficulty goes by log-probabilities .* and policy=reward_model has none"
    with pytest.raises(ConfigError, match=message):
        stage_of([*REWARD_MODEL, "pipeline=[pairs,filter_difficulty]"])


def test_policies_give_what_the_vocabulary_says_that_models_give():
    for policy in (CausalLM, RewardModel, PreferenceModel, UserModel, AttributeModel, Classifier, Reranker):
        for name in policy.provides:
            others = {SAMPLER} if name in FRESH else set()
            of_models = BASE[name].providers <= {POLICY, REFERENCE, OTHERS} | others
            assert of_models or BASE[name].providers == {DATA}, name


@pytest.mark.parametrize(("line", "expected"), [((), 1.0), (REWARD_MODEL, 20.0)])
def test_the_automatic_learning_rate_of_a_reward_model_is_larger(line, expected, tmp_path):
    stage = build_stage(composed(*line), RunFolder(tmp_path), {"name": "", "group": ""})
    optimizer, _ = stage.make_optimizer(torch.nn.Linear(2, 2), 1, 1000)
    assert optimizer.defaults["lr"] == pytest.approx(expected * auto_lr(1000))
