"""What a model will see of a data set: lists decoded from their tokens, the account of all rows, statistics.

alignlab inspect data=ultrafeedback pipeline=[ranked]

    rows=3          so many lists, shortened
    row=17          this one list, whole, and no more
    split=train     or validation
    out=FOLDER      where pictures go; outputs/inspect/<data> unless told otherwise

Takes the overrides of train. Prints some lists decoded from their tokens, coloured by what is trained on, then how many
rows every step let through, statistics of lengths and labels, and dropped rows with their reasons; writes lengths.png,
labels.png and dropped_rows.jsonl.

The colours: prompt blue, responses green (tokens of a response in turn bright and dim, so that one can see where each
begins), special tokens red. Without a terminal, special tokens stand in ⟨⟩.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alignlab.config.stage_of import stage_of
from alignlab.console import printer, quiet
from alignlab.data.encoding.token_rows import Array, TokenRows
from alignlab.data.statistics import Statistics, statistics
from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.training.opened import Opened, open_rows
from alignlab.verbs.words import choice, output, read, whole

KEYS = {
    "rows": whole(3, least=0),
    "row": whole(None, least=0),
    "split": choice("train", ("train", "validation")),
    "out": output(),
}
SHOWN = 60
"""The number of tokens of a shortened prompt or response."""
PROMPT, RESPONSE, SPECIAL = "#3b6fb6", ("#1b7f5f", "#62b08f"), "bold #b23a48"
HALF = "\ufffd"
"""The character that decoding writes for a letter whose last bytes are missing."""
LETTER, CONTEXT = 6, 8
"""The most tokens of one letter, and the tokens before a token that decoding has to see to give its spaces."""


def run(words: Sequence[str]) -> None:
    """Show the data set that the overrides choose."""
    typed = read(words, KEYS, overrides=True)
    own = typed.own
    console = printer()
    with quiet():
        opened = open_rows(stage_of(typed.overrides))
    rows = getattr(opened.splits, own.split)
    if own.row is not None:
        if own.row >= len(rows):
            raise ConfigError(f"row={own.row}: the {own.split} split has lists 0 to {len(rows) - 1}")
        _show_list(console, opened, rows, own.row, whole=True)
        return
    for index in range(min(own.rows, len(rows))):
        _show_list(console, opened, rows, index, whole=False)
    _show_account(console, opened)
    figures = {split: statistics(getattr(opened.splits, split)) for split in ("train", "validation")}
    _show_statistics(console, figures)

    from alignlab.analysis.dataset_plots import plot_labels, plot_lengths

    out = own.out or Path("outputs/inspect") / "-".join([opened.stage.data.name, *opened.stage.data.steps])
    plot_lengths(out / "lengths.png", figures["train"])
    plot_labels(out / "labels.png", figures["train"])
    RunFolder(out).write_lines("dropped_rows.jsonl", opened.report.dropped)
    console.print(f"written: {out}")


def _show_list(console: Console, opened: Opened, rows: TokenRows, number: int, *, whole: bool) -> None:
    """Print one list, decoded from its tokens."""
    example = rows.examples[int(rows.places[number])]
    more = {key: value for key, value in example.meta.items() if key not in ("prompts", "rationale_prompt")}
    console.rule(f"list {number}: {example.id}", align="left")
    if more:
        console.print(Text(f"meta: {more}" if whole else f"meta: {more!s:.200}", style="dim"))
    place = 0
    for prompt, members in rows.parts(number):
        console.print(Text(f"prompt, {len(prompt)} tokens", style="bold"))
        console.print(_decoded(opened.tokenizer, prompt, (PROMPT, PROMPT), whole=whole, end=True))
        for member in members:
            ids = rows.responses[member]
            reward = "" if rows.rewards is None else f", reward {rows.rewards[number][place]:g}"
            title = f"response {place}, label {rows.labels[number][place]:.4g}{reward}, {len(ids)} tokens"
            console.print(Text(title, style="bold"))
            console.print(_decoded(opened.tokenizer, ids, RESPONSE, whole=whole))
            place += 1
    console.print()


def _decoded(tokenizer: Any, ids: Array, styles: tuple[str, str], *, whole: bool, end: bool = False) -> Text:
    """Return the text of tokens, each in its colour, shortened in the middle, or in a prompt at its `end`."""
    special = {int(i) for i in tokenizer.all_special_ids}
    pieces = [*_pieces(tokenizer, [int(i) for i in ids])]
    if not whole and len(pieces) > SHOWN:
        first = SHOWN // 3 if end else 2 * SHOWN // 3
        left = len(pieces) - SHOWN
        pieces = [*pieces[:first], (-1, f" [... {left} tokens ...] "), *pieces[first - SHOWN :]]
    text = Text()
    for place, (token, piece) in enumerate(pieces):
        if token in special:
            text.append(f"⟨{piece}⟩", style=SPECIAL)
        else:
            text.append(piece, style="dim italic" if token < 0 else styles[place % 2])
    return text


def _pieces(tokenizer: Any, ids: list[int]) -> Iterator[tuple[int, str]]:
    """Yield each token with the text that it adds; a letter of several tokens comes with the last of them."""
    decoded = 0
    for count, token in enumerate(ids, start=1):
        start = max(0, decoded - CONTEXT)
        before, after = (tokenizer.decode(ids[start:end]) for end in (decoded, count))
        if after.endswith(HALF) and count - decoded < LETTER and count < len(ids):
            yield token, ""
            continue
        yield token, after[len(before) :] if after.startswith(before) else tokenizer.decode([token])
        decoded = count


def _show_account(console: Console, opened: Opened) -> None:
    """Print how many rows went in, came out and were dropped at every step, with an example of each reason."""
    table = Table(title="rows of both splits", title_justify="left")
    for name in ("step", "in", "out", "dropped", "why, and an example"):
        table.add_column(
            name, justify="right" if name in ("in", "out", "dropped") else "left", overflow="fold"
        )
    examples = {(drop["step"], drop["reason"]): _name(drop) for drop in reversed(opened.report.dropped)}
    for step, counts in opened.report.steps.items():
        reasons = {
            what.removeprefix("dropped: "): n for what, n in counts.items() if what not in ("in", "out")
        }
        table.add_row(
            step,
            f"{counts['in']:,}",
            f"{counts['out']:,}",
            f"{sum(reasons.values()):,}",
            "\n".join(f"{n:,} {why} (e.g. {examples[step, why]})" for why, n in reasons.items()),
        )
    console.print(table)


def _name(drop: dict[str, Any]) -> str:
    return drop["id"] or f"{drop['file']}, row {drop['row']}"


def _show_statistics(console: Console, figures: dict[str, Statistics]) -> None:
    """Print lengths, labels, ties and repetitions of both splits."""
    table = Table(title="statistics", title_justify="left")
    table.add_column("")
    for split in figures:
        table.add_column(split, justify="right")
    lines: dict[str, Callable[[Statistics], str]] = {
        "lists": lambda s: f"{len(s.sizes):,}",
        "responses a list": lambda s: ", ".join(
            f"{k}: {n:,}" for k, n in sorted(Counter(s.sizes.tolist()).items())
        ),
        "prompt tokens, median / 95 % / most": lambda s: _spread(s.prompts),
        "response tokens, median / 95 % / most": lambda s: _spread(s.responses),
        "labels, least / median / most": lambda s: _range(s.labels),
        "label gap best - worst, median": lambda s: _middle(s.gaps),
        "lists with equal labels": lambda s: _percent(s.ties),
        "lists with several best": lambda s: _percent(s.tied_best),
        "best longer than worst": lambda s: _percent(s.longer_best),
        "lists whose prompt came before": lambda s: _percent(s.repeated_prompts),
        "lists that came before": lambda s: _percent(s.repeated_lists),
    }
    for name, figure in lines.items():
        table.add_row(name, *(figure(s) for s in figures.values()))
    console.print(table)


def _spread(values: Array) -> str:
    if not len(values):
        return "-"
    return " / ".join(f"{value:,.0f}" for value in (*np.percentile(values, [50, 95]), values.max()))


def _range(values: Array) -> str:
    return " / ".join(f"{value:.3g}" for value in np.percentile(values, [0, 50, 100])) if len(values) else "-"


def _middle(values: Array) -> str:
    return f"{np.median(values):.3g}" if len(values) else "-"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f} %"
