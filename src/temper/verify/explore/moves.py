"""What may happen to an entity in a state: every event that the search tries there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from temper.table import (
    Act,
    Armed,
    Caller,
    Deliver,
    Ending,
    Event,
    Fire,
    Offer,
    Outcome,
    Pending,
    Snapshot,
    Table,
    Value,
    shape,
)
from temper.verify.clauses import NEW, admitted, by_people
from temper.verify.explore.canon import AT, constant_durations
from temper.verify.explore.cone import Cone, Told, created_by_others, joined_by_others, sent_to
from temper.verify.explore.draws import Draws
from temper.verify.expressions import bounded, walk

# Every subset of so many roles is tried as what one caller holds; of more, each alone and each pair.
ROLES_MAX = 5
EVENT = "e"


class Moves:
    """The events of one entity."""

    def __init__(
        self,
        table: Table,
        entity: shape.Entity,
        cone: Cone,
        draws: Draws,
        principals: Sequence[str],
        causes: dict[str, frozenset[str]],
    ) -> None:
        self._table = table
        self._entity = entity
        self._cone = cone
        self._draws = draws
        self._principals = principals
        self._causes = causes
        self._acts: dict[str, tuple[Act, ...]] = {}
        self._answers: dict[Any, tuple[dict[str, Value], ...]] = {}
        self._failures: dict[Any, tuple[tuple[str, str], ...]] = {}
        self._durations = constant_durations(entity)
        self._deliveries: tuple[Deliver, ...] | None = None
        self.fires = {timer.site: timer.handler.action for place in entity.places for timer in place.timers}
        """The action of each timer."""
        self.id = f"{entity.name[:1].lower()}1"

    @property
    def delivers(self) -> bool:
        """Return whether others send to this entity, create it, or take it along."""
        theirs = (created_by_others, joined_by_others)
        return bool(self._sends()) or any(of(self._table, self._entity.name) for of in theirs)

    # --- people -------------------------------------------------------------------------------------------------------

    def acts(self, state: str) -> tuple[Act, ...]:
        """Return what people may ask for in a state, in every role, and what other entities create and take along."""
        if state not in self._acts:
            self._acts[state] = tuple(self._acts_in(state))
        return self._acts[state]

    def _acts_in(self, state: str) -> Iterator[Act]:
        for action in self._entity.actions.values():
            cases = [case for case in action.cases if state in case.froms]
            if any(by_people(admitted(action, case)) for case in cases):
                callers = tuple(self._callers(action, cases))
                for params in self._params(action):
                    for caller in callers:
                        yield Act(EVENT, AT, action.name, params, caller, self._entity.name, self.id)
        theirs = created_by_others if state == NEW else joined_by_others
        for name in theirs(self._table, self._entity.name):
            action = self._entity.actions[name]
            if not any(state in case.froms for case in action.cases):
                continue
            for params in self._params(action):
                for caller in self._causers(name):
                    yield Act(EVENT, AT, name, params, caller, self._entity.name, self.id, by_system=True)

    def _params(self, action: shape.Action) -> list[dict[str, Value]]:
        mattering = frozenset(p.name for p in action.params if (action.name, p.name) in self._cone.params)
        return self._draws.combinations(action.params, mattering, action.name)

    def _callers(self, action: shape.Action, cases: Sequence[shape.Case]) -> Iterator[Caller]:
        by = [each for case in cases for each in admitted(action, case)]
        roles = {each.role for each in by if each.role is not None}
        own = {each.role for case in cases for each in case.by if each.role is not None}
        named = any(each.kind == "who" for each in by)
        open_to_all = any(each.kind == "anyone" for each in by)
        needed = not all(any(each.kind == "anyone" for each in admitted(action, case)) for case in cases)
        seen: set[frozenset[str]] = set()
        told = self._cone.told([action.name])
        # Of these it is told who holds which; of the others one lets in as well as the next.
        apart = told.roles | own
        others = sorted(roles - apart)
        for special in self._role_sets(sorted(apart)):
            if open_to_all or named or special & roles:
                seen.add(special)
            if needed and not special & roles:
                extra = next((role for role in others if self._together(special | {role})), None)
                if extra is not None:
                    seen.add(special | {extra})
        for held in sorted(seen, key=lambda s: (len(s), sorted(s))):
            yield from self._as_principals(held, told)

    def _as_principals(self, roles: frozenset[str], told: Told) -> Iterator[Caller]:
        for principal in self._principals if told.principals else self._principals[:1]:
            yield Caller(principal, roles)
            if told.acts_for:
                yield from (Caller(principal, roles, other) for other in self._principals if other != principal)

    def _role_sets(self, roles: Sequence[str]) -> Iterator[frozenset[str]]:
        most = len(roles) if len(roles) <= ROLES_MAX else 2
        if most < len(roles):
            self._draws.partial["roles"] = f"each of {len(roles)} roles alone and in pairs"
        for count in range(most + 1):
            for held in combinations(roles, count):
                if self._together(frozenset(held)):
                    yield frozenset(held)

    def _together(self, roles: frozenset[str]) -> bool:
        return not any(role.name in roles and roles & set(role.excludes) for role in self._table.roles)

    def _causers(self, action: str) -> Iterator[Caller]:
        """Those whose doing may lead another entity to send or create: they hold what could lead there."""
        told = self._cone.told([action])
        possible = sorted(role for role in told.roles if f"{self._entity.name}.{action}" in self._causes[role])
        for held in self._role_sets(possible):
            yield from self._as_principals(held, told)

    # --- the system ---------------------------------------------------------------------------------------------------

    def events(self, now: Snapshot) -> Iterator[Event]:
        """Every event that is tried on a snapshot: people first, then outcomes, timers, sends and deferred ones."""
        yield from self.acts(now.state)
        last: Pending | None = None
        for call in now.calls:
            # Of several alike, which stand together, it makes no difference which one ends.
            if last is None or not _alike(call, last):
                yield from self._outcomes(call)
            last = call
        for armed in now.timers:
            if armed.due is not None:
                yield Fire(EVENT, AT, armed.timer, armed.stamp)
        yield from self._sends()
        for held in now.deferred:
            if not held.place:
                yield Offer(EVENT, AT, held.id)

    def earlier(self, now: Snapshot, timer: str, stamp: int) -> Iterator[Armed]:
        """The timers that are due before this one: armed with it, and shorter."""
        if stamp == 0:
            return
        mine = self._durations[timer]
        for other in now.timers:
            if other.stamp == stamp and other.due is not None and self._durations.get(other.timer, mine) < mine:
                yield other

    def _outcomes(self, call: Pending) -> Iterator[Outcome]:
        for results in self._results(call):
            yield Outcome(EVENT, AT, call.order, Ending.ANSWERED, results)
        for kind, text in self._errors(call):
            yield Outcome(EVENT, AT, call.order, Ending.FAILED, {}, kind, text)
        if not call.ended:
            yield Outcome(EVENT, AT, call.order, Ending.UNKNOWN)

    def _results(self, call: Pending) -> tuple[dict[str, Value], ...]:
        key = (call.tool, call.then.action if call.then else None, call.site)
        if key not in self._answers:
            mattering = frozenset(part[1] for e in self._deciding(call.then) for part in walk(e) if part[0] == "result")
            results = self._table.tools[call.tool].results
            self._answers[key] = tuple(self._draws.combinations(results, mattering, call.tool))
        return self._answers[key]

    def _errors(self, call: Pending) -> tuple[tuple[str, str], ...]:
        key = (call.tool, call.site)
        if key not in self._failures:
            parts = {part[1] for e in self._deciding(call.otherwise) for part in walk(e) if part[0] == "error"}
            drawn = self._draws.of(("string",)).values
            kinds = ["failed", *(d for d in drawn if isinstance(d, str))] if "kind" in parts else ["failed"]
            texts = [d for d in drawn if isinstance(d, str)] if "text" in parts else ["failed"]
            self._failures[key] = tuple((kind, text) for kind in dict.fromkeys(kinds) for text in texts)
        return self._failures[key]

    def _deciding(self, handler: shape.Handler | None) -> Iterator[Any]:
        """The arguments of a handler that make a difference."""
        if handler is None:
            return
        types = {param.name: param.type for param in self._entity.actions[handler.action].params}
        for name, e in handler.args:
            if (handler.action, name) in self._cone.params or bounded(types[name], self._table):
                yield e

    def _sends(self) -> tuple[Deliver, ...]:
        if self._deliveries is None:
            self._deliveries = tuple(
                Deliver(EVENT, AT, EVENT, name, params, caller, self._entity.name, self.id)
                for name in sent_to(self._table, self._entity.name)
                for params in self._params(self._entity.actions[name])
                for caller in self._causers(name)
            )
        return self._deliveries


def _alike(a: Pending, b: Pending) -> bool:
    return (
        a.site == b.site
        and a.visit == b.visit
        and a.ended == b.ended
        and a.caller == b.caller
        and (a.then, a.otherwise, a.unknown) == (b.then, b.otherwise, b.unknown)
    )
