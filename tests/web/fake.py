"""A workshop that remembers what it was asked, and answers from a list: for tests of the door's own part alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

from temper.service import Declined, Peer, Person, Workshop, wire
from temper.service.identity import Identity
from temper.service.settings import IdentitySection
from temper.web import Door, Limits, app

TOKEN = "temper_1_secret"
ANN = Person("ann", frozenset({"owner"}), admin=True)
VIEW = wire.EntityView(
    entity="Lamp", id="l1", state="On", version=3, fields={"watts": 7}, created_at="2030-01-01T00:00:00Z",
    updated_at="2030-01-01T00:00:00Z",
)  # fmt: skip
ACTED = wire.Acted(entity=VIEW, action="Switch", before="Off", after="On", seq=9)
SHAPE = wire.BlueprintShape(
    name="lamp",
    version=2,
    digest="d" * 64,
    description="Lamps.",
    roles=("owner",),
    entities=(
        wire.EntityShape(
            name="Lamp",
            description="A lamp in a hall.",
            states=("Off", "On"),
            final=(),
            fields={"type": "object", "properties": {"watts": {"type": "integer"}}, "required": ["watts"]},
            actions=(
                wire.ActionShape(
                    name="Hang", description="Hangs it up.", creates=True, acts=False, by=("owner",), callable=True,
                    params={
                        "type": "object", "properties": {"watts": {"type": "integer", "minimum": 1}},
                        "required": ["watts"], "additionalProperties": False,
                    },
                    froms=("new",), to=("Off",), place=None,
                ),
                wire.ActionShape(
                    name="Switch", description="", creates=False, acts=True, by=("owner",), callable=True,
                    params={"type": "object", "properties": {}, "required": [], "additionalProperties": False},
                    froms=("Off", "On"), to=("On", "Off"), place=None,
                ),
                wire.ActionShape(
                    name="Fade", description="", creates=False, acts=True, by=("system",), callable=False,
                    params={"type": "object", "properties": {}, "required": [], "additionalProperties": False},
                    froms=("On",), to=("Off",), place=None,
                ),
            ),
        ),
    ),
    events={},
    tools=(),
    records={},
)  # fmt: skip
LETTER = wire.Letter(order="o1", entity="Lamp", id="l1", at="2030-01-01T00:00:00Z", state="dead", dead=True)
PUSHED = wire.Pushed(blueprint="lamp", version=2, digest="d" * 64)
NEW_TOKEN = wire.NewToken(token="temper_2_secret", info=wire.Token(id="2", principal="bob", roles=()))
ENTRY = wire.HistoryEntry(
    seq=9, at="2030-01-01T00:00:00Z", entity="Lamp", id="l1", version=3, cause="act", how="taken", action="Switch"
)


@dataclass
class Fake:
    """Answers each verb with what `says` holds for it; an exception is raised, a callable is called."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)
    entries: asyncio.Queue[wire.HistoryEntry] = field(default_factory=asyncio.Queue)
    identity: Identity = field(default_factory=lambda: Identity(IdentitySection()))
    short: int = 0
    """How many were begun without a task."""

    def authenticate(self, token: str | None) -> Person:
        if token != TOKEN or "authenticate" in self.says:
            raise Declined(wire.Problem(type="unauthenticated", title="who calls is not known", status=401))
        return ANN

    async def who(self, token: str | None) -> Person:
        return self.authenticate(token)

    def by_connection(self, peer: Peer, headers: Any) -> Person | None:
        return None

    def lent(self, person: Person) -> bytes | None:
        return None

    def was_handed_on(self, said: bytes | None) -> bool:
        return False

    def knows(self, blueprint: str) -> bool:
        return True

    def _answer(self, verb: str, default: Any, *asked: Any, **named: Any) -> Any:
        self.asked.append((verb, *asked, *([named] if named else [])))
        said = self.says.get(verb, default)
        if isinstance(said, BaseException):
            raise said
        return said

    def blueprints(self, person: Person) -> Any:
        version = wire.Version(blueprint="lamp", number=2, digest="d" * 64, at="", by="ann")
        return self._answer("blueprints", (version,))

    def shape(self, person: Person, blueprint: str) -> Any:
        if blueprint != "lamp":
            raise Declined(wire.Problem(type="not-found", title=f"there is no blueprint `{blueprint}`", status=404))
        return self.says.get("shape", SHAPE)

    def sources(self, person: Person, blueprint: str, number: int | None = None) -> Any:
        return self._answer("sources", {"lamp.blueprint": "blueprint lamp\n"}, blueprint, number)

    async def plan(self, person: Person, blueprint: str, files: Any, *, strength: bool = False) -> Any:
        plan = wire.Plan(
            blueprint="lamp", digest="d", from_version=1, from_digest="d", changes=(), stranded=(), report={},
            pushable=True,
        )  # fmt: skip
        return self._answer("plan", plan, blueprint, files)

    async def shadow(self, person: Person, blueprint: str, files: Any, *, last: int) -> Any:
        found = wire.Shadow(blueprint="lamp", digest="d", requests=1, differ=0)
        return self._answer("shadow", found, blueprint, files, last=last)

    async def push(self, person: Person, blueprint: str, files: Any, **named: Any) -> Any:
        return self._answer("push", PUSHED, blueprint, files, **named)

    def versions(self, person: Person, blueprint: str) -> Any:
        return self._answer("versions", (), blueprint)

    def policies(self, person: Person, blueprint: str, number: int | None = None) -> Any:
        found = wire.PoliciesView(blueprint="lamp", text="", policies=(), schema_text="", schema={}, version=1)
        return self._answer("policies", found, blueprint, number)

    async def simulate_policy(self, person: Person, blueprint: str, files: Any = None, **named: Any) -> Any:
        return self._answer("simulate_policy", wire.WhatIf(blueprint="lamp", version=1), blueprint, files, **named)

    async def rollback(self, person: Person, blueprint: str, number: int | None = None, **named: Any) -> Any:
        return self._answer("rollback", PUSHED, blueprint, number, **named)

    async def start_canary(self, person: Person, blueprint: str, files: Any, wanted: Any, **named: Any) -> Any:
        return self._answer("start_canary", PUSHED, blueprint, files, wanted, **named)

    async def canary(self, person: Person, blueprint: str) -> Any:
        found = wire.Canary(blueprint="lamp", version=2, beside=1, digest="d", since="", share=0.5)
        return self._answer("canary", found, blueprint)

    async def audit(self, person: Person, blueprint: str, expect: str | None = None) -> Any:
        found = wire.Audited(passes=True, entries=1, entities=1, versions=1)
        return self._answer("audit", found, blueprint, expect)

    async def export(self, person: Person, blueprint: str) -> Any:
        for piece in self._answer("export", [b"1\n2\n", b"3\n"], blueprint):
            yield piece

    async def promote(self, person: Person, blueprint: str, **named: Any) -> Any:
        return self._answer("promote", PUSHED, blueprint, **named)

    async def withdraw(self, person: Person, blueprint: str, **named: Any) -> Any:
        return self._answer("withdraw", PUSHED, blueprint, **named)

    async def letters(self, person: Person, blueprint: str, **named: Any) -> Any:
        return self._answer("letters", (LETTER,), blueprint, **named)

    async def letter(self, person: Person, blueprint: str, order: str) -> Any:
        return self._answer("letter", LETTER, blueprint, order)

    async def retry(self, person: Person, blueprint: str, order: str, **named: Any) -> Any:
        return self._answer("retry", LETTER, blueprint, order, **named)

    async def discard(self, person: Person, blueprint: str, order: str, **named: Any) -> Any:
        return self._answer("discard", LETTER, blueprint, order, **named)

    async def tools(self, person: Person, blueprint: str) -> Any:
        return self._answer("tools", (), blueprint)

    async def create(
        self, person: Person, blueprint: str, entity: str, action: str | None, body: Any, **named: Any
    ) -> Any:
        return self._answer("create", ACTED, blueprint, entity, action, body, **named)

    async def act(
        self, person: Person, blueprint: str, entity: str, id: str, action: str, body: Any, **named: Any
    ) -> Any:
        return self._answer("act", ACTED, blueprint, entity, id, action, body, **named)

    def begin_create(
        self, person: Person, blueprint: str, entity: str, action: str | None, body: Any, *, then: Any, **named: Any
    ) -> None:
        self.short += 1
        then(self._answer("create", ACTED, blueprint, entity, action, body, **named))

    def begin_act(
        self, person: Person, blueprint: str, entity: str, id: str, action: str, body: Any, *, then: Any, **named: Any
    ) -> None:
        self.short += 1
        then(self._answer("act", ACTED, blueprint, entity, id, action, body, **named))

    async def read(self, person: Person, blueprint: str, entity: str, id: str) -> Any:
        return self._answer("read", VIEW, blueprint, entity, id)

    async def list(self, person: Person, blueprint: str, entity: str, **named: Any) -> Any:
        return self._answer("list", wire.Page(items=(VIEW,)), blueprint, entity, **named)

    async def list_past(self, person: Person, blueprint: str, entity: str, at: str, **named: Any) -> Any:
        return self._answer("list_past", wire.PastPage(items=()), blueprint, entity, at, **named)

    async def past(self, person: Person, blueprint: str, entity: str, id: str, at: str) -> Any:
        was = wire.PastEntity(
            entity=entity, id=id, state="Off", version=3, fields={}, created_at="", updated_at="", seq=7
        )
        return self._answer("past", was, blueprint, entity, id, at)

    async def history(self, person: Person, blueprint: str, entity: str, id: str, **named: Any) -> Any:
        return self._answer("history", (ENTRY,), blueprint, entity, id, **named)

    async def possible(self, person: Person, blueprint: str, entity: str, id: str | None) -> Any:
        return self._answer("possible", (), blueprint, entity, id)

    async def why(self, person: Person, blueprint: str, entity: str, id: str | None, action: str, body: Any) -> Any:
        return self._answer("why", wire.WhyNot(action=action, would="take"), blueprint, entity, id, action, body)

    async def watch(
        self,
        person: Person,
        blueprint: str,
        entity: str | None = None,
        id: str | None = None,
        *,
        after: int | None = None,
    ) -> AsyncIterator[wire.HistoryEntry]:
        self._answer("watch", None, blueprint, entity, id, after)
        while True:
            yield await self.entries.get()

    async def wait(self, person: Person, blueprint: str, entity: str, id: str, until: str, *, timeout_ms: int) -> Any:
        if "wait" not in self.says:
            await asyncio.Event().wait()
        return self._answer("wait", None, blueprint, entity, id, until, timeout_ms)

    def make_token(self, person: Person, principal: str, roles: Any, **named: Any) -> Any:
        return self._answer("make_token", NEW_TOKEN, principal, roles, **named)

    def tokens(self, person: Person) -> Any:
        return self._answer("tokens", (NEW_TOKEN.info,))

    async def revoke_token(self, person: Person, id: str) -> Any:
        return self._answer("revoke_token", NEW_TOKEN.info, id)

    async def rotate_token(self, person: Person, id: str, *, grace_ms: int) -> Any:
        return self._answer("rotate_token", NEW_TOKEN, id, grace_ms=grace_ms)

    async def start_session(self, person: Person, wanted: Any) -> Any:
        return self._answer("start_session", NEW_TOKEN, wanted)

    async def sessions(self, person: Person) -> Any:
        return self._answer("sessions", (NEW_TOKEN.info,))

    async def end_session(self, person: Person, id: str) -> Any:
        return self._answer("end_session", NEW_TOKEN.info, id)

    def me(self, person: Person) -> Any:
        return self._answer("me", wire.Me(principal=person.principal))

    def door(self, limits: Limits | None = None) -> Door:
        """Return the door of this workshop."""
        return app(cast("Workshop", self), limits=limits)
