"""The chain over a log: each entry's hash is over the hash before it, and over the digest of the entry's stored bytes.

Whoever knows one hash knows all that came before it: nothing can be changed, left out or put in without another hash
in its place. Somebody who may write to the store can make the whole chain anew; a hash that was written down elsewhere
(an *anchor*) tells even that. It is the entry's digest that goes in, and not its bytes: so a chain can be followed past
entries whose bytes are kept elsewhere, by their digests alone.
"""

from __future__ import annotations

from hashlib import sha256

GENESIS = bytes(32)
"""What stands before the first entry."""


def chained(before: bytes, body: bytes) -> bytes:
    """Return the hash of the entry with these bytes, which follows the one with the hash `before`."""
    return chained_on(before, digest_of(body))


def digest_of(body: bytes) -> bytes:
    """Return what is left of an entry whose bytes are kept elsewhere."""
    return sha256(body).digest()


def is_digest(body: bytes) -> bool:
    """Say whether it is the digest that stands there in an entry's place: no entry is as short as that."""
    return len(body) == sha256().digest_size


def chained_on(before: bytes, digest: bytes) -> bytes:
    """Return the hash of the entry with this digest, which follows the one with the hash `before`."""
    return sha256(before + digest).digest()


def is_mark(hash: bytes) -> bool:
    """Say whether an entity is kept as it is after the entry with this hash: about one of 256 is.

    So any state of the past is found by folding some hundred entries from the mark before it, however many an entity
    has, and whatever else was in the log between them: no pattern of who writes when can evade what a hash decides.
    """
    return hash[0] == 0
