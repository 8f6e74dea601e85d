"""The server's own policies: who may administer it, by files that are read again once they change."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from temper.service import CanaryWanted, CannotOpen, Declined, Loaded, Person, Workshop, load_settings, wire
from temper.service.settings import PushSection
from tests.runtime.desk import DESK

MANAGER = ("release_manager",)
FILES = {"desk.blueprint": DESK}


def settings(folder: Path, cedar: str) -> Loaded:
    (folder / "admin.cedar").write_text(cedar, "utf-8")
    (folder / "temper.toml").write_text('[policies]\nfiles = ["admin.cedar"]\n', "utf-8")
    loaded = load_settings(folder / "temper.toml", {})
    assert loaded.problems == ()
    quick = msgspec.structs.replace(loaded.settings, push=PushSection(levels=("algebra",)))
    return replace(loaded, settings=quick)


def rewrite(folder: Path, cedar: str) -> None:
    """Write the file anew; that its time differs need not be waited for."""
    path = folder / "admin.cedar"
    path.write_text(cedar, "utf-8")
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


MANAGERS = """
@id("managers")
permit (
  principal in temper::Role::"release_manager",
  action in [temper::Action::"push", temper::Action::"plan", temper::Action::"rollback"],
  resource == temper::Blueprint::"desk"
);
@id("no agents") @else("an agent may not change what is in force")
forbid (principal, action in temper::Action::"administration", resource) when { principal.agent };
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Workshop]:
    workshop = await Workshop.open(settings(tmp_path, MANAGERS))
    try:
        yield workshop
    finally:
        await workshop.close()


def bearer(server: Workshop, name: str, roles: tuple[str, ...] = (), **more: Any) -> Person:
    """Return somebody as the server makes them out by their token."""
    root = server.authenticate(server.first_token)
    made = server.make_token(root, name, roles, **more)
    return server.authenticate(made.token)


async def problem(asked: Awaitable[Any]) -> wire.Problem:
    with pytest.raises(Declined) as caught:
        await asked
    return caught.value.problem


async def test_a_permit_lets_somebody_administer_and_no_more_than_it_says(server: Workshop) -> None:
    cat = bearer(server, "cat", MANAGER)
    assert (await server.push(cat, "desk", FILES)).version == 1
    assert (await server.plan(cat, "desk", FILES)).pushable
    assert (
        await problem(server.push(cat, "other", {"other.blueprint": DESK.replace(" desk", " other")}))
    ).status == 403
    assert (
        await problem(server.shadow(cat, "desk", FILES))
    ).title == "only an administrator may replay requests on a candidate"
    with pytest.raises(Declined):
        server.tokens(cat)
    ann = bearer(server, "ann", ("clerk",))
    refused = await problem(server.push(ann, "desk", FILES))
    assert refused.title == "only an administrator may push"
    assert "[policies]" in refused.help


async def test_a_forbid_stops_an_administrator_too_and_says_which(server: Workshop) -> None:
    bot = bearer(server, "bot", admin=True, acts_for="root")
    refused = await problem(server.push(bot, "desk", FILES))
    assert (refused.status, refused.policies) == (403, ("no agents",))
    assert refused.detail == "an agent may not change what is in force"
    root = server.authenticate(server.first_token)
    assert (await server.push(root, "desk", FILES)).version == 1


async def test_a_file_counts_from_the_moment_that_it_changes(server: Workshop, tmp_path: Path) -> None:
    cat = bearer(server, "cat", MANAGER)
    await server.push(cat, "desk", FILES)
    rewrite(tmp_path, "// nobody but administrators")
    assert (await problem(server.push(cat, "desk", FILES))).status == 403
    rewrite(tmp_path, MANAGERS)
    assert (await server.push(cat, "desk", FILES)).unchanged


@pytest.mark.parametrize(
    "broken", ["forbid (", 'permit (principal, action == temper::Action::"pusch", resource);', None]
)
async def test_a_file_that_is_broken_changes_nothing(server: Workshop, tmp_path: Path, broken: str | None) -> None:
    """Neither who was let in is kept out, nor, above all, the other way round."""
    cat, bot = bearer(server, "cat", MANAGER), bearer(server, "bot", admin=True, acts_for="root")
    if broken is None:
        (tmp_path / "admin.cedar").unlink()
    else:
        rewrite(tmp_path, broken)
    assert (await server.push(cat, "desk", FILES)).version == 1
    assert (await problem(server.push(bot, "desk", FILES))).policies == ("no agents",)


@pytest.mark.parametrize(
    ("cedar", "said"),
    [
        ("forbid (principal, action, resource)", "admin.cedar:1:36: the last policy has no end"),
        ('\nforbid (principal, action == temper::Action::"pusch", resource);', "unrecognized action"),
        ("forbid (principal, action, resource) when { resource.name == 3 };", "not"),
        ('forbid (principal, action == desk::Action::"Ticket.File", resource);', "unrecognized action"),
        ("forbid (principal == ?principal, action, resource);", "leaves open whom"),
    ],
)  # fmt: skip
async def test_nothing_starts_with_policies_that_do_not_fit(tmp_path: Path, cedar: str, said: str) -> None:
    with pytest.raises(CannotOpen) as caught:
        await Workshop.open(settings(tmp_path, cedar))
    assert all(each.key == "policies.files" for each in caught.value.problems)
    assert said in str(caught.value)


async def test_who_may_look_after_tokens_can_make_no_administrator(server: Workshop, tmp_path: Path) -> None:
    rewrite(tmp_path, 'permit (principal in temper::Role::"desk", action == temper::Action::"tokens", resource);')
    dan = bearer(server, "dan", ("desk",))
    assert server.make_token(dan, "eve", ("clerk",)).info.principal == "eve"
    with pytest.raises(Declined):
        server.make_token(dan, "eve", (), admin=True)
    root = next(each for each in server.tokens(dan) if each.admin)
    with pytest.raises(Declined):
        await server.rotate_token(dan, root.id)


# --- each action is asked of ------------------------------------------------------------------------------------------

MOVED = {"desk.blueprint": DESK + "\n  action Note by clerk from Filed\n"}


async def export(server: Workshop, who: Person) -> None:
    async for _ in server.export(who, "desk"):
        pass


async def canary(server: Workshop, who: Person) -> None:
    await server.start_canary(who, "desk", MOVED, CanaryWanted(1.0))
    await server.withdraw(who, "desk")


async def promoted(server: Workshop, who: Person) -> None:
    with suppress(Declined):  # One is under way.
        await server.start_canary(server.authenticate(server.first_token), "desk", MOVED, CanaryWanted(1.0))
    await server.promote(who, "desk")


@pytest.mark.parametrize(
    ("action", "do"),
    [
        ("plan", lambda server, who: server.plan(who, "desk", FILES)),
        ("push", lambda server, who: server.push(who, "desk", FILES)),
        ("push", promoted),
        ("rollback", lambda server, who: server.rollback(who, "desk", 1)),
        ("canary", canary),
        ("shadow", lambda server, who: server.shadow(who, "desk", FILES)),
        ("audit", lambda server, who: server.audit(who, "desk")),
        ("export", export),
        ("policies", lambda server, who: server.simulate_policy(who, "desk")),
    ],
)
async def test_each_is_done_by_whom_that_action_is_permitted_and_no_administrator_to_whom_it_is_forbidden(
    server: Workshop, tmp_path: Path, action: str, do: Callable[[Workshop, Person], Awaitable[Any]]
) -> None:
    root = server.authenticate(server.first_token)
    await server.push(root, "desk", FILES)
    cat, bob = bearer(server, "cat", MANAGER), bearer(server, "bob", admin=True)
    named = f'temper::Action::"{action}"'
    others = f'principal in temper::Role::"release_manager", action, resource) unless {{ action == {named} }};'
    rewrite(tmp_path, f"permit ({others}")
    assert (await problem(do(server, cat))).status == 403
    rewrite(tmp_path, f'@id("not bob") forbid (principal == temper::Principal::"bob", action == {named}, resource);')
    ended = await problem(do(server, bob))
    assert (ended.status, ended.policies) == (403, ("not bob",))
    rewrite(tmp_path, f'permit (principal in temper::Role::"release_manager", action == {named}, resource);')
    await do(server, cat)
