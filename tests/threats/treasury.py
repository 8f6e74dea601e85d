"""The blueprint of a treasury and its policies, and a client that sends whatever it is told to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from temper.kernel import Entry
from temper.service import Workshop
from tests.service.shop import ADMIN
from tests.web.test_server import Running

BLUEPRINT = """
blueprint treasury

role clerk, officer, auditor
role clerk excludes officer

entity Payment
  states Draft, Approved, Paid, Void
  final Paid, Void

  to: string
  amount: int 1..1_000_000
  secret: bool
  drafted_by: principal

  action Open(to, amount, secret) by clerk, officer from new to Draft
    set to, amount, secret
    set drafted_by = caller

  action Approve by officer from Draft to Approved
    when caller != drafted_by else "nobody approves their own payment"

  action Pay by officer from Approved to Paid

  # What an errand may ask of a payment on a clerk's behalf: to give it up, and nothing else.
  action Drop by clerk, system from Draft, Approved to Void

  late Drop ignore

  never clerk enters Paid

# A clerk's helper: it acts on payments with the clerk's name.
entity Errand
  states Waiting, Done
  final Done

  payment: Payment

  action Ask(payment) by clerk from new to Waiting
    set payment

  action GiveUp by clerk from Waiting to Done
    with payment.Drop

  action Tell by clerk from Waiting to Done
    send payment.Drop
"""
POLICIES = """
@id("reading") @else("payments that are secret are for officers")
forbid (principal, action == treasury::Action::"Payment.read", resource)
when { resource.secret } unless { principal in temper::Role::"officer" };

@id("agents-pay-little") @else("agents pay 1,000 at the most")
forbid (principal, action == treasury::Action::"Payment.Pay", resource)
when { principal.agent && resource.amount > 1000 };

@id("approve-for-agents")
permit (principal in temper::Role::"officer", action == treasury::Action::"Payment.Pay.approve", resource);
"""
FILES = {"treasury.blueprint": BLUEPRINT, "treasury.cedar": POLICIES}
PEOPLE = {"cleo": ("clerk",), "olaf": ("officer",), "olga": ("officer",), "aude": ("auditor",), "nemo": ()}
OPENED = {"to": "acme", "amount": 500, "secret": False}


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def kind(self) -> str:
        """Return the problem's type, "" where there is none."""
        return str(self.body.get("type", "")).removeprefix("/problems/") if self.status >= 400 else ""


@dataclass
class Door:
    """Sends requests to the treasury, well formed or not."""

    vault: Workshop
    server: Running
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, vault: Workshop, server: Running) -> Door:
        door = cls(vault, server)
        for name, roles in PEOPLE.items():
            door.tokens[name] = vault.make_token(ADMIN, name, roles).token
        return door

    async def ask(
        self, who: str | None, method: str, target: str, body: Any = None, *headers: str, token: str | None = None
    ) -> Answer:
        """Send a request of one of the people, or with a token as it is."""
        bearer = token if token is not None else self.tokens.get(who or "")
        lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
        if bearer is not None:
            lines.append(f"Authorization: Bearer {bearer}")
        sent = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
        return await self.send("\r\n".join((*lines, "", "")).encode() + sent)

    async def send(self, sent: bytes) -> Answer:
        """Send bytes as they are."""
        return Answer(*await self.server.raw(sent))

    async def payment(self, id: str = "p1", who: str = "cleo", **fields: Any) -> str:
        """Open a payment."""
        answer = await self.ask(who, "POST", "/v1/treasury/Payment", {**OPENED, **fields, "id": id})
        assert answer.status == 201, answer.raw
        return id

    def journal(self) -> list[Entry]:
        """Return all that has happened."""
        store = self.vault._spaces["treasury"].store
        return list(store.entries(0, 10_000))

    def taken(self) -> list[tuple[str, str | None, str]]:
        """Return what was not refused: the entity, the action, and by whom."""
        return [(each.id, each.action, each.by.principal) for each in self.journal() if each.refused is None]
