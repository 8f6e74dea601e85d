"""Properties that a journal suggests: what has held in all that happened, and holds in the table too."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from temper.kernel import Entry
from temper.table import BadValue, Expr, NoValue, Snapshot, Table, Value, decode, describe_expr, evaluate, shape
from temper.verify.report import Suggestion, Verdict
from temper.verify.strength.suggest import checked
from temper.verify.strength.templates import Candidate, courses, facts

# A value that fewer entities than this have had says nothing about all of them.
ENTITIES_MIN = 3


def suggest_from(table: Table, entries: Iterable[Entry], most: int = 12) -> tuple[Suggestion, ...]:
    """Return properties that hold of everything in a journal, are not written, and that the table does not break.

    `kills` is 0: a journal has no mutants. A `unique` is suggested by what happened alone, which `by` says.
    """
    lives: dict[str, dict[str, list[Snapshot]]] = {}
    for entry in entries:
        if entry.refused is None and entry.entity in table.entities:
            known = lives.setdefault(entry.entity, {}).setdefault(entry.id, [])
            now = _after(table, table.entities[entry.entity], known[-1] if known else None, entry)
            if now is not None:
                known.append(now)
    found: list[Suggestion] = []
    for name, by_id in lives.items():
        entity = table.entities[name]
        candidates = [one for one in _held(table, entity, by_id) if one.condition not in _written(table)]
        holding = checked(table, name, candidates)
        found += [
            Suggestion(f"always {describe_expr(one.condition, table.records)}", name, verdict, f"journal, {by}", 0)
            for one, verdict, by in holding
        ]
        found += _unique(entity, by_id)
    found.sort(key=lambda each: len(each.text))
    return tuple(found[:most])


def _written(table: Table) -> set[Expr]:
    return {each.condition for each in table.properties if isinstance(each, shape.Always)}


def _after(table: Table, entity: shape.Entity, before: Snapshot | None, entry: Entry) -> Snapshot | None:
    """Return the entity after an entry, by what the entry says; `None` where this table can't read it."""
    types = {each.name: each.type for each in entity.fields}
    fields: dict[str, Value] = dict(before.fields) if before is not None else {}
    try:
        fields |= {n: decode(types[n], json, records=table.records) for n, json in entry.set.items() if n in types}
    except BadValue:
        return None
    if fields.keys() != types.keys():
        return None
    born = entry.at if before is None else before.created_at
    ordered = {name: fields[name] for name in types}
    return Snapshot(entity.name, entry.id, entry.after, ordered, entry.version, 1, born, entry.at)


def _held(table: Table, entity: shape.Entity, by_id: dict[str, list[Snapshot]]) -> list[Candidate]:
    states: dict[str, list[Snapshot]] = {}
    steps = []
    for life in by_id.values():
        for now in life:
            states.setdefault(now.state, []).append(now)
        steps += list(pairwise(life))
    names = [each.name for each in entity.fields]
    kinds = {each.name: each.type[0] for each in entity.fields}

    def values(name: str) -> set[object]:
        if kinds[name] not in {"int", "one_of"}:
            return set()
        return {now.fields[name] for seen in states.values() for now in seen}

    found = []
    for fact in facts(entity, names, values):
        where = tuple(s for s in entity.states if s in states and all(_true(table, fact, now) for now in states[s]))
        if len(where) == len(states):
            found.append(Candidate(fact, step=False))
        elif where:
            found.append(Candidate(("implies", ("in_state", where), fact), step=False))
    found += [
        Candidate(course, step=True)
        for course in courses(entity, names)
        if steps and all(_true(table, course, after, before) for before, after in steps)
    ]
    return found


def _true(table: Table, e: Expr, now: Snapshot, before: Snapshot | None = None) -> bool:
    try:
        return bool(evaluate(table, now.entity, e, now, before=before))
    except NoValue:
        return False


def _unique(entity: shape.Entity, by_id: dict[str, list[Snapshot]]) -> list[Suggestion]:
    """Suggest `unique` for text that no two entities ever shared."""
    said = {each.fields for each in entity.uniques} | {entity.key}
    found = []
    for each in entity.fields:
        if each.type not in {("string",), ("principal",)} or (each.name,) in said:
            continue
        owners: dict[Any, set[str]] = {}
        for id, life in by_id.items():
            for now in life:
                owners.setdefault(now.fields[each.name], set()).add(id)
        if len(by_id) >= ENTITIES_MIN and all(len(ids) == 1 for ids in owners.values()):
            found.append(Suggestion(f"unique {each.name} ever", entity.name, Verdict.TESTED, "journal", 0))
    return found
