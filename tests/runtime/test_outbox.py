"""The outbox's pace: what waits, why, and until when."""

from __future__ import annotations

import pytest

from temper.kernel import Limits, MemoryStore
from temper.runtime import Adapter, Answered, Attempt, Call, Failed, Unknown
from temper.runtime.tools import Gate, Kind, Pace, Paced, load_tools
from temper.runtime.vault import Vault
from tests.runtime.living import MovedClock, Space, Tool, quiet, space, until
from tests.runtime.test_live import paying

S = 1_000
RECEIPT = Answered({"receipt": "r"})
DOWN = Failed(Kind.UNAVAILABLE, "503", retry=True)


class Counted:
    """An adapter that notes when it was called, and answers what it is told to."""

    def __init__(self, clock: MovedClock, says: Attempt = RECEIPT) -> None:
        self.clock = clock
        self.says = says
        self.times: list[int] = []

    async def call(self, call: Call) -> Attempt:
        self.times.append(self.clock.now())
        return self.says

    async def close(self) -> None:
        return None


async def passes(live: Space, ms: int) -> None:
    """Let that much time pass, in steps in which what is due happens."""
    for _ in range(ms // 500):
        live.clock.move(500)
        await quiet(8)


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pace", "at", "free", "until"),
    [
        (Pace(), 0, 8, None),
        (Pace(concurrency=3), 0, 3, None),
        # A server that starts begins with one call, however many may burst.
        (Pace(calls=2, burst=5), 0, 1, None),
        (Pace(calls=2, burst=5), 1_000, 3, None),
        (Pace(calls=2, burst=5), 60_000, 5, None),
        (Pace(calls=100, per_ms=60_000), 60_000, 1, None),
        (Pace(concurrency=2, calls=100, burst=50), 60_000, 2, None),
    ],
)
def test_how_many_may_begin(pace: Pace, at: int, free: int, until: int | None) -> None:
    """One row, one pace, some time after a start: with nothing under way and eight calls as the server's bound."""
    gate = Gate(pace, 0)
    assert (gate.free(at, 0, 8), gate.until(at)) == (free, until)


def test_a_token_comes_when_it_is_said_to() -> None:
    """Three in ten seconds do not divide: not a millisecond before, and none later."""
    gate = Gate(Pace(calls=3, per_ms=10_000), 0)
    gate.begun(0)
    at = gate.until(0)
    assert at == 3_334
    assert gate.free(3_333, 0, 8) == 0
    assert gate.free(3_334, 0, 8) == 1


def test_a_clock_that_is_set_back_gives_no_tokens_and_takes_none() -> None:
    gate = Gate(Pace(calls=1), 10_000)
    gate.begun(10_000)
    assert gate.free(4_000, 0, 8) == 0
    assert gate.until(4_000) == 5_000
    assert gate.free(5_000, 0, 8) == 1


@pytest.mark.parametrize("outcome", [DOWN, Unknown("cut off")])
def test_a_circuit_opens_tries_and_closes(outcome: Attempt) -> None:
    gate = Gate(Pace(failures=2, pause_ms=100), 0)
    gate.begun(0)
    gate.ended(0, outcome)
    assert gate.state(0) == "closed"
    gate.begun(0)
    gate.ended(5, outcome)
    assert (gate.state(5), gate.free(5, 0, 8), gate.until(5)) == ("open", 0, 105)
    assert (gate.state(105), gate.free(105, 0, 8)) == ("half-open", 1)
    gate.begun(105)
    assert gate.free(105, 1, 8) == 0
    gate.ended(110, outcome)
    assert (gate.state(110), gate.until(110)) == ("open", 210)
    gate.begun(210)
    gate.ended(211, RECEIPT)
    assert (gate.state(211), gate.free(211, 0, 8), gate.failed) == ("closed", 8, 0)


@pytest.mark.parametrize("outcome", [RECEIPT, Failed(Kind.REJECTED, "no", retry=False), None])
def test_what_says_that_a_tool_is_well_or_nothing_opens_no_circuit(outcome: Attempt | None) -> None:
    gate = Gate(Pace(failures=1), 0)
    gate.begun(0)
    gate.ended(0, outcome)
    assert gate.state(0) == "closed"


# --- in a living space ------------------------------------------------------------------------------------------------


async def test_no_more_calls_at_once_than_the_tool_s_own_bound() -> None:
    bank = Tool()
    async with space(("bank.charge", Paced(bank, Pace(concurrency=1))), limits=Limits(attempts_max=5)) as live:
        for n in range(3):
            await paying(live, f"p{n}")
        await bank.called()
        await quiet()
        assert len(bank.calls) == 1
        assert live.live.pace("bank.charge").why == "no more may be under way at once than do: 1"
        bank.end(RECEIPT)
        await bank.called(2)
        await quiet()
        assert len(bank.calls) == 2


async def test_calls_begin_at_the_rate_and_the_wait_is_told() -> None:
    clock = MovedClock()
    bank = Counted(clock)
    async with space(("bank.charge", Paced(bank, Pace(calls=1, per_ms=2 * S))), clock=clock) as live:
        for n in range(4):
            await paying(live, f"p{n}")
        await until(lambda: len(bank.times) == 1)
        begin = bank.times[0]
        await quiet()
        held = live.live.pace("bank.charge")
        assert (held.why, held.until) == ("its rate is used up", begin + 2 * S)
        await passes(live, 8 * S)
        assert [at - begin for at in bank.times] == [0, 2 * S, 4 * S, 6 * S]
        for n in range(4):
            await live.becomes("Purchase", f"p{n}", "Paid")


async def test_an_open_circuit_holds_all_calls_back_and_one_tries() -> None:
    clock = MovedClock()
    bank = Counted(clock, DOWN)
    paced: Adapter = Paced(bank, Pace(concurrency=1, failures=2, pause_ms=60 * S))
    async with space(("bank.charge", paced), clock=clock) as live:
        for n in range(3):
            await paying(live, f"p{n}")
        await until(lambda: len(bank.times) == 2)
        await quiet()
        held = live.live.pace("bank.charge")
        assert (held.circuit, held.failed, held.until) == ("open", 2, clock.now() + 60 * S)
        assert held.why == "the circuit is open, after failures in a row: 2"
        await passes(live, 59 * S)
        assert len(bank.times) == 2  # What is due meanwhile waits, and nothing is lost of its tries.
        bank.says = RECEIPT
        await passes(live, 2 * S)
        for n in range(3):
            await live.becomes("Purchase", f"p{n}", "Paid")
        assert live.live.pace("bank.charge").circuit == "closed"


async def test_what_waited_for_its_turn_is_called_after_a_restart() -> None:
    store, clock = MemoryStore(), MovedClock()
    bank = Counted(clock)
    paced = Paced(bank, Pace(calls=1, per_ms=3_600 * S))
    async with space(("bank.charge", paced), store=store, clock=clock) as live:
        for n in range(2):
            await paying(live, f"p{n}")
        await live.becomes("Purchase", "p0", "Paid")
        assert len(bank.times) == 1
    async with space(("bank.charge", paced), store=store, clock=clock) as live:
        await live.becomes("Purchase", "p1", "Paid")
    assert len(bank.times) == 2


async def test_a_new_pace_is_kept_from_the_next_call_on() -> None:
    bank = Tool()
    async with space(("bank.charge", Paced(bank, Pace(concurrency=1)))) as live:
        for n in range(3):
            await paying(live, f"p{n}")
        await bank.called()
        live.live.bind({"bank.charge": Paced(bank, Pace(concurrency=3))})
        bank.end(RECEIPT)
        await bank.called(3)


# --- settings ---------------------------------------------------------------------------------------------------------

HTTP = {"adapter": "http", "method": "POST", "url": "https://hooks.example.com/"}


def test_settings_give_a_tool_its_pace() -> None:
    said = {"concurrency": 2, "rate": "100/m", "burst": 10, "breaker_failures": 5, "breaker_pause": "1m"}
    adapters, problems = load_tools({"tools": {"a.b": HTTP | said}}, {}, Vault({}))
    assert problems == []
    bound = adapters["a.b"]
    assert isinstance(bound, Paced)
    assert bound.pace == Pace(2, 100, 60_000, 10, 5, 60_000)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rate", "fast", "`fast` is no rate"),
        ("rate", "0/s", "`0/s` is no rate"),
        ("rate", 10, "not a text"),
        ("burst", 3, "there is no `rate`"),
        ("concurrency", 0, "not a whole number above 0"),
        ("breaker_pause", "3s", "nothing opens the circuit"),
        ("breaker_failure", 3, "unknown setting"),
    ],
)
def test_a_pace_that_is_none_is_a_problem(key: str, value: object, said: str) -> None:
    """One row, one mistake: it is said once, and the tool is not bound."""
    adapters, problems = load_tools({"tools": {"a.b": {**HTTP, key: value}}}, {}, Vault({}))
    assert ([each.where for each in problems], adapters) == ([f'tools."a.b".{key}'], {})
    assert said in problems[0].text
