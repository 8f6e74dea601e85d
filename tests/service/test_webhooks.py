"""Webhooks: what a delivery has done, what is refused, and that whoever can't sign learns nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
import shutil
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import msgspec
import pytest

from temper.service import Declined, Person, Workshop, load_settings
from temper.service.opening import CannotOpen
from temper.service.settings import PushSection
from temper.service.webhooks import problems, read
from temper.web import Limits, app
from tests.house.tree import ROOT
from tests.kernel.shop import SHOP
from tests.runtime.living import MovedClock
from tests.web.caller import Response, call

ADMIN = Person("root", admin=True)
CLERK = Person("ann", frozenset({"clerk"}))
SECRET, OLD = "s3cret-of-today", "s3cret-of-before"
NOW_S = 1_800_000_000
SETTINGS = """
[webhooks.orders]
secret = ["HOOK_SECRET", "HOOK_OLD"]
blueprint = "shop"
entity = "Purchase"
action = "Order"
params = { number = "data.number", amount = "data.amount" }
when = { type = "ordered", "data.live" = true }
principal = "market"
roles = ["clerk"]

[webhooks.pay]
scheme = "github"
secret = "HOOK_SECRET"
blueprint = "shop"
entity = "Purchase"
action = "Remark"
id = "id"
params = { text = "text" }
principal = "hub"
roles = ["clerk"]

[webhooks.till]
scheme = "stripe"
secret = "HOOK_SECRET"
blueprint = "shop"
entity = "Shelf"
action = "Stock"
params = { name = "name", stock = "stock" }
principal = "till"
roles = ["clerk"]
"""
ORDERED = {"type": "ordered", "data": {"live": True, "number": "17", "amount": 4.5}}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Workshop]:
    """A workshop with three webhooks, and a clock that stands still."""
    (folder / "temper.toml").write_text(SETTINGS)
    loaded = load_settings(folder / "temper.toml", {"HOOK_SECRET": SECRET, "HOOK_OLD": OLD})
    settings = msgspec.structs.replace(loaded.settings, push=PushSection(levels=("scenarios",), allow_unknown=True))
    workshop = await Workshop.open(replace(loaded, settings=settings), clock=MovedClock(NOW_S * 1000))
    try:
        yield workshop
    finally:
        await workshop.close()


async def prepare(folder: Path) -> None:
    """Push the shop, and place a purchase."""
    async with serving(folder) as workshop:
        await workshop.push(ADMIN, "shop", {"shop.blueprint": SHOP})
        await workshop.create(CLERK, "shop", "Purchase", None, {"id": "p1", "number": "1", "amount": "3"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a workshop that serves the shop, to be copied."""
    folder = tmp_path_factory.mktemp("webhooks")
    anyio.run(prepare, folder)
    return folder


@pytest.fixture
async def shop(made: Path, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A workshop of its own for one test."""
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    async with serving(folder) as workshop:
        yield workshop


def mac(text: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def generic(body: bytes, *, at: int = NOW_S, delivery: str = "d1", secret: str = SECRET) -> dict[str, str]:
    said = mac(f"{at}.{delivery}.".encode() + body, secret)
    return {"temper-timestamp": str(at), "temper-delivery": delivery, "temper-signature": f"v1={said}"}


def stripe(body: bytes, *, at: int = NOW_S) -> dict[str, str]:
    return {"stripe-signature": f"t={at},v1={'0' * 64},v1={mac(f'{at}.'.encode() + body)},v0=x"}


def github(body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={mac(body)}", "x-github-delivery": "not signed"}


async def post(shop: Workshop, name: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """Send a delivery through the door, without a token."""
    sent = [(key.encode(), value.encode()) for key, value in headers.items()]
    return await call(app(shop), "POST", f"/hooks/{name}", headers=sent, body=body, token=False)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


async def numbers(shop: Workshop) -> list[Any]:
    page = await shop.list(CLERK, "shop", "Purchase")
    return [each.fields["number"] for each in page.items]


@pytest.mark.parametrize("secret", [SECRET, OLD])
async def test_a_signed_delivery_takes_its_action_once(shop: Workshop, secret: str) -> None:
    """As the principal that the settings name, by either secret while one is being replaced."""
    body = text(ORDERED)
    first = await post(shop, "orders", body, generic(body, secret=secret))
    assert (first.status, first.json) == (200, {"taken": True, "replayed": False})
    again = await post(shop, "orders", body, generic(body, secret=secret, at=NOW_S + 20))
    assert (again.status, again.json) == (200, {"taken": True, "replayed": True})
    assert await numbers(shop) == ["1", "17"]
    page = await shop.list(CLERK, "shop", "Purchase", filter='number == "17"')
    assert page.items[0].fields["amount"] == "4.5"
    (made, *_) = await shop.history(CLERK, "shop", "Purchase", page.items[0].id)
    assert "market" in str(made)


async def test_a_delivery_of_github_acts_on_the_entity_that_it_names(shop: Workshop) -> None:
    """Its delivery id is not signed: another one makes the same body no other delivery."""
    body = text({"id": "p1", "text": "hello"})
    assert (await post(shop, "pay", body, github(body))).json == {"taken": True, "replayed": False}
    again = await post(shop, "pay", body, {**github(body), "x-github-delivery": "another"})
    assert again.json == {"taken": True, "replayed": True}
    assert (await shop.read(CLERK, "shop", "Purchase", "p1")).fields["remarks"] == ["hello"]


async def test_a_delivery_of_stripe_is_taken_in_its_window(shop: Workshop) -> None:
    body = text({"name": "nuts", "stock": 5})
    assert (await post(shop, "till", body, stripe(body, at=NOW_S - 301))).status == 401
    assert (await post(shop, "till", body, stripe(body, at=NOW_S - 299))).json == {"taken": True, "replayed": False}
    assert (await post(shop, "till", body, stripe(body))).json == {"taken": True, "replayed": True}


@pytest.mark.parametrize(
    "content",
    [{"type": "asked"}, {"type": "ordered", "data": {"live": False}}, {"type": "ordered", "data": {"live": 1}}, {}],
)
async def test_what_a_webhook_is_not_for_is_taken_and_left_alone(shop: Workshop, content: Any) -> None:
    body = text(content)
    assert (await post(shop, "orders", body, generic(body))).json == {"taken": False, "replayed": False}
    assert await numbers(shop) == ["1"]


BODY = text(ORDERED)
GOOD = generic(BODY)
HOSTILE: list[tuple[str, bytes, dict[str, str]]] = [
    ("orders", BODY, {}),
    ("orders", BODY + b" ", GOOD),
    ("orders", BODY, {**GOOD, "temper-delivery": "d2"}),
    ("orders", BODY, {**GOOD, "temper-timestamp": str(NOW_S + 1)}),
    ("orders", BODY, {**GOOD, "temper-signature": GOOD["temper-signature"].removeprefix("v1=")}),
    ("orders", BODY, {**GOOD, "temper-signature": GOOD["temper-signature"].upper()}),
    ("orders", BODY, {**GOOD, "temper-signature": "v1="}),
    ("orders", BODY, {**GOOD, "temper-signature": "v1=\xe9"}),
    ("orders", BODY, generic(BODY, secret="another")),
    ("orders", BODY, generic(BODY, secret="")),
    ("orders", BODY, generic(BODY, at=NOW_S - 301)),
    ("orders", BODY, generic(BODY, at=NOW_S + 301)),
    ("orders", BODY, generic(BODY, at=10**13)),
    ("orders", BODY, generic(BODY, delivery="")),
    ("orders", BODY, generic(BODY, delivery="d" * 201)),
    ("orders", BODY, github(BODY)),
    ("pay", BODY, {"x-hub-signature-256": f"sha1={mac(BODY)}"}),
    ("pay", BODY, {"x-hub-signature-256": mac(BODY)}),
    ("till", BODY, {"stripe-signature": f"v1={mac(b'.' + BODY)}"}),
    ("till", BODY, {"stripe-signature": f"t=,v1={mac(b'.' + BODY)}"}),
    ("till", BODY, {"stripe-signature": f"t={NOW_S}," + ",".join(["v1=0"] * 8) + f",v1={mac(BODY)}"}),
    ("nothing", BODY, GOOD),
    ("nothing", b"", {}),
    ("nothing", BODY, {"x-hub-signature-256": f"sha256={mac(BODY, 'no secret')}"}),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
async def test_who_cannot_sign_is_told_nothing_and_does_nothing(shop: Workshop, number: int) -> None:
    """One row, one forgery: the same 401 for each, and for a webhook that is not there."""
    name, body, headers = HOSTILE[number]
    answer = await post(shop, name, body, headers)
    assert (answer.status, answer.json) == (
        401,
        {
            "type": "/problems/unauthenticated",
            "title": "the delivery is not signed as it has to be",
            "status": 401,
        },
    )
    assert await numbers(shop) == ["1"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("orders", b"{", 422),
        ("orders", b"[]", 422),
        ("orders", b"[" * 100_000, 422),
        ("orders", b"\xff", 422),
        ("orders", text({**ORDERED, "data": {"live": True, "number": "5"}}), 422),
        ("orders", text({**ORDERED, "data": {"live": True, "number": "5", "amount": "much"}}), 422),
        ("orders", text({**ORDERED, "data": {"live": True, "number": "1", "amount": "5"}}), 409),
        ("orders", b" " * 1_048_577, 413),
    ],
)
async def test_what_is_signed_and_does_not_fit_is_told(shop: Workshop, name: str, body: bytes, status: int) -> None:
    """One row, one mistake of a sender who has the secret; the last is refused before anybody looks who sent it."""
    assert (await post(shop, name, body, generic(body))).status == status
    assert await numbers(shop) == ["1"]


async def test_a_webhook_is_for_post_alone(shop: Workshop) -> None:
    answer = await call(app(shop), "GET", "/hooks/orders", token=False)
    assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('scheme = "githb"', "did you mean `github`?"),
        ('secret = "NOWHERE"', "the secret `NOWHERE` is not in the environment"),
        ("secret = []", "there is none"),
        ('id = "a..b"', "`a..b` is not a path"),
        ('params = { a = "1x" }', "`1x` is not a path"),
        ('when = { "x y" = "z" }', "`x y` is not a path"),
        ('roles = ["Boss"]', "`Boss` is no role's name"),
        ('principal = ""', "is not printable, or empty"),
        ('window = "soon"', "`soon` is no duration"),
        ('window = "0s"', "is not above 0"),
    ],
)
async def test_a_webhook_that_is_none_keeps_the_server_from_starting(tmp_path: Path, line: str, said: str) -> None:
    """One row, one mistake: it is named, and nothing starts."""
    whole = dict(
        each.split(" = ", 1)
        for each in (
            'secret = "HOOK_SECRET"', 'blueprint = "b"', 'entity = "E"', 'action = "A"', 'principal = "p"',
        )
    )  # fmt: skip
    key, value = line.split(" = ", 1)
    whole[key] = value
    (tmp_path / "temper.toml").write_text("[webhooks.x]\n" + "\n".join(f"{k} = {v}" for k, v in whole.items()))
    loaded = load_settings(tmp_path / "temper.toml", {"HOOK_SECRET": SECRET})
    assert loaded.problems == ()
    (problem,) = problems(loaded.settings.webhooks, loaded.vault)
    assert said in str(problem)
    with pytest.raises(CannotOpen):
        await Workshop.open(loaded)


def test_a_setting_of_a_webhook_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "temper.toml").write_text('[webhooks.x]\nsecrt = "A"\n')
    (problem,) = load_settings(tmp_path / "temper.toml", {}).problems
    assert "did you mean `secret`?" in str(problem)


async def test_a_delivery_that_the_blueprint_refuses_says_so(shop: Workshop) -> None:
    """To whoever signed it; and the same delivery is refused the same way again."""
    body = text({"id": "p9", "text": "to nobody"})
    with pytest.raises(Declined) as caught:
        await shop.webhook("pay", {b"x-hub-signature-256": github(body)["x-hub-signature-256"].encode()}, body)
    assert caught.value.problem.status == 404


def test_the_sender_of_the_page_signs_as_its_webhook_wants_it(tmp_path: Path) -> None:
    """The page's settings and the page's program: what it would send is read."""
    page = (ROOT / "docs" / "how-to" / "webhooks.md").read_text("utf-8")
    (settings,), (program,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("toml", "python"))
    (tmp_path / "temper.toml").write_text(settings)
    sent: list[urllib.request.Request] = []

    def take(request: urllib.request.Request) -> io.BytesIO:
        sent.append(request)
        return io.BytesIO()

    with patch("urllib.request.urlopen", take):
        exec(program, {})
    (request,) = sent
    assert isinstance(request.data, bytes)
    head = {name.lower().encode(): value.encode() for name, value in request.header_items()}
    loaded = load_settings(tmp_path / "temper.toml", {"PAYMENTS_SECRET": "the secret"})
    now = int(head[b"temper-timestamp"]) * 1000
    assert loaded.vault.has("PAYMENTS_SECRET")
    found = read(loaded.settings.webhooks, loaded.vault, "payments", head, request.data, now)
    assert found is not None
    assert (found.id, found.params, found.person.principal) == ("p1", {"receipt": "r-17"}, "payments")


# --- how many, how large, how slow ------------------------------------------------------------------------------------


async def test_one_address_delivers_so_often_and_takes_nothing_from_another(shop: Workshop) -> None:
    """Counted before anybody has signed, alike for a webhook that is there and for one that is not."""
    now, before = [50.0], await numbers(shop)
    door = app(shop, limits=Limits(hook_rate_max=2, hook_rate_per=10.0), now=lambda: now[0])

    async def deliver(address: str, name: str, headers: Mapping[str, str], body: bytes = BODY) -> Response:
        sent = [(key.encode(), value.encode()) for key, value in headers.items()]
        return await call(
            door, "POST", f"/hooks/{name}", headers=sent, body=body, token=False, client=(address, 40_000)
        )

    assert [(await deliver("192.0.2.1", name, {})).status for name in ("orders", "nothing")] == [401, 401]
    for name in ("orders", "nothing"):
        told = await deliver("192.0.2.1", name, GOOD)
        assert (told.status, told.json["type"], told.headers["retry-after"]) == (429, "/problems/too-fast", "5")
    assert await numbers(shop) == before
    assert (await deliver("192.0.2.2", "orders", GOOD)).status == 200, "who signs, and sends from elsewhere, is heard"
    assert (await deliver("2001:db8::1", "nothing", {})).status == 401
    assert (await deliver("2001:db8::2", "nothing", {})).status == 401
    assert (await deliver("2001:db8::3", "nothing", {})).status == 429, "one machine has all of them"
    assert (await deliver("2001:db8:0:1::3", "nothing", {})).status == 401
    assert (await deliver("::ffff:192.0.2.1", "nothing", {})).status == 429, "that is the first one again"
    now[0] += 5.0
    assert (await deliver("192.0.2.1", "orders", generic(BODY, delivery="d2"))).status == 409, (
        "it is heard: sold already"
    )
    assert (await call(door, "GET", "/healthz", token=False, client=("192.0.2.1", 1))).status == 200


async def test_a_delivery_that_is_too_large_is_not_looked_at(shop: Workshop) -> None:
    before = await numbers(shop)
    large = text({**ORDERED, "more": "x" * 5_000})
    door = app(shop, limits=Limits(body_max=4_096))
    sent = [(key.encode(), value.encode()) for key, value in generic(large).items()]
    for name in ("orders", "nothing"):
        for pieces in ([large], [large[:3_000], large[3_000:]]):
            answer = await call(door, "POST", f"/hooks/{name}", headers=sent, pieces=pieces, token=False)
            assert (answer.status, answer.json["type"]) == (413, "/problems/too-large")
    assert await numbers(shop) == before


async def test_a_body_that_does_not_come_is_let_go_of_and_so_many_wait_at_once(shop: Workshop) -> None:
    door = app(shop, limits=Limits(hook_timeout=0.2, hooks_max=3))

    async def half() -> int:
        answer = await call(door, "POST", "/hooks/orders", body=BODY[:5], whole=False, token=False)
        return answer.status

    assert sorted(await asyncio.gather(*(half() for _ in range(5)))) == [408, 408, 408, 503, 503]
    assert await half() == 408, "there is room again"


@pytest.mark.parametrize("signature", [GOOD["temper-signature"], "v1=" + "0" * 64, "v1=", "", "v1=" + "f" * 64])
def test_a_signature_is_compared_in_constant_time_with_each_secret(tmp_path: Path, signature: str) -> None:
    """As often whichever is right, if any is, and never by a comparison that stops where two differ."""
    (tmp_path / "temper.toml").write_text(SETTINGS)
    loaded = load_settings(tmp_path / "temper.toml", {"HOOK_SECRET": SECRET, "HOOK_OLD": OLD})
    assert list(problems(loaded.settings.webhooks, loaded.vault)) == []
    headers = {key.encode(): value.encode() for key, value in {**GOOD, "temper-signature": signature}.items()}
    with patch("temper.service.webhooks.hmac.compare_digest", wraps=hmac.compare_digest) as compared:
        try:
            read(loaded.settings.webhooks, loaded.vault, "orders", headers, BODY, NOW_S * 1000)
        except Declined:
            assert signature != GOOD["temper-signature"]
    assert compared.call_count == 2
