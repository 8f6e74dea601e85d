"""What changes from one table to another, in words.

It does not read the text: two tables with the same meaning show no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from temper.table.phrase import describe_expr
from temper.table.table import (
    Action,
    AnyClause,
    AnyProperty,
    By,
    Call,
    Case,
    Create,
    Emit,
    Entity,
    Event,
    Expr,
    For,
    Guard,
    Handler,
    If,
    Param,
    Place,
    Retry,
    Send,
    Set,
    Table,
    Tool,
    With,
)
from temper.table.values import describe, duration_text

_TRUE: Expr = ("lit", ("bool",), True)


class Change(Struct, frozen=True):
    """One thing that is not as it was.

    `kind` is what and how: "state added", "guard changed", "by removed". `site` is where, in the new table, or in the
    old one for what is gone. `old` and `new` are there for guards alone: what had to hold and what has to hold now, so
    that one can ask which is stronger.
    """

    kind: str
    site: str
    text: str
    old: Expr | None = None
    new: Expr | None = None


def change(old: Table, new: Table) -> tuple[Change, ...]:
    """Return what changes from `old` to `new`, in words: roles, tools, then entity by entity, then properties."""
    return tuple(_Difference(old, new).all())


# --- what is different ------------------------------------------------------------------------------------------------


class _Difference:
    def __init__(self, old: Table, new: Table) -> None:
        self.old = old
        self.new = new

    def all(self) -> Iterator[Change]:
        old, new = self.old, self.new
        yield from self.roles()
        for name, how in _changed(old.records, new.records):
            yield Change(f"record {how}", name, f"record `{name}`")
        yield from self.tools()
        for name, how in _changed(_params(old.events), _params(new.events)):
            yield Change(f"event {how}", name, f"event `{name}`")
        for name, entity in new.entities.items():
            if name not in old.entities:
                yield Change("entity added", entity.site, f"entity `{name}`")
            else:
                yield from self.entity(old.entities[name], entity)
        for name, entity in old.entities.items():
            if name not in new.entities:
                yield Change("entity removed", entity.site, f"entity `{name}`")
        yield from self.properties()
        for file in sorted({*old.modules, *new.modules}):
            if old.modules.get(file) != new.modules.get(file):
                how = "added" if file not in old.modules else "removed" if file not in new.modules else "changed"
                yield Change(f"module {how}", file, f"`{file}`")
        yield from self.policies()

    def roles(self) -> Iterator[Change]:
        old = {role.name: frozenset(role.excludes) for role in self.old.roles}
        new = {role.name: frozenset(role.excludes) for role in self.new.roles}
        for name in _both(old, new):
            if name not in old:
                yield Change("role added", f"role/{name}", f"role `{name}`")
            elif name not in new:
                yield Change("role removed", f"role/{name}", f"role `{name}`")
            elif old[name] != new[name]:
                text = f"role `{name}` excludes {_list(sorted(new[name])) or 'nobody'}"
                yield Change("role changed", f"role/{name}", f"{text}; it was {_list(sorted(old[name])) or 'nobody'}")

    def tools(self) -> Iterator[Change]:
        for name in _both(self.old.tools, self.new.tools):
            before, after = self.old.tools.get(name), self.new.tools.get(name)
            if before is None and after is not None:
                yield Change("tool added", after.site, f"tool `{name}`")
            elif after is None and before is not None:
                yield Change("tool removed", before.site, f"tool `{name}`")
            elif before is not None and after is not None and before != after:
                told = "; ".join(_tool(before, after)) or "changed"
                yield Change("tool changed", after.site, f"tool `{name}`: {told}")

    def properties(self) -> Iterator[Change]:
        old = {(one.entity, one.name): one for one in self.old.properties}
        new = {(one.entity, one.name): one for one in self.new.properties}
        for key, one in new.items():
            if key not in old:
                yield Change("property added", one.site, f"`{one.name}`")
            elif _bare(one) != _bare(old[key]):
                yield Change("property changed", one.site, f"`{one.name}`")
        for key, one in old.items():
            if key not in new:
                yield Change("property removed", one.site, f"`{one.name}`")

    def policies(self) -> Iterator[Change]:
        old = {policy.id: policy for policy in self.old.policies}
        new = {policy.id: policy for policy in self.new.policies}
        for id in _both(old, new):
            before, after = old.get(id), new.get(id)
            if before is None and after is not None:
                yield Change("policy added", after.site, f"{after.effect} `{id}`")
            elif after is None and before is not None:
                yield Change("policy removed", before.site, f"{before.effect} `{id}`")
            elif before is not None and after is not None and before.effect != after.effect:
                yield Change("policy changed", after.site, f"`{id}` is a {after.effect}; it was a {before.effect}")
            elif before is not None and after is not None and before.form != after.form:
                yield Change("policy changed", after.site, f"{after.effect} `{id}`")

    # one entity

    def entity(self, old: Entity, new: Entity) -> Iterator[Change]:
        name = new.name
        for state in _both(old.states, new.states):
            if state not in old.states:
                last = ", which is final" if state in new.final else ""
                yield Change("state added", new.site, f"{name} can be `{state}`{last}")
            elif state not in new.states:
                yield Change("state removed", old.site, f"{name} can't be `{state}` any more")
        for state in new.states:
            if state in old.states and (state in old.final) != (state in new.final):
                told = f"`{state}` is final" if state in new.final else f"`{state}` is final no more"
                yield Change("state changed", new.site, f"{name}: {told}")
        yield from self.fields(old, new)
        for let in _changed({one.name: one for one in old.lets}, {one.name: one for one in new.lets}):
            yield Change(f"let {let[1]}", new.site, f"{name}: `let {let[0]}`")
        if old.key != new.key:
            yield Change("key changed", new.site, f"{name}: the key is {_list(new.key) or 'none'}")
        yield from self.uniques(old, new)
        for action in _both(old.actions, new.actions):
            before, after = old.actions.get(action), new.actions.get(action)
            if before is None and after is not None:
                yield Change("action added", after.site, f"{name}: `{action}`, {_cases(after)}")
            elif after is None and before is not None:
                yield Change("action removed", before.site, f"{name}: `{action}`, {_cases(before)}")
            elif before is not None and after is not None:
                yield from self.action(name, before, after)
        yield from self.places(old, new)
        yield from self.lates(f"{name}: everywhere", old.late, new.late)

    def fields(self, old: Entity, new: Entity) -> Iterator[Change]:
        before = {field.name: field for field in old.fields}
        after = {field.name: field for field in new.fields}
        for name in _both(before, after):
            was, is_ = before.get(name), after.get(name)
            site = f"{new.name}.{name}"
            if was is None and is_ is not None:
                yield Change("field added", site, f"{new.name}: `{name}: {describe(is_.type)}`")
            elif is_ is None and was is not None:
                yield Change("field removed", site, f"{new.name}: `{name}: {describe(was.type)}`")
            elif was is not None and is_ is not None and was.type != is_.type:
                text = f"{new.name}: `{name}` is `{describe(is_.type)}`; it was `{describe(was.type)}`"
                yield Change("field changed", site, text)
            elif was is not None and is_ is not None and was.default != is_.default:
                text = f"{new.name}: `{name}` begins as {self.said(is_.default)}; it was {self.said(was.default)}"
                yield Change("field changed", site, text)

    def uniques(self, old: Entity, new: Entity) -> Iterator[Change]:
        before = {(one.fields, one.ever): one for one in old.uniques}
        after = {(one.fields, one.ever): one for one in new.uniques}
        for key, one in after.items():
            if key not in before:
                yield Change("unique added", one.site, f"{new.name}: no two have the same {_list(one.fields)}")
        for key, one in before.items():
            if key not in after:
                yield Change("unique removed", one.site, f"{new.name}: two may have the same {_list(one.fields)}")

    def action(self, entity: str, old: Action, new: Action) -> Iterator[Change]:
        what = f"{entity}.{new.name}"
        for param in _changed(_by_name(old.params), _by_name(new.params)):
            yield Change(f"parameter {param[1]}", new.site, f"`{what}`: parameter `{param[0]}`")
        yield from self.by(what, new.site, old.by, new.by)
        yield from self.guards(what, new.site, old.when, new.when)
        if old.lets != new.lets:
            yield Change("let changed", new.site, f"`{what}`: its `let`s")
        yield from self.clauses(what, new.site, old.body, new.body)
        for before, after in _paired(old.cases, new.cases):
            if before is None and after is not None:
                yield Change("case added", after.site, f"`{what}` {self.case_text(after)}")
            elif after is None and before is not None:
                yield Change("case removed", before.site, f"`{what}` {self.case_text(before)}")
            elif before is not None and after is not None:
                yield from self.case(what, before, after)
        kept = [after.site for before, after in _paired(old.cases, new.cases) if before and after]
        if [case.site for case in new.cases if case.site in kept] != kept:
            yield Change("case changed", new.site, f"`{what}`: its cases are tried in another order")

    def case(self, what: str, old: Case, new: Case) -> Iterator[Change]:
        told = f"`{what}` {_case(new)}"
        if set(old.froms) != set(new.froms) or old.to != new.to:
            yield Change("case changed", new.site, f"{told}; it was {_case(old)}")
        yield from self.by(told, new.site, old.by, new.by)
        yield from self.guards(told, new.site, old.when, new.when)
        if old.lets != new.lets:
            yield Change("let changed", new.site, f"{told}: its `let`s")
        yield from self.clauses(told, new.site, old.body, new.body)

    def by(self, what: str, site: str, old: tuple[By, ...], new: tuple[By, ...]) -> Iterator[Change]:
        before, after = [self.who(one) for one in old], [self.who(one) for one in new]
        for one in after:
            if one not in before:
                yield Change("by added", site, f"{_quoted(what)} is by `{one}` too")
        for one in before:
            if one not in after:
                yield Change("by removed", site, f"{_quoted(what)} is not by `{one}` any more")

    def guards(self, what: str, site: str, old: tuple[Guard, ...], new: tuple[Guard, ...]) -> Iterator[Change]:
        before, after = _all_of(old), _all_of(new)
        what = _quoted(what)
        if before != after:
            if not old:
                yield Change("guard added", site, f"{what} needs {self.said(after)}", _TRUE, after)
            elif not new:
                yield Change("guard removed", site, f"{what} needs {self.said(before)} no more", before, _TRUE)
            else:
                text = f"{what} needs {self.said(after)}; it was {self.said(before)}"
                yield Change("guard changed", site, text, before, after)
        elif [guard.otherwise for guard in old] != [guard.otherwise for guard in new]:
            yield Change("text changed", site, f"{what}: what a refused caller is told")

    def clauses(self, what: str, site: str, old: tuple[AnyClause, ...], new: tuple[AnyClause, ...]) -> Iterator[Change]:
        before, after = list(self.lines(old)), list(self.lines(new))
        for line in after:
            if line not in before:
                yield Change("clause added", site, f"{_quoted(what)}: `{line}`")
        for line in before:
            if line not in after:
                yield Change("clause removed", site, f"{_quoted(what)}: `{line}`")

    def places(self, old: Entity, new: Entity) -> Iterator[Change]:
        before, after = _by_place(old), _by_place(new)
        for name in _both(before, after):
            was, is_ = before.get(name, ()), after.get(name, ())
            site = is_[0].site if is_ else was[0].site
            what = f"{new.name}: in `{name}`"
            yield from self.clauses(f"{what}, on entry", site, _joined(was, "entry"), _joined(is_, "entry"))
            yield from self.clauses(f"{what}, on exit", site, _joined(was, "exit"), _joined(is_, "exit"))
            yield from self.lined("route", what, site, map(self.routed, was), map(self.routed, is_))
            yield from self.lined("timer", what, site, self.timers(was), self.timers(is_))
            yield from self.lined("whenever", what, site, self.whenevers(was), self.whenevers(is_))
            yield from self.lates(what, _joined(was, "late"), _joined(is_, "late"))
            yield from self.lined(
                "defer", what, site, (f"defer {one}" for one in _joined(was, "defer")),
                (f"defer {one}" for one in _joined(is_, "defer")),
            )  # fmt: skip

    def lates(self, what: str, old: Iterable[Any], new: Iterable[Any]) -> Iterator[Change]:
        was, is_ = list(old), list(new)
        site = (is_ or was)[0].site if is_ or was else ""
        yield from self.lined("late", what, site, self.late_lines(was), self.late_lines(is_))

    def late_lines(self, lates: Iterable[Any]) -> Iterator[str]:
        for late in lates:
            follows = "ignore" if late.handler is None else f"do {self.invoked(late.handler)}"
            for action in late.actions:
                yield f"late {action} {follows}"

    def lined(
        self, kind: str, what: str, site: str, old: Iterable[str | None], new: Iterable[str | None]
    ) -> Iterator[Change]:
        was, is_ = [line for line in old if line], [line for line in new if line]
        for line in is_:
            if line not in was:
                yield Change(f"{kind} added", site, f"{what}: `{line}`")
        for line in was:
            if line not in is_:
                yield Change(f"{kind} removed", site, f"{what}: `{line}`")

    # in the author's words

    def said(self, expr: Expr | None) -> str:
        return "nothing" if expr is None else f"`{describe_expr(expr, self.new.records or self.old.records)}`"

    def words(self, expr: Expr) -> str:
        return describe_expr(expr, self.new.records or self.old.records)

    def who(self, by: By) -> str:
        return by.role or (self.words(by.who) if by.who is not None else by.kind)

    def args(self, args: tuple[tuple[str, Expr], ...]) -> str:
        return f"({', '.join(f'{name}: {self.words(value)}' for name, value in args)})" if args else ""

    def invoked(self, handler: Handler) -> str:
        return handler.action + self.args(handler.args)

    def case_text(self, case: Case) -> str:
        needs = f" when {self.words(_all_of(case.when))}" if case.when else ""
        return _case(case) + needs

    def routed(self, place: Place) -> str | None:
        return f"on entry do {self.invoked(place.route)}" if place.route else None

    def timers(self, places: Iterable[Place]) -> Iterator[str]:
        for place in places:
            for timer in place.timers:
                when = self.words(timer.duration) if timer.duration is not None else timer.field
                yield f"{timer.kind} {when} do {self.invoked(timer.handler)}"

    def whenevers(self, places: Iterable[Place]) -> Iterator[str]:
        for place in places:
            for one in place.whenevers:
                yield f"whenever {self.words(one.condition)} do {self.invoked(one.handler)}"

    def lines(self, clauses: Sequence[AnyClause]) -> Iterator[str]:
        for clause in clauses:
            yield from self.clause(clause)

    def clause(self, clause: AnyClause) -> Iterator[str]:
        match clause:
            case Set():
                yield f"set {clause.field} = {self.words(clause.value)}"
            case Call():
                then, otherwise, unknown = (
                    self.invoked(one) if one else "_" for one in (clause.then, clause.otherwise, clause.unknown)
                )
                last = "" if clause.unknown_is_failure else f" unknown {unknown}"
                yield f"call {clause.tool}{self.args(clause.args)} then {then} else {otherwise}{last}"
            case Send():
                yield f"send {self.words(clause.target)}.{clause.action}{self.args(clause.args)}"
            case With():
                yield f"with {self.words(clause.target)}.{clause.action}{self.args(clause.args)}"
            case Create():
                named = f" as {clause.name}" if clause.name else ""
                yield f"create {clause.entity}.{clause.action}{self.args(clause.args)}{named}"
            case Emit():
                yield f"emit {clause.event}{self.args(clause.args)}"
            case For():
                for line in self.lines(clause.body):
                    yield f"for {clause.var} in {self.words(clause.over)}: {line}"
            case If():
                for line in self.lines(clause.body):
                    yield f"if {self.words(clause.condition)}: {line}"


def _both(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Names of both, in the new order, the old ones last."""
    return list(dict.fromkeys([*new, *old]))


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _quoted(what: str) -> str:
    return what if "`" in what else f"`{what}`"


def _all_of(guards: Sequence[Guard]) -> Expr:
    if not guards:
        return _TRUE
    condition = guards[0].condition
    for guard in guards[1:]:
        condition = ("and", condition, guard.condition)
    return condition


def _case(case: Case) -> str:
    return f"from {_list(case.froms)}{f' to `{case.to}`' if case.to else ''}"


def _cases(action: Action) -> str:
    return "; ".join(map(_case, action.cases))


def _paired(old: Sequence[Case], new: Sequence[Case]) -> list[tuple[Case | None, Case | None]]:
    """Cases that are the same one: with the same ends; then, of what is left, those that lead to the same state."""
    left = list(old)
    pairs: dict[int, Case] = {}
    for ends in (True, False):
        for index, case in enumerate(new):
            if index in pairs:
                continue
            like = (one for one in left if one.to == case.to and (not ends or set(one.froms) == set(case.froms)))
            found = next(like, None)
            if found is not None:
                pairs[index] = found
                left = [one for one in left if one is not found]
    changed: list[tuple[Case | None, Case | None]] = [(pairs.get(i), case) for i, case in enumerate(new)]
    return [*changed, *((case, None) for case in left)]


def _by_name(params: Iterable[Param]) -> dict[str, Param]:
    return {param.name: param for param in params}


def _by_place(entity: Entity) -> dict[str, tuple[Place, ...]]:
    found: dict[str, tuple[Place, ...]] = {}
    for place in entity.places:
        found[place.name] = (*found.get(place.name, ()), place)
    return found


def _joined(places: Iterable[Place], part: str) -> tuple[Any, ...]:
    return tuple(one for place in places for one in getattr(place, part))


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _both(old, new):
        if name not in old:
            yield name, "added"
        elif name not in new:
            yield name, "removed"
        elif old[name] != new[name]:
            yield name, "changed"


def _params(events: Mapping[str, Event]) -> dict[str, tuple[Param, ...]]:
    return {name: event.params for name, event in events.items()}


def _tool(old: Tool, new: Tool) -> Iterator[str]:
    for name, how in _changed(_by_name(old.params), _by_name(new.params)):
        yield f"parameter `{name}` {how}"
    for name, how in _changed(_by_name(old.results), _by_name(new.results)):
        yield f"result `{name}` {how}"
    if old.timeout_ms != new.timeout_ms:
        yield f"timeout {duration_text(new.timeout_ms)}; it was {duration_text(old.timeout_ms)}"
    if old.retry != new.retry:
        yield f"{_retry(new.retry)}; it was {_retry(old.retry)}"
    if old.idempotent != new.idempotent:
        yield "idempotent" if new.idempotent else "idempotent no more"
    if old.wasm != new.wasm:
        yield f"from wasm `{new.wasm}`" if new.wasm else "no WASM module any more"


def _retry(retry: Retry | None) -> str:
    if retry is None:
        return "no retry"
    up_to = f" up to {duration_text(retry.up_to_ms)}" if retry.up_to_ms is not None else ""
    return f"retry {retry.count} every {duration_text(retry.every_ms)}{up_to}"


def _bare(one: AnyProperty) -> AnyProperty:
    """A property without its site, which moves when another is written above it."""
    return msgspec.structs.replace(one, site="")
