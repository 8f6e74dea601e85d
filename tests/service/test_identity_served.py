"""Whom a proxy names, over real connections: on the short way too, and where another server of the cluster decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from temper.service import Loaded, Settings, Workshop, identity, load_settings
from temper.service.settings import IdentitySection, ProxySection, PushSection, ServerSection
from temper.web import serve
from tests.runtime.postgres import Server
from tests.runtime.test_shared import BANK
from tests.service.shop import ADMIN, PLAN, Prepared, copied


def proxy(network: str) -> IdentitySection:
    return IdentitySection(
        proxy=ProxySection(peers=(network,), principal_header="X-User", roles_header="X-Roles", teams_header="")
    )


@asynccontextmanager
async def served(workshop: Workshop) -> AsyncIterator[str]:
    """Serve a workshop on loopback while the block lasts."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(
            workshop,
            port=0,
            on_ready=lambda host, port: ready.set_result(f"http://{host}:{port}"),
            stop=stop,
            signals=False,
        )
    )
    url = await ready
    await workshop.listening(url)
    try:
        yield url
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def client(url: str, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as asking:
        yield asking


@pytest.mark.parametrize(("network", "status"), [("127.0.0.1/32", 201), ("10.0.0.7/32", 401)])
async def test_a_head_that_is_known_is_worth_what_its_connection_is(
    prepared: Prepared, tmp_path: Path, network: str, status: int
) -> None:
    """The same bytes over one connection: from the third request on, its head is known and goes the short way."""
    loaded = load_settings(None, {})
    server = msgspec.structs.replace(loaded.settings.server, data=str(copied(prepared, tmp_path / "data")), drain="1s")
    settings = msgspec.structs.replace(loaded.settings, server=server, identity=proxy(network))
    workshop = await Workshop.open(replace(loaded, settings=settings))
    try:
        async with served(workshop) as url, client(url, **{"x-user": "ann", "x-roles": "operator"}) as asking:
            for number in range(5):
                answer = await asking.post(
                    "/v1/helix/Rollout", json=PLAN | {"id": f"r{number}", "cluster": f"c{number}"}
                )
                assert answer.status_code == status
            if status == 201:
                for number in range(5):
                    (entry,) = await workshop.history(ADMIN, "helix", "Rollout", f"r{number}")
                    assert (entry.principal, entry.roles) == ("proxy:ann", ("operator",))
    finally:
        await workshop.close()


async def test_another_server_is_told_whom_the_proxy_has_named(postgres: Server, tmp_path: Path) -> None:
    """The proxy is one server's; what is decided at the other is decided as the same principal."""
    postgres.create("handed")

    async def opened(name: str, section: IdentitySection) -> Workshop:
        settings = Settings(
            server=ServerSection(
                data=name, store=postgres.url.replace("/postgres", "/handed"), lease="5s", partitions=4, drain="1s"
            ),
            push=PushSection(levels=("scenarios",), allow_unknown=True),
            identity=section,
        )
        return await Workshop.open(Loaded(settings, tmp_path))

    one, two = await opened("one", proxy("127.0.0.1/32")), await opened("two", IdentitySection())
    try:
        async with served(one) as url, served(two):
            await one.push(ADMIN, "bank", {"bank.blueprint": BANK})
            async with asyncio.timeout(20):
                while [_shares(one), _shares(two)] != [2, 2]:  # noqa: ASYNC110 - the two come to it by themselves
                    await asyncio.sleep(0.02)
            async with client(url, **{"x-user": "ann", "x-roles": "clerk"}) as asking:
                answers = [
                    await asking.post("/v1/bank/Account", json={"id": f"a{number}", "balance": 5})
                    for number in range(12)
                ]
            assert {answer.status_code for answer in answers} == {201}
            handed = [number for number, answer in enumerate(answers) if "temper-server" in answer.headers]
            assert 0 < len(handed) < 12
            for number in handed:
                (entry,) = await two.history(ADMIN, "bank", "Account", f"a{number}")
                assert (entry.principal, entry.roles) == ("proxy:ann", ("clerk",))
    finally:
        await two.close()
        await one.close()


def _shares(workshop: Workshop) -> int:
    space = workshop._spaces.get("bank")
    member = space.member if space is not None else None
    return len(member.database.leases.held) if member is not None else 0


KEY = b"k" * 32


@pytest.mark.parametrize(
    ("said", "at", "known"),
    [
        (lambda said: said, 1_000, True),
        (lambda said: said, 61_000, True),
        (lambda said: said, 61_001, False),
        (lambda said: said[:-1] + b"x", 1_000, False),
        (lambda said: b"A" + said[1:], 1_000, False),
        (lambda said: said.partition(b".")[0], 1_000, False),
        (lambda said: b"", 1_000, False),
        (lambda said: b".", 1_000, False),
        (lambda said: identity.lent(ADMIN, b"another" * 5, 1_000), 1_000, False),
    ],
)
def test_a_servers_word_is_good_for_a_minute_and_for_nobody_without_the_key(said: Any, at: int, known: bool) -> None:
    person = replace(ADMIN, principal="proxy:ann", roles=frozenset({"a"}), teams=frozenset({"t"}), admin=False)
    found = identity.of_lent(said(identity.lent(person, KEY, 1_000)), KEY, at)
    assert (found == person) is known
    assert known or found is None
