"""A guard that keeps a failing logger from stopping a training: its error is logged once, and it is left out."""

import logging
from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from alignlab.errors import AlignlabError, ConfigError
from alignlab.training.loggers.csv_log import Rewindable

log = logging.getLogger(__name__)


class Guarded(Logger):
    """A logger that passes everything to another one, until that fails for the first time (disk full, network gone)."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger, self.failed = logger, False

    @property
    def name(self) -> str | None:
        """The name of the guarded logger."""
        return self.logger.name

    @property
    def version(self) -> str | int | None:
        """The version of the guarded logger."""
        return self.logger.version

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Pass metrics to the guarded logger."""
        self._do(lambda: self.logger.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Pass settings to the guarded logger."""
        self._do(lambda: self.logger.log_hyperparams(params, *args, **kwargs))

    def save(self) -> None:
        """Have the guarded logger write what it buffers."""
        self._do(self.logger.save)

    def finalize(self, status: str) -> None:
        """Tell the guarded logger that the training is over."""
        self._do(lambda: self.logger.finalize(status))

    def rewind(self, step: int) -> None:
        """Have the guarded logger remove what came after `step`, if it can."""
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
    """Make a logger and return it guarded, in a list; an empty list where it cannot be made.

    Errors of a wrong choice are raised: an AlignlabError as it is, a package that is not installed as ConfigError.
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
    """Warn that a logger has failed and is left out."""
    log.warning(
        "logger %s failed (%s: %s): it is left out, training goes on", name, type(error).__name__, error
    )
