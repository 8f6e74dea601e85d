"""Tokens: making, listing, rotating and revoking them, for administrators; and whom a token stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from temper.runtime import Administers, PostgresTokens, TokenRow, TokenStore
from temper.service import scope, wire
from temper.service.declined import Declined
from temper.service.people import PRINCIPAL_MAX, ROLE, TTL_MAX_MS, Person, must_be_administrator
from temper.service.views import moment

ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TEAMS_MAX = 64
ATTRIBUTES_MAX = 32
# A secret that is replaced is replaced for a reason.
GRACE_MAX_MS = 7 * 86_400_000
OF_SESSION = "#"
"""Stands between a principal and the name of a session that it has started: `ann#deploy`."""


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """A token that is asked for: whom it stands for, and how far it reaches."""

    principal: str
    roles: tuple[str, ...] = ()
    admin: bool = False
    acts_for: str | None = None
    ttl_ms: int | None = None
    teams: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    scope: tuple[str, ...] | None = None
    read_only: bool = False


def token_problems(wanted: TokenWanted, reserved: Iterable[str] = ()) -> tuple[wire.FieldError, ...]:
    """Return what is wrong with a token that is asked for; principals that begin with a `reserved` one are others'."""
    problems = []
    for name, text in (("principal", wanted.principal), ("acts_for", wanted.acts_for)):
        if text is not None and not _is_name(text, PRINCIPAL_MAX):
            problems.append(
                wire.FieldError(path=name, message=f"is not from 1 to {PRINCIPAL_MAX} printable characters")
            )
    if OF_SESSION in wanted.principal:
        problems.append(
            wire.FieldError(path="principal", message=f"has a `{OF_SESSION}`, which only names of sessions have")
        )
    for prefix in reserved:
        if wanted.principal.startswith(prefix):
            problems.append(
                wire.FieldError(
                    path="principal", message=f"begins with `{prefix}`: the settings give that to an identity provider"
                )
            )
    problems.extend(
        wire.FieldError(path="roles", message=f"`{role[:80]}` is no role's name: lower_snake, as in the blueprint")
        for role in wanted.roles
        if not ROLE.fullmatch(role)
    )
    if wanted.ttl_ms is not None and not 0 < wanted.ttl_ms <= TTL_MAX_MS:
        problems.append(wire.FieldError(path="ttl", message="is not above 0, and 100 years at most"))
    if len(wanted.teams) > TEAMS_MAX or not all(_is_name(team, PRINCIPAL_MAX) for team in wanted.teams):
        problems.append(
            wire.FieldError(path="teams", message=f"are not at most {TEAMS_MAX} names of printable characters")
        )
    if len(wanted.attributes) > ATTRIBUTES_MAX or not all(
        ATTRIBUTE.fullmatch(name) and _is_name(value, PRINCIPAL_MAX) for name, value in wanted.attributes.items()
    ):
        problems.append(
            wire.FieldError(
                path="attributes",
                message=f"are not at most {ATTRIBUTES_MAX} names, each with 1 to {PRINCIPAL_MAX} printable characters",
            )
        )
    if wanted.scope is not None:
        wrong = scope.scope_problem(wanted.scope) if wanted.scope else "is empty: nothing would be in it"
        if wrong is not None:
            problems.append(wire.FieldError(path="scope", message=wrong))
    return tuple(problems)


def _is_name(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable()


def token_view(row: TokenRow) -> wire.Token:
    """Return a token without its secret."""
    return wire.Token(
        id=row.id,
        principal=row.principal,
        roles=row.roles,
        admin=row.admin,
        acts_for=row.acts_for,
        created_at=moment(row.created_at),
        expires_at=_moment(row.expires_at),
        revoked=row.revoked_at is not None,
        teams=row.teams,
        attributes=dict(row.attributes),
        scope=row.scope,
        read_only=row.read_only,
        session=row.session,
        parent=row.parent,
        rotated_at=_moment(row.rotated_at),
        last_used_at=_moment(row.used_at),
    )


def _moment(at: int | None) -> str | None:
    return moment(at) if at is not None else None


def person_of(row: TokenRow) -> Person:
    """Return whom a token stands for."""
    return Person(
        row.principal,
        frozenset(row.roles),
        row.admin,
        row.acts_for,
        frozenset(row.teams),
        row.attributes,
        row.session,
        entities=frozenset(row.scope) if row.scope is not None else None,
        read_only=row.read_only,
        expires_at=row.expires_at,
        token=row.id,
        parent=row.parent,
    )


def make(
    store: TokenStore | PostgresTokens, person: Person, wanted: TokenWanted, now: int, reserved: Iterable[str] = ()
) -> wire.NewToken:
    """Make a token; its secret is in the answer and nowhere else. Needs an administrator."""
    _must_look_after_tokens(person, "make a token")
    problems = token_problems(wanted, reserved)
    if problems:
        raise Declined(wire.Problem(type="bad-request", title="the token cannot be made", status=422, errors=problems))
    _must_not_rise(person, wanted.admin)
    text, row = kept_token(store, wanted, now)
    return wire.NewToken(token=text, info=token_view(row))


def kept_token(store: TokenStore | PostgresTokens, wanted: TokenWanted, now: int) -> tuple[str, TokenRow]:
    """Keep a token that is sound, and return its secret text and its row."""
    return store.make(
        wanted.principal,
        wanted.roles,
        at=now,
        admin=wanted.admin,
        acts_for=wanted.acts_for,
        expires_at=now + wanted.ttl_ms if wanted.ttl_ms is not None else None,
        teams=wanted.teams,
        attributes=wanted.attributes,
        scope=wanted.scope,
        read_only=wanted.read_only,
    )


def listed(store: TokenStore | PostgresTokens, person: Person) -> tuple[wire.Token, ...]:
    """Return all tokens without their secrets. Needs an administrator."""
    _must_look_after_tokens(person, "list tokens")
    return tuple(token_view(row) for row in store.all())


def revoke(store: TokenStore | PostgresTokens, person: Person, id: str, now: int) -> wire.Token:
    """Revoke a token, and the sessions that were started with it. Needs an administrator."""
    _must_look_after_tokens(person, "revoke a token")
    row = store.revoke(id, at=now)
    if row is None:
        raise Declined(no_such_token(id))
    return token_view(row)


def family(store: TokenStore | PostgresTokens, id: str) -> frozenset[str]:
    """Return the ids of a token, and of the sessions that were started with it, themselves or by one another."""
    children: dict[str | None, list[str]] = {}
    for row in store.all():
        children.setdefault(row.parent, []).append(row.id)
    found, left = {id}, [id]
    while left:
        of_one = [each for each in children.get(left.pop(), ()) if each not in found]
        found.update(of_one)
        left += of_one
    return frozenset(found)


def rotate(store: TokenStore | PostgresTokens, person: Person, id: str, grace_ms: int, now: int) -> wire.NewToken:
    """Give a token another secret; the one that it had is good for `grace_ms` more. Needs an administrator."""
    _must_look_after_tokens(person, "rotate a token")
    if not 0 <= grace_ms <= GRACE_MAX_MS:
        error = wire.FieldError(path="grace", message="is more than 7 days")
        raise Declined(
            wire.Problem(type="bad-request", title="the token cannot be rotated", status=422, errors=(error,))
        )
    was = store.get(id)
    _must_not_rise(person, was is not None and was.admin)
    rotated = store.rotate(id, at=now, grace_ms=grace_ms)
    if rotated is None:
        if store.get(id) is None:
            raise Declined(no_such_token(id))
        raise Declined(
            wire.Problem(
                type="conflict",
                title=f"the token `{id}` has ended",
                status=409,
                help="make another with `temper token make`",
            )
        )
    text, row = rotated
    return wire.NewToken(token=text, info=token_view(row))


def no_such_token(id: str) -> wire.Problem:
    """Return what is said of a token that is not there."""
    return wire.Problem(type="not-found", title=f"there is no token `{id[:80]}`", status=404)


def _must_not_rise(person: Person, admin: bool) -> None:
    """Decline to hand out an administrator's credential to whom the server's policies let look after the others'."""
    if admin and not person.admin:
        raise Declined(
            wire.Problem(type="denied", title="only an administrator may make or renew an administrator", status=403)
        )


def _must_look_after_tokens(person: Person, verb: str) -> None:
    must_be_administrator(person, verb, Administers.TOKENS)
    scope.must_be_unbounded(person)
    if person.session is not None:
        # What it made would go on when the session has ended.
        raise scope.out_of_scope("a session does not look after tokens", "ask with the token that started it")
