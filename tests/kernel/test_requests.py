"""What a host answers to a request, and what it leaves in the journal."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from temper.kernel import Batch, Cause, Conflict, Done, Limits, MemoryStore, No, StoreFault
from temper.table import Ending, Why
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS


def test_what_is_answered_is_what_a_new_host_finds() -> None:
    """A host keeps nothing that the store doesn't."""
    driver = Driver()
    done = driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    assert isinstance(done, Done)
    assert done.entry is not None
    assert (done.entry.seq, done.entry.version, done.snapshot.state) == (1, 1, "Open")
    driver.restart()
    assert driver.read("Shelf", "s1") == done.snapshot


def test_asks_of_one_batch_see_each_other_in_order() -> None:
    """Each is decided on what those before it leave."""
    driver = Driver()
    take = [driver.request("Shelf", "s1", "Take", units=3) for _ in range(2)]
    answers = driver.asks(driver.request("Shelf", "s1", "Stock", name="nuts", stock=5), *take)
    assert [type(answer) for answer in answers] == [Done, Done, No]
    assert driver.read("Shelf", "s1").fields["stock"] == 2
    assert [entry.seq for entry in driver.history("Shelf", "s1")] == [1, 2, 3]


def test_a_refusal_is_journaled_and_changes_nothing() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    before = driver.read("Shelf", "s1")
    answer = driver.act("Shelf", "s1", "Take", units=9)
    assert isinstance(answer, No)
    assert (answer.refused.why, answer.refused.text) == (Why.GUARD, "not that many on the shelf")
    assert answer.snapshot == driver.read("Shelf", "s1") == before
    last = driver.history("Shelf", "s1")[-1]
    assert last.refused is not None
    assert (last.how, last.refused.why, last.version, last.params) == ("refused", "guard", 1, {"units": 9})
    assert (last.before, last.after, last.set) == ("Open", "Open", {})


def test_who_it_was_is_journaled() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s1", "Close", replace(BOSS, acts_for="carla"))
    last = driver.history("Shelf", "s1")[-1]
    assert (last.actor, last.by.principal, last.by.roles, last.by.acts_for) == ("boss", "bob", ("boss",), "carla")
    denied = driver.act("Shelf", "s1", "Close")
    assert isinstance(denied, No)
    assert driver.history("Shelf", "s1")[-1].by.principal == "ann"


def test_of_what_does_not_exist_there_is_no_entry() -> None:
    """It would be nobody's history, and a door that is knocked at would fill the disk."""
    driver = Driver()
    answer = driver.act("Shelf", "none", "Take", units=1)
    assert isinstance(answer, No)
    assert answer.refused.why is Why.MISSING
    assert driver.store.last_seq() == 0


def test_parameters_of_the_wrong_type_are_refused_and_kept_out_of_the_journal() -> None:
    """They have no spelling."""
    driver = Driver()
    driver.purchase()
    answer = driver.act("Purchase", "p2", "Order", number=7, amount="much")
    assert isinstance(answer, No)
    assert answer.refused.why is Why.BAD_PARAMS
    assert driver.store.entries(2, 10)[0].params == {}


def test_creations_are_in_the_same_commit_and_know_their_cause() -> None:
    driver = Driver()
    done = driver.act("Purchase", "p1", "Order", number="n", amount=Decimal(1))
    assert isinstance(done, Done)
    assert done.entry is not None
    (slip,) = done.entries
    assert (slip.cause, slip.caused_by, slip.entity, slip.actor) == (Cause.CREATE, done.entry.event, "Slip", "system")
    assert driver.read("Slip", slip.id).fields == {"order": "n"}


def test_the_same_unique_twice_in_one_batch() -> None:
    """The second of two purchases under one number, though neither was in the store when they were asked for."""
    driver = Driver()
    order = {"number": "n", "amount": Decimal(1)}
    answers = driver.asks(
        driver.request("Purchase", "p1", "Order", **order), driver.request("Purchase", "p2", "Order", **order)
    )
    assert [type(answer) for answer in answers] == [Done, No]
    assert isinstance(answers[1], No)
    assert answers[1].refused.why is Why.NOT_UNIQUE


def test_ruling_23_a_final_entity_gives_its_unique_back() -> None:
    """Within the batch that makes it final, and after it."""
    driver = Driver()
    attempt = driver.paying("p1")
    order = {"number": "number-p1", "amount": Decimal(1)}
    assert isinstance(driver.act("Purchase", "p2", "Order", **order), No)
    driver.end(attempt, Ending.FAILED, kind="rejected")
    assert driver.read("Purchase", "p1").state == "Failed"
    assert isinstance(driver.act("Purchase", "p3", "Order", **order), Done)
    assert isinstance(driver.act("Purchase", "p4", "Order", **order), No)


@pytest.mark.parametrize("together", [True, False])
def test_ruling_22_the_same_creating_action_gives_the_entity_as_it_is(together: bool) -> None:
    """With other parameters it is refused; so it is after a restart."""
    driver = Driver()
    first = driver.request("Shelf", "s1", "Stock", name="nuts", stock=5)
    again = driver.request("Shelf", "s2", "Stock", name="nuts", stock=5)
    other = driver.request("Shelf", "s3", "Stock", name="nuts", stock=6)
    if together:
        answers = driver.asks(first, again, other)
    else:
        driver.asks(first)
        driver.restart()
        answers = (None, *driver.asks(again, other))
    assert isinstance(answers[1], Done)
    assert (answers[1].snapshot.id, answers[1].entry) == ("s1", None)
    assert isinstance(answers[2], No)
    assert answers[2].refused.why is Why.KEY
    assert driver.host.read("Shelf", "s2") is None


# --- terms ------------------------------------------------------------------------------------------------------------


def test_a_stale_caller_is_told_the_version() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    take = driver.request("Shelf", "s1", "Take", units=1)
    assert isinstance(driver.ask(replace(take, if_version=1)), Done)
    late = driver.ask(replace(driver.request("Shelf", "s1", "Take", units=1), if_version=1))
    assert isinstance(late, Conflict)
    assert late.actual_version == 2
    assert len(driver.history("Shelf", "s1")) == 2


def test_a_dry_run_says_what_would_be_and_does_nothing() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    would = driver.ask(replace(driver.request("Shelf", "s1", "Take", units=1), dry_run=True))
    assert isinstance(would, Done)
    assert would.entry is not None
    assert (would.snapshot.fields["stock"], would.entry.set) == (4, {"stock": 4})
    no = driver.ask(replace(driver.request("Shelf", "s1", "Take", units=9), dry_run=True))
    assert isinstance(no, No)
    assert driver.read("Shelf", "s1").fields["stock"] == 5
    assert driver.store.last_seq() == 1


@pytest.mark.parametrize("how", ["in one batch", "later", "after a restart"])
@pytest.mark.parametrize("units", [1, 9])
def test_the_same_key_gives_the_same_answer(how: str, units: int) -> None:
    """A yes (`units` 1) and a refusal (9) alike, whatever has happened to the entity meanwhile."""
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    first, again = (
        replace(driver.request("Shelf", "s1", "Take", units=units), key="ann:1", fingerprint="f") for _ in range(2)
    )
    if how == "in one batch":
        one, two = driver.asks(first, again)
    else:
        one = driver.ask(first)
        driver.act("Shelf", "s1", "Refill", units=2)
        if how == "after a restart":
            driver.restart()
        two = driver.ask(again)
    assert isinstance(one, Done | No)
    assert two == replace(one, replayed=True)
    assert len(driver.history("Shelf", "s1")) == (2 if how == "in one batch" else 3)


def test_the_same_key_gives_back_what_was_created_too() -> None:
    driver = Driver()
    order = replace(driver.request("Purchase", "p1", "Order", number="n", amount=Decimal(1)), key="k", fingerprint="f")
    first = driver.ask(order)
    assert isinstance(first, Done)
    assert len(first.entries) == 1
    driver.restart()
    assert driver.ask(order) == replace(first, replayed=True)


def test_a_key_for_something_else_is_a_conflict() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.ask(replace(driver.request("Shelf", "s1", "Take", units=1), key="k", fingerprint="f"))
    other = driver.ask(replace(driver.request("Shelf", "s1", "Take", units=2), key="k", fingerprint="g"))
    assert isinstance(other, Conflict)
    assert other.actual_version is None
    assert driver.read("Shelf", "s1").fields["stock"] == 4


# --- appends that fail ------------------------------------------------------------------------------------------------


class Failing(MemoryStore):
    """A store whose disk is full while `full` is set, or which does not know what it has done while `lost` is."""

    full = lost = False

    def append(self, batch: Batch) -> int:
        if self.full:
            raise StoreFault("the disk is full")
        if self.lost:
            super().append(batch)
            raise StoreFault("the connection broke during the commit", unknown=True)
        return super().append(batch)


def test_what_could_not_be_appended_did_not_happen() -> None:
    store = Failing()
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    store.full = True
    batch = driver.host.decide([driver.request("Shelf", "s1", "Take", units=1)], driver.at)
    with pytest.raises(StoreFault):
        store.append(batch)
    driver.host.abandon(batch)
    store.full = False
    assert driver.read("Shelf", "s1").fields["stock"] == 5
    driver.act("Shelf", "s1", "Take", units=2)
    assert driver.read("Shelf", "s1").fields["stock"] == 3


def test_an_append_of_unknown_fate_is_what_the_store_says_it_is() -> None:
    """It was done, though nobody could say so: the same key finds that out."""
    store = Failing()
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    store.lost = True
    take = replace(driver.request("Shelf", "s1", "Take", units=1), key="k", fingerprint="f")
    batch = driver.host.decide([take], driver.at)
    with pytest.raises(StoreFault):
        store.append(batch)
    driver.host.abandon(batch)
    store.lost = False
    assert driver.read("Shelf", "s1").fields["stock"] == 4
    again = driver.ask(take)
    assert isinstance(again, Done)
    assert (again.replayed, again.snapshot.version) == (True, 2)
    assert isinstance(driver.act("Shelf", "s1", "Take", units=1), Done)
    assert driver.folded()["Shelf", "s1"].fields["stock"] == 3


def test_more_entities_than_the_host_keeps_in_memory() -> None:
    driver = Driver(limits=Limits(snapshots_max=2))
    for number in range(5):
        driver.act("Shelf", f"s{number}", "Stock", name=f"n{number}", stock=number)
    assert [driver.read("Shelf", f"s{number}").fields["stock"] for number in range(5)] == list(range(5))
    assert len(driver.host._cache) == 2
