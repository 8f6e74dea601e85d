"""Those who pretend: forged, expired and guessed tokens, and requests that claim to be somebody."""

from __future__ import annotations

import ast
import inspect
import sys

import pytest

from temper.runtime import PostgresTokens, TokenStore
from temper.runtime.tokens import Secret
from tests.service.shop import ADMIN
from tests.threats.treasury import OPENED, Door


def forged(token: str) -> dict[str, str]:
    """Tokens that are nearly one that is good."""
    prefix, id, secret = token.split("_", 2)
    return {
        "a secret of one's own": f"{prefix}_{id}_{'A' * len(secret)}",
        "one letter less": token[:-1],
        "one letter more": f"{token}A",
        "another letter": token[:-1] + ("A" if token[-1] != "A" else "B"),
        "an id that is none": f"{prefix}_0000000000_{secret}",
        "in upper case": token.upper(),
        "no secret": f"{prefix}_{id}_",
        "nothing": "",
        "a quote": f"{prefix}_' or 1=1 --_{secret}",
        "very long": "A" * 20_000,
    }


@pytest.mark.parametrize("how", list(forged("temper_aaaaaaaaaa_bbbb")))
async def test_a_forged_token_opens_nothing_and_is_told_nothing(door: Door, how: str) -> None:
    """The answer to each is the same, so that nobody learns how near they are."""
    await door.payment()
    token = forged(door.tokens["olaf"])[how]
    answer = await door.ask(None, "POST", "/v1/treasury/Payment/p1/Approve", {}, token=token)
    unknown = await door.ask(None, "POST", "/v1/treasury/Payment/p1/Approve", {}, token="temper_0000000000_none")
    assert answer.status == 401
    if how != "nothing":
        assert answer.body == unknown.body
    assert door.taken() == [("p1", "Open", "cleo")]


async def test_a_token_that_has_expired_or_was_revoked_is_one_that_never_was(door: Door) -> None:
    brief = door.vault.make_token(ADMIN, "olaf", ("officer",), ttl_ms=1)
    gone = door.vault.make_token(ADMIN, "olaf", ("officer",))
    await door.payment()
    assert (await door.ask(None, "GET", "/v1/treasury/Payment/p1", token=gone.token)).status == 200
    await door.vault.revoke_token(ADMIN, gone.info.id)
    never = await door.ask(None, "GET", "/v1/treasury/Payment/p1", token="temper_0000000000_none")
    for token in (brief.token, gone.token):
        answer = await door.ask(None, "GET", "/v1/treasury/Payment/p1", token=token)
        assert (answer.status, answer.body) == (401, never.body)


CLAIMS = [
    "X-Role: officer", "X-Roles: officer,clerk", "X-User: olaf", "X-Principal: olaf", "X-Forwarded-User: olaf",
    "X-Remote-User: olaf", "Remote-User: olaf", "X-Temper-Principal: olaf", "X-Acts-For: olaf", "Cookie: token=olaf",
    "X-HTTP-Method-Override: GET", "Forwarded: for=127.0.0.1;user=olaf", "X-Original-URL: /v1/treasury/Payment/p1/Drop",
]  # fmt: skip


@pytest.mark.parametrize("header", CLAIMS)
async def test_what_a_header_claims_is_not_believed(door: Door, header: str) -> None:
    await door.payment()
    assert (await door.ask("aude", "POST", "/v1/treasury/Payment/p1/Approve", {}, header)).status == 403
    assert (await door.ask(None, "POST", "/v1/treasury/Payment/p1/Approve", {}, header)).status == 401
    assert door.taken() == [("p1", "Open", "cleo")]


@pytest.mark.parametrize(
    "claim",
    [
        {"roles": ["officer"]}, {"role": "officer"}, {"caller": "olaf"}, {"principal": "olaf"}, {"acts_for": "olaf"},
        {"by_system": True}, {"admin": True}, {"drafted_by": "olga"}, {"state": "Approved"}, {"__proto__": {"a": 1}},
    ],
)  # fmt: skip
async def test_what_a_body_or_a_query_claims_is_not_believed(door: Door, claim: dict[str, object]) -> None:
    """A field can't be given but by a parameter: what is no parameter is refused, and nothing is made of it."""
    opened = await door.ask("cleo", "POST", "/v1/treasury/Payment", {**OPENED, "id": "p1", **claim})
    assert opened.status == 422, opened.raw
    assert door.taken() == []
    await door.payment()
    (name, value), *_ = claim.items()
    answer = await door.ask("aude", "POST", f"/v1/treasury/Payment/p1/Approve?{name}={value}".replace(" ", ""), {})
    assert answer.status in (400, 403, 422)
    assert door.taken() == [("p1", "Open", "cleo")]


async def test_a_role_that_excludes_another_is_not_held_beside_it(door: Door) -> None:
    both = door.vault.make_token(ADMIN, "mallory", ("clerk", "officer"))
    answer = await door.ask(None, "POST", "/v1/treasury/Payment", {**OPENED, "id": "p9"}, token=both.token)
    assert answer.status == 403
    assert door.taken() == []


@pytest.mark.parametrize("store", [TokenStore, PostgresTokens])
def test_secrets_are_compared_in_constant_time(store: type) -> None:
    """No `==` on what is kept of a secret: the id alone finds the row."""
    source = inspect.getsource(sys.modules[store.__module__])
    compared = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
        and any(word in ast.unparse(node) for word in ("hash", "secret"))
    ]
    assert compared == []
    assert "compare_digest" in inspect.getsource(Secret)
