"""Scenarios, run: who does what, what the tools answer, and whether it comes out as the author says.

The world is `commit` over entities in memory. A line is carried out after everything that was due before it: sends
arrive, deferred ones are offered, timers fire up to the present. Tools answer only when a line says so: where several
calls of a tool wait, it is the oldest for which the line comes out as it says. A fault of the blueprint, a property
that does not hold, or an outcome without a home, fails the line whatever it expects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from temper.table import (
    FAULTS,
    Accepted,
    Act,
    Armed,
    Caller,
    Commit,
    Deliver,
    Emitted,
    Ending,
    Event,
    Fire,
    How,
    NoValue,
    Offer,
    Outcome,
    Refused,
    SendOrder,
    Snapshot,
    Table,
    Value,
    Why,
    broken,
    commit,
    default_values,
    describe_expr,
    due,
    evaluate,
    field_references,
    fits,
    next_due,
    rouse,
    shape,
    show_as,
    watchers,
    watches,
)
from temper.text import Code, Diagnostic, Label
from temper.verify.clauses import entered
from temper.verify.expressions import field_type, walk
from temper.verify.faults import hidden_fault
from temper.verify.narrow import narrowed
from temper.verify.narrowed import by_policy
from temper.verify.places import span_of
from temper.verify.report import ScenarioResult

# 2026-01-01: scenarios are the same on every day.
BEGINNING = 1_767_225_600_000
# What one line may set off before we say that it never comes to rest.
EVENTS_MAX = 10_000


class Failed(Exception):
    """A line did not come out as it should."""

    def __init__(self, code: Code, message: str, label: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.label = label
        self.help = help


def run_scenarios(table: Table) -> tuple[ScenarioResult, ...]:
    """Return what became of every scenario of a table."""
    return tuple(run_scenario(table, scenario) for scenario in table.scenarios)


def run_scenario(table: Table, scenario: shape.Scenario) -> ScenarioResult:
    """Return whether a scenario comes out as written; the problem is that of its first line that does not."""
    world = Play(narrowed(table).table)
    for step in scenario.steps:
        try:
            world.do(step)
        except Failed as failed:
            span = span_of(table, step.site)
            problem = Diagnostic(failed.code, failed.message, Label(span, failed.label), help=failed.help)
            return ScenarioResult(scenario.title, False, scenario.site, problem)
    return ScenarioResult(scenario.title, True, scenario.site)


@dataclass(frozen=True, slots=True)
class _Call:
    """An open call: whose, and which."""

    entity: str
    id: str
    order: str


class Play:
    """The world of one scenario."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.now = BEGINNING
        self.entities: dict[tuple[str, str], Snapshot] = {}
        self.made: dict[tuple[str, str], tuple[str, Mapping[str, Value]]] = {}
        self.names: dict[str, tuple[str, str]] = {}
        self.sends: list[SendOrder] = []
        self.calls: list[_Call] = []
        """Open calls, oldest first; one that timed out stays, since it may still be answered once."""
        self.emitted: list[Emitted] = []
        self.latest: tuple[str, str] | None = None
        self.events = 0

    # --- the world, as a commit asks for it ---------------------------------------------------------------------------

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return self.entities.get((entity, id))

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        key = self.table.entities[entity].key
        return next(
            (found.id for found in self._all(entity) if [found.fields[name] for name in key] == list(values)), None
        )

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        return self.made.get((entity, id))

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        kind = self.table.entities[entity]
        rule = kind.uniques[unique]
        return any(
            found.id not in but_not
            and (rule.ever or found.state not in kind.final)
            and [found.fields[name] for name in rule.fields] == list(values)
            for found in self._all(entity)
        )

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        return [found.id for found in self._all(entity) if id in field_references(self.table, found, field)][:limit]

    def _all(self, entity: str) -> Iterator[Snapshot]:
        return (found for (kind, _), found in self.entities.items() if kind == entity)

    # --- lines --------------------------------------------------------------------------------------------------------

    def do(self, step: shape.AnyStep) -> None:
        """Carry out one line. Raises `Failed`."""
        self.settle()
        match step:
            case shape.ActStep():
                self._act(step)
            case shape.GivenStep():
                self._given(step)
            case shape.ToolStep():
                self._tool(step)
            case shape.WaitStep():
                self._wait(step)
            case shape.CheckStep(condition=condition):
                self._holds(condition)
            case shape.EmittedStep():
                self._emitted(step)
        if not isinstance(step, shape.GivenStep):
            self._everywhere()

    def _act(self, step: shape.ActStep) -> None:
        roles = frozenset(step.roles) - {"system", "anyone"}
        principal = step.principal or (step.roles[0] if step.roles else "somebody")
        caller = Caller(principal, roles, step.acts_for)
        params = {name: self._value(e) for name, e in step.args}
        if step.target is None:
            entity, id, now = step.entity, self._new_id(step.entity), None
        else:
            entity, id = self.names[step.target]
            now = self.entities.get((entity, id))
        event = Act(self._event_id(), self.now, step.action, params, caller, entity, id, "system" in step.roles)
        answer = commit(self.table, now, event, self)
        self._no_fault(answer)
        self.latest = (entity, id)
        if isinstance(answer, Refused):
            self._refused(answer, step.expect)
            return
        created = answer.existing.id if answer.existing is not None else id
        self._keep(answer)
        if step.creates is not None:
            self.names[step.creates] = (entity, created)
        self.latest = (entity, created)
        made = [part.accepted.after for part in answer.parts[1:] if _creates(part.accepted)]
        names = [expect.text for expect in step.expect if expect.kind == "names"]
        for name, snapshot in zip(names, made, strict=False):
            assert name is not None, "a name names"
            self.names[name] = (snapshot.entity, snapshot.id)
        self._accepted(step.expect, answer.parts[0].accepted if answer.parts else None)

    def _given(self, step: shape.GivenStep) -> None:
        entity = self.table.entities[step.entity]
        id = self._new_id(step.entity)
        values = default_values(self.table, step.entity) | {name: self._value(e) for name, e in step.fields}
        fields: dict[str, Value] = {}
        for each in entity.fields:
            if each.name not in values:
                raise Failed(
                    Code.B602,
                    f"`{step.name}` needs a value for `{each.name}`",
                    "without it there is no such entity",
                    f"add `{each.name}: ...`",
                )
            if not fits(each.type, values[each.name], self.table.records):
                shown = show_as(each.type, values[each.name], self.table.records)
                raise Failed(Code.B602, f"`{each.name}` can't be {shown}", "outside its type", None)
            fields[each.name] = values[each.name]
        now = Snapshot(step.entity, id, step.state, fields, 1, 1, self.now, self.now)
        now = replace(now, timers=tuple(self._armed(entity, now)))
        self.entities[step.entity, id] = rouse(self.table, now, Caller("system"), self.now, self)
        self._rouse(None, now, Caller("system"))
        self.made[step.entity, id] = ("", {})
        self.names[step.name] = self.latest = (step.entity, id)

    def _armed(self, entity: shape.Entity, now: Snapshot) -> Iterator[Armed]:
        """The timers of a state that an entity is put into, as if it had entered it now."""
        nobody = Caller("system")
        for place in entered(entity, "new", now.state):
            for timer in place.timers:
                if timer.field is not None:
                    at: Any = now.fields[timer.field]
                    yield Armed(timer.site, at, 1, nobody)
                elif timer.duration is not None:
                    wait: Any = evaluate(self.table, entity.name, timer.duration, now, at=self.now)
                    period = wait if timer.kind == "every" else None
                    yield Armed(timer.site, self.now + max(wait, 0), 1, nobody, period)

    def _tool(self, step: shape.ToolStep) -> None:
        open_calls = [call for call in self.calls if self._pending(call).tool == step.tool]
        waiting = [call for call in open_calls if not self._pending(call).ended]
        call = next(iter(waiting or (open_calls if step.verb != "times_out" else [])), None)
        if call is None:
            raise Failed(
                Code.B602,
                f"no call of `{step.tool}` waits for an outcome",
                "nothing has called it, or it has ended",
                "look at what the lines before it lead to",
            )
        first: Failed | None = None
        for each in dict.fromkeys((call, *waiting)):
            before = self._kept()
            try:
                self._ends(each, step)
            except Failed as failed:
                if failed.code is not Code.B601:
                    raise
                first = first or failed
                self._go_back(before)
            else:
                return
        assert first is not None, "one of them failed"
        raise first

    def _ends(self, call: _Call, step: shape.ToolStep) -> None:
        """End a call as a line says, and see whether it comes out so."""
        ending = {"answers": Ending.ANSWERED, "fails": Ending.FAILED, "times_out": Ending.UNKNOWN}[step.verb]
        results = {name: self._value(e) for name, e in step.args} if ending is Ending.ANSWERED else {}
        text = step.text or ""
        event = Outcome(
            self._event_id(), self.now, call.order, ending, results, "failed" if ending is Ending.FAILED else "", text
        )
        if ending is not Ending.UNKNOWN or self._pending(call).ended:
            self.calls.remove(call)
        self.latest = (call.entity, call.id)
        self._occurs(call.entity, call.id, event)
        self._accepted(step.expect, None)

    def _kept(self) -> tuple[Any, ...]:
        return (
            self.now, dict(self.entities), dict(self.made), list(self.sends), list(self.calls), list(self.emitted),
            self.latest, self.events,
        )  # fmt: skip

    def _go_back(self, kept: tuple[Any, ...]) -> None:
        self.now, self.entities, self.made, self.sends, self.calls, self.emitted, self.latest, self.events = kept

    def _pending(self, call: _Call) -> Any:
        owner = self.entities[call.entity, call.id]
        return next(each for each in owner.calls if each.order == call.order)

    def _wait(self, step: shape.WaitStep) -> None:
        end = self.now + step.ms
        while True:
            dues = [
                (at, key) for key, found in self.entities.items() if (at := self._next(found)) is not None and at <= end
            ]
            if not dues:
                break
            self.now = max(self.now, min(dues, key=lambda each: each[0])[0])
            self.settle()
        self.now = end
        self.settle()
        self._accepted(step.expect, None)

    def _next(self, found: Snapshot) -> int | None:
        """Return when something falls due that has not been refused at the present already."""
        at = next_due(found)
        return at if at is None or at > self.now else None

    def _emitted(self, step: shape.EmittedStep) -> None:
        wanted = {name: self._value(e) for name, e in step.args}
        for fact in self.emitted:
            if fact.event == step.event and all(fact.params.get(name) == value for name, value in wanted.items()):
                return
        params = self.table.events[step.event].params
        seen = [fact for fact in self.emitted if fact.event == step.event]
        if not seen:
            others = ", ".join(f"`{name}`" for name in dict.fromkeys(fact.event for fact in self.emitted)) or "nothing"
            raise Failed(Code.B601, f"`{step.event}` was not emitted", f"emitted so far: {others}")
        shown = ", ".join(
            f"{p.name}: {show_as(p.type, seen[-1].params[p.name], self.table.records)}"
            for p in params
            if p.name in seen[-1].params
        )
        raise Failed(
            Code.B601, f"`{step.event}` was emitted with other values", f"the last was `{step.event}({shown})`"
        )

    # --- what is due --------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do what is due at the present, until nothing is."""
        tried: set[Any] = set()
        while True:
            if self.events > EVENTS_MAX:
                raise Failed(Code.B602, "what this line sets off does not come to rest", "still going on")
            if self.sends:
                send = self.sends.pop(0)
                event = Deliver(
                    self._event_id(),
                    self.now,
                    send.order,
                    send.action,
                    send.params,
                    send.caller,
                    send.entity,
                    send.entity_id,
                )
                self._occurs(send.entity, send.entity_id, event)
                continue
            ready = [
                (self._due_at(found, fallen), key, fallen)
                for key, found in self.entities.items()
                for fallen in due(found, self.now)
                if (key, found.version, _what(fallen)) not in tried
            ]
            if not ready:
                return
            _, key, fallen = min(ready, key=lambda each: each[0])
            tried.add((key, self.entities[key].version, _what(fallen)))
            self._occurs(*key, replace(fallen, id=self._event_id()))

    @staticmethod
    def _due_at(found: Snapshot, event: Fire | Offer) -> int:
        if isinstance(event, Offer):
            return -1  # They come before timers.
        return next(armed.due or 0 for armed in found.timers if armed.timer == event.timer)

    def _occurs(self, entity: str, id: str, event: Event) -> None:
        """Take in what nobody asked for. A refusal of it changes nothing."""
        now = self.entities.get((entity, id))
        answer = commit(self.table, now, event, self)
        self._no_fault(answer)
        if isinstance(answer, Commit):
            self._not_hidden(now, event, answer)
            self._keep(answer)
            for part in answer.parts:
                if part.accepted.how is How.DEAD:
                    raise Failed(
                        Code.B603,
                        f"{part.accepted.late or 'it was late'}, and nothing says what becomes of it",
                        "it leads to a dead letter",
                        f"write `late ...` or `defer ...` for `{part.accepted.after.state}`",
                    )

    def _keep(self, answer: Commit) -> None:
        before = dict(self.entities) if watches(self.table) else {}
        for part in answer.parts:
            accepted = part.accepted
            after = accepted.after
            key = (after.entity, after.id)
            if key not in self.entities and accepted.moves:
                self.made[key] = (accepted.moves[0].action, dict(accepted.moves[0].params))
            self.entities[key] = after
            self.emitted.extend(accepted.emitted)
            for order in accepted.orders:
                if isinstance(order, SendOrder):
                    self.sends.append(order)
                else:
                    self.calls.append(_Call(after.entity, after.id, order.pending.order))
        for part in answer.parts:
            after = part.accepted.after
            self._rouse(before.get((after.entity, after.id)), after, part.accepted.caller)

    def _rouse(self, before: Snapshot | None, after: Snapshot, caller: Caller) -> None:
        """Have those look at their `whenever`s who read what has changed; who referred to it is a part itself."""
        for key in sorted(set(watchers(self.table, before, after, self, len(self.entities)))):
            self.entities[key] = rouse(self.table, self.entities[key], caller, self.now, self)

    # --- what is expected ---------------------------------------------------------------------------------------------

    def _no_fault(self, answer: Commit | Refused) -> None:
        if isinstance(answer, Refused) and answer.why in FAULTS:
            raise Failed(Code.B603, f"a fault of the blueprint: {answer.text}", "it stops here")

    def _everywhere(self) -> None:
        """Ask the properties that range over all of a kind, which no commit asks."""
        for each in self.table.properties:
            if isinstance(each, shape.Always) and each.entity is None and not each.step:
                try:
                    holds = self._value(each.condition)
                except NoValue:
                    continue
                if not holds:
                    raise Failed(
                        Code.B603, f"a fault of the blueprint: `{each.name}` does not hold after this", "it stops here"
                    )

    def _not_hidden(self, now: Snapshot | None, event: Event, answer: Commit) -> None:
        """A late outcome may be one whose action is a fault, or would break a property."""
        if now is None or answer.parts[0].accepted.how is How.TAKEN:
            return
        if isinstance(event, Outcome | Deliver):
            fault = hidden_fault(self.table, now, event)
            if fault is not None:
                self._no_fault(fault)
        free = commit(self.table, now, event, self, check_always=False)
        if isinstance(free, Commit) and free.parts and free.parts[0].accepted.how is How.TAKEN:
            part = free.parts[0].accepted
            sites = broken(self.table, now, part.after, part.moves)
            name = next((each.name for each in self.table.properties if each.site in sites), "")
            if name:
                text = f"after `{part.moves[0].action}`, `{name}` would not hold"
                raise Failed(Code.B603, f"a fault of the blueprint: {text}", "it stops here")

    def _refused(self, refused: Refused, expect: Sequence[shape.Expect]) -> None:
        wanted = next((each for each in expect if each.kind in {"denied", "refused"}), None)
        if wanted is None:
            if any(each.kind == "any" for each in expect):
                return
            raise Failed(Code.B601, f"this is refused: {refused.text}", f"refused: {refused.why.value}")
        if wanted.kind == "denied" and refused.why is not Why.DENIED and not by_policy(refused.site):
            raise Failed(Code.B601, f"this is not denied, but refused: {refused.text}", f"refused: {refused.why.value}")
        if wanted.kind == "refused" and wanted.text is not None:
            if wanted.text.casefold() not in f"{refused.why.value}: {refused.text}".casefold():
                raise Failed(
                    Code.B601, f"this is refused for another reason: {refused.text}", f"refused: {refused.why.value}"
                )
        for each in expect:
            if each.kind == "holds" and each.condition is not None:
                self._holds(each.condition)

    def _accepted(self, expect: Sequence[shape.Expect], accepted: Accepted | None) -> None:
        self.settle()
        for each in expect:
            match each.kind:
                case "denied" | "refused":
                    found = self._latest()
                    raise Failed(
                        Code.B601,
                        f"this is not {each.kind}: it leads to `{found.state}`",
                        f"{found.entity} is `{found.state}`",
                    )
                case "state":
                    found = (
                        self._latest() if accepted is None else self.entities[accepted.after.entity, accepted.after.id]
                    )
                    if found.state != each.text:
                        raise Failed(
                            Code.B601, f"this leads to `{found.state}`, not to `{each.text}`", f"it is `{found.state}`"
                        )
                case "holds" if each.condition is not None:
                    self._holds(each.condition)
                case _:
                    pass

    def _latest(self) -> Snapshot:
        assert self.latest is not None, "a line before this one spoke of somebody"
        return self.entities[self.latest]

    def _holds(self, condition: tuple[Any, ...]) -> None:
        try:
            holds = self._value(condition)
        except NoValue as problem:
            raise Failed(Code.B601, f"this has no value: {problem}", "no value") from problem
        if not holds:
            raise Failed(
                Code.B601, f"`{describe_expr(condition, self.table.records)}` does not hold", self._instead(condition)
            )

    def _instead(self, condition: tuple[Any, ...]) -> str:
        """Return what the things that a condition speaks of are."""
        said: dict[str, None] = {}
        for part in walk(condition):
            if part[0] not in {"read", "read_in"} or part[1][0] != "var" or part[1][1] not in self.names:
                continue
            name = part[1][1]
            found = self.entities.get(self.names[name])
            if found is None:
                continue
            if part[0] == "read_in":
                said[f"{name} is {found.state}"] = None
            else:
                type_ = field_type(self.table, part[2], part[3])
                said[f"{name}.{part[3]} is {show_as(type_, found.fields[part[3]], self.table.records)}"] = None
        return ", ".join(said) or "it is false"

    # --- values -------------------------------------------------------------------------------------------------------

    def _value(self, e: tuple[Any, ...]) -> Value:
        env = {name: id for name, (_, id) in self.names.items()}
        world: dict[str, dict[str, Snapshot]] = {entity: {} for entity in self.table.entities}
        for (entity, id), found in self.entities.items():
            world[entity][id] = found
        return evaluate(self.table, None, e, None, at=self.now, world=world, env=env)

    def _new_id(self, entity: str) -> str:
        count = sum(kind == entity for kind, _ in self.entities)
        return f"{entity[:1].lower()}{count + 1}"

    def _event_id(self) -> str:
        self.events += 1
        return f"e{self.events}"


def _creates(accepted: Accepted) -> bool:
    return bool(accepted.moves) and accepted.moves[0].before == "new"


def _what(event: Fire | Offer) -> tuple[str, ...]:
    return ("fire", event.timer) if isinstance(event, Fire) else ("offer", event.deferred)
