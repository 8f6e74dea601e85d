"""What is asked of every entity, though nobody has written it: guards that can hold, states that can be reached, ..."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from temper.table import Table, Type, Why, describe_expr, shape
from temper.text import Code, Diagnostic, Label
from temper.verify.clauses import flat
from temper.verify.explain import trace_of
from temper.verify.explore.search import Break, Explored
from temper.verify.expressions import walk
from temper.verify.mends import mend
from temper.verify.narrowed import ASKED
from temper.verify.places import span_of
from temper.verify.report import PropertyResult, Verdict
from temper.verify.shapes import (
    dead_ends,
    has_orders,
    homes_everywhere,
    recovers,
    traps,
    unreachable,
    waits,
    ways_of,
)
from temper.verify.symbolic.algebra import Algebra
from temper.verify.telling import Known, Telling, bounds, case_text, listed, never_at, or_lost


class Unwritten(Telling):
    """Results of the unwritten questions."""

    def tell(self, entity: shape.Entity, found: Known) -> None:
        """Add a result for each question about an entity, and a finding for what is wrong."""
        for question in (
            self._guards(entity, found),
            self._states(entity, found),
            self._cases(entity, found),
            *self._faults(entity, found),
            *self._ways(entity, found),
            *self._homes(entity, found),
        ):
            self.results.append(or_lost(question, found))

    def _question(self, name: str, entity: shape.Entity) -> PropertyResult:
        return PropertyResult(name, entity.name, Verdict.NOT_CHECKED, "", "no level that asks it has run")

    def _point(self, code: Code, message: str, site: str, label: str, help: str | None = None) -> None:
        self.findings.append(Diagnostic(code, message, Label(span_of(self.table, site), label), help=help))

    def _guards(self, entity: shape.Entity, found: Known) -> PropertyResult:
        result = self._question("every guard can hold", entity)
        algebra = found.algebra
        if algebra is None:
            return result
        for site in dict.fromkeys(algebra.never_hold):
            self._point(
                Code.B401, "this guard can't hold", site, "no values of these types make it true",
                "widen the condition or the types, or take the case away",
            )  # fmt: skip
        for site, earlier in algebra.shadowed:
            self.findings.append(
                Diagnostic(
                    Code.B402,
                    "an earlier case always takes what this one is for",
                    Label(span_of(self.table, site), "never taken"),
                    tuple(Label(span_of(self.table, other), "taken first") for other in earlier),
                    "put it first, or narrow the one before with `when`",
                )
            )
        if algebra.never_hold or algebra.shadowed:
            count = len(algebra.never_hold) + len(algebra.shadowed)
            why = f"{count} can't be taken"
            return replace(result, verdict=Verdict.BROKEN, by="algebra", why=why)
        if algebra.unsure:
            return replace(result, verdict=Verdict.UNKNOWN, by="algebra", why="the solver gave up on some")
        return replace(result, verdict=Verdict.PROVED, by="algebra", why="")

    def _states(self, entity: shape.Entity, found: Known) -> PropertyResult:
        result = self._question("every state can be reached", entity)
        dead = unreachable(entity)
        if found.algebra is not None:
            nowhere = {*dead, *never_at(self.table, entity.name, found.algebra)}
            dead = [state for state in entity.states if state in nowhere]
        if dead and (found.algebra is not None or found.explored is not None):
            for state in dead:
                site = f"{entity.name}/state/{state}"
                self._point(
                    Code.B403, f"`{state}` can't be reached", site, "no step leads here",
                    f"give an action a case to `{state}`, or take the state away",
                )  # fmt: skip
            by = "induction" if found.algebra is not None else "table"
            return replace(result, verdict=Verdict.BROKEN, by=by, why=f"not {listed(dead)}")
        return self._all_reached(result, "state", [*entity.states], found)

    def _all_reached(self, result: PropertyResult, kind: str, wanted: Iterable[str], found: Known) -> PropertyResult:
        if found.explored is None:
            if found.algebra is None:
                return result
            return replace(
                result, verdict=Verdict.UNKNOWN, by="algebra", why="the search, which shows runs, has not run"
            )
        missing: list[str] = []
        unsure: list[str] = []
        for name in wanted:
            if kind == "state":
                reached = self.reached(result.entity, found.explored, name)
            else:
                reached = found.explored.reached.get((kind, name))
            if reached is None:
                missing.append(name)
            elif reached.run is None or reached.why:
                unsure.append(name)
        if not missing and not unsure:
            return replace(result, verdict=Verdict.PROVED, by="search", why="a run leads to each")
        if missing:
            shown = listed(missing if kind == "state" else [case_text(self.table, site) for site in missing])
            why = f"no run was found to {shown} ({found.explored.stopped or bounds(found.explored)})"
            if found.explored.whole:
                return replace(result, verdict=Verdict.BROKEN, by="search", why=f"no run leads to {shown}")
            return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why)
        shown = listed(unsure if kind == "state" else [case_text(self.table, site) for site in unsure])
        why = f"a run to {shown} rests on other entities, or on the clock"
        return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why)

    def _cases(self, entity: shape.Entity, found: Known) -> PropertyResult:
        result = self._question("every case can be taken", entity)
        algebra = found.algebra
        blamed = set(algebra.never_hold) | {site for site, _ in algebra.shadowed} if algebra is not None else set()
        wanted = [
            case.site
            for action in entity.actions.values()
            for case in action.cases
            if case.site not in blamed
            and not case.site.endswith(ASKED)
            and not any(guard.site in blamed for guard in (*action.when, *case.when))
        ]
        from_dead: set[str] = set()
        if algebra is not None:
            dead = {*unreachable(entity), *never_at(self.table, entity.name, algebra)}
            cases = (case for action in entity.actions.values() for case in action.cases)
            from_dead = {case.site for case in cases if dead.issuperset(case.froms)}
        taken = algebra.never_taken if algebra is not None else []
        never = [site for site in taken if site not in from_dead and not site.endswith(ASKED)]
        if never:
            for site in never:
                self._point(
                    Code.B406, "no reachable state satisfies this case", site, "never taken",
                    "what holds in the states it starts from excludes its guards: change them, or take it away",
                )  # fmt: skip
            why = f"{len(never)} can't"
            return replace(result, verdict=Verdict.UNKNOWN, by="induction", why=f"{why}: see the warnings")
        return self._all_reached(result, "case", wanted, found)

    def _faults(self, entity: shape.Entity, found: Known) -> Iterator[PropertyResult]:
        algebra, explored = found.algebra, found.explored
        stays = self._question("no assignment leaves its type", entity)
        proved = algebra is not None and not algebra.may_leave and not _loops(entity) and not _computed_waits(entity)
        # How many come to refer to one is what level 1, which looks at one at a time, does not ask.
        proved = proved and not entity.inverses and not _finer(entity)
        yield self._fault(stays, Code.B502, (Why.OUT_OF_TYPE,), proved, found)
        if (algebra is not None and algebra.divides) or self._faulty(explored, Why.DIVISION):
            zero = self._question("nothing divides by zero", entity)
            proved = algebra is not None and not algebra.may_divide
            yield self._fault(zero, Code.B503, (Why.DIVISION,), proved, found)
        for name, joint in (
            ("no field is set twice in one step", False),
            ("no entity is moved twice in one commit", True),
        ):
            if self._faulty(explored, Why.TWICE, joint):
                yield self._fault(self._question(name, entity), Code.B504, (Why.TWICE,), False, found, joint)
        if explored is not None and _rouses(entity):
            yield self._rest(entity, explored)

    def _rest(self, entity: shape.Entity, explored: Explored) -> PropertyResult:
        """Say whether what has fired is due again at once (18)."""
        result = self._question("no `whenever` or `at` is left due by its action", entity)
        result = replace(result, by="search")
        keys = [key for key in explored.breaks if key[0] == "spins"]
        if not keys:
            suspicion = next((key for key in explored.suspicions if key[0] == "spins"), ("spins",))
            return self.judged(result, suspicion, explored)
        first: PropertyResult | None = None
        for key in keys:
            each = explored.breaks[key]
            assert each.run is not None, "a break has a run"
            action = next(timer.handler.action for timer in _roused(entity) if timer.site == key[1])
            told = replace(
                result, verdict=Verdict.BROKEN, site=key[1], trace=trace_of(self.table, each.run),
                why=f"after `{action}` it is due again at once, and so for ever",
                help=f"let `{action}` change what it is due by, or lead to another state",
            )  # fmt: skip
            self.findings.append(self.broken(Code.B508, f"`{action}` leaves due what has taken it", told))
            first = first or told
        assert first is not None, "there was one"
        return first

    @staticmethod
    def _faulty(explored: Explored | None, why: Why, joint: bool = False) -> bool:
        """Say whether there is such a fault: in a step, or (`joint`) in what a step takes along."""
        return explored is not None and any(
            key[:2] == ("fault", why) and (why is not Why.TWICE or _joint(key) == joint) for key in explored.breaks
        )

    def _fault(
        self,
        result: PropertyResult,
        code: Code,
        kinds: tuple[Why, ...],
        proved: bool,
        found: Known,
        joint: bool = False,
    ) -> PropertyResult:
        explored = found.explored
        broken = [
            each
            for key, each in (explored.breaks.items() if explored is not None else ())
            if key[0] == "fault" and key[1] in kinds and (code is not Code.B504 or _joint(key) == joint)
        ]
        if broken:
            first: PropertyResult | None = None
            for each in broken:
                assert each.run is not None, "a fault has a run that ends in it"
                assert each.refused is not None, "a fault is a refusal"
                help = mend(self.table, each.refused.why, each.refused.site or "", each.refused.text)
                if joint:
                    help = "keep them apart: `when ... != this`, or `when ... != ...` for the two that may be one"
                elif code is Code.B504:
                    help = "set it once: a step's clauses, its entry and its routes count together"
                told = replace(
                    result, verdict=Verdict.BROKEN, by="search", why=each.refused.text, site=each.refused.site,
                    trace=trace_of(self.table, each.run), help=help,
                )  # fmt: skip
                self.findings.append(self.broken(code, each.refused.text, told))
                first = first or told
            assert first is not None, "there was one"
            return first
        if proved:
            return replace(result, verdict=Verdict.PROVED, by="induction", why="")
        if explored is None:
            if found.algebra is None:
                return result
            return replace(result, verdict=Verdict.UNKNOWN, by="algebra", why=self._open(found.algebra, code))
        for key in explored.suspicions:
            if key[0] == "fault" and key[1] in kinds:
                return self.judged(replace(result, by="search"), key, explored)
        return self.judged(replace(result, by="search"), ("fault",), explored)

    def _open(self, algebra: Algebra, code: Code) -> str:
        if code is Code.B503:
            return "not shown for every divisor; the search has not run"
        shown = [describe_expr(given.expr, self.table.records) for given in algebra.may_leave[:3]]
        return f"not shown of {listed(shown)}; the search has not run" if shown else "the search has not run"

    def _ways_out(self, entity: shape.Entity, found: Known) -> PropertyResult:
        result = self._question("every state has a way out", entity)
        if found.algebra is None and found.explored is None:
            return result
        stuck = traps(entity)
        for state in stuck:
            self._point(
                Code.B404, f"`{state}` has no way out", f"{entity.name}/state/{state}", "no action has a case here",
                f"write `final {state}`, or give an action a case from it",
            )  # fmt: skip
        for state, what in waits(self.table, entity):
            self._point(
                Code.B405, f"`{state}` waits for {what}, and for nothing else", f"{entity.name}/state/{state}",
                "stays here for ever if that never comes",
                f"add `in {state} after ... do ...`, or an action that a person may take",
            )  # fmt: skip
        if stuck:
            return replace(result, verdict=Verdict.BROKEN, by="table", why=f"not {listed(stuck)}")
        explored = found.explored
        if explored is None:
            return replace(result, verdict=Verdict.UNKNOWN, by="table", why="the search, which tries them, has not run")
        keys = [key for key in explored.breaks if key[0] == "stuck"]
        for key in keys:
            each = explored.breaks[key]
            assert each.run is not None, "a break has a run"
            why = f"in `{key[1]}` nothing can happen any more"
            trace = trace_of(self.table, each.run)
            names = {action.name for action, _ in ways_of(entity).get(key[1], ())} | {"roles"}
            if not self._stranger(each, explored):
                names.add("principals")
            if any(name.partition(".")[0] in names for name in explored.partial):
                why = f"a run ends where nothing that was tried can happen ({bounds(explored)})"
                return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why, trace=trace)
            help = f"give `{key[1]}` an action that is always possible, or a timer"
            told = replace(
                result, verdict=Verdict.BROKEN, by="search", why=why, trace=trace, help=help,
                site=f"{entity.name}/state/{key[1]}",
            )  # fmt: skip
            self.findings.append(self.broken(Code.B506, f"a run gets stuck in `{key[1]}`", told))
            return told
        return self.judged(replace(result, by="search"), ("stuck",), explored)

    def _ways(self, entity: shape.Entity, found: Known) -> Iterator[PropertyResult]:
        """Tell of the ways out, and of those to a final state: whoever is stuck has none, and is told once."""
        ways_out = self._ways_out(entity, found)
        yield ways_out
        if entity.final:
            yield self._recovers(entity, found, ways_out.verdict is Verdict.BROKEN)

    def _recovers(self, entity: shape.Entity, found: Known, stuck: bool) -> PropertyResult:
        result = self._question("every state can reach a final one", entity)
        algebra, explored = found.algebra, found.explored
        if algebra is None and explored is None:
            return result
        help = "give it a way on, or declare `final` where it may end"
        ends = dead_ends(entity)
        key = next((key for key in (explored.breaks if explored is not None else ()) if key[0] == "lost"), None)
        if key is not None:
            assert explored is not None, "it has a break"
            each = explored.breaks[key]
            assert each.run is not None, "a break has a run"
            why = f"from here, in `{key[1]}`, no run leads to a final state"
            trace = trace_of(self.table, each.run)
            if "principals" in explored.partial and not self._stranger(each, explored):
                why = f"{why} by the principals that were tried"
                return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why, trace=trace)
            site = f"{entity.name}/state/{key[1]}"
            told = replace(
                result, verdict=Verdict.BROKEN, by="search", why=why, trace=trace, help=help, site=site
            )  # fmt: skip
            if not stuck:
                self.findings.append(self.broken(Code.B507, f"no way leads from `{key[1]}` to a final state", told))
            return told
        if ends:
            # What nothing leads to, or leads out of, has a finding of its own.
            nowhere = set(unreachable(entity))
            for state in () if stuck else ends:
                if state not in nowhere:
                    self._point(
                        Code.B507, f"no way leads from `{state}` to a final state", f"{entity.name}/state/{state}",
                        "no chain of cases leads on from here to a final state", help,
                    )  # fmt: skip
            return replace(result, verdict=Verdict.BROKEN, by="table", why=f"not from {listed(ends)}", help=help)
        if recovers(entity):
            if algebra is not None and not algebra.may_leave and not algebra.may_divide and not _loops(entity):
                why = "people can bring it to one, whatever its fields are"
                return replace(result, verdict=Verdict.PROVED, by="table", why=why)
            if explored is None:
                why = "not shown that no value leaves its type on the way; the search has not run"
                return replace(result, verdict=Verdict.UNKNOWN, by="table", why=why)
        if explored is None:
            why = "the search, which looks for the ways, has not run"
            return replace(result, verdict=Verdict.UNKNOWN, by="table", why=why)
        if ("lost",) not in explored.suspicions and explored.unasked and not recovers(entity):
            return replace(result, verdict=Verdict.UNKNOWN, by="search", why=explored.unasked)
        told = self.judged(replace(result, by="search"), ("lost",), explored)
        if explored.asked_of and told.verdict in {Verdict.PROVED, Verdict.HOLDS}:
            return replace(told, verdict=Verdict.HOLDS, why=f"of {explored.asked_of}; {told.why}")
        return told

    def _stranger(self, found: Break, explored: Explored) -> bool:
        """Say whether somebody was tried whom nothing at the end of a run names: any other would fare as he did."""
        assert found.run is not None, "a break has a run"
        last = {stage.accepted.after.id: stage.accepted.after for stage in found.run.stages if stage.accepted}
        named = {
            value
            for now in last.values()
            for each in self.table.entities[now.entity].fields
            for value in _principals_in(each.type, now.fields[each.name], self.table)
        }
        return len(named) < explored.principals

    def _homes(self, entity: shape.Entity, found: Known) -> Iterator[PropertyResult]:
        if not has_orders(self.table, entity) or (found.algebra is None and found.explored is None):
            return
        result = self._question("every outcome has a home", entity)
        explored = found.explored
        keys = [key for key in (explored.breaks if explored is not None else ()) if key[0] == "home"]
        if explored is not None and keys:
            first: PropertyResult | None = None
            seen: set[tuple[str, str]] = set()
            for key in keys:
                _, site, action, state = key
                if (action, state) in seen:
                    continue
                seen.add((action, state))
                each = explored.breaks[key]
                assert each.run is not None, "a break has a run"
                told = replace(
                    result, verdict=Verdict.BROKEN, by="search", site=site, trace=trace_of(self.table, each.run),
                    why=f"`{action}` comes late in `{state}`, and nothing says what becomes of it",
                    help=f"write `in {state} late {action} ignore` (or `do ...`), or `in {state} defer {action}`",
                )  # fmt: skip
                self.findings.append(self.broken(Code.B505, f"`{action}` has no home in `{state}`", told))
                first = first or told
            assert first is not None, "there was one"
            yield first
        elif homes_everywhere(self.table, entity):
            yield replace(result, verdict=Verdict.PROVED, by="table", why="every state says what becomes of it")
        elif explored is None:
            yield replace(
                result, verdict=Verdict.UNKNOWN, by="table", why="not every state says it; the search has not run"
            )
        else:
            suspicion = next((key for key in explored.suspicions if key[0] == "home"), ("home",))
            yield self.judged(replace(result, by="search"), suspicion, explored)


def _principals_in(type_: Type, value: Any, table: Table) -> Iterator[str]:
    """The principals in a value of a type."""
    match type_:
        case ("principal",):
            yield value
        case ("optional", inner) if value is not None:
            yield from _principals_in(inner, value, table)
        case ("set" | "list", inner, _):
            for item in value:
                yield from _principals_in(inner, item, table)
        case ("map", key, inner, _):
            for item, worth in value:
                yield from _principals_in(key, item, table)
                yield from _principals_in(inner, worth, table)
        case ("record", name):
            for part, item in zip(table.records[name], value, strict=True):
                yield from _principals_in(part.type, item, table)
        case _:
            pass


def _finer(entity: shape.Entity) -> bool:
    """Say whether a decimal may get more digits with each step: to level 1 they are as fine as one likes."""
    decimals = {each.name for each in entity.fields if "decimal" in str(each.type)}
    bodies = [action.body for action in entity.actions.values()]
    bodies += [case.body for action in entity.actions.values() for case in action.cases]
    bodies += [(*place.entry, *place.exit) for place in entity.places]
    return any(
        part[0] == "*" and "to_decimal" not in {part[1][0], part[2][0]}
        for body in bodies
        for clause in flat(body)
        if isinstance(clause, shape.Set) and clause.field in decimals
        for part in walk(clause.value)
    )


def _roused(entity: shape.Entity) -> Iterator[shape.Timer | shape.Whenever]:
    """What its own action may leave due: each `whenever`, and each timer to a moment."""
    for place in entity.places:
        yield from (timer for timer in place.timers if timer.kind == "at")
        yield from place.whenevers


def _rouses(entity: shape.Entity) -> bool:
    return any(True for _ in _roused(entity))


def _joint(key: tuple[object, ...]) -> bool:
    """Say whether a fault is met in what an action takes along."""
    return "/with/" in str(key[2])


def _loops(entity: shape.Entity) -> bool:
    """Say whether there is a `for`, whose clauses level 1 does not ask about."""
    bodies = [action.body for action in entity.actions.values()]
    bodies += [case.body for action in entity.actions.values() for case in action.cases]
    bodies += [(*place.entry, *place.exit) for place in entity.places]
    return any(isinstance(clause, shape.For) for body in bodies for clause in flat(body))


def _computed_waits(entity: shape.Entity) -> bool:
    """Say whether a timer's duration is worked out: one that is none, or too long, is refused when it is armed."""
    return any(
        timer.duration is not None and timer.duration[0] != "lit" for place in entity.places for timer in place.timers
    )
