"""WASM modules that carry out tools: `tool x.y() from wasm "rules.wasm"`.

In:    a bundle's module, as the text that travels; a `Call`; what the settings grant.
Out:   `Flaw`s, where a module can't carry out a tool; for each call an `Attempt`: `Answered` or `Failed`.
Never: gives a module files, sockets, the environment or a second call's memory; runs anything on the loop.
"""

from temper.runtime.wasm.carry import Modules
from temper.runtime.wasm.flaws import Flaw, flaw_of, imports_of
from temper.runtime.wasm.grants import Grant, Grants, load_grants
from temper.runtime.wasm.package import NotPacked, digest_of, pack, unpack

__all__ = [
    "Flaw",
    "Grant",
    "Grants",
    "Modules",
    "NotPacked",
    "digest_of",
    "flaw_of",
    "imports_of",
    "load_grants",
    "pack",
    "unpack",
]
