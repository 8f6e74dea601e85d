"""Streams and waits: what is sent as it comes, and how each ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from temper.service import Declined, wire
from temper.web import Door, Limits
from tests.web.caller import BEARER, call, scope
from tests.web.fake import ENTRY, VIEW, Fake

ONE = "/v1/lamp/Lamp/l1"


class Reader:
    """A reader of a stream: what has been sent so far, and a way to leave."""

    def __init__(
        self, door: Door, target: str, headers: Iterable[tuple[bytes, bytes]] = (), method: str = "GET"
    ) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._left = asyncio.Event()
        self._asked = False
        sent = scope(method, target, [BEARER, *headers])
        self.done = asyncio.create_task(door(sent, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.put_nowait(dict(message))

    def leave(self) -> None:
        """Go away without a word, as clients do."""
        self._left.set()

    async def next(self) -> Any:
        """Return the next thing that was sent: the head's status, or a piece of the body; `None` at its end."""
        message = await asyncio.wait_for(self.sent.get(), 5)
        if message["type"] == "http.response.start":
            return message["status"]
        return message["body"] if message.get("more_body") or message["body"] else None


def entry(seq: int) -> wire.HistoryEntry:
    return msgspec.structs.replace(ENTRY, seq=seq)


async def test_entries_are_events_with_their_seq_as_id() -> None:
    """In order, each with the entry as its data; the head comes at once, with a word on when to come back."""
    fake = Fake()
    reader = Reader(fake.door(), f"{ONE}/events")
    assert await reader.next() == 200
    assert (await reader.next()).startswith(b"retry: 1000\n:")
    for seq in (9, 10):
        fake.entries.put_nowait(entry(seq))
        lines = (await reader.next()).decode().split("\n")
        assert lines[0] == f"id: {seq}"
        assert msgspec.json.decode(lines[1].removeprefix("data: "), type=wire.HistoryEntry) == entry(seq)
        assert lines[2:] == ["", ""]
    reader.leave()
    await asyncio.wait_for(reader.done, 5)
    assert fake.asked == [("watch", "lamp", "Lamp", "l1", None)]


@pytest.mark.parametrize(
    ("target", "headers", "asked"),
    [
        ("/v1/lamp/events", [], ("watch", "lamp", None, None, None)),
        ("/v1/lamp/Lamp/events?after=0", [], ("watch", "lamp", "Lamp", None, 0)),
        (f"{ONE}/events?after=7", [], ("watch", "lamp", "Lamp", "l1", 7)),
        # What a client sends by itself when it comes back is later than what it once asked for.
        (f"{ONE}/events?after=7", [(b"last-event-id", b"9")], ("watch", "lamp", "Lamp", "l1", 9)),
    ],
)  # fmt: skip
async def test_a_stream_goes_on_after(target: str, headers: list[tuple[bytes, bytes]], asked: tuple[Any, ...]) -> None:
    """One row, one way to say from where."""
    fake = Fake()
    reader = Reader(fake.door(), target, headers)
    assert await reader.next() == 200
    reader.leave()
    await asyncio.wait_for(reader.done, 5)
    assert fake.asked == [asked]


async def test_an_entry_that_comes_right_after_the_head_is_in_the_stream() -> None:
    """The stream listens before its head is sent: nothing falls between."""
    fake = Fake()
    reader = Reader(fake.door(), f"{ONE}/events")
    assert await reader.next() == 200
    assert fake.asked, "the workshop is watched already"
    reader.leave()
    await reader.done


async def test_what_cant_be_watched_has_a_status() -> None:
    """It is declined with a problem, not with a stream that ends."""
    problem = wire.Problem(type="not-found", title="there is no Lamp `l1`", status=404)
    response = await call(Fake(says={"watch": Declined(problem)}).door(), "GET", f"{ONE}/events")
    assert (response.status, response.json["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("sent", [b"x", b"", b"1" * 19])
async def test_an_event_id_that_is_none_is_declined(sent: bytes) -> None:
    """A header that can't be read is not passed over: events would be missed."""
    response = await call(Fake().door(), "GET", f"{ONE}/events", headers=[(b"last-event-id", sent)])
    assert response.status == 400


async def test_a_quiet_stream_beats() -> None:
    """A comment now and then, so that neither side takes the other for dead."""
    reader = Reader(Fake().door(Limits(heartbeat=0.01)), f"{ONE}/events")
    assert await reader.next() == 200
    await reader.next()
    assert [await reader.next() for _ in range(3)] == [b":\n\n"] * 3
    reader.leave()
    await asyncio.wait_for(reader.done, 5)


async def test_a_revoked_token_ends_its_stream() -> None:
    """With the problem as the last event, also where entries keep coming."""
    fake = Fake()
    reader = Reader(fake.door(Limits(heartbeat=0.01)), f"{ONE}/events")
    assert await reader.next() == 200
    fake.says["authenticate"] = "never more"
    pieces = []
    while (piece := await reader.next()) is not None:
        pieces.append(piece)
        fake.entries.put_nowait(entry(len(pieces)))
    event, data = pieces[-1].decode().strip().split("\n")
    assert event == "event: problem"
    problem = msgspec.json.decode(data.removeprefix("data: "))
    assert (problem["status"], problem["type"]) == (401, "/problems/unauthenticated")


@pytest.mark.parametrize("why", ["the server stops", "its time is up"])
async def test_a_stream_ends_in_order(why: str) -> None:
    """With an end, so that a client comes back and goes on after its last event."""
    door = Fake().door(Limits(stream_max=0.01 if why == "its time is up" else 60))
    reader = Reader(door, f"{ONE}/events")
    assert await reader.next() == 200
    await reader.next()
    if why == "the server stops":
        door.close()
    assert await reader.next() is None
    await asyncio.wait_for(reader.done, 5)


async def test_head_of_a_stream_ends() -> None:
    """It has the stream's head, and waits for nothing."""
    response = await call(Fake().door(), "HEAD", f"{ONE}/events")
    assert (response.status, response.headers["content-type"], response.body) == (200, "text/event-stream", b"")


async def test_a_wait_is_asked_for_no_longer_than_the_bound() -> None:
    """A longer one is cut, not refused: the answer says whether the condition holds."""
    fake = Fake(says={"wait": wire.Waited(met=True, entity=VIEW)})
    door = fake.door(Limits(wait_max=2.0))
    for timeout, asked in (("&timeout=500ms", 500), ("&timeout=1h", 2000), ("", 2000)):
        response = await call(door, "GET", f"{ONE}/wait?until=state%20is%20On{timeout}")
        assert (response.status, response.json["met"]) == (200, True)
        assert fake.asked.pop() == ("wait", "lamp", "Lamp", "l1", "state is On", asked)


async def test_a_wait_ends_when_the_server_stops() -> None:
    """The caller is told to ask again, and soon: the condition may hold by then."""
    door = Fake().door()
    reader = Reader(door, f"{ONE}/wait?until=x")
    await asyncio.sleep(0)
    door.close()
    assert await reader.next() == 503
    assert msgspec.json.decode(await reader.next())["type"] == "/problems/unavailable"


async def test_a_wait_ends_when_nobody_waits() -> None:
    """Nothing is sent to somebody who has gone."""
    reader = Reader(Fake().door(), f"{ONE}/wait?until=x")
    reader.leave()
    await asyncio.wait_for(reader.done, 5)
    assert reader.sent.empty()
