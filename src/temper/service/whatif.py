"""What a change of policies, or of `by`, would newly allow or deny: over roles and states, and the living entities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from temper.kernel import NO_FACTS, Order
from temper.runtime import Could, Gate, Somebody, could_act, could_approve, could_read
from temper.service import wire
from temper.service.bundle import POLICIES_SUFFIX
from temper.service.declined import action_of, bad_query, entity_of
from temper.service.policies import possibly
from temper.service.space import Space
from temper.table import Caller, Snapshot, Table, cedar, possible

# Living entities of a kind that are asked about: the newest so many.
SAMPLED_MAX = 200
# Rows of an answer; what is left out is counted.
ROWS_MAX = 2_000
NEW = "new"
READ = "read"
# Behind an action: saying yes to another's request for it, which has no name of its own in a blueprint.
APPROVE = f".{cedar.APPROVE}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about: all of it where nothing is named."""

    entity: str | None = None
    action: str | None = None
    id: str | None = None


EVERYTHING = Asked()


def must_be_there(table: Table, asked: Asked) -> None:
    """Decline what is asked about nothing that there is."""
    kind = entity_of(table, asked.entity) if asked.entity is not None else None
    if asked.action not in (None, READ):
        if kind is None:
            raise bad_query("action", "is of an entity: name that, too")
        action_of(kind, str(asked.action).removesuffix(APPROVE))


def candidate(table: Table, files: Mapping[str, str]) -> dict[str, str]:
    """Return a bundle's files with others in their place: where those are policies alone, all of its own go."""
    own = table.notes.sources
    if all(name.endswith(POLICIES_SUFFIX) for name in files):
        return {**{name: text for name, text in own.items() if not name.endswith(POLICIES_SUFFIX)}, **files}
    return dict(files)


def simulated(gate: Gate, space: Space, new: Table | None, asked: Asked, at: int) -> wire.WhatIf:
    """Return who could do what in a space, and what another table would change in that."""
    could = [row for row in rows(space.table, asked) if row.could != Could.NO.value]
    changes = changed(space.table, new, asked) if new is not None else ()
    return wire.WhatIf(
        blueprint=space.name,
        version=space.version.number,
        rows=tuple(could[:ROWS_MAX]),
        changes=changes[:ROWS_MAX],
        lines=lines(new, changes) if new is not None else (),
        living=living(gate, space, new, asked, at),
        left_out=max(0, len(could) - ROWS_MAX) + max(0, len(changes) - ROWS_MAX),
        sampled_max=SAMPLED_MAX,
    )


def somebodies(table: Table, *, pairs: bool = True) -> Iterator[Somebody]:
    """Yield those who are asked about: nobody's roles, each role alone, each pair that one may hold; each as an agent
    too.
    """
    names = [role.name for role in table.roles]
    barred = {(role.name, other) for role in table.roles for other in role.excludes}
    both = [two for two in combinations(names, 2) if two not in barred and two[::-1] not in barred] if pairs else []
    for roles in ((), *((name,) for name in names), *both):
        for agent in (False, True):
            yield Somebody(frozenset(roles), agent)


def rows(table: Table, asked: Asked, *, pairs: bool = True) -> Iterator[wire.CouldRow]:
    """Yield who could do what in which state, or say yes to it: by `by` and policies, whatever the guards say."""
    people = tuple(somebodies(table, pairs=pairs))
    for entity in table.entities.values():
        if asked.entity not in (None, entity.name):
            continue
        for state in entity.states:
            if asked.action in (None, READ):
                yield from (_row(table, entity.name, READ, state, who) for who in people)
        for action in entity.actions.values():
            states = tuple(dict.fromkeys(state for case in action.cases for state in case.froms))
            # Who asks about an action hears of those who may say yes to it, too.
            for name in (action.name, action.name + APPROVE):
                if asked.action in (None, action.name, name):
                    yield from (_row(table, entity.name, name, state, who) for state in states for who in people)


def _row(table: Table, entity: str, action: str, state: str, who: Somebody) -> wire.CouldRow:
    could, because = _answer(table, entity, action, state, who)
    return wire.CouldRow(
        entity=entity,
        action=action,
        state=state,
        roles=tuple(sorted(who.roles)),
        agent=who.agent,
        could=could.value,
        because=because,
    )


def _answer(table: Table, entity: str, action: str, state: str, who: Somebody) -> tuple[Could, tuple[str, ...]]:
    if action == READ:
        answer = could_read(table, entity, state, who)
    elif action.endswith(APPROVE):
        answer = could_approve(table, entity, action.removesuffix(APPROVE), state, who)
    else:
        answer = could_act(table, entity, action, state, who)
    return answer.could, answer.because


def newly(old: Table, new: Table) -> tuple[str, ...]:
    """Return in words what another table newly lets a role do, or lets it do no longer."""
    return lines(new, changed(old, new, pairs=False))


def changed(old: Table, new: Table, asked: Asked = EVERYTHING, *, pairs: bool = True) -> tuple[wire.CouldChange, ...]:
    """Return where the answers differ between two tables, for the kinds and states that there are in both.

    Nobody could take an action that was not there, or take it from that state; and a role that was not there let
    nobody in.
    """
    if _same_people(old, new):
        return ()
    found = []
    for row in rows(new, asked, pairs=pairs):
        if row.entity not in old.entities or (row.action == READ and row.state not in old.entities[row.entity].states):
            continue
        was, because = _was(old, row)
        if was.value != row.could:
            found.append(wire.CouldChange(row=row, was=was.value, was_because=because))
    return tuple(found)


def _was(old: Table, row: wire.CouldRow) -> tuple[Could, tuple[str, ...]]:
    if row.action != READ and row.action.removesuffix(APPROVE) not in old.entities[row.entity].actions:
        return Could.NO, ()
    return _answer(old, row.entity, row.action, row.state, Somebody(frozenset(row.roles), row.agent))


def _same_people(old: Table, new: Table) -> bool:
    return old.policies == new.policies and old.roles == new.roles and old.entities == new.entities


def _key(row: wire.CouldRow) -> tuple[str, str, str, tuple[str, ...], bool]:
    return row.entity, row.action, row.state, row.roles, row.agent


def _nobodys(row: wire.CouldRow) -> tuple[str, str, str, tuple[str, ...], bool]:
    return row.entity, row.action, row.state, (), row.agent


def lines(table: Table, changes: Iterable[wire.CouldChange]) -> tuple[str, ...]:
    """Return changes to a table in words, those of one role by itself: what several may together follows from them."""
    told: dict[tuple[str, str, str, str], list[str]] = {}
    changes = tuple(changes)
    alike = {(*_key(each.row), each.was, each.row.could) for each in changes if not each.row.roles}
    people = [
        each
        for each in changes
        # What becomes so for everybody is told once.
        if not each.row.roles
        or (len(each.row.roles) == 1 and (*_nobodys(each.row), each.was, each.row.could) not in alike)
    ]
    both = {_key(each.row)[:4]: 0 for each in people}
    for each in people:
        both[_key(each.row)[:4]] += 1
    for each in people:
        row = each.row
        if row.agent and both[_key(row)[:4]] == 2:
            continue  # It is told of people and agents at once.
        who = f"`{row.roles[0]}`" if row.roles else "everybody"
        if both[_key(row)[:4]] == 1:
            who = f"{who} as an agent" if row.agent else f"{who} as a person"
        verb = _VERBS[each.was, row.could]
        told.setdefault((verb, who, row.entity, row.action), []).append(row.state)
    return tuple(
        f"{verb} {who} {_doing(table, entity, action, states)}" for (verb, who, entity, action), states in told.items()
    )


_VERBS = {
    ("no", "yes"): "newly lets",
    ("no", "depends"): "newly lets, on conditions,",
    ("yes", "no"): "no longer lets",
    ("yes", "depends"): "lets only on conditions",
    ("depends", "yes"): "lets without conditions",
    ("depends", "no"): "no longer lets",
}


def _doing(table: Table, entity: str, action: str, states: list[str]) -> str:
    names = " and ".join(filter(None, (", ".join(states[:-1]), states[-1])))
    if action == READ:
        every = len(states) == len(table.entities[entity].states)
        return f"read {entity}" if every else f"read {entity} in {names}"
    verb = "say yes to" if action.endswith(APPROVE) else "take"
    return f"{verb} `{entity}.{action.removesuffix(APPROVE)}`" + ("" if states == [NEW] else f" in {names}")


# --- the living -------------------------------------------------------------------------------------------------------


def living(gate: Gate, space: Space, new: Table | None, asked: Asked, at: int) -> tuple[wire.CouldLiving, ...]:
    """Return, of each kind and action, for how many of the newest living entities somebody could, now and then.

    State, guards, `by` and policies are asked, of somebody of whom nothing but the roles is known; where it rests on
    parameters it counts as possible.
    """
    table = space.table
    found: list[wire.CouldLiving] = []
    for entity in table.entities:
        if asked.entity not in (None, entity):
            continue
        sample = _sample(space, entity, asked.id)
        if not sample:
            continue
        for who in somebodies(table):
            caller = Caller("somebody", who.roles, "somebody else" if who.agent else None)
            now = _counts(gate, space, table, sample, caller, at)
            same = new is not None and entity in new.entities and _keeps(table, new, entity)
            then = _counts(gate, space, new, sample, caller, at) if new is not None and same else None
            for action in table.entities[entity].actions:
                if asked.action not in (None, action):
                    continue
                could, could_then = now.get(action, 0), then.get(action, 0) if then is not None else None
                if could or could_then:
                    found.append(
                        wire.CouldLiving(
                            entity=entity, action=action, roles=tuple(sorted(who.roles)), agent=who.agent,
                            of=len(sample), could=could, would=could_then,
                        )
                    )  # fmt: skip
    return tuple(found)


def _sample(space: Space, entity: str, id: str | None) -> list[Snapshot]:
    if id is not None:
        now = space.live.read(entity, id)
        return [now] if now is not None else []
    return list(space.store.list(entity, limit=SAMPLED_MAX, order=Order.NEWEST).items)


def _keeps(old: Table, new: Table, entity: str) -> bool:
    """Whether what is kept of an entity can be read by either."""
    return old.entities[entity].fields == new.entities[entity].fields and old.records == new.records


def _counts(
    gate: Gate, space: Space, table: Table, sample: Iterable[Snapshot], caller: Caller, at: int
) -> dict[str, int]:
    counts: dict[str, int] = {}
    for now in sample:
        if now.state not in table.entities[now.entity].states:
            continue
        world = space.live.world()
        could = possible(table, now.entity, now, caller, at, world)
        for one in possibly(gate, table, caller, NO_FACTS, now, at, world, could):
            if one.status != "no":
                counts[one.action] = counts.get(one.action, 0) + 1
    return counts
