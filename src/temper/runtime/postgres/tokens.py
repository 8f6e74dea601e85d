"""The tokens of a database, for its servers: each knows them all, and hears of every change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

from temper.kernel import StoreFault
from temper.runtime.postgres.leases import now_s
from temper.runtime.postgres.registry import Registry
from temper.runtime.tokens import UNKNOWN, USED_MS, More, Secret, TokenRow, hash_of, id_of, new_token, text_of

# One that is not known is looked for in the database, where another server may have made it a moment ago. Made-up ones
# can't cost more than so many look-ups in a row, and so many a second.
LOOKS_MAX = 100
LOOKS_PER_S = 50.0
MISSED_MAX = 10_000
_SETTLE_S = 0.02


class PostgresTokens:
    """The tokens of a database, as `TokenStore` has those of a folder.

    One that another server has made is known here at once. One that another revokes is known with the next beat, and
    `settle` returns when that is so everywhere. A server that has not heard from the database for `fresh_s` lets nobody
    in, since it can't know who was revoked meanwhile.
    """

    def __init__(self, registry: Registry, *, fresh_s: float | None = None, clock: Callable[[], float] = now_s) -> None:
        self._registry = registry
        self._fresh_s = fresh_s
        self._clock = clock
        self._seen = -1
        self._heard = clock()
        self._rows: dict[str, tuple[Secret, TokenRow]] = {}
        self._missed: set[str] = set()
        self._looks, self._looked = float(LOOKS_MAX), clock()
        self._used: dict[str, int] = {}
        self._written = -float(USED_MS)
        # A read that began before a change never ends after one that began later.
        self._reading = threading.Lock()

    def seen(self, changes: int, began: float | None = None) -> bool:
        """Read the tokens again if there have been changes since they were read, and say so.

        `began` is when it was asked how many there have been.
        """
        changed = changes != self._seen
        if changed:
            self._read()
            self._seen = changes
        self._heard = self._clock() if began is None else began
        self._write_used()
        return changed

    @property
    def known(self) -> int:
        """Up to which change the tokens are known here."""
        return max(self._seen, 0)

    def settle(self, until_s: float) -> None:
        """Return once every server knows what has been changed here, or is taken to be gone: after `until_s`."""
        changes = self._registry.changes()
        end = self._clock() + until_s
        while not self._registry.seen_by_all(changes) and self._clock() < end:
            time.sleep(_SETTLE_S)

    def first(self, *, at: int) -> str | None:
        """Return the administrator's token where there is none yet, else `None`: two servers make one."""
        text, row = new_token("administrator", (), at=at, admin=True)
        made = self._registry.make_first_token(row, hash_of(text))
        self._read()
        return text if made else None

    def make(self, principal: str, roles: tuple[str, ...], *, at: int, **more: Unpack[More]) -> tuple[str, TokenRow]:
        """Return a new token's secret text, which is kept nowhere, and its row.

        Raises `ParentGone` where it has a parent that lets nobody in any more.
        """
        text, row = new_token(principal, roles, at=at, **more)
        self._registry.make_token(row, hash_of(text))
        self._rows[row.id] = (Secret(hash_of(text)), row)
        return text, row

    def find(self, text: str, *, at: int) -> TokenRow | None:
        """Return the row of a token that is neither expired nor revoked, else `None`.

        Raises `StoreFault` where that can't be known right now.
        """
        id = id_of(text)
        found = self._rows.get(id) if id is not None else None
        if found is None and id is not None and id not in self._missed:
            found = self._look_up(id)
        secret, row = found if found is not None else (UNKNOWN, None)
        # The id finds the row; the secret part is compared in constant time.
        if not secret.is_of(text, at) or row is None or not row.lets_in(at):
            return None
        if self._fresh_s is not None and self._clock() - self._heard > self._fresh_s:
            raise StoreFault(
                "the database has not been heard of for a while: whether the token was revoked is not known"
            )
        self._used[row.id] = at
        return row

    def _look_up(self, id: str) -> tuple[Secret, TokenRow] | None:
        now = self._clock()
        self._looks = min(float(LOOKS_MAX), self._looks + (now - self._looked) * LOOKS_PER_S)
        self._looked = now
        if self._looks < 1:
            raise StoreFault("too many tokens came that are not known: whether this one is new can't be looked up")
        self._looks -= 1
        with self._reading:
            found = self._registry.token(id)
            if found is not None:
                self._rows[id] = found
                return found
        if len(self._missed) >= MISSED_MAX:
            self._missed.clear()
        self._missed.add(id)
        return None

    def get(self, id: str) -> TokenRow | None:
        """Return a token by its id, whether or not it lets anybody in."""
        found = self._registry.token(id)
        return None if found is None else self._as_used(found[1])

    def revoked(self, id: str) -> bool:
        """Say whether a token has been revoked, as far as is known here, or is forgotten."""
        known = self._rows.get(id)
        row = known[1] if known is not None else self.get(id)
        return row is None or row.revoked_at is not None

    def sessions(self, acts_for: str, *, at: int) -> int:
        """Return how many sessions there are that act for a person, as far as is known here."""
        rows = [row for _, row in self._rows.values()]
        return sum(row.session is not None and row.acts_for == acts_for and row.lets_in(at) for row in rows)

    def all(self) -> tuple[TokenRow, ...]:
        """Return every token, oldest first."""
        self._read()
        return tuple(self._as_used(row) for _, row in self._rows.values())

    def _as_used(self, row: TokenRow) -> TokenRow:
        used = self._used.get(row.id)
        return row if used is None else replace(row, used_at=used)

    def revoke(self, id: str, *, at: int) -> TokenRow | None:
        """Revoke here at once, and all sessions that were started with it; return the row, `None` where there is none.

        `settle` returns when it is revoked at every server.
        """
        row = self._registry.revoke_token(id, at)
        self._read()
        return row

    def rotate(self, id: str, *, at: int, grace_ms: int = 0) -> tuple[str, TokenRow] | None:
        """Return another secret text for a token; the one that it had is good for `grace_ms` more.

        `None` where there is no such token, or it lets nobody in. Sessions that were started with it go on.
        """
        text = text_of(id)
        row = self._registry.rotate_token(id, hash_of(text), at, at + grace_ms)
        self._read()
        return (text, row) if row is not None else None

    def close(self) -> None:
        """Write down what was used; the registry is its opener's."""
        self._written = -float(USED_MS)
        self._write_used()

    def _read(self) -> None:
        with self._reading:
            self._rows = {row.id: (secret, row) for secret, row in self._registry.tokens()}
            self._missed = set()

    def _write_used(self) -> None:
        if self._used and (self._clock() - self._written) * 1000 >= USED_MS:
            self._written = self._clock()
            used, self._used = self._used, {}
            self._registry.tokens_used(used)
