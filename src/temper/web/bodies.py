"""The bodies that requests bring, apart from the parameters of actions, which a blueprint says."""

from __future__ import annotations

import msgspec


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle's files: name to text."""

    files: dict[str, str]
    note: str = ""


class CanaryBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate's files, and who is to live by it: of new entities a `share`, from 0 to 1, and those in `named`.

    A name is `Entity/id`, of an entity that is not there yet.
    """

    files: dict[str, str]
    share: float = 0.0
    named: tuple[str, ...] = ()
    note: str = ""


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word for the list of versions, or for the history of who ordered what an operator does something about."""

    note: str = ""


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom and what is asked about, and a candidate's `files`: where those are policies alone, in place of all of its
    policies.
    """

    files: dict[str, str] | None = None
    entity: str | None = None
    action: str | None = None
    id: str | None = None


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
    teams: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    scope: tuple[str, ...] | None = None
    read_only: bool = False


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the secret that a token had goes on to be good."""

    grace: str = "0s"


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session that is to be started. Without `roles` or `entities` it has those of whoever starts it."""

    name: str
    roles: tuple[str, ...] | None = None
    entities: tuple[str, ...] | None = None
    read_only: bool = False
    admin: bool = False
    ttl: str = "1h"


class DecisionAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`answer` is "grant" or "deny".

    A grant is for one `scope`: this "call", or beside it so many more `uses` until it `expires`, of this "entity" or of
    any by this "action"; by this version of the blueprint, or `across_versions` by later ones too.
    """

    answer: str
    scope: str = "call"
    expires: str | None = None
    uses: int | None = None
    across_versions: bool = False
    reason: str | None = None


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a grant is ended."""

    reason: str | None = None


class PauseWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who or what is to be paused: `kind` is "principal", "role", "tool" or "bundle". `for` is a duration.

    Without `blueprint` it is paused in all of them, and without `for` until somebody lifts it.
    """

    kind: str
    name: str
    reason: str
    blueprint: str = ""
    lasts: str | None = msgspec.field(default=None, name="for")
