"""Several hosts over one store: what one decides rests on what it read, and is decided again where others came between.

The store is in memory and shared; each space has its own host, cache and queue, as servers of one space have.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from temper.kernel import Batch, Contended, Done, Host, MemoryStore, No, Request, Stale
from temper.runtime import found
from temper.table import Act
from tests.kernel.driving import MANY
from tests.kernel.shop import CLERK, compiled, counted, version
from tests.runtime.living import Space, space

BANK = """
blueprint bank

role clerk

entity Account
  states Open, Closed
  final Closed
  balance: int 0.. = 0

  action Make(balance) by clerk from new to Open
    set balance
  action Pay(to: Account, amount: int 1..) by clerk from Open
    when amount <= balance else "not enough"
    set balance -= amount
    with to.Receive(amount)
  action Receive(amount: int 1..) by system from Open
    set balance += amount
  action Close by clerk from Open to Closed

entity Promise
  states Given, Kept
  final Kept
  account: Account
  action Give(account) by clerk from new to Given
    set account
  action Keep by clerk from Given to Kept
    when account.balance >= 10 else "not enough there"

entity Club
  states Open
  seats: every Seat.club max 3
  action Found by clerk from new to Open
  action Admit by clerk from Open
    when size(seats) < 2 else "full"
    create Seat.Take(this)

entity Seat
  states Taken
  club: Club
  action Take(club) by system, clerk from new to Taken
    set club
"""


def act(host: Host, entity: str, id: str, action: str, **params: Any) -> Request:
    return Request(Act(host.ids(), 1_000, action, params, CLERK, entity, id), entity, id)


def hosts(number: int) -> list[Host]:
    table = compiled(BANK)
    store = MemoryStore(shared=True)
    found(store, version(table))
    ids = counted()
    return [Host(table, store, ids=ids) for _ in range(number)]


def appended(host: Host, batch: Batch) -> None:
    host.store.append(batch)
    host.adopt(batch)


def does(host: Host, entity: str, id: str, action: str, **params: Any) -> None:
    batch = host.decide([act(host, entity, id, action, **params)], 1_000)
    assert isinstance(batch.answers[0], Done), batch.answers
    appended(host, batch)


@pytest.mark.parametrize(
    ("mine", "theirs", "stale"),
    [
        # What is written.
        (("Account", "a", "Pay", {"to": "b", "amount": 5}), ("Account", "a", "Pay", {"to": "c", "amount": 9}), True),
        # What is taken along.
        (("Account", "a", "Pay", {"to": "b", "amount": 5}), ("Account", "b", "Pay", {"to": "c", "amount": 1}), True),
        # What is read through a reference.
        (("Promise", "p", "Keep", {}), ("Account", "a", "Pay", {"to": "b", "amount": 5}), True),
        # A set of those who refer to it.
        (("Club", "k", "Admit", {}), ("Seat", "s", "Take", {"club": "k"}), True),
        (("Club", "k", "Admit", {}), ("Seat", "s", "Take", {"club": "l"}), False),
        # One that there was not.
        (("Account", "n", "Make", {"balance": 1}), ("Account", "n", "Make", {"balance": 2}), True),
        # Nothing in common.
        (("Account", "a", "Pay", {"to": "b", "amount": 5}), ("Account", "c", "Pay", {"to": "d", "amount": 1}), False),
        (("Club", "k", "Admit", {}), ("Club", "l", "Admit", {}), False),
    ],
)
def test_what_others_changed_is_found_at_the_append(
    mine: tuple[str, str, str, dict[str, Any]], theirs: tuple[str, str, str, dict[str, Any]], stale: bool
) -> None:
    ours, other = hosts(2)
    for id in ("a", "b", "c", "d"):
        does(ours, "Account", id, "Make", balance=10)
    does(ours, "Promise", "p", "Give", account="a")
    for id in ("k", "l"):
        does(ours, "Club", id, "Found")
    decided = ours.decide([act(ours, *mine[:3], **mine[3])], 1_000)
    does(other, *theirs[:3], **theirs[3])
    if not stale:
        appended(ours, decided)
        return
    with pytest.raises(Stale) as found_stale:
        ours.store.append(decided)
    ours.abandon(decided)
    ours.forget(found_stale.value.names)
    again = ours.decide([act(ours, *mine[:3], **mine[3])], 1_000)
    appended(ours, again)


async def test_money_is_kept_while_several_hosts_move_it() -> None:
    """Eight clients at three hosts: who is told yes has moved it, and the sum is what it was."""
    async with AsyncExitStack() as stack:
        spaces = await three(stack)
        for number in range(4):
            await spaces[0].done("Account", f"a{number}", "Make", balance=20)
        paid: list[int] = []

        async def client(seed: int) -> None:
            for turn in range(12):
                here = spaces[(seed + turn) % 3]
                source, target = f"a{(seed + turn) % 4}", f"a{(seed * 3 + turn + 1) % 4}"
                if source == target:
                    continue
                answer = await here.act("Account", source, "Pay", to=target, amount=1 + turn % 5)
                assert isinstance(answer, Done | No | Contended), answer
                if isinstance(answer, Done):
                    paid.append(1)
                await asyncio.sleep(0)

        await asyncio.gather(*[client(seed) for seed in range(8)])
        balances = [spaces[1].now("Account", f"a{number}").fields["balance"] for number in range(4)]
        assert sum(int(str(balance)) for balance in balances) == 80
        entries = spaces[2].live.store.entries(0, MANY)
        assert sum(entry.action == "Pay" and entry.how != "refused" for entry in entries) == len(paid) > 20


async def test_whoever_had_an_answer_reads_it_everywhere() -> None:
    async with AsyncExitStack() as stack:
        one, two, _ = await three(stack)
        await one.done("Account", "a", "Make", balance=3)
        await one.done("Account", "b", "Make", balance=0)
        assert two.now("Account", "b").fields["balance"] == 0
        await one.done("Account", "a", "Pay", to="b", amount=3)
        assert two.now("Account", "b").fields["balance"] == 3


class Contested(MemoryStore):
    """A store to which others always write first."""

    def append(self, batch: Batch) -> int:
        if any(change.entries for change in batch.changes):
            raise Stale("what it reads has changed")
        return super().append(batch)


async def test_who_never_gets_through_is_told_so() -> None:
    async with space(store=Contested(shared=True), table=compiled(BANK)) as one:
        answer = await one.act("Account", "a", "Make", balance=1)
        assert answer == Contended(1_000)


async def three(stack: AsyncExitStack) -> list[Space]:
    store = MemoryStore(shared=True)
    table = compiled(BANK)
    found(store, version(table))
    return [await stack.enter_async_context(space(store=store, table=table)) for _ in range(3)]
