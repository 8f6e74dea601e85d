"""Reading a table of settings: what is wanted, and every problem on the way."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from temper.runtime.tools.path import Path, parse_path
from temper.runtime.tools.template import Elements, Fields, Fixed, Order, Shape, Template, parse
from temper.runtime.vault import Vault
from temper.text import suggest


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in the settings: where, what, and how to mend it."""

    where: str  # The key, as it would be written in TOML: `tools."pager.page".url`.
    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What a blueprint declares of a tool: the names of its parameters and of its results."""

    params: Sequence[str] = ()
    results: Sequence[str] = ()


@dataclass(slots=True)
class Table:
    """One table of settings, read key by key. Each mistake is noted once, and reading goes on."""

    where: tuple[str, ...]
    raw: Mapping[str, Any]
    problems: list[Problem]
    vault: Vault
    tool: str = ""
    declared: Declared | None = None  # `None`: no blueprint declares the tool (yet), so its names can't be checked.
    _asked: list[str] = field(default_factory=list)

    def note(self, key: str, text: str, help: str) -> None:
        """Note a problem with `key`; with the table itself if it is empty."""
        self.problems.append(Problem(dotted((*self.where, *([key] if key else []))), text, help))

    def text(self, key: str, *, required: bool = False) -> str | None:
        """The string at `key`, if there is one."""
        found: str | None = self._get(
            key, lambda value: isinstance(value, str) and bool(value), "a text", required=required
        )
        return found

    def one_of(self, key: str, names: Sequence[str], default: str | None = None) -> str | None:
        """The string at `key`, which is one of `names`. Without a default it must be there."""
        value = self.text(key, required=default is None)
        if value is not None and value not in names:
            near = suggest(value, names)
            help = f"did you mean `{near}`?" if near else f"one of {_listed(names)}"
            self.note(key, f"`{value}` is not known here", help)
            return None
        return value or default

    def flag(self, key: str) -> bool:
        """The truth value at `key`; false if there is none."""
        return bool(self._get(key, lambda value: isinstance(value, bool), "`true` or `false`"))

    def number(self, key: str, default: int) -> int:
        """The whole number at `key`, at least 1."""
        found: int | None = self._get(key, lambda value: _whole(value) and value > 0, "a whole number above 0")
        return default if found is None else found

    def duration_ms(self, key: str, default: int) -> int:
        """The duration at `key`, as a blueprint would write it."""
        text: str | None = self._get(
            key,
            lambda value: isinstance(value, str) and _DURATION.fullmatch(value) is not None,
            "a duration such as `500ms`, `2s` or `1m`",
        )
        found = _DURATION.fullmatch(text) if text else None
        return int(found.group(1)) * _UNITS_MS[found.group(2)] if found else default

    def texts(self, key: str) -> list[str] | None:
        """The list of strings at `key`, if there is one."""
        found: list[str] | None = self._get(
            key, lambda value: _all(value, lambda one: isinstance(one, str)), "a list of texts"
        )
        return found

    def statuses(self, key: str, default: frozenset[int]) -> frozenset[int]:
        """The set of HTTP status codes at `key`."""
        found: list[int] | None = self._get(
            key,
            lambda value: _all(value, lambda one: _whole(one) and 200 <= one < 600),
            "a list of codes from 200 to 599",
        )
        return default if found is None else frozenset(found)

    def codes(self, key: str, default: frozenset[int]) -> frozenset[int]:
        """The set of exit codes at `key`."""
        found: list[int] | None = self._get(
            key,
            lambda value: _all(value, lambda one: _whole(one) and 0 < one < 256),
            "a list of codes from 1 to 255",
        )
        return default if found is None else frozenset(found)

    def texts_by_name(self, key: str) -> dict[str, str]:
        """The table of texts at `key`."""
        return dict(self._get(key, _texts_by_name, "a table of texts") or {})

    def template(self, key: str, *, required: bool = False) -> Template | None:
        """The template at `key`, if there is one that holds water."""
        text = self.text(key, required=required)
        return None if text is None else self.parsed(key, text)

    def texts_of_templates(self, key: str) -> tuple[tuple[str, Template], ...]:
        """The table of templates at `key`."""
        raw = self._get(key, _texts_by_name, "a table of texts")
        found = ((name, self.parsed(f"{key}.{name}", text)) for name, text in (raw or {}).items())
        return tuple((name, template) for name, template in found if template is not None)

    def secret(self, key: str, name: str) -> bool:
        """Whether there is a secret of this name, which stands at `key`; if not, it is noted."""
        problem = self.vault.problem(name)
        if problem is not None:
            self.note(key, *problem)
        return problem is None

    def shape(self, key: str, *, required: bool = False) -> Shape | None:
        """The JSON value at `key`, whose texts are templates."""
        raw = self._get(key, lambda value: value is not None, "a value", required=required)
        return None if raw is None else self._shaped(key, raw)

    def results(self, *, answer: str) -> tuple[tuple[str, Path], ...]:
        """The table `result`: for each field that the tool is declared to answer, its path in `answer`."""
        raw = self._get("result", _texts_by_name, 'a table of paths, such as `{ ticket = "id" }`') or {}
        found: list[tuple[str, Path]] = []
        for name, text in raw.items():
            path = parse_path(text)
            if path is None:
                self.note(f"result.{name}", f"`{text}` is not a path", "write it as in `items[0].id`")
            else:
                found.append((name, path))
        if self.declared is not None:
            for name in raw:
                if name not in self.declared.results:
                    near = suggest(name, self.declared.results)
                    help = f"did you mean `{near}`?" if near else "take it out, or declare it in the blueprint"
                    self.note(f"result.{name}", f"`{name}` is no result of `{self.tool}`", help)
            for name in self.declared.results:
                if name not in raw:
                    self.note(
                        "result", f"nothing gives `{name}`, which `{self.tool}` answers", f"add its path in {answer}"
                    )
        return tuple(found)

    def parsed(self, key: str, text: str) -> Template | None:
        """The template that `text` is, with all that it names checked."""
        template, problem = parse(text)
        if problem is not None:
            self.note(key, problem, "`{argument}`, `{order}` and `{secret:NAME}` are filled; write `{{` for a brace")
            return None
        sound = True
        for name in template.secrets():
            sound &= self.secret(key, name)
        if self.declared is None:
            return template if sound else None
        params = self.declared.params
        for name in template.arguments():
            if name not in params:
                sound = False
                near = suggest(name, params)
                help = f"did you mean `{near}`?" if near else f"its parameters are {_listed(params) or 'none'}"
                self.note(key, f"`{name}` is no parameter of `{self.tool}`", help)
        if "order" in params and Order() in template.parts:
            sound = False
            self.note(
                key,
                "`{order}` is the order's id, and the tool has a parameter of that name too",
                "rename the parameter in the blueprint",
            )
        return template if sound else None

    def finish(self) -> None:
        """Note each key that nobody asked for."""
        for key in self.raw:
            if key not in self._asked:
                near = suggest(key, self._asked)
                help = f"did you mean `{near}`?" if near else f"known here: {_listed(sorted(self._asked))}"
                self.note(key, f"unknown setting `{key}`", help)

    def _get(self, key: str, fits: Callable[[Any], bool], wanted: str, *, required: bool = False) -> Any:
        self._asked.append(key)
        if key not in self.raw:
            if required:
                self.note("", f"`{key}` is missing", f"give {wanted}")
            return None
        value = self.raw[key]
        if fits(value):
            return value
        self.note(key, f"this is not {wanted}", f"give {wanted}")
        return None

    def _shaped(self, key: str, raw: Any) -> Shape | None:
        match raw:
            case str():
                return self.parsed(key, raw)
            case Mapping():
                fields = [(str(name), self._shaped(f"{key}.{name}", value)) for name, value in raw.items()]
                return Fields(tuple((name, shape) for name, shape in fields if shape is not None))
            case list():
                elements = [self._shaped(f"{key}[{number}]", value) for number, value in enumerate(raw)]
                return Elements(tuple(shape for shape in elements if shape is not None))
            case bool() | int():
                return Fixed(raw)
            case float() if math.isfinite(raw):
                return Fixed(raw)
            case _:
                # TOML has dates, `inf` and `nan`; JSON has none.
                self.note(key, "this is not a JSON value", "write it as a text")
                return None


_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(fits(one) for one in value)


def _texts_by_name(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def dotted(parts: tuple[str, ...]) -> str:
    """Return a key as it would be written in TOML. The second part is a tool's name, and has a dot of its own."""
    table, *rest = parts
    if rest and not re.fullmatch(r"[A-Za-z0-9_-]+", rest[0]):
        rest[0] = f'"{rest[0]}"'
    return ".".join([table, *rest])
