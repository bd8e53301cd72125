"""`alignlab annotate`: rows with what judges said, which train as they are; what is unsaid is counted."""

import json

import pytest

from alignlab.config.stage_of import stage_of
from alignlab.errors import ConfigError, DataError
from alignlab.lab.reward import gold
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from alignlab.verbs import annotate, evaluate
from tests.judges.asked import save_policy
from tests.test_papers import SMALL


@pytest.fixture
def lab(tmp_path):
    return ["data=lab", "data.limit=24", f"cache_dir={tmp_path}/cache", f"out={tmp_path}/judged.jsonl"]


def rows_in(folder):
    return [json.loads(line) for line in (folder / "judged.jsonl").read_text().splitlines()]


def test_what_two_judges_say_trains_and_asks_nobody_twice(tmp_path, lab, capsys):
    paths = [
        save_policy(RewardModel, tmp_path / "a"),
        save_policy(PreferenceModel, tmp_path / "b", dimension=2),
    ]
    judges = ["judge=[reward_model,preference_model]", f"judge.reward_model.path={paths[0]}"]
    words = [*lab, *judges, f"judge.preference_model.path={paths[1]}"]
    annotate.run([*words, "budget=12"])
    assert "reward_model: 12 lists asked anew" in (first := capsys.readouterr().out)
    assert "without a verdict: 12 beyond the budget" in first
    annotate.run(words)
    assert "reward_model: 12 lists asked anew" in capsys.readouterr().out
    rows = rows_in(tmp_path)
    assert len(rows) == 24
    ratings = rows[0]["meta"]["ratings"]
    assert [rating["reward_model"] for rating in ratings] == rows[0]["rewards"]
    assert all(0 < rating["preference_model"] < 1 and "given" in rating for rating in ratings)
    assert rows[0]["meta"]["judges"].keys() == {"reward_model", "preference_model"}

    small = [text for text in SMALL if not text.startswith("model.loader")]
    model = [f"model.path={paths[0]}", "model=local"]
    reward = ["policy=reward_model", "objective=bradley_terry"]
    data = ["data=local", f"data.path={tmp_path}/judged.jsonl"]
    stage = stage_of(
        [*data, *model, *reward, *small, f"output_dir={tmp_path}", f"cache_dir={tmp_path}/cache"]
    )
    assert run_stage(stage, RunFolder(tmp_path / "run")).status == "finished"


def brevity(prompts, responses):
    return [-len(response) for response in responses]


def test_a_budget_is_divided_between_two_judges(tmp_path, lab, capsys):
    words = [*lab, "data.limit=60", "judge=[gold,function]", f"judge.function.function={__name__}.brevity"]
    annotate.run([*words, "route.budget=0.5", "route.mixes=50"])
    shown = capsys.readouterr().out
    assert "gold: 30 lists asked anew" in shown
    assert "function: 60 lists asked anew" in shown
    assert "route: 15 rows went to gold for what they gain, after 15 at random" in shown
    rows = rows_in(tmp_path)
    assert len(rows) == 60
    for row in rows:
        by = row["meta"]["routed"]
        assert [rating[by] for rating in row["meta"]["ratings"]] == row["rewards"]
        assert ("gold" in row["meta"]["judges"]) == (by == "gold")
    for wrong, message in (
        ("route.by=linear", "give route.budget="),
        ("route.budget=1.5", "a share: above 0"),
        ("route.budget=0.5 budget=3", "drop one of them"),
    ):
        with pytest.raises(ConfigError, match=message):
            annotate.run([*words, *wrong.split()])
    with pytest.raises(ConfigError, match="name them, as judge="):
        annotate.run([*lab, "judge=gold", "route.budget=0.5"])


def test_a_judge_says_which_of_two_answers_to_different_prompts_is_better_and_dove_trains_on_it(
    tmp_path, lab, capsys
):
    path = save_policy(CausalLM, tmp_path / "a")
    joint = ["pipeline=[joint]", "pipeline.joint.by=none", "pipeline.joint.keep_conditional=false"]
    annotate.run([*lab, *joint, "judge=[gold,relevance]", f"judge.relevance.path={path}"])
    assert "which this judge does not compare" in capsys.readouterr().out
    rows = rows_in(tmp_path)
    assert len(rows) == 12
    for row in rows:
        prompts = ["\n".join(turn["content"] for turn in prompt) for prompt in row["meta"]["prompts"]]
        assert row["rewards"] == [gold(*both).reward for both in zip(prompts, row["responses"], strict=True)]
        assert prompts[0] != prompts[1]
    small = [text for text in SMALL if not text.startswith("model.loader")]
    data = ["data=local", f"data.path={tmp_path}/judged.jsonl", "model=local", f"model.path={path}"]
    stage = stage_of(
        ["objective=dove", *data, *small, f"output_dir={tmp_path}", f"cache_dir={tmp_path}/cache"]
    )
    assert run_stage(stage, RunFolder(tmp_path / "run")).status == "finished"


def test_a_judge_that_compares_gives_labels_and_who_beats_whom(tmp_path, lab):
    path = save_policy(PreferenceModel, tmp_path / "b", dimension=2)
    annotate.run([*lab, "judge=preference_model", f"judge.path={path}", "rows=3"])
    for row in rows_in(tmp_path):
        wins, size = row["meta"]["wins"], len(row["responses"])
        assert "rewards" not in row
        assert row["labels"][0] == pytest.approx(sum(wins[0][1:]) / (size - 1))
        assert all(wins[i][j] + wins[j][i] == pytest.approx(1) for i in range(size) for j in range(size))


def test_what_is_typed_wrong_is_told_before_anything_is_asked(tmp_path, lab):
    with pytest.raises(ConfigError, match="judge= is missing: name one"):
        annotate.run(lab)
    with pytest.raises(ConfigError, match="did you mean 'reward_model'"):
        annotate.run([*lab, "judge=reward_modell"])
    with pytest.raises(ConfigError, match="say whose it is"):
        annotate.run([*lab, "judge=[reward_model,implicit]", "judge.path=/x"])
    with pytest.raises(ConfigError, match="a reference is wanted, and there is none"):
        annotate.run([*lab, "judge=implicit"])
    (tmp_path / "judged.jsonl").write_text("mine\n")
    with pytest.raises(DataError, match="holds no annotated rows"):
        annotate.run([*lab, "judge=implicit"])


def test_a_judge_is_evaluated_on_labelled_pairs_of_people(tmp_path):
    path = save_policy(RewardModel, tmp_path / "a")
    votes = {"annotator1": 1, "annotator2": 1, "annotator3": 0}
    row = {
        "instruction": "Tell me about the fox.",
        "input": "",
        "response1": "It is red.",
        "response2": "It can dig.",
    }
    rows = [{"idx": number, **row, **votes} for number in range(2)] + [
        {"idx": 2, **row, **votes, "response2": " "}
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    data = [
        "data=pandalm",
        f"data.path={tmp_path}/pairs.jsonl",
        "model=local",
        f"model.path={path}",
        f"cache_dir={tmp_path}/cache",
    ]
    data.append("policy=reward_model")
    data.append("objective=bradley_terry")
    evaluate.run(["suite=judge", "judge=reward_model", f"judge.path={path}", *data, f"out={tmp_path}/result"])
    result = json.loads((tmp_path / "result" / "result.json").read_text())
    lines = {line["name"]: line for line in result["lines"]}
    assert lines["agreement"]["value"] in (0.0, 1.0)
    assert lines["two people agree"]["value"] == 1.0
    assert "1 rows were left out by source: an empty response." in result["notes"]


@pytest.mark.parametrize("judge", ["follow_up", "relevance", "density_ratio", "combination"])
def test_judges_without_labels_annotate(tmp_path, lab, judge):
    path, other = (save_policy(CausalLM, tmp_path / str(seed), seed) for seed in (0, 1))
    settings = {
        "follow_up": [f"judge.path={path}"],
        "relevance": [f"judge.path={path}"],
        "density_ratio": [f"judge.strong={path}", f"judge.weak={other}"],
        "combination": [
            "+judge@judge.judges.true=gold",
            "+judge@judge.judges.near=relevance",
            f"judge.judges.near.path={path}",
        ],
    }
    annotate.run([*lab, f"judge={judge}", *settings[judge], "rows=2"])
    for row in rows_in(tmp_path):
        assert len({*row["rewards"]}) == len(row["responses"])
        assert [rating[judge] for rating in row["meta"]["ratings"]] == row["rewards"]
