"""TLS by files: what the server shows, and whom it lets connect. A certificate that is renewed is read again."""

from __future__ import annotations

import asyncio
import logging
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOG: Final = logging.getLogger("temper.web")
# Between two looks whether a certificate has been renewed, which is done weeks before it ends.
LOOK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Tls:
    """The files. With `client_ca` a client's certificate is one of its authorities, or there is no connection."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    ca: Path | None = None
    """The authorities by whom other servers' certificates are checked; the well-known ones where there is none."""
    client_optional: bool = False
    """With `client_ca`: whether a client without a certificate may connect too."""
    hsts_s: int = 0
    """For how long browsers are told to keep to TLS; 0 tells them nothing."""

    def incoming(self) -> ssl.SSLContext:
        """Return what clients are met with: TLS 1.2 or newer, by the ciphers that Python holds to be sound."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL if self.client_optional else ssl.CERT_REQUIRED
        return context

    def outgoing(self) -> ssl.SSLContext:
        """Return what is needed to connect to another server of the same kind: its own certificate is shown too."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.cert, self.key)
        return context

    def check(self) -> None:
        """Read all the files. Raises `OSError`, of which `ssl.SSLError` is one, where that can't be."""
        context = self.incoming()
        if self.ca is not None:
            context.load_verify_locations(self.ca)

    def exposed(self) -> str | None:
        """Return who beside its owner and group could take the private key, `None` where nobody can."""
        mode = self.key.stat().st_mode
        if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP) == 0:
            return None
        return f"others may read or change `{self.key}`, the server's private key: `chmod 600` keeps them out"

    async def renew(self, context: ssl.SSLContext, *, look_s: float = LOOK_S) -> None:
        """Have `context` show the certificate that is in the files by then, for ever. One that can't be read waits."""
        seen = self._stamp()
        while True:
            await asyncio.sleep(look_s)
            found = self._stamp()
            if found == seen:
                continue
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as problem:
                # It may be half written, so it is looked at again.
                _LOG.warning("the certificate stays as it was: %s", problem)
            else:
                seen = found

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple(_stamp_of(path) for path in (self.cert, self.key))


def _stamp_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)
