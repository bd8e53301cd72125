"""What is told, once, of how texts are read."""

import logging
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notes:
    """Warnings by their subject, each logged the first time only; `said` holds them, to be kept beside the rows."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def tell(self, subject: str, message: str) -> None:
        """Log a warning, unless one of its subject was logged before."""
        if subject not in self.said:
            self.said[subject] = message
            log.warning("%s", message)

    def repeat(self, said: Mapping[str, str]) -> None:
        """Log the warnings of an earlier encoding, whose rows are read from the disk."""
        for subject, message in said.items():
            self.tell(subject, message)
