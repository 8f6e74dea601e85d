"""The office among the servers of a PostgreSQL: one office, whoever is asked."""

from __future__ import annotations

import asyncio

from temper.kernel import No, Request
from temper.runtime import new_id
from temper.service import Declined, Person, Workshop
from temper.table import Act
from tests.service.office import ADMIN, ANN, BOT, EVE, MAX, SHIP, decision_of, refused
from tests.service.test_cluster_verbs import PARTS, Shops, shops, until

__all__ = ["shops"]
NOTES = {"notes": "fixes"}


async def two(shops: Shops) -> tuple[Workshop, Workshop]:
    """Two servers, each with its share of the releases."""
    one = await shops.open("one")
    await one.push(ADMIN, "ship", SHIP)
    two = await shops.open("two")
    await until(lambda: [_share(shop) for shop in (one, two)] == [PARTS // 2, PARTS // 2])
    return one, two


def _share(shop: Workshop) -> int:
    space = shop._spaces.get("ship")
    member = space.member if space is not None else None
    return len(member.database.leases.held) if member is not None else 0


def home(shop: Workshop, start: int = 0) -> str:
    """Return an id of a release that the server decides for."""
    member = shop._spaces["ship"].member
    assert member is not None
    return next(id for id in (f"r{n}" for n in range(start, start + 1_000)) if member.home("Release", id) is None)


async def test_what_is_paused_at_one_is_so_at_all_by_the_time_of_the_answer(shops: Shops) -> None:
    one, other = await two(shops)
    mine, theirs = home(one), home(other)
    await one.create(ANN, "ship", "Release", None, {"id": mine})
    await other.create(ANN, "ship", "Release", None, {"id": theirs})

    async def touch(shop: Workshop, id: str, done: list[int]) -> str:
        while True:
            try:
                made = await shop.act(BOT, "ship", "Release", id, "Touch", {})
            except Declined as declined:
                return declined.problem.type
            done.append(made.entity.version)

    async def versions() -> list[int]:
        return [(await one.read(ANN, "ship", "Release", id)).version for id in (mine, theirs)]

    here: list[int] = []
    there: list[int] = []
    running = [asyncio.create_task(touch(one, mine, here)), asyncio.create_task(touch(other, theirs, there))]
    await until(lambda: len(here) > 2 and len(there) > 2)
    paused = await one.pauses.pause(ADMIN, "principal", "bot", reason="stop")
    by_then = await versions()
    assert await asyncio.gather(*running) == ["paused", "paused"]
    assert await versions() == by_then
    assert (await refused(other.act(BOT, "ship", "Release", theirs, "Touch", {}))).type == "paused"
    keeper = one if _ours(one, paused.id) else other
    await keeper.pauses.resume(ADMIN, paused.id)
    await until(lambda: not one.office.pauses and not other.office.pauses)
    await other.act(BOT, "ship", "Release", theirs, "Touch", {})


def _ours(shop: Workshop, pause: str) -> bool:
    space = shop.office.space
    assert space is not None and space.member is not None
    return space.member.home("Pause", pause) is None


async def test_a_decision_is_seen_and_done_whoever_has_the_entity(shops: Shops) -> None:
    """The office's own share and that of a blueprint need not be one server's."""
    one, other = await two(shops)
    id = home(other)
    await other.create(ANN, "ship", "Release", None, {"id": id})
    # As it comes to be when a share passes to another server: the decision is here, the entity there.
    space = one._spaces["ship"]
    event = Act(new_id(), one.clock.now(), "Move", {"by_": 3}, EVE.caller, "Release", id)
    answer = await space.live.submit(Request(event, "Release", id, dry_run=True))
    assert isinstance(answer, No)
    decision = await one.decisions.appeals._asked(space, EVE, Request(event, "Release", id), answer)
    assert decision is not None
    assert (await one.decisions.decision(MAX, decision)).may_answer
    await until(lambda: other.office.space is not None)
    assert (await other.decisions.decision(MAX, decision)).may_answer
    done = await one.decisions.answer(MAX, decision, "grant")
    assert done.state == "CarriedOut"
    assert (await other.read(ANN, "ship", "Release", id)).fields["moves"] == 3
    entries = await other.history(ANN, "ship", "Release", id)
    assert [each.action for each in entries if each.how == "taken"] == ["Make", "Move"]


async def test_a_grant_is_used_up_once_whichever_server_is_asked(shops: Shops) -> None:
    one, other = await two(shops)
    mine, theirs = home(one), home(other)
    await one.create(ANN, "ship", "Release", None, {"id": mine})
    await other.create(ANN, "ship", "Release", None, {"id": theirs})
    decision = await decision_of(one.act(EVE, "ship", "Release", mine, "Move", {"by_": 1}))
    await one.decisions.answer(MAX, decision, "grant", scope_of="action", uses=3)
    await until(lambda: "eve" in other.office.grants)
    found = await asyncio.gather(
        *(one.act(EVE, "ship", "Release", mine, "Move", {"by_": 1}) for _ in range(4)),
        *(other.act(EVE, "ship", "Release", theirs, "Move", {"by_": 1}) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, BaseException) for each in found) == 3
    moves = [(await one.read(ANN, "ship", "Release", id)).fields["moves"] for id in (mine, theirs)]
    assert sum(moves) == 4


def _has_some_of_the_office(shop: Workshop) -> bool:
    space = shop.office.space
    return space is not None and space.member is not None and bool(space.member.database.leases.held)


async def kept_by_both(one: Workshop, other: Workshop, eve: Person, max_: Person) -> tuple[list[str], list[str]]:
    """Return decisions that wait, and grants, each of which the first or the second server keeps."""
    await one.office.opened()
    await until(lambda: all(_has_some_of_the_office(shop) for shop in (one, other)))
    waiting, grants = [], []
    for shop in (one, other):
        ids = [home(shop), home(shop, 500)]
        for id in ids:
            await shop.create(ANN, "ship", "Release", None, {"id": id})
        waiting.append(await decision_of(shop.act(eve, "ship", "Release", ids[0], "Move", {"by_": 1})))
        asked = await decision_of(shop.act(eve, "ship", "Release", ids[1], "Move", {"by_": 1}))
        held = await shop.decisions.answer(max_, asked, "grant", scope_of="entity", uses=9)
        assert held.grant is not None
        grants.append(held.grant)
    await until(lambda: all(len(shop.office.grants.get("eve", {})) == 2 for shop in (one, other)))
    return waiting, grants


async def is_over(shops: tuple[Workshop, ...], waiting: list[str], grants: list[str], how: str) -> None:
    """Hold that none of these counts at any server, and that whoever keeps each has noted it before long."""
    for shop in shops:
        assert await shop.decisions.grants.listed(ADMIN) == ()
        for id in waiting:
            assert (await shop.decisions.decision(ADMIN, id)).state == "Stale"
    await until(lambda: not any(shop.office.grants for shop in shops))
    for id in grants:
        now = await shops[0].office.read("Grant", id)
        assert now is not None
        assert now.state == how
    for id in waiting:
        now = await shops[0].office.read("Decision", id)
        assert now is not None
        assert now.state == "Stale"


async def test_what_was_asked_for_before_a_push_and_a_rollback_counts_at_no_server(shops: Shops) -> None:
    one, other = await two(shops)
    waiting, grants = await kept_by_both(one, other, EVE, MAX)
    turned = SHIP["ship.blueprint"] + "\n  action Turn by builder from Ready, Live\n"
    await one.push(ADMIN, "ship", {**SHIP, "ship.blueprint": turned})
    await one.rollback(ADMIN, "ship", 1)
    await until(lambda: other._spaces["ship"].version.number == 3)
    await is_over((one, other), waiting, grants, "Outdated")


async def test_what_stands_by_a_revoked_token_counts_at_no_server(shops: Shops) -> None:
    one, other = await two(shops)
    eve = one.authenticate(one.make_token(ADMIN, "eve", ("builder",)).token)
    waiting, grants = await kept_by_both(one, other, eve, MAX)
    assert eve.token is not None
    revoked = await one.revoke_token(ADMIN, eve.token)
    assert (set(revoked.decisions), set(revoked.grants)) == (set(waiting), set(grants))
    await is_over((one, other), waiting, grants, "Revoked")
