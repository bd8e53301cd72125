"""Every code block of the written pages: files are used, Python runs, commands compose and are in order."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep

from alignlab import ranks
from alignlab.assembly.check import failure_of
from alignlab.config import resolvers
from alignlab.config.stage_configs import planned, resolved
from alignlab.data.reading.examples import Report, transformed
from alignlab.places import CONF, PROJECT, project_searchpath
from alignlab.program import VERBS
from alignlab.types import Example
from alignlab.verbs import words as dialect
from tests.repository import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MANY = ("regularizers", "modifiers", "pipeline", "logger")
ELSEWHERE = {"hinge", "mine", "anchor"}
"""Files whose code the page leaves to its reader, or another test (test_readme_objective) puts in its place."""
MISSING_PACKAGE = re.compile(r"logger=\w+ needs the \w+ package")
LAUNCHERS = ("python", "torchrun", "srun")


class Block:
    """A fenced block: its page, its place on it, its language, and its text."""

    def __init__(self, page: Path, line: int, language: str, text: str) -> None:
        self.page, self.line, self.language, self.text = page, line, language, text

    @property
    def file(self) -> str:
        """The file that the block says it is, in one of its first lines; empty for none."""
        named = re.search(r"\A(?:# @package.*\n)?# (\S+\.(?:py|yaml))\b", self.text)
        return named[1] if named else ""

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a block of bash, or those behind a `$` among what they print."""
        text = self.text.replace("\\\n", " ")
        if self.language != "bash":
            text = "\n".join(re.findall(r"^\$ (.*)", text, re.MULTILINE))
        lines = [part for line in text.splitlines() for part in line.split(" && ")]
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield Block(page, text[: found.start()].count("\n") + 1, found[1], found[2])


BLOCKS = list(blocks())
WRITTEN = [block for block in BLOCKS if block.page.name != "config.md"]
"""All but the choices of conf/, which a page repeats: `scripts/make_docs.py --check` holds them to the files."""
COMMANDS = [(str(block), words) for block in WRITTEN for words in block.commands]
PYTHON = [block for block in WRITTEN if block.language == "python" and not block.text.startswith(">>>")]
FILES = [block for block in WRITTEN if block.language == "yaml"]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what the commands take for granted: rows, a model, and the files of all pages."""
    for name in ("copy/train.jsonl", "my_pairs.jsonl", "judged.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    for name in ("model", "sft", "dpo"):
        (tmp_path / name).mkdir()
        for file in ("config.json", "tokenizer.json", "model.safetensors"):
            length = "\x02" + 7 * "\0" if file.endswith(".safetensors") else ""  # of the header behind it
            (tmp_path / name / file).write_text(length + "{}")
    (tmp_path / "adapter").mkdir()
    adapter = {
        "base_model_name_or_path": str(tmp_path / "model"),
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
    }
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(adapter))
    (tmp_path / "adapter" / "adapter_model.safetensors").touch()
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def laid_out(desk: Path, page: Path) -> None:
    """The files of a page, where it says that they stand."""
    for block in WRITTEN:
        if block.page == page and block.file:
            place = desk / block.file.removeprefix("/my/configs/")
            if place.is_absolute() and not place.is_relative_to(desk):
                place = desk / place.name
            place = desk / "conf" / "sweeps" / place.name if "sweeps/" in block.file else place
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text)


def plan(line, desk):
    """The stages of a run with these overrides; a study or grid by each of its values in turn."""
    resolvers.register()
    GlobalHydra.instance().clear()
    line = [text.replace("/my/", f"{desk}/").replace("$PWD", str(desk)) for text in line]
    hydra = [f"hydra.searchpath=[file://{desk}/conf]"]
    own = [text for text in line if text.startswith("hydra")]
    with initialize_config_dir(str(CONF), version_base=None):
        for overrides in single([text for text in line if text not in own]):
            config = resolved(
                compose("train", overrides=[*hydra, *own, *overrides], return_hydra_config=False)
            )
            failure = failure_of(planned, config, overrides, hydra, "train") or ""
            assert not failure or MISSING_PACKAGE.match(failure)


def single(line):
    """The overrides with one value each: every value of a sweep once, beside the first ones of the others."""
    parsed = OverridesParser.create().parse_overrides(list(line))
    values = [
        [text]
        if not override.is_sweep_override()
        else [f"{override.get_key_element()}={v}" for v in swept(override)]
        for text, override in zip(line, parsed, strict=True)
    ]
    first = [options[0] for options in values]
    yield first
    for place, options in enumerate(values):
        for value in options[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


def swept(override):
    value = override.value()
    return [value.start] if isinstance(value, IntervalSweep) else list(override.sweep_string_iterator())


def test_every_block_says_what_it_is():
    assert {block.language for block in BLOCKS} == {"bash", "python", "yaml", "text"}
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("block", [b for b in WRITTEN if b.language == "bash"], ids=str)
def test_bash_can_read_it(block):
    read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=[f"{p} {' '.join(w)}"[:90] for p, w in COMMANDS])
def test_a_command_is_in_order(place, words, desk, monkeypatch):
    laid_out(desk, next(page for page in PAGES if page.name == place.partition(":")[0]))
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "alignlab":
        of_a_verb(words[1], words[2:], desk, monkeypatch)
    elif words[0] in LAUNCHERS and "train.py" in words:
        line = words[words.index("train.py") + 1 :]
        monkeypatch.setattr(ranks, "started_outside", lambda: 16 if words[0] == "torchrun" else 1)
        plan([text for text in line if not text.startswith("-")], desk)
    elif words[0] == "python":
        script = (ROOT / words[1]).read_text(encoding="utf-8")
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in script or f'"{option.replace("--no-", "--")}"' in script
    else:
        assert words[0] in ("export", ".venv/bin/pre-commit")


class Read(Exception):
    """The words of a verb were read: its work would begin now."""


def of_a_verb(verb, line, desk, monkeypatch):
    """A verb takes these words, and the overrides among them compose and are in order."""
    assert verb in VERBS
    module = import_module(f"alignlab.verbs.{verb}")
    if verb in ("train", "sweep", "submit"):
        if line[0].partition("=")[0] not in ("state", "failures", "cancel"):
            sent = ["launcher=slurm"] if verb == "submit" else []
            plan([*sent, *(text for text in line if not text.startswith("dry_run="))], desk)
        return

    def spied(*arguments, **keywords):
        raise Read(dialect.read(*arguments, **keywords))

    monkeypatch.setattr(module, "read", spied)
    with pytest.raises(Read) as caught:
        module.run(line)
    (typed,) = caught.value.args
    if verb in ("inspect", "plan", "score"):
        overrides = [
            text for text in typed.overrides if not text.startswith("run=") and text != "reference=none"
        ]
        plan(
            [*overrides, *([] if any(o.startswith("model=") for o in overrides) else ["model=smollm2_135m"])],
            desk,
        )


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs(block, desk):
    laid_out(desk, block.page)
    assert block.file or "import " in block.text
    exec(compile(block.text, str(block), "exec"), {"__name__": "block"})


@pytest.mark.parametrize("block", FILES, ids=str)
def test_a_yaml_file_composes(block, desk):
    assert yaml.safe_load(block.text)
    assert block.file, "say in its first line which file it is"
    laid_out(desk, block.page)
    if block.file == PROJECT:
        assert project_searchpath(desk)
        return
    place = desk / "conf" / Path(block.file).parent.name / Path(block.file).name
    place.write_text(block.text)
    group, name = place.parent.name, place.stem
    line = [f"{group}=[{name}]" if group in MANY else f"{group}={name}"]
    if name in ELSEWHERE:
        resolvers.register()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base=None):
            config = compose("train", overrides=[f"hydra.searchpath=[file://{desk}/conf]", *line])
        assert name in (config[group] if group in MANY else config[group].name)
        return
    plan([*line, *(["model=smollm2_135m"] if group == "sweeps" else [])], desk)


def test_choices_that_a_page_repeats_are_yaml():
    repeated = [block for block in BLOCKS if block.page.name == "config.md"]
    assert len(repeated) > 100
    for block in repeated:
        yaml.safe_load(block.text)


def test_the_step_that_a_page_adds_filters_rows(desk):
    laid_out(desk, ROOT / "docs" / "extending.md")
    turns = [{"role": "user", "content": "p"}]
    made = [
        Example(turns, [[{"role": "assistant", "content": text}], "no"], [1.0, 0.0], id=text)
        for text in ("short", "as long as it has to be")
    ]
    report = Report()
    step = import_module("my_steps").filter_short
    assert [row.id for row in transformed(made, "filter_short", step, report)] == ["as long as it has to be"]
    assert [drop["id"] for drop in report.dropped] == ["short"]
