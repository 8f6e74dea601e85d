"""Dotted paths into JSON: `status.readyReplicas`, `items[0].id`, `metadata.labels["app.kubernetes.io/name"]`.

A `?` at the end says that the value may be absent, which then is `null`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NAME = r"([A-Za-z_$@][\w$@-]*)"
_BRACKET = r'\[(\d+)\]|\["([^"]*)"\]'
_FIRST = re.compile(f"{_NAME}|{_BRACKET}")
_NEXT = re.compile(rf"\.{_NAME}|{_BRACKET}")


@dataclass(frozen=True, slots=True)
class Path:
    """The way to one value."""

    text: str
    steps: tuple[str | int, ...]
    optional: bool = False


class Absent(Exception):
    """There is no such place in the value."""


def parse_path(text: str) -> Path | None:
    """Return the path that `text` is, or `None` when it is none."""
    body = text.removesuffix("?")
    steps: list[str | int] = []
    end = 0
    while end < len(body):
        step = (_NEXT if steps else _FIRST).match(body, end)
        if step is None:
            return None
        name, index, quoted = step.groups()
        steps.append(int(index) if index is not None else name if name is not None else quoted)
        end = step.end()
    return Path(text, tuple(steps), optional=body != text) if steps else None


def look_up(path: Path, value: Any) -> Any:
    """Return what stands at `path`. Raises `Absent`, unless the path is optional."""
    for step in path.steps:
        match step, value:
            case str(), dict() if step in value:
                value = value[step]
            case int(), list() if step < len(value):
                value = value[step]
            case _ if path.optional:
                return None
            case _:
                raise Absent
    return value


def extract(paths: tuple[tuple[str, Path], ...], value: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the fields found in `value`, and the paths that led nowhere. A number with a fraction becomes its text."""
    found: dict[str, Any] = {}
    missing: list[str] = []
    for field, path in paths:
        try:
            found[field] = _exact(look_up(path, value))
        except Absent:
            missing.append(path.text)
    return found, missing


def _exact(value: Any) -> Any:
    match value:
        case float():
            return repr(value)
        case list():
            return [_exact(element) for element in value]
        case dict():
            return {key: _exact(element) for key, element in value.items()}
        case _:
            return value
