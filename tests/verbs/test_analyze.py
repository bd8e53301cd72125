"""Every question has a table and a picture; without what it needs there is one message."""

import csv

import pytest

from alignlab.policies.causal_lm.pretrained import load
from alignlab.program import main
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.tensor_file import flatten, write
from alignlab.verbs import analyze
from tests.verbs.small_run import MODEL, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("analyzed") / "run")


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("what", analyze.OF_ROWS)
def test_a_question_to_a_run(what, run, capsys):
    main(["analyze", what, f"run={run}"])
    text = said(capsys)
    assert "pairs" in text
    assert f"written: {run}/analysis/{what}.png" in text
    assert (run / f"analysis/{what}.png").is_file()


def test_displacement_names_tokens_and_counts_refusals(run, capsys):
    main(["analyze", "displacement", f"run={run}", "samples=4"])
    text = said(capsys)
    assert "gaining token 1: '" in text
    assert "refusals, chosen of the data │ 0.000 [" in text
    assert "refusals, samples after" in text


def test_the_frontier_begins_at_even_odds_and_no_divergence(tmp_path, capsys):
    run = make_run(tmp_path / "run", "evaluation=gold", "evaluation.prompts=6", "evaluation.max_new_tokens=6")
    trained = load(path=str(run / "model"))[0].state_dict()
    state = {"state_dict": {f"scorer.policy.model.{name}": value for name, value in trained.items()}}
    (run / "checkpoints").mkdir()
    write(run / "checkpoints" / "step-000002.ckpt", flatten(state))
    RunFolder(run).update_summary(steps=4)
    main(["analyze", "frontier", f"run={run}"])
    assert "step 4, the end" in said(capsys)
    with (run / "analysis" / "frontier.csv").open(newline="") as file:
        start, middle, end = csv.DictReader(file)
    assert [row["step"] for row in (start, middle, end)] == ["0", "2", "4"]
    assert float(start["win_rate"]) == 0.5
    assert [float(start["kl"]), float(start["kl_k3"])] == pytest.approx([0.0, 0.0], abs=1e-5)
    assert float(end["kl_k3"]) > 0
    numbers = set(start) - {"policy", "step"}
    assert {name: middle[name] for name in numbers} == {name: end[name] for name in numbers}


def test_the_toy_needs_no_run_and_takes_regularizers(tmp_path, capsys):
    given = ["objective=dpo", "regularizers=[sft]", "epochs=3", f"out={tmp_path}"]
    main(["analyze", "toy3d", *given])
    assert "toy of the 3D-properties: dpo" in said(capsys)
    assert (tmp_path / "toy3d.png").is_file()


def test_errors_are_messages(tmp_path):
    with pytest.raises(SystemExit, match=r"error: run=.*: no run folder there"):
        main(["analyze", "length", f"run={tmp_path}"])
    with pytest.raises(SystemExit, match=r"no question 'lenght': did you mean 'length'"):
        main(["analyze", "lenght"])
    with pytest.raises(SystemExit, match="error: frontier needs a run: pass run="):
        main(["analyze", "frontier"])
    with pytest.raises(SystemExit, match="error: displacement needs a reference: pass run="):
        main(
            [
                "analyze",
                "displacement",
                *MODEL,
                "data.limit=8",
                "data.limit_validation=4",
                f"cache_dir={tmp_path}",
            ]
        )
    with pytest.raises(SystemExit, match="error: objective 'tdpo1' takes"):
        main(["analyze", "toy3d", "objective=tdpo1"])
