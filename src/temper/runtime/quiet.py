"""Silence for HTTP libraries while they carry our requests.

At the level DEBUG they log the headers of answers, which may echo a secret; some log whole URLs, which may hold one.
What we say of an attempt goes through the vault; what they say does not, so during an attempt they say nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LIBRARIES = ("httpx2", "httpcore2")
_PARTS = ("", ".connection", ".http11", ".http2", ".proxy", ".socks")

_attempting: ContextVar[bool] = ContextVar("temper_tools_attempting", default=False)


def _outside_of_attempts(_record: logging.LogRecord) -> bool:
    return not _attempting.get()


# A filter on a logger is not asked about its children's records, so each has its own.
for _name in (library + part for library in _LIBRARIES for part in _PARTS):
    logging.getLogger(_name).addFilter(_outside_of_attempts)


def silence(*prefixes: str) -> None:
    """Have the loggers that there are by now, below these names, keep silent during attempts too."""
    for name in list(logging.root.manager.loggerDict):
        if any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes):
            logging.getLogger(name).addFilter(_outside_of_attempts)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' loggers silent for what this task does inside."""
    token = _attempting.set(True)
    try:
        yield
    finally:
        _attempting.reset(token)
