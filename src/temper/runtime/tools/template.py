"""Templates over a call: `{argument}`, `{order}` and `{secret:NAME}`; `{{` and `}}` stand for braces. Nothing else.

A value is put in once and never read as a template again, so an argument can't reach a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from temper.runtime.tools.adapter import Call
from temper.runtime.vault import Vault


@dataclass(frozen=True, slots=True)
class Text:
    """Text that stands for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class Argument:
    """The call's argument of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Order:
    """The order's id."""


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret of this name."""

    name: str


Part = Text | Argument | Order | Secret


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places to fill."""

    parts: tuple[Part, ...]

    def arguments(self) -> Iterator[str]:
        """The names of the arguments that it takes."""
        return (part.name for part in self.parts if isinstance(part, Argument))

    def secrets(self) -> Iterator[str]:
        """The names of the secrets that it takes."""
        return (part.name for part in self.parts if isinstance(part, Secret))


class CannotFill(Exception):
    """A call lacks what a template asks for, or has what may not stand there. The text names the argument only."""


_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")
_SECRET = re.compile(r"secret:([A-Za-z_][A-Za-z0-9_]*)\Z")


def parse(text: str) -> tuple[Template, str | None]:
    """Return the template that `text` is, and what is wrong with it, if anything is."""
    parts: list[Part] = []
    plain = ""
    end = 0
    problem: str | None = None
    for token in _TOKEN.finditer(text):
        plain += text[end : token.start()]
        end = token.end()
        part: Part | None = None
        if token.group() in ("{{", "}}"):
            plain += token.group()[0]
        elif token.group(1) is None:
            problem = problem or f"a lone `{token.group()}`"
        elif token.group(1) == "order":
            part = Order()
        elif _NAME.match(token.group(1)):
            part = Argument(token.group(1))
        elif secret := _SECRET.match(token.group(1)):
            part = Secret(secret.group(1))
        else:
            problem = problem or f"`{token.group()}` is neither an argument, `{{order}}` nor `{{secret:NAME}}`"
        if part is not None:
            if plain:
                parts.append(Text(plain))
            parts.append(part)
            plain = ""
    plain += text[end:]
    if plain:
        parts.append(Text(plain))
    return Template(tuple(parts)), problem


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object whose values are filled."""

    fields: tuple[tuple[str, Shape], ...]


@dataclass(frozen=True, slots=True)
class Elements:
    """A JSON list whose elements are filled."""

    elements: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A JSON value that is what it is: a number, a truth value."""

    value: Any


Shape = Template | Fields | Elements | Fixed


def templates(shape: Shape) -> Iterator[Template]:
    """Every template in `shape`."""
    match shape:
        case Template():
            yield shape
        case Fields(fields):
            for _, value in fields:
                yield from templates(value)
        case Elements(elements):
            for element in elements:
                yield from templates(element)
        case Fixed():
            pass


def fill(shape: Shape, call: Call, vault: Vault) -> Any:
    """Return the JSON value that `shape` is for this call. A text that is exactly `{x}` has the type that x has."""
    match shape:
        case Template((Argument(name),)):
            return _argument(call, name)
        case Template():
            return fill_text(shape, call, vault)
        case Fields(fields):
            return {key: fill(value, call, vault) for key, value in fields}
        case Elements(elements):
            return [fill(element, call, vault) for element in elements]
        case Fixed(value):
            return value


def fill_text(
    template: Template, call: Call, vault: Vault, guard: Callable[[str, Part], str] = lambda text, _: text
) -> str:
    """Return the text that `template` is for this call. What is put in goes through `guard`, to escape or refuse it."""
    filled = ""
    for part in template.parts:
        match part:
            case Text(text):
                filled += text
            case Argument(name):
                filled += guard(_as_text(_argument(call, name)), part)
            case Order():
                filled += guard(call.order, part)
            case Secret(name):
                filled += guard(vault.reveal(name), part)
    return filled


def _argument(call: Call, name: str) -> Any:
    if name not in call.args:
        raise CannotFill(f"the call has no argument `{name}`")
    return call.args[name]


def _as_text(value: Any) -> str:
    """A value within a text: a string as it is, `none` as nothing, the rest as JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
