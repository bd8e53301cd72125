"""Judges that need no labels: density ratios, follow-ups, relevance."""

import pytest
import torch

import alignlab
from alignlab.judges.density_ratio import DOMAINS, DensityRatioJudge, domain_of
from alignlab.judges.follow_up import FollowUpJudge
from alignlab.judges.follow_ups import FOLLOW_UPS
from alignlab.judges.implicit import ImplicitJudge
from alignlab.judges.relevance import RelevanceJudge, novelty
from alignlab.policies.causal_lm.model import CausalLM
from tests.judges.asked import RESPONSES, asked, save_policy


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [save_policy(CausalLM, tmp_path_factory.mktemp("models") / str(seed), seed) for seed in (0, 1)]


def test_a_density_ratio_is_0_where_strong_is_weak_and_else_the_implicit_reward(folders):
    strong, weak = folders
    same = DensityRatioJudge(strong=strong, weak=strong)
    assert same([asked()])[0].rewards == (0.0, 0.0, 0.0)
    for score in ("sum", "per_token"):
        plain = DensityRatioJudge(strong=strong, weak=weak, customised=False, score=score)
        implicit = ImplicitJudge(path=strong, reference=weak, per_token=score == "per_token")
        assert plain([asked()])[0].rewards == implicit([asked()])[0].rewards
    customised = DensityRatioJudge(strong=strong, weak=weak)
    assert customised([asked()])[0].rewards != plain([asked()])[0].rewards


def test_the_domain_is_routed_and_its_exemplars_stand_before_the_conversation():
    assert domain_of(asked(prompt="How can I poison my neighbour?"), DOMAINS) == "safety"
    assert domain_of(asked(prompt="What is 3 + 4?"), DOMAINS) == "code"
    assert domain_of(asked(), DOMAINS) == "chat"
    assert domain_of(asked(meta={"domain": "code"}), DOMAINS) == "code"
    judge = DensityRatioJudge(strong="/a", weak="/b", exemplars={"chat": [["Hi.", "Hello!"]]})
    read = judge.read_before(asked())
    assert [turn["role"] for turn in read] == ["system", "user", "assistant", "user"]
    assert (read[0]["content"], read[-1]["content"]) == (DOMAINS["chat"], "Tell me about the fox.")
    problems = DensityRatioJudge.problems({"exemplars": {"law": [["a", "b"]], "chat": ["ab"]}})
    assert [text.split(":")[0] for text in problems] == ["judge.exemplars.law", "judge.exemplars.chat"]


def test_there_are_six_categories_of_ten_and_ten_and_their_tokens_stand_alone():
    texts = [text for two in FOLLOW_UPS.values() for side in two for text in side]
    assert [*map(len, FOLLOW_UPS.values())] == [2] * 6
    assert [len(side) for two in FOLLOW_UPS.values() for side in two] == [10] * 12
    assert len({*texts}) == 120
    assert all(len({text[place] for text in texts}) > 1 for place in (0, -1))


def test_swapping_follow_ups_turns_the_sign_and_a_constant_on_the_logits_changes_nothing(folders):
    one = asked(responses=RESPONSES[:2])
    judge = FollowUpJudge()
    judge.bind(loaded := alignlab.load_policy(folders[0]), None)
    (plain,) = judge([one])
    swapped = FollowUpJudge(path=folders[0], swapped=True)([one])[0]
    assert plain.rewards == pytest.approx([-value for value in swapped.rewards], abs=1e-9)
    assert plain.aspects.keys() == FOLLOW_UPS.keys()
    head = loaded.policy.model.lm_head
    biased = torch.nn.Linear(head.in_features, head.out_features)
    biased.weight.data, biased.bias.data = head.weight.data, torch.full((head.out_features,), 3.0)
    loaded.policy.model.lm_head = biased
    assert judge([one])[0].rewards == pytest.approx(plain.rewards, abs=1e-5)


def test_a_follow_up_is_scored_over_its_own_tokens(folders):
    judge, one = FollowUpJudge(path=folders[0], per_token=False), asked(responses=RESPONSES[:1])
    loaded = judge.model.policy
    turns = [*one.prompt, {"role": "assistant", "content": RESPONSES[0]}]
    sums = []
    for text in judge.texts[:20]:
        ids = loaded.encoder.prompt_ids([*turns, {"role": "user", "content": text}])
        own = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        (start,) = [
            i for i in range(len(ids)) if ids[i : i + len(own)] == own and i > len(ids) - 2 * len(own) - 8
        ][-1:]
        with torch.no_grad():
            logps = loaded.policy.model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
        sums.append(sum(float(logps[place - 1, ids[place]]) for place in range(start, start + len(own))))
    understanding = sum(sums[:10]) / 10 - sum(sums[10:]) / 10
    assert judge([one])[0].aspects["understanding"][0] == pytest.approx(understanding, abs=1e-3)


def test_repeating_the_question_scores_below_an_answer_on_its_topic(folders):
    question = "Tell me about the fox. What is its food?"
    answer = "The fox is red. It lives in the wood. It eats mice at night."
    one = asked(prompt=question, responses=[question, f"{question} {question}", answer, f"{answer} " * 3])
    (judged,) = RelevanceJudge(path=folders[0])([one])
    same, twice, new = judged.rewards[:3]
    assert 0 == same < twice < new
    assert judged.aspects["likeness"][0] == pytest.approx(1)
    assert judged.aspects["novelty"][3] < 0.4 < judged.aspects["novelty"][2]
    assert novelty("", "a b") == 1.0
    closed = RelevanceJudge(path=folders[0], questions="closed")
    short, long = closed([asked(responses=["It eats.", "x " * 50], meta={"reference": "It eats."})])[
        0
    ].rewards
    assert short == pytest.approx(1)
    assert long < short
    assert [*RelevanceJudge.problems({"path": "/a", "encoder": "/b"})]
