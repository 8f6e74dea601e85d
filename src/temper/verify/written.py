"""The written properties, and what all that is known comes to for each of them.

Where two levels speak of the same property, the stronger word counts: a proof, then a run, then a search. A run that
breaks what was proved would be a bug of ours, and is shown as the run that it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import field
from msgspec.structs import replace

from temper.table import Expr, shape
from temper.text import Code
from temper.verify.causes import causes, enters
from temper.verify.explain import holds_now, last_step, missing_guard, trace_of
from temper.verify.explore.replay import Stage
from temper.verify.explore.search import Break, Explored, _false_after, _false_step
from temper.verify.expressions import walk
from temper.verify.narrowed import LeftOut, doubted, overruled
from temper.verify.properties import asked_alone
from temper.verify.report import PropertyResult, Verdict
from temper.verify.symbolic.algebra import Algebra
from temper.verify.symbolic.opened import in_words
from temper.verify.system.led import FORMLESS, Eventual
from temper.verify.telling import Known, Telling, bounds, never_at, or_lost

SEVERAL = "it speaks of several entities at once, and they could not be searched together"


class Written(Telling):
    """Results of the written properties. `found` is what is known of each entity.

    `several` has the properties about several entities that were searched, by number, and one of those that know the
    answer; `eventual` what the fair runs say of each `eventually`, by its number; `together` what level 1 says of
    several.
    """

    found: Mapping[str, Known] = field(default_factory=dict)
    several: Mapping[int, str] = field(default_factory=dict)
    eventual: Mapping[int, Eventual] = field(default_factory=dict)
    together: Algebra | None = None
    left_out: LeftOut = field(default_factory=dict)
    lifted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def tell(self) -> None:
        """Add a result for each property, and a finding for each that is broken."""
        alone = asked_alone(self.table)
        for index, each in enumerate(self.table.properties):
            entity = alone[index].entity if index in alone else each.entity
            found = self.found.get(entity or "", Known())
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
            result = overruled(doubted(or_lost(result, found), self.left_out), self.lifted)
            self.results.append(result)
            if result.verdict is Verdict.BROKEN:
                self.findings.append(self.broken(Code.B501, f"a run breaks `{each.name}`", result))

    def _result(self, each: shape.AnyProperty, verdict: Verdict, by: str, why: str = "") -> PropertyResult:
        return PropertyResult(each.name, each.entity, verdict, by, why, each.site)

    def _always(self, index: int, each: shape.Always, found: Known) -> PropertyResult:
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
            why = f"{self._open_why(index, algebra)}; the search has not run"
            return self._result(each, Verdict.UNKNOWN, "algebra", why)
        if index in explored.unclear:
            return self._result(each, Verdict.UNKNOWN, "search", explored.unclear[index])
        return self._searched(index, each, key, explored)

    def _of_several(self, index: int, each: shape.Always) -> PropertyResult:
        """Return what a search of several entities together, and level 1, say of a property that speaks of them."""
        searched = self.found[self.several[index]].explored if index in self.several else None
        broken = searched is not None and ("always", index) in searched.breaks
        if self.together is not None and not broken and index in self.together.proofs:
            proof = self.together.proofs[index]
            return replace(self._result(each, Verdict.PROVED, proof.by, proof.told()), certificate=proof.words)
        if index not in self.several:
            if self.together is not None and index in self.together.open_why:
                ran = any(known.explored is not None for known in self.found.values())
                search = "no search of several together asks it" if ran else "the search has not run"
                why = f"{self._open_why(index, self.together)}; {search}"
                return self._result(each, Verdict.UNKNOWN, "algebra", why)
            return self._result(each, Verdict.NOT_CHECKED, "", SEVERAL)
        explored = self.found[self.several[index]].explored
        if explored is not None and index in explored.unclear:
            return self._result(each, Verdict.UNKNOWN, "search", explored.unclear[index])
        return self._searched(index, each, ("always", index), explored)

    def _open_why(self, index: int, algebra: Algebra) -> str:
        """Return why level 1 does not know, and what it left open on the way."""
        why = algebra.open_why.get(index, "no prover shows it")
        opened = in_words(self.table, algebra.left_open)
        return f"{why}; {opened}" if opened else why

    def _never(self, index: int, each: shape.Never, found: Known) -> PropertyResult:
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

    def _can_reach(self, each: shape.CanReach, found: Known) -> PropertyResult:
        explored, algebra = found.explored, found.algebra
        (state,) = each.states if len(each.states) == 1 else (None,)
        if explored is not None:
            for name in each.states:
                reached = self.reached(each.entity, explored, name)
                if reached is not None and reached.run is not None and not reached.why:
                    trace = trace_of(self.table, reached.run)
                    steps = f"a run of {len(trace)} step{'s' if len(trace) > 1 else ''}"
                    return replace(self._result(each, Verdict.PROVED, "search", steps), trace=trace)
        if algebra is not None and all(name in never_at(self.table, each.entity, algebra) for name in each.states):
            why = f"no step leads to `{state or each.states[0]}`"
            return self._result(each, Verdict.BROKEN, "induction", why)
        if explored is None:
            verdict = Verdict.NOT_CHECKED if algebra is None else Verdict.UNKNOWN
            return self._result(each, verdict, "" if algebra is None else "algebra", "the search has not run")
        for name in each.states:
            reached = self.reached(each.entity, explored, name)
            if reached is not None:
                return self._result(each, Verdict.UNKNOWN, "search", f"a run is found, but {reached.why}")
        if explored.whole:
            return self._result(each, Verdict.BROKEN, "search", "no run leads there; every state was seen")
        return self._result(each, Verdict.UNKNOWN, "search", f"no run was found ({bounds(explored)})")

    def _searched(
        self, index: int, each: shape.AnyProperty, key: tuple[str, int], explored: Explored | None
    ) -> PropertyResult:
        """Return what the search says of a property that it looked for breaks of."""
        if explored is None:
            return self._result(each, Verdict.NOT_CHECKED, "", "the search has not run")
        result = self.judged(self._result(each, Verdict.UNKNOWN, "search"), key, explored)
        if result.verdict is Verdict.BROKEN:
            run = explored.breaks[key]
            assert run.run is not None, "a break has a run"
            result = replace(result, why=self._then(each, run), help=self._help(index, each, run))
        return result

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

    @staticmethod
    def _is_of(stage: Stage, entity: str | None) -> bool:
        return stage.accepted is not None and stage.accepted.after.entity == entity

    def _help(self, index: int, each: shape.AnyProperty, found: Break) -> str | None:
        assert found.run is not None, "a break has a run"
        last = self._shown(each, found)
        if isinstance(each, shape.Always):
            alone = asked_alone(self.table).get(index)
            if alone is not None:
                return missing_guard(self.table, alone.condition, last)
            end = found.run.stages[-1].event.id.partition(".")[0]
            own = last.event.id.partition(".")[0] == end and self._is_of(last, each.entity)
            guard = missing_guard(self.table, each.condition, last) if own and _of_fields(each.condition) else None
            return guard or last_step(self.table, found.run)
        if isinstance(each, shape.Never) and last.accepted is not None:
            held = [
                s.accepted for s in reversed(found.run.stages) if s.accepted and each.role in s.accepted.caller.roles
            ]
            other = next((one.actor for one in held if one.actor in one.caller.roles - {each.role}), None)
            if other is not None:
                return f"`role {each.role} excludes {other}` keeps one person from being both"
            return f"take `{each.role}` from the `by` of what leads there, or let another confirm it in between"
        if isinstance(each, shape.Needs):
            if any(s.accepted and s.accepted.caller.acts_for is not None for s in found.run.stages):
                return _one_person(each)
            action = (
                last.accepted.moves[0].action if last.accepted is not None and last.accepted.moves else "the action"
            )
            return f"keep those who agreed in a set, and let `{action}` ask for its size"
        return None


def _one_person(each: shape.Needs) -> str:
    """Return how a guard tells people where it told principals, of whom one can be another's agent."""
    told = "an agent and who is behind it are one: keep and compare `caller.acts_for` where people are meant"
    if each.besides is None:
        return told
    return f"{told}, and let neither it nor `caller` be `{each.besides}`"


def _of_fields(condition: Expr) -> bool:
    """Say whether a condition asks of others no more than who refers to an entity: that no step of its own changes."""
    return all(part[0] not in {"all", "any", "follow", "sum", "count", "every"} for part in walk(condition))


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
