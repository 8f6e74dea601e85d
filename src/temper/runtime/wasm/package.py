"""A module as a text, so that it travels, is stored and is given back like the other files of a bundle.

A `.wat` file is text already. A `.wasm` file is packed: deflated, and then in base64. A module is known by the digest
of what is in it, not by how it was packed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib

# What `componentize-py` makes of a page of Python has 18 MB: its interpreter is in it.
MODULE_BYTES_MAX = 32_000_000
_HEAD = "wasm:deflate:"


class NotPacked(ValueError):
    """It is no packed module; the text says why."""


def pack(content: bytes) -> str:
    """Return a `.wasm` file as the text that travels; the same for the same content."""
    return _HEAD + base64.b64encode(zlib.compress(content, 6)).decode("ascii")


def unpack(name: str, text: str) -> bytes:
    """Return what is in a module's file. Raises `NotPacked`.

    Plain base64 is taken too: it is what a program without this one writes easily.
    """
    if name.endswith(".wat"):
        return text.encode("utf-8", errors="surrogatepass")
    packed = text.startswith(_HEAD)
    try:
        content = base64.b64decode(text.removeprefix(_HEAD), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotPacked("it is not in base64") from error
    if not packed:
        return content
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(content, MODULE_BYTES_MAX + 1)
    except zlib.error as error:
        raise NotPacked("it can't be inflated") from error
    if len(content) <= MODULE_BYTES_MAX and not inflate.eof:
        raise NotPacked("it is cut off")
    return content


def digest_of(content: bytes) -> str:
    """Return the address of a module: two of one digest are one."""
    return hashlib.sha256(content).hexdigest()
