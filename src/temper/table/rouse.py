"""`whenever`: armed in the commit that makes it due, disarmed in the one that makes it not so (18).

What is armed stands among the entity's timers, with the caller who made it due; it fires like a timer whose time has
come, in a commit of its own, if its condition still holds then.
"""

from __future__ import annotations

from msgspec.structs import replace

from temper.table.evaluate import Look, frame_of
from temper.table.events import Armed, Caller, Snapshot
from temper.table.expr import Absent
from temper.table.program import EntityProgram, WheneverCode, program_of
from temper.table.table import Table

# One that its own action leaves due would fire for ever, as fast as it can: that is an error in the blueprint, which
# must not take the others' turn.
SPIN_MS = 60_000


def rouse(table: Table, now: Snapshot, caller: Caller, at: int, world: Look | None) -> Snapshot:
    """Return an entity with those `whenever`s armed that hold; `caller` has made them due that did not hold before.

    The same snapshot where nothing changes. Without a world, those that read other entities stay as they are.
    """
    program = program_of(table, now.entity)
    if program is None or not program.whenevers:
        return now
    return roused(program, now, caller, at, world)


def roused(
    program: EntityProgram, now: Snapshot, caller: Caller, at: int, world: Look | None, fired: str | None = None
) -> Snapshot:
    """`rouse`, where the `whenever` of the site `fired` has been taken in the same commit."""
    armed = {timer.timer: timer for timer in now.timers if timer.timer in program.whenevers}
    gone: set[str] = set()
    new: list[Armed] = []
    for site, code in program.whenevers.items():
        here = now.state in code.states
        if here and code.elsewhere and world is None:
            continue
        if here and holds(code, now, caller, at, world):
            if site not in armed:
                due = at + SPIN_MS if site == fired else at
                new.append(Armed(site, due, now.version, caller))
        elif site in armed:
            gone.add(site)
    if not gone and not new:
        return now
    order = program.timer_order
    timers = [timer for timer in now.timers if timer.timer not in gone] + new
    timers.sort(key=lambda timer: order.get(timer.timer, len(order)))
    return replace(now, timers=tuple(timers))


def holds(code: WheneverCode, now: Snapshot, caller: Caller, at: int, world: Look | None) -> bool:
    """Say whether a `whenever` holds. One that has no value (what it reads is not there) does not."""
    frame = frame_of(now, at, caller, world)
    try:
        return bool(code.holds(frame))
    except (Absent, ZeroDivisionError):
        return False
