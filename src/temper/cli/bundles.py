"""A bundle's texts, and how its files are called."""

from __future__ import annotations

from pathlib import Path

from temper.cli.exits import Exit, Stop
from temper.service import BundleUnreadable, read_bundle


def read(path: Path) -> dict[str, str]:
    """Return a bundle's texts by their names in it, or stop with what is wrong."""
    try:
        return read_bundle(path)
    except BundleUnreadable as unreadable:
        raise Stop(Exit.USAGE, unreadable.text, help=unreadable.help) from unreadable


def shown(path: Path, name: str) -> str:
    """Return a file of a bundle as the shell would name it, so that a terminal can open it."""
    return str(file_of(path, name))


def file_of(path: Path, name: str) -> Path:
    """Return where a file of a bundle lies."""
    if not path.is_file():
        return path / name
    return path if name == path.name else path.with_name(name)  # A module that lies beside it.
