"""Who an identity provider's token and a proxy's headers make of somebody, over HTTP, and what is never believed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from temper.service import Declined, Person, SessionWanted, Workshop, identity, load_settings
from temper.service.settings import IdentitySection, OidcSection, ProxySection
from temper.web import app
from tests.runtime.issuer import AT, Provider, provider
from tests.service.shop import ADMIN, PLAN, Prepared, copied
from tests.web.caller import JSON, call

PEER = ("10.0.0.7", 4711)


class Clock:
    """The time, moved by hand."""

    at = AT * 1000

    def now(self) -> int:
        return self.at


@pytest.fixture
async def idp() -> AsyncIterator[Provider]:
    """A provider of the test's own."""
    with provider() as found:
        yield found


def oidc(idp: Provider, **more: Any) -> OidcSection:
    whole: dict[str, Any] = {
        "issuer": idp.url, "audience": "temper", "principal_claim": "email", "roles_claim": "groups",
        "roles": {"sre": "operator", "leads": ("operator", "release_manager")}, "admins": ("platform",),
        "teams_claim": "org.teams", "attributes": ("site", "level", "oncall", "tags"), **more,
    }  # fmt: skip
    return OidcSection(**whole)


PROXY = ProxySection(
    peers=("10.0.0.7/32", "fd00::/64"),
    principal_header="X-Forwarded-User",
    roles_header="X-Forwarded-Roles",
    teams_header="X-Forwarded-Teams",
)


class Shop:
    """A workshop by settings of identity, and its door."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.door = app(workshop)

    async def me(
        self, token: str | None = None, *more: tuple[bytes, bytes], peer: tuple[str, int] | None = None
    ) -> Any:
        headers = [*more, *([(b"authorization", b"Bearer " + token.encode())] if token is not None else [])]
        return await call(self.door, "GET", "/v1/me", headers=headers, token=False, client=peer)


@pytest.fixture
async def opening(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Any]:
    """Opens workshops on copies of the prepared data folder."""
    opened: list[Workshop] = []

    async def new(section: IdentitySection) -> Shop:
        loaded = load_settings(None, {})
        folder = copied(prepared, tmp_path / f"data{len(opened)}")
        server = msgspec.structs.replace(loaded.settings.server, data=str(folder), drain="100ms")
        settings = msgspec.structs.replace(loaded.settings, server=server, identity=section)
        workshop = await Workshop.open(replace(loaded, settings=settings))
        opened.append(workshop)
        workshop.clock = Clock()  # type: ignore[assignment]  # what is asked here asks it for `now` alone
        return Shop(workshop)

    yield new
    for workshop in opened:
        await workshop.close()


async def test_a_providers_token_says_who_it_is(idp: Provider, opening: Any) -> None:
    shop = await opening(IdentitySection(oidc={"corp": oidc(idp)}))
    claims: dict[str, Any] = {
        "email": "ann@example.com", "groups": ["sre", "leads", "everybody"], "org": {"teams": ["core", "edge"]},
        "site": "eu", "level": 7, "oncall": True, "tags": ["a"],
    }  # fmt: skip
    me = (await shop.me(idp.token(**claims))).json
    assert me == {
        "principal": "corp:ann@example.com", "roles": ["operator", "release_manager"], "teams": ["core", "edge"],
        "attributes": {"site": "eu", "level": "7", "oncall": "true"}, "expires_at": "2030-03-17T17:56:40.000Z",
    }  # fmt: skip
    assert "admin" not in me


async def test_who_administers_is_a_group_of_the_providers(idp: Provider, opening: Any) -> None:
    shop = await opening(IdentitySection(oidc={"corp": oidc(idp)}))
    assert (await shop.me(idp.token(email="root@example.com", groups=["platform"]))).json["admin"]
    # Groups as a text with blanks, as some providers give them.
    me = (await shop.me(idp.token(email="ann@example.com", groups="sre other"))).json
    assert me["roles"] == ["operator"]


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"email": "ann@example.com", "email_verified": False}, "the address in it is not verified"),
        ({"email": None}, "its `email` names nobody"),
        ({"email": 7}, "its `email` names nobody"),
        ({"email": ["ann@example.com"]}, "its `email` names nobody"),
        ({"email": ""}, "can't be a principal's"),
        ({"email": "ann\n@example.com"}, "can't be a principal's"),
        ({"email": "ann#bot"}, "can't be a principal's"),
        ({"email": "x" * 200}, "can't be a principal's"),
        ({"email": "ann@example.com", "groups": [str(number) for number in range(600)]}, "lists more than"),
        ({"email": "ann@example.com", "exp": AT - 600}, "it has expired"),
        ({"email": "ann@example.com", "aud": "billing"}, "meant for somebody else"),
    ],
)
async def test_a_token_that_names_nobody_lets_nobody_in(
    idp: Provider, opening: Any, claims: dict[str, Any], says: str
) -> None:
    shop = await opening(IdentitySection(oidc={"corp": oidc(idp)}))
    answer = await shop.me(idp.token(**claims))
    assert answer.status == 401
    assert says in answer.json["detail"]


async def test_while_a_provider_cant_be_asked_nobody_knows(idp: Provider, opening: Any) -> None:
    idp.status = 500
    shop = await opening(IdentitySection(oidc={"corp": oidc(idp)}))
    answer = await shop.me(idp.token(email="ann@example.com"))
    assert (answer.status, answer.json["type"]) == (503, "/problems/unavailable")
    assert "retry-after" in answer.headers


async def test_two_providers_people_are_others_though_they_have_one_name(idp: Provider, opening: Any) -> None:
    with provider() as second:
        section = IdentitySection(oidc={"corp": oidc(idp), "guests": oidc(second)})
        shop = await opening(section)
        ann = (await shop.me(idp.token(email="ann@example.com"))).json
        guest = (await shop.me(second.token(email="ann@example.com"))).json
        posing = (await shop.me(second.token(email="corp:ann@example.com"))).json
    assert ann["principal"] == "corp:ann@example.com"
    assert guest["principal"] == "guests:ann@example.com"
    assert posing["principal"] == "guests:corp:ann@example.com"


async def test_no_token_of_the_servers_own_stands_for_a_providers_people(idp: Provider, opening: Any) -> None:
    shop = await opening(IdentitySection())
    made = shop.workshop.make_token(ADMIN, "corp:ann@example.com", ("operator",))
    shop.workshop.identity = identity.Identity(IdentitySection(oidc={"corp": oidc(idp)}))
    assert (await shop.me(made.token)).status == 401, "it was made before the provider was named"
    with pytest.raises(Declined) as declined:
        shop.workshop.make_token(ADMIN, "corp:bob@example.com", ())
    assert declined.value.problem.errors[0].path == "principal"
    shop.workshop.make_token(ADMIN, "corporate", ())


async def test_a_providers_people_start_sessions_that_end_with_their_token(idp: Provider, opening: Any) -> None:
    shop = await opening(IdentitySection(oidc={"corp": oidc(idp)}))
    token = idp.token(email="ann@example.com", groups=["sre"])
    body = json.dumps({"name": "bot", "ttl": "5h"}).encode()
    headers = [JSON, (b"authorization", b"Bearer " + token.encode())]
    started = (await call(shop.door, "POST", "/v1/sessions", headers=headers, body=body, token=False)).json
    me = (await shop.me(started["token"])).json
    assert (me["principal"], me["acts_for"], me["roles"]) == (
        "corp:ann@example.com#bot", "corp:ann@example.com", ["operator"],
    )  # fmt: skip
    assert me["expires_at"] == "2030-03-17T17:56:40.000Z"


async def test_nothing_of_json_web_tokens_is_there_where_no_provider_is_named(opening: Any, idp: Provider) -> None:
    shop = await opening(IdentitySection())
    answer = await shop.me(idp.token(email="ann@example.com"))
    assert (answer.status, answer.json["detail"]) == (401, "the token is unknown, expired or revoked")
    assert idp.asked == []


# --- a proxy ----------------------------------------------------------------------------------------------------------

USER, ROLES, TEAMS = b"x-forwarded-user", b"x-forwarded-roles", b"x-forwarded-teams"


async def test_the_proxy_says_who_it_is(opening: Any) -> None:
    shop = await opening(IdentitySection(proxy=PROXY))
    said = ((USER, "änn".encode()), (ROLES, b"operator, builder,,No Role"), (TEAMS, b"core , edge"))
    for peer in (PEER, ("::ffff:10.0.0.7", 1), ("fd00::5", 1)):
        me = (await shop.me(None, *said, peer=peer)).json
        assert me == {"principal": "proxy:änn", "roles": ["builder", "operator"], "teams": ["core", "edge"]}


@pytest.mark.parametrize("peer", [("10.0.0.8", 1), ("127.0.0.1", 1), ("::1", 1), ("fd01::5", 1), ("nonsense", 1), None])
async def test_a_proxys_headers_from_anywhere_else_name_nobody(opening: Any, peer: tuple[str, int] | None) -> None:
    shop = await opening(IdentitySection(proxy=PROXY))
    answer = await shop.me(None, (USER, b"ann"), (b"x-forwarded-for", b"10.0.0.7"), peer=peer)
    assert (answer.status, answer.json["type"]) == (401, "/problems/unauthenticated")
    made = shop.workshop.make_token(ADMIN, "bob", ())
    assert (await shop.me(made.token, (USER, b"ann"), peer=peer)).json["principal"] == "bob"


async def test_a_token_counts_before_what_the_proxy_says(opening: Any) -> None:
    shop = await opening(IdentitySection(proxy=PROXY))
    made = shop.workshop.make_token(ADMIN, "bob", ())
    assert (await shop.me(made.token, (USER, b"ann"), peer=PEER)).json["principal"] == "bob"
    assert (await shop.me("nonsense", (USER, b"ann"), peer=PEER)).status == 401


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ([(USER, b"")], 401),
        ([(USER, b"\xff")], 401),
        ([(USER, b"ann#bot")], 401),
        ([(USER, b"x" * 200)], 401),
        ([(USER, b"ann"), (ROLES, b"\xff")], 401),
        ([(USER, b"ann"), (TEAMS, b"a," * 600)], 401),
        ([(USER, b"ann"), (USER, b"root")], 400),
        ([(USER, b"ann"), (ROLES, b"a"), (ROLES, b"b")], 400),
        ([(ROLES, b"operator")], 401),
        ([(b"x_forwarded_user", b"ann")], 401),
    ],
)
async def test_what_a_proxy_can_t_mean_names_nobody(opening: Any, said: list[tuple[bytes, bytes]], status: int) -> None:
    shop = await opening(IdentitySection(proxy=PROXY))
    assert (await shop.me(None, *said, peer=PEER)).status == status


async def test_without_a_proxy_in_the_settings_its_headers_are_nothing(opening: Any) -> None:
    shop = await opening(IdentitySection())
    assert (await shop.me(None, (USER, b"ann"), peer=PEER)).status == 401


# --- what is claimed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "headers", "more"),
    [
        ("?roles=release_manager", (), {}),
        ("?principal=root&admin=true", (), {}),
        ("", ((b"x-roles", b"release_manager"), (b"x-temper-principal", b"root"), (b"x-admin", b"true")), {}),
        ("", ((USER, b"root"), (ROLES, b"release_manager"), (b"x-forwarded-for", b"127.0.0.1")), {}),
        ("", (), {"roles": ["release_manager"]}),
        ("", (), {"principal": "root", "acts_for": "root", "admin": True}),
        ("", (), {"caller": {"principal": "root", "roles": ["release_manager"]}}),
    ],
)
async def test_what_a_request_claims_of_itself_is_never_believed(
    opening: Any, query: str, headers: tuple[tuple[bytes, bytes], ...], more: dict[str, Any]
) -> None:
    shop = await opening(IdentitySection(proxy=PROXY))
    made = shop.workshop.make_token(ADMIN, "ann", ("operator",))
    bearer = (b"authorization", b"Bearer " + made.token.encode())
    answer = await call(
        shop.door, "POST", f"/v1/helix/Rollout{query}", headers=[JSON, bearer, *headers],
        body=json.dumps(PLAN | {"id": "r1"} | more).encode(), token=False, client=("127.0.0.1", 1),
    )  # fmt: skip
    if query or more:
        assert answer.status in (400, 422), "what is not known is refused, not passed over"
        return
    assert answer.status == 201
    (entry,) = await shop.workshop.history(ADMIN, "helix", "Rollout", "r1")
    assert (entry.principal, entry.roles, entry.acts_for) == ("ann", ("operator",), None)


async def test_a_session_can_t_be_asked_for_in_anothers_name(opening: Any) -> None:
    shop = await opening(IdentitySection())
    ann = Person("ann", frozenset({"operator"}))
    for name in ("ann#root", "root#x", "#", "../root"):
        with pytest.raises(Declined):
            await shop.workshop.start_session(ann, SessionWanted(name))


# --- settings ---------------------------------------------------------------------------------------------------------

HTTPS = {"issuer": "https://login.example.com", "audience": "temper"}


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"session_max": "soon"}, "identity.session_max"),
        ({"session_max": "0s"}, "identity.session_max"),
        ({"oidc": {"Corp": HTTPS}}, "identity.oidc.Corp"),
        ({"oidc": {"proxy": HTTPS}}, "identity.oidc.proxy"),
        ({"oidc": {"a": HTTPS, "b": HTTPS}}, "identity.oidc.b.issuer"),
        ({"oidc": {"a": HTTPS | {"issuer": "http://login.example.com"}}}, "identity.oidc.a.issuer"),
        ({"oidc": {"a": HTTPS | {"issuer": ""}}}, "identity.oidc.a.issuer"),
        ({"oidc": {"a": HTTPS | {"jwks": "http://login.example.com/keys"}}}, "identity.oidc.a.jwks"),
        ({"oidc": {"a": HTTPS | {"audience": []}}}, "identity.oidc.a.audience"),
        ({"oidc": {"a": HTTPS | {"audience": ""}}}, "identity.oidc.a.audience"),
        ({"oidc": {"a": HTTPS | {"algorithms": ["HS256"]}}}, "identity.oidc.a.algorithms"),
        ({"oidc": {"a": HTTPS | {"algorithms": ["none"]}}}, "identity.oidc.a.algorithms"),
        ({"oidc": {"a": HTTPS | {"algorithms": []}}}, "identity.oidc.a.algorithms"),
        ({"oidc": {"a": HTTPS | {"roles": {"g": "operator"}}}}, "identity.oidc.a.roles_claim"),
        ({"oidc": {"a": HTTPS | {"roles_claim": "g", "roles": {"g": "An Operator"}}}}, 'identity.oidc.a.roles."g"'),
        ({"oidc": {"a": HTTPS | {"principal_claim": ""}}}, "identity.oidc.a.principal_claim"),
        ({"oidc": {"a": HTTPS | {"skew": "1"}}}, "identity.oidc.a.skew"),
        ({"oidc": {"a": HTTPS | {"keys_kept": "1w"}}}, "identity.oidc.a.keys_kept"),
        ({"proxy": {"from": [], "principal_header": "X-User"}}, "identity.proxy.from"),
        ({"proxy": {"from": ["0.0.0.0/0"], "principal_header": "X-User"}}, "identity.proxy.from"),
        ({"proxy": {"from": ["::/0"], "principal_header": "X-User"}}, "identity.proxy.from"),
        ({"proxy": {"from": ["10.0.0.7/8"], "principal_header": "X-User"}}, "identity.proxy.from"),
        ({"proxy": {"from": ["10.0.0.7"], "principal_header": ""}}, "identity.proxy.principal_header"),
        ({"proxy": {"from": ["10.0.0.7"], "principal_header": "Authorization"}}, "identity.proxy.principal_header"),
        ({"proxy": {"from": ["10.0.0.7"], "principal_header": "a", "roles_header": "A"}}, "identity.proxy"),
    ],
)
def test_settings_that_make_no_sense_are_told(section: dict[str, Any], key: str) -> None:
    found = list(identity.problems(msgspec.convert(section, IdentitySection)))
    assert [each.key for each in found] == [key]


def test_the_page_s_example_makes_sense(tmp_path: Path) -> None:
    text = (identity.__doc__ or "").split("```toml\n")[1].split("```")[0]
    (tmp_path / "temper.toml").write_text(text)
    loaded = load_settings(tmp_path / "temper.toml", {})
    assert loaded.problems == ()
    assert list(identity.problems(loaded.settings.identity)) == []


def test_a_setting_of_a_provider_that_is_mistyped_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "temper.toml"
    path.write_text('[identity.oidc.corp]\nissuer = "https://a.example.com"\naudiance = "temper"\n')
    (problem,) = load_settings(path, {}).problems
    assert "did you mean `audience`?" in str(problem)
