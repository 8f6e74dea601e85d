"""Upgrades: what becomes of entities that live under an earlier version."""

from __future__ import annotations

from collections.abc import Collection

from temper.model import machine as m
from temper.model import world
from temper.model.clauses import Around, Clauses, Uses
from temper.model.infer import Typer
from temper.model.problems import Problems
from temper.model.scope import UPGRADE, Scope
from temper.model.typed import Typed
from temper.syntax import tree
from temper.text import Code, Span


def read_upgrade(node: tree.Upgrade, typer: Typer, problems: Problems) -> m.Upgrade:
    """Return an upgrade. States and fields that it leaves behind are an earlier version's, which is not here.

    A push knows that version, and asks whether they were there.
    """
    entities: list[m.UpgradeEntity] = []
    first: dict[str, tree.UpgradeEntity] = {}
    for part in node.entities:
        entity = typer.entity(part.entity)
        if entity is None:
            continue
        if entity.name in first:
            _twice(problems, part.entity.span, f"`{entity.name}`", first[entity.name].entity.span)
            continue
        first[entity.name] = part
        entities.append(_entity(part, entity, typer, problems))
    return m.Upgrade(node.version, tuple(entities), node.span)


def _entity(node: tree.UpgradeEntity, entity: world.Entity, typer: Typer, problems: Problems) -> m.UpgradeEntity:
    clauses = Clauses(entity, typer, problems, Uses())
    becomes: dict[str, tuple[str, Span]] = {}
    sets: dict[str, m.Set] = {}
    drops = {part.field.text: part.field.span for part in node.parts if isinstance(part, tree.Drop)}
    dropped: set[str] = set()
    for part in node.parts:
        match part:
            case tree.Becomes(old, new):
                if old.text in becomes:
                    _twice(problems, old.span, f"`{old.text} becomes`", becomes[old.text][1])
                elif typer.states(entity, new):
                    if new.text not in entity.states:
                        problems.add(
                            Code.B303,
                            new.span,
                            f"`{new.text}` is a group, and an entity is in one state",
                            help="name one of its states",
                        )
                    becomes[old.text] = (new.text, old.span)
            case tree.Set(items):
                for item in items:
                    one = _set(item, entity, drops, clauses)
                    if one is None:
                        continue
                    if one.field in sets:
                        problems.add(
                            Code.B312,
                            item.span,
                            f"`{one.field}` is set twice",
                            help="say once what it becomes",
                            beside=((sets[one.field].span, "set here first"),),
                        )
                    sets[one.field] = one
            case tree.Drop(field):
                if field.text in dropped:
                    _twice(problems, field.span, f"`drop {field.text}`", drops[field.text])
                dropped.add(field.text)
                if field.text in entity.fields:
                    problems.add(
                        Code.B113,
                        field.span,
                        f"`{field.text}` is a field of this version too",
                        help="drop it from the entity, or keep it here",
                        beside=((entity.fields[field.text].span, "declared here"),),
                    )
    states = tuple((old, new) for old, (new, _) in becomes.items())
    return m.UpgradeEntity(entity.name, states, tuple(sets.values()), tuple(drops), node.span)


def _set(item: tree.SetItem, entity: world.Entity, drops: Collection[str], clauses: Clauses) -> m.Set | None:
    """Return an assignment. `set new = old`, with `drop old`, is a field under another name.

    What type the old one had is not known here: a value that does not fit is told of the entity that has it.
    """
    value, field = item.value, entity.fields.get(item.target.text)
    renamed = isinstance(value, tree.Ref) and value.name.text in drops and value.name.text not in entity.fields
    if field is not None and item.op == "=" and item.key is None and renamed:
        assert isinstance(value, tree.Ref), "it is a name"
        return m.Set(field.name, Typed("field", (value.name.text,), field.type, value.span), item.span)
    scope = Scope(UPGRADE, entity)
    one = tree.Set((item,), span=item.span)
    read = clauses.read((one,), scope, Around(creating=True))
    return next((clause for clause in read if isinstance(clause, m.Set)), None)


def _twice(problems: Problems, span: Span, what: str, first: Span) -> None:
    problems.add(Code.B340, span, f"{what} is given twice", help="say it once", beside=((first, "given here first"),))
