"""Who bears a token: whether it is one of the server's own, or an identity provider's."""

from __future__ import annotations

from temper.kernel import StoreFault
from temper.runtime import PostgresTokens, TokenStore, is_token
from temper.service.credentials import person_of
from temper.service.declined import unavailable
from temper.service.identity import Identity, unauthenticated
from temper.service.people import Person


def bearer(tokens: TokenStore | PostgresTokens, identity: Identity, token: str | None, now: int) -> Person:
    """Return who bears `token`. Declines with "unauthenticated" where there is none that is good.

    Raises `KeysWanted` where the keys of an identity provider have to be fetched first.
    """
    if not token:
        raise unauthenticated()
    person = None if is_token(token) else identity.of_token(token, now)
    if person is not None:
        return person
    try:
        row = tokens.find(token, at=now)
    except StoreFault as fault:
        raise unavailable(fault.text) from fault
    if row is None:
        raise unauthenticated("the token is unknown, expired or revoked")
    if row.session is None and row.principal.startswith(identity.reserved):
        raise unauthenticated("the settings have given the principal's name to an identity provider")
    return person_of(row)
