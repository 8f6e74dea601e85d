"""A workshop for tests of the office: a blueprint whose releases somebody has to approve, pushed once and copied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import anyio
import pytest

from temper.runtime import Attempt, Call
from temper.service import Declined, Person, Workshop, wire
from temper.service.decisions import CARRY_OUT
from temper.service.settings import PushSection
from tests.service.shop import Prepared, copied, opened

SHIP = {
    "ship.blueprint": """\
blueprint ship

role builder, manager

tool port.sail(name: string)
  timeout 10s
  idempotent

entity Release
  states Ready, Live, Gone
  final Gone

  notes: string = ""
  moves: int 0..1000 = 0

  action Make by builder from new to Ready

  # A policy keeps agents from it.
  action Promote(notes) by builder from Ready to Live
    set notes

  # Nobody but a manager.
  action Move(by_: int 1..9) by manager from Ready, Live
    when moves + by_ <= 20 else "it has moved far enough"
    set moves += by_

  # Nobody but a manager, and no policy lets anybody approve it.
  action End by manager from Ready, Live to Gone

  action Sail by builder from Live
    call port.sail(id) then _ else _

  action Touch by builder from Ready, Live

  in Ready
    after 10m do Forget

  action Forget by system from Ready to Gone
""",
    "ship.cedar": """\
@id("no-agents")
@else("an agent does not promote by itself")
forbid (principal, action == ship::Action::"Release.Promote", resource)
when { principal.agent };

@id("managers-approve")
permit (
  principal in temper::Role::"manager",
  action in [ship::Action::"Release.Promote.approve", ship::Action::"Release.Move.approve"],
  resource
);

@id("builders-approve-new-ones")
permit (principal in temper::Role::"builder", action == ship::Action::"Release.Make.approve", resource);
""",
}

ADMIN = Person("root", admin=True)
ANN = Person("ann", frozenset({"builder"}))
BOT = Person("bot", frozenset({"builder"}), acts_for="ann", session="s1")
MAX = Person("max", frozenset({"manager"}))
MIA = Person("mia", frozenset({"manager"}))
# An agent of the manager's, and a manager for whom the agent acts.
MAXBOT = Person("maxbot", frozenset({"manager"}), acts_for="max")
ANN_MANAGES = Person("ann", frozenset({"manager"}))
BOT_MANAGES = Person("bot2", frozenset({"manager"}), acts_for="ann")
EVE = Person("eve", frozenset({"builder"}))


PUSH = PushSection(levels=("algebra",), allow_unknown=True)


async def prepare_ship(folder: Path) -> Prepared:
    """Push the releases into a new data folder."""
    async with opened(folder, push=PUSH) as workshop:
        token = workshop.first_token
        assert token is not None
        await workshop.push(ADMIN, "ship", SHIP)
    return Prepared(folder, token)


async def ready(shop: Workshop, id: str = "r1") -> None:
    """Make a release."""
    await shop.create(ANN, "ship", "Release", None, {"id": id})


async def refused(asked: Awaitable[Any]) -> wire.Problem:
    """Return the problem with which a verb was declined."""
    with pytest.raises(Declined) as caught:
        await asked
    return caught.value.problem


async def decision_of(asked: Awaitable[Any]) -> str:
    """Return the decision that a request has become."""
    problem = await refused(asked)
    assert (problem.type, problem.status) == ("needs-approval", 403), problem
    return problem.decision


def held_up(shop: Workshop) -> tuple[asyncio.Event, asyncio.Event]:
    """Keep what is granted from being carried out, from when the first event is set until the second is."""
    carry = shop.decisions.adapters[CARRY_OUT]
    begun, held = asyncio.Event(), asyncio.Event()

    class Slow:
        async def call(self, call: Call) -> Attempt:
            begun.set()
            await held.wait()
            return await carry.call(call)

        async def close(self) -> None: ...

    assert shop.office.space is not None
    shop.office.space.live.bind({CARRY_OUT: Slow()})
    return begun, held


async def lines(shop: Workshop, id: str = "r1") -> list[str]:
    """Return the history of a release, as lines."""
    return [entry.text for entry in await shop.history(ANN, "ship", "Release", id)]


@pytest.fixture(scope="session")
def docks(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The releases, pushed through the real verifier."""
    return anyio.run(prepare_ship, tmp_path_factory.mktemp("docks") / "data")


@pytest.fixture
async def shop(docks: Prepared, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A workshop of its own for one test, with one release."""
    async with opened(copied(docks, tmp_path / "data"), push=PUSH) as workshop:
        await ready(workshop)
        yield workshop
