"""Upgrades: what becomes of entities that live under an earlier version."""

from __future__ import annotations

from temper.model import machine as m
from temper.model import world
from temper.model.clauses import Around, Clauses, Uses
from temper.model.infer import Typer
from temper.model.problems import Problems
from temper.model.scope import UPGRADE, Scope
from temper.syntax import tree
from temper.text import Code


def read_upgrade(node: tree.Upgrade, typer: Typer, problems: Problems) -> m.Upgrade:
    """Return an upgrade. States and fields that it leaves behind are an earlier version's, which is not here."""
    problems.not_yet(
        Code.B905,
        node.span,
        "this says what becomes of living entities at a push",
        help="keep the states and fields that living entities need; a push says which have no place",
    )
    entities: list[m.UpgradeEntity] = []
    for part in node.entities:
        entity = typer.entity(part.entity)
        if entity is not None:
            entities.append(_entity(part, entity, typer, problems))
    return m.Upgrade(node.version, tuple(entities), node.span)


def _entity(node: tree.UpgradeEntity, entity: world.Entity, typer: Typer, problems: Problems) -> m.UpgradeEntity:
    clauses = Clauses(entity, typer, problems, Uses())
    becomes: list[tuple[str, str]] = []
    sets: list[m.Set] = []
    drops: list[str] = []
    for part in node.parts:
        match part:
            case tree.Becomes(old, new):
                if typer.states(entity, new):
                    becomes.append((old.text, new.text))
            case tree.Set():
                read = clauses.read((part,), Scope(UPGRADE, entity), Around(creating=True))
                sets.extend(clause for clause in read if isinstance(clause, m.Set))
            case tree.Drop(field):
                if field.text in entity.fields:
                    problems.add(
                        Code.B113,
                        field.span,
                        f"`{field.text}` is a field of this version too",
                        help="drop it from the entity, or keep it here",
                        beside=((entity.fields[field.text].span, "declared here"),),
                    )
                drops.append(field.text)
    return m.UpgradeEntity(entity.name, tuple(becomes), tuple(sets), tuple(drops), node.span)
