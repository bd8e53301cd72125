"""The generated pages say what conf/ and the code say (`make check` holds that the files are up to date)."""

import runpy

import pytest

from alignlab.objective.card import FAMILIES, GROUPS, as_yaml, cards
from alignlab.places import choices
from tests.repository import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))
CARDS = [card for group in GROUPS for card in cards(group)]
every = pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.group}.{card.name}")


@pytest.fixture(scope="module")
def page():
    return SCRIPT["objectives_page"]()


def section(card, page):
    """What the page says of it, without the heading."""
    heading = f"\n### {SCRIPT['heading'](card)}\n"
    assert page.count(heading) == 1
    return page.split(heading)[1].split("\n## ")[0].split("\n### ")[0]


def test_every_choice_has_a_row(page):
    for group in GROUPS:
        assert {card.name for card in CARDS if card.group == group} == set(choices(group))
    for card in CARDS:
        assert f"| [`{card.name}`](#{SCRIPT['heading'](card).replace('.', '')}) |" in page


@every
def test_section(card, page):
    text = section(card, page)
    assert " ".join(card.formula.replace("`", "").split()) in " ".join(text.split())
    assert all(f"`{signal}`" in text for signal in card.signals)
    assert card.paper is None or f"(https://arxiv.org/abs/{card.paper})" in text
    assert card.group != "objective" or f"\n- data: {card.form}\n" in text
    assert card.family in FAMILIES
    for hyper in card.hyper:
        assert f"| `{hyper.name}` | {as_yaml(hyper.default)} | {hyper.values.replace(' | ', ', ')} |" in text


@every
def test_what_a_section_names_exists(card, page):
    paths = [part.split(")")[0] for part in section(card, page).split("](../")[1:]]
    assert paths
    assert all((ROOT / path).is_file() for path in paths)


def test_a_stale_page_is_told(monkeypatch, tmp_path, capsys):
    stale = tmp_path / "objectives.md"
    stale.write_text("old", encoding="utf-8")
    monkeypatch.setitem(SCRIPT["main"].__globals__, "pages", lambda: [(stale, "new")])
    with pytest.raises(SystemExit, match=r"out of date: objectives\.md; run: python scripts/make_docs\.py"):
        SCRIPT["main"](["--check"])
    assert stale.read_text(encoding="utf-8") == "old"
