"""Every question has a table and a picture; without what it needs there is one message."""

import pytest

from scripts import analyze
from tests.scripts.small_run import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("analyzed") / "run")


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("what", list(analyze.OF_ROWS))
def test_a_question_to_a_run(what, run, capsys):
    analyze.main([what, f"run={run}"])
    text = said(capsys)
    assert "pairs" in text
    assert f"written: {run}/analysis/{what}.png" in text
    assert (run / f"analysis/{what}.png").is_file()


def test_the_toy_needs_no_run_and_takes_regularizers(tmp_path, capsys):
    given = ["objective=dpo", "regularizers=[sft]", "--epochs", "3", "--out", str(tmp_path)]
    analyze.main(["toy3d", *given])
    assert "toy of the 3D-properties: dpo" in said(capsys)
    assert (tmp_path / "toy3d.png").is_file()


def test_errors_are_messages(tmp_path):
    with pytest.raises(SystemExit, match=r"error: run=.*: no run folder there"):
        analyze.main(["length", f"run={tmp_path}"])
    with pytest.raises(SystemExit, match="error: objective 'tdpo1' takes"):
        analyze.main(["toy3d", "objective=tdpo1"])
