"""`alignlab evaluate` and `alignlab score` of model folders, by their heads or by implicit rewards."""

import json

import pytest
import torch

import alignlab
from alignlab.assembly.build import call
from alignlab.config.stage_of import stage_to_score, train_config
from alignlab.config.subject import StageSubject
from alignlab.errors import ConfigError, DataError
from alignlab.evaluation.suites.context_reversal import require_two_contexts
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.reward_model import RewardModel
from alignlab.program import main
from alignlab.training.rows import check_users
from alignlab.types import Example
from tests.verbs.small_run import MODEL, make_run

ANSWERS = ("The fox is red.", "The fox eats grass.", "I hope this helps.", "It lives in the forest.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with a language model, and beside it a reward model, the start, and files of the benchmarks."""
    folder = tmp_path_factory.mktemp("evaluated")
    run = make_run(folder / "run")
    model, tokenizer = load(path=str(run / "model"))
    head = RewardModel.adopt(model, tokenizer)
    head.save_pretrained(folder / "reward")
    tokenizer.save_pretrained(folder / "reward")
    loader = train_config([*MODEL, f"cache_dir={folder / 'cache'}"])["model"]["loader"]
    start, tokenizer = call(loader, "model.loader")()
    start.save_pretrained(folder / "start")
    tokenizer.save_pretrained(folder / "start")
    pairs = [
        {
            "prompt": f"Tell me about the {animal}.",
            "chosen": ANSWERS[k],
            "rejected": ANSWERS[k - 1],
            "subset": subset,
        }
        for k, animal in enumerate(("fox", "bat", "crow"))
        for subset in ("math-prm", "hep-rust", "donotanswer")
    ]
    rows = [
        {**row, "id": place, "chosen_model": "a", "rejected_model": "b"} for place, row in enumerate(pairs)
    ]
    (folder / "filtered.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def evaluated(folder, *words, out="result"):
    main(["evaluate", *words, f"out={folder / out}", f"cache_dir={folder / 'cache'}"])
    rows = [json.loads(line) for line in (folder / out / "scores.jsonl").read_text().splitlines()]
    return json.loads((folder / out / "result.json").read_text()), rows


def test_a_reward_model_and_a_benchmark(folder, capsys):
    words = ["suite=rewardbench", f"model={folder / 'reward'}", f"data.path={folder / 'filtered.jsonl'}"]
    result, rows = evaluated(folder, *words)
    policy = alignlab.load_policy(folder / "reward")
    raw = [json.loads(line) for line in (folder / "filtered.jsonl").read_text().splitlines()]
    asked = {f"{row['subset']}/{row['id']}": row for row in raw}
    assert len(rows) == len(raw)
    for row in rows:
        source = asked[row["id"]]
        values = policy(source["prompt"], [source["chosen"], source["rejected"]])["values"]
        assert row["scores"] == pytest.approx(values.tolist(), abs=1e-6)
        assert row["right"] == (row["scores"][0] > row["scores"][1])
    lines = {line["name"]: line["value"] for line in result["lines"]}
    right = {name: [row["right"] for row in rows if row["part"] == name] for name in ("math-prm", "hep-rust")}
    shares = {name: sum(of) / len(of) for name, of in right.items()}
    reasoning = (984 * shares["math-prm"] + 164 * shares["hep-rust"]) / 1148
    assert lines["Reasoning"] == pytest.approx(reasoning)
    assert result["score"] == pytest.approx((lines["Reasoning"] + lines["Safety"]) / 2)
    page = (folder / "result" / "report.html").read_text()
    assert "RewardBench" in page
    assert (folder / "result" / "result.png").stat().st_size > 5_000
    again, same = evaluated(folder, *words)
    assert (again["lines"], same) == (result["lines"], rows)
    assert "Reasoning" in capsys.readouterr().out


def test_implicit_rewards_are_log_ratios_to_the_reference(folder):
    words = ["suite=rewardbench", f"data.path={folder / 'filtered.jsonl'}", "objective.loss.beta=0.5"]
    model = f"model={folder / 'run' / 'model'}"
    alone, free = evaluated(folder, *words, model, out="free")
    _, start = evaluated(folder, *words, f"model={folder / 'start'}", out="of_start")
    against, ratios = evaluated(folder, *words, model, f"reference.path={folder / 'start'}", out="ratio")
    for row, own, reference in zip(ratios, free, start, strict=True):
        gaps = [a - b for a, b in zip(own["scores"], reference["scores"], strict=True)]
        assert row["scores"] == pytest.approx(gaps, abs=1e-5)
    assert any("log-probabilities alone" in note for note in alone["notes"])
    assert against["against"].endswith("start")


def test_any_data_under_a_run(folder):
    criteria = "pipeline.context_pairs.criteria={length: The, -length: fox}"
    few = [f"run={folder / 'run'}", "data.limit=6", "data.limit_validation=4"]
    result, rows = evaluated(
        folder, "suite=context_reversal", *few, criteria, "pipeline.context_pairs.form=user"
    )
    assert len(rows) == 8  # two for each list
    assert {line["name"] for line in result["lines"]} >= {"length", "-length", "reversed pairs"}
    result, rows = evaluated(folder, "suite=order_sensitivity", *few)
    assert result["lines"][0]["name"] == "words"
    assert all(len(row["scores"]) == 2 for row in rows)


def test_a_reward_model_is_scored_as_a_table(folder, capsys):
    out = folder / "scores.parquet"
    data = [
        "data=lab",
        "data.limit=8",
        "data.limit_validation=8",
        f"cache_dir={folder / 'cache'}",
        f"out={out}",
    ]
    main(["score", f"model={folder / 'reward'}", *data])
    text = " ".join(capsys.readouterr().out.split())
    assert "accuracy │ 0." in text
    assert "score of chosen" in text
    import pyarrow.parquet as pq

    table = pq.read_table(out)
    assert "logp" not in table.column_names
    assert table.schema.metadata[b"reward_unit"] == b"score"
    assert torch.tensor(table["reward"].to_pylist()).isfinite().all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["suite=rewardbnch"], "suite=rewardbnch: .*rewardbench"),
        ([], "suite= is missing"),
        (["suite=rewardbench", "run=x", "model=y"], "leave one of them out"),
        (
            ["suite=rewardbench", "policy=reward_model", "model={start}", "data.path={file}"],
            "a language model without",
        ),
        (["suite=rewardbench", "policy=causal_lm", "model={reward}", "data.path={file}"], "is a classifier"),
        (
            ["suite=rewardbench", "model={reward}", "data.path={file}", "out={start}"],
            "holds no result of a suite",
        ),
    ],
)
def test_bad_words_are_told_before_anything_loads(folder, words, message, monkeypatch):
    monkeypatch.setattr("alignlab.training.opened.load", lambda *_: pytest.fail("a model was loaded"))
    places = {"start": folder / "start", "reward": folder / "reward", "file": folder / "filtered.jsonl"}
    with pytest.raises(SystemExit, match=message):
        main(["evaluate", *(word.format(**places) for word in words)])


LONE = [{"prompt": f"Ask {k}.", "completion": "Yes.", "label": k % 2 == 0} for k in range(4)]
PAIRS = [{"prompt": f"Ask {k}.", "chosen": "Yes.", "rejected": "No."} for k in range(4)]


@pytest.mark.parametrize(
    ("rows", "asked", "message"),
    [
        (LONE, ((), None), r"row data\.jsonl:1 has one response: a suite compares"),
        (PAIRS, (["pipeline=[context_pairs]"], None), "no ratings by aspect"),
        (PAIRS, ((), require_two_contexts), "has no context"),
    ],
)
def test_rows_that_cannot_serve_are_told_before_a_model_loads(
    folder, tmp_path, rows, asked, message, monkeypatch
):
    monkeypatch.setattr("alignlab.training.opened.load", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = ["data=local", f"data.path={tmp_path / 'data.jsonl'}", "data.validation_fraction=null"]
    words = [f"model={folder / 'reward'}", *data, f"cache_dir={folder / 'cache'}"]
    with pytest.raises(DataError, match=message):
        StageSubject(words, None).scored(*asked)


def test_a_language_model_is_no_reward_model_to_score_with(folder):
    with pytest.raises(ConfigError, match="model=tiny is a language model without"):
        stage_to_score(["policy=reward_model", "objective=bradley_terry"])


def test_users_whom_the_policy_does_not_know_are_told_by_their_row():
    def rows(*users):
        return [Example([], ["a", "b"], [1.0, 0.0], id=f"r{u}", meta={"user": u} if u else {}) for u in users]

    check_users(frozenset({"anna", "ben"}), rows("anna", "ben"))
    check_users(None, rows("anna", ""))
    with pytest.raises(DataError, match="row rcarl is of user 'carl', whom the model does not know"):
        check_users(frozenset({"anna"}), rows("anna", "carl"))
    with pytest.raises(DataError, match="names no user"):
        check_users(frozenset({"anna"}), rows("anna", ""))
