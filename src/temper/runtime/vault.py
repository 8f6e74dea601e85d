"""Where secrets live, by the names that other settings know them by.

```toml
[secrets]
pager = { env = "PAGER_TOKEN" }
bank = { file = "/run/secrets/bank" }
registry = { command = ["pass", "show", "registry"], every = "1h" }

[tools."pager.page"]
adapter = "http"
method = "POST"
url = "https://hooks.example.com/{service}"
headers = { Authorization = "Bearer {secret:pager}" }
```

A template reads one as `{secret:NAME}`, and so does `store` of `[server]`; `secret` of a webhook or of
`[approvals]` and `sign` of a tool are names. A name that is not here is the variable of that name in the server's
environment. A secret is a text of at most 64 KiB, without the line end that closes it.

Each is read when the server starts, if something names it, and what can't be read keeps the server from starting. A
file that has changed is read again when its secret is wanted next. A command is run again beside what is going on;
until it has ended, its last answer is in use. What can't be read again stays as it was, and the log says so.

Values are put into requests, and taken out of every text that is kept or shown: as they are, and as URLs, JSON, HTML,
base64 and hexadecimal have them. The last values of one that was replaced stay hidden too. The arguments of a command
are another matter: whoever may look at the machine's processes sees them, so give it secrets by `environment`.

On Linux the memory and the environment of a server are closed to other programs of its user, those of tools among them,
and nowhere is a core of it written.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never
from urllib.parse import quote, quote_plus

from temper.runtime.secrets import (
    CannotRead,
    InFile,
    Output,
    Source,
    Stamp,
    Variable,
    read_file,
    read_output,
    read_variable,
    stamp_of,
)
from temper.text import suggest

_log = logging.getLogger("temper.secrets")
# Of one secret: the value in use, and those before it that are still hidden.
VALUES_MAX = 8
# A shorter piece would be found in words that have nothing to do with the secret.
_PIECE_MIN = 6
_LINE_MIN = 12

Later = Callable[[Callable[[], None]], None]


@dataclass(slots=True)
class _Kept:
    """A secret that has been read: its values, the one in use last; when it was looked at, and what was seen."""

    values: tuple[str, ...]
    stamp: Stamp | None = None
    at: float = 0.0
    reading: bool = False


class Vault:
    """The secrets of a server. Shows their names only, and hides their values in what comes from outside.

    A file that has changed is read again when its secret is asked for next. A command is run again beside what is going
    on, by `later`, and until it has ended its last answer is in use. What can't be read again stays as it was, and the
    log says so.
    """

    __slots__ = ("_also", "_environment", "_hidden", "_kept", "_later", "_lock", "_now", "_sources")

    def __init__(
        self,
        environment: Mapping[str, str],
        sources: Mapping[str, Source] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        self._environment = environment
        self._sources = dict(sources or {})
        self._now = now
        self._later = later or _in_a_thread
        self._kept: dict[str, _Kept] = {}
        self._also: dict[str, tuple[str, ...]] = {}
        self._hidden: tuple[tuple[str, str], ...] = ()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Vault({', '.join(sorted({*self._sources, *self._kept}))})"

    def problem(self, name: str) -> tuple[str, str] | None:
        """Return why there is no secret of this name and what would help, `None` where there is one.

        Reads it where it has not been read, so this may wait for a command; from now on it is hidden everywhere.
        """
        if name in self._kept:
            return None
        source = self._sources.get(name)
        try:
            self._read(name, source or Variable(name))
        except CannotRead as problem:
            if source is None:
                text, near = f"the secret `{name}` is not in the environment", suggest(name, tuple(self._sources))
                if near:
                    return text, f"did you mean `{near}`?"
                return text, f"set `{name}` where the server starts, or say under `[secrets]` where it is"
            return f"the secret `{name}` can't be read: {problem}", f"see `{name}` under `[secrets]`"
        return None

    def has(self, name: str) -> bool:
        """Whether there is a secret of this name, which is not empty. From now on it is hidden everywhere."""
        return self.problem(name) is None

    def reveal(self, name: str) -> str:
        """Return the secret as it is now, for a request and for nothing else. `has` has said that there is one."""
        kept, source = self._kept[name], self._sources.get(name)
        match source:
            case InFile(path):
                stamp = stamp_of(path)
                if stamp != kept.stamp:
                    kept.stamp = stamp  # Also where it can't be read: it is said once, until it changes again.
                    self._again(name, source)
            case Output(every_ms=every_ms) if not kept.reading and self._now() - kept.at >= every_ms / 1000:
                kept.reading = True
                self._later(lambda: self._again(name, source))
            case _:
                pass
        return self._kept[name].values[-1]

    def hide_also(self, name: str, value: str) -> None:
        """Hide `value`, which came from elsewhere, under this name."""
        with self._lock:
            self._also[name] = (*self._also.get(name, ()), value)[-VALUES_MAX:]
            self._hide()

    def hide(self, text: str) -> str:
        """Return `text` with each secret, in each form it may have taken on its way, replaced by its name."""
        for form, name in self._hidden:
            if form in text:
                text = text.replace(form, name)
        return text

    def longest(self) -> int:
        """Return how long the longest text is that is hidden: a cut through a text may leave all but one of it."""
        return len(self._hidden[0][0]) if self._hidden else 0

    def hide_in(self, value: Any) -> Any:
        """Return a JSON value with `hide` applied to each text in it, keys included."""
        match value:
            case str():
                return self.hide(value)
            case list():
                return [self.hide_in(element) for element in value]
            case dict():
                return {self.hide(key): self.hide_in(element) for key, element in value.items()}
            case _:
                return value

    def _read(self, name: str, source: Source) -> None:
        """Read a secret and take it in. Raises `CannotRead`."""
        stamp = None
        match source:
            case Variable(variable):
                value = read_variable(self._environment, variable)
            case InFile(path):
                # Looked at before it is read: what is written in between is read again, and not missed.
                stamp = stamp_of(path)
                value = read_file(path)
            case Output():
                value = read_output(source)
            case _:
                assert_never(source)
        with self._lock:
            before = self._kept[name].values if name in self._kept else ()
            values = (*(each for each in before if each != value), value)[-VALUES_MAX:]
            self._kept[name] = _Kept(values, stamp, self._now())
            if values != before:
                self._hide()

    def _again(self, name: str, source: Source) -> None:
        """Read a secret again; what can't be read stays as it was."""
        try:
            self._read(name, source)
        except CannotRead as problem:
            kept = self._kept[name]
            kept.at, kept.reading = self._now(), False
            _log.warning("the secret `%s` stays as it was: %s", name, problem)

    def _hide(self) -> None:
        """Gather what is hidden, the longest first: a secret that holds another one is hidden whole."""
        values = [(name, value) for name, kept in self._kept.items() for value in kept.values]
        values += [(name, value) for name, also in self._also.items() for value in also]
        forms = {form: f"{{secret:{name}}}" for name, value in reversed(values) for form in _forms(value)}
        # Another thread may be going through the one that there was.
        self._hidden = tuple(sorted(forms.items(), key=lambda pair: -len(pair[0])))


def _in_a_thread(read: Callable[[], None]) -> None:
    threading.Thread(target=read, name="temper-secret", daemon=True).start()


def _forms(value: str) -> Iterator[str]:
    """The secret as it is, as part of a URL, of JSON and of HTML, and as it is encoded; and each of its lines."""
    escaped, ascii_only = (json.dumps(value, ensure_ascii=ensure)[1:-1] for ensure in (False, True))
    quoted = (quote(value, safe=""), quote(value), quote_plus(value))
    lower = (re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text) for text in quoted)
    content = value.encode()
    forms = [value, *quoted, *lower, escaped, ascii_only, html.escape(value), repr(value)[1:-1]]
    encoded = [content.hex(), content.hex().upper(), *_base64(content)]
    lines = [line for line in value.split("\n") if len(line) >= _LINE_MIN] if "\n" in value else []
    forms += [form for form in encoded if len(form) >= _PIECE_MIN]
    yield from dict.fromkeys([*forms, *(line.rstrip("\r") for line in lines)])


def _base64(content: bytes) -> Iterator[str]:
    """What base64 makes of the bytes: of themselves, and wherever they begin among others, as in `user:password`."""
    yield from (base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode())
    for before in range(3):
        text = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        # The letters at both ends that hold bits of what stands beside it are left out.
        inner = text[(0, 2, 3)[before] : len(text) - ((before + len(content)) % 3 > 0)]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))
