"""Clients that keep a log of what they were told, over real HTTP, whatever becomes of the servers.

A client asks under an idempotency key until it is answered or its patience is at an end. What it asked and was told is
one line of the log, from the first time that it asked to the moment in which it was told.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

# So often it asks before it gives up, a pause apart: longer than any server of ours is away.
PATIENCE = 3_000
PAUSE = 0.01
# What says that nothing is known of it, or that nothing was done: ask again under the same key.
AGAIN = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Seen:
    """An entity as a server showed it."""

    state: str
    version: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """It was done. `seq` is its entry in the journal; 0 where the entity was there already (its `key`)."""

    seq: int
    seen: Seen
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """It was not done. `type` is that of the problem: "refused", "not-found", "conflict", "stale", ..."""

    type: str
    text: str
    status: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a read showed; `None` where nothing was there."""

    seen: Seen | None


Told = Taken | Declined | Found


@dataclass(slots=True)
class Line:
    """What a client asked, when, and what it was told: `told` is `None` where it never heard. Times are nanoseconds.

    `action` is `None` for a read. `tries` counts how often it asked; a request was `sent` if anybody can have heard it.
    """

    client: str
    key: str
    blueprint: str
    entity: str
    id: str
    action: str | None
    params: Mapping[str, Any]
    began: int
    ended: int | None = None
    told: Told | None = None
    tries: int = 0
    sent: bool = False


@dataclass(slots=True)
class Log:
    """What all clients together were told, in the order in which they began to ask."""

    lines: list[Line] = field(default_factory=list)

    def answered(self) -> list[Line]:
        """Return the lines that were answered."""
        return [line for line in self.lines if line.told is not None]


class Unheard(Exception):
    """Nothing was heard of a request, which was `sent` unless there was no connection."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


@dataclass(slots=True)
class Client:
    """A caller with a token of its own. `url` says where to ask now; with several servers it may differ each time."""

    name: str
    token: str
    url: Callable[[], str]
    log: Log
    blueprint: str
    timeout: float = 10.0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _http: httpx2.AsyncClient | None = None

    async def act(
        self, entity: str, id: str, action: str, /, *, patience: int = PATIENCE, **params: Any
    ) -> Taken | Declined | None:
        """Take an action; return what was told, or `None` once the patience is at an end."""
        line = self._line(entity, id, action, params)
        path = f"/v1/{self.blueprint}/{entity}/{id}/{action}"
        told = await self._until_told(line, "POST", path, params, patience)
        assert not isinstance(told, Found)
        return told

    async def create(
        self, entity: str, id: str, action: str, /, *, patience: int = PATIENCE, **params: Any
    ) -> Taken | Declined | None:
        """Create an entity of that id."""
        line = self._line(entity, id, action, params)
        path = f"/v1/{self.blueprint}/{entity}?action={action}"
        told = await self._until_told(line, "POST", path, {"id": id, **params}, patience)
        assert not isinstance(told, Found)
        return told

    async def read(self, entity: str, id: str, /, *, patience: int = PATIENCE) -> Found | None:
        """Read an entity."""
        line = self._line(entity, id, None, {})
        told = await self._until_told(line, "GET", f"/v1/{self.blueprint}/{entity}/{id}", None, patience)
        assert told is None or isinstance(told, Found), told
        return told

    async def again(self, line: Line) -> Told | None:
        """Ask once more under the key of a line, and return what is told now. The log says nothing of it."""
        assert line.action is not None
        creating = isinstance(line.told, Taken) and line.told.seen.version == 1
        if creating:
            path, body = f"/v1/{line.blueprint}/{line.entity}?action={line.action}", {"id": line.id, **line.params}
        else:
            path, body = f"/v1/{line.blueprint}/{line.entity}/{line.id}/{line.action}", dict(line.params)
        copy = Line(line.client, line.key, line.blueprint, line.entity, line.id, line.action, line.params, 0)
        return await self._until_told(copy, "POST", path, body, PATIENCE)

    async def get(self, path: str, **query: str) -> Any:
        """Return the JSON that is at a path, once somebody answers."""
        for _ in range(PATIENCE):
            try:
                response = await self._send("GET", path, None, {}, query)
            except Unheard:
                await asyncio.sleep(PAUSE)
                continue
            assert response.status_code == 200, response.text
            return response.json()
        raise AssertionError(f"nobody answers {path}")

    async def close(self) -> None:
        """Hang up."""
        if self._http is not None:
            await self._http.aclose()

    def _line(self, entity: str, id: str, action: str | None, params: Mapping[str, Any]) -> Line:
        key = f"{self.name}-{next(self._numbers)}"
        line = Line(self.name, key, self.blueprint, entity, id, action, params, time.monotonic_ns())
        self.log.lines.append(line)
        return line

    async def _until_told(
        self, line: Line, method: str, path: str, body: Mapping[str, Any] | None, patience: int
    ) -> Told | None:
        headers = {"Idempotency-Key": line.key} if method == "POST" else {}
        while line.tries < patience:
            line.tries += 1
            try:
                response = await self._send(method, path, body, headers, {})
            except Unheard as unheard:
                line.sent = line.sent or unheard.sent
            else:
                line.sent = True
                if response.status_code not in AGAIN:
                    line.ended = time.monotonic_ns()
                    line.told = _told(response, reading=method == "GET")
                    return line.told
            if line.tries < patience:
                await asyncio.sleep(PAUSE)
        return None

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> httpx2.Response:
        if self._http is None:
            bearer = {"Authorization": f"Bearer {self.token}"}
            self._http = httpx2.AsyncClient(headers=bearer, timeout=self.timeout, trust_env=False)
        try:
            return await self._http.request(
                method, self.url() + path, json=body, headers=dict(headers), params=dict(query) or None
            )
        except httpx2.TransportError as error:
            raise Unheard(str(error), sent=not isinstance(error, httpx2.ConnectError)) from error
        except AttributeError as error:
            # anyio asks a socket that was closed the moment it had connected for its peer's name: nothing was sent.
            if error.name != "getpeername":
                raise
            raise Unheard("the server hung up at once", sent=False) from error


def _told(response: httpx2.Response, *, reading: bool) -> Told:
    said = response.json()
    if reading:
        if response.status_code == 200:
            return Found(_seen(said))
        assert response.status_code == 404, said
        return Found(None)
    if response.status_code in (200, 201):
        return Taken(said.get("seq", 0), _seen(said["entity"]), said.get("replayed", False))
    assert 400 <= response.status_code < 500, f"the server blames itself: {said}"
    text = said.get("detail") or said["title"]
    return Declined(said["type"].removeprefix("/problems/"), text, response.status_code)


def _seen(view: Mapping[str, Any]) -> Seen:
    return Seen(view["state"], view["version"], view["fields"])
