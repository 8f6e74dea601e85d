"""Living spaces of one PostgreSQL: what becomes of work under way when a partition passes to another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from temper.kernel import Answer, Busy, Done, Limits, No, Request
from temper.runtime import Adapter, Answered, Elsewhere, Member, SystemClock, found, new_id
from temper.runtime.cluster import share_of
from temper.runtime.cluster_feed import merged, place_of, place_text
from temper.runtime.postgres import PostgresStore
from temper.table import Act, Value
from tests.kernel.shop import CLERK, SHOP, compiled, version
from tests.runtime.living import Prompt, Tool, until
from tests.runtime.postgres import Server

_names = count(1)
PARTS = 4


@asynccontextmanager
async def member(
    postgres: Server, space: str, server: str, adapters: Mapping[str, Adapter], *, limits: Limits | None = None
) -> AsyncIterator[Member]:
    store = PostgresStore(postgres.url, space, server=server, parts=PARTS)
    if store.current() is None:
        found(store, version(compiled(SHOP)))
    live = await Member.start(store, adapters, clock=SystemClock(), limits=limits)
    assert isinstance(live, Member)
    try:
        yield live
    finally:
        await live.close(drain_ms=0)
        store.close()


async def act(live: Member, id: str, action: str, **params: Any) -> Any:
    event = Act(new_id(), 1_000, action, params, CLERK, "Purchase", id)
    return await live.submit(Request(event, "Purchase", id))


def take(live: Member, seconds: float) -> None:
    live.leased(live.database.leases.take(range(PARTS), seconds=seconds))


async def test_a_call_under_way_is_settled_by_whoever_has_its_partition_then(postgres: Server) -> None:
    """The bank's is tried again under its id, since it is idempotent; that its first attempt ends changes nothing."""
    slow, prompt = Tool(), Prompt()
    space = f"members{next(_names)}"
    async with (
        member(postgres, space, "one", {"bank.charge": slow}) as one,
        member(postgres, space, "two", {"bank.charge": prompt, "post.ship": prompt}) as two,
    ):
        take(one, 0)
        id = new_id()
        assert isinstance(await act(one, id, "Order", number="n1", amount=Decimal(5)), Done)
        assert isinstance(await act(one, id, "Pay"), Done)
        first = await slow.called()
        take(two, 3_600)
        await until(lambda: len(prompt.calls) >= 1)
        assert (prompt.calls[0].order, prompt.calls[0].attempt) == (first.order, 2)
        await until(lambda: paid(two, id) >= 1)
        slow.end(Answered({"receipt": "late"}))
        one.database.leases.lost(two.database.part("Purchase", id))
        await asyncio.sleep(0.1)
        with pytest.raises(Elsewhere):
            await act(one, id, "Remark", text="x")
        assert paid(two, id) == 1


def paid(live: Member, id: str) -> int:
    return sum(entry.action == "Charged" for entry in live.database.history("Purchase", id, limit=100))


async def test_a_server_whose_time_is_up_decides_nothing(postgres: Server) -> None:
    async with member(postgres, f"members{next(_names)}", "one", {}) as one:
        take(one, 3_600)
        id = new_id()
        assert isinstance(await act(one, id, "Order", number="n1", amount=Decimal(5)), Done)
        one.database.leases.deadline = 0.0
        with pytest.raises(Elsewhere):
            await act(one, id, "Pay")
        assert one.read("Purchase", id) is not None
        one.database.leases.deadline = None
        assert isinstance(await act(one, id, "Order", number="n1", amount=Decimal(5)), No | Busy)


async def test_an_answer_does_not_wait_for_those_who_ask_after_it(postgres: Server) -> None:
    async with member(postgres, f"members{next(_names)}", "one", {}, limits=Limits(batch_max=1)) as one:
        take(one, 3_600)
        told: list[tuple[Answer | BaseException, int]] = []
        all_told = asyncio.Event()

        def answered(answer: Answer | BaseException) -> None:
            told.append((answer, len(one._queue)))
            if len(told) == 4:
                all_told.set()

        for number in range(4):
            id = new_id()
            params: dict[str, Value] = {"number": f"n{number}", "amount": Decimal(5)}
            one.ask(Request(Act(new_id(), 1_000, "Order", params, CLERK, "Purchase", id), "Purchase", id), answered)
        await asyncio.wait_for(all_told.wait(), 30)
        assert [type(answer) for answer, _ in told] == [Done] * 4
        assert told[0][1] >= 2, "the first was answered when others still waited"


@pytest.mark.parametrize(
    ("servers", "parts", "shares"),
    [
        (["a"], 16, [16]),
        (["a", "b"], 16, [8, 8]),
        (["a", "b", "c"], 16, [6, 5, 5]),
        (["a", "b", "c"], 2, [1, 1, 0]),
    ],
)
def test_partitions_are_shared_out(servers: list[str], parts: int, shares: list[int]) -> None:
    assert [share_of(name, servers, parts) for name in servers] == shares


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 35, 36), (10**12, 0, 7)])
def test_a_place_can_be_written_down(place: tuple[int, ...]) -> None:
    assert place_of(place_text(place), 3) == place
    assert place_of("0", 3) == (0, 0, 0)


@pytest.mark.parametrize("text", ["", "p", "p1.2", "p1.2.3.4", "1.2.3", "p1..3", "p1.2.-3", "p1.2.~"])
def test_what_is_no_place_is_none(text: str) -> None:
    assert place_of(text, 3) is None


async def test_entries_that_are_read_together_stand_in_the_order_of_their_times(postgres: Server) -> None:
    async with member(postgres, f"members{next(_names)}", "one", {}) as one:
        take(one, 3_600)
        ids = [new_id() for _ in range(12)]
        for n, id in enumerate(ids):
            assert isinstance(await act(one, id, "Order", number=f"n{n}", amount=Decimal(5)), Done)
        read = one.database.entries_after((0,) * PARTS, 100)
        ordered = merged(read)
        assert sorted(ordered, key=lambda each: each[1].at) == list(ordered)
        for part in range(PARTS):
            seqs = [entry.seq for at, entry in ordered if at == part]
            assert seqs == list(range(1, len(seqs) + 1))
        assert len(ordered) == 24  # Each order prints a slip.
