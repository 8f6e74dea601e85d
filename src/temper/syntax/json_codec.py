"""Forms: for each kind of JSON value its schema, how it is read and how it is written, side by side.

A form reads what programs and models wrote, so it expects anything. `read` reports to its `Place` and raises `Unread`;
whoever reads several values catches it and goes on to the next, so that one run finds most problems.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

from msgspec import structs

from temper.syntax.tree import Line
from temper.text import Code, Diagnostic, Label, Span, suggest

Json: TypeAlias = Any
"""What `json.loads` gives. Its recursive type would have every reader of a schema unpack it by hand."""

DEPTH_MAX = 32
"""Blocks in blocks. A page that a person reads has four; without a bound, what is sent could exhaust the stack."""

# As many as of a text: past this the rest is noise, and an attack would be cheap.
PROBLEMS_MAX = 100

T = TypeVar("T")


class Unread(Exception):
    """There is nothing to read here; why has been reported."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the value we are (`pointer`, as RFC 6901 writes it), and where problems go."""

    path: str
    problems: list[Diagnostic]
    pointer: str = ""
    depth: int = 0

    def at(self, key: str | int) -> Place:
        """Return the place of a key, or of an array's item. No key of ours has a character that is escaped there."""
        return replace(self, pointer=f"{self.pointer}/{key}")

    def deeper(self) -> Place:
        """Return the same place, counted as one block deeper."""
        if self.depth == DEPTH_MAX:
            self.refuse(Code.B095, f"more than {DEPTH_MAX} blocks stand one in another", "take some of them apart")
        return replace(self, depth=self.depth + 1)

    def report(self, code: Code, what: str, help: str) -> None:
        """Note a problem; reading may go on."""
        if len(self.problems) >= PROBLEMS_MAX:
            return
        where = f"`{self.pointer}`" if self.pointer else "the value"
        self.problems.append(Diagnostic(code, f"{where}: {what}", Label(Span(self.path, 0, 0)), help=help))

    def refuse(self, code: Code, what: str, help: str) -> NoReturn:
        """Note a problem that leaves nothing to read here."""
        self.report(code, what, help)
        raise Unread


class Form(ABC, Generic[T]):
    """One kind of JSON value."""

    @abstractmethod
    def schema(self) -> dict[str, Json]:
        """Return its JSON Schema."""

    @abstractmethod
    def read(self, value: object, place: Place) -> T:
        """Return what the value means; raise `Unread` once it is reported that it means nothing."""

    @abstractmethod
    def write(self, value: T) -> Json:
        """Return the value that means this."""


def kind_of(value: object) -> str:
    """Return what JSON calls a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "something that JSON does not have"


@dataclass(frozen=True)
class Text(Form[T]):
    """A string that says something: `parse` raises `ValueError` with a sentence where it does not."""

    name: str
    """What it is, with an article: `an expression`."""
    says: str
    parse: Callable[[str], T]
    print: Callable[[T], str]
    pattern: str | None = None
    """What the schema asks for."""
    accepted: str | None = None
    """What is read, where that is more."""
    numbers: bool = False
    """Whether whole numbers, `true` and `false` may stand there as JSON has them."""

    def schema(self) -> dict[str, Json]:
        kinds: Json = ["string", "integer", "boolean"] if self.numbers else "string"
        pattern = {} if self.pattern is None else {"pattern": f"^(?:{self.pattern})$"}
        return {"type": kinds, **pattern, "description": self.says}

    def read(self, value: object, place: Place) -> T:
        if self.numbers and isinstance(value, bool):
            value = "true" if value else "false"
        elif self.numbers and isinstance(value, int):
            # Python does not write numbers that are absurdly long, and the language does not read them.
            value = str(value) if value.bit_length() <= 4096 else "9" * 1000
        if not isinstance(value, str):
            place.refuse(Code.B090, f"expected {self.name} in a string, found {kind_of(value)}", self.says)
        pattern = self.accepted or self.pattern
        if pattern is not None and not re.fullmatch(pattern, value):
            place.refuse(Code.B094, f"{_shortened(value)} is not {self.name}", self.says)
        try:
            return self.parse(value)
        except ValueError as error:
            place.refuse(Code.B094, f"{_shortened(value)} is not {self.name}: {error}", self.says)

    def write(self, value: T) -> Json:
        return self.print(value)


def _shortened(text: str) -> str:
    """Return it as a message quotes it: on one line, and no longer than one reads."""
    line = " ".join(text.split())
    return f"`{line}`" if len(line) <= 60 else f"`{line[:57]}...`"


@dataclass(frozen=True)
class Count(Form[int]):
    """A whole number that is not negative."""

    says: str

    def schema(self) -> dict[str, Json]:
        return {"type": "integer", "minimum": 0, "description": self.says}

    def read(self, value: object, place: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            place.refuse(Code.B090, f"expected a whole number, found {kind_of(value)}", self.says)
        if not 0 <= value < 1 << 63:
            place.refuse(Code.B095, "the number is out of range", "write a whole number from 0 up")
        return value

    def write(self, value: int) -> Json:
        return value


@dataclass(frozen=True)
class Flag(Form[bool]):
    """`true` or `false`."""

    says: str
    only_true: bool = True
    """Whether it stands there only to say yes."""

    def schema(self) -> dict[str, Json]:
        return {**({"const": True} if self.only_true else {"type": "boolean"}), "description": self.says}

    def read(self, value: object, place: Place) -> bool:
        if not isinstance(value, bool):
            place.refuse(Code.B090, f"expected a boolean, found {kind_of(value)}", self.says)
        if self.only_true and not value:
            place.refuse(Code.B095, "expected `true`", "write `true`, or leave the key out")
        return value

    def write(self, value: bool) -> Json:
        return value


@dataclass(frozen=True)
class Either(Form[T]):
    """One of two forms, told apart by `is_first`, of the value and of what it means."""

    first: Form[Any]
    second: Form[Any]
    is_first: Callable[[object], bool]
    means_first: Callable[[T], bool]

    def schema(self) -> dict[str, Json]:
        return {"anyOf": [self.first.schema(), self.second.schema()]}

    def read(self, value: object, place: Place) -> T:
        form = self.first if self.is_first(value) else self.second
        return form.read(value, place)  # type: ignore[no-any-return]  # each of the two reads a T

    def write(self, value: T) -> Json:
        return (self.first if self.means_first(value) else self.second).write(value)


@dataclass(frozen=True)
class Array(Form[tuple[T, ...]]):
    """Any number of values of one form."""

    item: Form[T]
    says: str
    least: int = 1

    def schema(self) -> dict[str, Json]:
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.item.schema(), **least, "description": self.says}

    def read(self, value: object, place: Place) -> tuple[T, ...]:
        if not isinstance(value, list):
            place.refuse(Code.B090, f"expected an array, found {kind_of(value)}", self.says)
        if len(value) < self.least:
            place.refuse(Code.B095, "the array is empty", f"{self.says}; name at least one, or leave the key out")
        items: list[T] = []
        for index, item in enumerate(value):
            try:
                items.append(self.item.read(item, place.at(index)))
            except Unread:
                continue
        if len(items) < len(value):
            raise Unread
        return tuple(items)

    def write(self, value: tuple[T, ...]) -> Json:
        return [self.item.write(item) for item in value]


@dataclass(frozen=True)
class Key:
    """One key of an object."""

    name: str
    form: Form[Any]
    attr: str = ""
    """What it becomes; the key's own name if empty."""
    absent: object = ...
    """What a missing key means; `...` where it has to be there."""

    @property
    def target(self) -> str:
        return self.attr or self.name


@dataclass(frozen=True)
class Object(Form[T]):
    """An object with these keys and no others. The first key, its tag, tells it from its neighbours.

    `make` gets a value for each key, by `Key.target`, and may raise `ValueError` with a sentence about keys that do not
    go together; `parts` is its inverse.
    """

    name: str
    """A name for `$defs`."""
    says: str
    keys: tuple[Key, ...]
    make: Callable[..., T]
    parts: Callable[[T], Mapping[str, object]]
    also: Mapping[str, Json] = field(default_factory=dict)
    """What the schema says beyond the keys one by one."""

    @property
    def tag(self) -> str:
        return self.keys[0].name

    def schema(self) -> dict[str, Json]:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> dict[str, Json]:
        """Return what `$defs` says under its name."""
        return {
            "type": "object",
            "description": self.says,
            "properties": {key.name: key.form.schema() for key in self.keys},
            "required": [key.name for key in self.keys if key.absent is ...],
            "additionalProperties": False,
            **self.also,
        }

    def read(self, value: object, place: Place) -> T:
        if not isinstance(value, dict):
            place.refuse(Code.B090, f"expected an object, found {kind_of(value)}", self.says)
        known = [key.name for key in self.keys]
        whole = True
        for name in value:
            if name not in known:
                near = suggest(str(name), known)
                help = f"did you mean `{near}`?" if near else f"the keys here are {_listed(known)}"
                place.report(Code.B091, f"unknown key {_shortened(str(name))}", help)
                whole = False
        read: dict[str, object] = {}
        for key in self.keys:
            if key.name not in value:
                if key.absent is ...:
                    place.report(Code.B092, f"missing key `{key.name}`", f"add `{key.name}`: {_says(key.form)}")
                    whole = False
                read[key.target] = key.absent
                continue
            try:
                read[key.target] = key.form.read(value[key.name], place.at(key.name))
            except Unread:
                whole = False
        if not whole:
            raise Unread
        try:
            return self.make(**read)
        except ValueError as error:
            place.refuse(Code.B095, str(error), self.says)

    def write(self, value: T) -> Json:
        parts = self.parts(value)
        return {
            key.name: key.form.write(parts[key.target])
            for key in self.keys
            if key.absent is ... or parts[key.target] != key.absent
        }


@dataclass(frozen=True)
class Tagged(Form[T]):
    """One of several objects, told apart by their first keys."""

    says: str
    objects: Callable[[], tuple[Object[Any], ...]]
    """The first whose tag is there is meant, so one whose tag is a key of others comes behind them.

    They are asked for late, since a clause may hold clauses.
    """
    which: Callable[[T], str]
    """The name of the object that means this."""

    def schema(self) -> dict[str, Json]:
        return {"anyOf": [one.schema() for one in self.objects()]}

    def read(self, value: object, place: Place) -> T:
        objects = self.objects()
        tags = list(dict.fromkeys(one.tag for one in objects))
        if not isinstance(value, dict):
            help = f"one of its keys has to be {_listed(tags)}"
            place.refuse(Code.B090, f"expected an object, found {kind_of(value)}", help)
        found = next((one for one in objects if one.tag in value), None)
        if found is None:
            near = next((near for name in value if (near := suggest(str(name), tags))), None)
            help = f"did you mean `{near}`?" if near else f"one of its keys has to be {_listed(tags)}"
            place.refuse(Code.B093, f"no key says what this is ({self.says})", help)
        return found.read(value, place.deeper())  # type: ignore[no-any-return]  # each of them reads a T

    def write(self, value: T) -> Json:
        name = self.which(value)
        return next(one for one in self.objects() if one.name == name).write(value)


@dataclass(frozen=True)
class Block(Form[tuple[Any, ...]]):
    """Lines, one below the other. Blank lines between them are said only where they are not as usual."""

    item: Form[Any]
    says: str
    usual: Callable[[Line | None, Line], bool]
    """Whether a blank line usually stands between the two; `None` is the line that the first one stands below."""
    opening: bool = False
    """Whether a blank line can stand above the first."""

    def schema(self) -> dict[str, Json]:
        return {"type": "array", "items": self.item.schema(), "minItems": 1, "description": self.says}

    def read(self, value: object, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list):
            place.refuse(Code.B090, f"expected an array, found {kind_of(value)}", self.says)
        lines: list[Any] = []
        for index, item in enumerate(value):
            try:
                line = self.item.read(item, place.at(index))
            except Unread:
                continue
            blank = item["blank_line"] if "blank_line" in item else self.usual(lines[-1] if lines else None, line)
            lines.append(structs.replace(line, trivia=structs.replace(line.trivia, blank_before=blank)))
        return tuple(lines)

    def write(self, value: tuple[Any, ...]) -> Json:
        items: list[Json] = []
        for before, line in zip((None, *value), value, strict=False):
            item = self.item.write(line)
            blank = line.trivia.blank_before
            if (before is not None or self.opening) and blank != self.usual(before, line):
                item["blank_line"] = blank
            items.append(item)
        return items


def definitions(root: Object[Any]) -> list[Object[Any]]:
    """Return the objects that `root` is made of, in the order in which they are first named."""
    found: dict[str, Object[Any]] = {}
    todo: list[Form[Any]] = [key.form for key in reversed(root.keys)]
    while todo:
        match todo.pop():
            case Object() as one if one.name not in found:
                found[one.name] = one
                todo.extend(key.form for key in reversed(one.keys))
            case Array() | Block() as many:
                todo.append(many.item)
            case Either() as either:
                todo.extend((either.second, either.first))
            case Tagged() as tagged:
                todo.extend(reversed(tagged.objects()))
            case _:
                pass  # a leaf, or known already
    return list(found.values())


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _says(form: Form[Any]) -> str:
    says = form.schema().get("description")
    return says if isinstance(says, str) else "an object"
