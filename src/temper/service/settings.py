"""`temper.toml`: everything that a server can be told. Each setting has its default and its meaning here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from temper.text import suggest

FILE = "temper.toml"
PARTITIONS_MAX = 256
LEVELS = ("algebra", "search", "simulation", "properties", "scenarios")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file. A member that is not known is refused, with the one that was probably meant."""


class ServerSection(Section, frozen=True):
    """Where the server listens and keeps its data."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8420
    """The port to listen on; 0 lets the system choose."""
    data: str = "temper-data"
    """A folder, relative to the settings file."""
    drain: str = "10s"
    """How long a shutdown waits for calls that are under way."""
    store: str = ""
    """Where blueprints live: the data folder by default, or a PostgreSQL as `postgresql://USER@HOST/DATABASE`, which
    any number of servers share. `{secret:NAME}` reads it from the server's environment."""
    url: str = ""
    """Where other servers of the same PostgreSQL reach this one; `http://HOST:PORT` by default."""
    lease: str = "10s"
    """With PostgreSQL: how long a server that is gone keeps its share of the entities from the others."""
    partitions: int = 16
    """With PostgreSQL: into how many shares the entities of a new blueprint fall; the most servers that decide."""


class LimitsSection(Section, frozen=True):
    """Bounds, and what happens at them."""

    body_bytes: int = 1_048_576
    """A larger request body is refused with 413."""
    queue: int = 4096
    """Requests that wait to be decided; one more is answered 503 with Retry-After."""
    batch: int = 256
    """Requests that share a commit at the most."""
    page: int = 200
    """Items on a page of a list, at the most."""
    wait: str = "60s"
    """The longest wait-until."""
    requests: int = 2048
    """Requests at once, live streams and waits included; one more is answered 503 with Retry-After."""
    streams: int = 1000
    """Open live streams; one more is answered 503."""
    calls_per_tool: int = 8
    """Calls of one tool that are under way at once."""


class PushSection(Section, frozen=True):
    """What a blueprint must pass before it is loaded."""

    levels: tuple[str, ...] = LEVELS
    """Any of "algebra", "search", "simulation", "properties", "scenarios"."""
    allow_unknown: bool = False
    """Whether a property whose verdict is *unknown* may be loaded."""
    states: int = 500_000
    """Where the search stops."""
    seconds: float = 120.0
    """Where the whole judgement stops; past it the verdict is *unknown*."""
    memory: int = 4096
    """How many MiB a process that judges may take; past it the verdict is *unknown*."""


class WebhookSection(Section, frozen=True, kw_only=True):
    """A webhook that comes in at `/hooks/NAME`: who may send it, and what it has done. There may be any number."""

    scheme: str = "generic"
    """How deliveries are signed: "generic", "github" or "stripe"."""
    secret: str | tuple[str, ...]
    """The variable of the server's environment that holds the secret; a list of them while one is being replaced."""
    blueprint: str
    """The blueprint whose action it is."""
    entity: str
    """The kind of entity."""
    action: str
    """The action that a delivery takes."""
    principal: str
    """Who it acts as."""
    roles: tuple[str, ...] = ()
    """The roles that it holds."""
    id: str = ""
    """The path into the body where the entity's id is; without one, the action creates an entity."""
    params: dict[str, str] = {}
    """For each parameter of the action, its path into the body."""
    when: dict[str, str | int | bool] = {}
    """For each of these paths, what stands there; another delivery is taken, and nothing is done."""
    window: str = "5m"
    """How far a delivery's signed time may be from the server's."""


class Settings(Section, frozen=True):
    """The whole file. `tools` and `adapters` are read by the runtime, which knows the adapters."""

    server: ServerSection = ServerSection()
    limits: LimitsSection = LimitsSection()
    push: PushSection = PushSection()
    tools: dict[str, dict[str, Any]] = {}
    adapters: dict[str, dict[str, Any]] = {}
    webhooks: dict[str, WebhookSection] = {}


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """What is wrong with a setting; `key` is its dotted path."""

    key: str
    message: str
    help: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" + (f" ({self.help})" if self.help else "")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where they came from; `folder` is what relative paths are relative to."""

    settings: Settings
    folder: Path
    problems: tuple[SettingProblem, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """Return the data folder."""
        return self.folder / self.settings.server.data

    @property
    def store(self) -> str:
        """Return the PostgreSQL that blueprints live in, "" where that is the data folder."""
        text = self.settings.server.store
        named = _SECRET.fullmatch(text)
        return text if named is None else self.environment.get(named[1], "")

    def store_problem(self) -> SettingProblem | None:
        """Return what is wrong with where blueprints are to live; the secret itself is not in it."""
        text, found = self.settings.server.store, self.store
        if text and not found:
            return SettingProblem("server.store", f"`{text}` is not in the environment", "export it for the server")
        if found and not found.startswith(("postgresql://", "postgres://")):
            return SettingProblem(
                "server.store", "is not the address of a PostgreSQL", "as in `postgresql://HOST/NAME`"
            )
        return None


def load_settings(path: Path | None, environment: Mapping[str, str]) -> Loaded:
    """Return the settings of a file, or the defaults where there is none. Problems are listed, never raised."""
    if path is None:
        return Loaded(Settings(), Path.cwd(), environment=environment)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        return _bad(path, environment, SettingProblem(str(path), f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError:
        return _bad(path, environment, SettingProblem(str(path), "is not UTF-8"))
    except tomllib.TOMLDecodeError as error:
        return _bad(path, environment, SettingProblem(str(path), f"is not TOML: {error}"))
    try:
        settings = msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        return _bad(path, environment, _explain(error))
    return Loaded(settings, path.resolve().parent, _sense(settings), environment)


_SECRET = re.compile(r"\{secret:([A-Za-z_][A-Za-z0-9_]*)\}")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as `30s`. Raises `ValueError` on anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no duration; write one such as `30s`, `5m` or `250ms`")
    return int(match[1]) * _UNITS_MS[match[2]]


def _bad(path: Path, environment: Mapping[str, str], problem: SettingProblem) -> Loaded:
    return Loaded(Settings(), path.resolve().parent, (problem,), environment)


def _explain(error: msgspec.ValidationError) -> SettingProblem:
    message, _, where = str(error).partition(" - at `$")
    key = where.removesuffix("`").lstrip(".")
    help = "see docs/reference/settings.md"
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    if unknown is not None:
        section = WebhookSection if key.startswith("webhooks") else getattr(Settings(), key) if key else Settings
        near = suggest(unknown[1], section.__struct_fields__)
        message = f"there is no setting `{unknown[1]}`"
        help = f"did you mean `{near}`?" if near else help
    return SettingProblem(key or FILE, message[0].lower() + message[1:], help)


def _sense(settings: Settings) -> tuple[SettingProblem, ...]:
    problems = []
    for level in settings.push.levels:
        if level not in LEVELS:
            problems.append(
                SettingProblem("push.levels", f"there is no level `{level}`", f"one of {', '.join(LEVELS)}")
            )
    if not 0 <= settings.server.port <= 65_535:
        problems.append(SettingProblem("server.port", f"{settings.server.port} is no port", "0 lets the system choose"))
    for name, low in (
        ("body_bytes", 1024),
        ("queue", 1),
        ("batch", 1),
        ("page", 1),
        ("streams", 0),
        ("calls_per_tool", 1),
    ):
        if getattr(settings.limits, name) < low:
            problems.append(SettingProblem(f"limits.{name}", f"is below {low}"))
    if not 1 <= settings.server.partitions <= PARTITIONS_MAX:
        problems.append(SettingProblem("server.partitions", f"is not from 1 to {PARTITIONS_MAX}"))
    for key, text in (
        ("server.drain", settings.server.drain),
        ("server.lease", settings.server.lease),
        ("limits.wait", settings.limits.wait),
    ):
        try:
            duration_ms(text)
        except ValueError as error:
            problems.append(SettingProblem(key, str(error)))
    if settings.push.states < 1:
        problems.append(SettingProblem("push.states", "is below 1"))
    if settings.push.seconds <= 0:
        problems.append(SettingProblem("push.seconds", "is not above 0"))
    return tuple(problems)
