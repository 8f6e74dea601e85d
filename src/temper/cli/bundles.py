"""A bundle's texts, and how its files are called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from temper.cli.exits import Exit, Stop
from temper.cli.paint import coloured
from temper.service import BundleUnreadable, Checked, check_texts, finding, read_bundle, wire


def read(path: Path) -> dict[str, str]:
    """Return a bundle's texts by their names in it, or stop with what is wrong."""
    try:
        return read_bundle(path)
    except BundleUnreadable as unreadable:
        raise Stop(Exit.USAGE, unreadable.text, help=unreadable.help) from unreadable


def checked(path: Path, files: Mapping[str, str], said: str) -> Checked:
    """Return a bundle that compiles; else stop with what `said` and the findings, with their places on this disk."""
    found = check_texts({shown(path, name): content for name, content in files.items()})
    if found.table is None:
        findings = [finding(each, found.sources, colour=coloured(sys.stderr)) for each in found.problems]
        raise Stop(
            Exit.BROKEN,
            f"{said}\n\n" + "\n".join(each.rendered for each in findings).rstrip(),
            data={"passed": False, "findings": [wire.as_json(each) for each in findings]},
        )
    return found


def shown(path: Path, name: str) -> str:
    """Return a file of a bundle as the shell would name it, so that a terminal can open it."""
    return str(file_of(path, name))


def file_of(path: Path, name: str) -> Path:
    """Return where a file of a bundle lies."""
    if not path.is_file():
        return path / name
    return path if name == path.name else path.with_name(name)  # A module that lies beside it.
