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
from temper.service import duration_ms, token_problems, token_view, wire


def token(args: argparse.Namespace) -> int:
    """Make, list or revoke tokens."""
    ttl_ms = None
    if args.verb == "make" and args.ttl:
        try:
            ttl_ms = duration_ms(args.ttl)
        except ValueError as error:
            raise Stop(Exit.USAGE, str(error)) from error
    if args.server or (os.environ.get("TEMPER_SERVER") and not args.data and not args.settings):
        answer = _through_server(args, ttl_ms)
    else:
        answer = _in_folder(args, ttl_ms)
    _tell(args, answer)
    return Exit.FINE


def _through_server(args: argparse.Namespace, ttl_ms: int | None) -> Any:
    with Client.of(args) as client:
        if args.verb == "list":
            return client.get("/v1/tokens")
        if args.verb == "revoke":
            return client.delete(f"/v1/tokens/{quote(args.id, safe='')}")
        return client.post("/v1/tokens", _wanted(args, ttl_ms))


def _wanted(args: argparse.Namespace, ttl_ms: int | None) -> dict[str, Any]:
    body = {"principal": args.principal, "roles": args.role, "admin": args.admin}
    if args.acts_for:
        body["acts_for"] = args.acts_for
    if ttl_ms is not None:
        body["ttl"] = args.ttl
    return body


def _in_folder(args: argparse.Namespace, ttl_ms: int | None) -> Any:
    with _kept(args) as store:
        now = SystemClock().now()
        if args.verb == "list":
            return {"items": [wire.as_json(token_view(row)) for row in store.all()]}
        if args.verb == "revoke":
            row = store.revoke(args.id, at=now)
            if row is None:
                raise Stop(Exit.USAGE, f"there is no token `{args.id}`", help="`temper token list` shows their ids")
            return wire.as_json(token_view(row))
        problems = token_problems(args.principal, args.role, args.acts_for, ttl_ms)
        if problems:
            raise Stop(Exit.USAGE, "; ".join(f"{each.path} {each.message}" for each in problems))
        text, row = store.make(
            args.principal,
            tuple(args.role),
            at=now,
            admin=args.admin,
            acts_for=args.acts_for,
            expires_at=now + ttl_ms if ttl_ms is not None else None,
        )
        return wire.as_json(wire.NewToken(token=text, info=token_view(row)))


@contextmanager
def _kept(args: argparse.Namespace) -> Iterator[TokenStore | PostgresTokens]:
    """The tokens where the settings have them: in the data folder, or in a PostgreSQL."""
    loaded = settings(args)
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
    finally:
        store.close()


def _open(path: Path) -> TokenStore:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TokenStore(path)
    except (OSError, ValueError) as error:
        raise Stop(Exit.USAGE, f"`{path}` cannot be opened: {error}") from error


def _tell(args: argparse.Namespace, answer: Any) -> None:
    if args.json:
        print(json.dumps(answer, indent=2))
        return
    paint = Paint(colour=coloured(sys.stdout))
    if args.verb == "make":
        # The token alone on standard output, so that `TOKEN=$(temper token make ...)` works.
        info = answer["info"]
        roles = ", ".join(info["roles"]) or ("administrator" if info.get("admin") else "no roles")
        print(f"token {info['id']} of {info['principal']} ({roles}); it is shown once", file=sys.stderr)
        print(answer["token"])
        return
    if args.verb == "revoke":
        print(f"token {answer['id']} of {answer['principal']} is revoked")
        return
    rows = [
        (
            each["id"],
            each["principal"],
            ", ".join(each["roles"]) + (" administrator" if each.get("admin") else ""),
            each.get("expires_at") or "",
            "revoked" if each.get("revoked") else "",
        )
        for each in answer["items"]
    ]
    print(table(rows, paint=paint, heads=("id", "principal", "roles", "expires", "")))
