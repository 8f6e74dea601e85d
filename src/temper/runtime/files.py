"""Files that people edit, watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import watchfiles

# An editor writes a file in several steps, and a person saves several files: what comes within this is one change.
_SETTLE_MS = 100


async def watch(paths: Iterable[Path], *, stop: asyncio.Event | None = None) -> AsyncIterator[frozenset[Path]]:
    """Yield the files below `paths` that were added, changed or removed, each time that some were; ends at `stop`.

    Hidden files, an editor's back-ups and caches are left out.
    """
    changes = watchfiles.awatch(
        *paths, watch_filter=watchfiles.DefaultFilter(), debounce=1_600, step=_SETTLE_MS, stop_event=stop
    )
    async for found in changes:
        yield frozenset(Path(path) for _, path in found)
