"""Machines of Hypothesis, generated from a table: a rule for each action, and for what tools and time do.

Values are drawn from the edges of their types, as the search draws them, and beside those from what is no value of the
type at all. All of it is chosen from lists, so that a machine depends on its table and its seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from temper.table import Caller, Ending, Table, Type, encode, shape
from temper.verify.clauses import NEW, admitted, by_people
from temper.verify.draw.door import Door, Doors, Kind, Said
from temper.verify.explore.draws import Draws
from temper.verify.simulate.choose import PEOPLE
from temper.verify.simulate.watch import runtime

# Which entity is asked is a number, of those whose state has a case for the action; the last one means any at all.
NUMBERS = range(5)
# Of a kind there are no more than that.
INSTANCES_MAX = 3
_TIMES = (-60_000, 0, 1, 3_600_000)
_WAITS = (1, 1_000, 60_000, 3_600_000, 86_400_000, 40 * 86_400_000)


@dataclass(frozen=True, slots=True)
class Ref:
    """The so-manieth entity of a kind, whichever that will be."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Moment:
    """So long after now."""

    ms: int


@dataclass(frozen=True, slots=True)
class Once:
    """A request that has been made under a key, to be made again."""

    entity: str
    id: str | None
    action: str
    params: Mapping[str, Any]
    caller: Caller
    key: str
    said: Said


class Laws(RuleBasedStateMachine):
    """What holds at every door. `door_of` and `table` are set by `machine`."""

    table: Table
    door_of: Doors

    def __init__(self) -> None:
        super().__init__()
        self.door: Door = type(self).door_of()
        self.ids: dict[str, list[str]] = {name: [] for name in self.table.entities}
        self.keys = 0
        self.once: list[Once] = []

    def teardown(self) -> None:
        self.door.close()

    # --- requests -----------------------------------------------------------------------------------------------------

    def request(
        self, entity: str, number: int | None, action: str, recipe: Mapping[str, Any], caller: Caller, keyed: bool
    ) -> None:
        """Ask for an action of the so-manieth entity (`None`: of a new one), with fitting parameters."""
        id = None if number is None else self._id(entity, action, number)
        params = self._params(recipe)
        key: str | None = None
        if keyed:
            self.keys += 1
            key = f"k{self.keys}"
        before = self.door.read(entity, id) if id is not None else None
        said = self._ask(entity, id, action, params, caller, key)
        if said.kind is Kind.INVALID:
            raise runtime("doors", f"`{action}` was called invalid with parameters of their types: {said.why}")
        if said.kind is Kind.DONE:
            self._done(entity, id, before.version if before is not None else 0, said)
        elif id is not None and self.door.read(entity, id) != before:
            raise runtime("doors", f"`{action}` was {said.kind.value}, and changed something")
        if key is not None:
            self.once.append(Once(entity, id, action, params, caller, key, said))

    def _done(self, entity: str, id: str | None, before: int, said: Said) -> None:
        after = self.door.read(entity, said.id)
        if after is None or after.version < said.version or said.version < before:
            raise runtime("doors", f"{entity} `{said.id}` was answered at version {said.version}, and is not so")
        if id is None and said.id not in self.ids[entity]:
            self.ids[entity].append(said.id)

    def bad(self, entity: str, number: int | None, action: str, recipe: Mapping[str, Any], caller: Caller) -> None:
        """Ask with parameters that are none."""
        id = None if number is None else self._id(entity, action, number)
        before = self.door.read(entity, id) if id is not None else None
        said = self._ask(entity, id, action, self._params(recipe), caller, None)
        if said.kind is not Kind.INVALID:
            raise runtime("doors", f"`{action}` was {said.kind.value} with parameters that are none")
        if id is not None and self.door.read(entity, id) != before:
            raise runtime("doors", f"`{action}` was invalid, and changed something")

    def again(self, number: int) -> None:
        """Make a request once more under its key: it is answered as before, and nothing happens."""
        once = self.once[number % len(self.once)]
        before = self.door.read(once.entity, once.id or once.said.id)
        said = self._ask(once.entity, once.id, once.action, once.params, once.caller, once.key)
        if said != once.said and once.said.kind is Kind.DONE:
            raise runtime("doors", f"`{once.action}` was answered twice under one key, and not alike")
        if once.said.kind is Kind.DONE and self.door.read(once.entity, once.id or once.said.id) != before:
            raise runtime("doors", f"`{once.action}` was done again under one key")

    def stale(self, entity: str, number: int, action: str, recipe: Mapping[str, Any], caller: Caller) -> None:
        """Ask on the strength of a version that has passed."""
        id = self._id(entity, action, number)
        before = self.door.read(entity, id)
        assert before is not None, "it was created"
        said = self.door.act(entity, id, action, self._params(recipe), caller, if_version=before.version - 1)
        if said.kind is not Kind.CONFLICT or self.door.read(entity, id) != before:
            raise runtime("doors", f"`{action}` was {said.kind.value} on the strength of an old version")

    def _ask(
        self, entity: str, id: str | None, action: str, params: Mapping[str, Any], caller: Caller, key: str | None
    ) -> Said:
        if id is None:
            return self.door.create(entity, action, params, caller, key=key)
        return self.door.act(entity, id, action, params, caller, key=key)

    def _id(self, entity: str, action: str, number: int) -> str:
        ids = self.ids[entity]
        if number != NUMBERS[-1]:
            froms = {state for case in self.table.entities[entity].actions[action].cases for state in case.froms}
            here = [id for id in ids if (now := self.door.read(entity, id)) is not None and now.state in froms]
            ids = here or ids
        return ids[number % len(ids)]

    def _params(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value(value) for name, value in recipe.items()}

    def _value(self, value: Any) -> Any:
        match value:
            case Ref(kind, number):
                ids = self.ids.get(kind, [])
                return ids[number % len(ids)] if ids else f"{kind[:1].lower()}0"
            case Moment(ms):
                return encode(("time",), self.door.now() + ms, {})
            case _:
                return value


def machine(table: Table, doors: Doors) -> type[Laws]:
    """Return a machine whose rules are what may happen to a table's entities, at a door that is made for each run."""
    rules: dict[str, Any] = {"table": table, "door_of": staticmethod(doors)}
    fitting: list[tuple[Any, ...]] = []
    for entity in table.entities.values():
        drawn = Values(table, entity)
        for action in entity.actions.values():
            if any(by_people(admitted(action, case)) for case in action.cases):
                recipe = drawn.recipe(action)
                callers = st.sampled_from(_callers(table, action))
                makes = any(NEW in case.froms for case in action.cases)
                acts = any(state != NEW for case in action.cases for state in case.froms)
                for new in (*((True,) if makes else ()), *((False,) if acts else ())):
                    name = f"{entity.name}_{action.name}_{'new' if new else 'act'}"
                    rules[name] = _request(name, entity.name, action.name, recipe, callers, new)
                    fitting.append((entity.name, action.name, recipe, drawn.bad(action), callers, new))
    if fitting:
        rules["with_bad_parameters"] = _bad(fitting)
        again = rule(number=st.sampled_from(range(4)))(_again)
        rules["once_more"] = precondition(lambda self: bool(self.once))(again)
    stale = [each for each in fitting if not each[-1]]
    if stale:
        rules["of_an_old_version"] = _stale(stale)
    for tool in table.tools.values():
        owner = next(iter(table.entities.values()))
        results = Values(table, owner).of(tool.results)
        rules[f"tool_{tool.name.replace('.', '_')}"] = _tool(tool.name, results)
    rules["time_passes"] = precondition(lambda self: any(self.ids.values()))(rule(ms=st.sampled_from(_WAITS))(_passes))
    return type("Machine", (Laws,), rules)


def _again(self: Laws, number: int) -> None:
    self.again(number)


def _passes(self: Laws, ms: int) -> None:
    self.door.advance(ms)


Recipe = st.SearchStrategy[dict[str, Any]]


def _request(name: str, entity: str, action: str, recipe: Recipe, callers: Any, new: bool) -> Any:
    def asks(self: Laws, number: int, recipe: dict[str, Any], caller: Caller, keyed: bool) -> None:
        self.request(entity, None if new else number, action, recipe, caller, keyed)

    asks.__name__ = name
    numbers = st.just(0) if new else st.sampled_from(NUMBERS)
    made = rule(number=numbers, recipe=recipe, caller=callers, keyed=st.booleans())(asks)
    if new:
        return precondition(lambda self: len(self.ids[entity]) < INSTANCES_MAX)(made)
    return precondition(lambda self: bool(self.ids[entity]))(made)


def _bad(fitting: Sequence[tuple[Any, ...]]) -> Any:
    choices = st.one_of(
        *(
            st.tuples(st.just(entity), st.just(action), bad, callers, st.just(new))
            for entity, action, _, bad, callers, new in fitting
        )
    )

    def asks(self: Laws, number: int, choice: tuple[Any, ...]) -> None:
        entity, action, recipe, caller, new = choice
        if not new and not self.ids[entity]:
            return
        self.bad(entity, None if new else number, action, recipe, caller)

    return rule(number=st.sampled_from(NUMBERS), choice=choices)(asks)


def _stale(fitting: Sequence[tuple[Any, ...]]) -> Any:
    choices = st.one_of(
        *(
            st.tuples(st.just(entity), st.just(action), recipe, callers)
            for entity, action, recipe, _, callers, _ in fitting
        )
    )

    def asks(self: Laws, number: int, choice: tuple[Any, ...]) -> None:
        entity, action, recipe, caller = choice
        if not self.ids[entity]:
            return
        self.stale(entity, number, action, recipe, caller)

    made = rule(number=st.sampled_from(NUMBERS), choice=choices)(asks)
    return precondition(lambda self: any(self.ids.values()))(made)


def _tool(name: str, results: Recipe) -> Any:
    endings = st.sampled_from((Ending.ANSWERED, Ending.ANSWERED, Ending.FAILED, Ending.UNKNOWN))

    def ends(self: Laws, ending: Ending, results: dict[str, Any]) -> None:
        self.door.outcome(name, ending, self._params(results) if ending is Ending.ANSWERED else {}, "it failed")

    made = rule(ending=endings, results=results)(ends)
    return precondition(lambda self: self.door.waits(name))(made)


def _callers(table: Table, action: shape.Action) -> list[Caller]:
    """Return who asks: everybody in each role that admits, some in each that does not, and one in all that go along."""
    roles = {by.role for case in action.cases for by in admitted(action, case) if by.role is not None}
    others = [role.name for role in table.roles if role.name not in roles]
    found = [Caller(who, frozenset({role})) for role in sorted(roles) for who in PEOPLE]
    if not roles or any(by.who is not None for case in action.cases for by in admitted(action, case)):
        found += [Caller(who) for who in PEOPLE]
    found += [Caller(PEOPLE[0], frozenset({role})) for role in others]
    return found


class Values:
    """What is drawn of the types that one entity sees, encoded; first what is small."""

    def __init__(self, table: Table, entity: shape.Entity) -> None:
        self._table = table
        self._draws = Draws(table, entity, PEOPLE)

    def recipe(self, action: shape.Action) -> Recipe:
        """Return parameters of their types."""
        return self.of(action.params)

    def of(self, params: Sequence[shape.Param]) -> Recipe:
        """Return values for some named types; what may be left out sometimes is."""
        must = {each.name: self._value(each.type) for each in params if not _optional(each)}
        may = {each.name: self._value(each.type) for each in params if _optional(each)}
        return st.fixed_dictionaries(must, optional=may)

    def bad(self, action: shape.Action) -> Recipe:
        """Return parameters of which one is none: not of its type, missing, or unknown."""
        fine = self.of(action.params)
        ways: list[Callable[[dict[str, Any]], dict[str, Any]]] = [lambda given: {**given, "no_such": 1}]
        for each in action.params:
            ways += [_with(each.name, value) for value in _none_of(each.type)]
            if not _optional(each):
                ways.append(_without(each.name))
        return st.tuples(fine, st.sampled_from(ways)).map(lambda pair: pair[1](pair[0]))

    def _value(self, type_: Type) -> st.SearchStrategy[Any]:
        match type_:
            case ("optional", inner):
                return st.one_of(st.none(), self._value(inner))
            case ("ref", kind):
                return st.sampled_from([Ref(kind, number) for number in range(INSTANCES_MAX)])
            case ("time",):
                return st.sampled_from([Moment(ms) for ms in _TIMES])
            case _:
                return st.sampled_from([encode(type_, v, self._table.records) for v in self._draws.of(type_).values])


def _optional(param: shape.Param) -> bool:
    return param.default is not None or param.type[0] == "optional"


def _with(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {**given, name: value}


def _without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {key: value for key, value in given.items() if key != name}


def _none_of(type_: Type) -> list[Any]:
    """Return some JSON that is no value of a type."""
    match type_:
        case ("optional", inner):
            return [value for value in _none_of(inner) if value is not None]
        case ("bool",):
            return [0, "true", None]
        case ("int", low, high):
            ends = [*([low - 1] if low is not None else []), *([high + 1] if high is not None else [])]
            return [*ends, 1.5, "one", True, None]
        case ("decimal", _, _):
            return ["one", [], None, "1e5", "NaN"]
        case ("one_of", _):
            return ["no_such_value", 1, None]
        case ("string",) | ("principal",) | ("ref", _):
            return [1, None, []]
        case ("time",) | ("duration",):
            return ["yesterday", True, None]
        case ("set", _, _) | ("list", _, _):
            return [{}, "x", None]
        case _:
            return [1, None]
