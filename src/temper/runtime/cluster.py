"""The servers of one database: who is there, and which of them decides for which partition of which space.

Each server takes its fair share of every space's partitions, renews its leases at a third of their time, and stops
deciding by its own clock well before they run out. What runs out others take. Nothing here is needed for what is
written to be right: each append is held against the epochs of its partitions. It is needed for somebody to decide, and
for requests to find whoever does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from temper.kernel import StoreFault
from temper.runtime.cluster_member import Member
from temper.runtime.postgres import Beat, PostgresStore, PostgresTokens, Registry, now_s

_log = logging.getLogger("temper.runtime")

_TICK_S = 0.5
# A server stops deciding when this much of its lease has passed: clocks may drift, and an answer takes its time.
_DECIDES = 0.7
# A server that has not heard of tokens for this much of its lease lets nobody in. The others wait for it to know who
# was revoked until its lease is over, and this is before.
_FRESH = 0.5
# Who wants to know how things stand now waits no longer than this.
_HEARD_S = 5.0
_PAUSE_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class Joined:
    """How a server takes part. Times are in seconds."""

    url: str
    """Of the database."""
    address: str = ""
    """Where other servers reach this one; without it the server decides for nothing."""
    lease_s: float = 10.0
    parts: int = 16
    """Of a space that is made; one that is there keeps what it has."""


@dataclass
class _Space:
    name: str
    store: PostgresStore
    member: Member
    renewed: float = 0.0
    owners: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    version: int
    taken: Sequence[int]
    spare: int


class Cluster:
    """This server among the servers of its database. Made by `await Cluster.join(...)`."""

    def __init__(self, joined: Joined, registry: Registry) -> None:
        self.joined = joined
        self.name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        """New with each start: whoever comes back after a crash is another."""
        self.tokens = PostgresTokens(registry, fresh_s=joined.lease_s * _FRESH)
        self.handing_key = b""
        """By which servers know what one hands on to another."""
        self._registry = registry
        self._address = joined.address
        self._spaces: dict[str, _Space] = {}
        self._beat = Beat({}, (), 0)
        self._on_space: Callable[[str], Awaitable[None]] | None = None
        self._on_news: Callable[[], Awaitable[None]] | None = None
        self._heard = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="temper-leases")
        self._keeping: asyncio.Task[None] | None = None
        self._beaten = 0.0
        self._left = False
        self._waiting: dict[str, tuple[float, float]] = {}
        self._soon = asyncio.Event()
        self._ticks = 0
        self._ticked = asyncio.Event()

    @classmethod
    async def join(cls, joined: Joined) -> Cluster:
        """Return this server's place among those of the database. Raises `StoreFault` where that can't be reached."""
        registry = await asyncio.to_thread(Registry, joined.url)
        cluster = cls(joined, registry)
        cluster.handing_key = await asyncio.to_thread(registry.handing_key)
        cluster._beat = await asyncio.to_thread(registry.look)
        await asyncio.to_thread(cluster.tokens.seen, cluster._beat.tokens)
        return cluster

    def spaces(self) -> Sequence[str]:
        """Return the names of the spaces that the database has."""
        return self._beat.spaces

    async def open(self, name: str) -> PostgresStore:
        """Return the store of a space, which is made where there is none. Raises `StoreFault`."""
        url, parts = self.joined.url, self.joined.parts
        return await asyncio.to_thread(lambda: PostgresStore(url, name, server=self.name, parts=parts))

    def add(self, name: str, store: PostgresStore, member: Member) -> None:
        """Take part in deciding for a space from now on."""
        store.leases.deadline = 0.0  # Until it is renewed for the first time.
        self._spaces[name] = _Space(name, store, member)
        self._soon.set()

    def keep(self, on_space: Callable[[str], Awaitable[None]], on_news: Callable[[], Awaitable[None]]) -> None:
        """Begin to keep leases; `on_space` is called with the name of a space that another server has made.

        `on_news` is called before this server says that it knows what `tell` told of.
        """
        self._on_space, self._on_news = on_space, on_news
        self._loop = asyncio.get_running_loop()
        self._keeping = self._loop.create_task(self._kept(), name="temper leases")

    async def listening(self, address: str) -> None:
        """Take a share from now on: requests for it are answered at this address."""
        self._address = self.joined.address or address
        await self._turn_over()

    async def refresh(self) -> None:
        """Look now who decides for what, and which spaces there are."""
        await self._turn_over()

    def where(self, name: str, part: int) -> str | None:
        """Return the address of the server that has leased a partition, `None` where none has, as far as is known."""
        space = self._spaces.get(name)
        owner = space.owners.get(part) if space is not None else None
        return self._beat.servers.get(owner) if owner is not None and owner != self.name else None

    async def tell(self) -> None:
        """Tell every server that there are news, and return once they have acted on them.

        Of one that is gone, its lease ends.
        """
        await asyncio.to_thread(self._registry.news)
        await self.settled()

    async def settled(self) -> None:
        """Return once every server knows what has been changed of tokens here; of one that is gone, its lease ends."""
        self._soon.set()
        await asyncio.to_thread(self.tokens.settle, self.joined.lease_s + _HEARD_S)

    async def leave(self) -> None:
        """Give everything back, for others to take at once, and let go of the database; close the spaces before."""
        if self._left:
            return
        self._left = True
        with contextlib.suppress(StoreFault):
            await asyncio.to_thread(self.tokens.close)
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(StoreFault):
            await loop.run_in_executor(self._keeper, self._given_back)
        await loop.run_in_executor(None, self._keeper.shutdown)
        for space in self._spaces.values():
            await asyncio.to_thread(space.store.close)
        await asyncio.to_thread(self._registry.close)

    # --- keeping ---

    async def _turn_over(self) -> None:
        """Return once a look that began after this has ended."""
        wanted = self._ticks + 2 if self._ticks else 1
        self._soon.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_S):
                while self._ticks < wanted and self._keeping is not None and not self._keeping.done():
                    self._soon.set()
                    await self._ticked.wait()

    async def _kept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._soon.clear()
            try:
                for name, found in (await loop.run_in_executor(self._keeper, self._tick)).items():
                    member = self._spaces[name].member
                    if found.taken:
                        member.leased(found.taken)
                    member.tick(found.version)
                    if found.spare:
                        await member.give(found.spare)
                await self._discovered()
            except StoreFault as fault:
                _log.warning("leases can't be looked after: %s", fault.text)
            except Exception as bug:  # noqa: BLE001 - whatever it is, what is leased has to be renewed
                _log.error("leases can't be looked after", exc_info=bug)
            self._ticks += 1
            self._ticked.set()
            self._ticked = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._soon.wait(), min(_TICK_S, self.joined.lease_s / 6))

    async def _discovered(self) -> None:
        for name in self._beat.spaces:
            if name not in self._spaces and self._on_space is not None:
                at, pause = self._waiting.get(name, (0.0, _TICK_S))
                if now_s() < at:
                    continue
                # One whose first push has not come to its end has nothing yet; it is not looked at all the time.
                self._waiting[name] = (now_s() + pause, min(2 * pause, _PAUSE_MAX_S))
                try:
                    await self._on_space(name)
                except StoreFault as fault:
                    _log.warning("the space %s can't be opened: %s", name, fault.text)

    def _tick(self) -> Mapping[str, _Found]:
        """Look after everything once, in the keeper's thread; return what was found of each space."""
        lease_s = self.joined.lease_s
        began = now_s()
        if self._address and began >= self._beaten + lease_s / 3:
            self._beat = self._registry.beat(self.name, self._address, seconds=lease_s, seen=self._known)
            self._beaten = began
        else:
            self._beat = self._registry.look()
        before = self._known
        self._hear(self._beat.tokens)
        self.tokens.seen(self._beat.tokens, began)
        if self._known != before:
            self._registry.saw(self.name, self._known)
        found: dict[str, _Found] = {}
        for name, space in list(self._spaces.items()):
            taken, spare = self._share(space) if self._address else ((), 0)
            space.owners = space.store.leases.owners()
            found[name] = _Found(space.store.latest(), taken, spare)
        return found

    @property
    def _known(self) -> int:
        """Up to which change all that is told is known here."""
        return min(self.tokens.known, self._heard)

    def _hear(self, changes: int) -> None:
        """Act on news, on the loop; where that can't be done now, they are not known yet."""
        if changes == self._heard or self._on_news is None or self._loop is None:
            self._heard = max(self._heard, changes)
            return
        acting = asyncio.run_coroutine_threadsafe(self._acted(self._on_news), self._loop)
        try:
            acting.result(self.joined.lease_s / 3)
        except Exception as problem:  # noqa: BLE001 - whatever it is, what is leased has to be renewed
            acting.cancel()
            _log.warning("news can't be acted on: %r", problem)
        else:
            self._heard = changes

    @staticmethod
    async def _acted(on_news: Callable[[], Awaitable[None]]) -> None:
        await on_news()

    def _share(self, space: _Space) -> tuple[Sequence[int], int]:
        """Renew a space's leases, and take what is free up to a fair share; return that, and how many are too many."""
        store, lease_s = space.store, self.joined.lease_s
        began = now_s()
        if began >= space.renewed + lease_s / 3:
            lost = store.leases.renew(seconds=lease_s)
            if lost:
                _log.warning("%s: other servers have taken the partitions %s", space.name, lost)
            space.renewed = began
            store.leases.deadline = began + lease_s * _DECIDES
        spare = len(store.leases.held) - share_of(self.name, list(self._beat.servers), store.parts)
        if spare >= 0:
            return (), spare
        owned = store.leases.owners()
        free = [part for part in range(store.parts) if part not in owned and part not in store.leases.held]
        return (store.leases.take(free[:-spare], seconds=lease_s) if free else ()), 0

    def _given_back(self) -> None:
        for space in self._spaces.values():
            if space.store.leases.held:
                space.store.leases.release(list(space.store.leases.held))
        self._registry.leave(self.name)


def share_of(name: str, servers: Sequence[str], parts: int) -> int:
    """Return how many of so many partitions are a server's: as many as any other's, or one more."""
    names = sorted({*servers, name})
    each, more = divmod(parts, len(names))
    return each + (1 if names.index(name) < more else 0)
