"""A logger must never stop a training: one that fails is told of once, and left out."""

import logging
from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from alignlab.errors import AlignlabError, ConfigError
from alignlab.training.loggers.csv_log import Rewindable

log = logging.getLogger(__name__)


class Guarded(Logger):
    """Another logger, as long as it works: after its first failure (disk full, network gone) it gets nothing more."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger, self.failed = logger, False

    @property
    def name(self) -> str | None:
        """Name of the logger."""
        return self.logger.name

    @property
    def version(self) -> str | int | None:
        """Version of its run."""
        return self.logger.version

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Pass metrics on."""
        self._do(lambda: self.logger.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Pass settings on."""
        self._do(lambda: self.logger.log_hyperparams(params, *args, **kwargs))

    def save(self) -> None:
        """Have it write what it holds."""
        self._do(self.logger.save)

    def finalize(self, status: str) -> None:
        """The training is over."""
        self._do(lambda: self.logger.finalize(status))

    def rewind(self, step: int) -> None:
        """Have it forget what came after `step`, if it can."""
        logger = self.logger
        if isinstance(logger, Rewindable):
            self._do(lambda: logger.rewind(step))

    def _do(self, action: Callable[[], Any]) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:
            self.failed = True
            told_of(self.name or type(self.logger).__name__, error)


def guarded(name: str, make: Callable[[], Logger]) -> list[Logger]:
    """The logger in a list; an empty one where it cannot even be made.

    A wrong choice goes through: an AlignlabError, or a package that is not installed, as a ConfigError.
    """
    try:
        return [Guarded(make())]
    except AlignlabError:
        raise
    except ImportError as error:
        raise ConfigError(f"logger.{name} needs a package that is not installed: {error}") from error
    except Exception as error:
        told_of(name, error)
        return []


def told_of(name: str, error: Exception) -> None:
    """Warn that a logger is left out."""
    log.warning(
        "logger %s failed (%s: %s): it is left out, training goes on", name, type(error).__name__, error
    )
