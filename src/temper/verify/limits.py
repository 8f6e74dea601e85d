"""How far a judgement goes before it says *unknown*."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one judgement; the report says which of them was met.

    `states_max` and `seconds` bound the search of one entity, `rlimit` one question to the solver (its own unit of
    work, so that an answer is the same on every machine). `pending_max` bounds the calls that one entity waits for
    at a time.
    """

    states_max: int = 200_000
    # An agent waits that long for an answer; past it, it goes on without one.
    seconds: float = 60.0
    rlimit: int = 500_000
    pending_max: int = 3
    deferred_max: int = 2
