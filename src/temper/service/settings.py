"""`temper.toml`: everything that a server can be told. Each setting has its default and its meaning here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from temper.service.levels import LEVELS
from temper.text import suggest

if TYPE_CHECKING:
    from temper.runtime import Vault

FILE = "temper.toml"
PARTITIONS_MAX = 256
# As many as the office's blueprint lets anybody have.
WAITING_MAX = 64


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
    any number of servers share. The whole address, or a part such as the password, may be a `{secret:NAME}`."""
    url: str = ""
    """Where other servers of the same PostgreSQL reach this one; `http://HOST:PORT` by default."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may read answers in browsers, such as `https://app.example.com`."""
    tls_cert: str = ""
    """A file with the server's certificate and those that lead to its authority, in PEM form, relative to the settings
    file: with one, the server speaks TLS. It is read again once it has been renewed."""
    tls_key: str = ""
    """The file with its private key; without it, the key is in the file of the certificate."""
    tls_client_ca: str = ""
    """A file with authorities: only clients with a certificate of theirs may connect. It is read when the server
    starts."""
    tls_client_optional: bool = False
    """With `tls_client_ca`: whether clients that show no certificate may connect too."""
    hsts: str = "365d"
    """With TLS: for how long browsers are told to reach this host by TLS alone, on all of its ports; `0s` tells them
    nothing."""
    tls_ca: str = ""
    """With PostgreSQL: a file with the authorities of the other servers' certificates; without it, the well-known."""
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
    requests_per_principal: int = 0
    """How many of `requests` one principal may have at once, its agents counted with it; one more is answered 429 with
    Retry-After. 0 is half of them. Administrators are not held to it."""
    streams_per_principal: int = 0
    """How many of `streams` one principal may have open, its agents counted with it; one more is answered 429 with
    Retry-After. 0 is half of them. Administrators are not held to it."""
    calls_per_tool: int = 8
    """Calls of one tool that are under way at once."""
    decisions: int = 16
    """Requests of one principal that wait for somebody's approval, 64 at the most; one more is answered 429."""
    rate: str = ""
    """How often one principal may ask, its agents counted with it, such as `100/s`, `600/m` or `5000/h`, and as much at
    once after a quiet time; a request more is answered 429 with Retry-After. Without it there is no such bound."""
    webhook_rate: str = "100/s"
    """How often deliveries of webhooks may come from one address, signed or not, whichever webhook they name; one more
    is answered 429 with Retry-After. Behind a proxy all come from the proxy's address. `""` is no such bound."""
    grants: int = 16
    """Grants to one principal that are in force, 64 at the most; one more can't be given."""

    @property
    def requests_each(self) -> int:
        """How many requests one principal may have at once."""
        return self.requests_per_principal or -(-self.requests // 2)

    @property
    def streams_each(self) -> int:
        """How many streams one principal may have open."""
        return self.streams_per_principal or -(-self.streams // 2)


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


class OidcSection(Section, frozen=True, kw_only=True):
    """An identity provider whose tokens are taken. There may be any number, each with a name of its own."""

    issuer: str
    """The provider's address, exactly as its tokens have it in `iss`; `https`, or `http` on this machine alone."""
    audience: str | tuple[str, ...]
    """Whom its tokens have to be for (`aud`): this server, by one or several names."""
    jwks: str = ""
    """Where its keys are; by default, where `/.well-known/openid-configuration` below the issuer says."""
    principal_claim: str = "sub"
    """The claim that says who it is. The principal is `NAME:` and that, so that no provider can speak for another's."""
    roles_claim: str = ""
    """The claim that lists groups; without one, its people hold no roles."""
    roles: dict[str, str | tuple[str, ...]] = {}
    """For each of these groups, the role or roles that it gives. A group that is not here gives none."""
    admins: tuple[str, ...] = ()
    """The groups of `roles_claim` whose members are administrators."""
    teams_claim: str = ""
    """The claim that lists teams, which policies may ask for."""
    attributes: tuple[str, ...] = ()
    """Claims that policies may ask for, as text."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    """How its tokens may be signed: by public keys alone, whatever a token says of itself."""
    skew: str = "60s"
    """How far its clock may be from the server's."""
    keys_kept: str = "24h"
    """How long its keys go on to be trusted while it can't be reached; then its tokens are refused."""


class ProxySection(Section, frozen=True, kw_only=True):
    """A proxy that says who calls, in headers of its own."""

    peers: tuple[str, ...] = msgspec.field(name="from")
    """The networks that the proxy connects from, as `10.0.0.7/32`. From nowhere else are its headers taken."""
    principal_header: str
    """The header that says who it is. The principal is `proxy:` and that."""
    roles_header: str = ""
    """The header that lists roles, with commas between them."""
    teams_header: str = ""
    """The header that lists teams, with commas between them."""


class CertificatesSection(Section, frozen=True, kw_only=True):
    """Client certificates that say who calls."""

    name: str = "uri"
    """Where in a certificate the name is: "uri", "dns" or "email" of its alternative names, or "common_name"."""
    principals: dict[str, str | tuple[str, ...]]
    """For each of these names, the role or roles that it gives; `[]` gives none. The principal is `cert:` and the name.
    A certificate whose name is not here names nobody."""


class PoliciesSection(Section, frozen=True):
    """Who may administer the server: policies of its own, beside those of bundles."""

    files: tuple[str, ...] = ()
    """Files in Cedar, relative to the settings file. They are read again once they have changed."""


class IdentitySection(Section, frozen=True):
    """Who may come in beside those who bear a token of the server's own."""

    session_max: str = "24h"
    """The longest that a session of an agent may be started for."""
    oidc: dict[str, OidcSection] = {}
    proxy: ProxySection | None = None
    certificates: CertificatesSection | None = None


class WebhookSection(Section, frozen=True, kw_only=True):
    """A webhook that comes in at `/hooks/NAME`: who may send it, and what it has done. There may be any number."""

    scheme: str = "generic"
    """How deliveries are signed: "generic", "github" or "stripe"."""
    secret: str | tuple[str, ...]
    """The name of the secret; a list of them while one is being replaced."""
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


class ApprovalsSection(Section, frozen=True):
    """What becomes of requests that somebody has to approve."""

    expire: str = "24h"
    """How long one waits for its answer."""
    webhook: str = ""
    """Where each new one is posted, so that a chat tool can carry it; `https`, or `http` on this machine alone."""
    secret: str = ""
    """The name of the secret that signs what is posted."""


class RetentionSection(Section, frozen=True, kw_only=True):
    """What becomes of a blueprint's entities in the end."""

    final: str
    """For how long an entity that is final stays among the others before it moves to the archive, as in `90d`."""


class SecretSection(Section, frozen=True, kw_only=True):
    """Where a secret lives: one of a variable, a file, and the output of a command."""

    env: str = ""
    """The variable of the server's environment."""
    file: str = ""
    """A file, relative to the settings file. It is read again once it has changed."""
    command: tuple[str, ...] = ()
    """A program and its arguments; what it writes is the secret. There is no shell, and it ends with 0."""
    every: str = "5m"
    """How often the command is run again, while the secret is in use."""
    timeout: str = "10s"
    """How long the command may take."""


class Settings(Section, frozen=True):
    """The whole file. `tools` and `adapters` are read by the runtime, which knows the adapters."""

    server: ServerSection = ServerSection()
    limits: LimitsSection = LimitsSection()
    push: PushSection = PushSection()
    tools: dict[str, dict[str, Any]] = {}
    adapters: dict[str, dict[str, Any]] = {}
    secrets: dict[str, SecretSection] = {}
    webhooks: dict[str, WebhookSection] = {}
    approvals: ApprovalsSection = ApprovalsSection()
    identity: IdentitySection = IdentitySection()
    policies: PoliciesSection = PoliciesSection()
    retention: dict[str, RetentionSection] = {}


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """What is wrong with a setting; `key` is its dotted path."""

    key: str
    message: str
    help: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" + (f" ({self.help})" if self.help else "")


def _no_secrets() -> Vault:
    from temper.runtime import Vault

    return Vault({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where they came from; `folder` is what relative paths are relative to."""

    settings: Settings
    folder: Path
    problems: tuple[SettingProblem, ...] = ()
    vault: Vault = field(default_factory=_no_secrets)

    @property
    def data(self) -> Path:
        """Return the data folder."""
        return self.folder / self.settings.server.data

    @property
    def store(self) -> str:
        """Return the PostgreSQL that blueprints live in, "" where that is the data folder."""
        text, vault = self.settings.server.store, self.vault
        if any(not vault.has(name) for name in _SECRET.findall(text)):
            return ""
        whole = _SECRET.fullmatch(text)
        # Within an address it is a part of it, such as its password, whatever letters are in it.
        return (
            vault.reveal(whole[1]) if whole else _SECRET.sub(lambda each: quote(vault.reveal(each[1]), safe=""), text)
        )

    def store_problem(self) -> SettingProblem | None:
        """Return what is wrong with where blueprints are to live; the secret itself is not in it."""
        for name in _SECRET.findall(self.settings.server.store):
            wrong = self.vault.problem(name)
            if wrong is not None:
                return SettingProblem("server.store", *wrong)
        found = self.store
        if found and not found.startswith(("postgresql://", "postgres://")):
            return SettingProblem(
                "server.store", "is not the address of a PostgreSQL", "as in `postgresql://HOST/NAME`"
            )
        return None


def load_settings(path: Path | None, environment: Mapping[str, str]) -> Loaded:
    """Return the settings of a file, or the defaults where there is none. Problems are listed, never raised."""
    if path is None:
        return Loaded(Settings(), Path.cwd(), vault=_vault({}, Path.cwd(), environment))
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        return _bad(path, SettingProblem(str(path), f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError:
        return _bad(path, SettingProblem(str(path), "is not UTF-8"))
    except tomllib.TOMLDecodeError as error:
        return _bad(path, SettingProblem(str(path), f"is not TOML: {error}"))
    try:
        settings = msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        return _bad(path, _explain(error))
    folder, problems = path.resolve().parent, _sense(settings)
    return Loaded(settings, folder, problems, _vault(settings.secrets if not problems else {}, folder, environment))


_SECRET = re.compile(r"\{secret:([A-Za-z_][A-Za-z0-9_]*)\}")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as `30s`. Raises `ValueError` on anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no duration; write one such as `30s`, `5m` or `250ms`")
    return int(match[1]) * _UNITS_MS[match[2]]


_RATE = re.compile(r"([1-9]\d{0,8})/(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?")


def rate_of(text: str) -> tuple[int, float]:
    """Return how many in how many seconds. Raises `ValueError` for what is no rate."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no rate; write one such as `100/s`, `600/m` or `5000/h`")
    return int(match[1]), _SECONDS[match[2]]


def _edges(settings: Settings) -> Iterator[SettingProblem]:
    """What is wrong with how the server is reached."""
    server = settings.server
    for key in ("rate", "webhook_rate"):
        rate = getattr(settings.limits, key)
        try:
            if rate:
                rate_of(rate)
        except ValueError as error:
            yield SettingProblem(f"limits.{key}", str(error))
    for origin in server.cors:
        if not _ORIGIN.fullmatch(origin):
            yield SettingProblem(
                "server.cors", f"`{origin}` is no origin", "write `https://app.example.com`, as browsers send it"
            )
    for key in ("tls_key", "tls_client_ca", "tls_ca"):
        if getattr(server, key) and not server.tls_cert:
            yield SettingProblem(f"server.{key}", "there is no certificate that it is for", "name one in `tls_cert`")
    without = "nothing says whose certificates count"
    if server.tls_client_optional and not server.tls_client_ca:
        yield SettingProblem("server.tls_client_optional", without, "name their authorities in `tls_client_ca`")
    if settings.identity.certificates is not None and not server.tls_client_ca:
        yield SettingProblem(
            "identity.certificates", without, "name their authorities in `tls_client_ca` of `[server]`"
        )


def _bad(path: Path, problem: SettingProblem) -> Loaded:
    return Loaded(Settings(), path.resolve().parent, (problem,))


def _vault(sections: Mapping[str, SecretSection], folder: Path, environment: Mapping[str, str]) -> Vault:
    from temper.runtime import InFile, Output, Variable, Vault

    sources: dict[str, Variable | InFile | Output] = {}
    for name, section in sections.items():
        if section.env:
            sources[name] = Variable(section.env)
        elif section.file:
            sources[name] = InFile(folder / section.file)
        else:
            sources[name] = Output(section.command, duration_ms(section.every), duration_ms(section.timeout))
    return Vault(environment, sources)


_NAMED = {
    "identity.oidc": OidcSection,
    "identity.proxy": ProxySection,
    "identity.certificates": CertificatesSection,
    "webhooks": WebhookSection,
    "secrets": SecretSection,
    "retention": RetentionSection,
}


def _explain(error: msgspec.ValidationError) -> SettingProblem:
    message, _, where = str(error).partition(" - at `$")
    key = where.removesuffix("`").lstrip(".")
    help = "see docs/reference/settings.md"
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    if unknown is not None:
        named = _NAMED.get(key.partition("[")[0])
        section = named or (getattr(Settings(), key) if key else Settings)
        near = suggest(unknown[1], section.__struct_encode_fields__)
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
        ("requests_per_principal", 0),
        ("streams_per_principal", 0),
        ("calls_per_tool", 1),
    ):
        if getattr(settings.limits, name) < low:
            problems.append(SettingProblem(f"limits.{name}", f"is below {low}"))
    for name in ("decisions", "grants"):
        if not 1 <= getattr(settings.limits, name) <= WAITING_MAX:
            problems.append(SettingProblem(f"limits.{name}", f"is not from 1 to {WAITING_MAX}"))
    if not 1 <= settings.server.partitions <= PARTITIONS_MAX:
        problems.append(SettingProblem("server.partitions", f"is not from 1 to {PARTITIONS_MAX}"))
    for key, text in (
        ("server.drain", settings.server.drain),
        ("server.hsts", settings.server.hsts),
        ("server.lease", settings.server.lease),
        ("limits.wait", settings.limits.wait),
        ("approvals.expire", settings.approvals.expire),
        *((f"retention.{name}.final", section.final) for name, section in settings.retention.items()),
    ):
        try:
            duration_ms(text)
        except ValueError as error:
            problems.append(SettingProblem(key, str(error)))
    problems += _edges(settings)
    problems += [problem for name, section in settings.secrets.items() for problem in _of_secret(name, section)]
    if settings.push.states < 1:
        problems.append(SettingProblem("push.states", "is below 1"))
    if settings.push.seconds <= 0:
        problems.append(SettingProblem("push.seconds", "is not above 0"))
    return tuple(problems)


def _of_secret(name: str, section: SecretSection) -> Iterator[SettingProblem]:
    at = f"secrets.{name}"
    if not _SECRET.fullmatch(f"{{secret:{name}}}"):
        yield SettingProblem(at, f"`{name}` is no name of a secret", "write letters, digits and `_`")
    if [bool(section.env), bool(section.file), bool(section.command)].count(True) != 1:
        yield SettingProblem(at, "does not say where the secret is", "give one of `env`, `file` and `command`")
    for key, text in (("every", section.every), ("timeout", section.timeout)):
        try:
            if duration_ms(text) < 1:
                yield SettingProblem(f"{at}.{key}", "is not above 0", "write `10s`")
        except ValueError as error:
            yield SettingProblem(f"{at}.{key}", str(error))
