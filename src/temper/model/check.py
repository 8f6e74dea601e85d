"""From a tree to a machine."""

from __future__ import annotations

import re

from temper.model import machine as m
from temper.model.clauses import Uses
from temper.model.entities import EntityReader
from temper.model.infer import Typer
from temper.model.names import Declarations
from temper.model.people import look_at_people
from temper.model.problems import Problems
from temper.model.properties import PropertyReader, read_scope
from temper.model.rules import look_at, look_at_joints
from temper.model.scenarios import ScenarioReader
from temper.model.scope import FILTER, Scope
from temper.model.typed import Typed
from temper.model.types import BOOL, Type, opened
from temper.model.upgrades import read_upgrade
from temper.model.world import World
from temper.syntax import tree
from temper.text import Code, Diagnostic

# What an attempt of a tool without a `timeout` of its own may take.
TIMEOUT_MS = 30_000
# A module lies beside the blueprint: its name leads nowhere else.
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.(wasm|wat)")


def check(bundle: tree.Tree) -> tuple[m.Machine, tuple[Diagnostic, ...]]:
    """Return what the bundle means, and every problem found, in the order of the text. Never raises.

    The machine is whole only if no problem is an error.
    """
    problems = Problems()
    names = World()
    typer = Typer(names, problems)
    declarations = Declarations(bundle, names, typer, problems)
    declarations.read()
    uses = Uses()
    entities = tuple(
        EntityReader(entity, typer, declarations, problems, uses).read() for entity in names.entities.values()
    )
    for entity in entities:
        look_at(entity, names.entities[entity.name], uses, problems)
    look_at_joints(entities, problems)
    _some_entity(bundle, problems)
    top = [declaration for file in bundle.files for declaration in file.declarations]
    properties = _properties(top, typer, problems)
    look_at_people(entities, properties, problems)
    machine = m.Machine(
        next((file.name.text for file in bundle.files if file.name is not None), ""),
        _roles(top, typer, problems),
        tuple(
            m.Record(record.name, record.fields or (), record.node.name.span, record.node.description)
            for record in names.records.values()
        ),
        _tools(top, typer, problems),
        tuple(
            m.Event(event.name, event.params, event.span, event.description)
            for event in sorted(names.events.values(), key=lambda event: event.span)
        ),
        entities,
        properties,
        tuple(item for node in top if isinstance(node, tree.Scope) for item in read_scope(node, typer, problems)),
        tuple(ScenarioReader(typer, problems).read(node) for node in top if isinstance(node, tree.Scenario)),
        _upgrades(top, typer, problems),
        names,
    )
    return machine, problems.sorted()


def check_expression(
    machine: m.Machine, entity: str, expr: tree.Expr, expected: Type = BOOL
) -> tuple[Typed, tuple[Diagnostic, ...]]:
    """Return an expression about one entity, such as a filter of a list, and what is wrong with it.

    Besides what guards may write, a time, a principal and a reference may be given as text.
    """
    problems = Problems()
    typer = Typer(machine.world, problems)
    typed = typer.expect(expr, opened(expected), Scope(FILTER, machine.world.entities[entity]))
    return typed, problems.sorted()


def _some_entity(bundle: tree.Tree, problems: Problems) -> None:
    """Say that a bundle without an entity does nothing: whatever is asked of it would hold."""
    name = next((file.name for file in bundle.files if file.name is not None), None)
    declared = any(isinstance(each, tree.Entity) for file in bundle.files for each in file.declarations)
    if name is not None and not declared:
        problems.add(
            Code.B343,
            name.span,
            f"`{name.text}` has no entity",
            help="declare what it is about: `entity NAME`, with its states and actions",
        )


def _roles(top: list[tree.Declaration], typer: Typer, problems: Problems) -> tuple[m.Role, ...]:
    excludes: dict[str, set[str]] = {role: set() for role in typer.world.roles}
    descriptions: dict[str, str] = {}
    for node in top:
        match node:
            case tree.Role(names):
                for name in names:
                    descriptions.setdefault(name.text, node.description if len(names) == 1 else "")
            case tree.Excludes(role, others):
                first = typer.role(role)
                for other in others:
                    second = typer.role(other)
                    if first is None or second is None:
                        continue
                    if first == second:
                        problems.add(
                            Code.B309,
                            other.span,
                            f"`{first}` excludes itself",
                            help="name the other role: nobody has both",
                        )
                        continue
                    excludes[first].add(second)
                    excludes[second].add(first)
            case _:
                pass
    return tuple(
        m.Role(role, tuple(sorted(excludes[role])), span, descriptions[role])
        for role, span in typer.world.roles.items()
    )


def _tools(top: list[tree.Declaration], typer: Typer, problems: Problems) -> tuple[m.Tool, ...]:
    found: list[m.Tool] = []
    for node in top:
        if not isinstance(node, tree.Tool):
            continue
        name = ".".join(part.text for part in node.name)
        tool = typer.world.tools[name]
        timeout: int | None = None
        retry: m.Retry | None = None
        wasm: str | None = None
        parts: dict[type, tree.Line] = {}
        for part in node.parts:
            if type(part) in parts:
                problems.add(
                    Code.B340,
                    part.span,
                    f"`{_WORDS[type(part)]}` is written twice",
                    help="leave one out",
                    beside=((parts[type(part)].span, "the first"),),
                )
            parts.setdefault(type(part), part)
            match part:
                case tree.Timeout(duration):
                    timeout = typer.duration(duration, "the timeout")
                case tree.Retry(count, every, up_to):
                    retry = m.Retry(
                        typer.number(count, "the number of attempts", 1) or 1,
                        typer.duration(every, "the pause") or 1,
                        None if up_to is None else typer.duration(up_to, "the longest pause"),
                    )
                case tree.FromWasm(file):
                    wasm = file
                    if not _MODULE.fullmatch(file):
                        problems.add(
                            Code.B350,
                            part.span,
                            f"`{file}` is no module's name",
                            label="not the name of a module",
                            help="name a file beside the blueprint, such as `rules.wasm` or `rules.wat`",
                        )
                case tree.Idempotent():
                    pass
        if tool.node is node:
            idempotent = tree.Idempotent in parts
            found.append(
                m.Tool(
                    name,
                    tool.params,
                    tool.results,
                    timeout or TIMEOUT_MS,
                    retry,
                    idempotent,
                    wasm,
                    tool.span,
                    node.description,
                )
            )
    return tuple(found)


def _upgrades(top: list[tree.Declaration], typer: Typer, problems: Problems) -> tuple[m.Upgrade, ...]:
    first: dict[int, tree.Upgrade] = {}
    for node in top:
        if not isinstance(node, tree.Upgrade):
            continue
        if node.version in first:
            problems.add(
                Code.B340,
                node.span,
                f"`upgrade from {node.version}` is written twice",
                help="put both under one line",
                beside=((first[node.version].span, "the first"),),
            )
            continue
        first[node.version] = node
    return tuple(read_upgrade(node, typer, problems) for node in first.values())


_WORDS: dict[type, str] = {
    tree.Timeout: "timeout",
    tree.Retry: "retry",
    tree.Idempotent: "idempotent",
    tree.FromWasm: "from wasm",
}


def _properties(top: list[tree.Declaration], typer: Typer, problems: Problems) -> tuple[m.AnyProperty, ...]:
    found: list[m.AnyProperty] = []
    outside = PropertyReader(None, typer, problems)
    for node in top:
        match node:
            case tree.Entity():
                entity = typer.world.entities.get(node.name.text)
                if entity is None or entity.node is not node:
                    continue
                inside = PropertyReader(entity, typer, problems)
                for part in node.parts:
                    if isinstance(part, tree.Property):
                        found.extend(inside.read(part))
            case tree.Always() | tree.Eventually() | tree.Never() | tree.Needs() | tree.CanReach():
                found.extend(outside.read(node))
            case _:
                pass
    return tuple(found)
