"""`eventually`: what leads to what in the systems of a table, and the run that goes round without getting there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from temper.table import Table, shape
from temper.verify.explore.replay import Replayed
from temper.verify.limits import Limits
from temper.verify.system.fair import Led, graph_of, leads
from temper.verify.system.ir import BOUND, Path, System
from temper.verify.system.lower import Unlowered, components, lower
from temper.verify.system.python import steps_of
from temper.verify.system.replay import replay_path

# Every step is kept, and not only every state: a state with its steps takes about a kilobyte.
GRAPH_MAX = 100_000

# What no engine of this release can look at: the reason follows.
FORMLESS = "it has no finite form"


class Eventual(Struct, frozen=True):
    """What is known of one `eventually`.

    `run` breaks it: after its first `prefix` steps the rest is done again and again (if there is none, nothing happens
    any more). Without a run, `open` says why it is not known. `bounds` are those within which it holds, none if it
    holds of all. `mending` are the least assumptions under which it would hold: (class, "weak" or "strong").
    """

    states: int
    run: Replayed | None = None
    prefix: int = 0
    open: str = ""
    bounds: tuple[str, ...] = ()
    mending: tuple[tuple[str, str], ...] = ()


def eventually(table: Table, limits: Limits) -> dict[int, Eventual]:
    """Return what is known of every `eventually` of a table, by its number."""
    asked = {n: each for n, each in enumerate(table.properties) if isinstance(each, shape.Eventually)}
    found: dict[int, Eventual] = {}
    for names in components(table):
        for succeeds in dict.fromkeys(frozenset(each.succeeds) for each in asked.values()):
            _component(table, names, succeeds, limits, found)
    return found


def _component(
    table: Table,
    names: tuple[str, ...],
    succeeds: frozenset[str],
    limits: Limits,
    found: dict[int, Eventual],
    scope: Mapping[str, int] | None = None,
) -> None:
    system = lower(
        table, names, scope=scope, pending_max=limits.pending_max, deferred_max=limits.deferred_max, succeeds=succeeds
    )
    if isinstance(system, Unlowered):
        _open(table, names, succeeds, system.reason, found)
        return
    if not system.leads:
        return
    states_max = min(GRAPH_MAX, limits.packed_max)
    graph = graph_of(system, states_max=states_max, seconds=limits.seconds, steps=steps_of(system))
    if graph.stopped and scope is None and any(count > 1 for count in system.meta["counts"].values()):
        # A graph that is whole says more than one that is cut.
        _component(table, names, succeeds, limits, found, dict.fromkeys(names, 1))
        return
    bounds = _bounds(system)
    for each in system.leads:
        index = each.key[1]
        led = leads(graph, each)
        made = _told(system, table, led, graph.stopped, bounds)
        known = found.get(index)
        # Of several instances the worst counts: one that is broken, then one that is not known.
        if known is None or (known.run is None and (made.run is not None or (made.open and not known.open))):
            found[index] = made


def _open(
    table: Table, names: Iterable[str], succeeds: frozenset[str], reason: str, found: dict[int, Eventual]
) -> None:
    for index, each in enumerate(table.properties):
        if isinstance(each, shape.Eventually) and frozenset(each.succeeds) == succeeds and each.entity in set(names):
            found.setdefault(index, Eventual(0, open=f"{FORMLESS}: {reason}"))


def _told(system: System, table: Table, led: Led, stopped: str | None, bounds: tuple[str, ...]) -> Eventual:
    if led.lasso is None:
        return Eventual(led.states, open=led.stopped or "", bounds=bounds)
    prefix = led.lasso.prefix
    if stopped is not None and not led.lasso.loop:
        # Where the graph is cut it looks as if nothing could happen any more.
        return Eventual(led.states, open=stopped)
    run = replay_path(system, table, Path(prefix.initial, (*prefix.rules, *led.lasso.loop)))
    if run is None:
        return Eventual(led.states, open="only the search, which has no clock, knows a run")
    # A step of several entities is told as several.
    before = replay_path(system, table, prefix) if prefix.rules else Replayed(())
    told = len(before.stages) if before is not None else len(prefix.rules)
    return Eventual(led.states, run, told, mending=led.mending)


def _bounds(system: System) -> tuple[str, ...]:
    """Return within which bounds a system is the table: none if it is all of it."""
    counts: dict[str, int] = system.meta["counts"]
    words = [f"{name} in {{{values}}}" for name, values in system.meta["partial"].items()]
    if len(counts) > 1 or sum(counts.values()) > 1:
        words.append("at most " + " and ".join(f"{count} {name}" for name, count in counts.items()))
    if any(fault.why == BOUND for rule in (*system.rules, *system.meta["reports"]) for fault in rule.faults):
        words.append("within the bounds of the search")
    return tuple(words)
