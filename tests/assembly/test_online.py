"""What an objective asks for, and drawn lists cannot have, is told before anything is drawn."""

import pytest

from alignlab.assembly.online import online_objective_problems
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
