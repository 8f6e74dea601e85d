"""The bodies that requests bring, apart from the parameters of actions, which a blueprint says."""

from __future__ import annotations

import msgspec


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle's files: name to text."""

    files: dict[str, str]
    note: str = ""


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which version; the one before the current if it is not said."""

    to: int | None = None
    note: str = ""


class TokenWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a new token stands for. `ttl` is a duration, such as `12h`; without it the token does not expire."""

    principal: str
    roles: tuple[str, ...] = ()
    admin: bool = False
    acts_for: str | None = None
    ttl: str | None = None
