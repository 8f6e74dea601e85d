"""The command line, run in this process: what a shell would see."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from temper.cli import main


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as data."""
        return json.loads(self.out)


def temper(
    *words: str, env: Mapping[str, str] | None = None, folder: Path | None = None, given: str | None = None
) -> Ran:
    """Run `temper WORDS` in a folder, with `env` and nothing else of ours in the environment; `given` is its input."""
    out, err = io.StringIO(), io.StringIO()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TEMPER_")}
    with (
        patch.dict(os.environ, {**kept, "NO_COLOR": "", "FORCE_COLOR": "", **(env or {})}, clear=True),
        patch.object(sys, "stdin", io.StringIO(given or "")),
        _inside(folder),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(words)
    return Ran(code, out.getvalue(), err.getvalue())


@contextmanager
def _inside(folder: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


def keys(value: Any, *, but: frozenset[str] = frozenset()) -> str:
    """Return the keys of JSON data, sorted: `code, items[id, place(file, line)]`. Below `but` it does not look."""
    return _drawn(_tree(value, but))


def same(keys: str) -> str:
    """Return keys that a test wrote on several lines as `keys` returns them."""
    return "".join(keys.split()).replace(",", ", ")


Tree = dict[str, Any]


def _tree(value: Any, but: frozenset[str]) -> Tree:
    tree: Tree = {}
    for name, below in value.items() if isinstance(value, dict) else ():
        if name in but:
            tree[name] = ("", {})
        elif isinstance(below, list):
            merged: Tree = {}
            for each in below:
                merged |= _tree(each, but)
            tree[name] = ("[]", merged)
        else:
            tree[name] = ("()", _tree(below, but))
    return tree


def _drawn(tree: Tree) -> str:
    return ", ".join(
        f"{name}{around[0]}{_drawn(below)}{around[1]}" if below else name
        for name, (around, below) in sorted(tree.items())
    )
