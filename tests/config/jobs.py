"""Folders as the jobs of a sweep leave them."""

import json
from pathlib import Path


def leave(folder: Path, *overrides: str, error: str = "", **final: float) -> None:
    """A finished job with these final metrics (`/` written as `__`), or one that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    status = "failed" if error else "finished"
    told = {name.replace("__", "/"): value for name, value in final.items()}
    (folder / "overrides.txt").write_text("".join(f"{text}\n" for text in overrides))
    (folder / "summary.json").write_text(json.dumps({"status": status, "error": error, "final": told}))
