"""Properties that a journal suggests: what has held in all that happened, and holds in the table too.

What happened tells which of all that holds is worth saying: of values that the search does not draw, of fields that no
property speaks of yet, of the ways that entities really went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from temper.kernel import Entry
from temper.table import BadValue, Expr, NoValue, Snapshot, Table, Value, decode, describe_expr, evaluate, shape
from temper.verify.report import Suggestion, Verdict
from temper.verify.strength.implied import implied, written
from temper.verify.strength.suggest import Suggested, checked, unbroken
from temper.verify.strength.templates import Candidate, comes, courses, facts

# What says that something has held.
HAPPENED = "journal"
# A value that fewer entities than this have had says nothing about all of them.
ENTITIES_MIN = 8
# So many candidates are checked, the shortest first: each costs questions to the solver.
CHECKED_MAX = 60


def suggest_from(
    table: Table, entries: Iterable[Entry], most: int = 12, *, besides: Sequence[Suggested] = ()
) -> tuple[Suggestion, ...]:
    """Return properties that hold of everything in a journal, say more than what is written, and hold in the table.

    None follows from what is written, from the types, from those `besides`, or from another of them. `kills` is 0: a
    journal has no mutants. A `unique` is suggested by what happened alone, which `by` says.
    """
    found: list[Suggestion] = []
    for name, lives in _lives(table, entries).items():
        entity = table.entities[name]
        known = written(table, name)
        known += [condition for each, condition in besides if each.entity == name and condition is not None]
        candidates = _held(table, entity, lives)
        candidates.sort(key=lambda one: (one.size, _text(table, one)))
        held = unbroken(table, name, candidates[:CHECKED_MAX])
        apart = _apart(table, name, known, list(held))
        found += [
            Suggestion(_text(table, one), name, verdict, f"{HAPPENED}, {by}", 0)
            for one, verdict, by in checked(table, name, apart)
        ]
        found += _unique(entity, lives)
    found.sort(key=lambda each: (each.verdict is Verdict.TESTED, len(each.text)))
    return tuple(found[:most])


def _text(table: Table, one: Candidate) -> str:
    return f"always {describe_expr(one.condition, table.records)}"


def _apart(table: Table, entity: str, known: Sequence[Expr], holding: Sequence[Candidate]) -> list[Candidate]:
    """Return those that do not follow from the others; the longest ones, which stand last, go first."""
    kept = list(holding)
    for one in reversed(holding):
        others = [each.condition for each in kept if each is not one]
        if implied(table, entity, [*known, *others], one.condition):
            kept.remove(one)
    return kept


# --- what happened ----------------------------------------------------------------------------------------------------


@dataclass
class _Lives:
    """What became of the entities of one kind: every state of each, one after the other."""

    by_id: dict[str, list[Snapshot]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    """Those of which the journal has no beginning, or something that this table can't read."""

    def states(self) -> Iterator[Snapshot]:
        for life in self.by_id.values():
            yield from life

    def steps(self) -> Iterator[tuple[Snapshot, Snapshot]]:
        for life in self.by_id.values():
            yield from pairwise(life)


def _lives(table: Table, entries: Iterable[Entry]) -> dict[str, _Lives]:
    found: dict[str, _Lives] = {}
    for entry in entries:
        entity = table.entities.get(entry.entity)
        if entity is None or entry.refused is not None:
            continue
        lives = found.setdefault(entry.entity, _Lives())
        if entry.id in lives.cut:
            continue
        life = lives.by_id.setdefault(entry.id, [])
        now = _after(table, entity, life[-1] if life else None, entry)
        if now is None or now.state not in entity.states:
            lives.cut.add(entry.id)
        else:
            life.append(now)
    return found


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


# --- what has held ----------------------------------------------------------------------------------------------------


def _held(table: Table, entity: shape.Entity, lives: _Lives) -> list[Candidate]:
    """Return what has held, in every state that was seen or in all of some, and in every step."""
    by_state: dict[str, list[Snapshot]] = {}
    for now in lives.states():
        by_state.setdefault(now.state, []).append(now)
    names = [each.name for each in entity.fields]
    kinds = {each.name: each.type[0] for each in entity.fields}

    def values(name: str) -> set[object]:
        return {now.fields[name] for now in lives.states()} if kinds[name] in {"int", "one_of"} else set()

    found = []
    for fact in facts(entity, names, values):
        where = tuple(s for s in entity.states if s in by_state and all(_true(table, fact, now) for now in by_state[s]))
        if len(where) == len(by_state):
            found.append(Candidate(fact, step=False))
        elif where:
            found.append(Candidate(("implies", ("in_state", where), fact), step=False))
    steps = list(lives.steps())
    found += [
        Candidate(course, step=True)
        for course in courses(entity, names)
        if steps and all(_true(table, course, after, before) for before, after in steps)
    ]
    return found + list(comes(entity, ((before.state, after.state) for before, after in steps)))


def _true(table: Table, e: Expr, now: Snapshot, before: Snapshot | None = None) -> bool:
    try:
        return bool(evaluate(table, now.entity, e, now, before=before))
    except NoValue:
        return False


def _unique(entity: shape.Entity, lives: _Lives) -> list[Suggestion]:
    """Suggest `unique` for text that no two entities ever shared."""
    said = {each.fields for each in entity.uniques} | {entity.key}
    found = []
    for each in entity.fields:
        if each.type not in {("string",), ("principal",)} or (each.name,) in said:
            continue
        owners: dict[Any, set[str]] = {}
        for now in lives.states():
            owners.setdefault(now.fields[each.name], set()).add(now.id)
        if len(lives.by_id) >= ENTITIES_MIN and all(len(ids) == 1 for ids in owners.values()):
            found.append(Suggestion(f"unique {each.name} ever", entity.name, Verdict.TESTED, HAPPENED, 0))
    return found
