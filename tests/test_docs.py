"""What the written pages name exists: options, parts, files."""

import re
from functools import cache

import pytest

from alignlab.objective.load import build_objective
from alignlab.places import choices
from tests.config.compose import composed, problem
from tests.repository import ROOT

OPTION = re.compile(r"'?(objective|regularizers|modifiers|pipeline|data)(\.[\w.]+)?=")
NAMES = {group: set(choices(group)) for group in ("objective", "regularizers", "modifiers")}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def options():
    """(parts that the first column names, what one code span of the last sets), for every row and span."""
    for line in (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| point "):
            point, _, other = line[1:-1].split(" | ")
            for span in re.findall(r"`([^`]+)`", other):
                if OPTION.match(span):
                    yield re.findall(r"`(\w+)`", point), span.split()


OPTIONS = list(options())
default = cache(composed)
"""The config of a line without the option; many options share one, and nothing changes it."""


@pytest.mark.parametrize(("parts", "settings"), OPTIONS, ids=[" ".join(settings) for _, settings in OPTIONS])
def test_every_option_is_accepted_and_is_another_than_the_default(parts, settings):
    named = sorted(NAMES["objective"].intersection(parts)) or ["dpo"]
    lines = [[f"objective={name}"] for name in named]
    if any(setting.startswith("objective=") for setting in settings):
        lines = [[]]
    for group in ("regularizers", "modifiers", "pipeline"):
        used = {part for used, part in re.findall(r"(\w+)\.(\w+)", " ".join(settings)) if used == group}
        if used and not any(setting.startswith(f"{group}=") for setting in settings):
            lines = [[*line, f"{group}=[{','.join(sorted(used))}]"] for line in lines]
    for line in lines:
        config = composed(*line, *settings)
        assert config != default(*line)
        build_objective(config["objective"], config["regularizers"], config["modifiers"])
        if not {"kl", "hypo"}.intersection(parts):  # fresh samples are for one's own loop
            assert problem(config) == ""


def test_there_are_options_to_check():
    assert len(OPTIONS) > 60
    spoken_of = {part for parts, _ in OPTIONS for part in parts}
    assert len(spoken_of & NAMES["objective"]) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"\bdocs/\w+\.md", text):
        assert (ROOT / path).is_file(), path
