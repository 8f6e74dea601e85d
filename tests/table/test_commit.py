"""What belongs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from temper.table import (
    Act,
    Caller,
    Commit,
    Deliver,
    Ending,
    Event,
    Fire,
    How,
    Offer,
    Outcome,
    Refused,
    Snapshot,
    Table,
    Value,
    Why,
    broken,
    commit,
    due,
    field_references,
    rouse,
    watchers,
)
from tests.table.build import ANN, BOB, compiled, helix


class Entities:
    """A small world in a dict, as a `World`."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.living: dict[tuple[str, str], Snapshot] = {}
        self.made: dict[tuple[str, str], tuple[str, Mapping[str, Value]]] = {}
        self.count = 0

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return self.living.get((entity, id))

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        key = self.table.entities[entity].key
        for (kind, id), one in self.living.items():
            if kind == entity and [one.fields[name] for name in key] == list(values):
                return id
        return None

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        return self.made.get((entity, id))

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        kind = self.table.entities[entity]
        one = kind.uniques[unique]
        return any(
            [now.fields[name] for name in one.fields] == list(values)
            for (name_, id), now in self.living.items()
            if name_ == entity and id not in but_not and (one.ever or now.state not in kind.final)
        )

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        found = [now for (kind, _), now in self.living.items() if kind == entity]
        return [now.id for now in found if id in field_references(self.table, now, field)][:limit]

    def take(self, event: Event, entity: str, id: str, *, check_always: bool = True) -> Commit | Refused:
        result = commit(self.table, self.snapshot(entity, id), event, self, check_always=check_always)
        if isinstance(result, Commit):
            before = dict(self.living)
            for part in result.parts:
                after = part.accepted.after
                if (after.entity, after.id) not in self.living:
                    move = part.accepted.moves[0]
                    self.made[after.entity, after.id] = (move.action, move.params)
                self.living[after.entity, after.id] = after
            for part in result.parts:
                after = part.accepted.after
                for name in watchers(self.table, before.get((after.entity, after.id)), after, self, 100):
                    self.living[name] = rouse(self.table, self.living[name], part.accepted.caller, event.at, self)
        return result

    def due(self, at: int = 1_000) -> list[tuple[str, Fire | Offer]]:
        """What is due, with whose it is."""
        return [(id, event) for (_, id), now in self.living.items() for event in due(now, at)]

    def fire(self, entity: str, id: str, at: int = 1_000) -> Commit | Refused:
        """Take the first thing that is due for an entity."""
        self.count += 1
        event = due(self.living[entity, id], at)[0]
        return self.take(replace(event, id=f"e{self.count}"), entity, id)

    def act(self, entity: str, id: str, action: str, caller: Caller = ANN, **given: Any) -> Commit | Refused:
        self.count += 1
        return self.take(Act(f"e{self.count}", 1_000, action, given, caller, entity, id), entity, id)


def done(result: Commit | Refused) -> Commit:
    assert isinstance(result, Commit), result
    return result


def no(result: Commit | Refused) -> Refused:
    assert isinstance(result, Refused), result
    return result


ORDERS = """
    entity Item
      states On, Gone
      final Gone
      number: int 0..5
      label: string?
      unique number
      unique (label, number) ever
      action Put(number: int, label: string?) by system, operator from new to On
        set number = number, label
      action Renumber(number: int) by operator from On
        set number = number
      action Drop by operator from On to Gone
    entity Order
      states Open
      first: Item?
      action Open(numbers: list of int max 9) by operator from new to Open
        for x in numbers: create Item.Put(x, none)
      action More(number: int) by operator from Open
        create Item.Put(number, "x") as made
        set first = made
"""


def test_ruling_04_a_refused_creation_refuses_the_whole() -> None:
    """With the inner text; and nothing at all is stored."""
    world = Entities(compiled(ORDERS))
    refusal = no(world.act("Order", "o1", "Open", numbers=(1, 9)))
    assert refusal.why is Why.CREATE_REFUSED
    assert refusal.text == "`Item.Put`: `number` would be 9, which is not int 0..5"
    assert world.living == {}


def test_an_order_and_its_items_are_one_commit() -> None:
    """Parts in order, created by `system` on behalf of the caller, with ids after the event's."""
    world = Entities(compiled(ORDERS))
    result = done(world.act("Order", "o1", "Open", numbers=(1, 2)))
    assert [(part.accepted.after.entity, part.accepted.after.id) for part in result.parts] == [
        ("Order", "o1"),
        ("Item", "e1.1"),
        ("Item", "e1.2"),
    ]
    assert [(part.accepted.caller, part.accepted.actor) for part in result.parts[1:]] == [(ANN, "system")] * 2
    done(world.act("Order", "o1", "More", number=3))
    assert world.living["Order", "o1"].fields["first"] == "e2.1"
    assert world.living["Item", "e2.1"].fields == {"number": 3, "label": "x"}


def test_ruling_23_unique_among_those_that_are_not_final() -> None:
    world = Entities(compiled(ORDERS))
    done(world.act("Item", "i1", "Put", number=1, label=None))
    refusal = no(world.act("Item", "i2", "Put", number=1, label=None))
    assert (refusal.why, refusal.text) == (Why.NOT_UNIQUE, "another Item has this `number`")
    done(world.act("Item", "i1", "Drop"))
    done(world.act("Item", "i2", "Put", number=1, label=None))
    done(world.act("Item", "i3", "Put", number=2, label=None))
    assert no(world.act("Item", "i3", "Renumber", number=1)).why is Why.NOT_UNIQUE
    done(world.act("Item", "i3", "Renumber", number=2))


def test_ruling_23_none_agrees_with_nothing_and_ever_counts_the_final_ones() -> None:
    world = Entities(compiled(ORDERS))
    done(world.act("Item", "i1", "Put", number=1, label="a"))
    done(world.act("Item", "i1", "Drop"))
    assert no(world.act("Item", "i2", "Put", number=1, label="a")).text == "another Item has this `label`, `number`"
    done(world.act("Item", "i2", "Put", number=1, label=None))


def test_two_creations_of_one_commit_are_unique_too() -> None:
    world = Entities(compiled(ORDERS))
    refusal = no(world.act("Order", "o1", "Open", numbers=(1, 1)))
    assert (refusal.why, refusal.text) == (Why.CREATE_REFUSED, "`Item.Put`: another Item has this `number`")


KEYED = """
    entity Account
      states Open, Shut
      owner: string
      kind: string = "plain"
      balance: int = 0
      key (owner)
      action Open(owner, kind: string = "plain") by operator from new to Open
        set owner, kind
      action Import(owner) by operator from new to Open
        set owner
      action Pay by operator from Open
        set balance += 1
"""


def test_ruling_22_the_same_creation_gives_the_entity_as_it_is() -> None:
    """With the same parameters, defaults written out or not; whatever has become of it since, and by whatever id."""
    world = Entities(compiled(KEYED))
    done(world.act("Account", "a1", "Open", owner="ann"))
    done(world.act("Account", "a1", "Pay"))
    asked: list[tuple[str, dict[str, Any]]] = [("a2", {}), ("a1", {"kind": "plain"})]
    for id, kind in asked:
        again = done(world.act("Account", id, "Open", ANN, owner="ann", **kind))
        assert (again.parts, again.existing) == ((), world.living["Account", "a1"])


def test_ruling_22_anything_else_with_that_key_is_refused() -> None:
    """Another action, other parameters; and who may not create it does not get it either."""
    world = Entities(compiled(KEYED))
    done(world.act("Account", "a1", "Open", owner="ann"))
    others: list[tuple[str, dict[str, Any]]] = [("Import", {}), ("Open", {"kind": "gold"})]
    for action, more in others:
        refusal = no(world.act("Account", "a2", action, ANN, owner="ann", **more))
        assert refusal.why is Why.KEY
        assert refusal.text == "the Account `a1` has this `owner`, and was created otherwise"
    assert no(world.act("Account", "a2", "Open", BOB, owner="ann")).why is Why.DENIED


def test_an_id_that_is_taken() -> None:
    world = Entities(compiled(KEYED))
    done(world.act("Account", "a1", "Open", owner="ann"))
    refusal = no(world.act("Account", "a1", "Open", owner="bob"))
    assert (refusal.why, refusal.text) == (Why.EXISTS, "there is an Account `a1` already")
    done(world.act("Account", "a2", "Open", owner="bob"))


BREAKABLE = """
    entity Tank
      states On, Off
      level: int = 0
      peak: int = 0
      action Make by anyone from new to On
      action Fill(level: int) by anyone, system from On
        set level = level
      action Drain by anyone from On
        set level = 0
      action Flood by system from On
        set level = 100
      action Stop by anyone from On to Off
      late Fill do Flood
      always "not too full": level <= 10
      always before.level <= level or level == 0
      always action is Drain implies level == 0
    entity Pump
      states On
      tank: Tank
      action Make(tank) by anyone from new to On
        set tank
      action Go by anyone from On
        send tank.Fill(3)
"""


def test_ruling_03_always_is_judged_after_the_commit() -> None:
    world = Entities(compiled(BREAKABLE))
    done(world.act("Tank", "t1", "Make"))
    done(world.act("Tank", "t1", "Fill", level=5))
    refusal = no(world.act("Tank", "t1", "Fill", level=11))
    assert (refusal.why, refusal.text) == (Why.BREAKS, "after `Fill`, `not too full` would not hold")
    assert refusal.site is not None
    step_property = no(world.act("Tank", "t1", "Fill", level=4))
    assert step_property.why is Why.BREAKS
    done(world.act("Tank", "t1", "Drain"))


def test_without_check_always_the_broken_state_is_seen() -> None:
    """The verifier wants to look at it."""
    world = Entities(compiled(BREAKABLE))
    done(world.act("Tank", "t1", "Make"))
    result = done(world.take(Act("e", 0, "Fill", {"level": 11}, ANN, "Tank", "t1"), "Tank", "t1", check_always=False))
    accepted = result.parts[0].accepted
    assert len(broken(world.table, None, accepted.after, accepted.moves)) == 1


def test_a_send_that_breaks_a_property_is_late() -> None:
    """And if what `late` does would break one too, it is a dead letter: a message is never lost, nor stuck."""
    world = Entities(compiled(BREAKABLE))
    done(world.act("Tank", "t1", "Make"))
    result = done(world.take(Deliver("d", 0, "s1", "Fill", {"level": 50}, ANN, "Tank", "t1"), "Tank", "t1"))
    accepted = result.parts[0].accepted
    assert (accepted.how, accepted.after.fields["level"]) == (How.DEAD, 0)
    assert accepted.late == (
        "after `Fill`, `not too full` would not hold; `Flood`: after `Flood`, `not too full` would not hold"
    )


@pytest.mark.parametrize("moved", [0, 2])
def test_broken_asks_the_step_too(moved: int) -> None:
    """`before.moved <= moved`, and not of the step that creates."""
    table = helix()
    fields: dict[str, Any] = {"cluster": "c", "build": "b", "brokers": 3, "moved": 1, "halted_because": None}
    before = Snapshot("Rollout", "r", "Rolling", fields, 1, 1, 0, 0)
    after = Snapshot("Rollout", "r", "Rolling", {**fields, "moved": moved}, 2, 1, 0, 0)
    world = Entities(table)
    move = done(world.act("Rollout", "x", "Plan", BOB, cluster="c", build="b", brokers=3)).parts[0].accepted.moves
    assert broken(table, before, after, move) == (() if moved == 2 else ("Rollout/always/2",))
    assert broken(table, None, after, move) == ()
    assert broken(table, before, after, move, steps=False) == ()


def test_a_commit_of_what_is_refused_by_step_is_that_refusal() -> None:
    world = Entities(helix())
    assert no(world.take(Outcome("e", 0, "x", Ending.FAILED), "Rollout", "r")).why is Why.MISSING
    assert no(world.take(Offer("e", 0, "x"), "Rollout", "r")).why is Why.MISSING
