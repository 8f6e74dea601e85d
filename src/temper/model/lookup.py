"""Names that stand for something declared, and what to say where nothing is."""

from __future__ import annotations

from temper.model import world
from temper.model.problems import Problems
from temper.model.scope import Scope
from temper.model.world import World
from temper.syntax import tree
from temper.text import Code, Span


class Lookup:
    """Finds what names stand for."""

    def __init__(self, names: World, problems: Problems) -> None:
        self.world = names
        self.problems = problems

    def states(self, entity: world.Entity, name: tree.Name) -> tuple[str, ...]:
        """Return the states that a state or a group stands for; none where it is unknown."""
        found = entity.expand(name.text)
        if found is None:
            self.problems.unknown(
                Code.B101,
                name.span,
                "state",
                name.text,
                {**entity.states, **entity.group_spans},
                owner=f"`{entity.name}`",
            )
            return ()
        return found

    def entity(self, name: tree.Name) -> world.Entity | None:
        """Return the entity of this name, or say that there is none."""
        found = self.world.entities.get(name.text)
        if found is None:
            self.problems.unknown(
                Code.B108,
                name.span,
                "entity",
                name.text,
                {entity.name: entity.node.name.span for entity in self.world.entities.values()},
            )
        return found

    def action(self, entity: world.Entity, name: tree.Name) -> world.Action | None:
        """Return the entity's action of this name, or say that there is none."""
        found = entity.actions.get(name.text)
        if found is None:
            self.problems.unknown(
                Code.B102,
                name.span,
                "action",
                name.text,
                {action.name: action.node.name.span for action in entity.actions.values()},
                owner=f"`{entity.name}`",
            )
        return found

    def role(self, name: tree.Name) -> str | None:
        """Return the role of this name, or say that there is none."""
        if name.text in self.world.roles:
            return name.text
        self.problems.unknown(Code.B103, name.span, "role", name.text, self.world.roles)
        return None

    def tool(self, name: tuple[tree.Name, ...]) -> world.Tool | None:
        """Return the tool of this name, or say that there is none."""
        text = ".".join(part.text for part in name)
        found = self.world.tools.get(text)
        if found is None:
            self.problems.unknown(
                Code.B104,
                name[0].span.to(name[-1].span),
                "tool",
                text,
                {tool.name: tool.span for tool in self.world.tools.values()},
                help=f"declare it at the top: `tool {text}(...)`" if not self.world.tools else None,
            )
        return found

    def shadows(self, name: tree.Name, scope: Scope, *, hides_fields: bool = False) -> bool:
        """Say so where a new local name is in scope already; a parameter alone may hide a field."""
        place = self.place_of(name.text, scope, fields=not hides_fields)
        if place is None:
            return False
        self.problems.add(
            Code.B111,
            name.span,
            f"`{name.text}` is a name here already",
            label="hides the other",
            help="choose another name: one name has one meaning in one place",
            beside=((place, "the other"),),
        )
        return True

    def place_of(self, name: str, scope: Scope, *, fields: bool) -> Span | None:
        if name in scope.locals:
            return scope.locals[name].span
        if scope.entity is not None and name in scope.entity.lets:
            return scope.entity.lets[name].node.name.span
        if scope.entity is not None and name in scope.entity.inverses:
            return scope.entity.inverses[name].span
        if fields and scope.entity is not None and name in scope.entity.fields:
            return scope.entity.fields[name].span
        if name in self.world.consts:
            return self.world.consts[name].node.name.span
        return None
