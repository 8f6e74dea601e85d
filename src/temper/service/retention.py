"""`[retention.NAME]` puts entities of the blueprint NAME away once they have been final for long.

```toml
[retention.desk]
final = "90d"
```

An entity that is final, has nothing under way and has not changed for that long moves to the archive, with all of its
history. That happens a minute after the server's start, and every hour from then on, while requests go on. It stays
where it is as long as somebody who lives refers to it or finds it by `every`, as long as an order, a dead letter or a
`whenever` is about it, and for good where it has more than 10,000 entries.

Whoever knows its id reads it, its history and what it was as before, with `archived` in the answer. Its id, its key and
what is `unique ever` stay taken. An action is refused as before, and one that a final state allows brings it back.
Lists and counts do not have it.

The archive of `desk.db` is the folder `desk.archive` beside it: files of gzipped lines, which `zcat` reads and which
never change. With PostgreSQL it is the table `archived` of the blueprint's schema, and each server puts away whom it
decides for. `temper export` and `temper audit` go through the archive. A file gets no smaller: its room is used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import msgspec

from temper.kernel import StoreFault
from temper.runtime import Clock, archive_space
from temper.service import wire
from temper.service.settings import RetentionSection, duration_ms
from temper.service.space import Space

FIRST_MS = 60_000
EVERY_MS = 3_600_000

_log = logging.getLogger("temper.service")


def noted(space: Space, view: wire.EntityView) -> wire.EntityView:
    """Return an entity with the note that it has been put away, where it has."""
    if view.final and space.store.is_archived(view.entity, view.id):
        return msgspec.structs.replace(view, archived=True)
    return view


class Retention:
    """Puts away by the settings, for as long as it is open. Made on the loop of the spaces."""

    def __init__(self, spaces: Mapping[str, Space], sections: Mapping[str, RetentionSection], clock: Clock) -> None:
        self._spaces = spaces
        self._after_ms = {name: duration_ms(section.final) for name, section in sections.items()}
        self._clock = clock
        self._task = asyncio.get_running_loop().create_task(self._keep()) if sections else None

    async def close(self) -> None:
        """Stop. What is half done is done, or has not begun."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> Mapping[str, int]:
        """Put away who has rested for long enough, and return how many of each blueprint they were."""
        done: dict[str, int] = {}
        for name, after_ms in self._after_ms.items():
            space = self._spaces.get(name)
            if space is None:
                continue
            try:
                done[name] = await archive_space(space.live, space.store, since=self._clock.now() - after_ms)
            except StoreFault as fault:
                _log.warning("%s: nobody more is put away for now: %s", name, fault.text)
                continue
            if done[name]:
                _log.info("%s: put away %d that were final", name, done[name])
        return done

    async def _keep(self) -> None:
        wait_ms = FIRST_MS
        while True:
            rung = asyncio.Event()
            alarm = self._clock.ring(self._clock.now() + wait_ms, rung.set)
            try:
                await rung.wait()
            finally:
                alarm.cancel()
            await self.sweep()
            wait_ms = EVERY_MS
