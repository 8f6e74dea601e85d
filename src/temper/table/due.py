"""What falls due for an entity with the passing of time alone."""

from __future__ import annotations

from temper.table.events import Fire, Offer, Snapshot


def due(now: Snapshot, at: int | None) -> tuple[Fire | Offer, ...]:
    """Return what is due at `at`, earliest first; whoever takes it in gives it an `id`.

    Deferred ones whose place has been left come before timers, in their order of arrival. With `at=None` time is left
    out: every armed timer is due, at its own time.
    """
    offers = [Offer("", now.updated_at if at is None else at, held.id) for held in now.deferred if not held.place]
    armed = [(timer.due, timer) for timer in now.timers if timer.due is not None and (at is None or timer.due <= at)]
    armed.sort(key=lambda entry: entry[0])
    fires = [Fire("", when if at is None else at, timer.timer, timer.stamp) for when, timer in armed]
    return (*offers, *fires)


def next_due(now: Snapshot) -> int | None:
    """Return when `due` will have something to give, if ever: a time that has passed if it has something already."""
    times = [timer.due for timer in now.timers if timer.due is not None]
    if any(not held.place for held in now.deferred):
        times.append(now.updated_at)
    return min(times, default=None)
