"""The door of HTTP in process: the real application over the real workshop, in the shape that machines know.

Its clock stands still until it is moved, its tools wait until they are told how to end, and every call returns when
nothing is left to do.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from temper.runtime import Adapter, Answered, Failed
from temper.runtime.tools.adapter import Kind as Why
from temper.service import Loaded, Person, Settings, Workshop
from temper.service.settings import PushSection
from temper.table import Caller, Ending, Table
from temper.verify.draw.door import Door, Kind, Names, Said, Seen
from temper.verify.simulate.world import BEGINNING
from temper.web import Door as Application
from temper.web import app
from tests.runtime.living import MovedClock, Tool, quiet, until
from tests.web.caller import JSON, Response, call

T = TypeVar("T")
# Of the judgement only what is quick: it is not what these tests are about.
SETTINGS = Settings(push=PushSection(levels=("scenarios",), allow_unknown=True))


class Open(Workshop):
    """The workshop, whose callers say in their token who they are."""

    def authenticate(self, token: str | None) -> Person:
        assert token is not None
        principal, _, roles = token.partition("|")
        return Person(principal, frozenset(roles.split(",")) - {""}, admin=True)


@dataclass
class Prepared:
    """A data folder with a blueprint in force, to be copied for each run."""

    folder: Path
    blueprint: str
    table: Table

    @classmethod
    def of(cls, text: str, table: Table, folder: Path) -> Prepared:
        """Push a blueprint into a new data folder; of the judgement only what is quick."""
        made = cls(folder, table.blueprint, table)

        async def push() -> None:
            workshop = await Open.open(Loaded(SETTINGS, folder), clock=MovedClock(BEGINNING))
            try:
                files = {f"{table.blueprint}.blueprint": text}
                await workshop.push(Person("root", admin=True), table.blueprint, files)
            finally:
                await workshop.close()

        asyncio.run(push())
        return made


class HttpDoor:
    """A door of its own, over a copy of what was prepared."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory(dir=prepared.folder.parent)
        self._names = Names()
        self._clock = MovedClock(BEGINNING)
        self._tools = {name: Tool() for name in prepared.table.tools}
        data = Path(self._folder.name) / "copy"
        shutil.copytree(prepared.folder, data)
        self._run(self._open(data))

    async def _open(self, data: Path) -> None:
        self._workshop = await Open.open(Loaded(SETTINGS, data), clock=self._clock)
        self._live = self._workshop._spaces[self._prepared.blueprint].live
        adapters: dict[str, Adapter] = dict(self._tools)
        self._live.bind(adapters)
        self._app: Application = app(self._workshop)

    def _run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(doing)

    def create(
        self, entity: str, action: str, params: Mapping[str, Any], caller: Caller, *, key: str | None = None
    ) -> Said:
        # A key is its principal's own.
        id = self._names.new(entity, None if key is None else (key, caller.principal))
        body = {"id": id, **params}
        return self._said(f"{entity}?action={action}", body, caller, key, None)

    def act(
        self,
        entity: str,
        id: str,
        action: str,
        params: Mapping[str, Any],
        caller: Caller,
        *,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Said:
        return self._said(f"{entity}/{id}/{action}", params, caller, key, if_version)

    def _said(
        self, path: str, body: Mapping[str, Any], caller: Caller, key: str | None, if_version: int | None
    ) -> Said:
        headers = [JSON, (b"authorization", f"Bearer {_token(caller)}".encode())]
        if key is not None:
            headers.append((b"idempotency-key", key.encode()))
        if if_version is not None:
            headers.append((b"if-match", f'"{if_version}"'.encode()))
        found = self._run(self._asked("POST", path, headers, msgspec.json.encode(body)))
        if found.status in {200, 201}:
            entity = found.json["entity"]
            return Said(Kind.DONE, entity["id"], entity["state"], entity["version"])
        kind = {"bad-request": Kind.INVALID, "stale": Kind.CONFLICT, "conflict": Kind.CONFLICT}
        problem = found.json["type"].rpartition("/")[2]
        assert problem in {*kind, "refused", "denied", "not-found"}, found.json
        return Said(kind.get(problem, Kind.REFUSED))

    async def _asked(self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:
        target = f"/v1/{self._prepared.blueprint}/{path}"
        found = await call(self._app, method, target, headers=headers, body=body, token=False)
        await self._settled()
        return found

    async def _settled(self) -> None:
        """Wait until nothing is left to do at this moment, and every call that was started waits for its end."""

        def rests() -> bool:
            live = self._live
            wake = live._host.next_wake()
            late = wake is not None and wake <= self._clock.now()
            open_calls = sum(not future.done() for tool in self._tools.values() for _, future in tool.calls)
            # A start that has no attempt under way any more is one whose end is being decided.
            decided = len(live.store.started()) == len(live._tasks - live._timed_out)
            return not late and not live._queue and decided and open_calls == len(live._tasks)

        await until(rests)

    def read(self, entity: str, id: str) -> Seen | None:
        headers = [(b"authorization", b"Bearer reader|")]
        found = self._run(self._asked("GET", f"{entity}/{id}", headers, b""))
        if found.status == 404:
            return None
        assert found.status == 200, found.json
        return Seen(found.json["state"], found.json["version"], found.json["fields"])

    def waits(self, tool: str) -> bool:
        return any(not future.done() for _, future in self._tools[tool].calls)

    def outcome(self, tool: str, ending: Ending, results: Mapping[str, Any], text: str) -> None:
        asked, future = next(each for each in self._tools[tool].calls if not each[1].done())
        if ending is Ending.UNKNOWN:
            self.advance(asked.timeout_ms)
            return
        future.set_result(
            Answered(dict(results)) if ending is Ending.ANSWERED else Failed(Why.REJECTED, text, retry=False)
        )
        self._run(self._settled())

    def advance(self, ms: int) -> None:
        self._run(self._advanced(self._clock.now() + ms))

    async def _advanced(self, end: int) -> None:
        while True:
            wake = self._live._host.next_wake()
            last = wake is None or wake > end
            before = self._clock.now()
            self._clock.move(max(0, (end if last or wake is None else wake) - before))
            await quiet(3)  # Whoever waits for the clock takes a step or two to notice.
            await self._settled()
            if last:
                return

    def now(self) -> int:
        return self._clock.now()

    def close(self) -> None:
        self._run(self._workshop.close())
        self._loop.close()
        self._folder.cleanup()


def _token(caller: Caller) -> str:
    return f"{caller.principal}|{','.join(sorted(caller.roles))}"


class Both:
    """Two doors that are asked the same, and have to say the same."""

    def __init__(self, one: Door, other: Door) -> None:
        self._one, self._other = one, other

    def create(
        self, entity: str, action: str, params: Mapping[str, Any], caller: Caller, *, key: str | None = None
    ) -> Said:
        return self._same(*(door.create(entity, action, params, caller, key=key) for door in self._doors))

    def act(
        self,
        entity: str,
        id: str,
        action: str,
        params: Mapping[str, Any],
        caller: Caller,
        *,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Said:
        said = [door.act(entity, id, action, params, caller, key=key, if_version=if_version) for door in self._doors]
        return self._same(*said)

    @property
    def _doors(self) -> tuple[Door, Door]:
        return self._one, self._other

    def _same(self, one: Said, other: Said) -> Said:
        found = [(said.kind, said.id, said.state, said.version) for said in (one, other)]
        assert found[0] == found[1], (one, other)
        return one

    def read(self, entity: str, id: str) -> Seen | None:
        one, other = (door.read(entity, id) for door in self._doors)
        assert one == other, (one, other)
        return one

    def waits(self, tool: str) -> bool:
        one, other = (door.waits(tool) for door in self._doors)
        assert one == other
        return one

    def outcome(self, tool: str, ending: Ending, results: Mapping[str, Any], text: str) -> None:
        for door in self._doors:
            door.outcome(tool, ending, results, text)

    def advance(self, ms: int) -> None:
        for door in self._doors:
            door.advance(ms)

    def now(self) -> int:
        one, other = (door.now() for door in self._doors)
        assert one == other
        return one

    def close(self) -> None:
        for door in self._doors:
            door.close()
