"""Which partitions of a space a server decides for: those that it has leased, for as long as it renews that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from temper.runtime.postgres.line import Line


class Leases:
    """The partitions that `server` has leased; `taken` is called once it has come by others. Safe from any thread."""

    def __init__(self, line: Line, server: str, taken: Callable[[], None]) -> None:
        self._line = line
        self._taken = taken
        self._lock = threading.Lock()
        self.server = server
        self.held: Mapping[int, int] = {}
        """The epochs of the partitions that are this server's; replaced as a whole, from any thread."""
        self.deadline: float | None = None
        """When the server stops deciding unless its leases are renewed, by `now_s`; well before they run out."""

    def deciding(self) -> Mapping[int, int]:
        """Return the epochs of the partitions that the server decides for now: none once its time is up."""
        deadline = self.deadline
        return self.held if deadline is None or now_s() < deadline else {}

    def take(self, parts: Sequence[int], *, seconds: float) -> Sequence[int]:
        """Take those of these partitions that are nobody's, or whose lease has run out; return which."""
        found = self._line.rows(
            # In their order, as appends lock them; one that an append holds is somebody's.
            "with free as (select part from partitions where part = any($2) and (owner is null or owner = $1 or"
            " until < now()) order by part for update skip locked)"
            " update partitions p set owner = $1, epoch = epoch + 1, until = now() + make_interval(secs => $3)"
            " from free where p.part = free.part returning p.part, epoch",
            self.server,
            list(parts),
            seconds,
        )
        with self._lock:
            self.held = {**self.held, **{row["part"]: row["epoch"] for row in found}}
        self._taken()
        return sorted(row["part"] for row in found)

    def renew(self, *, seconds: float) -> Sequence[int]:
        """Keep what is leased for so much longer; return which of the partitions have been lost."""
        asked = self.held
        if not asked:
            return ()
        found = self._line.rows(
            "with held as (select p.part from partitions p join unnest($1::integer[], $2::bigint[]) as h(part, epoch)"
            " on p.part = h.part and p.epoch = h.epoch where p.owner = $4 order by p.part for update of p)"
            " update partitions p set until = now() + make_interval(secs => $3) from held where p.part = held.part"
            " returning p.part",
            list(asked),
            list(asked.values()),
            seconds,
            self.server,
        )
        kept = {row["part"] for row in found}
        with self._lock:
            # Of one whose epoch was raised meanwhile (`raised`) nothing has been said.
            lost = sorted(part for part, epoch in asked.items() if part not in kept and self.held.get(part) == epoch)
            self.held = {part: epoch for part, epoch in self.held.items() if part not in lost}
        return lost

    def release(self, parts: Sequence[int]) -> None:
        """Give partitions back, for others to take at once."""
        with self._lock:
            given = {part: self.held[part] for part in parts if part in self.held}
            self.held = {part: epoch for part, epoch in self.held.items() if part not in given}
        self._line.rows(
            "update partitions p set owner = null, until = null from unnest($1::integer[], $2::bigint[])"
            " as h(part, epoch) where p.part = h.part and p.epoch = h.epoch returning p.part",
            list(given),
            list(given.values()),
        )

    def lost(self, part: int) -> None:
        """Decide no more for a partition: another server has it."""
        with self._lock:
            self.held = {one: epoch for one, epoch in self.held.items() if one != part}

    def owners(self) -> Mapping[int, str]:
        """Return who has leased which partition; those that nobody has, or whose lease ran out, are missing."""
        found = self._line.rows("select part, owner from partitions where owner is not null and until > now()")
        return {row["part"]: row["owner"] for row in found}

    def raised(self, epochs: Mapping[int, int]) -> None:
        """Note that epochs were raised; what was given back meanwhile is not taken again."""
        with self._lock:
            self.held = {part: epochs.get(part, epoch) for part, epoch in self.held.items()}


def now_s() -> float:
    """Return the time by which a lease is measured: where the system can, it goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
