"""What has to hold of every entity that can be, for a step to another table to have a place for all of them.

`homeless` asks one entity. `places` asks the two tables, and leaves what is to be shown of the old one as conditions on
its entities, so that the verifier can say whether they hold in every reachable state: those of `with_places` are
properties like any other. What can't be put so is told, and is for those who live to answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from temper.table.carry import homeless_timers, upgrade_of
from temper.table.events import Armed, Caller, Snapshot
from temper.table.expr import ELSEWHERE, rebuilt, walk
from temper.table.moving import clauses_in, moving
from temper.table.table import Always, Call, Entity, Expr, Field, Handler, Table, Type, UpgradeEntity
from temper.table.values import describe, fits

_FALSE: Expr = ("lit", ("bool",), False)


class Asked(Struct, frozen=True):
    """Something that is to be so of entities of that kind. Where `condition` is `None` it can't be put as one."""

    kind: str
    text: str
    condition: Expr | None


def places(old: Table, new: Table, number: int) -> tuple[Asked, ...]:
    """Return what is asked of entities of `old`, which is version `number`, for each to have a place in `new`."""
    step = moving(old, new, number)
    asked: list[Asked] = []
    for name, before in old.entities.items():
        if not any(kind == name for kind, _ in step.asked):
            continue
        after = new.entities.get(name)
        if after is None:
            asked.append(Asked(name, f"there is no {name} any more", _FALSE))
            continue
        asked += _Kind(old, new, before, after, upgrade_of(new, name, number)).asked()
        if name in step.indexed and (after.uniques or after.key):
            asked.append(Asked(name, f"the `key` or a `unique` of {name} is another", None))
    return tuple(dict.fromkeys(asked))


def with_places(old: Table, asked: tuple[Asked, ...]) -> Table:
    """Return `old` with the conditions that are asked as properties of its own, named by their texts."""
    extra = tuple(
        Always(f"upgrade/{nth}", one.text, one.kind, one.condition, False, False)
        for nth, one in enumerate(asked)
        if one.condition is not None
    )
    return replace(old, properties=(*old.properties, *extra), scenarios=())


class _Kind:
    def __init__(self, old: Table, new: Table, before: Entity, after: Entity, upgrade: UpgradeEntity | None) -> None:
        self._old, self._new = old, new
        self._before, self._after = before, after
        self._becomes: Mapping[str, str] = upgrade.becomes if upgrade else {}
        self._dropped = frozenset(upgrade.drops if upgrade else ())
        self._sets = {one.field: one.value for one in upgrade.sets} if upgrade else {}
        self._had = {field.name: field for field in before.fields}

    def asked(self) -> Iterator[Asked]:
        yield from self._states()
        yield from self._fields()
        yield from self._calls()
        yield from self._properties()

    def _ask(self, text: str, condition: Expr | None) -> Asked:
        return Asked(self._before.name, text, condition)

    def _never_in(self, state: str) -> Expr:
        return ("not", ("in_state", (state,)))

    def _states(self) -> Iterator[Asked]:
        for state in self._before.states:
            then = self._becomes.get(state, state)
            if then not in self._after.states:
                yield self._ask(f"{self._before.name} is never in {state}, which is gone", self._never_in(state))
                continue
            if any(homeless_timers(self._old, self._after, then, self._with_timers(state))):
                text = f"{self._before.name} is never in {state}, where a timer may run that is gone"
                yield self._ask(text, self._never_in(state))

    def _with_timers(self, state: str) -> Snapshot:
        timers = tuple(
            Armed(timer.site, 0, 0, Caller("system"), 1 if timer.kind == "every" else None)
            for place in self._before.places
            if state in place.states
            for timer in place.timers
        )
        name = self._before.name
        return Snapshot(
            entity=name, id="", state=state, fields={}, version=1, visit=1, created_at=0, updated_at=0, calls=(),
            timers=timers, deferred=(),
        )  # fmt: skip

    def _fields(self) -> Iterator[Asked]:
        name = self._before.name
        known = {field.name for field in self._after.fields}
        for field in self._before.fields:
            if field.name not in known and field.name not in self._dropped:
                empty = ("==", ("field", field.name), ("none", field.type)) if field.type[0] == "optional" else _FALSE
                yield self._ask(f"{name}.{field.name}, which is gone, is never set", empty)
        for field in self._after.fields:
            what = f"{name}.{field.name} is always {describe(field.type)}"
            if field.name in self._sets:
                yield from self._given(
                    field, self._sets[field.name], f"the upgrade's `set` of {name}.{field.name} fits"
                )
            elif field.name in self._had and field.name not in self._dropped:
                yield from self._fits(self._had[field.name].type, field.type, ("field", field.name), what)
            elif field.default is None and field.type[0] != "optional":
                yield self._ask(f"{name}.{field.name} is new and has no default", _FALSE)

    def _given(self, field: Field, value: Expr, what: str) -> Iterator[Asked]:
        match value:
            case ("lit", type_, _) | ("none", type_):
                yield from self._fits(type_, field.type, value, what)
            case ("field", source) if source in self._had:
                yield from self._fits(self._had[source].type, field.type, value, what)
            case _:
                yield self._ask(what, None)

    def _fits(self, have: Type, want: Type, value: Expr, what: str) -> Iterator[Asked]:
        if _within(have, want) and self._old.records == self._new.records:
            return
        match value, have, want:
            case (("lit", type_, json), _, _) if type_[0] in ("int", "bool", "string") and fits(
                want, json, self._new.records
            ):
                return
            case (_, ("int", *_), ("int", low, high)):
                ends = [("<=", ("lit", have, low), value)] if low is not None else []
                ends += [("<=", value, ("lit", have, high))] if high is not None else []
                yield self._ask(what, ends[0] if len(ends) == 1 else ("and", *ends))
            case (_, ("optional", inner), _) if _within(inner, want):
                yield self._ask(what, ("!=", value, ("none", have)))
            case _:
                yield self._ask(what, None)

    def _calls(self) -> Iterator[Asked]:
        for clause in clauses_in(self._before):
            if not isinstance(clause, Call):
                continue
            old, new = self._old.tools[clause.tool], self._new.tools.get(clause.tool)
            handlers = [one for one in (clause.then, clause.otherwise, clause.unknown) if one is not None]
            if new is None or new.results != old.results or not all(self._handled(one) for one in handlers):
                yield self._ask(f"an open call of `{clause.tool}` has its outcomes", None)
        for place in self._before.places:
            for name in place.defer:
                if not self._same(name):
                    yield self._ask(f"`{name}`, which may be deferred, is as it was", None)

    def _handled(self, handler: Handler) -> bool:
        return self._same(handler.action)

    def _same(self, action: str) -> bool:
        before, after = self._before.actions.get(action), self._after.actions.get(action)
        if before is None or after is None:
            return False
        added = after.params[len(before.params) :]
        return after.params[: len(before.params)] == before.params and all(
            one.default is not None or one.type[0] == "optional" for one in added
        )

    def _properties(self) -> Iterator[Asked]:
        known = [(one.entity, one.condition) for one in self._old.properties if isinstance(one, Always)]
        moves = bool(self._becomes or self._sets or self._dropped)
        for one in self._new.properties:
            if not isinstance(one, Always) or one.step or one.entity not in (self._before.name, None):
                continue
            if (one.entity, one.condition) in known and not moves:
                continue
            text = f"`{one.name}` holds of {self._before.name}"
            yield self._ask(text, self._before_it(one.condition) if one.entity is not None else None)

    def _before_it(self, condition: Expr) -> Expr | None:
        """Return what is to be so of an entity before the step, for the condition to hold after it."""
        if any(part[0] in ELSEWHERE for part in walk(condition)):
            return None
        values = {one.name: self._value(one) for one in self._after.fields}

        def put(expr: Expr) -> Expr:
            match expr:
                case ("field", name):
                    found = values[name]
                    return expr if found is None else found
                case ("in_state", states):
                    return ("in_state", tuple(s for s in self._before.states if self._becomes.get(s, s) in states))
                case _:
                    return rebuilt(expr, put)

        whole = all(values[part[1]] is not None for part in walk(condition) if part[0] == "field")
        found = put(condition) if whole else None
        if found is None or self._before.lets == self._after.lets:
            return found
        return None if any(part[0] == "let" for part in walk(found)) else found

    def _value(self, field: Field) -> Expr | None:
        if field.name in self._sets:
            return self._sets[field.name]
        if field.name in self._had and field.name not in self._dropped:
            return ("field", field.name)
        return field.default if field.default is not None else ("none", field.type)


def _within(have: Any, want: Any) -> bool:
    """Say whether every value of one type is one of another."""
    if have == want:
        return True
    match have, want:
        case ("int" | "decimal", low, high), (head, least, most) if head == have[0]:
            number = int if head == "int" else float
            above = least is None or (low is not None and number(low) >= number(least))
            return above and (most is None or (high is not None and number(high) <= number(most)))
        case ("one_of", values), ("one_of", others):
            return set(values) <= set(others)
        case ("optional", inner), ("optional", other):
            return _within(inner, other)
        case _, ("optional", other):
            return _within(have, other)
        case ("set" | "list", of, most), (head, other, bound) if head == have[0]:
            return bound >= most and _within(of, other)
        case _:
            return False
