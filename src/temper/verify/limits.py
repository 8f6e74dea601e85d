"""How far a judgement goes before it says *unknown*."""

from __future__ import annotations

from msgspec import Struct

# A snapshot with what led to it takes kilobytes; a state of a lowered system, packed, some tens of bytes.
SNAPSHOTS = 200_000
PACKED = 5_000_000


class Limits(Struct, frozen=True):
    """Bounds of one judgement; the report says which of them was met.

    `seconds` bound the whole judgement, `states_max` one search, `rlimit` one question to the solver (its own unit of
    work, so that an answer is the same on every machine). `pending_max` bounds the calls that one entity waits for
    at a time. `seeds` runs of `steps` decisions each are simulated, from `seed` on, and `examples` sequences drawn of
    each kind of request.
    """

    states_max: int = SNAPSHOTS
    # An agent waits that long for an answer; past it, it goes on without one.
    seconds: float = 60.0
    rlimit: int = 500_000
    pending_max: int = 3
    deferred_max: int = 2
    # Half a second for a blueprint of a page: an agent asks after each edit. More seeds are for the night.
    seeds: int = 16
    steps: int = 80
    seed: int = 0
    examples: int = 32

    @property
    def packed_max(self) -> int:
        """Return how many states are followed where they are packed: as many as were asked for, else many more."""
        return PACKED if self.states_max == SNAPSHOTS else self.states_max
