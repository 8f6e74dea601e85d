"""How fast a tool is called, whichever adapter it has: settings of `[tools."NAME"]` beside the adapter's own.

```toml
[tools."pager.page"]
adapter = "http"
method = "POST"
url = "https://hooks.example.com/{service}"
result = { ticket = "id" }
concurrency = 2           # calls under way at once; without it: `calls_per_tool` of `[limits]`
rate = "100/m"            # calls begun in a second (s), minute (m) or hour (h), at an even pace
burst = 10                # so many may begin at once after a quiet time; without it: one
breaker_failures = 5      # so many in a row open the circuit; without it, it stays closed
breaker_pause = "30s"     # then nothing is called for so long, and after it one call tries
```

What may not begin yet waits in the outbox, in order, and `temper tools` says why and until when.
Failures that count are those that may pass (`unavailable`) and the unknown ones: a tool that rejects a call is well.
The call that tries closes the circuit when the tool answers, and opens it again when it does not.

A call that has had no answer in the tool's `timeout`, and may have happened, ends `unknown` then, and makes room for
others. The adapters `http`, `mcp` and `kubernetes` go on listening, for ten time-outs and a minute at most: a true
answer that comes by then is recorded too, as the late one, which the blueprint's `late` speaks of.

Each server keeps the pace for the calls that it makes itself, and begins it anew when it starts: with a closed circuit,
and with one call at a time to begin with, whatever `burst` says, so that a server that starts over and over does not
exceed the rate by more than one call a start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from temper.runtime.tools.adapter import Adapter, Answered, Attempt, Call, Failed, Unknown
from temper.runtime.tools.reading import Table

_RATE = re.compile(r"([1-9]\d{0,8})/(s|m|h)")
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000}
_PAUSE_MS = 30_000


@dataclass(frozen=True, slots=True)
class Pace:
    """The bounds of one tool. `None`: there is none of that kind."""

    concurrency: int | None = None
    calls: int | None = None
    per_ms: int = 1_000
    burst: int = 1
    failures: int | None = None
    pause_ms: int = _PAUSE_MS


class Gate:
    """Says how many calls of one tool may begin now, by what has begun and ended. Times come from the caller."""

    def __init__(self, pace: Pace, now: int) -> None:
        self.pace = pace
        # A token is worth `per_ms` units and a millisecond brings `calls` of them, so that all is in whole numbers.
        self._units = pace.per_ms
        self._at = now
        self._failed = 0
        self._open_until: int | None = None
        self._probing = False

    def free(self, now: int, running: int, most: int) -> int:
        """Return how many may begin; `running` are under way, and `most` may be where the pace says nothing."""
        pace = self.pace
        free = (min(most, pace.concurrency) if pace.concurrency is not None else most) - running
        if pace.calls is not None:
            self._fill(now)
            free = min(free, self._units // pace.per_ms)
        if self._open_until is not None:
            free = 0 if now < self._open_until or self._probing else min(free, 1)
        return max(free, 0)

    def until(self, now: int) -> int | None:
        """Return when more may begin by the time alone, `None` where it is not time that is waited for."""
        times = []
        pace = self.pace
        if self._open_until is not None and now < self._open_until:
            times.append(self._open_until)
        if pace.calls is not None:
            self._fill(now)
            lacking = pace.per_ms - self._units
            if lacking > 0:
                times.append(now - -lacking // pace.calls)
        return max(times, default=None)

    def state(self, now: int) -> str:
        """Return "closed", "open" or "half-open"."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    @property
    def failed(self) -> int:
        """How many calls have failed in a row."""
        return self._failed

    def begun(self, now: int) -> None:
        """Count a call that begins."""
        if self.pace.calls is not None:
            self._fill(now)
            self._units -= self.pace.per_ms
        if self._open_until is not None:
            self._probing = True

    def ended(self, now: int, outcome: Attempt | None) -> None:
        """Count how a call ended; `None` where that says nothing of the tool."""
        self._probing = False
        if self.pace.failures is None or outcome is None:
            return
        match outcome:
            case Failed(retry=True) | Unknown():
                self._failed += 1
                if self._failed >= self.pace.failures:
                    self._open_until = now + self.pace.pause_ms
            case Answered() | Failed():
                self._failed = 0
                self._open_until = None

    def _fill(self, now: int) -> None:
        pace = self.pace
        assert pace.calls is not None, "there is a rate"
        # A wall clock may be set back: then the tokens come from there on.
        brought = max(0, now - self._at) * pace.calls
        self._at = now
        self._units = min(self._units + brought, pace.burst * pace.per_ms)


class Paced:
    """An adapter with the pace at which its tool is called. It does not keep it: whoever begins calls does."""

    def __init__(self, adapter: Adapter, pace: Pace) -> None:
        self.adapter = adapter
        self.pace = pace

    async def call(self, call: Call) -> Attempt:
        """Make one attempt, as the adapter does."""
        return await self.adapter.call(call)

    async def close(self) -> None:
        """Let go of connections."""
        await self.adapter.close()


def read_pace(table: Table) -> Pace:
    """Return the pace that a tool's settings say, noting what is wrong with them."""
    concurrency = table.number("concurrency", 0) or None
    rate = table.text("rate")
    burst = table.number("burst", 0)
    failures = table.number("breaker_failures", 0) or None
    pause_ms = table.duration_ms("breaker_pause", _PAUSE_MS)
    found = _RATE.fullmatch(rate) if rate is not None else None
    if rate is not None and found is None:
        table.note("rate", f"`{rate}` is no rate", "write `10/s`, `100/m` or `1000/h`")
    if burst and rate is None:
        table.note("burst", "there is no `rate` whose burst this is", "add a `rate`, or take it out")
    if "breaker_pause" in table.raw and failures is None:
        table.note("breaker_pause", "nothing opens the circuit", "add `breaker_failures`, or take it out")
    if "breaker_pause" in table.raw and pause_ms < 1:
        table.note("breaker_pause", "is not above 0", "write `30s`")
    if found is None:
        return Pace(concurrency, failures=failures, pause_ms=pause_ms)
    return Pace(concurrency, int(found[1]), _UNITS_MS[found[2]], burst or 1, failures, pause_ms)
