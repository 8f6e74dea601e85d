"""A space alive: group commit, attempts and their time-outs, what is due, streams, swaps, and the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from temper.kernel import (
    Ask,
    Batch,
    Busy,
    Discard,
    Done,
    Entry,
    Expired,
    Limits,
    MemoryStore,
    No,
    OrderState,
    StoreFault,
)
from temper.runtime import Answered, Attempt, Call, Failed, Live, SqliteStore, Unknown
from temper.runtime.tools import Kind
from temper.table import Snapshot, digest
from tests.kernel.shop import CLERK, SHOP, compiled, version
from tests.kernel.test_swap import LARGER
from tests.runtime.living import MovedClock, Prompt, Space, Tool, quiet, space, until

S, H = 1_000, 3_600_000


async def purchase(live: Space, id: str = "p1") -> None:
    await live.done("Purchase", id, "Order", number=f"number-{id}", amount=Decimal(1))


async def paying(live: Space, id: str = "p1") -> None:
    await purchase(live, id)
    await live.done("Purchase", id, "Pay")


class Slow(MemoryStore):
    """A store whose appends wait for the test, and which counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.batches: list[int] = []
        self.fault: StoreFault | None = None

    def append(self, batch: Batch) -> int:
        self.go.wait(20)
        if self.fault is not None:
            raise self.fault
        self.batches.append(len(batch.changes))
        return super().append(batch)


# --- group commit -----------------------------------------------------------------------------------------------------


async def test_what_arrives_during_an_append_is_the_next_group() -> None:
    store = Slow()
    async with space(store=store) as live:
        await quiet()
        store.batches.clear()
        store.go.clear()
        first = asyncio.create_task(live.act("Shelf", "s0", "Stock", name="n0", stock=1))
        await quiet()
        rest = [asyncio.create_task(live.act("Shelf", f"s{n}", "Stock", name=f"n{n}", stock=1)) for n in range(1, 21)]
        await quiet()
        assert not first.done()
        assert live.live.read("Shelf", "s0") is None
        store.go.set()
        answers = await asyncio.gather(first, *rest)
        assert all(isinstance(answer, Done) for answer in answers)
        assert store.batches == [1, 20]


async def test_an_answer_is_given_after_its_append() -> None:
    """What a caller hears, whoever opens the store then finds."""
    store = Slow()
    async with space(store=store) as live:
        done = await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        assert store.snapshot("Shelf", "s1") == done.snapshot == live.live.read("Shelf", "s1")
        assert done.entry is not None
        assert store.entries(0, 10) == [done.entry]


async def test_a_full_queue_says_busy_and_decides_nothing() -> None:
    store = Slow()
    async with space(store=store, limits=Limits(queue_max=2)) as live:
        await quiet()
        store.go.clear()
        waiting = [asyncio.create_task(live.act("Shelf", f"s{n}", "Stock", name=f"n{n}", stock=1)) for n in range(8)]
        await until(lambda: sum(task.done() for task in waiting) >= 5)
        assert {type(task.result()) for task in waiting if task.done()} == {Busy}
        store.go.set()
        answers = await asyncio.gather(*waiting)
        accepted = [answer for answer in answers if isinstance(answer, Done)]
        assert 2 <= len(accepted) <= 3
        assert store.count("Shelf") == len(accepted)


async def test_a_fault_of_the_store_is_told_and_the_space_lives_on() -> None:
    store = Slow()
    async with space(store=store) as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        store.fault = StoreFault("the disk is full")
        assert await live.act("Shelf", "s1", "Take", units=1) == Expired("the disk is full")
        store.fault = None
        assert (await live.done("Shelf", "s1", "Take", units=2)).snapshot.fields["stock"] == 3
        assert store.last_seq() == 2


async def test_an_ending_that_could_not_be_appended_is_not_lost() -> None:
    store, bank = Slow(), Tool()
    async with space(("bank.charge", bank), store=store) as live:
        await paying(live)
        await bank.called()
        store.fault = StoreFault("the disk is full")
        bank.end(Answered({"receipt": "r"}))
        await quiet()
        assert live.state("Purchase", "p1") == "Paying"
        store.fault = None
        live.clock.move(2 * S)
        await live.becomes("Purchase", "p1", "Paid")
        assert len(bank.calls) == 1


async def test_endings_that_could_not_be_appended_outlive_whatever_comes_next() -> None:
    """Others ask, in vain and with success, before the pause is over: each ending is taken, and no call made again."""
    store, bank = Slow(), Tool()
    async with space(("bank.charge", bank), store=store) as live:
        for number, id in enumerate(("p1", "p2"), 1):
            await paying(live, id)
            await bank.called(number)
        store.fault = StoreFault("the disk is full")
        for number in (1, 2):
            bank.end(Answered({"receipt": "r"}), number)
            await quiet()
        assert await live.act("Shelf", "s1", "Stock", name="nuts", stock=5) == Expired("the disk is full")
        store.fault = None
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        live.clock.move(2 * S)
        for id in ("p1", "p2"):
            await live.becomes("Purchase", id, "Paid")
        assert len(bank.calls) == 2


async def test_an_ending_that_could_not_be_appended_is_tried_once_more_at_the_end() -> None:
    store, bank = Slow(), Tool()
    async with space(("bank.charge", bank), store=store) as live:
        await paying(live)
        await bank.called()
        store.fault = StoreFault("the disk is full")
        bank.end(Answered({"receipt": "r"}))
        await quiet()
        store.fault = None
    paid = store.snapshot("Purchase", "p1")
    assert paid is not None
    assert paid.state == "Paid"


async def test_a_bug_strikes_those_alone_who_meet_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ask together; deciding the second raises."""
    store = Slow()
    async with space(store=store) as live:
        await quiet()
        store.go.clear()
        first = asyncio.create_task(live.act("Shelf", "s0", "Stock", name="n0", stock=1))
        await quiet()
        asked = [asyncio.create_task(live.act("Shelf", f"s{n}", "Stock", name=f"n{n}", stock=1)) for n in (1, 2, 3)]
        await quiet()
        decide = live.live._host.cached

        def cached(entity: str, id: str) -> Snapshot | None:
            assert id != "s2", "the bug"
            return decide(entity, id)

        monkeypatch.setattr(live.live._host, "cached", cached)
        store.go.set()
        answers = await asyncio.gather(first, *asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Done, Done, AssertionError, Done]
        assert store.count("Shelf") == 3


async def test_a_bug_in_an_append_strikes_those_alone_who_meet_it() -> None:
    class Buggy(Slow):
        def append(self, batch: Batch) -> int:
            assert not any(now.id == "s2" for change in batch.changes for now in change.snapshots), "the bug"
            return super().append(batch)

    store = Buggy()
    async with space(store=store) as live:
        answers = await asyncio.gather(
            *(live.act("Shelf", f"s{n}", "Stock", name=f"n{n}", stock=1) for n in range(4)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [Done, Done, AssertionError, Done]
        assert live.live.read("Shelf", "s2") is None
        assert (await live.done("Shelf", "s3", "Take", units=1)).snapshot.version == 2


async def test_nobody_waits_for_ever_on_a_space_that_has_stopped() -> None:
    """A bug outside of all that is foreseen."""
    store = Slow()
    async with space(store=store) as live:
        await quiet()

        def broken(batch: Batch) -> None:
            raise AssertionError("the bug")

        live.live._host.adopt = broken  # type: ignore[method-assign]  # the bug
        asked = [asyncio.create_task(live.act("Shelf", "s1", "Stock", name="n", stock=1))]
        answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
        assert isinstance(answers[0], StoreFault)
        assert isinstance(await live.act("Shelf", "s2", "Stock", name="m", stock=1), Expired)
        with pytest.raises(StoreFault, match="start the server again"):
            await live.live.swap(compiled(LARGER), version(compiled(LARGER), 2))


async def test_whoever_went_away_before_the_decision_did_nothing() -> None:
    store = Slow()
    async with space(store=store) as live:
        await quiet()
        store.go.clear()
        first = asyncio.create_task(live.act("Shelf", "s0", "Stock", name="n0", stock=1))
        await quiet()
        gone = asyncio.create_task(live.act("Shelf", "s1", "Stock", name="n1", stock=1))
        await quiet()
        gone.cancel()
        store.go.set()
        await first
        await quiet()
        assert store.count("Shelf") == 1


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_a_call_goes_out_and_its_answer_comes_in() -> None:
    bank = Prompt()
    async with space(("bank.charge", bank)) as live:
        await paying(live)
        now = await live.becomes("Purchase", "p1", "Paid")
        (call,) = bank.calls
        assert (call.tool, dict(call.args), call.attempt, call.timeout_ms) == (
            "bank.charge", {"amount": "1", "order": "number-p1"}, 1, 30 * S,
        )  # fmt: skip
        assert now.fields["receipt"] == call.order


async def test_a_call_goes_out_only_after_its_start_is_durable() -> None:
    store, bank = Slow(), Tool()
    async with space(("bank.charge", bank), store=store) as live:
        await purchase(live)
        await quiet()
        store.go.clear()
        task = asyncio.create_task(live.act("Purchase", "p1", "Pay"))
        await quiet()
        assert bank.calls == []
        store.go.set()
        await task
        call = await bank.called()
        row = store.order(call.order)
        assert row is not None
        assert (row.state, row.attempts) == (OrderState.STARTED, 1)


async def test_a_tool_that_hangs_is_given_up_after_its_timeout() -> None:
    """`post.ship` is not idempotent: the call ends `unknown`; a while later the attempt is cut off."""
    post = Tool()
    async with space(("bank.charge", Prompt()), ("post.ship", post)) as live:
        await paying(live)
        await live.becomes("Purchase", "p1", "Paid")
        await live.done("Purchase", "p1", "Ship")
        await post.called()
        live.clock.move(5 * S - 1)
        await quiet()
        assert live.state("Purchase", "p1") == "Shipping"
        live.clock.move(1)
        now = await live.becomes("Purchase", "p1", "Paid")
        assert now.fields["why"] == "timeout"
        assert post.cancelled == 0
        live.clock.move(50 * S)
        await until(lambda: post.cancelled == 1)
        assert [call.ended for call in now.calls] == [True]


async def test_the_true_answer_may_come_late_once() -> None:
    post = Tool()
    async with space(("bank.charge", Prompt()), ("post.ship", post)) as live:
        await paying(live)
        await live.becomes("Purchase", "p1", "Paid")
        await live.done("Purchase", "p1", "Ship")
        call = await post.called()
        live.clock.move(5 * S)
        await live.becomes("Purchase", "p1", "Paid")
        post.end(Answered({}))
        await until(lambda: not live.now("Purchase", "p1").calls)
        entries = live.live.store.history("Purchase", "p1", limit=100)
        ended = [entry.ended for entry in entries if entry.ended and entry.ended.order == call.order]
        assert [(one.number, one.ending) for one in ended] == [(0, "unknown"), (1, "answered")]


async def test_a_failure_is_tried_again_in_its_time() -> None:
    bank = Tool()
    async with space(("bank.charge", bank)) as live:
        await paying(live)
        await bank.called()
        bank.end(Failed(Kind.UNAVAILABLE, "503", retry=True))
        await until(lambda: bool(live.clock.alarms))
        await quiet()
        assert len(bank.calls) == 1
        live.clock.move(10 * S)
        assert (await bank.called(2)).attempt == 2
        assert bank.calls[0][0].order == bank.calls[1][0].order
        bank.end(Answered({"receipt": "r"}), 2)
        await live.becomes("Purchase", "p1", "Paid")


@pytest.mark.parametrize(
    ("result", "state", "why"),
    [
        (Failed(Kind.REJECTED, "no", retry=False), "Failed", "rejected"),
        (Answered({"receipt": 7}), "Failed", "bad_answer"),
    ],
)  # fmt: skip
async def test_how_a_call_ends(result: Failed | Answered, state: str, why: str) -> None:
    bank = Tool()
    async with space(("bank.charge", bank)) as live:
        await paying(live)
        await bank.called()
        bank.end(result)
        assert (await live.becomes("Purchase", "p1", state)).fields["why"] == why


async def test_an_unknown_ending_of_an_idempotent_tool_is_tried_again() -> None:
    bank = Tool()
    async with space(("bank.charge", bank)) as live:
        await paying(live)
        for number in (1, 2, 3):
            await bank.called(number)
            bank.end(Unknown("cut off"), number)
            await until(
                lambda: len(bank.calls) > 3 or bool(live.clock.alarms) or live.state("Purchase", "p1") == "Lost"
            )
            await quiet()
            live.clock.move(20 * S)
        await live.becomes("Purchase", "p1", "Lost")


async def test_an_adapter_that_raises_is_a_bug_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Adapters don't; if one does, nobody knows what it has done."""

    class Broken(Prompt):
        async def call(self, call: Call) -> Attempt:
            raise RuntimeError("with a secret in it")

    async with space(("bank.charge", Prompt()), ("post.ship", Broken())) as live:
        await paying(live)
        await live.becomes("Purchase", "p1", "Paid")
        await live.done("Purchase", "p1", "Ship")
        await until(lambda: live.now("Purchase", "p1").calls[0].ended)
        entry = live.live.store.history("Purchase", "p1", limit=100)[-1]
        assert entry.ended is not None
        assert (entry.ended.ending, entry.ended.error_text) == ("unknown", "the adapter failed: RuntimeError")
        assert live.live._running["post.ship"] == 0


async def test_a_tool_that_nothing_is_bound_to_fails_until_something_is() -> None:
    async with space() as live:
        await paying(live)
        await until(lambda: any(row.last_error for row in live.live.store.orders_of("Purchase", "p1")))
        (row,) = live.live.store.orders_of("Purchase", "p1")
        assert row.last_error.startswith("not_bound: nothing is bound to the tool `bank.charge`")
        live.live.bind({"bank.charge": Prompt()})
        live.clock.move(10 * S)
        await live.becomes("Purchase", "p1", "Paid")


async def test_no_more_attempts_of_a_tool_at_once_than_the_limit() -> None:
    bank = Tool()
    async with space(("bank.charge", bank), limits=Limits(attempts_max=2)) as live:
        for n in range(3):
            await paying(live, f"p{n}")
        await bank.called(2)
        await quiet()
        assert len(bank.calls) == 2
        bank.end(Answered({"receipt": "r"}))
        await bank.called(3)
        # A call that waits for room is no reason to go round and round.
        before = len(live.live._host.held)
        await quiet()
        assert (len(bank.calls), before) == (3, 0)


async def test_an_operator_discards_a_call() -> None:
    bank = Tool()
    async with space(("bank.charge", bank)) as live:
        await paying(live)
        call = await bank.called()
        assert await live.live.operate(Discard(call.order))
        assert live.state("Purchase", "p1") == "Lost"
        assert not await live.live.operate(Discard("nothing"))


# --- what is due ------------------------------------------------------------------------------------------------------


async def test_a_timer_fires_when_the_clock_says_so() -> None:
    async with space() as live:
        await purchase(live)
        await quiet()
        live.clock.move(H - 1)
        await quiet()
        assert live.now("Purchase", "p1").fields["reminders"] == 0
        live.clock.move(1)
        await until(lambda: live.now("Purchase", "p1").fields["reminders"] == 1)


async def test_an_alarm_that_rings_too_early_is_set_again() -> None:
    """The wall clock may be set back while it waits."""
    async with space() as live:
        await purchase(live)
        await quiet()
        (alarm,) = live.clock.alarms
        alarm.cancel()
        alarm.call()
        await until(lambda: bool(live.clock.alarms))
        assert live.clock.alarms[0].at == alarm.at


async def test_a_space_at_rest_does_nothing() -> None:
    store = Slow()
    async with space(("bank.charge", Tool()), store=store) as live:
        await paying(live)
        await quiet()
        before = len(store.batches)
        turns = 0
        turn = live.live._host.turn

        def counted(asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
            nonlocal turns
            turns += 1
            return turn(asks, at, room)

        live.live._host.turn = counted  # type: ignore[method-assign]  # to count them
        await quiet(50)
        assert (turns, len(store.batches)) == (0, before)


async def test_sends_arrive_by_themselves() -> None:
    async with space() as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        await live.done("Purchase", "p1", "Order", number="n", amount=Decimal(1), shelf="s1")
        await live.done("Purchase", "p1", "Reserve", units=2)
        await until(lambda: live.now("Shelf", "s1").fields["stock"] == 3)


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_a_subscriber_gets_every_entry_in_order() -> None:
    """One that is there from the beginning, one that comes later and asks for all, one from a place in between."""
    async with space() as live:

        async def read(after: int | None, count: int) -> list[int]:
            stream = live.live.subscribe(after)
            seqs: list[int] = []
            async for entry in stream:
                seqs.append(entry.seq)
                if len(seqs) == count:
                    break
            return seqs

        first = asyncio.create_task(read(None, 50))
        await quiet(2)
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=50)
        for _ in range(24):
            await live.done("Shelf", "s1", "Take", units=1)
        later = [asyncio.create_task(read(after, 50 - after)) for after in (0, 13)]
        await quiet(2)
        for _ in range(25):
            await live.act("Shelf", "s1", "Take", units=1)
        assert await first == list(range(1, 51))
        assert await later[0] == list(range(1, 51))
        assert await later[1] == list(range(14, 51))


async def test_from_now_on_counts_from_the_subscription() -> None:
    """Not from the first look, which may be later."""
    async with space() as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=50)
        stream = live.live.subscribe()
        await live.done("Shelf", "s1", "Take", units=1)
        assert (await anext(aiter(stream))).seq == 2


async def test_a_slow_subscriber_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further behind than what is kept in memory: it reads on from the store."""
    monkeypatch.setattr("temper.runtime.live._RECENT_MAX", 4)
    async with space() as live:
        stream = aiter(live.live.subscribe(0))
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=50)
        seqs = [(await anext(stream)).seq]
        for _ in range(30):
            await live.done("Shelf", "s1", "Take", units=1)
        seqs += [(await anext(stream)).seq for _ in range(30)]
        assert seqs == list(range(1, 32))


async def test_one_subscriber_that_goes_away_takes_no_other_with_it() -> None:
    async with space() as live:
        gone = asyncio.create_task(first_of(live.live.subscribe()))
        stays = asyncio.create_task(first_of(live.live.subscribe()))
        await quiet(2)
        gone.cancel()
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        assert (await stays).seq == 1


async def first_of(stream: AsyncIterator[Entry]) -> Entry:
    return await anext(stream)


async def test_a_stream_ends_with_the_space() -> None:
    seen: list[Entry] = []
    async with space() as live:

        async def read() -> None:
            async for entry in live.live.subscribe():
                seen.append(entry)

        task = asyncio.create_task(read())
        await quiet(2)
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
    await asyncio.wait_for(task, 5)
    assert [entry.seq for entry in seen] == [1]


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_waiting_until_it_holds() -> None:
    bank = Tool()
    async with space(("bank.charge", bank)) as live:
        await paying(live)
        waits = [
            asyncio.create_task(live.live.wait_until("Purchase", "p1", is_in(state), timeout_ms=60 * S))
            for state in ("Paying", "Paid", "Lost")
        ]
        await bank.called()
        bank.end(Answered({"receipt": "r"}))
        assert (await waits[0])[0]
        met, now = await waits[1]
        assert met
        assert now == live.live.read("Purchase", "p1")
        assert not waits[2].done()
        live.clock.move(60 * S)
        met, now = await waits[2]
        assert (met, now.state if now else "") == (False, "Paid")
        assert live.live._waiters == {}


async def test_waiting_for_what_does_not_exist_yet() -> None:
    async with space() as live:
        task = asyncio.create_task(live.live.wait_until("Shelf", "s1", is_in("Open"), timeout_ms=60 * S))
        await quiet(2)
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        assert (await task)[0]


async def test_a_condition_that_raises_is_its_askers() -> None:
    def wrong(now: object) -> bool:
        if live.state("Shelf", "s1") == "none":
            return False
        raise ValueError("it divides by zero")

    async with space() as live:
        task = asyncio.create_task(live.live.wait_until("Shelf", "s1", wrong, timeout_ms=60 * S))
        await quiet(2)
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        with pytest.raises(ValueError, match="divides"):
            await task


def is_in(state: str) -> Callable[..., bool]:
    return lambda now: now.state == state


# --- swaps ------------------------------------------------------------------------------------------------------------


async def test_a_swap_comes_between_two_requests_and_none_fails() -> None:
    async with space() as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=100)

        async def take() -> list[str]:
            digests: list[str] = []
            for _ in range(10):
                done = await live.done("Shelf", "s1", "Take", units=1)
                assert done.entry is not None
                digests.append(done.entry.digest)
            return digests

        takers = [asyncio.create_task(take()) for _ in range(8)]
        await quiet(2)
        swapped = await live.live.swap(compiled(LARGER), version(compiled(LARGER), 2))
        seen = await asyncio.gather(*takers)
        assert swapped == 1
        old, new = digest(compiled(SHOP)), digest(compiled(LARGER))
        assert {one for digests in seen for one in digests} <= {old, new}
        # Old ones, then new ones.
        assert all(sorted(digests, key=[old, new].index) == digests for digests in seen)
        assert live.live.version.number == 2
        assert live.now("Shelf", "s1").fields == {"name": "nuts", "stock": 20, "spare": 3}


async def test_a_swap_that_strands_changes_nothing() -> None:
    async with space() as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=50)
        smaller = compiled(SHOP.replace("stock: int 0..100", "stock: int 0..9"))
        stranded = await live.live.swap(smaller, version(smaller, 2))
        assert isinstance(stranded, tuple)
        assert [one.id for one in stranded] == ["s1"]
        assert live.live.version.number == 1
        await live.done("Shelf", "s1", "Take", units=1)


async def test_a_swap_that_the_store_can_not_take_changes_nothing() -> None:
    store = Slow()
    async with space(store=store) as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=50)
        store.fault = StoreFault("the disk is full")
        with pytest.raises(StoreFault):
            await live.live.swap(compiled(LARGER), version(compiled(LARGER), 2))
        store.fault = None
        assert live.live.table is not compiled(LARGER)
        assert "spare" not in (await live.done("Shelf", "s1", "Take", units=1)).snapshot.fields


# --- beginning and end ------------------------------------------------------------------------------------------------


async def test_a_space_without_a_version_does_not_start() -> None:
    with pytest.raises(StoreFault, match="no version"):
        await Live.start(MemoryStore(), {})


async def test_closing_answers_those_who_wait_and_takes_no_more() -> None:
    store = Slow()
    async with space(store=store) as live:
        await quiet()
        store.go.clear()
        waiting = [asyncio.create_task(live.act("Shelf", f"s{n}", "Stock", name=f"n{n}", stock=1)) for n in range(5)]
        await quiet()
        closing = asyncio.create_task(live.live.close(drain_ms=0))
        await quiet()
        assert isinstance(await live.act("Shelf", "s9", "Stock", name="n9", stock=1), Busy)
        store.go.set()
        assert all(isinstance(answer, Done) for answer in await asyncio.gather(*waiting))
        await closing
        assert store.count("Shelf") == 5


async def test_closing_lets_attempts_end() -> None:
    store, bank = MemoryStore(), Tool()
    async with space(("bank.charge", bank), store=store) as live:
        await paying(live)
        await bank.called()
        closing = asyncio.create_task(live.live.close(drain_ms=20_000))
        await quiet()
        bank.end(Answered({"receipt": "r"}))
        await closing
        now = store.snapshot("Purchase", "p1")
        assert now is not None
        assert now.state == "Paid"


async def test_an_attempt_that_does_not_end_is_taken_up_by_the_next_start(tmp_path: Path) -> None:
    bank = Tool()
    clock = MovedClock()
    store = SqliteStore(tmp_path / "space.db")
    async with space(("bank.charge", bank), store=store, clock=clock) as live:
        await paying(live)
        order = (await bank.called()).order
    assert bank.cancelled == 1
    store.close()
    store = SqliteStore(tmp_path / "space.db")
    again = Prompt()
    async with space(("bank.charge", again), store=store, clock=clock) as live:
        await live.becomes("Purchase", "p1", "Paid")
        assert [(call.order, call.attempt) for call in again.calls] == [(order, 2)]
    store.close()


async def test_an_idempotency_key_is_good_after_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "space.db")
    async with space(store=store) as live:
        await live.done("Shelf", "s1", "Stock", name="nuts", stock=5)
        request = replace(live.request("Shelf", "s1", "Take", CLERK, units=1), key="k", fingerprint="f")
        first = await live.live.submit(request)
    store.close()
    store = SqliteStore(tmp_path / "space.db")
    async with space(store=store) as live:
        again = await live.live.submit(request)
        assert isinstance(first, Done)
        assert again == replace(first, replayed=True)
        assert isinstance(await live.act("Shelf", "s1", "Take", units=9), No)
    store.close()
