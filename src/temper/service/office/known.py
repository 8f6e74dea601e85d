"""What is kept of somebody, so that they can be asked about, or acted for, when they are not there any more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from temper.kernel import Facts
from temper.service.people import Person
from temper.table import Caller, Refused, Table


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of somebody beside the principal and the person behind, as a decision keeps it."""

    roles: tuple[str, ...] = ()
    acts_for: str | None = None
    teams: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    session: str | None = None
    via: str = "http"
    admin: bool = False
    token: str | None = None
    """The token that was shown; `None` where an identity provider or a proxy said who it is."""
    ends_at: int | None = None
    """When that token ends by itself."""
    refused: str = ""
    policies: tuple[str, ...] = ()
    """The policies that refused it, and each one's digest: by its name alone another could stand in for it."""
    digests: dict[str, str] = {}
    release: int = 0
    """The version of the blueprint in force: after a rollback another has the same digest."""

    @property
    def facts(self) -> Facts:
        """Return what policies may ask of them."""
        return Facts(frozenset(self.teams), self.attributes, self.session, self.via, self.admin)

    def caller(self, principal: str) -> Caller:
        """Return them as an event names them."""
        return Caller(principal, frozenset(self.roles), self.acts_for)


def known(person: Person) -> Known:
    """Return what is kept of a person."""
    return Known(
        roles=tuple(sorted(person.roles)),
        acts_for=person.acts_for,
        teams=tuple(sorted(person.teams)),
        attributes=dict(sorted(person.attributes.items())),
        session=person.session,
        via=person.via,
        admin=person.admin,
        token=person.token,
        ends_at=person.expires_at if person.token is not None else None,
    )


def known_refused(person: Person, refused: Refused, table: Table, release: int) -> Known:
    """Return what is kept of a person whose request was refused, by that version of a blueprint."""
    now = digests(table)
    return msgspec.structs.replace(
        known(person),
        refused=refused.text,
        policies=refused.policies,
        digests={id: now[id] for id in refused.policies if id in now},
        release=release,
    )


def digests(table: Table) -> dict[str, str]:
    """Return the digest of each of a blueprint's policies, by the policy's id."""
    return {policy.id: digest_of(policy.form) for policy in table.policies}


def known_of(said: str | Mapping[str, Any]) -> Known:
    """Return what was kept, as text or as the data that this is."""
    return msgspec.json.decode(said, type=Known) if isinstance(said, str) else msgspec.convert(said, Known)


def text_of(value: Any) -> str:
    """Return JSON as the one text that it has."""
    return msgspec.json.encode(value, order="sorted").decode()


def digest_of(text: str) -> str:
    """Return a text's digest."""
    return hashlib.sha256(text.encode()).hexdigest()
