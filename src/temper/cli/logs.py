"""The server's log: lines on standard error, with no secret in them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable


class _Hiding(logging.Formatter):
    """A formatter whose every line, tracebacks included, goes through `hide`."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as it is written."""
        return self._hide(super().format(record))


def log_to_standard_error(hide: Callable[[str], str]) -> None:
    """Write warnings and errors of the whole process, ours and those of libraries, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Hiding(hide))
    logging.getLogger().addHandler(handler)
