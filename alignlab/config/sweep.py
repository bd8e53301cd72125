"""The table at the end of a sweep, kept up to date after every job."""

import csv
import io
import json
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from alignlab.console import print_table
from alignlab.training.run_folder import write_text

SHOWN = (
    "val/loss",
    "val/rewards/accuracy",
    "val/ranking_accuracy",
    "val/rewards/margin",
    "gold/reward",
    "gold/kl",
)


class SweepTable(Callback):
    """Writes `summary.csv` in the sweep folder; one row a job, failed ones included."""

    current: ClassVar["SweepTable | None"] = None
    """The sweep of this process: a failed job ends Hydra's own course before its last callback."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """A sweep begins."""
        SweepTable.current = self

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Add the job's row."""
        if SweepTable.current is None or job_return.hydra_cfg is None:
            return
        folder = Path(job_return.hydra_cfg.hydra.runtime.output_dir)
        self.folder = folder.parent
        self.rows.append(
            {"job": folder.name, "overrides": " ".join(job_return.overrides or []), **_read(folder)}
        )
        write_text(self.folder / "summary.csv", self._csv())

    def _own(self, row: dict[str, Any]) -> str:
        """The overrides that tell a job from the others of its sweep."""
        shared = set.intersection(*(set(r["overrides"].split()) for r in self.rows))
        return " ".join(o for o in row["overrides"].split() if len(self.rows) == 1 or o not in shared)

    def show(self) -> None:
        """Print the table."""
        if self.folder is None:
            return
        metrics = [name for name in SHOWN if any(name in row for row in self.rows)]
        header = ["job", "overrides", "status", "steps", *(name.removeprefix("val/") for name in metrics)]
        keys = ("status", "steps", *metrics)
        rows = [[row["job"], self._own(row), *(_text(row.get(key)) for key in keys)] for row in self.rows]
        print_table("sweep", header, rows)
        for row in self.rows:
            if row.get("error"):
                print(f"job {row['job']} failed: {row['error']}")
        print(f"sweep folder: {self.folder} (summary.csv)")

    def _csv(self) -> str:
        fields = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, fields)
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def _read(folder: Path) -> dict[str, Any]:
    file = folder / "summary.json"
    if not file.is_file():
        return {"status": "failed"}
    summary = json.loads(file.read_text(encoding="utf-8"))
    kept = {key: summary.get(key) for key in ("objective", "data", "status", "steps", "error")}
    return {**kept, **summary.get("final", {})}


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
