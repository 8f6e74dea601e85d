"""Inbound webhooks: a signed delivery from outside becomes an action, once, as a principal that the settings name.

```toml
[webhooks.payments]               # POST /hooks/payments
scheme = "generic"                # or "github", "stripe"
secret = "PAYMENTS_SECRET"        # the name of a secret; a list of two while one is being replaced
blueprint = "shop"
entity = "Purchase"
action = "Charged"
id = "data.purchase"              # of the entity, as a path into the body; without it the action creates one
params = { receipt = "data.receipt" }
when = { type = "paid" }          # what else is in the body is taken, and left alone
principal = "payments"
roles = ["bank"]
window = "5m"
```

Each scheme is an HMAC with SHA-256, in hexadecimal:

| scheme | signature | over | known again by |
|---|---|---|---|
| `generic` | `Temper-Signature: v1=HEX` | `Temper-Timestamp`, `.`, `Temper-Delivery`, `.`, body | `Temper-Delivery` |
| `github` | `X-Hub-Signature-256: sha256=HEX` | the body | the body |
| `stripe` | `Stripe-Signature: t=SECONDS,v1=HEX`, `v1` once or more | `t`, `.` and the body | the body |

A timestamp is in seconds, and further from the server's time than `window` is refused.
What is not signed is never relied upon: the delivery id of GitHub is not, so the body itself is the key there.
A delivery that comes again is answered as the first time, for as long as idempotency keys are kept: a day, and at least
the last ten thousand. GitHub signs no time: what is replayed after that has to be refused by the blueprint.

Whoever can't sign learns nothing: a wrong signature, an old one and a webhook that is not there are answered alike.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.runtime import Vault, extract, parse_path
from temper.service import wire
from temper.service.declined import Declined
from temper.service.people import ROLE, Person
from temper.service.settings import SettingProblem, WebhookSection, duration_ms
from temper.text import suggest

SCHEMES = ("generic", "github", "stripe")
_SECONDS = re.compile(r"\d{1,12}")
_DELIVERY = re.compile(rb"[!-~]{1,200}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
# Whoever names a webhook that is not there waits for as much arithmetic as everybody.
_NOBODY = WebhookSection(scheme="github", secret="", blueprint="", entity="", action="", principal="")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came, and what it asks for; `id` is `None` where it creates. `key` is the same when it comes again."""

    person: Person
    section: WebhookSection
    id: str | None
    params: dict[str, Any]
    key: str


def problems(webhooks: Mapping[str, WebhookSection], vault: Vault) -> Iterator[SettingProblem]:
    """Yield what is wrong with the webhooks that are declared."""
    for name, section in webhooks.items():
        at = f"webhooks.{name}"
        if not _NAME.fullmatch(name):
            yield SettingProblem(at, f"`{name}` is no name of a webhook", "write lower_snake or lower-kebab")
        if section.scheme not in SCHEMES:
            near = suggest(section.scheme, SCHEMES)
            yield SettingProblem(
                f"{at}.scheme", f"there is no scheme `{section.scheme}`",
                f"did you mean `{near}`?" if near else f"one of {', '.join(SCHEMES)}",
            )  # fmt: skip
        for secret in _names(section):
            wrong = vault.problem(secret)
            if wrong is not None:
                yield SettingProblem(f"{at}.secret", *wrong)
        if not _names(section):
            yield SettingProblem(f"{at}.secret", "there is none", "name one of `[secrets]`")
        paths = {"id": section.id} if section.id else {}
        paths |= {f"params.{key}": path for key, path in section.params.items()}
        paths |= {f"when.{path}": path for path in section.when}
        for key, path in paths.items():
            if parse_path(path) is None:
                yield SettingProblem(f"{at}.{key}", f"`{path}` is not a path", "write it as in `items[0].id`")
        for role in section.roles:
            if not ROLE.fullmatch(role):
                yield SettingProblem(f"{at}.roles", f"`{role}` is no role's name", "lower_snake, as in the blueprint")
        if not section.principal or not section.principal.isprintable():
            yield SettingProblem(f"{at}.principal", "is not printable, or empty", "say who it acts as")
        try:
            if duration_ms(section.window) < 1:
                yield SettingProblem(f"{at}.window", "is not above 0", "write `5m`")
        except ValueError as error:
            yield SettingProblem(f"{at}.window", str(error))


def read(
    webhooks: Mapping[str, WebhookSection],
    vault: Vault,
    name: str,
    headers: Mapping[bytes, bytes],
    body: bytes,
    now: int,
) -> Delivery | None:
    """Return what a delivery asks for, `None` where its webhook is not for such.

    Declines with "unauthenticated" unless it is signed by one who has the secret, and recent.
    """
    section = webhooks.get(name, _NOBODY)
    secrets = [vault.reveal(secret) for secret in _names(section)] or ["no secret"]
    signed = _signed(section, headers, body)
    good = False
    for secret in secrets:
        made = hmac.new(secret.encode(), signed.text, hashlib.sha256).hexdigest().encode()
        for given in signed.signatures:
            good |= hmac.compare_digest(made, given)
    late = signed.at is not None and abs(now - signed.at * 1000) > duration_ms(section.window)
    if section is _NOBODY or not good or late or not signed.whole:
        raise Declined(
            wire.Problem(type="unauthenticated", title="the delivery is not signed as it has to be", status=401)
        )
    try:
        content = json.loads(body, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise _unfit("", "is not JSON") from error
    if not isinstance(content, dict):
        raise _unfit("", "is not an object")
    wanted = tuple((path, parsed) for path in section.when if (parsed := parse_path(path)) is not None)
    found, missing = extract(wanted, content)
    if missing or any(not _same(found[path], value) for path, value in section.when.items()):
        return None
    person = Person(section.principal, frozenset(section.roles), via="webhook")
    params, id = _mapped(section.params, content), None
    if section.id:
        id = _mapped({"id": section.id}, content)["id"]
        if isinstance(id, bool) or not isinstance(id, str | int):
            raise _unfit(section.id, "is not a text or a whole number")
        id = str(id)
    return Delivery(person, section, id, params, f"webhook {name} {hashlib.sha256(signed.key).hexdigest()}")


@dataclass(frozen=True, slots=True)
class _Signed:
    text: bytes
    signatures: tuple[bytes, ...]
    key: bytes
    at: int | None = None
    whole: bool = True


def _signed(section: WebhookSection, headers: Mapping[bytes, bytes], body: bytes) -> _Signed:
    match section.scheme:
        case "github":
            given = headers.get(b"x-hub-signature-256", b"")
            return _Signed(body, (given.removeprefix(b"sha256="),), body, whole=given.startswith(b"sha256="))
        case "stripe":
            pairs = [pair.partition(b"=")[::2] for pair in headers.get(b"stripe-signature", b"").split(b",")]
            at = next((value for key, value in pairs if key.strip() == b"t"), b"")
            given_ones = tuple(value.strip() for key, value in pairs if key.strip() == b"v1")[:8]
            seconds = _seconds(at)
            return _Signed(at + b"." + body, given_ones, body, seconds, whole=seconds is not None)
        case _:
            at, delivery = headers.get(b"temper-timestamp", b""), headers.get(b"temper-delivery", b"")
            given = headers.get(b"temper-signature", b"")
            seconds = _seconds(at)
            whole = given.startswith(b"v1=") and seconds is not None and _DELIVERY.fullmatch(delivery) is not None
            text = at + b"." + delivery + b"." + body
            return _Signed(text, (given.removeprefix(b"v1="),), delivery, seconds, whole=whole)


def _seconds(text: bytes) -> int | None:
    said = text.decode("latin-1")
    return int(said) if said.isascii() and _SECONDS.fullmatch(said) else None


def _mapped(paths: Mapping[str, str], content: Any) -> dict[str, Any]:
    parsed = tuple((name, path) for name, text in paths.items() if (path := parse_path(text)) is not None)
    found, missing = extract(parsed, content)
    if missing:
        raise _unfit(missing[0], "is missing")
    return found


def _same(found: Any, value: Any) -> bool:
    return type(found) is type(value) and bool(found == value)


def _names(section: WebhookSection) -> tuple[str, ...]:
    if isinstance(section.secret, str):
        return (section.secret,) if section.secret else ()
    return section.secret


def _unfit(path: str, message: str) -> Declined:
    return Declined(
        wire.Problem(
            type="bad-request",
            title="the delivery does not fit its webhook",
            status=422,
            errors=(wire.FieldError(path=path, message=message),),
        )
    )


class Taken(msgspec.Struct, frozen=True):
    """The answer to a delivery: whether it was for its webhook, and whether it had come before."""

    taken: bool
    replayed: bool = False
