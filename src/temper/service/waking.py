"""Waking: the spaces of a data folder, or of a cluster's database, brought to life and made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from temper.kernel import Limits, StoreFault, Superseded, TableVersion
from temper.runtime import Adapter, Clock, Cluster, Live, Member, PostgresStore, SqliteStore, found
from temper.service.bindings import Bindings
from temper.service.candidates import Candidates
from temper.service.office import NAME as OFFICE
from temper.service.office import Office
from temper.service.pauses import Pauses
from temper.service.settings import LimitsSection
from temper.service.space import Space, version_report, version_table

# The last versions of each blueprint can be gone back to without judging them anew.
VERSIONS_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Waking:
    """Brings spaces to life, and puts them where everybody finds them: into `spaces`, or to the office."""

    folder: Path
    """Where a server keeps its spaces that has no database for them."""
    cluster: Cluster | None
    clock: Clock
    limits: LimitsSection
    spaces: dict[str, Space]
    office: Office
    pauses: Pauses
    bindings: Bindings
    office_tools: Mapping[str, Adapter]
    candidates: Candidates
    _making: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    async def wake_all(self) -> None:
        """Bring to life all that there is. Raises `StoreFault`."""
        # The office first: what is paused there is so before anything of the others goes on.
        if self.cluster is not None:
            for name in sorted(self.cluster.spaces(), key=lambda name: (name != OFFICE, name)):
                await self.wake(name)
        else:
            for path in sorted(self.folder.glob("*.db"), key=lambda path: (path.stem != OFFICE, path)):
                await self._wake_file(path)

    async def wake(self, name: str) -> None:
        """Bring to life what another server has made, if there is something whole by now. Raises `StoreFault`."""
        cluster = self.cluster
        assert cluster is not None, "it is told of spaces"
        if self.has(name):
            return
        store = await cluster.open(name)
        version = await asyncio.to_thread(store.current)
        if version is None:
            await asyncio.to_thread(store.close)
            return
        if not self.candidates.passes(version_report(version)):
            await asyncio.to_thread(store.close)
            raise StoreFault(f"`{name}` has a version whose report has not passed")
        for each in (await asyncio.to_thread(store.versions))[-VERSIONS_REMEMBERED:]:
            self.candidates.judgements.remember(each)
        await self._live_shared(cluster, name, store)

    def has(self, name: str) -> bool:
        """Say whether a blueprint, or the office, has been brought to life."""
        return self.office.space is not None if name == OFFICE else name in self.spaces

    async def make(self, name: str, version: TableVersion) -> None:
        """Make a blueprint's space, with its first version. Raises `Superseded` where another did: then it is there."""
        if self.cluster is not None:
            await self._make_shared(self.cluster, name, version)
            return
        async with self._making:  # Of two who come at once, the second finds what the first has made.
            if name in self.spaces:
                raise Superseded(f"`{name}` has a first version already")
            store = SqliteStore(self.folder / f"{name}.db")
            found(store, version)
            self.spaces[name] = Space(name, store, await self._start(store))

    async def found_office(self, version: TableVersion) -> Space | None:
        """Make the office's space; `None` where it has been opened already: by us, or since another server made it."""
        if self.cluster is not None:
            with contextlib.suppress(Superseded):
                await self._make_shared(self.cluster, OFFICE, version)
            return None
        store = SqliteStore(self.folder / f"{OFFICE}.db")
        found(store, version)
        return Space(OFFICE, store, await self._start(store, office=True))

    async def close(self, *, drain_ms: int) -> None:
        """Answer what waits, give calls under way so long, and let go of the files."""
        # The office first: what it is having done is done in the others.
        for space in (*([self.office.space] if self.office.space is not None else []), *self.spaces.values()):
            await space.live.close(drain_ms=drain_ms)
            if self.cluster is None:
                space.store.close()
        self.spaces.clear()

    async def _make_shared(self, cluster: Cluster, name: str, version: TableVersion) -> None:
        """Make a space in the database, and take part in deciding for it. Raises `Superseded` where another did."""
        store = await cluster.open(name)
        try:
            await asyncio.to_thread(found, store, version)
        except Superseded:
            await asyncio.to_thread(store.close)
            await self.wake(name)
            raise
        except StoreFault:
            await asyncio.to_thread(store.close)
            raise
        await self._live_shared(cluster, name, store)
        await cluster.refresh()

    async def _live_shared(self, cluster: Cluster, name: str, store: PostgresStore) -> None:
        if self.has(name):
            await asyncio.to_thread(store.close)
            return
        live = await self._start(store, Member, office=name == OFFICE)
        if self.has(name):  # It was told of meanwhile.
            await live.close()
            await asyncio.to_thread(store.close)
            return
        assert isinstance(live, Member), "it was started as one"
        cluster.add(name, store, live)
        await self._opened(Space(name, store, live))

    async def _wake_file(self, path: Path) -> None:
        store = SqliteStore(path)
        version = store.current()
        if version is None:
            # A first push that was cut off before its only commit: nothing was promised.
            store.close()
            return
        if not self.candidates.passes(version_report(version)):
            store.close()
            raise StoreFault(f"`{path}` holds a version whose report has not passed")
        for each in store.versions()[-VERSIONS_REMEMBERED:]:
            self.candidates.judgements.remember(each)
        table = version_table(version)
        live = await self._start(store, office=table.blueprint == OFFICE)
        await self._opened(Space(table.blueprint, store, live))

    async def _opened(self, space: Space) -> None:
        if space.name == OFFICE:
            await self.office.open(space)
        else:
            self.spaces[space.name] = space

    async def _start(
        self, store: SqliteStore | PostgresStore, kind: type[Live] = Live, *, office: bool = False
    ) -> Live:
        live = await kind.start(
            store,
            self.office_tools if office else self.bindings.adapters,
            clock=self.clock,
            limits=Limits(
                batch_max=self.limits.batch, queue_max=self.limits.queue, attempts_max=self.limits.calls_per_tool
            ),
            modules=self.bindings.modules,
            gate=None if office else self.pauses,
        )
        if not office:
            self.pauses.hold_back(live)
        self.bindings.modules.prepare(live.table)
        return live
