"""What an objective asks for, and drawn lists cannot have, is told before anything is drawn."""

import pytest

from alignlab.assembly.online import online_objective_problems, online_problems
from alignlab.objective.load import load_objective


def problems(name, **online):
    objective = load_objective(name)
    return [*online_objective_problems({"online": {"samples": 4, **online}}, objective)]


@pytest.mark.parametrize("name", ["rloo", "grpo", "dpo", "lipo_lambda"])
def test_one_response_to_a_prompt_has_nothing_to_be_compared_with(name):
    (message,) = problems(name, samples=1)
    assert message.startswith(f"online.samples=1: objective '{name}'")
    assert not problems(name)


def test_an_objective_of_single_responses_draws_one():
    assert not problems("reinforce_pp", samples=1)


@pytest.mark.parametrize("key", [{"top_p": 0.9}, {"top_k": 20}])
def test_a_truncated_sampler_is_refused_where_ratios_are_taken(key):
    (message,) = problems("grpo", **key)
    assert "takes ratios to the policy that drew" in message
    assert not problems("dpo", **key)


def test_nobody_told_anything_of_the_response_of_the_data():
    told = problems("grpo", lists="against_data", samples=1)
    assert told[0].startswith("objective 'grpo' takes rewards, and online.lists=against_data has the best")
    assert told[1].startswith("objective 'grpo' takes token_old_logps")
    assert problems("dpo", lists="against_data", samples=1) == problems("kto", lists="against_data") == []


def test_what_settles_labels_is_refused_where_the_data_settle_them():
    config = {"data": {"name": "lab"}, "strategy": {"name": "auto"}}
    online = {"lists": "against_data", "samples": 1, "every": 0, "labels": "rank"}
    (message,) = online_problems({**config, "online": online})
    assert "online.labels settles labels of drawn lists alone" in message
    assert [*online_problems({**config, "online": {**online, "labels": "auto"}})] == []
