"""Exit codes: what a script can rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    FINE = 0
    BROKEN = 1
    """The blueprint is broken, or the action was refused."""
    USAGE = 2
    """Bad input or usage."""
    UNKNOWN = 3
    """Something that was asked for is unknown or not checked."""
    UNREACHABLE = 4
    """The server can't be reached."""


class Stop(Exception):
    """The command ends here: `text` is for people, `data` is what `--json` prints instead."""

    def __init__(self, code: Exit, text: str, *, help: str = "", data: dict[str, object] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.help = help
        self.data = data
