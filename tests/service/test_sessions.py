"""Sessions: an agent has what whoever started it has, or less, acts for the same person, and ends with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from temper.service import Declined, Person, SessionWanted, Workshop
from temper.service import sessions as agents
from tests.service.shop import ADMIN, PLAN

HOUR = 3_600_000


async def _bearer(shop: Workshop, principal: str, *roles: str, **more: Any) -> Person:
    return shop.authenticate(shop.make_token(ADMIN, principal, roles, **more).token)


async def _started(shop: Workshop, person: Person, name: str, **wanted: Any) -> Person:
    return shop.authenticate((await shop.start_session(person, SessionWanted(name, **wanted))).token)


async def _problem(shop: Workshop, person: Person, name: str = "bot", **wanted: Any) -> tuple[int, str]:
    with pytest.raises(Declined) as declined:
        await shop.start_session(person, SessionWanted(name, **wanted))
    return declined.value.problem.status, declined.value.problem.type


async def test_a_session_is_whoever_started_it_under_a_name_of_its_own(shop: Workshop) -> None:
    ann = await _bearer(shop, "ann", "operator", "builder", teams=("core",), attributes={"site": "eu"})
    bot = await _started(shop, ann, "bot")
    assert (bot.principal, bot.acts_for, bot.session) == ("ann#bot", "ann", "bot")
    assert (bot.roles, bot.teams, bot.attributes) == (ann.roles, ann.teams, ann.attributes)
    assert (bot.parent, bot.admin, bot.entities) == (ann.token, False, None)
    assert bot.expires_at == pytest.approx(shop.clock.now() + HOUR, abs=60_000)
    assert bot.facts.session == "bot"


async def test_an_agents_agent_acts_for_the_same_person(shop: Workshop) -> None:
    ann = await _bearer(shop, "ann", "operator", "builder")
    bot = await _started(shop, ann, "bot", roles=("builder",))
    helper = await _started(shop, bot, "helper")
    assert (helper.principal, helper.acts_for, helper.roles) == ("ann#bot#helper", "ann", frozenset({"builder"}))
    made = await _bearer(shop, "robot", "operator", acts_for="ann")
    assert (await _started(shop, made, "a")).acts_for == "ann"


async def test_the_history_names_the_agent_and_whom_it_acts_for(shop: Workshop) -> None:
    ann = await _bearer(shop, "ann", "operator")
    bot = await _started(shop, ann, "bot")
    made = await shop.create(bot, "helix", "Rollout", None, PLAN)
    (entry,) = await shop.history(ann, "helix", "Rollout", made.entity.id)
    assert (entry.principal, entry.acts_for, entry.roles) == ("ann#bot", "ann", ("operator",))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"roles": ("release_manager",)}, (403, "denied")),
        ({"roles": ("builder", "release_manager")}, (403, "denied")),
        ({"entities": ("helix/Rollout",)}, (403, "denied")),
        ({"entities": ("helix",)}, (403, "denied")),
        ({"entities": ("helix/Rollout/r10",)}, (403, "denied")),
        ({"admin": True}, (403, "denied")),
        ({"name": ""}, (422, "bad-request")),
        ({"name": "a b"}, (422, "bad-request")),
        ({"name": "a#b"}, (422, "bad-request")),
        ({"name": "x" * 65}, (422, "bad-request")),
        ({"ttl_ms": 0}, (422, "bad-request")),
        ({"ttl_ms": 25 * HOUR}, (422, "bad-request")),
        ({"entities": ()}, (422, "bad-request")),
        ({"entities": ("Helix",)}, (422, "bad-request")),
    ],
)
async def test_a_session_only_ever_shrinks(shop: Workshop, wanted: dict[str, Any], problem: tuple[int, str]) -> None:
    bot = await _bearer(shop, "bot", "builder", scope=("helix/Rollout/r1", "helix/Rollout/r2"))
    assert await _problem(shop, bot, **wanted) == problem


async def test_what_is_less_is_granted(shop: Workshop) -> None:
    bot = await _bearer(shop, "bot", "builder", "operator", scope=("helix/Rollout",), read_only=True)
    less = await _started(shop, bot, "a", roles=(), entities=("helix/Rollout/r1",), ttl_ms=60_000)
    assert (less.roles, less.entities, less.read_only) == (frozenset[str](), frozenset({"helix/Rollout/r1"}), True)
    same = await _started(shop, bot, "b")
    assert (same.roles, same.entities, same.read_only) == (bot.roles, bot.entities, True)


async def test_a_session_ends_no_later_than_whoever_started_it(shop: Workshop) -> None:
    ann = await _bearer(shop, "ann", ttl_ms=60_000)
    assert (await _started(shop, ann, "bot", ttl_ms=HOUR)).expires_at == ann.expires_at


async def test_an_administrators_power_is_inherited_by_name_alone(shop: Workshop) -> None:
    root = await _bearer(shop, "root", admin=True)
    assert not (await _started(shop, root, "a")).admin
    admin = await _started(shop, root, "b", admin=True)
    assert admin.admin
    with pytest.raises(Declined) as declined:
        shop.make_token(admin, "eve", (), admin=True)
    assert declined.value.problem.type == "out-of-scope", "what it made would go on without it"


async def test_a_session_is_out_at_once_with_whoever_started_it(shop: Workshop) -> None:
    ann = await _bearer(shop, "ann", "operator")
    bot = await shop.start_session(ann, SessionWanted("bot"))
    helper = await shop.start_session(shop.authenticate(bot.token), SessionWanted("helper"))
    assert ann.token is not None
    await shop.revoke_token(ADMIN, ann.token)
    for token in (bot.token, helper.token):
        with pytest.raises(Declined):
            shop.authenticate(token)
    with pytest.raises(Declined) as declined:
        await shop.start_session(ann, SessionWanted("late"))
    assert declined.value.problem.status == 401


async def test_sessions_are_listed_and_ended_by_whom_they_act_for(shop: Workshop) -> None:
    ann, eve = await _bearer(shop, "ann"), await _bearer(shop, "eve")
    bot = await _started(shop, ann, "bot")
    helper = await _started(shop, bot, "helper")
    other = await _started(shop, ann, "other")

    async def listed(person: Person) -> list[str]:
        return sorted(each.session or "" for each in await shop.sessions(person))

    assert await listed(ann) == ["bot", "helper", "other"]
    assert await listed(replace(ADMIN)) == ["bot", "helper", "other"]
    assert await listed(bot) == ["bot", "helper"]
    assert await listed(helper) == ["helper"]
    assert await listed(eve) == []
    assert other.token is not None
    assert bot.token is not None
    for stranger in (eve, bot, helper):
        with pytest.raises(Declined) as declined:
            await shop.end_session(stranger, other.token)
        assert declined.value.problem.status == 404
    with pytest.raises(Declined):
        await shop.end_session(ann, ann.token or "")
    assert (await shop.end_session(ann, bot.token)).revoked
    assert await listed(ann) == ["other"]


async def test_a_person_has_so_many_sessions_and_no_more(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "SESSIONS_MAX", 2)
    ann = await _bearer(shop, "ann")
    bot = await _started(shop, ann, "a")
    await _started(shop, bot, "b")
    assert await _problem(shop, bot, "c") == (409, "conflict")
    await shop.end_session(bot, bot.token or "")
    await _started(shop, ann, "d")


async def test_whose_provider_says_who_it_is_starts_sessions_too(shop: Workshop) -> None:
    person = Person("corp:ann", frozenset({"operator"}), expires_at=shop.clock.now() + 60_000)
    bot = await _started(shop, person, "bot")
    assert (bot.principal, bot.acts_for, bot.parent) == ("corp:ann#bot", "corp:ann", None)
    assert bot.expires_at == person.expires_at
    assert [each.session for each in await shop.sessions(person)] == ["bot"]


async def test_who_asks_is_told_who_it_is(shop: Workshop) -> None:
    ann = await _bearer(shop, "ann", "b", "a", scope=("helix",), ttl_ms=60_000)
    me = shop.me(ann)
    assert (me.principal, me.roles, me.scope, me.token) == ("ann", ("a", "b"), ("helix",), ann.token)
    assert me.expires_at is not None
    assert shop.me(ADMIN).expires_at is None


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"principal": "ann#bot"}, "principal"),
        ({"principal": "a\nb"}, "principal"),
        ({"teams": ("",)}, "teams"),
        ({"attributes": {"a b": "c"}}, "attributes"),
        ({"attributes": {"a": "x" * 201}}, "attributes"),
        ({"scope": ()}, "scope"),
        ({"scope": ("helix/rollout",)}, "scope"),
        ({"roles": ("Operator",)}, "roles"),
        ({"ttl_ms": 0}, "ttl"),
    ],
)
async def test_a_token_that_makes_no_sense_is_not_made(shop: Workshop, more: dict[str, Any], path: str) -> None:
    asked: dict[str, Any] = {"principal": "ann", "roles": ()} | more
    with pytest.raises(Declined) as declined:
        shop.make_token(ADMIN, asked.pop("principal"), asked.pop("roles"), **asked)
    assert [each.path for each in declined.value.problem.errors] == [path]


async def test_a_rotated_token_has_another_secret_and_its_sessions_go_on(shop: Workshop) -> None:
    made = shop.make_token(ADMIN, "ann", ("operator",))
    bot = await shop.start_session(shop.authenticate(made.token), SessionWanted("bot"))
    rotated = await shop.rotate_token(ADMIN, made.info.id)
    assert rotated.info.rotated_at is not None
    with pytest.raises(Declined):
        shop.authenticate(made.token)
    assert shop.authenticate(rotated.token).principal == "ann"
    assert shop.authenticate(bot.token).principal == "ann#bot"
    with pytest.raises(Declined) as declined:
        await shop.rotate_token(ADMIN, "nobody")
    assert declined.value.problem.status == 404
    await shop.revoke_token(ADMIN, made.info.id)
    with pytest.raises(Declined) as declined:
        await shop.rotate_token(ADMIN, made.info.id)
    assert declined.value.problem.status == 409
    with pytest.raises(Declined) as declined:
        await shop.rotate_token(ADMIN, made.info.id, grace_ms=8 * 24 * HOUR)
    assert declined.value.problem.status == 422


async def test_a_list_of_tokens_says_who_for_whom_until_when_and_when_last_used(shop: Workshop) -> None:
    made = shop.make_token(ADMIN, "robot", ("operator",), acts_for="ann", ttl_ms=HOUR)
    listed = {each.id: each for each in shop.tokens(ADMIN)}[made.info.id]
    assert (listed.principal, listed.acts_for, listed.last_used_at) == ("robot", "ann", None)
    shop.authenticate(made.token)
    listed = {each.id: each for each in shop.tokens(ADMIN)}[made.info.id]
    assert listed.last_used_at is not None
    assert listed.expires_at is not None
