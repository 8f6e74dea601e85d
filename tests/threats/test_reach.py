"""Those who are let in and want more: by guessing, by others' hands, by what they create, by an agent's credential."""

from __future__ import annotations

import pytest

from temper.service import Declined
from tests.service.shop import ADMIN
from tests.threats.treasury import BLUEPRINT, FILES, OPENED, Door

READS = [
    ("GET", "/v1/treasury/Payment/ID"), ("GET", "/v1/treasury/Payment/ID?at=99"),
    ("GET", "/v1/treasury/Payment/ID/history"), ("GET", "/v1/treasury/Payment/ID/actions"),
    ("GET", "/v1/treasury/Payment/ID/wait?until=amount%20%3E%200"), ("GET", "/v1/treasury/Payment/ID/events"),
    ("POST", "/v1/treasury/Payment/ID/Approve?dry_run=true"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target"), READS)
async def test_what_may_not_be_read_is_as_if_it_were_not_there(door: Door, method: str, target: str) -> None:
    """Nobody learns by guessing ids what there is."""
    await door.payment("hidden", secret=True, amount=777_777, to="whisper")
    body: dict[str, object] | None = {} if method == "POST" else None
    there = await door.ask("aude", method, target.replace("ID", "hidden"), body)
    missing = await door.ask("aude", method, target.replace("ID", "other0"), body)
    assert there.status == missing.status
    if method == "GET":
        assert there.status == 404
        assert there.raw.replace(b"hidden", b"other0") == missing.raw
    for word in (b"777777", b"777_777", b"whisper", b"Draft", b"cleo"):
        assert word not in there.raw


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?count=true",
        "?filter=amount%20%3E%201000",
        "?filter=to%20%3D%3D%20%22whisper%22&count=true",
        "?sort=-amount",
    ],
)
async def test_a_list_and_its_count_tell_of_what_may_be_read_alone(door: Door, query: str) -> None:
    await door.payment("hidden", secret=True, amount=777_777, to="whisper")
    await door.payment("shown", amount=2_000)
    answer = await door.ask("aude", "GET", f"/v1/treasury/Payment{query}")
    assert answer.status == 200, answer.raw
    assert {each["id"] for each in answer.body["items"]} <= {"shown"}
    assert answer.body.get("count") in (None, 0, 1)
    assert b"hidden" not in answer.raw


async def test_what_an_action_refuses_does_not_tell_of_what_may_not_be_read(door: Door) -> None:
    """A guard's text and its values are for those who may read the entity."""
    await door.payment("hidden", secret=True, amount=777_777, to="whisper")
    for action in ("Approve", "Pay", "Drop", "Nothing"):
        answer = await door.ask("aude", "POST", f"/v1/treasury/Payment/hidden/{action}", {})
        assert 400 <= answer.status < 500
        for word in (b"777777", b"777_777", b"whisper", b"Draft"):
            assert word not in answer.raw, action


async def test_a_deputy_does_for_nobody_what_nobody_lets_it(door: Door) -> None:
    """Who may not approve finds no one to do it: a joint action is `system`, and `Approve` is not for `system`."""
    text = BLUEPRINT.replace("with payment.Drop", "with payment.Approve")
    with pytest.raises(Declined) as declined:
        await door.vault.push(ADMIN, "treasury", {**FILES, "treasury.blueprint": text})
    assert declined.value.problem.type == "broken-blueprint"
    assert "system" in str(declined.value.problem.findings)
    text = BLUEPRINT.replace("send payment.Drop", "send payment.Pay")
    with pytest.raises(Declined):
        await door.vault.push(ADMIN, "treasury", {**FILES, "treasury.blueprint": text})


async def test_what_a_deputy_may_is_on_its_callers_behalf(door: Door) -> None:
    """The history names who is behind it, and a send keeps that name."""
    for number, action in enumerate(("GiveUp", "Tell")):
        payment = await door.payment(f"p{number}", who="olaf")
        made = await door.ask("cleo", "POST", "/v1/treasury/Errand", {"payment": payment, "id": f"e{number}"})
        assert made.status == 201
        assert (await door.ask("cleo", "POST", f"/v1/treasury/Errand/e{number}/{action}", {})).status == 200
        got = await door.ask("cleo", "GET", f"/v1/treasury/Payment/{payment}/wait?until=state%20is%20Void")
        assert got.body["met"] is True
        (dropped,) = [each for each in door.journal() if each.id == payment and each.action == "Drop"]
        assert (dropped.actor, dropped.by.principal, dropped.by.roles) == ("system", "cleo", ("clerk",))


async def test_nobody_makes_themselves_more_by_what_they_create(door: Door) -> None:
    """A field says who drafted it: no parameter sets that, and whoever drafts can't approve."""
    await door.payment("mine", who="olaf")
    answer = await door.ask("olaf", "POST", "/v1/treasury/Payment/mine/Approve", {})
    assert answer.status == 409, answer.raw
    assert (await door.ask("olga", "POST", "/v1/treasury/Payment/mine/Approve", {})).status == 200


async def test_an_agent_is_no_more_than_who_started_it(door: Door) -> None:
    """Nor can one be two: who has drafted can't approve through an agent of their own."""
    started = await door.ask("olaf", "POST", "/v1/sessions", {"name": "helper", "roles": ["officer"], "ttl": "5m"})
    assert started.status == 201, started.raw
    agent = started.body["token"]
    wider = await door.ask(None, "POST", "/v1/sessions", {"name": "more", "roles": ["clerk"], "ttl": "5m"}, token=agent)
    assert wider.status in (403, 422)
    await door.payment("big", amount=5_000)
    assert (await door.ask("olga", "POST", "/v1/treasury/Payment/big/Approve", {})).status == 200
    refused = await door.ask(None, "POST", "/v1/treasury/Payment/big/Pay", {}, token=agent)
    assert refused.status == 403
    assert "agents pay 1,000 at the most" in refused.raw.decode()
    assert [each.action for each in door.journal() if each.id == "big" and each.refused is None] == ["Open", "Approve"]


async def test_what_is_refused_by_a_policy_is_in_the_history_with_its_name(door: Door) -> None:
    started = await door.ask("olaf", "POST", "/v1/sessions", {"name": "helper", "roles": ["officer"], "ttl": "5m"})
    await door.payment("big", amount=5_000)
    await door.ask("olga", "POST", "/v1/treasury/Payment/big/Approve", {})
    await door.ask(None, "POST", "/v1/treasury/Payment/big/Pay", {}, token=started.body["token"])
    last = door.journal()[-1]
    assert last.refused is not None
    assert (last.refused.why, last.refused.policies, last.by.acts_for) == ("policy", ("agents-pay-little",), "olaf")


HOSTILE = [
    ("nothing but brackets", "(" * 50_000),
    ("a deep expression", "blueprint a\nentity A\n  states S\n  let x = " + "not " * 20_000 + "true\n"),
    ("deep lines", "".join("  " * depth + "in S\n" for depth in range(5_000))),
    ("very many states", "blueprint a\nentity A\n  states " + ", ".join(f"S{n}" for n in range(100_000)) + "\n"),
    ("a huge number", "blueprint a\nconst x = " + "9" * 100_000 + "\n"),
    ("a long string", 'blueprint a\nconst x = "' + "a" * 1_000_000 + "\n"),
    ("many quotes", "blueprint a\nconst x = " + '"\\' * 100_000 + "\n"),
    ("names that collide", "blueprint a\nentity Act\n  states New, new, None\n  state: int\n  id: string\n  this: T\n"),
    ("a name that is a dunder", "blueprint __init__\nentity __class__\n  states __dict__\n"),
    ("look-alikes", "blueprint а\nentity Ａ\n  states S\n"),
    ("control letters", "blueprint a\x00b\x1b[2J\u202e\n"),
    ("comments alone", "#\n" * 400_000),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text"), HOSTILE, ids=[what for what, _ in HOSTILE])
async def test_a_hostile_blueprint_is_a_diagnostic_and_the_server_goes_on(door: Door, what: str, text: str) -> None:
    with pytest.raises(Declined) as declined:
        await door.vault.push(ADMIN, "a", {"a.blueprint": text})
    assert declined.value.problem.status == 422
    assert len(str(declined.value.problem)) < 200_000
    assert await door.payment()


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("deep", "forbid (principal, action, resource) when { " + "(" * 5_000 + "true" + ")" * 5_000 + " };"),
        ("long", "forbid (principal, action, resource) when { " + " || ".join(["true"] * 20_000) + " };"),
        ("many", "forbid (principal, action, resource);" * 10_000),
        ("elsewhere", 'forbid (principal, action == other::Action::"Push", resource);'),
        ("templates", "forbid (principal == ?principal, action, resource);"),
        ("rubbish", "\x00\xff forbid"),
    ],
)
async def test_hostile_policies_are_diagnostics_and_those_in_force_stay(door: Door, name: str, policy: str) -> None:
    with pytest.raises(Declined) as declined:
        await door.vault.push(ADMIN, "treasury", {**FILES, f"{name}.cedar": policy})
    assert declined.value.problem.status == 422
    await door.payment("hidden", secret=True)
    assert (await door.ask("aude", "GET", "/v1/treasury/Payment/hidden")).status == 404


async def test_who_writes_blueprints_does_not_say_who_may_push(door: Door) -> None:
    """A bundle's policies speak of its own actions: administration is not among them."""
    own = 'permit (principal, action == temper::Action::"push", resource);'
    with pytest.raises(Declined):
        await door.vault.push(ADMIN, "treasury", {**FILES, "own.cedar": own})
    answer = await door.ask("olaf", "PUT", "/v1/treasury", {"files": FILES})
    assert answer.status in (403, 404, 405)
    assert (await door.ask("cleo", "POST", "/v1/treasury/Payment", {**OPENED, "id": "x"})).status == 201
