"""report.html, of a run and of many: one page with everything in it, no script, nothing to fetch."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from alignlab.console import before_and_after
from alignlab.errors import RunError
from alignlab.report.findings import findings
from alignlab.report.over_optimization import plot_over_optimization
from alignlab.report.plots import PLOTS, plot_run
from alignlab.report.reliability import plot_reliability
from alignlab.report.rollouts import shown_rollouts
from alignlab.report.scores import calibration_lines, mistakes, plot_scores
from alignlab.report.table import Table
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record, read_run
from alignlab.runs.setting import Setting
from alignlab.uncertainty import PLUS_MINUS

SHOWN_SAMPLES = 6
FIRST = (
    "loss",
    "rewards",
    "margin",
    "accuracy",
    "logps",
    "displacement",
    "lengths",
    "logratio",
    "kl",
    "calibration",
    "reliability",
    "over_optimization",
    "drawn_reward",
    "drawn_kl",
    "drawn_variety",
    "scores",
    "leads",
    "score_by_length",
)
"""Pictures that are open on the page; the others are a click away."""
PNG = b"\x89PNG\r\n\x1a\n"
"""The first bytes of every png."""


class Picture(NamedTuple):
    """An image that travels in the page."""

    name: str
    data: str


def write_report(folder: RunFolder) -> list[Path]:
    """Write plots/*.png and report.html from what the run folder holds; gives the pictures in the page.

    Raises RunError where plots/ is a link: drawing would write to another folder.
    """
    if folder.plots.is_symlink():
        raise RunError(f"{folder.plots} is a link, and drawing would write to another folder: remove it")
    record = read_run(folder.path)
    plot_run(record, folder.plots)
    plot_reliability(folder)
    plot_over_optimization(record, folder.plots)
    plot_scores(folder)
    pictures = sorted_plots(folder.plots)
    folder.write_text("report.html", run_page(record, pictures))
    return pictures


def run_page(record: Record, pictures: Sequence[Path]) -> str:
    """The page of one run. All text of the run is escaped: nothing a model says becomes markup."""
    first = [file for file in pictures if file.stem in FIRST]
    return render(
        "run.html",
        title=record.title,
        record=record,
        facts=_facts(record),
        warnings=findings(record),
        moments=[
            [row[0].replace("margin, nats", f"margin, {record.reward_unit}"), *row[1:]]
            for row in before_and_after(record.initial, record.final)
        ],
        everything=[
            [name, *(_number(moment.get(name)) for moment in (record.initial, record.final))]
            for name in record.final
        ],
        stages=[_stage(stage) for stage in record.summary.get("stages", ())],
        pictures=[inlined(file) for file in first],
        more_pictures=[inlined(file) for file in pictures if file not in first],
        shown=SHOWN_SAMPLES,
        rollouts=shown_rollouts(record.folder),
        calibration=calibration_lines(RunFolder(record.path)),
        mistakes=mistakes(RunFolder(record.path)),
        changed=_changed(record),
        rows=_rows(record.manifest.get("rows", {})),
        command=record.command,
        plus_minus=PLUS_MINUS,
        environment=_environment(record.manifest),
    )


def runs_page(folders: Sequence[Path], runs: Sequence[Record], table: Table, pictures: Sequence[Path]) -> str:
    """The page of many runs."""
    unfinished = [run for run in runs if not run.finished]
    return render(
        "runs.html",
        title=", ".join(folder.name for folder in folders),
        facts=[f"{len(runs)} runs", f"{len(table.settings)} rows", f"{len(unfinished)} not finished"],
        table=table,
        pictures=[inlined(file) for file in pictures],
        warnings=_warnings(table.settings),
        unfinished=unfinished,
    )


def _warnings(settings: Sequence[Setting]) -> dict[str, list[str]]:
    """Runs by the warnings that they share, word for word."""
    runs: dict[str, list[str]] = {}
    for setting in settings:
        for seed, run in setting.finished.items():
            for text in findings(run):
                runs.setdefault(text, []).append(f"{setting.name} seed={seed}")
    return runs


def render(template: str, **values: Any) -> str:
    """Fill a template; every value is escaped."""
    environment = Environment(
        loader=PackageLoader("alignlab.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**values)


def inlined(file: Path) -> Picture:
    """A png as a data url."""
    return Picture(
        file.stem.replace("_", " "), f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
    )


def sorted_plots(folder: Path) -> list[Path]:
    """All pictures of a folder, and no other files: the known ones first, in the order they are asked for."""
    order = {plot.name: place for place, plot in enumerate(PLOTS)}
    files = [file for file in folder.glob("*.png") if _is_picture(file)]
    return sorted(files, key=lambda file: (order.get(file.stem, len(order)), file.name))


def _is_picture(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(PNG)) == PNG


def _facts(record: Record) -> list[str]:
    facts = [record.status, f"{record.steps:,} steps"]
    if "total" in record.timings:
        facts.append(f"{record.timings['total']:,.0f} s")
    if speed := record.summary.get("tokens_per_second"):
        facts.append(f"{speed:,.0f} tokens/s")
    return [*facts, f"seed {record.seed or '?'}", f"folder {'/'.join(record.path.parts[-2:])}"]


def _stage(stage: Mapping[str, Any]) -> list[str]:
    final = stage.get("final") or {}
    numbers = (final.get(name) for name in ("val/loss", "val/rewards/accuracy"))
    return [stage["name"], str(stage.get("status")), str(stage.get("steps")), *map(_number, numbers)]


def _changed(record: Record) -> list[list[str]]:
    """Keys that differ from the defaults, with both values; where the defaults were not kept, what was typed."""
    if (changed := record.manifest.get("changed")) is not None:
        return [[key, _typed(default), _typed(here)] for key, (default, here) in changed.items()]
    return [[key, "", value] for key, _, value in (text.partition("=") for text in record.overrides)]


def _typed(value: Any) -> str:
    """A value as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rows(steps: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    return [
        [
            name,
            str(counts.get("in", "")),
            str(counts.get("out", "")),
            ", ".join(
                f"{reason}: {count}" for reason, count in counts.items() if reason not in ("in", "out")
            ),
        ]
        for name, counts in steps.items()
    ]


def _environment(manifest: Mapping[str, Any]) -> list[str]:
    git, hardware = manifest.get("git") or {}, manifest.get("hardware") or {}
    facts = [f"{name} {version}" for name, version in (manifest.get("versions") or {}).items() if version]
    if git:
        facts.append(f"commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}")
    gpus = hardware.get("gpus") or []
    return facts + (gpus or [f"{hardware.get('cpu_count', '?')} CPU cores"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
