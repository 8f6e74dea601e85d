"""The modules that a bundle's tools name: found among its files, looked into, and known by their digests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from temper.text import Code, Diagnostic, Label, Source

if TYPE_CHECKING:
    from temper.syntax import tree

SUFFIXES = (".wasm", ".wat")
# In letters, as they travel: a component of 18 MB with an interpreter in it has some 8 million.
LETTERS_MAX = 12_000_000


class Brought(Struct, frozen=True):
    """What the tools name: `sources` are the files as they travel, `digests` say what is in them, by name."""

    problems: tuple[Diagnostic, ...] = ()
    sources: tuple[Source, ...] = ()
    digests: Mapping[str, str] | None = None


def is_module(name: str) -> bool:
    """Say whether a file of a bundle is a module, by its name."""
    return name.endswith(SUFFIXES)


def bring(bundle: tree.Tree, files: Mapping[str, str]) -> Brought:
    """Return the modules that tools of `bundle` name, of those in `files`, and what is wrong with them.

    Compiles them, so it takes its time where there are any. What no tool names is left out.
    """
    from temper.syntax import tree as t

    problems: list[Diagnostic] = []
    sources: dict[str, Source] = {}
    digests: dict[str, str] = {}
    for declaration in (each for file in bundle.files for each in file.declarations):
        for part in declaration.parts if isinstance(declaration, t.Tool) else ():
            if not isinstance(part, t.FromWasm) or not is_module(part.file):
                continue  # A name that is none has been told.
            found = _find(part.span.file, part.file, files)
            if found is None:
                near = "put the file beside the blueprint, or build it first"
                message = f"`{part.file}` is not in the bundle"
                problems.append(Diagnostic(Code.B801, message, Label(part.span, "no file of that name"), help=near))
                continue
            flaw, digest = _looked_into(part.file, files[found])
            if flaw is not None:
                text, help = flaw
                message = f"`{part.file}` can't carry out a tool: {text}"
                problems.append(Diagnostic(Code.B802, message, Label(part.span, text), help=help))
            sources[found] = Source(found, files[found])
            digests[part.file] = digest
    return Brought(tuple(problems), tuple(sources.values()), digests)


def _find(blueprint: str, name: str, files: Mapping[str, str]) -> str | None:
    folder = PurePosixPath(blueprint).parent
    for place in (folder, folder.parent) if folder.name == "scenarios" else (folder,):
        if str(place / name) in files:
            return str(place / name)
    return None


def _looked_into(name: str, text: str) -> tuple[tuple[str, str] | None, str]:
    from temper.runtime import NotPacked, digest_of, flaw_of, unpack

    flaw = flaw_of(name, text)
    try:
        digest = digest_of(unpack(name, text))
    except NotPacked:
        digest = ""
    return ((flaw.text, flaw.help) if flaw is not None else None), digest
