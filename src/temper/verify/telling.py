"""What the levels have found, and how a verdict is made of what a search says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Table
from temper.text import Code, Diagnostic, Label
from temper.verify.explain import trace_of
from temper.verify.explore.search import Break, Explored
from temper.verify.places import span_of, text_of
from temper.verify.report import PropertyResult, Verdict
from temper.verify.shapes import routed
from temper.verify.symbolic.algebra import Algebra


class Known(Struct):
    """What the levels say of one entity; `None` where a level did not run. `lost` says why level 1 has no answer."""

    algebra: Algebra | None = None
    explored: Explored | None = None
    lost: str = ""


class Telling(Struct):
    """Makes results and findings of what is known."""

    table: Table
    results: list[PropertyResult] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    _passed: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """For each entity the states that are passed through within a commit, with the cases that lead to them."""

    def broken(self, code: Code, message: str, result: PropertyResult, site: str | None = None) -> Diagnostic:
        """Return a run as a diagnostic: it points at what is broken, then at each step."""
        steps = [
            Label(span_of(self.table, step.site), f"{number}: {step.text}")
            for number, step in enumerate(result.trace, 1)
            if step.site is not None
        ]
        shown = steps if len(steps) <= 6 else [*steps[:2], *steps[-4:]]
        label = result.why.split(";")[0] if result.why else "broken"
        return Diagnostic(
            code, message, Label(span_of(self.table, site or result.site), label), tuple(shown), result.help
        )

    def reached(self, entity: str | None, explored: Explored, state: str) -> Break | None:
        """Return the run to a state; to one that is only passed through, the shortest that takes a case to it (3)."""
        sites = None if entity is None else self._passed_through(entity).get(state)
        if sites is None:
            return explored.reached.get(("state", state))
        runs = [run for site in sites if (run := explored.reached.get(("case", site))) is not None]
        return min(runs, key=lambda each: len(each.run.stages) if each.run is not None else 0, default=None)

    def _passed_through(self, name: str) -> Mapping[str, Sequence[str]]:
        if name not in self._passed:
            entity = self.table.entities[name]
            found = self._passed[name] = {state: [] for state in routed(entity)}
            for action in entity.actions.values():
                for case in action.cases:
                    if case.to in found:
                        found[case.to].append(case.site)
        return self._passed[name]

    def judged(self, result: PropertyResult, key: tuple[object, ...], explored: Explored) -> PropertyResult:
        """Return a result with what a search says of it."""
        found = explored.breaks.get(key)
        if found is not None and found.run is not None:
            return replace(result, verdict=Verdict.BROKEN, trace=trace_of(self.table, found.run))
        suspicion = explored.suspicions.get(key)
        if suspicion is not None:
            trace = trace_of(self.table, suspicion.run) if suspicion.run is not None else ()
            why = f"a run may break it: {suspicion.why}"
            return replace(result, verdict=Verdict.UNKNOWN, why=why, trace=trace)
        if explored.stopped is not None and not explored.states:
            return replace(result, verdict=Verdict.UNKNOWN, why=explored.stopped)
        if explored.stopped or explored.blind:
            why = f"no run of {explored.states:,} states breaks it; {explored.stopped or explored.blind}"
            return replace(result, verdict=Verdict.UNKNOWN, why=why)
        if explored.whole:
            return replace(result, verdict=Verdict.PROVED, why=f"in every one of its {explored.states:,} states")
        return replace(result, verdict=Verdict.HOLDS, why=bounds(explored))


def bounds(explored: Explored) -> str:
    """Return within which bounds a search held, in a few words."""
    words = [f"{name.rpartition('.')[2]} in {{{values}}}" for name, values in explored.partial.items()]
    words += list(explored.cut.values())
    shown = words if len(words) <= 3 else [*words[:3], f"{len(words) - 3} more"]
    return f"{explored.states:,} states; " + "; ".join(shown) if shown else f"{explored.states:,} states"


def never_at(table: Table, entity: str | None, algebra: Algebra) -> frozenset[str]:
    """Return the states that algebra says nothing ever comes to. It knows those at rest, not those passed through."""
    passed = routed(table.entities[entity]) if entity is not None else frozenset()
    return frozenset(algebra.unreachable) - passed


def listed(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:4]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(shown) + more


def case_text(table: Table, site: str) -> str:
    """Return a case as its author wrote it."""
    action = site.partition("/")[0].rpartition(".")[2]
    return f"{action}: {' '.join(text_of(table, site).split()) or site}"


def or_lost(result: PropertyResult, known: Known) -> PropertyResult:
    """Return a result as it is; as *unknown* where nobody says anything of it because level 1 came to no answer."""
    if result.verdict is Verdict.NOT_CHECKED and known.lost:
        return replace(result, verdict=Verdict.UNKNOWN, by="algebra", why=known.lost)
    return result
