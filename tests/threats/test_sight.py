"""Those who may not read something, and would have it told by what they do, by its letters, or by others that refer to
it."""

from __future__ import annotations

from typing import Any

import pytest

from temper.service import Workshop
from temper.service.identity import handed_on, was_handed_on
from temper.web.limits import Limits
from tests.service.shop import ADMIN
from tests.threats.treasury import BLUEPRINT, FILES, OPENED, Answer, Door
from tests.web.test_server import running

SECRET: dict[str, Any] = {"secret": True, "amount": 777_777, "to": "whisper"}
WORDS = (b"777777", b"777_777", b"777,777", b"whisper")


def tells(answer: Answer) -> list[bytes]:
    return [word for word in WORDS if word in answer.raw]


async def push(door: Door, *changes: tuple[str, str]) -> None:
    text = BLUEPRINT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    await door.vault.push(ADMIN, "treasury", {**FILES, "treasury.blueprint": text})


async def test_what_is_tried_out_tells_nothing_of_what_may_not_be_read(door: Door) -> None:
    """Cleo may drop payments and not read those that are secret: nothing changes, and nothing is told."""
    await door.payment("hidden", **SECRET)
    there = await door.ask("cleo", "POST", "/v1/treasury/Payment/hidden/Drop?dry_run=true", {})
    missing = await door.ask("cleo", "POST", "/v1/treasury/Payment/other0/Drop?dry_run=true", {})
    assert (there.status, there.kind) == (missing.status, missing.kind) == (404, "not-found")
    assert not tells(there) and b"Draft" not in there.raw


async def test_what_is_done_tells_nothing_of_what_may_not_be_read(door: Door) -> None:
    """It is done, and that is all that is said: clerks draft and drop what is secret, and don't read it."""
    await door.payment("hidden", **SECRET)
    made = await door.ask("cleo", "POST", "/v1/treasury/Payment", {**OPENED, **SECRET, "id": "own"})
    done = await door.ask("cleo", "POST", "/v1/treasury/Payment/hidden/Drop", {}, "Idempotency-Key: k")
    again = await door.ask("cleo", "POST", "/v1/treasury/Payment/hidden/Drop", {}, "Idempotency-Key: k")
    assert (made.status, done.status, again.status) == (201, 200, 200)
    for answer in (made, done, again):
        assert answer.body["entity"]["fields"] == {}
        assert not tells(answer)
    assert ("hidden", "Drop", "cleo") in door.taken()


async def test_an_answer_kept_under_a_key_is_shown_to_whoever_may_read_it_now(door: Door) -> None:
    """Two tokens of one principal share its keys; each is told what its own roles let it read."""
    officer = door.vault.make_token(ADMIN, "pat", ("officer",)).token
    clerk = door.vault.make_token(ADMIN, "pat", ("clerk",)).token
    await door.payment("hidden", **SECRET)
    target = "/v1/treasury/Payment/hidden/Approve"
    first = await door.ask(None, "POST", target, {}, "Idempotency-Key: k", token=officer)
    assert first.body["entity"]["fields"]["to"] == "whisper"
    second = await door.ask(None, "POST", target, {}, "Idempotency-Key: k", token=clerk)
    assert second.status == 200
    assert not tells(second)


async def test_letters_and_tools_tell_nothing_of_what_may_not_be_read(door: Door) -> None:
    await push(door, ("\n  late Drop ignore\n", "\n"))
    await door.payment("hidden", **SECRET)
    await door.payment("shown")
    for number, payment in enumerate(("hidden", "shown")):
        made = await door.ask("cleo", "POST", "/v1/treasury/Errand", {"payment": payment, "id": f"e{number}"})
        assert made.status == 201, made.raw
        for action in ("Approve", "Pay"):
            assert (await door.ask("olga", "POST", f"/v1/treasury/Payment/{payment}/{action}", {})).status == 200
        assert (await door.ask("cleo", "POST", f"/v1/treasury/Errand/e{number}/Tell", {})).status == 200
    for id in ("hidden", "shown"):
        await door.vault._spaces["treasury"].live.wait_until(
            "Payment", id, lambda _: len(door.vault._spaces["treasury"].store.letters(after=None, limit=9)) == 2,
            timeout_ms=5_000,
        )  # fmt: skip
    everything = (await door.ask("olga", "GET", "/v1/treasury/letters")).body["items"]
    assert len(everything) == 2
    mine = await door.ask("cleo", "GET", "/v1/treasury/letters")
    assert len(mine.body["items"]) == 1
    assert b"hidden" not in mine.raw
    kept = {each["order"] for each in mine.body["items"]}
    (hidden,) = [each["order"] for each in everything if each["order"] not in kept]
    assert (await door.ask("cleo", "GET", f"/v1/treasury/letters/{hidden}")).status == 404
    assert (await door.ask("olga", "GET", f"/v1/treasury/letters/{hidden}")).status == 200
    # Where to go on is no matter of who reads.
    assert len((await door.ask("cleo", "GET", "/v1/treasury/letters?limit=1")).body["items"]) == 1


GUARDED = (
    "  action GiveUp by clerk from Waiting to Done\n",
    '  action GiveUp by clerk from Waiting to Done\n    when payment.amount < 1_000 else "it is too much"\n',
)


async def test_why_not_tells_no_value_of_others_that_may_not_be_read(door: Door) -> None:
    """A clause is told with the values that it looked at, as far as they are the caller's to read."""
    await push(door, GUARDED)
    await door.payment("hidden", **SECRET)
    await door.payment("shown", amount=1_234)
    for number, payment in enumerate(("hidden", "shown")):
        await door.ask("cleo", "POST", "/v1/treasury/Errand", {"payment": payment, "id": f"e{number}"})
    target = "/v1/treasury/Errand/e{}/GiveUp?dry_run=true"
    hidden = await door.ask("cleo", "POST", target.format(0), {})
    shown = await door.ask("cleo", "POST", target.format(1), {})
    assert b"it is too much" in hidden.raw
    assert not tells(hidden), hidden.raw
    assert b"1234" in shown.raw.replace(b"_", b"").replace(b",", b"")
    assert (await door.ask("olga", "GET", "/v1/treasury/Errand/e0")).status == 200


@pytest.mark.parametrize("claim", ["1", "0", "", "99999999999.00", "x.y"])
async def test_who_claims_to_be_handed_on_is_counted_all_the_same(vault: Workshop, claim: str) -> None:
    """Only a server of the same cluster says that it has counted a request already."""
    async with running(vault, Limits(rate_max=2, rate_per=3_600)) as server:
        door = await Door.of(vault, server)
        found = [(await door.ask("olaf", "GET", "/v1/me", None, f"Temper-Forwarded: {claim}")).status for _ in range(4)]
    assert found == [200, 200, 429, 429]


def test_the_word_of_another_server_is_good_for_a_minute_and_for_its_cluster() -> None:
    said = handed_on(b"key", 1_000_000)
    assert was_handed_on(said, b"key", 1_059_999)
    assert not was_handed_on(said, b"key", 1_060_001)
    assert not was_handed_on(said, b"another", 1_000_000)
    assert not was_handed_on(said.replace(b"1000000", b"1030000"), b"key", 1_030_000)
