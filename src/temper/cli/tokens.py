"""`temper token`: on the machine where the data is, or through a server."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured, table
from temper.cli.settings import settings
from temper.runtime import PostgresTokens, Registry, StoreFault, SystemClock, TokenStore
from temper.service import (
    Loaded,
    TokenWanted,
    duration_ms,
    kept_token,
    principals_of_others,
    token_problems,
    token_view,
    wire,
)

# How much longer than its lease a server may take until it has heard that a token is revoked.
_HEARD_S = 5.0
# A folder's tokens are kept apart from what stands by them, which only a server may write.
_UNHEARD = "what stood by it lets nothing through any more; asked with --server, the server ends and names it"


def token(args: argparse.Namespace) -> int:
    """Make, list, rotate or revoke tokens."""
    here = args.data or args.settings or args.store
    if args.server or (os.environ.get("TEMPER_SERVER") and not here):
        answer = _through_server(args)
    else:
        answer = _in_folder(args)
        if args.verb == "revoke" and not args.json:
            print(_UNHEARD, file=sys.stderr)
    _tell(args, answer)
    return Exit.FINE


def _through_server(args: argparse.Namespace) -> Any:
    if not os.environ.get("TEMPER_TOKEN", "").strip():
        named = "--server" if args.server else "TEMPER_SERVER"
        raise Stop(
            Exit.USAGE,
            f"{named} names a server, and there is no token to ask it with",
            help="put an administrator's into TEMPER_TOKEN; where the data is it takes none: "
            "name the folder with --data, or the database with --store",
        )
    with Client.of(args) as client:
        match args.verb:
            case "list":
                return client.get("/v1/tokens")
            case "revoke":
                return client.delete(f"/v1/tokens/{quote(args.id, safe='')}")
            case "rotate":
                _duration(args.grace)
                return client.post(f"/v1/tokens/{quote(args.id, safe='')}/rotate", {"grace": args.grace})
            case _:
                return client.post("/v1/tokens", _body(args))


def _body(args: argparse.Namespace) -> dict[str, Any]:
    wanted = _wanted(args)
    body = {"principal": wanted.principal, "roles": wanted.roles, "admin": wanted.admin}
    more = {
        "acts_for": wanted.acts_for,
        "ttl": args.ttl,
        "teams": wanted.teams,
        "attributes": wanted.attributes,
        "scope": wanted.scope,
        "read_only": wanted.read_only,
    }
    return body | {name: value for name, value in more.items() if value}


def _wanted(args: argparse.Namespace) -> TokenWanted:
    attributes = dict(pair.partition("=")[::2] for pair in args.attribute)
    if any("=" not in pair for pair in args.attribute) or len(attributes) < len(args.attribute):
        raise Stop(Exit.USAGE, "an attribute is `NAME=VALUE`, and each name is given once")
    return TokenWanted(
        args.principal,
        tuple(args.role),
        args.admin,
        args.acts_for,
        _duration(args.ttl) if args.ttl else None,
        tuple(args.team),
        attributes,
        tuple(args.scope) if args.scope else None,
        read_only=args.read_only,
    )


def _duration(text: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as error:
        raise Stop(Exit.USAGE, str(error)) from error


def _in_folder(args: argparse.Namespace) -> Any:
    loaded = settings(args)
    with _kept(args, loaded) as store:
        now = SystemClock().now()
        match args.verb:
            case "list":
                return {"items": [wire.as_json(token_view(row)) for row in store.all()]}
            case "revoke":
                row = store.revoke(args.id, at=now)
                if row is None:
                    raise _nobody(args.id)
                _settle(store, loaded)
                return wire.as_json(token_view(row))
            case "rotate":
                rotated = store.rotate(args.id, at=now, grace_ms=_duration(args.grace))
                if rotated is None:
                    raise _nobody(args.id)
                _settle(store, loaded)
                text, row = rotated
                return wire.as_json(wire.NewToken(token=text, info=token_view(row)))
            case _:
                wanted = _wanted(args)
                problems = token_problems(wanted, principals_of_others(loaded.settings.identity))
                if problems:
                    raise Stop(Exit.USAGE, "; ".join(f"{each.path} {each.message}" for each in problems))
                text, row = kept_token(store, wanted, now)
                return wire.as_json(wire.NewToken(token=text, info=token_view(row)))


def _nobody(id: str) -> Stop:
    return Stop(Exit.USAGE, f"there is no token `{id}` that has not ended", help="`temper token list` shows their ids")


def _settle(store: TokenStore | PostgresTokens, loaded: Loaded) -> None:
    """Wait until the servers of a database know it; of a data folder they see it by themselves."""
    if isinstance(store, PostgresTokens):
        store.settle(duration_ms(loaded.settings.server.lease) / 1000 + _HEARD_S)


@contextmanager
def _kept(args: argparse.Namespace, loaded: Loaded) -> Iterator[TokenStore | PostgresTokens]:
    """The tokens where the settings have them: in the data folder, or in a PostgreSQL."""
    problem = loaded.store_problem()
    if problem is not None:
        raise Stop(Exit.USAGE, str(problem))
    if loaded.store:
        try:
            registry = Registry(loaded.store)
            try:
                yield PostgresTokens(registry)
            finally:
                registry.close()
        except StoreFault as fault:
            raise Stop(Exit.USAGE, fault.text) from fault
        return
    path = loaded.data / "tokens.db"
    if args.verb != "make" and not path.exists():
        raise Stop(
            Exit.USAGE,
            f"there are no tokens in `{loaded.data}`",
            help="name the data folder with --data, or a server with --server",
        )
    store = _open(path)
    try:
        yield store
    except StoreFault as fault:
        raise Stop(Exit.UNREACHABLE, fault.text) from fault
    finally:
        store.close()


def _open(path: Path) -> TokenStore:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TokenStore(path)
    except (OSError, ValueError, StoreFault) as error:
        raise Stop(Exit.USAGE, f"`{path}` cannot be opened: {error}") from error


def _tell(args: argparse.Namespace, answer: Any) -> None:
    if args.json:
        print(json.dumps(answer, indent=2))
        return
    paint = Paint(colour=coloured(sys.stdout))
    if args.verb in ("make", "rotate"):
        told(answer)
        return
    if args.verb == "revoke":
        print(f"token {answer['id']} of {answer['principal']} is revoked")
        print_ended(answer)
        return
    print(listed(answer["items"], paint))


def print_ended(answer: Any) -> None:
    """Print what has ended with a token: what was asked for and granted by it."""
    for name, ids in (("decision", answer.get("decisions", ())), ("grant", answer.get("grants", ()))):
        if ids:
            print(f"{len(ids)} {name}{'' if len(ids) == 1 else 's'} ended with it: {', '.join(ids)}")


def told(answer: Any) -> None:
    """Print a new token: it alone on standard output, so that `TOKEN=$(temper token make ...)` works."""
    info = answer["info"]
    roles = ", ".join(info["roles"]) or ("administrator" if info.get("admin") else "no roles")
    until = f", until {info['expires_at']}" if info.get("expires_at") else ""
    print(f"token {info['id']} of {info['principal']} ({roles}){until}; it is shown once", file=sys.stderr)
    print(answer["token"])


def listed(items: list[Any], paint: Paint) -> str:
    """Return tokens as lines: whose they are, for whom, how far they reach, until when, and when last used."""
    rows = [
        (
            each["id"],
            each["principal"],
            each.get("acts_for") or "",
            ", ".join(each["roles"]) + (" administrator" if each.get("admin") else ""),
            " ".join(each.get("scope") or ()) + (" read-only" if each.get("read_only") else ""),
            each.get("expires_at") or "",
            each.get("last_used_at") or "never",
            "revoked" if each.get("revoked") else "",
        )
        for each in items
    ]
    heads = ("id", "principal", "for", "roles", "scope", "expires", "last used", "")
    return table(rows, paint=paint, heads=heads)
