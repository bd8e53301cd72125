"""Write the generated pages: docs/objectives.md (objectives, regularizers, modifiers), docs/config.md, docs/papers.md.

python scripts/make_docs.py           writes them
python scripts/make_docs.py --check   says which are out of date (part of `make check`)
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import yaml

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignlab.assembly.nodes import from_source
from alignlab.assembly.schema import SCHEMA
from alignlab.objective.card import FAMILIES, GROUPS, Card, as_yaml, cards
from alignlab.settings import hints_of, marks_of, words_of
from alignlab.signatures import hint_of

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
WITH_TARGETS = ("data", "model", "pipeline", "policy", "recipe", "scheduler", "strategy")
"""The groups whose choices name functions with settings; those of objectives stand on their page."""
NOTE = "<!-- written by scripts/make_docs.py; edit conf/ or the docstrings and run it again -->\n"
INTRODUCTION = """# Objectives

Every objective, regularizer and modifier: chosen by `objective=NAME`, `'regularizers=[NAME,NAME]'` and
`'modifiers=[NAME]'`; hyper-parameters are set as `objective.loss.beta=0.2`, `regularizers.sft.weight=0.1`,
`modifiers.ld.alpha=0.3`. `alignlab objectives NAME` prints one of them and draws its loss and gradient.

Logs are natural; log-probabilities and log-ratios are sums over a response's tokens, in nats, unless a formula
divides. `chosen_*` and `rejected_*` are the two sides of a pair, `i` and `j` responses of a list; what every signal
is stands in `alignlab/signals.py`. *Data* is the least that is needed: rated **lists**, **pairs** of responses to a
prompt, or **single** responses that are good or bad; pairs can be cut from lists, and lists of two are pairs.
*Range* is what a sweep should cover, *allowed* what a run takes at all.
What an objective *reduces to* on pairs labelled 1 and 0, with one beta on both
sides (0.3 where another number goes with it), stands in
[reductions.py](../alignlab/objective/reductions.py) and is held by
[test_reductions.py](../tests/invariants/test_reductions.py). *Metrics of its own* are in metrics.csv, the loggers and
the report, of training and validation. Where papers and libraries differ, see [conventions](conventions.md).
"""

PAPERS = """# Papers

What runs of each paper, by what command, and what holds it. Commands need no file and no network: they run on the
[embedded world](lab.md). *Shows* is what a run has to show; the tests are tests of that, and run the command in
miniature. A *claim* is a page on whether the paper's effect was there in the embedded world, which is often
[another matter](claims.md). The rows are those of [papers.yaml](papers.yaml).
"""
STATES = {"works": "What works", "half": "What half works", "not there": "What is not there yet"}


def objectives_page() -> str:
    """One table that leads to a section for each."""
    everything = [card for group in GROUPS for card in cards(group)]
    lines = [NOTE, INTRODUCTION]
    for family, title in FAMILIES.items():
        members = [card for card in everything if card.family == family]
        lines += [f"## {title}\n", *table(members)]
        lines += ["", *(section(card) for card in members)]
    return "\n".join(lines).rstrip() + "\n"


def table(members: Sequence[Card]) -> Iterator[str]:
    """One row each, under a heading."""
    cells: dict[str, list[str]] = {
        "name": [f"[`{card.name}`](#{heading(card).replace('.', '')})" for card in members],
        "what it is": [title(card) for card in members],
        "data": [card.form for card in members],
        "reference": [reference(card) for card in members],
        "reduces to": ["; ".join(card.reduces) for card in members],
    }
    yield from filled(cells)


def filled(cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The rows of a table by its columns, of which those that say nothing are left out."""
    columns = {name: column for name, column in cells.items() if any(column)}
    yield row(*columns)
    yield row(*("---" for _ in columns))
    for values in zip(*columns.values(), strict=True):
        yield row(*values)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def section(card: Card) -> str:
    """Formula, facts, hyper-parameters, and what to know."""
    signals = ", ".join(f"`{signal}`" for signal in card.signals) or "none of its own"
    modules = [target.rpartition(".")[0].replace(".", "/") + ".py" for target in card.target.split(" of ")]
    code = " of ".join(f"[{module}](../{module})" for module in modules)
    tests = ", ".join(f"[{path.name}](../{path.relative_to(ROOT)})" for path in tests_of(card))
    facts = [f"signals: {signals}", f"code: {code}", f"test: {tests}"]
    if card.form:
        facts[:0] = [f"data: {card.form}", f"labels: {card.labels}", f"reference: {reference(card)}"]
    lines = [f"### {heading(card)}\n", f"{title(card)}\n"]
    if card.formula:
        lines += ["```text", fill(card.formula.replace("`", ""), 100, break_on_hyphens=False), "```\n"]
    lines += [f"{note}\n" for note in card.notes]
    lines += [f"- {fact}" for fact in facts]
    lines += [f"- metrics of its own, as `train/{term}/...`: {text}" for term, text in card.reports]
    if card.hyper:
        lines += ["", row("hyper-parameter", "default", "range", "allowed", ""), row(*["---"] * 5)]
        lines += [
            row(f"`{h.name}`", as_yaml(h.default), h.values.replace(" | ", ", "), h.allowed, h.note)
            for h in card.hyper
        ]
    return "\n".join((*lines, ""))


def heading(card: Card) -> str:
    return card.name if card.group == "objective" else f"{card.group}.{card.name}"


def reference(card: Card) -> str:
    return ("none", "one", "two or more")[card.references] if card.form else ""


def title(card: Card) -> str:
    """The title with a link to the paper."""
    return f"{card.title}, [{card.paper}](https://arxiv.org/abs/{card.paper})" if card.paper else card.title


def tests_of(card: Card) -> list[Path]:
    """The test files of losses, regularizers or modifiers that name it most, two at most; else its invariants."""
    folder = ROOT / "tests" / card.group.replace("objective", "losses")
    counts = {
        path: path.read_text(encoding="utf-8").count(f'"{card.name}"') for path in folder.rglob("test_*.py")
    }
    ranked = sorted((path for path in counts if counts[path]), key=lambda path: (-counts[path], path))
    return ranked[:2] or [ROOT / "tests" / "invariants" / "test_batches.py"]


def config_page() -> str:
    """Every config group with its choices, and every key with its default and its comment."""
    lines = [NOTE, "# Config reference\n", "Root keys and defaults (`conf/train.yaml`):\n"]
    lines += ["```yaml", (CONF / "train.yaml").read_text(encoding="utf-8").strip(), "```\n"]
    for group in sorted(p.name for p in CONF.iterdir() if p.is_dir() and any(p.glob("*.yaml"))):
        lines.append(f"## {group}\n")
        for file in sorted((CONF / group).glob("*.yaml")):
            lines += [
                f"`{group}={file.stem}`\n",
                "```yaml",
                file.read_text(encoding="utf-8").strip(),
                "```\n",
            ]
    return "\n".join([*lines, *ranges()])


def ranges() -> Iterator[str]:
    """The values that each setting takes: of the groups by their schemas, of each choice by what it names."""
    yield "## What each setting takes\n"
    yield row("key", "values")
    yield row("---", "---")
    for path, schema in SCHEMA.items():
        for key, hint in hints_of(schema).items():
            if marks_of(hint):
                yield row(f"`{path}.{key}`".replace("`.", "`"), words_of(hint))
    files = (file for group in WITH_TARGETS for file in sorted((CONF / group).glob("*.yaml")))
    for file in files:
        for path, node in targets(yaml.safe_load(file.read_text(encoding="utf-8")), ""):
            signature = from_source(str(node["_target_"]), path)
            for key, parameter in (signature.parameters if signature else {}).items():
                if key in node and marks_of(hint := hint_of(parameter)):
                    yield row(f"`{file.parent.name}={file.stem}`: `{path}{key}`", words_of(hint))
    yield ""


def targets(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a yaml that names a target, by its path."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, below in node.items():
            yield from targets(below, f"{path}{key}.")


def papers() -> list[dict[str, Any]]:
    """The rows of docs/papers.yaml."""
    rows: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs" / "papers.yaml").read_text(encoding="utf-8"))
    return rows


def papers_page() -> str:
    """A table for each state of a paper, then the terms of other papers."""
    rows = papers()
    lines = [NOTE.replace("conf/ or the docstrings", "docs/papers.yaml or conf/"), PAPERS]
    for state, heading_ in STATES.items():
        members = [entry for entry in rows if entry["state"] == state]
        lines += [f"## {heading_} ({len(members)})\n", *papers_table(members), ""]
    known = {entry["paper"] for entry in rows}
    others = [card for group in GROUPS for card in cards(group) if card.paper and card.paper not in known]
    lines += [f"## Objectives, regularizers and modifiers of other papers ({len(others)})\n"]
    lines += ["Each trains in [test_every_objective.py](../tests/training/test_every_objective.py).\n"]
    lines += [row("paper", "command", "tests"), row("---", "---", "---")]
    for card in others:
        choice = f"objective={card.name}" if card.group == "objective" else f"'{card.group}=[{card.name}]'"
        tests = ", ".join(f"[{path.name}](../{path.relative_to(ROOT)})" for path in tests_of(card))
        lines.append(row(title(card), f"`alignlab train {choice} data=lab`", tests))
    return "\n".join(lines).rstrip() + "\n"


def papers_table(members: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One row each, under a heading."""
    cells = {
        "": [str(entry.get("number", "")) for entry in members],
        "paper": [
            f"{entry['title']}, [{entry['paper']}](https://arxiv.org/abs/{entry['paper']})"
            for entry in members
        ],
        "command": [
            "<br>".join(f"`{command}`" for command in entry.get("commands", ())) for entry in members
        ],
        "shows": [entry["shows"] for entry in members],
        "missing": [entry.get("lacks", "") for entry in members],
        "tests": [", ".join(map(test_link, entry.get("tests", ()))) for entry in members],
        "claim": [claim_link(entry["claim"]) if "claim" in entry else "" for entry in members],
    }
    yield from filled(cells)


def test_link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def claim_link(name: str) -> str:
    return f"[{name.replace('_', ' ')}](claims.md#{name.replace('_', '-')})"


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated page: where it stands, and its text."""
    yield ROOT / "docs" / "objectives.md", objectives_page()
    yield ROOT / "docs" / "config.md", config_page()
    yield ROOT / "docs" / "papers.md", papers_page()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where a page is out of date"
    )
    check = parser.parse_args(arguments).check
    stale = [page for page, text in pages() if page.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit(f"out of date: {', '.join(page.name for page in stale)}; run: python scripts/make_docs.py")
    for page, text in pages():
        if not check:
            page.write_text(text, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
