"""Whoever can say where a tool, a provider or an announcement leads: what lies inside is not reached by them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from temper.runtime.identity.keys import Keys
from temper.runtime.tools import Answered, Call, load_tools
from temper.runtime.vault import Vault
from temper.service.announcing import TOOL, announcing
from temper.service.settings import ApprovalsSection
from tests.runtime.test_egress import Names, Site, standing

SECRETS = {"TOKEN": "canary-token-1", "SIGN": "canary-sign-1"}


async def by_tool(binding: dict[str, Any], resolve: Any = None, more: dict[str, Any] | None = None, **args: Any) -> Any:
    options = {} if resolve is None else {"resolve": resolve}
    settings = {"tools": {"pager.page": binding}, **({"adapters": more} if more else {})}
    adapters, problems = load_tools(settings, {}, Vault(SECRETS), **options)
    assert problems == []
    try:
        return await adapters["pager.page"].call(Call("o-1", "pager.page", args, 1, 2_000))
    finally:
        await adapters["pager.page"].close()


async def http(port: int, folder: Path) -> None:
    await by_tool({
        "adapter": "http", "method": "POST", "url": f"http://127.0.0.1:{port}/", "egress": [f"127.0.0.1:{port}"],
        "headers": {"Authorization": "{secret:TOKEN}"},
    })  # fmt: skip


async def mcp(port: int, folder: Path) -> None:
    await by_tool({
        "adapter": "mcp", "url": f"http://127.0.0.1:{port}/mcp", "egress": [f"127.0.0.1:{port}"], "tool": "x",
        "headers": {"Authorization": "{secret:TOKEN}"},
    })  # fmt: skip


async def kubernetes(port: int, folder: Path) -> None:
    named = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [named],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": SECRETS["TOKEN"]}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_text(json.dumps(config))
    binding = {
        "adapter": "kubernetes", "kind": "apps/v1/StatefulSet", "namespace": "n", "name": "x", "operation": "get",
        "result": {"a": "metadata.name"},
    }  # fmt: skip
    await by_tool(binding, more={"kubernetes": {"kubeconfig": str(folder / "kubeconfig")}})


async def announced(port: int, folder: Path) -> None:
    section = ApprovalsSection(webhook=f"http://127.0.0.1:{port}/x", secret="SIGN")
    adapters, problems = announcing(section, Vault(SECRETS))
    assert problems == ()
    args = {"decision": "d", "asked_by": "a", "asked_for": "b", "text": "t"}
    await adapters[TOOL].call(Call("o-1", TOOL, args, 1, 2_000))
    await adapters[TOOL].close()


async def keys(port: int, folder: Path) -> None:
    found = Keys(f"http://127.0.0.1:{port}", "", kept_s=60)
    await found.fetched()
    await found.close()


WAYS: list[Callable[[int, Path], Awaitable[None]]] = [http, mcp, kubernetes, announced, keys]


def redirecting(status: int, port: int) -> bytes:
    where = f"http://127.0.0.1:{port}/latest/meta-data"
    return (
        f"HTTP/1.1 {status} Elsewhere\r\nLocation: {where}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )


@pytest.mark.parametrize("way", WAYS)
async def test_proxies_that_the_environment_names_carry_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[int, Path], Awaitable[None]]
) -> None:
    """They would connect where nobody has looked, and read what is sent."""
    async with standing(Site()) as proxy, standing(Site()) as meant:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for each in (name, name.upper()):
                monkeypatch.setenv(each, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        await way(meant.port, tmp_path)
        assert len(meant.asked) > 0
        assert proxy.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", WAYS)
async def test_a_redirect_leads_nowhere_and_takes_no_secret_along(
    tmp_path: Path, way: Callable[[int, Path], Awaitable[None]], status: int
) -> None:
    async with standing(Site()) as inside, standing(Site()) as meant:
        meant.answer = redirecting(status, inside.port)
        await way(meant.port, tmp_path)
        assert len(meant.asked) > 0
        assert inside.asked == []


@pytest.mark.parametrize("adapter", ["http", "mcp"])
async def test_a_name_that_changes_its_mind_is_dialled_where_it_was_looked_at(adapter: str) -> None:
    """Rebinding: first it leads where the list lets it, and from then on inside."""
    more = {"method": "POST"} if adapter == "http" else {"tool": "x"}
    async with standing(Site()) as inside:
        names = Names([["127.0.0.2"], *[["127.0.0.1"]] * 9])
        binding = {
            "adapter": adapter, "url": f"http://rebound.example.com:{inside.port}/",
            "egress": [f"rebound.example.com:{inside.port}", f"127.0.0.2:{inside.port}"], **more,
        }  # fmt: skip
        for _ in range(2):
            answer = await by_tool(binding, names)
            assert not isinstance(answer, Answered)
        assert len(names.asked) >= 2
        assert inside.asked == []


async def test_a_provider_does_not_say_where_inside_its_keys_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its keys are it says itself, so that a name that the settings do not have leads to what is public alone."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr("temper.runtime.egress.resolve_by_system", resolve)
    async with standing(Site()) as inside, standing(Site()) as idp:
        issuer = f"http://127.0.0.1:{idp.port}"
        for where in (f"https://keys.example.com:{inside.port}/k", f"https://inside.local:{inside.port}/k"):
            body = json.dumps({"issuer": issuer, "jwks_uri": where}).encode()
            idp.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            found = Keys(issuer, "", kept_s=60)
            await found.fetched()
            await found.close()
        await asyncio.sleep(0.05)
        assert asked == ["keys.example.com", "inside.local"]
        assert (len(idp.asked), inside.asked) == (2, [])


HOSTS = [
    "hooks.example.com", "HOOKS.example.com.",
    "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::1]", "localhost",
    "0.0.0.0", "0", "hooks.example.com@127.0.0.1", "127.0.0.1#hooks.example.com", "127.0.0.1?hooks.example.com",
    "127.0.0.1/hooks.example.com", "hooks.example.com\\@127.0.0.1", "127\u30020\u30020\u30021",
    "\uff11\uff12\uff17.0.0.1", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "127.0.0.1%00.example.com",
    "127.0.0.1\t", " 127.0.0.1", "169.254.169.254", "hooks.example.com.127.0.0.1", "127.0.0.1.", "localhost.",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_a_tool_that_redirects_leads_inside_by_no_spelling_of_an_address(host: str) -> None:
    """Redirects are followed here, and every name leads inside: what is not listed as an address is not dialled."""
    asked: list[str] = []

    async def resolve(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    async with standing(Site()) as inside, standing(Site()) as meant:
        location = f"http://{host}:{inside.port}/".encode()
        meant.answer = (
            b"HTTP/1.1 307 Elsewhere\r\nLocation: " + location + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        binding = {
            "adapter": "http", "method": "POST", "url": f"http://127.0.0.1:{meant.port}/", "redirects": True,
            "egress": [f"127.0.0.1:{meant.port}", f"hooks.example.com:{inside.port}"],
        }  # fmt: skip
        assert not isinstance(await by_tool(binding, resolve), Answered)
        assert len(meant.asked) == 1
        assert inside.asked == []
        assert set(asked) <= {"hooks.example.com"}, "no other name is even looked up"
