"""The blueprints of the story: Helix before it had a way back, as it is, and with a guard that was forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

FILE = "helix.blueprint"
_GUARD = " when moved + 1 == brokers"


@dataclass(frozen=True, slots=True)
class Slip:
    """A change of one line that nobody meant."""

    line: int
    old: str
    new: str
    files: Mapping[str, str]


def earlier() -> dict[str, str]:
    """Return the version that knows no way back."""
    return {FILE: resources.files("temper.cli.demo").joinpath("before.blueprint").read_text("utf-8")}


def current() -> dict[str, str]:
    """Return the version that has one."""
    return {FILE: app("helix", FILE)}


def settings() -> str:
    """Return the settings that bind Helix' tool to a cluster."""
    return app("helix", "temper.toml")


def app(name: str, file: str) -> str:
    """Return a file of one of the apps, which stand beside the package in a checkout and in it once it is installed."""
    installed = resources.files("temper").joinpath("apps", name, file)
    if installed.is_file():
        return installed.read_text("utf-8")
    return (Path(__file__).parents[4] / "apps" / name / file).read_text("utf-8")


def forgotten_guard(files: Mapping[str, str]) -> Slip:
    """Return these texts without the guard that says when the last broker has moved."""
    lines = files[FILE].splitlines(keepends=True)
    line = next(number for number, text in enumerate(lines) if text.rstrip().endswith(_GUARD))
    old = lines[line]
    new = old.replace(_GUARD, "")
    text = "".join([*lines[:line], new, *lines[line + 1 :]])
    return Slip(line + 1, old.strip(), new.strip(), {**files, FILE: text})
