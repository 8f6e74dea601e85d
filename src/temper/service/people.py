"""Who asks, as the door has made it out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from temper.kernel import NO_FACTS, Facts
from temper.runtime import Administers, Ruling
from temper.service import wire
from temper.service.declined import Declined
from temper.table import Caller

ROLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
PRINCIPAL_MAX = 200
# A moment after the year 9999 can't be written down; nobody means more than this.
TTL_MAX_MS = 36_525 * 86_400_000


class Powers(Protocol):
    """Says who may administer the server: its own policies."""

    def rule(self, person: Person, action: Administers, blueprint: str | None) -> Ruling:
        """Return whether a person may do that, to a blueprint or to the server as a whole."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, as the credential says. An administrator may push, roll back and make tokens; it holds no role by that.

    What a request claims of itself, in its body, query or headers, is never in here.
    """

    principal: str
    roles: frozenset[str] = frozenset()
    admin: bool = False
    acts_for: str | None = None
    """The person behind an agent."""
    teams: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the identity provider, or whoever made the token, says of the principal."""
    session: str | None = None
    """The name of the agent's session."""
    via: str = "http"
    """The door: "http", "mcp", "webhook" or "server"."""
    entities: frozenset[str] | None = None
    """The scope: `BLUEPRINT`, `BLUEPRINT/ENTITY` or `BLUEPRINT/ENTITY/ID`; `None` is no bound."""
    read_only: bool = False
    expires_at: int | None = None
    """When the credential ends, in milliseconds since 1970."""
    token: str | None = None
    """The token's id, which is no secret; `None` where the credential is no token of ours."""
    parent: str | None = None
    """The id of the token that the session was started with."""
    powers: Powers | None = field(default=None, repr=False, compare=False)
    """The server's policies on who may administer it; `None` where an administrator's credential alone decides."""

    @property
    def caller(self) -> Caller:
        """Return the person as an event names them."""
        return Caller(self.principal, self.roles, self.acts_for)

    @property
    def facts(self) -> Facts:
        """Return what policies may ask of the person beside that."""
        known = self.teams or self.attributes or self.admin or self.session is not None
        if not known and self.via == "http":
            return NO_FACTS
        return Facts(self.teams, self.attributes, self.session, self.via, self.admin)

    @property
    def behind(self) -> str:
        """Return the person who answers for it: whom an agent acts for, or the principal itself."""
        return self.acts_for if self.acts_for is not None else self.principal


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, whatever is said over it."""

    address: str | None
    certificate: Mapping[str, Any] | None = None
    """What its TLS certificate says, as `ssl` reads it, where it is of an authority that the settings name."""


def may_administer(person: Person, action: Administers, blueprint: str | None = None) -> bool:
    """Say whether somebody may do what an administrator does, to a blueprint or to the server as a whole."""
    return _ruling(person, action, blueprint).allowed


def must_be_administrator(person: Person, verb: str, action: Administers, blueprint: str | None = None) -> None:
    """Decline what only an administrator may do, or whom the server's policies let.

    `verb` is for people; `action` is what policies know it by, and `blueprint` what it is done to, if not the server.
    """
    ruling = _ruling(person, action, blueprint)
    if ruling.allowed:
        return
    if ruling.ids:
        raise Declined(
            wire.Problem(
                type="denied",
                title=f"the server's policies don't let you {verb}",
                status=403,
                detail=ruling.text,
                policies=ruling.ids,
            )
        )
    raise Declined(
        wire.Problem(
            type="denied",
            title=f"only an administrator may {verb}",
            status=403,
            help="use an administrator's token (`temper token make NAME --admin`)"
            + ("" if person.powers is None else ", or have the files of `[policies]` permit it"),
        )
    )


def _ruling(person: Person, action: Administers, blueprint: str | None) -> Ruling:
    return Ruling(person.admin) if person.powers is None else person.powers.rule(person, action, blueprint)
