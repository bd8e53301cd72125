"""Write the generated pages: docs/methods.md (every objective and regularizer) and docs/config.md (every choice).

`python scripts/make_docs.py` writes them; a test holds that they are up to date.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from alignlab.objectives.load import build_term, choices, load_objective, read_choice

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
NOTE = "<!-- written by scripts/make_docs.py; edit conf/ and run it again -->\n"


def methods_page() -> str:
    """Tables of objectives and regularizers: what each is, where, and what it asks for."""
    lines = [NOTE, "# Methods\n", "## Objectives\n"]
    lines += [
        "| `objective=` | what it is | function | sees | reference | hyper-parameters |",
        "|---|---|---|---|---|---|",
    ]
    for name in choices("objective"):
        objective = load_objective(name)
        node = read_choice("objective", name)
        sees = "pairs" if objective.is_pairwise else "lists"
        reference = "yes" if objective.needs_reference else "no"
        lines.append(_row(name, _title("objective", name), node["loss"], sees, reference))
    lines += [
        "\n## Regularizers\n",
        "| `regularizers=[...]` | what it is | function | kind | signals | settings |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for name in choices("regularizers"):
        node = read_choice("regularizers", name)[name]
        term = build_term(name, node, f"regularizers.{name}")
        lines.append(
            _row(name, _title("regularizers", name), node, term.kind, ", ".join(term.contract.signals))
        )
    lines.append("\nEquations and papers stand in the functions' docstrings.\n")
    return "\n".join(lines)


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
    return "\n".join(lines)


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated page: where it stands, and its text."""
    yield ROOT / "docs" / "methods.md", methods_page()
    yield ROOT / "docs" / "config.md", config_page()


def _row(name: str, title: str, node: dict, *cells: str) -> str:
    function = node["_target_"].removeprefix("alignlab.")
    hyper = {key: value for key, value in node.items() if key not in ("_target_", "kind")}
    settings = ", ".join(f"{key}={'null' if value is None else value}" for key, value in hyper.items())
    return " | ".join((f"| `{name}`", title, f"`{function}`", *cells, f"{settings} |"))


def _title(group: str, name: str) -> str:
    first = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[\1](https://arxiv.org/abs/\1)", first)


if __name__ == "__main__":
    for page, text in pages():
        page.write_text(text, encoding="utf-8")
        print(page.relative_to(ROOT))
