"""Clocks that jump and tools that are slow or answer twice: nothing fires early, and nothing counts twice."""

from __future__ import annotations

from decimal import Decimal

import pytest

from temper.kernel import AttemptEnd
from temper.runtime import Answered, SystemClock
from temper.table import Ending
from tests.runtime.living import Prompt, Tool, quiet, space, until

S = 1_000
H = 3_600 * S


async def test_a_clock_that_is_set_back_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What time it is never goes back within a server, so that what is written is in the order of its times."""
    seconds = 1_700_000_000.0
    monkeypatch.setattr("temper.runtime.clock.time.time_ns", lambda: int(seconds * 1e9))
    clock = SystemClock()
    first = clock.now()
    seconds -= 3_600
    assert clock.now() == first
    seconds += 3_599
    assert clock.now() == first, "a second is still missing"
    seconds += 2
    assert clock.now() == first + 1_000


async def test_a_timer_waits_out_a_clock_that_was_set_back() -> None:
    """Fifty-nine minutes pass, and the clock is set back by thirty: the timer waits for the moment that was said."""
    async with space() as live:
        placed = live.clock.now()
        await live.done("Purchase", "p1", "Order", number="n1", amount=Decimal(1))
        live.clock.move(59 * 60 * S)
        await quiet()
        live.clock.time -= 30 * 60 * S
        live.clock.move(29 * 60 * S)
        await quiet()
        assert live.now("Purchase", "p1").fields["reminders"] == 0
        live.clock.move(2 * 60 * S)
        await until(lambda: live.now("Purchase", "p1").fields["reminders"] == 1)
        fired = live.live.store.history("Purchase", "p1", limit=10)[-1]
        assert fired.at >= placed + H


async def test_a_slow_tool_holds_up_nobody_else() -> None:
    """While its call is under way the same entity, others, and other tools go on."""
    post, bank = Tool(), Prompt()
    async with space(("bank.charge", bank), ("post.ship", post)) as live:
        await live.done("Purchase", "p1", "Order", number="n1", amount=Decimal(1))
        await live.done("Purchase", "p1", "Pay")
        await live.becomes("Purchase", "p1", "Paid")
        await live.done("Purchase", "p1", "Ship")
        await post.called()
        for number in range(20):
            id = f"q{number}"
            await live.done("Purchase", id, "Order", number=id, amount=Decimal(1))
            await live.done("Purchase", id, "Pay")
            await live.becomes("Purchase", id, "Paid")
        assert live.state("Purchase", "p1") == "Shipping"
        post.end(Answered({}))
        await live.becomes("Purchase", "p1", "Done")


async def test_a_tool_that_answers_twice_is_heard_once() -> None:
    """The second answer to the same order, another one at that, is recorded nowhere and changes nothing."""
    bank = Prompt()
    async with space(("bank.charge", bank)) as live:
        await live.done("Purchase", "p1", "Order", number="n1", amount=Decimal(1))
        await live.done("Purchase", "p1", "Pay")
        now = await live.becomes("Purchase", "p1", "Paid")
        (call,) = bank.calls
        last = live.live.store.last_seq()
        for ending, results in ((Ending.ANSWERED, {"receipt": "another"}), (Ending.FAILED, {})):
            live.live._end(AttemptEnd(call.order, "Purchase", "p1", 1, ending, results))
        await quiet()
        assert live.now("Purchase", "p1") == now
        assert live.live.store.last_seq() == last
        ended = [each.ended for each in live.live.store.history("Purchase", "p1", limit=20) if each.ended]
        assert [each.ending for each in ended] == ["answered"]
