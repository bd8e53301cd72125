"""report.html of a run: whole in itself, complete, and inert whatever the samples say."""

import json
import re
from html.parser import HTMLParser

import pytest

from alignlab.errors import RunError
from alignlab.report.page import run_page, write_report
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import read_run
from tests.report.runs import make_run

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{ 7*7 }}</pre>"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; an end tag that closes nothing fails."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.text += " "
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture
def run(tmp_path):
    return make_run(
        tmp_path / "run",
        metrics={
            "train/loss": [0.7, 0.6, 0.5],
            "val/loss": [0.7, 0.6, 0.5],
            "val/logps/chosen": [-9.0, -20.0, -29.0],
        },
        initial={"val/loss": 0.7, "gold/reward": 0.5, "gold/reward_ci": 0.1},
        final={"val/loss": 0.5, "gold/reward": 2.5, "gold/reward_ci": 0.2},
        samples=tuple(
            {
                "prompt": f"{EVIL} {i}",
                "before": EVIL,
                "after": EVIL,
                "reward_before": 0.5,
                "reward_after": 1.5,
            }
            for i in range(8)
        ),
        overrides=("objective=dpo", "regularizers=[sft]", "run_name=it's <b>"),
        manifest={
            "changed": {"seed": [0, 3], "trainer.max_steps": [None, 32], "run_name": ["dpo", EVIL]},
            "rows": {"pairs": {"in": 10, "out": 8, "tied": 2}},
            "versions": {"torch": "2.6"},
        },
        error=EVIL,
    )


def test_text_of_the_run_stays_text(run):
    write_report(RunFolder(run))
    source = (run / "report.html").read_text()
    page = Page(source)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 8 * 3 + 2
    assert "{{ 7*7 }}" in page.text
    assert "49" not in re.findall(r"\b49\b", page.text)


def test_nothing_is_fetched(run):
    write_report(RunFolder(run))
    page = Page((run / "report.html").read_text())
    addresses = [value for name, value in page.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith("data:image/png;base64,") for value in addresses)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert "default-src 'none'" in dict(page.attributes)["content"]


def test_everything_is_there(run):
    write_report(RunFolder(run))
    text = " ".join(Page((run / "report.html").read_text()).text.split())
    for words in (
        "chosen log-prob fell by 20.0 nats",
        "2.500 ± 0.200",
        "before, reward 0.50",
        "after, reward 1.50",
        "2 more",
        "seed 0 3",
        "trainer.max_steps null 32",
        "pairs 10 8 tied: 2",
        "python train.py objective=dpo 'regularizers=[sft]' 'run_name=it'\"'\"'s <b>'",
        "torch 2.6",
    ):
        assert words in text, words
    assert {file.name for file in (run / "plots").iterdir()} == {"loss.png", "logps.png"}


def test_a_run_with_next_to_nothing_has_a_page(tmp_path):
    run = make_run(tmp_path / "run", status="failed", error="it broke")
    (run / "metrics.csv").unlink()
    page = Page(run_page(read_run(run), []))
    assert "it broke" in page.text
    assert "img" not in page.tags


def test_stages_are_told(tmp_path):
    told = [{"name": "01-easy", "status": "finished", "steps": 4, "final": {"val/loss": 0.61234}}]
    page = Page(run_page(read_run(make_run(tmp_path / "run", stages=told)), []))
    assert "01-easy finished 4 0.6123" in " ".join(page.text.split())


def test_without_a_manifest_the_overrides_are_told(tmp_path):
    run = make_run(tmp_path / "run", overrides=("seed=7",))
    (run / "manifest.json").write_text(json.dumps({}))
    record = read_run(run)
    assert record.command == "python train.py seed=7"
    assert "seed" in Page(run_page(record, [])).text


def test_what_is_no_run_folder(tmp_path):
    with pytest.raises(RunError, match=r"no summary\.json"):
        read_run(tmp_path)
