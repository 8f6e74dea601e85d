"""The files of the repository, as the house rules see them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Other people's files, and what tools make.
NOT_OURS = frozenset({"__pycache__", "build", "dist", "node_modules", "vendor"})


def files(*suffixes: str, under: tuple[str, ...] = (".",)) -> Iterator[Path]:
    """Every file of ours below the folders `under` whose name ends in one of `suffixes`, in a fixed order."""
    for top in under:
        for folder, inner, names in os.walk(ROOT / top):
            inner[:] = sorted(name for name in inner if name not in NOT_OURS and not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(suffixes))


def place(path: Path) -> str:
    """Where `path` is, as one would type it at the root."""
    return path.relative_to(ROOT).as_posix()
