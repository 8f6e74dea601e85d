"""Properties, and what the search combines."""

from __future__ import annotations

from msgspec.structs import replace

from temper.model import machine as m
from temper.model import world
from temper.model.infer import Typer
from temper.model.problems import Problems
from temper.model.scope import PROPERTY, Scope
from temper.model.spell import property_text
from temper.model.typed import Typed, walk
from temper.model.types import INT, PRINCIPAL, IntT, one, plain, same
from temper.syntax import tree
from temper.text import Code, Span


class PropertyReader:
    """Reads the properties that stand in one entity, or at the top (`entity` is `None`)."""

    def __init__(self, entity: world.Entity | None, typer: Typer, problems: Problems) -> None:
        self.entity = entity
        self.typer = typer
        self.problems = problems
        self._titles: dict[str, Span] = {}

    def read(self, node: tree.Property) -> tuple[m.AnyProperty, ...]:
        """Return the property; several states after `can reach` are several."""
        if node.title is not None:
            if node.title in self._titles:
                self.problems.add(
                    Code.B110,
                    node.span,
                    f'a property "{node.title}" stands here already',
                    help="a report tells properties apart by their titles",
                    beside=((self._titles[node.title], "the first"),),
                )
            self._titles.setdefault(node.title, node.span)
        match node:
            case tree.Always():
                return (self._always(node),)
            case tree.Eventually():
                return self._eventually(node)
            case tree.Never():
                return self._never(node)
            case tree.Needs():
                return self._needs(node)
            case tree.CanReach():
                return self._can_reach(node)

    def _name(self, node: tree.Property) -> str:
        return node.title if node.title is not None else property_text(node)

    def _always(self, node: tree.Always) -> m.Always:
        condition = self.typer.condition(node.condition, Scope(PROPERTY, self.entity))
        reads_before = self._mentions(condition, "before")
        return m.Always(
            name=self._name(node),
            entity=None if self.entity is None else self.entity.name,
            span=node.span,
            description=node.description,
            condition=condition,
            step=reads_before or self._mentions(condition, "action_is"),
            reads_before=reads_before,
        )

    def _mentions(self, condition: Typed, op: str) -> bool:
        return any(part.op == op for part in walk(condition))

    def _owner(self, states: tuple[tree.StateName, ...], node: tree.Property) -> world.Entity | None:
        """Return the one entity that the states are of, or say why there is none."""
        found: world.Entity | None = None
        for state in states:
            entity = self.entity
            if state.entity is not None:
                entity = self.typer.entity(state.entity)
                if entity is None:
                    return None
            if entity is None:
                self.problems.add(
                    Code.B108,
                    state.span,
                    f"nothing here says of which entity `{state.state.text}` is a state",
                    help=f"name it: `Entity.{state.state.text}`",
                )
                return None
            if found is not None and entity is not found:
                self.problems.add(
                    Code.B341,
                    state.span,
                    f"this property speaks of `{found.name}` and of `{entity.name}`",
                    help="a property of this kind speaks of one entity; write one for each",
                )
                return None
            found = entity
        return found

    def _expanded(self, entity: world.Entity, states: tuple[tree.StateName, ...]) -> tuple[str, ...]:
        found = {name for state in states for name in self.typer.states(entity, state.state)}
        return tuple(state for state in entity.states if state in found)

    def _eventually(self, node: tree.Eventually) -> tuple[m.Eventually, ...]:
        entity = self._owner(node.froms + node.to, node)
        responds: list[str] = []
        succeeds: list[str] = []
        for assume in node.assumes:
            if assume.verb == "succeeds":
                tool = self.typer.tool(assume.who)
                if tool is not None:
                    succeeds.append(tool.name)
            else:
                role = self.typer.role(assume.who[0])
                if role is not None:
                    responds.append(role)
        if entity is None:
            return ()
        return (
            m.Eventually(
                name=self._name(node),
                entity=entity.name,
                span=node.span,
                description=node.description,
                froms=self._expanded(entity, node.froms),
                to=self._expanded(entity, node.to),
                responds=tuple(responds),
                succeeds=tuple(succeeds),
            ),
        )

    def _never(self, node: tree.Never) -> tuple[m.Never, ...]:
        role = self.typer.role(node.role)
        entity = self._owner(node.states, node)
        if entity is None or role is None:
            return ()
        return (
            m.Never(
                name=self._name(node),
                entity=entity.name,
                span=node.span,
                description=node.description,
                role=role,
                states=self._expanded(entity, node.states),
            ),
        )

    def _needs(self, node: tree.Needs) -> tuple[m.Needs, ...]:
        entity = self._owner((node.state,), node)
        count = self.typer.number(node.count, "the number of people", 1)
        role = None if node.role is None else self.typer.role(node.role)
        if entity is None:
            return ()
        by = tuple(action.name for name in node.by if (action := self.typer.action(entity, name)) is not None)
        since = tuple(action.name for name in node.since if (action := self.typer.action(entity, name)) is not None)
        besides: str | None = None
        if node.besides is not None:
            field = entity.fields.get(node.besides.text)
            if field is None:
                self.problems.unknown(
                    Code.B113,
                    node.besides.span,
                    "field",
                    node.besides.text,
                    {field.name: field.span for field in entity.fields.values()},
                    owner=f"`{entity.name}`",
                )
            elif not same(plain(field.type), PRINCIPAL):
                self.problems.add(
                    Code.B201,
                    node.besides.span,
                    f"a `principal` is expected, and `{field.name}` is {one(field.type)}",
                    help="name the field that holds the person who does not count",
                    beside=((field.span, "declared here"),),
                )
            else:
                besides = field.name
        return (
            m.Needs(
                name=self._name(node),
                entity=entity.name,
                span=node.span,
                description=node.description,
                states=self._expanded(entity, (node.state,)),
                count=count or 1,
                role=role,
                by=by,
                besides=besides,
                since=since,
            ),
        )

    def _can_reach(self, node: tree.CanReach) -> tuple[m.CanReach, ...]:
        found: list[m.CanReach] = []
        for state in node.states:
            entity = self._owner((state,), node)
            if entity is None:
                continue
            name = property_text(replace(node, states=(state,), title=None))
            if node.title is not None:
                name = node.title if len(node.states) == 1 else f"{node.title}: {name}"
            found.append(
                m.CanReach(
                    name=name,
                    entity=entity.name,
                    span=node.span if len(node.states) == 1 else state.span,
                    description=node.description,
                    states=self._expanded(entity, (state,)),
                )
            )
        return tuple(found)


def read_scope(node: tree.Scope, typer: Typer, problems: Problems) -> tuple[m.ScopeItem, ...]:
    """Return what a `scope` line says of how far the search goes."""
    found: list[m.ScopeItem] = []
    for item in node.items:
        count = None if item.count is None else typer.number(item.count, "the number of entities", 1)
        low = None if item.low is None else typer.number(item.low, "the lower end", -(2**63))
        high = None if item.high is None else typer.number(item.high, "the upper end", -(2**63))
        entity = typer.entity(item.entity)
        if entity is None:
            continue
        if item.field is not None:
            field = entity.fields.get(item.field.text)
            if field is None:
                problems.unknown(
                    Code.B113,
                    item.field.span,
                    "field",
                    item.field.text,
                    {field.name: field.span for field in entity.fields.values()},
                    owner=f"`{entity.name}`",
                )
                continue
            if not isinstance(plain(field.type), IntT):
                problems.add(
                    Code.B201,
                    item.field.span,
                    f"{one(INT)} is expected, and `{field.name}` is {one(field.type)}",
                    help="only ints are narrowed for the search",
                    beside=((field.span, "declared here"),),
                )
                continue
        if low is not None and high is not None and low > high:
            problems.add(Code.B209, item.span, "no value is in this range", help="the lower end stands first: `0..3`")
            continue
        found.append(m.ScopeItem(entity.name, None if item.field is None else item.field.text, count, low, high))
    return tuple(found)
