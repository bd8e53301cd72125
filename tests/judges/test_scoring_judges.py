"""Judges that are models of folders: what they say is what their models give, list by list."""

import pytest

import alignlab
from alignlab.errors import ConfigError
from alignlab.judges.implicit import ImplicitJudge
from alignlab.judges.preference_model import PreferenceModelJudge
from alignlab.judges.reward_model import RewardModelJudge
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from tests.judges.asked import RESPONSES, asked, save_policy

PROMPT = "Tell me about the fox."


def test_rewards_are_the_values_of_the_model_whatever_is_judged_beside(tmp_path):
    judge = RewardModelJudge(path=save_policy(RewardModel, tmp_path))
    first, second = judge([asked(), asked("1", RESPONSES[1:])])
    values = alignlab.load_policy(tmp_path)(PROMPT, RESPONSES)["values"].tolist()
    assert first.rewards == pytest.approx(values, abs=1e-5)
    assert second.rewards == pytest.approx(values[1:], abs=1e-5)
    assert judge.identity == RewardModelJudge(path=str(tmp_path)).identity


def test_a_list_that_does_not_fit_is_counted_and_the_others_are_judged(tmp_path):
    judge = RewardModelJudge(path=save_policy(RewardModel, tmp_path))
    long, short = judge([asked("0", ["fox " * 600, "fox"]), asked("1")])
    assert (long.rewards, long.unsaid) == (None, "longer than the context of the judge (512 tokens)")
    assert short.unsaid is None


def test_preferences_are_sigmoids_of_scores_and_both_orders_agree(tmp_path):
    judge = PreferenceModelJudge(path=save_policy(PreferenceModel, tmp_path, dimension=4), temperature=0.5)
    (judged,) = judge([asked()])
    scores = alignlab.load_policy(tmp_path)(PROMPT, RESPONSES)["preferences"]
    assert judged.preferences[0][1] == pytest.approx((scores[0, 1] / 0.5).sigmoid().item(), abs=1e-6)
    assert all(judged.preferences[i][j] + judged.preferences[j][i] == 1 for i in range(3) for j in range(3))


def test_the_implicit_reward_is_the_log_ratio_of_what_was_drawn(tmp_path):
    ours, theirs = (save_policy(CausalLM, tmp_path / str(seed), seed) for seed in (0, 1))
    policy, reference = alignlab.load_policy(ours), alignlab.load_policy(theirs)
    judge = ImplicitJudge(beta=0.5)
    judge.bind(policy, reference)
    (whole,), (cut,) = judge([asked()]), judge([asked(finished=(True, False, True))])
    logps = [loaded(PROMPT, RESPONSES)["logps"] for loaded in (policy, reference)]
    assert whole.rewards == pytest.approx((0.5 * (logps[0] - logps[1])).tolist(), abs=1e-4)
    near = [abs(a - b) < 1e-4 for a, b in zip(whole.rewards, cut.rewards, strict=True)]
    assert near == [True, False, True]
    same = ImplicitJudge(path=ours, reference=ours, per_token=True)
    assert same([asked()])[0].rewards == (0.0, 0.0, 0.0)


def test_what_is_missing_is_told_with_its_key(tmp_path):
    with pytest.raises(ConfigError, match="reference is missing"):
        ImplicitJudge(path=save_policy(CausalLM, tmp_path))([asked()])
    with pytest.raises(ConfigError, match="holds a CausalLM, which gives no values"):
        RewardModelJudge(path=str(tmp_path))([asked()])
    with pytest.raises(ConfigError, match="there is no such folder"):
        RewardModelJudge(path=str(tmp_path / "none"))([asked()])
