"""The dialect of the verbs, and what the program says to words that it does not know."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignlab import program
from alignlab.errors import ConfigError
from alignlab.program import VERBS, main
from alignlab.verbs.words import choice, flag, many, number, output, path, read, text, whole
from tests.repository import ROOT

KEYS = {
    "run": path(),
    "split": choice("validation", ("validation", "train")),
    "rows": whole(3, least=0),
    "alphas": many(number([0.1])),
    "runs": many(path()),
    "advice": flag(True),
    "baseline": text(),
}


def own(*words):
    return read(words, KEYS).own


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ((), "rows", 3),
        (("rows=0",), "rows", 0),
        (("run=~/x",), "run", Path.home() / "x"),
        (("alphas=[0.1, 1e-2]",), "alphas", [0.1, 0.01]),
        (("alphas=0.3",), "alphas", [0.3]),
        (("runs=a,b",), "runs", [Path("a"), Path("b")]),
        (("runs=['a b',c]",), "runs", [Path("a b"), Path("c")]),
        (("runs=['a,b',\"c\",it's]",), "runs", [Path("a,b"), Path("c"), Path("it's")]),
        (("advice=false",), "advice", False),
        (("baseline=objective=dpo seed=1",), "baseline", "objective=dpo seed=1"),
        (("--split", "train"), "split", "train"),
        (("--rows=5",), "rows", 5),
        (("--alphas", "0.1", "0.5", "split=train"), "alphas", [0.1, 0.5]),
        (("--no-advice", "rows=1"), "advice", False),
        (("--baseline", "objective=dpo"), "baseline", "objective=dpo"),
    ],
)
def test_a_key_and_its_value(words, key, value):
    assert getattr(own(*words), key) == value


@pytest.mark.parametrize("name", ["lr=1,b=2", "a b", "[x]", "[x], 'y'", 'it\'s,"so"'])
def test_a_folder_that_is_there_is_given_as_its_name_is_printed(tmp_path, name):
    (folder := tmp_path / name).mkdir()
    assert own(f"runs={folder}").runs == [folder]
    assert own(f"runs=[b,{folder},c]").runs == [Path("b"), folder, Path("c")]


def test_what_is_written_goes_to_a_folder_that_can_be(tmp_path):
    keys = {"out": output()}
    (tmp_path / "file").touch()
    assert read([f"out={tmp_path}/new/er"], keys).own.out == tmp_path / "new" / "er"
    with pytest.raises(ConfigError, match="expected a path that can be written"):
        read([f"out={tmp_path}/file/x"], keys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("splt=train",), "did you mean 'split'"),
        (("--splt", "train"), "did you mean 'split'"),
        (("split=trian",), "split=trian: did you mean 'train'"),
        (("rows=-1",), "rows=-1: expected a whole number from 0 on"),
        (("alphas=[a]",), r"alphas=\[a\]: expected a number, or a list"),
        (("advice=maybe",), "advice=maybe: expected true or false"),
        (("word",), "'word': expected key=value"),
    ],
)
def test_a_word_that_is_wrong(words, message):
    with pytest.raises(ConfigError, match=message):
        read(words, KEYS)


def test_other_words_are_overrides_of_the_config():
    typed = read(["ches", "data=lab", "+callbacks.x=1", "rows=2"], KEYS, overrides=True, names=1)
    assert (typed.names, typed.overrides, typed.own.rows) == (["ches"], ["data=lab", "+callbacks.x=1"], 2)
    with pytest.raises(ConfigError, match="there is no 'splitt': did you mean 'split'"):
        read(["splitt=train"], KEYS, overrides=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scor"], "error: there is no verb 'scor': did you mean 'score'"),
        (["objective=dpo"], "error: 'objective=dpo' is no verb; to train: alignlab train objective=dpo"),
        (["sweep", "dpo_beta"], "error: sweeps=dpo_beta: did you mean 'dpo_beta_lr'"),
        (["export", "run=x"], "error: out= is missing"),
    ],
)
def test_a_misspelt_line_is_one_message(words, message):
    with pytest.raises(SystemExit, match=message):
        main(words)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_a_command_to_copy(verb, capsys):
    main([verb, "--help"])
    shown = capsys.readouterr().out
    assert f"alignlab {verb}" in shown or verb == "train"
    main([])
    assert f"\n  {verb} " in capsys.readouterr().out


def test_every_file_of_the_room_is_a_verb():
    room = Path(program.__file__).parent / "verbs"
    assert {file.stem for file in room.glob("*.py")} == {*VERBS, "__init__", "words", "drawing"}


def test_help_of_train_fits_a_screen(capsys):
    main(["train", "--help"])
    lines = capsys.readouterr().out.splitlines()
    groups = [folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir()]
    for group in {*groups, "sweeps"} - {"hydra", "__pycache__"}:
        assert sum(line.startswith(f"  {group} ") for line in lines) == 1, group
    assert sum(line.startswith("  python train.py") for line in lines) == 6
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(("value", "traceback"), [(None, True), ("1", True), ("0", False)])
def test_a_bug_has_its_traceback_unless_it_is_not_wanted(value, traceback, tmp_path):
    code = (
        "import alignlab.launch.cli as cli, os\n"
        "def bug(cfg): raise ZeroDivisionError('a bug')\n"
        "cli.run = bug\n"
        "from alignlab.program import main\n"
        "main(['train', 'hydra.run.dir=run'])\n"
    )
    environment = {key: text for key, text in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if value is None else {"HYDRA_FULL_ERROR": value})
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a bug" in done.stderr
    assert ("Traceback" in done.stderr) is traceback


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["objectives", "dpo", "beta={"], "beta={: the value cannot be read as yaml"),
        (["objectives", "dpo", "out=x.nosuch"], "expected a picture, .png"),
        (["report", "runs=[]"], "give the folders as runs=DIR"),
        (["report", "runs=x", "test=u"], "test=u: valid names: t, wilcoxon"),
        (["extrapolate", "start=a", "trained=b", "alphas=[]"], "alphas=[]: expected a number"),
        (["extrapolate", "start=a", "trained=b", "alphas=[nan]"], "alphas=[nan]: expected a number"),
        (["analyze", "toy3d", "lr=-1"], "lr=-1: expected a number above 0"),
        (["plan", "prompt=99999999"], "prompt=99999999: expected a whole number from 1 to 1000000"),
        (["train", "objective=3"], "expected a choice"),
    ],
)
def test_odd_values_are_told(words, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(SystemExit, match=r"x\.png: Is a directory"):
        main(["objectives", "dpo", f"out={tmp_path / 'x.png'}"])


def test_an_encoding_without_the_letters(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "alignlab", "report", "runs=/données"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert made.stderr == b"error: runs=/donn\\xe9es: no such folder\n"
