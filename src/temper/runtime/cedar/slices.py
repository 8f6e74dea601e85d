"""The policies that are asked about one action, parsed, with what they need to be told: a slice for each action.

Of a slice those are asked whose heads can apply: to each set of heads that a request meets belongs a part.

A decision is remembered by all that the slice's policies look at, so that asking again what was asked is cheap. One
that looks at the time, or through a reference, is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from temper.kernel import Facts
from temper.runtime.cedar.engine import Policies
from temper.runtime.cedar.looks import looks
from temper.runtime.cedar.schema import NEW
from temper.runtime.cedar.scopes import Heads, Key
from temper.runtime.cedar.told import told_of_caller
from temper.runtime.cedar.values import CannotHold, Encoder, attributes, encoders, moment, reference
from temper.table import Caller, Look, NoValue, Policy, Snapshot, Table, Value, cedar, evaluate, holds_references
from temper.table import shape as pieces

Json: TypeAlias = Any

# Decisions that a slice remembers.
REMEMBERED_MAX = 4_096
# Policies that a slice keeps parsed, each as often as there are parts that ask it.
PARSED_MAX = 20_000
_LET_IN = "permit (principal, action, resource);"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as policies are asked about it. `now` is `None` for an entity that is to be created as `id`."""

    caller: Caller
    facts: Facts
    now: Snapshot | None
    id: str
    at: int
    params: Mapping[str, Value]
    world: Look | None
    requester: str | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What policies say: whether it is allowed, and by which of them.

    `policies` are those that decided; `erring` those that can't be evaluated and so count against the caller, each with
    why not, in words that are for operators: they may hold values.
    """

    allowed: bool
    policies: tuple[Policy, ...] = ()
    erring: tuple[tuple[Policy, str], ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the policies' names, those that can't be evaluated last."""
        return (*(each.id for each in self.policies), *(each.id for each, _ in self.erring))

    def without(self, overruled: frozenset[str]) -> Ruling:
        """Return what is left of a refusal where some of the policies have been overruled."""
        left = tuple(each for each in self.policies if each.id not in overruled)
        erring = tuple((each, text) for each, text in self.erring if each.id not in overruled)
        return Ruling(self.allowed, left, erring)

    @property
    def site(self) -> str | None:
        """Return where the first of them stands."""
        return next((each.site for each in (*self.policies, *(one for one, _ in self.erring))), None)

    @property
    def text(self) -> str:
        """Return what the caller is told where it is not allowed."""
        told = next((each.otherwise for each in self.policies if each.otherwise), None)
        if told is not None:
            return told
        if self.policies:
            return f"the policy `{self.policies[0].id}` forbids it"
        if self.erring:
            return f"the policy `{self.erring[0][0].id}` can't be evaluated here, which counts against the caller"
        return "no policy permits it"


ALLOWED = Ruling(allowed=True)


class Slice:
    """The policies of one action."""

    def __init__(self, table: Table, name: cedar.ActionName, *, let_in: bool) -> None:
        """Take them from the table. With `let_in`, who is not forbidden is allowed, and permits don't count."""
        ours = list(cedar.covering(table, name))
        if let_in:
            ours = [(policy, one) for policy, one in ours if policy.effect == cedar.FORBID]
        self.policies = tuple(policy for policy, _ in ours)
        self._ours = ours
        self.table, self.name, self.let_in = table, name, let_in
        self._heads = Heads([one for _, one in ours], cedar.entity_type(table, name.entity))
        self._parts: dict[tuple[Key, ...], _Part] = {}
        self._parsed = 0
        self._remembered: dict[Any, Ruling] = {}

    @cached_property
    def params(self) -> frozenset[str]:
        """Return the parameters that are looked at."""
        given = self.table.entities[self.name.entity].actions[self.name.action].params if self.name.action else ()
        all_ = looks(*(one for _, one in self._ours))
        if not all_.reads("params"):
            return frozenset()
        return frozenset(param.name for param in given if all_.params or param.name in all_.names)

    def rule(self, asked: Asked) -> Ruling:
        """Return what the policies say. Raises what `world` does, and nothing else."""
        met = self._heads.met(asked.caller, asked.facts, asked.id)
        part = self._parts.get(met)
        if part is None:
            ours = [self._ours[number] for number in self._heads.numbers(met)]
            if self._parsed + len(ours) > PARSED_MAX:
                self._parts.clear()
                self._parsed = 0
            self._parsed += len(ours)
            part = self._parts[met] = _Part(self, ours, met, self._remembered)
        return part.rule(asked)


class _Part:
    """Those of a slice's policies that some requests are asked about."""

    def __init__(
        self, of: Slice, ours: Sequence[tuple[Policy, Json]], met: tuple[Key, ...], remembered: dict[Any, Ruling]
    ) -> None:
        """Take them, for requests that have `met` these heads. What they decide is `remembered` beside others'."""
        table, name, let_in = of.table, of.name, of.let_in
        self.name = name
        self._met = met
        self.policies = tuple(policy for policy, _ in ours)
        self._table = table
        self._looks = [looks(one) for _, one in ours]
        self._all = looks(*(one for _, one in ours))
        self._parsed = Policies([*(policy.text for policy in self.policies), *((_LET_IN,) if let_in else ())])
        self._entity = table.entities[name.entity]
        self._action = self._entity.actions[name.action] if name.action is not None else None
        self._kind = cedar.entity_type(table, name.entity)
        self._kinds = {cedar.entity_type(table, each): each for each in table.entities}
        self._request = {"type": cedar.action_type(table), "id": name.id}
        group = {"type": cedar.action_type(table), "id": name.group}
        self._group = {"uid": self._request, "attrs": {}, "parents": [group]}
        self._fields: dict[str, tuple[tuple[str, Encoder], ...]] = {}
        given = self._action.params if self._action is not None and self._all.reads("params") else ()
        named = None if self._all.params else self._all.names
        self._params = encoders(table, given, named)
        self._defaults = tuple(param for param in given if param.default is not None)
        self._own = tuple(field.name for field in self._entity.fields if field.name in self._all.names)
        self._unruled = ALLOWED if let_in else Ruling(allowed=False)
        self._remembered = remembered if self._stands_alone(given) else None

    def _stands_alone(self, given: Iterable[pieces.Param]) -> bool:
        """Whether a decision rests on the caller, the entity's own fields and the parameters, and nothing else."""
        if self._all.reads("now"):
            return False
        if self._all.depth == 0:
            return True
        if any(kind in self._kinds for kind, _ in self._all.literals):
            return False
        types = [field.type for field in self._entity.fields if field.name in self._all.names]
        types += [param.type for param in given]
        return self._all.depth < 2 or not any(holds_references(type_, self._table.records) for type_ in types)

    def rule(self, asked: Asked) -> Ruling:
        if not self.policies:
            return self._unruled
        try:
            params = self._filled(asked)
        except NoValue as problem:
            return self._unasked(str(problem))
        if self._remembered is None or asked.now is None:
            return self._ruled(asked, params)
        key = self._key(asked, asked.now, params)
        known = self._remembered.get(key)
        if known is None:
            known = self._ruled(asked, params)
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[key] = known
        return known

    def _key(self, asked: Asked, now: Snapshot, params: Mapping[str, Value]) -> Any:
        facts = asked.facts
        fields = tuple([now.fields.get(name) for name in self._own])
        tags = tuple(sorted(facts.attributes.items())) if self._all.tags else ()
        about = (facts.teams, facts.admin, facts.via, facts.session, tags, asked.requester)
        params_ = tuple([params.get(name) for name, _ in self._params])
        return self._met, asked.caller, about, now.id, now.state, fields, params_

    def _filled(self, asked: Asked) -> Mapping[str, Value]:
        """The parameters with their defaults: one that is left out has that value all the same."""
        left_out = [param for param in self._defaults if param.name not in asked.params]
        if not left_out:
            return asked.params
        values = dict(asked.params)
        for param in left_out:
            assert param.default is not None, "it has one"
            values[param.name] = evaluate(
                self._table, self.name.entity, param.default, asked.now, caller=asked.caller, at=asked.at
            )
        return values

    def _ruled(self, asked: Asked, params: Mapping[str, Value]) -> Ruling:
        try:
            entities, context = self._told(asked, params)
            request = {
                "principal": {"type": cedar.PRINCIPAL, "id": asked.caller.principal},
                "action": self._request,
                "resource": {"type": self._kind, "id": asked.id},
                "context": context,
            }
            allowed, reasons, erring = self._parsed.decide(request, entities)
        except CannotHold as problem:
            return Ruling(allowed=False, erring=tuple((each, str(problem)) for each in self._readers(problem.name)))
        except ValueError as problem:
            return self._unasked(str(problem))
        known = self.policies
        wrong = tuple((known[number], text) for number, text in erring.items())
        decided = tuple(known[number] for number in reasons if number < len(known))
        return Ruling(allowed and not any(each.effect == cedar.FORBID for each, _ in wrong), decided, wrong)

    def _unasked(self, text: str) -> Ruling:
        """What can't be asked has no answer, and what has none counts against the caller."""
        return Ruling(allowed=False, erring=tuple((each, text) for each in self.policies))

    def _readers(self, name: str) -> tuple[Policy, ...]:
        found = [policy for policy, looks in zip(self.policies, self._looks, strict=True) if name in looks.names]
        return tuple(found) or self.policies

    # what they are told

    def _told(self, asked: Asked, params: Mapping[str, Value]) -> tuple[list[Json], Json]:
        context = self._context(asked, params)
        entities = {(cedar.PRINCIPAL, asked.caller.principal): told_of_caller(asked.caller, asked.facts)}
        if asked.now is None:
            entities[self._kind, asked.id] = _entity(self._kind, asked.id, NEW, {})
        else:
            entities[self._kind, asked.id] = self._told_of(asked.now)
        if self._all.depth:
            self._followed(entities, context, asked.world)
        return [self._group, *entities.values()], context

    def _context(self, asked: Asked, params: Mapping[str, Value]) -> Json:
        context: dict[str, Json] = {"via": asked.facts.via}
        if self._all.reads("now"):
            context["now"] = moment(asked.at)
        if asked.facts.session is not None:
            context["session"] = asked.facts.session
        if asked.requester is not None:
            context["requester"] = reference(cedar.PRINCIPAL, asked.requester)
        if self._all.reads("params"):
            context["params"] = attributes(self._params, params)
        return context

    def _told_of(self, now: Snapshot) -> Json:
        encoders_of = self._fields.get(now.entity)
        if encoders_of is None:
            fields = self._table.entities[now.entity].fields
            encoders_of = self._fields[now.entity] = encoders(self._table, fields, self._all.names)
        kind = cedar.entity_type(self._table, now.entity)
        return _entity(kind, now.id, now.state, attributes(encoders_of, now.fields))

    def _followed(self, entities: dict[tuple[str, str], Json], context: Json, world: Look | None) -> None:
        """Add those who are referred to, as far as the policies look."""
        waiting = [*self._all.literals]
        for each in (*entities.values(), context):
            waiting += _references(each.get("attrs", each))
        for _ in range(self._all.depth):
            further: list[tuple[str, str]] = []
            for kind, id in waiting:
                if (kind, id) in entities:
                    continue
                if kind == cedar.PRINCIPAL:
                    # Of others no more is known than what they are called.
                    entities[kind, id] = {"uid": {"type": kind, "id": id}, "attrs": {"name": id}, "parents": []}
                elif kind in self._kinds:
                    now = world.snapshot(self._kinds[kind], id) if world is not None else None
                    if now is None:
                        raise CannotHold("", f"{self._kinds[kind]} `{id}` is not there")
                    told = entities[kind, id] = self._told_of(now)
                    further += _references(told["attrs"])
            waiting = further


def _entity(kind: str, id: str, state: str, told: dict[str, Json]) -> Json:
    return {"uid": {"type": kind, "id": id}, "attrs": {"id": id, "state": state, **told}, "parents": []}


def _references(told: Json) -> list[tuple[str, str]]:
    """Those that attributes refer to, in records too: the elements of sets can't be looked at."""
    found: list[tuple[str, str]] = []
    if isinstance(told, dict):
        entity = told.get("__entity")
        if entity is not None:
            return [(entity["type"], entity["id"])]
        for each in told.values():
            found += _references(each)
    return found
