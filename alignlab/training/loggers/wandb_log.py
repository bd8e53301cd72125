"""The logger of Weights & Biases: online where possible, else offline by itself."""

import logging
import netrc
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from alignlab import hub
from alignlab.errors import ConfigError, RunError
from alignlab.runs.folder import RunFolder
from alignlab.settings import Config
from alignlab.training.loggers.tracked_run import TrackedRun

log = logging.getLogger(__name__)

ID_FILE = "wandb_run_id.txt"
FINISH_SECONDS = 60.0
"""The seconds that the end of a run waits for a lost network; data not sent is kept on disk."""


def make_wandb(
    *,
    tracked_run: TrackedRun,
    mode: Literal["auto", "online", "offline"] = "auto",
    project: str = "alignlab",
    entity: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
) -> Any:
    """Return Lightning's W&B logger; the W&B run's id is kept in the run folder, so that a resumed run continues it.

    Runs of a sweep share a `group` unless one is given; objective, data and regularizers join the `tags`.

    Raises ConfigError without the wandb package, RunError for `mode=online` that cannot be.
    """
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger
    except ImportError as error:
        raise ConfigError("logger=wandb needs the wandb package: pip install -e '.[wandb]'") from error
    folder, config = tracked_run.folder, tracked_run.config
    settings = wandb.setup().settings  # a bare Settings() knows neither WANDB_API_KEY nor WANDB_BASE_URL
    actual_mode = chosen_mode(mode, server=settings.base_url, has_key=has_key(settings))
    id_file = folder.path / ID_FILE
    run_id = id_file.read_text().strip() if id_file.is_file() else secrets.token_hex(4)
    folder.write_text(ID_FILE, run_id)
    logger = WandbLogger(
        save_dir=str(folder.path),
        project=project,
        entity=entity,
        group=group or tracked_run.group or None,
        tags=[*(tags or ()), *_choices(config)],
        name=tracked_run.name,
        id=run_id,
        resume="allow",
        offline=actual_mode == "offline",
        mode=actual_mode,
        settings=wandb.Settings(finish_timeout=FINISH_SECONDS),
    )
    logger.experiment.config.update(dict(config), allow_val_change=True)
    return logger


def _choices(config: Config) -> list[str]:
    """Return the tags that tell a run from others: its objective, its data, its regularizers."""
    return [config["objective"]["name"], config["data"]["name"], *config["regularizers"]]


def finish_wandb(*, failed: bool) -> None:
    """End the W&B run of this process, if there is one, so that the next job of a sweep does not log into it."""
    wandb: Any = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        try:
            wandb.finish(exit_code=int(failed))
        except Exception as error:
            log.warning("wandb could not finish (%s); `wandb sync` sends what is kept locally", error)


def has_key(settings: Any) -> bool:
    """Whether the environment holds an API key, or `wandb login` left one in the netrc file."""
    file = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if settings.api_key is not None or not file.is_file():
        return settings.api_key is not None
    try:
        return netrc.netrc(file).authenticators(urlparse(settings.base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def chosen_mode(mode: str, *, server: str, has_key: bool) -> str:
    """Return `online` or `offline`; `auto` is offline, with a warning, where the key or the network is missing."""
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or "auto"
    if mode not in ("auto", "online"):
        return "offline"
    problem = None if has_key else "there is no API key (wandb login)"
    problem = problem or (None if hub.connects(server) else f"{server} cannot be reached")
    if problem is None:
        return "online"
    if mode == "online":
        raise RunError(
            f"logger.wandb.mode=online, but {problem}; logger.wandb.mode=offline keeps the run locally"
        )
    log.info("wandb: offline, since %s; `wandb sync` sends the run later", problem)
    return "offline"


def log_results(folder: RunFolder, pictures: Sequence[Path]) -> None:
    """Log metrics, pictures and a table of samples of a finished run to the W&B run of this process, if any.

    `initial` and `final` metrics go into the run's summary, by their names in summary.json. What cannot be
    sent, since the network has gone, is warned of.
    """
    wandb: Any = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    summary = folder.read_json("summary.json")
    step = {"trainer/global_step": summary["steps"]}
    try:
        wandb.run.summary.update({**summary["final"], "initial": summary["initial"], "best": summary["best"]})
        wandb.run.log({**step, **{f"plots/{file.stem}": wandb.Image(str(file)) for file in pictures}})
        if rows := folder.read_lines("samples.jsonl"):
            columns = list(rows[0])
            data = [[row.get(name) for name in columns] for row in rows]
            wandb.run.log({**step, "samples": wandb.Table(columns=columns, data=data)})
    except Exception as error:
        log.warning("wandb: pictures or samples are missing from the run (%s)", error)
