"""Text that is broken over lines where it is too long.

A `Doc` says where a line may end; `fit` chooses. The rules are those of Wadler's and Prettier's printers, with the
three shapes that a blueprint needs:

* a `Group` stands on one line if it fits, or else ends a line at each of its own `Break`s;
* a `Fill` (a list) puts as much as fits on each line;
* a `Nest` moves the lines that begin inside it to the right.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

WIDTH = 112
"""Of the lines of the first blueprints, those up to here read well in one go; the next longer ones did not."""


class Break(Struct, frozen=True):
    """Where a line may end; `flat` stands there when it does not."""

    flat: str = " "


class Cat(Struct, frozen=True):
    parts: tuple[Doc, ...]


class Group(Struct, frozen=True):
    inner: Doc


class Fill(Struct, frozen=True):
    """Items with a break between any two; what parts them (a comma) ends the item before."""

    items: tuple[Doc, ...]


class Nest(Struct, frozen=True):
    by: int
    inner: Doc


Doc: TypeAlias = str | Break | Cat | Group | Fill | Nest


def cat(*parts: Doc) -> Doc:
    """Return the parts one after the other."""
    return parts[0] if len(parts) == 1 else Cat(parts)


def commas(items: list[Doc]) -> Doc:
    """Return a list that wraps after its commas."""
    return Fill(tuple(cat(item, ",") if index < len(items) - 1 else item for index, item in enumerate(items)))


def bracketed(left: str, items: list[Doc], right: str) -> Doc:
    """Return a list in brackets, which wraps after the left one and after commas.

    A line does not end with a `{`, though: that is how other languages begin a block, and the lexer says so.
    """
    if not items:
        return left + right
    inner = commas(items) if left.endswith("{") else cat(Break(""), commas(items))
    return cat(left, Group(Nest(2, inner)), right)


def flat(doc: Doc) -> str:
    """Return it on one line."""
    match doc:
        case str():
            return doc
        case Break():
            return doc.flat
        case Cat():
            return "".join(map(flat, doc.parts))
        case Fill():
            return " ".join(map(flat, doc.items))
        case Group() | Nest():
            return flat(doc.inner)
        case _:
            assert_never(doc)


class _Others(Struct, frozen=True):
    """The items of a `Fill` that come after the first."""

    items: tuple[Doc, ...]


class _Todo(Struct, frozen=True):
    """What is still to be printed: how far right its new lines begin, and whether its breaks may end lines."""

    indent: int
    broken: bool
    doc: Doc | _Others


def fit(doc: Doc, indent: int, width: int = WIDTH) -> list[str]:
    """Return the lines, none longer than `width` if the breaks allow it; the first begins at `indent`."""
    lines: list[str] = []
    line = " " * indent
    stack = [_Todo(indent, broken=True, doc=doc)]
    while stack:
        now = stack.pop()
        match now.doc:
            case str():
                line += now.doc
            case Break():
                if now.broken:
                    lines.append(line.rstrip())
                    line = " " * now.indent
                else:
                    line += now.doc.flat
            case Cat() | Nest():
                stack.extend(_opened(now))
            case Group():
                inner = replace(now, broken=False, doc=now.doc.inner)
                if now.broken and not _fits([inner], stack, width - len(line)):
                    inner = replace(inner, broken=True)
                stack.append(inner)
            case Fill():
                stack.extend(_opened(now))
            case _Others():
                first, *others = now.doc.items
                next_item = _Todo(now.indent, broken=False, doc=cat(" ", first))
                # Only what trails the last item has to stand on its line; after any other the line may end.
                if now.broken and not _fits([next_item], [] if others else stack, width - len(line)):
                    lines.append(line)
                    line = " " * now.indent
                else:
                    line += " "
                stack.extend(_opened(replace(now, doc=Fill(now.doc.items))))
            case _:
                assert_never(now.doc)
    return [*lines, line]


def _opened(now: _Todo) -> list[_Todo]:
    """Return the parts of a `Cat`, a `Nest` or a `Fill`, the first one last: a stack gives it first."""
    match now.doc:
        case Cat():
            return [replace(now, doc=part) for part in reversed(now.doc.parts)]
        case Nest():
            return [replace(now, indent=now.indent + now.doc.by, doc=now.doc.inner)]
        case Fill():
            first, *others = now.doc.items
            head = replace(now, doc=first)
            return [replace(now, doc=_Others(tuple(others))), head] if others else [head]
        case _:
            raise AssertionError(f"{now.doc!r} has no parts")


def _fits(candidate: list[_Todo], behind: list[_Todo], room: int) -> bool:
    """Return whether the candidate, and what trails it up to the next place where a line may end, fit into `room`."""
    stack = list(candidate)
    depth = len(behind)
    while room >= 0:
        if not stack:
            if depth == 0:
                return True
            depth -= 1
            stack.append(behind[depth])
        now = stack.pop()
        match now.doc:
            case str():
                room -= len(now.doc)
            case Break():
                if now.broken:
                    return True
                room -= len(now.doc.flat)
            case Cat() | Nest() | Fill():
                stack.extend(_opened(now))
            case Group():
                stack.append(replace(now, doc=now.doc.inner))
            case _Others():
                if now.broken:
                    return True
                stack.append(replace(now, doc=Cat(tuple(cat(" ", item) for item in now.doc.items))))
            case _:
                assert_never(now.doc)
    return False
