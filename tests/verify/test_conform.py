"""A journal is held against its table: what the kernel wrote conforms, and the first tampered entry is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.kernel import Cause, Entry, MemoryStore, RefusedEntry
from temper.table import Caller, Ending, Policy, digest
from temper.verify import conform
from temper.verify.simulate.run import one
from tests.kernel.driving import MANY, Driver
from tests.kernel.shop import SHOP, compiled
from tests.kernel.test_laws import STEPS, run
from tests.verify.exchange import EXCHANGE
from tests.verify.test_simulate import WORLDS, tables
from tests.verify.texts import table_of

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)


def journal(driver: Driver) -> list[Entry]:
    return list(driver.store.entries(0, MANY))


def shopping() -> Driver:
    """A shop in which a purchase was paid and shipped, and what another was told."""
    driver = Driver()
    driver.act("Shelf", "1", "Stock", name="1", stock=20)
    driver.purchase("p1", shelf="1")
    driver.act("Purchase", "p1", "Reserve", units=3)
    driver.settle()
    driver.act("Purchase", "p1", "Pay")
    driver.settle()
    driver.end(driver.attempts[-1], Ending.ANSWERED, receipt="r1")
    driver.settle()
    driver.act("Purchase", "p1", "Ship")
    driver.settle()
    driver.end(driver.attempts[-1], Ending.ANSWERED)
    driver.settle()
    driver.purchase("p2", shelf="1")
    driver.act("Purchase", "p2", "Pay")
    driver.wait(4_000_000)
    driver.act("Purchase", "p2", "Ship")
    return driver


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(st.lists(STEPS, max_size=30))
def test_what_the_kernel_wrote_conforms(steps: list[tuple[Any, ...]]) -> None:
    driver, _ = run(MemoryStore(), steps)
    for table in (driver.table, compiled(SHOP)):
        found = conform(table, journal(driver))
        assert found.gap is None, (found.gap.why, found.gap.entry)
        assert found.checked + found.taken == len(journal(driver))


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(st.lists(STEPS, max_size=25), st.sampled_from(["Shelf", "Purchase"]), st.sampled_from(["1", "2"]))
def test_a_part_of_a_journal_conforms_too(steps: list[tuple[Any, ...]], entity: str, id: str) -> None:
    driver, _ = run(MemoryStore(), [step for step in steps if step != ("swap",)])
    part = [entry for entry in journal(driver) if (entry.entity, entry.id) == (entity, id)]
    found = conform(driver.table, part, whole=False)
    assert found.gap is None, (found.gap.why, found.gap.entry)


def test_every_entry_was_explained() -> None:
    entries = journal(shopping())
    found = conform(compiled(SHOP), entries)
    assert (found.gap, found.taken, found.checked) == (None, 0, len(entries))
    assert len(entries) > 8


def where(entries: list[Entry], **like: Any) -> int:
    return next(n for n, entry in enumerate(entries) if all(getattr(entry, k) == v for k, v in like.items()))


def renumbered(entries: list[Entry]) -> list[Entry]:
    return [replace(entry, seq=number) for number, entry in enumerate(entries, 1)]


TAMPERED: list[tuple[str, dict[str, Any], Callable[[Entry], Entry], str]] = [
    ("a field", {"action": "Order"}, lambda e: replace(e, set={**e.set, "amount": "3"}), "sets `amount`"),
    ("a state", {"action": "Pay"}, lambda e: replace(e, after="Paid"), "not to `Paid`"),
    ("a state before", {"action": "Ship"}, lambda e: replace(e, before="Draft"), "not in `Draft`"),
    ("a case", {"action": "Pay"}, lambda e: replace(e, moves=(replace(e.moves[0], site="x"),)), "other cases"),
    ("an order", {"action": "Pay"}, lambda e: replace(e, orders=()), "orders call"),
    ("how", {"action": "Pay"}, lambda e: replace(e, how="late"), "it is late here"),
    ("a role", {"action": "Pay"}, lambda e: replace(e, actor="boss"), "as boss"),
    ("who", {"action": "Order"}, lambda e: replace(e, by=replace(e.by, roles=())), "refuses"),
]


@pytest.mark.parametrize(("what", "like", "change", "why"), TAMPERED, ids=[each[0] for each in TAMPERED])
def test_what_was_tampered_with_is_found(
    what: str, like: dict[str, Any], change: Callable[[Entry], Entry], why: str
) -> None:
    entries = journal(shopping())
    at = where(entries, **like)
    entries[at] = change(entries[at])
    gap = conform(compiled(SHOP), entries).gap
    assert gap is not None
    assert gap.index == at
    assert why in gap.why


def test_an_entry_that_is_missing_is_found_at_the_next() -> None:
    entries = journal(shopping())
    at = where(entries, action="Pay")
    gap = conform(compiled(SHOP), entries[:at] + entries[at + 1 :]).gap
    assert gap is not None
    assert (gap.index, gap.why) == (at, f"entry {at + 1} is missing before it")
    # Though the numbers hide it, the next entry of the same one does not follow.
    gap = conform(compiled(SHOP), renumbered(entries[:at] + entries[at + 1 :])).gap
    assert gap is not None
    assert (gap.entry.entity, gap.entry.id) == ("Purchase", entries[at].id)


def test_an_outcome_that_stands_twice_is_found_at_the_second() -> None:
    entries = journal(shopping())
    at = next(n for n, entry in enumerate(entries) if entry.ended is not None)
    twice = renumbered([*entries[: at + 1], replace(entries[at], version=entries[at].version + 1), *entries[at + 1 :]])
    gap = conform(compiled(SHOP), twice).gap
    assert gap is not None
    assert gap.index == at + 1
    assert "waits for an outcome" in gap.why


def test_a_move_that_no_case_allows_is_found_with_its_place() -> None:
    entries = journal(shopping())
    at = where(entries, action="Pay")
    forged = replace(entries[at], action="Ship", params={}, after="Shipping", orders=(), moves=())
    gap = conform(compiled(SHOP), renumbered([*entries[:at], forged])).gap
    assert gap is not None
    assert gap.index == at
    assert "refuses" in gap.why
    assert gap.site == "Purchase.Ship"


def test_what_a_part_does_not_hold_is_a_set_of_choices() -> None:
    """The journal begins while a call waits, and two calls of the tool could be the one."""
    table = table_of(
        """
        blueprint two

        role r

        tool t.do(n: int 0..9)
          timeout 1s

        entity E
          states A, B, C, D
          final D

          n: int 0..9 = 0

          action Make by r from new to A
          action Go by r
            from A to B
            from B to C

          in A, B on entry call t.do(n) then Yes else No
          late Yes, No ignore

          action Yes by system from A, B, C
            set n = 1
          action No by system from A, B, C to D
        """
    )
    driver = Driver(table)
    one = Caller("ann", frozenset({"r"}))
    driver.act("E", "e", "Make", one)
    driver.settle()
    first = driver.attempts[-1]
    driver.act("E", "e", "Go", one)
    driver.settle()
    driver.end(first, Ending.ANSWERED)  # Late: the visit is over.
    driver.end(driver.attempts[-1], Ending.ANSWERED)
    entries = [entry for entry in journal(driver) if entry.entity == "E"]
    assert conform(table, entries).gap is None
    part = [replace(entries[0], digest="another"), *entries[1:]]
    found = conform(table, part)
    assert (found.gap, found.taken) == (None, 1)
    # The table ignores what is late: an entry that says it was taken is explained by no choice.
    late = next(n for n, entry in enumerate(part) if entry.how == "ignored")
    part[late] = replace(part[late], how="dead")
    gap = conform(table, part).gap
    assert gap is not None
    assert gap.index == late


def test_amounts_are_decimals() -> None:
    driver = Driver()
    driver.act("Purchase", "1", "Order", number="1", amount=Decimal("2.50"), shelf=None)
    assert conform(compiled(SHOP), journal(driver)).gap is None


# --- several entities -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("world", WORLDS)
def test_what_was_simulated_conforms(world: str, seed: int) -> None:
    """Joints, creations, sends, `whenever`, crashes and swaps: what an entry does not say is a set of choices."""
    table, before = tables(world)
    entries = one(table, seed, before=before).world.disk.entries(0, MANY)
    found = conform(table, entries)
    assert found.gap is None, (found.gap.why, found.gap.entry)
    assert found.checked + found.taken == len(entries) > 0


def banking() -> list[Entry]:
    driver = Driver(compiled(EXCHANGE))
    for id in ("a", "b"):
        driver.act("Account", id, "Make", paid_in=9)
    driver.act("Teller", "t", "Come")
    driver.act("Teller", "t", "Move", giver="a", taker="b", amount=2)
    driver.act("Teller", "t", "Write", giver="b")
    return journal(driver)


def test_a_commit_of_several_is_explained_as_one() -> None:
    entries = banking()
    assert [entry.cause for entry in entries].count(Cause.WITH) == 3
    found = conform(compiled(EXCHANGE), entries)
    assert (found.gap, found.checked) == (None, len(entries))


@pytest.mark.parametrize("action", ["Withdraw", "Deposit"])
def test_who_was_taken_along_otherwise_is_found(action: str) -> None:
    entries = banking()
    at = where(entries, action=action)
    entries[at] = replace(entries[at], set={"balance": 1})
    gap = conform(compiled(EXCHANGE), entries).gap
    assert gap is not None
    assert gap.index == at
    assert "sets `balance` to" in gap.why
    entries = banking()
    del entries[at]
    gap = conform(compiled(EXCHANGE), renumbered(entries)).gap
    assert gap is not None
    assert "the table makes 3 entries of it, and here are 2" in gap.why


def test_a_gap_tells_what_the_entity_did_before() -> None:
    entries = banking()
    at = next(n for n, entry in enumerate(entries) if entry.action == "Write")
    entries[at] = replace(entries[at], set={"slips": 7})
    gap = conform(compiled(EXCHANGE), entries).gap
    assert gap is not None
    assert gap.before == ("entry 3, Come: new -> Here", "entry 4, Move: Here -> Here")


def test_a_journal_is_read_one_entry_after_the_other() -> None:
    """However long it is: no more than a commit is read ahead of what is explained."""
    table = compiled(EXCHANGE)
    driver = Driver(table)
    read = 0

    def endless() -> Iterator[Entry]:
        nonlocal read
        driver.act("Account", "a", "Make", paid_in=9)
        while True:
            driver.act("Account", "a", "Freeze", Caller("bob", frozenset({"auditor"})))
            driver.act("Account", "a", "Thaw", Caller("bob", frozenset({"auditor"})))
            for entry in driver.store.entries(read, 2):
                read += 1
                yield entry if entry.seq < 501 else replace(entry, after="Shut")

    gap = conform(table, endless()).gap
    assert gap is not None
    assert gap.entry.seq == 501
    assert read <= 502


OF_NONE = "it was refused by the policy `x`, which is none of the table's"


@pytest.mark.parametrize(
    ("no", "why"),
    [
        (RefusedEntry("policy", "not on Sundays", "policy/sundays", ("sundays",)), None),
        (RefusedEntry("policy", "no", "policy/x", ("x",)), OF_NONE),
        (RefusedEntry("paused", "ann has paused it"), None),
        (RefusedEntry("guard", "no"), "it was refused, and the table takes it: to `Paying`"),
    ],
)  # fmt: skip
def test_what_a_policy_refused_is_believed_where_there_is_such_a_policy(no: RefusedEntry, why: str | None) -> None:
    """What policies look at is not all in a journal."""
    entries = journal(shopping())
    place = next(place for place, each in enumerate(entries) if each.action == "Pay")
    entry = entries[place]
    told = replace(
        entry,
        how="refused",
        refused=no,
        after=entry.before,
        version=entry.version - 1,
        set={},
        was={},
        orders=(),
        moves=(),
    )
    table = replace(compiled(SHOP), policies=(Policy("sundays", "policy/sundays", "forbid", "", "{}"),))
    told_of = [replace(each, digest=digest(table)) for each in (*entries[:place], told)]
    found = conform(table, told_of)
    assert (found.gap.why if found.gap is not None else None) == why
