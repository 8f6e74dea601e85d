"""The verbs of the outbox, against a real store and a real living space."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from temper.runtime import Adapter, Attempt, Call, Failed
from temper.runtime.tools import Kind, Pace, Paced
from temper.service import Declined, Person, Workshop
from temper.service.settings import PushSection
from tests.kernel.shop import SHOP
from tests.service.shop import opened

ADMIN = Person("root", admin=True)
EVE = Person("eve", admin=True)
ANN = Person("ann", frozenset({"clerk"}))
DOWN = Failed(Kind.UNAVAILABLE, "503", retry=True)
# A send to a shelf with too little has no home in this one.
STRICT = SHOP.replace("  late Take, Refill ignore\n", "")


class Says:
    """An adapter that answers what it is told to, and counts."""

    def __init__(self, says: Attempt) -> None:
        self.says = says
        self.calls = 0

    async def call(self, call: Call) -> Attempt:
        self.calls += 1
        return self.says

    async def close(self) -> None:
        return None


def bound(shop: Workshop, adapter: Adapter) -> None:
    """Have the bank's calls carried out by this adapter."""
    shop._bindings.adapters["bank.charge"] = adapter
    shop._spaces["shop"].live.bind(shop._bindings.adapters)


PUSH = PushSection(levels=("scenarios",), allow_unknown=True)


async def prepare(folder: Path) -> None:
    """Push the shop, judged by nothing that takes time."""
    async with opened(folder, push=PUSH) as workshop:
        await workshop.push(ADMIN, "shop", {"shop.blueprint": STRICT})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a workshop that serves the shop, to be copied."""
    folder = tmp_path_factory.mktemp("outbox") / "data"
    anyio.run(prepare, folder)
    return folder


@pytest.fixture
async def shop(made: Path, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A workshop of its own for one test."""
    shutil.copytree(made, tmp_path / "data")
    async with opened(tmp_path / "data", push=PUSH) as workshop:
        bound(workshop, Says(DOWN))
        yield workshop


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go round until it holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - it asks anything, not what somebody could set an event for
            await asyncio.sleep(0.001)


async def dead_send(shop: Workshop) -> str:
    """A send to a shelf that has too little."""
    await shop.create(ANN, "shop", "Shelf", None, {"id": "s1", "name": "nuts", "stock": 5})
    await shop.create(ANN, "shop", "Purchase", None, {"id": "p1", "number": "1", "amount": "3", "shelf": "s1"})
    await shop.act(ANN, "shop", "Purchase", "p1", "Reserve", {"units": 9})
    store = shop._spaces["shop"].store
    await until(lambda: bool(store.letters(limit=1)))
    return store.letters(limit=1)[0].order


async def waiting_call(shop: Workshop) -> str:
    """A call that the bank could not take, and which waits to be tried again."""
    await shop.create(ANN, "shop", "Purchase", None, {"id": "p2", "number": "2", "amount": "3"})
    await shop.act(ANN, "shop", "Purchase", "p2", "Pay", {})
    store = shop._spaces["shop"].store
    await until(lambda: any(row.last_error for row in store.orders_of("Purchase", "p2")))
    return store.orders_of("Purchase", "p2")[0].order


async def test_a_dead_letter_says_what_it_was_and_why(shop: Workshop) -> None:
    order = await dead_send(shop)
    (letter,) = await shop.letters(ANN, "shop")
    assert (letter.order, letter.kind, letter.to, letter.state, letter.dead) == (
        order, "send", "Shelf/s1.Take", "dead", True,
    )  # fmt: skip
    assert (letter.entity, letter.id, letter.text) == ("Purchase", "p1", "not that many on the shelf")
    assert await shop.letter(ANN, "shop", order) == letter
    assert await shop.letters(ANN, "shop", after=order) == ()


async def test_a_dead_send_is_tried_again_once_it_can_be_taken(shop: Workshop) -> None:
    order = await dead_send(shop)
    await shop.act(ANN, "shop", "Shelf", "s1", "Refill", {"units": 9})
    assert (await shop.retry(EVE, "shop", order)).state == "waiting"
    live = shop._spaces["shop"].live
    await until(lambda: (shelf := live.read("Shelf", "s1")) is not None and shelf.fields["stock"] == 5)
    assert live.store.order(order) is None
    assert await shop.letters(ANN, "shop") == ()


async def test_a_dead_send_is_put_away(shop: Workshop) -> None:
    order = await dead_send(shop)
    assert (await shop.discard(EVE, "shop", order)).state == "ended"
    assert await shop.letters(ANN, "shop") == ()
    with pytest.raises(Declined) as caught:
        await shop.discard(EVE, "shop", order)
    assert caught.value.problem.status == 404


async def test_what_an_operator_did_is_in_the_history_and_the_stream(shop: Workshop) -> None:
    order = await dead_send(shop)
    upto = shop._spaces["shop"].store.last_seq()
    await shop.discard(EVE, "shop", order, note="sold by hand")
    (entry,) = [each for each in await shop.history(ANN, "shop", "Purchase", "p1") if each.cause == "operator"]
    assert (entry.how, entry.principal) == ("discarded", "eve")
    assert entry.text == (
        f"eve gives the send to Shelf/s1.Take up (order {order}, after: not that many on the shelf): sold by hand"
    )
    assert entry.operated == {
        "order": order, "kind": "send", "to": "Shelf/s1.Take", "text": "not that many on the shelf",
        "note": "sold by hand",
    }  # fmt: skip
    assert await anext(shop.watch(ANN, "shop", after=upto)) == entry
    with pytest.raises(Declined) as caught:
        await shop.retry(EVE, "shop", order, note="x" * 1_001)
    assert caught.value.problem.status == 422


async def test_a_waiting_call_is_shown_tried_at_once_and_given_up_by_name(shop: Workshop) -> None:
    order = await waiting_call(shop)
    was = await shop.letter(ANN, "shop", order)
    assert (was.kind, was.tool, was.args, was.state, was.dead, was.attempts) == (
        "call", "bank.charge", {"amount": "3", "order": "2"}, "waiting", False, 1,
    )  # fmt: skip
    assert was.last_error == "unavailable: 503"
    adapter = shop._bindings.adapters["bank.charge"]
    assert isinstance(adapter, Says)
    await shop.retry(EVE, "shop", order)
    await until(lambda: adapter.calls == 2)
    await until(lambda: (row := shop._spaces["shop"].store.order(order)) is not None and row.state.value == "waiting")
    await shop.discard(EVE, "shop", order)
    entries = await shop.history(ANN, "shop", "Purchase", "p2")
    assert "`eve` gave the call up" in str(entries[-2])
    assert entries[-1].text.startswith(f"eve gives the call of bank.charge up (order {order}, after: unavailable: 503)")
    assert (await shop.read(ANN, "shop", "Purchase", "p2")).state == "Lost"


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_only_an_administrator_touches_an_order(shop: Workshop, verb: str) -> None:
    order = await dead_send(shop)
    with pytest.raises(Declined) as caught:
        await getattr(shop, verb)(ANN, "shop", order)
    assert caught.value.problem.status == 403
    assert len(await shop.letters(ANN, "shop")) == 1


@pytest.mark.parametrize("verb", ["letter", "retry", "discard"])
async def test_an_order_that_is_not_there_is_declined(shop: Workshop, verb: str) -> None:
    with pytest.raises(Declined) as caught:
        await getattr(shop, verb)(ADMIN, "shop", "nothing")
    assert (caught.value.problem.type, caught.value.problem.status) == ("not-found", 404)


async def test_tools_say_what_holds_their_calls_back(shop: Workshop) -> None:
    """The other tool has nothing bound to it."""
    bank, post = await shop.tools(ANN, "shop")
    assert (bank.tool, bank.bound, bank.circuit, bank.waiting, bank.why) == ("bank.charge", True, "closed", 0, "")
    assert (post.tool, post.bound, post.why) == ("post.ship", False, "nothing is bound to it")
    bound(shop, Paced(Says(DOWN), Pace(failures=1, pause_ms=3_600_000)))
    await waiting_call(shop)
    bank, _ = await shop.tools(ANN, "shop")
    assert (bank.circuit, bank.failed, bank.waiting, bank.last_error) == ("open", 1, 1, "unavailable: 503")
    assert bank.why == "the circuit is open, after failures in a row: 1"
    assert bank.until is not None
    assert bank.next_attempt_at == bank.until
