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


SEGMENTS = {"_target_": "alignlab.online.segments.Segments"}
TREE = {"_target_": "alignlab.online.trees.tree.Tree"}
JUDGE = {"_target_": "alignlab.judges.gold.Gold"}


@pytest.mark.parametrize(
    ("name", "draw", "judge", "message"),
    [
        ("dpo", TREE, {}, "draw=tree asks a judge"),
        ("dpo", SEGMENTS, JUDGE, "judge=... has nothing to judge: draw=segments"),
        ("xpo", TREE, JUDGE, "objective 'xpo' takes from_reference, which a sampler tells"),
        ("raft", SEGMENTS, {}, "objective 'raft' takes rewards, and draw=segments has none"),
        ("kto", TREE, JUDGE, "objective 'kto' takes single responses"),
    ],
)
def test_a_way_of_drawing_that_does_not_go_with_judge_or_objective_is_told(name, draw, judge, message):
    config = {"online": {"samples": 2, "draw": draw}, "judge": judge}
    (told,) = online_objective_problems(config, load_objective(name))
    assert told.startswith(message)


def test_ways_of_drawing_that_fit_are_taken():
    assert not [
        *online_objective_problems({"online": {"samples": 2, "draw": SEGMENTS}}, load_objective("orpo"))
    ]
    config = {"online": {"samples": 2, "draw": TREE}, "judge": JUDGE}
    assert not [*online_objective_problems(config, load_objective("osp"))]


def test_a_reference_that_draws_serves_no_term_on_the_policys_own_samples():
    (told,) = problems("xpo", samples=2, by="reference")
    assert told.startswith("online.by=reference: from_reference")


@pytest.mark.parametrize(
    ("online", "message"),
    [
        (
            {"draw": SEGMENTS, "unfinished": "drop"},
            "online.unfinished: draw=segments gives lists with labels",
        ),
        ({"draw": TREE, "ahead": 1}, "online.ahead: draw=tree gives lists with labels"),
        ({"draw": SEGMENTS, "lists": "against_data"}, "online.lists=against_data trains on what is drawn as"),
        ({"draw": TREE, "lists": "data"}, "online.lists=data trains on the lists of the data"),
        ({"buffer": {"size": 0, "choose": "count"}}, "online.buffer.choose=count takes all lists"),
    ],
)
def test_settings_that_a_way_of_drawing_or_a_buffer_does_not_use_are_told(online, message):
    config = {
        "online": {"samples": 2, **online},
        "judge": JUDGE,
        "data": {"name": "lab"},
        "strategy": {"name": "auto"},
    }
    (told,) = online_problems(config)
    assert told.startswith(message)
