"""A judgement: the levels, one after the other, and what they come to for each property.

A later level is asked what an earlier one left open. Where two speak of the same thing, the stronger word counts: a
proof, then a run, then a search. A run that breaks what was proved would be a bug of ours, and is shown as the run
that it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from temper.table import Table, Why, describe_expr, digest, shape
from temper.text import Code, Diagnostic, Label, Severity
from temper.verify.causes import causes, enters
from temper.verify.clauses import flat
from temper.verify.explain import holds_now, missing_guard, trace_of
from temper.verify.explore.replay import Stage
from temper.verify.explore.search import RESTS, Break, Explored, _false_after, _false_step
from temper.verify.limits import Limits
from temper.verify.places import span_of, text_of
from temper.verify.properties import asked_alone
from temper.verify.report import Level, PropertyResult, Report, ScenarioResult, Verdict
from temper.verify.scenarios import run_scenarios
from temper.verify.shapes import cases_from, has_orders, homes_everywhere, routed, traps, unreachable, waits
from temper.verify.symbolic.algebra import Algebra
from temper.verify.system.found import search_table
from temper.verify.system.led import FORMLESS, Eventual, eventually
from temper.verify.tested import Shown, judged, promises

LEVELS = ("algebra", "search", "simulation", "properties", "scenarios")
SEVERAL = "it speaks of several entities at once, and this release searches one at a time"
# What no level of this release can decide does not keep a report from passing; it is shown for what it is.
BEYOND = (SEVERAL, RESTS, FORMLESS)
# Unwritten questions that a table has to be sound on. The others are about its use: a reader may answer them.
SAFETY = frozenset({"no assignment leaves its type", "nothing divides by zero", "every outcome has a home"})
Progress = Callable[[str], None]


def verify(
    table: Table,
    *,
    levels: Sequence[str] = LEVELS,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return what is known of a table after these levels: a verdict for each property and each unwritten question.

    `progress` hears what is being done, in words.
    """
    for level in levels:
        assert level in LEVELS, f"there is no level `{level}`"
    return _Judgement(table, levels, limits or Limits(), progress or _silent).run()


def _silent(what: str) -> None:
    """Hear nothing."""


@dataclass
class _Found:
    """What the levels say of one entity; `None` where a level did not run."""

    algebra: Algebra | None = None
    explored: Explored | None = None


@dataclass
class _Judgement:
    table: Table
    asked_levels: Sequence[str]
    limits: Limits
    progress: Progress
    levels: list[Level] = field(default_factory=list)
    results: list[PropertyResult] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    found: dict[str, _Found] = field(default_factory=dict)
    several: dict[int, str] = field(default_factory=dict)
    """Properties about several entities that were searched, by number, and one of those that know the answer."""
    eventual: dict[int, Eventual] = field(default_factory=dict)

    def run(self) -> Report:
        self.found = {name: _Found() for name in self.table.entities}
        if "algebra" in self.asked_levels:
            self._algebra()
        if "search" in self.asked_levels:
            self._search()
        self._written()
        for name in self.table.entities:
            self._unwritten(self.table.entities[name], self.found[name])
        if "simulation" in self.asked_levels:
            self._simulation()
        if "properties" in self.asked_levels:
            self._drawn()
        scenarios: tuple[ScenarioResult, ...] = ()
        if "scenarios" in self.asked_levels:
            scenarios = self._scenarios()
        passed = (
            not any(each.severity is Severity.ERROR for each in self.findings)
            and all(each.passed for each in scenarios)
            and all(self._known(each) for each in self.results)
        )
        return Report(
            digest(self.table), self.table.blueprint, passed, tuple(self.levels), tuple(self.results),
            tuple(self.findings), scenarios,
        )  # fmt: skip

    def _known(self, each: PropertyResult) -> bool:
        """Say whether a verdict lets a report pass: it is not broken, and is known if it is asked for."""
        if each.verdict is Verdict.BROKEN:
            return False
        if each.verdict not in {Verdict.UNKNOWN, Verdict.NOT_CHECKED} or any(why in each.why for why in BEYOND):
            return True
        return each.name not in SAFETY and each.site not in {one.site for one in self.table.properties}

    # --- levels -------------------------------------------------------------------------------------------------------

    def _algebra(self) -> None:
        from temper.verify.symbolic.judge import judge  # The solver takes a fifth of a second to import.

        began = time.monotonic()
        for name, found in self.found.items():
            self.progress(f"algebra of {name}")
            found.algebra = judge(self.table, name, self.limits.rlimit)
        opened = sorted({word for found in self.found.values() if found.algebra for word in found.algebra.opened})
        left_open = (f"values of {', '.join(f'`{word}`' for word in opened)} are left open",) if opened else ()
        self.levels.append(
            Level(
                "algebra",
                time.monotonic() - began,
                ("guards, cases, assignments, divisions and invariants, for every value of the types",),
                (*left_open, *(() if len(self.found) < 2 else ("what several entities hold together",))),
            )
        )

    def _search(self) -> None:
        began = time.monotonic()

        def told(names: str, states: int, transitions: int) -> None:
            self.progress(f"search of {names}: {states:,} states, {transitions:,} steps")

        self.progress(f"search of {', '.join(self.found)}")
        searches = search_table(self.table, self.limits, _covered, told)
        for name, explored in searches.explored.items():
            self.found[name].explored = explored
        self.several = searches.asked
        if self._has(shape.Eventually):
            self.progress("fair runs")
            self.eventual = eventually(self.table, self.limits)
        self.levels.append(
            Level(
                "search",
                time.monotonic() - began,
                searches.covered,
                searches.not_covered,
                searches.states,
                searches.transitions,
            )
        )

    def _simulation(self) -> None:
        from temper.verify.simulate.level import simulated  # What is not asked for is not imported.

        explored = {name: found.explored for name, found in self.found.items()}
        level, shown, how_much = simulated(self.table, explored, self.limits, self.progress)
        self._add(level, shown, how_much)
        self.results.extend(promises(shown, level.name, how_much))

    def _drawn(self) -> None:
        from temper.verify.draw.level import drawn

        level, shown, how_much = drawn(self.table, self.limits, self.progress)
        self._add(level, shown, how_much)

    def _add(self, level: Level, shown: Sequence[Shown], how_much: str) -> None:
        """Add what the runs of a level say of each property."""
        self.levels.append(level)
        self.results, broken = judged(self.table, self.results, shown, level.name, how_much)
        self.findings.extend(self._broken(code, _headline(code, each), each) for code, each in broken)

    def _has(self, kind: type[shape.Property]) -> bool:
        return any(isinstance(each, kind) for each in self.table.properties)

    def _scenarios(self) -> tuple[ScenarioResult, ...]:
        began = time.monotonic()
        self.progress("scenarios")
        results = run_scenarios(self.table)
        self.findings.extend(each.problem for each in results if each.problem is not None)
        held = sum(each.passed for each in results)
        self.levels.append(
            Level("scenarios", time.monotonic() - began, (f"{held} of {len(results)} come out as written",))
        )
        return results

    # --- written properties -------------------------------------------------------------------------------------------

    def _written(self) -> None:
        alone = asked_alone(self.table)
        for index, each in enumerate(self.table.properties):
            entity = alone[index].entity if index in alone else each.entity
            found = self.found.get(entity or "", _Found())
            result: PropertyResult
            match each:
                case shape.Always():
                    if index not in alone:
                        result = self._of_several(index, each)
                    else:
                        result = self._always(index, each, found)
                case shape.Never():
                    result = self._never(index, each, found)
                case shape.Needs():
                    result = self._searched(index, each, ("needs", index), found.explored)
                case shape.CanReach():
                    result = self._can_reach(each, found)
                case shape.Eventually():
                    result = self._eventually(index, each)
            self.results.append(result)
            if result.verdict is Verdict.BROKEN:
                self.findings.append(self._broken(Code.B501, f"a run breaks `{each.name}`", result))

    def _result(self, each: shape.AnyProperty, verdict: Verdict, by: str, why: str = "") -> PropertyResult:
        return PropertyResult(each.name, each.entity, verdict, by, why, each.site)

    def _always(self, index: int, each: shape.Always, found: _Found) -> PropertyResult:
        explored, algebra = found.explored, found.algebra
        key = ("always", index)
        if explored is not None and key in explored.breaks:
            return self._searched(index, each, key, explored)
        if algebra is not None and index in algebra.proofs:
            proof = algebra.proofs[index]
            result = self._result(each, Verdict.PROVED, proof.by, proof.told())
            return replace(result, certificate=proof.words)
        if explored is None:
            if algebra is None:
                return self._result(each, Verdict.NOT_CHECKED, "", "no level that asks it has run")
            why = f"{algebra.open_why.get(index, 'no prover shows it')}; the search has not run"
            return self._result(each, Verdict.UNKNOWN, "algebra", why)
        if index in explored.unclear:
            return self._result(each, Verdict.UNKNOWN, "search", explored.unclear[index])
        return self._searched(index, each, key, explored)

    def _of_several(self, index: int, each: shape.Always) -> PropertyResult:
        """Return what a search of several entities together says of a property that speaks of them."""
        if index not in self.several:
            return self._result(each, Verdict.NOT_CHECKED, "", SEVERAL)
        explored = self.found[self.several[index]].explored
        if explored is not None and index in explored.unclear:
            return self._result(each, Verdict.UNKNOWN, "search", explored.unclear[index])
        return self._searched(index, each, ("always", index), explored)

    def _never(self, index: int, each: shape.Never, found: _Found) -> PropertyResult:
        entity = self.table.entities[each.entity or ""]
        if not enters(self.table, entity, each.states, causes(self.table, each.role)):
            why = f"nothing that {each.role} does or causes leads there"
            return self._result(each, Verdict.PROVED, "table", why)
        return self._searched(index, each, ("never", index), found.explored)

    def _eventually(self, index: int, each: shape.Eventually) -> PropertyResult:
        """Return what the fair runs say: it holds on all of them, or there is one that never gets there."""
        known = self.eventual.get(index)
        if known is None:
            return self._result(each, Verdict.NOT_CHECKED, "", "the search has not run")
        if known.run is not None:
            trace = trace_of(self.table, known.run)
            again = len(trace) - known.prefix
            if again:
                why = f"the last {_steps(again)} can be taken again and again, and {' or '.join(each.to)} never comes"
            else:
                why = f"then nothing has to happen any more, and {' or '.join(each.to)} never comes"
            result = self._result(each, Verdict.BROKEN, "fair runs", why)
            return replace(result, trace=trace, help=_mending(known.mending))
        assumed = [f"{role} responds" for role in each.responds] + [f"{tool} succeeds" for tool in each.succeeds]
        rests = f"if {' and '.join(assumed)}; " if assumed else ""
        if known.open:
            untried = known.open.startswith(FORMLESS)
            verdict = Verdict.NOT_CHECKED if untried else Verdict.UNKNOWN
            return self._result(each, verdict, "" if untried else "fair runs", f"{rests}{known.open}")
        why = f"{rests}on every fair run through {known.states:,} states"
        if known.bounds:
            return self._result(each, Verdict.HOLDS, "fair runs", f"{why}; {'; '.join(known.bounds)}")
        return self._result(each, Verdict.PROVED, "fair runs", why)

    def _can_reach(self, each: shape.CanReach, found: _Found) -> PropertyResult:
        explored, algebra = found.explored, found.algebra
        (state,) = each.states if len(each.states) == 1 else (None,)
        if explored is not None:
            for name in each.states:
                reached = self._reached(each.entity, explored, name)
                if reached is not None and reached.run is not None and not reached.why:
                    trace = trace_of(self.table, reached.run)
                    steps = f"a run of {len(trace)} step{'s' if len(trace) > 1 else ''}"
                    return replace(self._result(each, Verdict.PROVED, "search", steps), trace=trace)
        if algebra is not None and all(name in _never_at(self.table, each.entity, algebra) for name in each.states):
            why = f"no step leads to `{state or each.states[0]}`"
            return self._result(each, Verdict.BROKEN, "induction", why)
        if explored is None:
            verdict = Verdict.NOT_CHECKED if algebra is None else Verdict.UNKNOWN
            return self._result(each, verdict, "" if algebra is None else "algebra", "the search has not run")
        for name in each.states:
            reached = self._reached(each.entity, explored, name)
            if reached is not None:
                return self._result(each, Verdict.UNKNOWN, "search", f"a run is found, but {reached.why}")
        if explored.whole:
            return self._result(each, Verdict.BROKEN, "search", "no run leads there; every state was seen")
        return self._result(each, Verdict.UNKNOWN, "search", f"no run was found ({bounds(explored)})")

    def _reached(self, entity: str | None, explored: Explored, state: str) -> Break | None:
        """Return the run to a state; to one that is only passed through, the shortest that takes a case to it (3)."""
        if entity is None or state not in routed(self.table.entities[entity]):
            return explored.reached.get(("state", state))
        sites = [
            case.site
            for action in self.table.entities[entity].actions.values()
            for case in action.cases
            if case.to == state
        ]
        runs = [run for site in sites if (run := explored.reached.get(("case", site))) is not None]
        return min(runs, key=lambda each: len(each.run.stages) if each.run is not None else 0, default=None)

    def _searched(
        self, index: int, each: shape.AnyProperty, key: tuple[str, int], explored: Explored | None
    ) -> PropertyResult:
        """Return what the search says of a property that it looked for breaks of."""
        if explored is None:
            return self._result(each, Verdict.NOT_CHECKED, "", "the search has not run")
        result = self._judged(self._result(each, Verdict.UNKNOWN, "search"), key, explored)
        if result.verdict is Verdict.BROKEN:
            run = explored.breaks[key]
            assert run.run is not None, "a break has a run"
            result = replace(result, why=self._then(each, run), help=self._help(index, each, run))
        return result

    def _judged(self, result: PropertyResult, key: tuple[object, ...], explored: Explored) -> PropertyResult:
        found = explored.breaks.get(key)
        if found is not None and found.run is not None:
            return replace(result, verdict=Verdict.BROKEN, trace=trace_of(self.table, found.run))
        suspicion = explored.suspicions.get(key)
        if suspicion is not None:
            trace = trace_of(self.table, suspicion.run) if suspicion.run is not None else ()
            why = f"a run may break it: {suspicion.why}"
            return replace(result, verdict=Verdict.UNKNOWN, why=why, trace=trace)
        if explored.stopped or explored.blind:
            why = f"no run of {explored.states:,} states breaks it; {explored.stopped or explored.blind}"
            return replace(result, verdict=Verdict.UNKNOWN, why=why)
        if explored.whole:
            return replace(result, verdict=Verdict.PROVED, why=f"in every one of its {explored.states:,} states")
        return replace(result, verdict=Verdict.HOLDS, why=bounds(explored))

    def _then(self, each: shape.AnyProperty, found: Break) -> str:
        """Return what is so at the end of a broken run."""
        last = self._shown(each, found)
        if isinstance(each, shape.Always) and last.accepted is not None:
            after = last.accepted.after
            condition = next((a.condition for a in asked_alone(self.table).values() if a.site == each.site), None)
            return "" if condition is None else holds_now(self.table, after.entity, condition, last.before, after)
        if isinstance(each, shape.Never) and last.accepted is not None:
            return f"then {last.accepted.after.state} is entered, and {each.role} has led there"
        if isinstance(each, shape.Needs) and last.accepted is not None:
            return f"then {last.accepted.after.state} is entered by fewer than {each.count}"
        return ""

    def _shown(self, each: shape.AnyProperty, found: Break) -> Stage:
        """Return the stage that shows a break: others may have been changed in the same commit, after it."""
        assert found.run is not None, "a break has a run"
        asked = next((a for a in asked_alone(self.table).values() if a.site == each.site), None)
        entity = asked.entity if asked is not None else each.entity
        shows = (_false_step if asked.step else _false_after)(asked) if asked is not None else None
        for stage in reversed(found.run.stages):
            own = entity is None or (stage.accepted is not None and stage.accepted.after.entity == entity)
            if own and (shows is None or shows(self.table, stage)):
                return stage
        return found.run.stages[-1]

    def _help(self, index: int, each: shape.AnyProperty, found: Break) -> str | None:
        assert found.run is not None, "a break has a run"
        last = self._shown(each, found)
        if isinstance(each, shape.Always):
            alone = asked_alone(self.table).get(index)
            return None if alone is None else missing_guard(self.table, alone.condition, last)
        if isinstance(each, shape.Never) and last.accepted is not None:
            held = [
                s.accepted for s in reversed(found.run.stages) if s.accepted and each.role in s.accepted.caller.roles
            ]
            other = next((one.actor for one in held if one.actor in one.caller.roles - {each.role}), None)
            if other is not None:
                return f"`role {each.role} excludes {other}` keeps one person from being both"
            return f"take `{each.role}` from the `by` of what leads there, or let another confirm it in between"
        if isinstance(each, shape.Needs):
            action = (
                last.accepted.moves[0].action if last.accepted is not None and last.accepted.moves else "the action"
            )
            return f"keep those who agreed in a set, and let `{action}` ask for its size"
        return None

    def _broken(self, code: Code, message: str, result: PropertyResult, site: str | None = None) -> Diagnostic:
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

    # --- what is always asked -----------------------------------------------------------------------------------------

    def _unwritten(self, entity: shape.Entity, found: _Found) -> None:
        for question in (
            self._guards(entity, found),
            self._states(entity, found),
            self._cases(entity, found),
            *self._faults(entity, found),
            self._ways_out(entity, found),
            *self._homes(entity, found),
        ):
            self.results.append(question)

    def _question(self, name: str, entity: shape.Entity) -> PropertyResult:
        return PropertyResult(name, entity.name, Verdict.NOT_CHECKED, "", "no level that asks it has run")

    def _point(self, code: Code, message: str, site: str, label: str, help: str | None = None) -> None:
        self.findings.append(Diagnostic(code, message, Label(span_of(self.table, site), label), help=help))

    def _guards(self, entity: shape.Entity, found: _Found) -> PropertyResult:
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

    def _states(self, entity: shape.Entity, found: _Found) -> PropertyResult:
        result = self._question("every state can be reached", entity)
        dead = unreachable(entity)
        if found.algebra is not None:
            never = _never_at(self.table, entity.name, found.algebra)
            dead = [state for state in entity.states if state in dead or state in never]
        if dead and (found.algebra is not None or found.explored is not None):
            for state in dead:
                site = f"{entity.name}/state/{state}"
                self._point(
                    Code.B403, f"`{state}` can't be reached", site, "no step leads here",
                    f"give an action a case to `{state}`, or take the state away",
                )  # fmt: skip
            by = "induction" if found.algebra is not None else "table"
            return replace(result, verdict=Verdict.BROKEN, by=by, why=f"not {_listed(dead)}")
        return self._all_reached(result, "state", [*entity.states], found)

    def _all_reached(self, result: PropertyResult, kind: str, wanted: Iterable[str], found: _Found) -> PropertyResult:
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
                reached = self._reached(result.entity, found.explored, name)
            else:
                reached = found.explored.reached.get((kind, name))
            if reached is None:
                missing.append(name)
            elif reached.run is None or reached.why:
                unsure.append(name)
        if not missing and not unsure:
            return replace(result, verdict=Verdict.PROVED, by="search", why="a run leads to each")
        if missing:
            shown = _listed(missing if kind == "state" else [_case(self.table, site) for site in missing])
            why = f"no run was found to {shown} ({found.explored.stopped or bounds(found.explored)})"
            if found.explored.whole:
                return replace(result, verdict=Verdict.BROKEN, by="search", why=f"no run leads to {shown}")
            return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why)
        shown = _listed(unsure if kind == "state" else [_case(self.table, site) for site in unsure])
        why = f"a run to {shown} rests on other entities, or on the clock"
        return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why)

    def _cases(self, entity: shape.Entity, found: _Found) -> PropertyResult:
        result = self._question("every case can be taken", entity)
        algebra = found.algebra
        blamed = set(algebra.never_hold) | {site for site, _ in algebra.shadowed} if algebra is not None else set()
        wanted = [
            case.site
            for action in entity.actions.values()
            for case in action.cases
            if case.site not in blamed and not any(guard.site in blamed for guard in (*action.when, *case.when))
        ]
        from_dead = {
            case.site
            for action in entity.actions.values()
            for case in action.cases
            if algebra is not None
            and set(case.froms)
            <= {
                *unreachable(entity),
                *_never_at(self.table, entity.name, algebra),
            }
        }
        never = [site for site in algebra.never_taken if site not in from_dead] if algebra is not None else []
        if never:
            for site in never:
                self._point(
                    Code.B406, "no reachable state satisfies this case", site, "never taken",
                    "what holds in the states it starts from excludes its guards: change them, or take it away",
                )  # fmt: skip
            why = f"{len(never)} can't"
            return replace(result, verdict=Verdict.UNKNOWN, by="induction", why=f"{why}: see the warnings")
        return self._all_reached(result, "case", wanted, found)

    def _faults(self, entity: shape.Entity, found: _Found) -> Iterator[PropertyResult]:
        algebra, explored = found.algebra, found.explored
        stays = self._question("no assignment leaves its type", entity)
        proved = algebra is not None and not algebra.may_leave and not _loops(entity) and not _computed_waits(entity)
        yield self._fault(stays, Code.B502, (Why.OUT_OF_TYPE,), proved, found)
        if (algebra is not None and algebra.divides) or self._faulty(explored, Why.DIVISION):
            zero = self._question("nothing divides by zero", entity)
            proved = algebra is not None and not algebra.may_divide
            yield self._fault(zero, Code.B503, (Why.DIVISION,), proved, found)
        if self._faulty(explored, Why.TWICE):
            twice = self._question("no field is set twice in one step", entity)
            yield self._fault(twice, Code.B504, (Why.TWICE,), False, found)

    @staticmethod
    def _faulty(explored: Explored | None, why: Why) -> bool:
        return explored is not None and any(key[:2] == ("fault", why) for key in explored.breaks)

    def _fault(
        self, result: PropertyResult, code: Code, kinds: tuple[Why, ...], proved: bool, found: _Found
    ) -> PropertyResult:
        explored = found.explored
        broken = [
            each
            for key, each in (explored.breaks.items() if explored is not None else ())
            if key[0] == "fault" and key[1] in kinds
        ]
        if broken:
            first: PropertyResult | None = None
            for each in broken:
                assert each.run is not None, "a fault has a run that ends in it"
                assert each.refused is not None, "a fault is a refusal"
                help = "ask for what keeps it in range (`when ...`), or widen the type"
                if code is Code.B503:
                    help = "ask for a divisor that is not zero: `when ... != 0`"
                elif code is Code.B504:
                    help = "set it once: a step's clauses, its entry and its routes count together"
                told = replace(
                    result, verdict=Verdict.BROKEN, by="search", why=each.refused.text, site=each.refused.site,
                    trace=trace_of(self.table, each.run), help=help,
                )  # fmt: skip
                self.findings.append(self._broken(code, each.refused.text, told))
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
                return self._judged(replace(result, by="search"), key, explored)
        return self._judged(replace(result, by="search"), ("fault",), explored)

    def _open(self, algebra: Algebra, code: Code) -> str:
        if code is Code.B503:
            return "not shown for every divisor; the search has not run"
        shown = [describe_expr(given.expr, self.table.records) for given in algebra.may_leave[:3]]
        return f"not shown of {_listed(shown)}; the search has not run" if shown else "the search has not run"

    def _ways_out(self, entity: shape.Entity, found: _Found) -> PropertyResult:
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
            return replace(result, verdict=Verdict.BROKEN, by="table", why=f"not {_listed(stuck)}")
        explored = found.explored
        if explored is None:
            return replace(result, verdict=Verdict.UNKNOWN, by="table", why="the search, which tries them, has not run")
        keys = [key for key in explored.breaks if key[0] == "stuck"]
        for key in keys:
            each = explored.breaks[key]
            assert each.run is not None, "a break has a run"
            why = f"in `{key[1]}` nothing can happen any more"
            trace = trace_of(self.table, each.run)
            names = {action.name for action, _ in cases_from(entity, key[1])} | {"roles", "principals"}
            if any(name.partition(".")[0] in names for name in explored.partial):
                why = f"a run ends where nothing that was tried can happen ({bounds(explored)})"
                return replace(result, verdict=Verdict.UNKNOWN, by="search", why=why, trace=trace)
            help = f"give `{key[1]}` an action that is always possible, or a timer"
            told = replace(
                result, verdict=Verdict.BROKEN, by="search", why=why, trace=trace, help=help,
                site=f"{entity.name}/state/{key[1]}",
            )  # fmt: skip
            self.findings.append(self._broken(Code.B506, f"a run gets stuck in `{key[1]}`", told))
            return told
        return self._judged(replace(result, by="search"), ("stuck",), explored)

    def _homes(self, entity: shape.Entity, found: _Found) -> Iterator[PropertyResult]:
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
                self.findings.append(self._broken(Code.B505, f"`{action}` has no home in `{state}`", told))
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
            yield self._judged(replace(result, by="search"), suspicion, explored)


def _headline(code: Code, broken: PropertyResult) -> str:
    return f"a run breaks `{broken.name}`" if code is Code.B501 else broken.why


def _steps(count: int) -> str:
    return "step" if count == 1 else f"{count} steps"


def _mending(assumptions: Sequence[tuple[str, str]]) -> str | None:
    """Return under which assumptions a broken `eventually` would hold, as a blueprint writes them."""
    if not assumptions:
        return "no assumption about who responds mends it: a step has to lead on"
    words = []
    for name, how in assumptions:
        if name == "system":
            words.append("the system's part is taken whenever it is possible again and again")
        else:
            often = ", whenever it is possible again and again" if how == "strong" else ""
            words.append(f"`assume {name} responds`{often}")
    return f"it would hold with {' and '.join(words)}"


def bounds(explored: Explored) -> str:
    """Return within which bounds a search held, in a few words."""
    words = [f"{name.rpartition('.')[2]} in {{{values}}}" for name, values in explored.partial.items()]
    words += list(explored.cut.values())
    shown = words if len(words) <= 3 else [*words[:3], f"{len(words) - 3} more"]
    return f"{explored.states:,} states; " + "; ".join(shown) if shown else f"{explored.states:,} states"


def _covered(each: Explored) -> str:
    """Return what a search covered, in words."""
    words = [f"{each.entity} alone: {each.states:,} states, {each.transitions:,} steps"]
    words.append("outcomes ok, failed, unknown, late, twice and never")
    if each.partial:
        words.append("values drawn: " + "; ".join(f"{name} {values}" for name, values in each.partial.items()))
    words += each.cut.values()
    if each.comparisons:
        words.append(f"{each.comparisons} comparisons of times, both ways each")
    if each.sends:
        words.append("what others send or create, at any time")
    return ", ".join(words)


def _never_at(table: Table, entity: str | None, algebra: Algebra) -> frozenset[str]:
    """Return the states that algebra says nothing ever comes to. It knows those at rest, not those passed through."""
    passed = routed(table.entities[entity]) if entity is not None else frozenset()
    return frozenset(algebra.unreachable) - passed


def _listed(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:4]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(shown) + more


def _case(table: Table, site: str) -> str:
    """Return a case as its author wrote it."""
    action = site.partition("/")[0].rpartition(".")[2]
    return f"{action}: {' '.join(text_of(table, site).split()) or site}"


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
