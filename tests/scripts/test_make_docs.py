"""The generated pages say what conf/ says."""

import runpy

import pytest

from tests.repository import ROOT

PAGES = dict(runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))["pages"]())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_pages_are_up_to_date(page):
    assert page.read_text(encoding="utf-8") == PAGES[page], "run: python scripts/make_docs.py"
