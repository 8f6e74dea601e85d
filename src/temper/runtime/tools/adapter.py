"""One attempt of one order, and what can come of it.

The three answers are the language's three outcomes: `then`, `else`, `unknown`. An adapter makes one attempt; whether
there is another is the outbox's decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one order."""

    order: str  # The order's id: the idempotency key of every attempt.
    tool: str
    args: Mapping[str, Any]  # JSON values, already encoded: decimals and times are strings.
    attempt: int  # The first is 1.
    timeout_ms: int
    late_ms: int = 0  # How much longer somebody listens: an answer that comes by then is the late one.


class Kind(StrEnum):
    """Why a call failed; a blueprint reads it as `error.kind`. (`timeout` is not here: that is an `Unknown`.)"""

    REFUSED = "refused"  # By us, before anything was sent: the settings, the egress list or the arguments forbid it.
    REJECTED = "rejected"  # By the tool: it understood, and will not. Asking again in the same words is of no use.
    UNAVAILABLE = "unavailable"  # Nobody took it: no connection, or the tool says that it can't now.
    BAD_ANSWER = "bad_answer"  # It was taken, and the answer is not of the declared form.
    UNHEALTHY = "unhealthy"  # It was taken, and what came of it is broken: a pod that crashes.


@dataclass(frozen=True, slots=True)
class Answered:
    """It was done: the tool's result fields, as JSON values. A number with a fraction is its text, as a decimal is."""

    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """It was not done, or not well. `retry` says whether the same attempt, a little later, may go better."""

    kind: str  # One of `Kind`, or a module's own word.
    text: str
    retry: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened: the attempt timed out or was cut off after the request began to leave."""

    text: str


Attempt = Answered | Failed | Unknown


class Adapter(Protocol):
    """Carries out the calls of one tool.

    `call` answers every call with one of the three, in about `timeout_ms`, and raises nothing. Where something may have
    happened by then it goes on listening, `late_ms` more: the true answer may still come. It may be cancelled: then
    nobody knows what became of the attempt, as after an `Unknown`. Calls may run side by side. No text that
    comes out holds a secret.
    """

    async def call(self, call: Call) -> Attempt: ...

    async def close(self) -> None:
        """Let go of connections. Calls under way may fail."""
        ...


@asynccontextmanager
async def in_time(call: Call, may_have_happened: Callable[[], bool]) -> AsyncIterator[None]:
    """Raise `TimeoutError` at the time-out of `call`, or `late_ms` after it where something may have happened."""
    loop = asyncio.get_running_loop()

    def up() -> None:
        if not (bound.expired() or may_have_happened()):
            bound.reschedule(loop.time())

    async with asyncio.timeout((call.timeout_ms + call.late_ms) / 1000) as bound:
        alarm = loop.call_later(call.timeout_ms / 1000, up)
        try:
            yield
        finally:
            alarm.cancel()
