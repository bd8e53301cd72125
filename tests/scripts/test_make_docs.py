"""The generated pages say what conf/ and the code say."""

import re
import runpy

import pytest
import yaml

from alignlab.objective.card import FAMILIES, GROUPS, as_yaml, cards
from alignlab.objective.load import load_objective
from alignlab.places import choices
from tests.invariants.reductions import REDUCTIONS
from tests.repository import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))
PAGES = dict(SCRIPT["pages"]())
OBJECTIVES = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
CARDS = [card for group in GROUPS for card in cards(group)]
every = pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.group}.{card.name}")
NUMBERS = re.compile(r"(-?[\d.]+) - (-?[\d.]+)")


def section(card):
    """What the page says of it, without the heading."""
    heading = f"\n### {SCRIPT['heading'](card)}\n"
    assert OBJECTIVES.count(heading) == 1
    return re.split(r"\n##+ ", OBJECTIVES.split(heading)[1])[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_pages_are_up_to_date(page):
    assert page.read_text(encoding="utf-8") == PAGES[page], "run: python scripts/make_docs.py"


def test_every_file_is_on_the_page():
    for group in GROUPS:
        assert {card.name for card in CARDS if card.group == group} == set(choices(group))
    for card in CARDS:
        assert f"| [`{card.name}`](#{SCRIPT['heading'](card).replace('.', '')}) |" in OBJECTIVES


@every
def test_section(card):
    text = section(card)
    assert card.formula
    assert " ".join(card.formula.replace("`", "").split()) in " ".join(text.split())
    assert all(f"`{signal}`" in text for signal in card.signals)
    assert all(f"(https://arxiv.org/abs/{paper})" in text for paper in card.papers)
    assert card.group != "objective" or {f"- data: {card.form}", f"- signals: {signals(card)}"} <= set(
        text.splitlines()
    )
    for hyper in card.hyper:
        assert f"| `{hyper.name}` | {as_yaml(hyper.default)} | {hyper.range.replace(' | ', ', ')} |" in text


def signals(card):
    return ", ".join(f"`{signal}`" for signal in card.signals)


@every
def test_every_number_has_a_range_around_its_default(card):
    for hyper in card.hyper:
        if isinstance(hyper.default, bool | str):
            assert as_yaml(hyper.default) in re.split(r" \| | ", hyper.range)
        elif " | " not in hyper.range:
            low, high = map(float, NUMBERS.fullmatch(hyper.range).groups())
            assert low < high
            assert hyper.default is None or low <= hyper.default <= high


@every
def test_named_tests_speak_of_it(card):
    named = re.search(r"^- test: (.*)$", section(card), re.MULTILINE)[1]
    paths = re.findall(r"\(\.\./(tests/[^)]*)\)", named)
    assert paths
    for path in paths:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"\b{card.name}\b|\b{card.target.rpartition('.')[2]}\b|_{card.name}\b", text)


@every
def test_paper_and_family(card):
    assert card.papers or card.group != "objective"
    assert card.family in FAMILIES
    assert (card.family == "lists") >= (card.form == "lists")


def test_what_is_said_to_be_another_is_tested():
    said = {
        frozenset((card.name, other))
        for card in CARDS
        for other in re.findall(r"`(\w+)`", " ".join(card.reduces))
        if card.group == "objective"
    }
    tested = {frozenset((case.name, case.other)) for case in REDUCTIONS}
    assert said == {pair for pair in tested if len(pair) == 2}


def test_what_a_page_names_exists():
    for path in set(re.findall(r"\(\.\./([^)#]+)\)", OBJECTIVES)):
        assert (ROOT / path).is_file()
    anchors = {re.sub(r"[^\w-]", "", line) for line in re.findall(r"^### (.*)$", OBJECTIVES, re.MULTILINE)}
    assert set(re.findall(r"\(#([^)]+)\)", OBJECTIVES)) == anchors


@pytest.mark.parametrize("name", choices("objective"))
def test_every_choice_and_both_ends_of_a_range_build(name):
    (card,) = (card for card in CARDS if (card.group, card.name) == ("objective", name))
    for hyper in card.hyper:
        ends = NUMBERS.fullmatch(hyper.range)
        words = ends.groups() if ends else [choice.split()[0] for choice in hyper.range.split(" | ")]
        for word in words:
            value = yaml.safe_load(word)
            whole = hyper.name == "topn" or not NUMBERS.search(hyper.range)
            load_objective(name, **{hyper.name: value if whole or isinstance(value, str) else float(value)})
