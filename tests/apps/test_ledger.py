"""The ledger under load: real clients, a real server that is killed and changed meanwhile, and an audit of every sum.

`KILLS=20 ./run pytest tests/apps/test_ledger.py` goes on for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from temper.kernel import Entry, replay
from temper.runtime import SqliteStore
from temper.runtime.history import SqliteStill, audit
from temper.service import check_texts, verify_table
from temper.verify import Bounds, measure
from tests.kill.audit import assert_kept
from tests.kill.client import Client, Declined, Found, Log, Taken
from tests.kill.servers import Server, free_port, nursery

TEXT = (Path(__file__).parents[2] / "apps" / "ledger" / "ledger.blueprint").read_text("utf-8")
# What is pushed in between: a field more, and an action that sets it.
CHANGED = TEXT.replace(
    "  # Asking twice opens it once.\n",
    "  remark: string?\n  action Remark(remark) by bank from Open\n    set remark\n\n  # Asking twice opens it once.\n",
)
KILLS = int(os.environ.get("KILLS", "6"))
CLIENTS = 16
CUSTOMERS = [f"customer-{number}" for number in range(8)]
# It owes what the customers have, and has no limit.
CASH = "cash"
SIDES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
SETTINGS = '[push]\nlevels = ["scenarios"]\nallow_unknown = true\n'
MANY = 10_000_000


@dataclass(slots=True)
class Bank:
    """The server, and what its clients have been told."""

    server: Server
    log: Log = field(default_factory=Log)
    clients: list[Client] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    settled: Counter[str] = field(default_factory=Counter)
    posted: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Of each transfer that somebody was told is posted: debit, credit, and how much."""

    async def client(self, name: str, *roles: str) -> Client:
        """Return somebody with a token of their own."""
        token = await self.server.token(name, *roles)
        client = Client(name, token, lambda: self.server.url, self.log, "ledger")
        self.clients.append(client)
        return client

    async def transfers(self, client: Client, number: int) -> None:
        """Reserve money and decide what becomes of it, over and over."""
        chance = random.Random(number)
        turn = 0
        while not self.stop.is_set():
            turn += 1
            transfer = f"t{number}-{turn}"
            debit, credit = chance.sample([CASH, CASH, *CUSTOMERS], 2)
            amount = chance.randint(1, 100)
            asked: dict[str, Any] = {"reference": transfer, "debit": debit, "credit": credit, "amount": amount}
            if chance.random() < 0.3:
                asked["timeout"] = "150ms"
            told = await client.create("Transfer", transfer, "Reserve", **asked)
            if isinstance(told, Declined):
                self.settled[told.text] += 1
                continue
            if chance.random() < 0.1 and "timeout" not in asked:
                # Another request for the same reference is no other transfer.
                again = await client.create("Transfer", transfer, "Reserve", **asked)
                assert isinstance(again, Taken)
                assert (again.seq, again.seen.state) == (0, "Pending")
            await self._settled(client, transfer, debit, credit, amount, chance)

    async def _settled(
        self, client: Client, transfer: str, debit: str, credit: str, amount: int, chance: random.Random
    ) -> None:
        dice = chance.random()
        if dice < 0.15:
            self.settled["left"] += 1
        elif dice < 0.35:
            told = await client.act("Transfer", transfer, "Void")
            self.settled["voided" if isinstance(told, Taken) else "too late"] += 1
        else:
            much = amount if dice < 0.7 else chance.randint(0, amount + 5)
            told = await client.act("Transfer", transfer, "Post", posted=much)
            if isinstance(told, Taken):
                self.posted[transfer] = debit, credit, much
                self.settled["posted"] += 1
            else:
                assert isinstance(told, Declined)
                self.settled["too much" if much > amount else "too late"] += 1

    async def requests(self, count: int) -> None:
        """Wait until so many more have been made, however slow the machine is."""
        until = len(self.log.lines) + count
        while len(self.log.lines) < until:  # noqa: ASYNC110 - the log is a list
            await asyncio.sleep(0.005)

    async def audit(self, client: Client) -> None:
        """Read all accounts at once, whatever goes on: each sum on one side is that on the other."""
        listed = await client.get("/v1/ledger/Account", limit="200")
        assert listed["cursor"] is None
        assert_balanced([(each["state"], each["fields"]) for each in listed["items"]])

    async def audits(self, client: Client) -> int:
        """Audit while others work; return how often."""
        count = 0
        while not self.stop.is_set():
            await self.audit(client)
            count += 1
            await asyncio.sleep(0.02)
        return count

    def audit_file(self) -> None:
        """What a killed server leaves on the disk is balanced, to the last transfer; so is the fold of its journal."""
        with SqliteStill(self.server.file("ledger")) as still:
            assert audit(still).difference is None
        store = SqliteStore(self.server.file("ledger"))
        try:
            folded = replay(store.entries(0, MANY))
            rows = {
                (now.entity, now.id): (now.state, now.fields)
                for kind in ("Account", "Transfer")
                for now in store.list(kind, limit=MANY).items
            }
        finally:
            store.close()
        assert_audited({place: (now.state, now.fields) for place, now in folded.items()})
        assert_audited(rows)
        assert {place: state for place, (state, _) in rows.items()} == {p: now.state for p, now in folded.items()}


Entities = Mapping[tuple[str, str], tuple[str, Mapping[str, Any]]]


def assert_balanced(accounts: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Money is conserved, and nobody is past their limit."""
    sums: Counter[str] = Counter()
    for _, fields in accounts:
        sums.update({side: fields[side] for side in SIDES})
        assert min(fields[side] for side in SIDES) >= 0
        if fields["debits_must_not_exceed_credits"]:
            assert fields["debits_pending"] + fields["debits_posted"] <= fields["credits_posted"], fields
    assert sums["debits_pending"] == sums["credits_pending"], sums
    assert sums["debits_posted"] == sums["credits_posted"], sums


def assert_audited(entities: Entities) -> None:
    """Each account is, side by side, what its transfers come to."""
    due: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, _), (state, fields) in entities.items():
        if kind == "Transfer":
            pending = fields["amount"] if state == "Pending" else 0
            posted = fields["posted_amount"]
            assert state == "Posted" or posted == 0
            due[fields["debit"]].update(debits_pending=pending, debits_posted=posted)
            due[fields["credit"]].update(credits_pending=pending, credits_posted=posted)
    accounts = {id: now for (kind, id), now in entities.items() if kind == "Account"}
    assert_balanced(accounts.values())
    for id, (_, fields) in accounts.items():
        assert {side: fields[side] for side in SIDES} == {side: due[id][side] for side in SIDES}, id


async def test_money_is_conserved_whatever_happens_to_the_server(tmp_path: Path) -> None:
    (tmp_path / "temper.toml").write_text(SETTINGS)
    async with asyncio.timeout(60 + 10 * KILLS), nursery() as born:
        bank = Bank(Server(born, tmp_path, free_port()))
        try:
            audits = await lived(bank, random.Random(1))
        finally:
            for client in bank.clients:
                await client.close()
    bank.audit_file()
    store = SqliteStore(bank.server.file("ledger"))
    try:
        entries = store.entries(0, MANY)
        versions = len(store.versions())
    finally:
        store.close()
    assert_kept(bank.log.lines, entries)
    assert_resolved_once(entries)

    # And all this has been put to the test.
    assert audits > KILLS
    assert versions == 2 + KILLS // 2
    assert all(bank.settled[how] > 0 for how in ("posted", "voided", "left", "too late", "too much", "exceeds_credits"))
    assert any(line.tries > 1 for line in bank.log.lines)
    assert sum(entry.timer is not None for entry in entries) > 0


async def lived(bank: Bank, chance: random.Random) -> int:
    """Let sixteen clients move money while the server is killed and changed; return how often it was audited."""
    server = bank.server
    await server.start()
    for version, text in enumerate((CHANGED, TEXT), 1):  # Each is judged once; from now on a push is a swap.
        assert await server.push("ledger", text) == version
    teller = await bank.client("teller", "bank")
    for name in (CASH, *CUSTOMERS):
        await teller.create("Account", name, "Register", name=name, debits_must_not_exceed_credits=name != CASH)
    clients = [await bank.client(f"client-{number}", "client") for number in range(CLIENTS)]
    async with asyncio.TaskGroup() as tasks:
        for number, client in enumerate(clients):
            tasks.create_task(bank.transfers(client, number))
        audits = tasks.create_task(bank.audits(teller))
        for turn in range(KILLS):
            await bank.requests(60)
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            if turn % 2:
                pushed = await server.push("ledger", (CHANGED, TEXT)[turn // 2 % 2])
                assert pushed is not None
                await asyncio.sleep(chance.uniform(0.0, 0.3))
            await server.kill()
            bank.audit_file()
            await server.start()
        await bank.requests(60)
        bank.stop.set()
    await at_rest(teller)
    await bank.audit(teller)
    await assert_as_told(bank, teller)
    await server.kill(signal.SIGTERM)
    return audits.result()


async def at_rest(client: Client) -> None:
    """Wait until nothing is pending that has a timeout."""
    while True:
        listed = await client.get(
            "/v1/ledger/Transfer", filter="state is Pending and expires_at != none", count="true", limit="1"
        )
        if listed["count"] == 0:
            return
        await asyncio.sleep(0.05)


async def assert_as_told(bank: Bank, client: Client) -> None:
    """Each account has what its owner can work out from the answers alone."""
    due: dict[str, Counter[str]] = defaultdict(Counter)
    for debit, credit, much in bank.posted.values():
        due[debit]["debits_posted"] += much
        due[credit]["credits_posted"] += much
    for name in (CASH, *CUSTOMERS):
        found = await client.read("Account", name)
        assert isinstance(found, Found)
        assert found.seen is not None
        for side in ("debits_posted", "credits_posted"):
            assert found.seen.fields[side] == due[name][side], name


def assert_resolved_once(entries: Iterable[Entry]) -> None:
    """A transfer is posted, voided or expired once, and both accounts took part in the same commit."""
    ended: Counter[str] = Counter()
    for entry in entries:
        if entry.entity == "Transfer" and entry.refused is None and entry.before == "Pending" != entry.after:
            ended[entry.id] += 1
    assert set(ended.values()) == {1}


@pytest.mark.parametrize(
    ("place", "side", "by"),
    [
        (("Account", "a"), "credits_posted", 1),
        (("Account", "b"), "debits_pending", -1),
        (("Transfer", "t"), "posted_amount", -1),
        (("Transfer", "u"), "amount", 1),
    ],
)
def test_an_audit_misses_no_cent(place: tuple[str, str], side: str, by: int) -> None:
    """One row, one sum that is off by one."""
    free = {"debits_must_not_exceed_credits": False}
    entities: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
        ("Account", "a"): ("Open", {**dict.fromkeys(SIDES, 0), "credits_posted": 7, "credits_pending": 3, **free}),
        ("Account", "b"): ("Open", {**dict.fromkeys(SIDES, 0), "debits_posted": 7, "debits_pending": 3, **free}),
        ("Transfer", "t"): ("Posted", {"debit": "b", "credit": "a", "amount": 9, "posted_amount": 7}),
        ("Transfer", "u"): ("Pending", {"debit": "b", "credit": "a", "amount": 3, "posted_amount": 0}),
    }
    assert_audited(entities)
    entities[place][1][side] += by
    with pytest.raises(AssertionError):
        assert_audited(entities)


def test_that_money_is_conserved_is_proved_for_any_number_of_accounts() -> None:
    """Proved, and not within bounds: whatever is said of sums over all, and of an account's limits."""
    checked = check_texts({"ledger.blueprint": TEXT})
    assert checked.table is not None
    verified = verify_table(checked.table, levels=("algebra",), states=0, seconds=300)
    proved = {each["name"] for each in verified.report["properties"] if each["verdict"] == "proved"}
    assert proved >= {
        "debits stay within credits",
        "credits stay within debits",
        "what is posted stays posted",
        "a closed account only gives back",
        "what is pending is pending on both sides",
        "money is conserved",
        "what is pending is that of pending transfers",
        "what is posted is that of posted transfers",
    }


def test_what_the_ledger_says_is_noticed_where_it_is_changed() -> None:
    """Some of every kind of change; each of them breaks a property or a scenario."""
    checked = check_texts({"ledger.blueprint": TEXT})
    assert checked.table is not None
    found = measure(checked.table, Bounds(suggestions=0, mutants=16, seconds=300, mutant_seconds=60))
    assert (found.unjudged, found.vacuous, found.survivors) == (0, (), ())
    assert found.counted > 8
