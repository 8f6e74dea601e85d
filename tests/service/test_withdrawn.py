"""What stands by a token, and ends with it: requests that wait, grants to whoever bore it, and grants that it gave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from temper.kernel import StoreFault
from temper.runtime import TokenStore
from temper.service import Declined, Person, SessionWanted, Workshop
from tests.service.office import ADMIN, PUSH, SHIP, decision_of, docks, held_up, ready, refused, shop
from tests.service.shop import Prepared, copied, opened

__all__ = ["docks", "shop"]

NOTES = {"notes": "fixes"}


def bearer(shop: Workshop, principal: str, *roles: str, **more: Any) -> Person:
    return shop.authenticate(shop.make_token(ADMIN, principal, roles, **more).token)


async def session(shop: Workshop, of: Person, name: str, **more: Any) -> Person:
    return shop.authenticate((await shop.start_session(of, SessionWanted(name, **more))).token)


async def moves(shop: Workshop, who: Person, by: int = 1, id: str = "r1") -> str:
    """Ask for a move, and return the decision that it becomes."""
    return await decision_of(shop.act(who, "ship", "Release", id, "Move", {"by_": by}))


async def granted(shop: Workshop, giver: Person, to: Person, **more: Any) -> str:
    """Have something asked for and granted, five times more, and return the grant."""
    held = await shop.decisions.answer(giver, await moves(shop, to), "grant", scope_of="entity", uses=5, **more)
    assert held.grant is not None
    return held.grant


async def state(shop: Workshop, id: str) -> tuple[str, str | None]:
    held = await shop.decisions.decision(ADMIN, id)
    return held.state, held.outcome


async def grant_state(shop: Workshop, id: str) -> tuple[Any, ...]:
    now = await shop.office.read("Grant", id)
    assert now is not None
    return now.state, now.fields["ended_by"], now.fields["reason"]


OVER = "a token by which it stood has been revoked"


# --- so many for each -------------------------------------------------------------------------------------------------


async def test_sessions_without_end_ask_for_no_more_than_one(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH, decisions=2) as shop:
        await ready(shop)
        bot, ann = bearer(shop, "bot", "builder", acts_for="ann"), bearer(shop, "ann", "builder")
        helper = await session(shop, bot, "s1")
        first = await moves(shop, helper)
        await moves(shop, await session(shop, helper, "s2"))
        for late in (bot, await session(shop, bot, "s3"), await session(shop, helper, "s4")):
            problem = await refused(shop.act(late, "ship", "Release", "r1", "Move", {"by_": 1}))
            assert (problem.type, problem.status) == ("too-many", 429)
            assert (
                problem.detail
                == "2 requests of `bot` for `ann`, its sessions counted with it, wait for an answer already"
            )
        # Neither the person behind nor whom else it acts for is kept from asking by that.
        await moves(shop, ann)
        await moves(shop, bearer(shop, "bot", "builder", acts_for="eve"))
        await shop.decisions.withdraw(ann, first)
        await moves(shop, await session(shop, bot, "s5"))


async def test_sessions_without_end_hold_no_more_grants_than_one(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH, grants=1) as shop:
        await ready(shop)
        bot, boss = bearer(shop, "bot", "builder", acts_for="ann"), bearer(shop, "max", "manager")
        one, other = await session(shop, bot, "s1"), await session(shop, bot, "s2")
        grant = await granted(shop, boss, one)
        late = await moves(shop, other)
        problem = await refused(shop.decisions.answer(boss, late, "grant", scope_of="entity"))
        assert (problem.type, problem.status) == ("too-many", 429)
        await shop.decisions.grants.revoke(boss, grant)
        assert (await shop.decisions.answer(boss, late, "grant", scope_of="entity")).grant is not None


async def test_of_many_that_ask_at_once_no_more_find_room(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH, decisions=3, grants=2) as shop:
        await ready(shop)
        eve, boss = bearer(shop, "eve", "builder"), bearer(shop, "max", "manager")
        asked = await asyncio.gather(*(moves(shop, eve, by) for by in range(1, 10)), return_exceptions=True)
        waiting = [each for each in asked if isinstance(each, str)]
        assert len(waiting) == 3
        for id in waiting:
            await shop.decisions.withdraw(eve, id)
        for id in ("r2", "r3"):
            await ready(shop, id)
        ids = [await moves(shop, eve, 1, id) for id in ("r1", "r2", "r3")]
        given = await asyncio.gather(
            *(shop.decisions.answer(boss, id, "grant", scope_of="entity") for id in ids), return_exceptions=True
        )
        assert sum(isinstance(each, Declined) and each.problem.type == "too-many" for each in given) == 1
        assert len(await shop.decisions.grants.listed(ADMIN)) == 2


async def test_what_waits_for_nothing_any_more_takes_no_room(docks: Prepared, tmp_path: Path) -> None:
    """Though nobody has looked at it since."""
    async with opened(copied(docks, tmp_path / "data"), push=PUSH, decisions=1) as shop:
        eve, ann = bearer(shop, "eve", "builder"), bearer(shop, "ann", "builder")
        await ready(shop)
        first = await moves(shop, eve)
        await shop.act(ann, "ship", "Release", "r1", "Touch", {})
        second = await moves(shop, eve)
        assert [(await state(shop, id))[0] for id in (first, second)] == ["Stale", "Pending"]


# --- a token that is revoked, and a session that ends -----------------------------------------------------------------


async def test_with_a_token_ends_what_was_asked_and_granted_by_it_and_its_sessions(shop: Workshop) -> None:
    bot, boss = bearer(shop, "bot", "builder", acts_for="ann"), bearer(shop, "max", "manager")
    other, eve = bearer(shop, "mia", "manager"), bearer(shop, "eve", "builder")
    helper = await session(shop, bot, "s1")
    held = await granted(shop, boss, helper)
    spared = await granted(shop, other, eve)
    await ready(shop, "r2")
    waiting = [await moves(shop, bot, 2, "r2"), await moves(shop, helper, 2, "r2")]
    mine = await moves(shop, eve, 2, "r2")
    assert bot.token is not None
    revoked = await shop.revoke_token(ADMIN, bot.token)
    assert (set(revoked.decisions), revoked.grants) == (set(waiting), (held,))
    for id in waiting:
        ended, outcome = await state(shop, id)
        assert ended == "Stale"
        assert outcome is not None
        assert outcome.endswith("with which it was asked for, has been revoked")
    assert await grant_state(shop, held) == ("Revoked", "root", OVER)
    assert (await state(shop, mine))[0] == "Pending"
    assert [each.id for each in await shop.decisions.grants.listed(ADMIN)] == [spared]
    assert (await refused(shop.decisions.answer(boss, waiting[0], "grant"))).type == "conflict"
    # Whoever bears another token of the same principal asks anew.
    assert await moves(shop, bearer(shop, "bot", "builder", acts_for="ann"), 2, "r2") not in waiting


async def test_with_a_givers_token_ends_what_it_has_given(shop: Workshop) -> None:
    boss, eve = bearer(shop, "max", "manager"), bearer(shop, "eve", "builder")
    theirs = await session(shop, boss, "phone")
    grants = [await granted(shop, boss, eve), await granted(shop, theirs, bearer(shop, "eva", "builder"))]
    await shop.act(eve, "ship", "Release", "r1", "Move", {"by_": 1})
    assert boss.token is not None
    revoked = await shop.revoke_token(ADMIN, boss.token)
    assert (revoked.decisions, set(revoked.grants)) == ((), set(grants))
    assert await shop.decisions.grants.listed(ADMIN) == ()
    await moves(shop, eve)


async def test_with_a_session_ends_what_it_has_asked_for(shop: Workshop) -> None:
    ann, boss = bearer(shop, "ann", "builder"), bearer(shop, "max", "manager")
    bot = await session(shop, ann, "bot")
    await ready(shop, "r2")
    grant, waiting = await granted(shop, boss, bot), await moves(shop, bot, 2, "r2")
    assert bot.token is not None
    ended = await shop.end_session(ann, bot.token)
    assert (ended.revoked, ended.decisions, ended.grants) == (True, (waiting,), (grant,))
    assert await grant_state(shop, grant) == ("Revoked", "ann", OVER)


async def test_what_is_revoked_beside_the_server_lets_nothing_through_either(shop: Workshop) -> None:
    """`temper token revoke` in the folder tells no server: what stands by the token is looked at when it matters."""
    boss, eve = bearer(shop, "max", "manager"), bearer(shop, "eve", "builder")
    await granted(shop, boss, eve)
    waiting = await moves(shop, bearer(shop, "eva", "builder"), 2)
    beside = TokenStore(shop.loaded.data / "tokens.db")
    try:
        for row in beside.all():
            if row.principal in ("max", "eva"):
                beside.revoke(row.id, at=shop.clock.now())
    finally:
        beside.close()
    assert await shop.decisions.grants.listed(ADMIN) == ()
    await moves(shop, eve, 2)
    assert (await state(shop, waiting))[0] == "Stale"


async def test_a_token_is_revoked_though_the_office_can_t_be_read(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = bearer(shop, "eve", "builder")
    await moves(shop, eve)
    space = shop.office.space
    assert space is not None

    def broken(*_: Any, **__: Any) -> None:
        raise StoreFault("the disk is gone")

    with monkeypatch.context() as gone:
        gone.setattr(type(space.store), "list", broken)
        assert (await refused(shop.revoke_token(ADMIN, eve.token or ""))).type == "unavailable"
    assert shop._tokens.store.revoked(eve.token or ""), "it lets nobody in, whatever else is not known"


@pytest.mark.parametrize("whose", ["eve", "max"])
async def test_nothing_is_carried_out_for_or_by_whoever_was_thrown_out(shop: Workshop, whose: str) -> None:
    """Even where somebody had said yes before, and it was not done yet."""
    people = {"eve": bearer(shop, "eve", "builder"), "max": bearer(shop, "max", "manager")}
    id = await moves(shop, people["eve"])
    begun, held = held_up(shop)
    answering = asyncio.create_task(shop.decisions.answer(people["max"], id, "grant"))
    await begun.wait()
    await shop.revoke_token(ADMIN, people[whose].token or "")
    held.set()
    assert (await answering).state == "Stale"
    assert (await shop.read(ADMIN, "ship", "Release", "r1")).fields["moves"] == 0


async def test_what_waits_and_what_is_granted_ends_with_the_token_at_its_time(shop: Workshop) -> None:
    ann, boss = bearer(shop, "ann", "builder"), bearer(shop, "max", "manager")
    bot = await session(shop, ann, "bot", ttl_ms=60_000)
    await ready(shop, "r2")
    grant, waiting = await granted(shop, boss, bot), await moves(shop, bot, 2, "r2")
    assert bot.expires_at is not None
    held = await shop.decisions.decision(ann, waiting)
    (listed,) = await shop.decisions.grants.listed(ann)
    assert (listed.id, listed.until, held.expires_at) == (grant, held.expires_at, held.expires_at)


async def test_a_rotated_token_goes_on(shop: Workshop) -> None:
    boss, eve = bearer(shop, "max", "manager"), bearer(shop, "eve", "builder")
    await granted(shop, boss, eve)
    waiting = await moves(shop, bearer(shop, "eva", "builder"), 2)
    for person in (boss, eve):
        await shop.rotate_token(ADMIN, person.token or "")
    await shop.act(eve, "ship", "Release", "r1", "Touch", {})
    assert len(await shop.decisions.grants.listed(ADMIN)) == 1
    assert "version" in str((await state(shop, waiting))[1]), "it went stale by the entity alone"


# --- those behind -----------------------------------------------------------------------------------------------------


async def test_who_stands_behind_a_session_sees_and_withdraws_what_it_asks_for(shop: Workshop) -> None:
    bot, ann = bearer(shop, "bot", "builder", acts_for="ann"), bearer(shop, "ann", "builder")
    one = await session(shop, bot, "s1")
    helper, sibling = await session(shop, one, "s2"), await session(shop, bot, "s3")
    for person in (ann, bot, one, helper):
        id = await moves(shop, helper)
        assert [each.id for each in (await shop.decisions.listed(person, state="Pending")).items] == [id]
        problem = await refused(shop.decisions.withdraw(sibling, id))
        assert (problem.type, problem.status) == ("denied", 403)
        assert (await shop.decisions.withdraw(person, id)).state == "Withdrawn"


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_a_grant_is_of_the_policy_that_its_giver_was_shown(shop: Workshop) -> None:
    """However another policy is called that refuses the same afterwards."""
    bot, boss = bearer(shop, "bot", "builder", acts_for="ann"), bearer(shop, "max", "manager")
    await shop.push(ADMIN, "ship", SHIP | {"ship.cedar": SHIP["ship.cedar"] + STILL})

    def touching() -> Awaitable[Any]:
        return shop.act(bot, "ship", "Release", "r1", "Touch", {})

    id = await decision_of(touching())
    held = await shop.decisions.answer(boss, id, "grant", scope_of="entity", uses=9, across_versions=True)
    await touching()
    # Another version, with the same policy: the grant is for it, too.
    await shop.push(ADMIN, "ship", SHIP | {"ship.cedar": SHIP["ship.cedar"] + STILL + AND_EVE})
    await touching()
    assert held.grant is not None
    # The same name, for another reason.
    await shop.push(ADMIN, "ship", SHIP | {"ship.cedar": SHIP["ship.cedar"] + STILL.replace("stands", "is sealed")})
    assert (await grant_state(shop, held.grant))[0] == "Outdated"
    assert await decision_of(touching()) != id


STILL = """
@id("still")
@else("it stands")
forbid (principal == temper::Principal::"bot", action == ship::Action::"Release.Touch", resource);

permit (principal in temper::Role::"manager", action == ship::Action::"Release.Touch.approve", resource);
"""

AND_EVE = """
@id("no-eve")
forbid (principal == temper::Principal::"eve", action == ship::Action::"Release.Touch", resource);
"""


async def test_another_version_that_is_like_the_first_is_another(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, eve = bearer(shop, "max", "manager"), bearer(shop, "eve", "builder")
    await ready(shop, "r2")
    grant = await granted(shop, boss, eve)
    waiting = await moves(shop, eve, 2, "r2")
    # Of a server that another one has told nothing yet: only the numbers have moved on.
    with monkeypatch.context() as deaf:
        deaf.setattr(shop.decisions, "tidy", _nothing)
        await shop.push(ADMIN, "ship", SHIP | {"ship.cedar": SHIP["ship.cedar"] + AND_EVE})
        await shop.push(ADMIN, "ship", SHIP)
    assert (await state(shop, waiting)) == ("Stale", "version 3 of `ship` is in force by now")
    assert await shop.decisions.grants.listed(ADMIN) == ()
    assert await moves(shop, eve, 2, "r2") != waiting
    await shop.decisions.tidy()
    assert (await grant_state(shop, grant))[::2] == ("Outdated", "version 3 of `ship` is in force by now")


async def _nothing() -> None:
    """Another server's push is not heard of by this."""
