"""Sessions: short-lived credentials of agents, started by whoever they act for.

A session is its parent, made smaller: no role, no entity, no minute and no power that the parent has not. It acts for
the person behind its parent, so that an agent's agent acts for the same one; and it ends with its parent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from temper.runtime import ParentGone, PostgresTokens, TokenRow, TokenStore
from temper.service import scope, wire
from temper.service.credentials import OF_SESSION, no_such_token, token_view
from temper.service.declined import Declined, words
from temper.service.people import PRINCIPAL_MAX, Person

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TTL_MS = 3_600_000
# Of one person at a time: more are a leak, and each is a row that servers keep.
SESSIONS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class SessionWanted:
    """A session that is asked for. `None` is as much as whoever starts it has."""

    name: str
    roles: tuple[str, ...] | None = None
    entities: tuple[str, ...] | None = None
    read_only: bool = False
    admin: bool = False
    ttl_ms: int = TTL_MS


def start(
    store: TokenStore | PostgresTokens, person: Person, wanted: SessionWanted, now: int, most_ms: int
) -> wire.NewToken:
    """Start a session of the person; its token is in the answer and nowhere else. It ends after `most_ms` at most."""
    _must_fit(person, wanted, most_ms)
    _must_shrink(person, wanted)
    if store.sessions(person.behind, at=now) >= SESSIONS_MAX:
        raise Declined(
            wire.Problem(
                type="conflict",
                title=f"{SESSIONS_MAX:,} sessions act for `{person.behind}` already",
                status=409,
                help="end those that are over (`temper session end ID`), or give them less time",
            )
        )
    paths = wanted.entities if wanted.entities is not None else person.entities
    ends = now + wanted.ttl_ms
    try:
        text, row = store.make(
            f"{person.principal}{OF_SESSION}{wanted.name}",
            tuple(person.roles) if wanted.roles is None else wanted.roles,
            at=now,
            admin=wanted.admin,
            acts_for=person.behind,
            expires_at=ends if person.expires_at is None else min(ends, person.expires_at),
            teams=tuple(sorted(person.teams)),
            attributes=person.attributes,
            scope=tuple(sorted(paths)) if paths is not None else None,
            read_only=person.read_only or wanted.read_only,
            parent=person.token,
            session=wanted.name,
        )
    except ParentGone:
        raise Declined(
            wire.Problem(type="unauthenticated", title="the token has ended meanwhile", status=401)
        ) from None
    return wire.NewToken(token=text, info=token_view(row))


def _must_fit(person: Person, wanted: SessionWanted, most_ms: int) -> None:
    errors = []
    if not NAME.fullmatch(wanted.name):
        errors.append(
            wire.FieldError(
                path="name", message="is not from 1 to 64 letters, digits, `.`, `_` and `-`, the first no sign"
            )
        )
    elif len(person.principal) + len(OF_SESSION) + len(wanted.name) > PRINCIPAL_MAX:
        errors.append(
            wire.FieldError(path="name", message=f"makes a principal of more than {PRINCIPAL_MAX} characters")
        )
    if not 0 < wanted.ttl_ms <= most_ms:
        errors.append(wire.FieldError(path="ttl", message="is not above 0, and `identity.session_max` at most"))
    if wanted.entities is not None:
        wrong = scope.scope_problem(wanted.entities) if wanted.entities else "is empty: nothing would be in it"
        if wrong is not None:
            errors.append(wire.FieldError(path="entities", message=wrong))
    if errors:
        raise Declined(
            wire.Problem(type="bad-request", title="the session cannot be started", status=422, errors=tuple(errors))
        )


def _must_shrink(person: Person, wanted: SessionWanted) -> None:
    """Decline with "denied" what the person has not itself."""
    more = sorted(set(wanted.roles or ()) - person.roles)
    if more:
        raise _more(f"a session holds no role that `{person.principal}` does not hold", f"that is {words(more)}")
    if wanted.admin and not person.admin:
        raise _more(f"`{person.principal}` is no administrator", "and so is no session of it")
    if wanted.entities is not None and not scope.within(wanted.entities, person.entities):
        raise _more(f"a session reaches no further than `{person.principal}` does", scope.reach(person))


def _more(title: str, detail: str) -> Declined:
    return Declined(wire.Problem(type="denied", title=title, status=403, detail=detail, help="ask for less"))


def listed(store: TokenStore | PostgresTokens, person: Person, now: int) -> tuple[wire.Token, ...]:
    """Return the sessions that the person may end, and that have not ended."""
    rows = {row.id: row for row in store.all()}
    return tuple(
        token_view(row)
        for row in rows.values()
        if row.session is not None and row.lets_in(now) and _is_of(person, row, rows)
    )


def end(store: TokenStore | PostgresTokens, person: Person, id: str, now: int) -> wire.Token:
    """End a session, and those that it has started. Declines with "not-found" where it is not the person's to end."""
    if person.read_only and id != person.token:
        raise scope.out_of_scope("this credential may only read", "ask with one that may write")
    rows = {row.id: row for row in store.all()}
    row = rows.get(id)
    if row is None or row.session is None or not _is_of(person, row, rows):
        raise Declined(no_such_token(id))
    ended = store.revoke(id, at=now)
    if ended is None:
        raise Declined(no_such_token(id))
    return token_view(ended)


def _is_of(person: Person, row: TokenRow, rows: dict[str, TokenRow]) -> bool:
    """Say whether a session is one that the person has started, itself or by another session; or is itself."""
    if person.admin and person.entities is None and not person.read_only:
        return True
    if person.acts_for is None:
        return row.acts_for == person.principal
    found: TokenRow | None = row
    while found is not None:
        if found.id == person.token:
            return True
        found = rows.get(found.parent) if found.parent is not None else None
    return False


def identity(person: Person, at: str | None) -> wire.Me:
    """Return who the person is, to itself; `at` is when its credential ends."""
    return wire.Me(
        principal=person.principal,
        acts_for=person.acts_for,
        roles=tuple(sorted(person.roles)),
        admin=person.admin,
        teams=tuple(sorted(person.teams)),
        attributes=dict(person.attributes),
        session=person.session,
        scope=tuple(sorted(person.entities)) if person.entities is not None else None,
        read_only=person.read_only,
        expires_at=at,
        token=person.token,
        parent=person.parent,
    )
