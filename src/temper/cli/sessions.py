"""`temper session` and `temper whoami`: credentials for agents, and whose the one is that is in use."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client
from temper.cli.exits import Exit
from temper.cli.paint import Paint, coloured
from temper.cli.tokens import listed, print_ended, told


def session(args: argparse.Namespace) -> int:
    """Start, list or end sessions of whoever the token names."""
    with Client.of(args) as client:
        match args.verb:
            case "start":
                answer = client.post("/v1/sessions", _body(args))
            case "list":
                answer = client.get("/v1/sessions")
            case _:
                answer = client.delete(f"/v1/sessions/{quote(args.id, safe='')}")
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    match args.verb:
        case "start":
            told(answer)
        case "list":
            paint = Paint(colour=coloured(sys.stdout))
            print(listed(answer["items"], paint) if answer["items"] else "no sessions")
        case _:
            print(f"session {answer['id']} of {answer['principal']} has ended")
            print_ended(answer)
    return Exit.FINE


def _body(args: argparse.Namespace) -> dict[str, Any]:
    body = {"name": args.name, "ttl": args.ttl}
    more = {"roles": args.role, "entities": args.entity, "read_only": args.read_only, "admin": args.admin}
    return body | {name: value for name, value in more.items() if value}


def whoami(args: argparse.Namespace) -> int:
    """Say who the token names, for whom it acts, how far it reaches, and until when."""
    with Client.of(args) as client:
        me = client.get("/v1/me")
    if args.json:
        print(json.dumps(me, indent=2, ensure_ascii=False))
        return Exit.FINE
    lines = [
        ("principal", me["principal"]),
        ("acts for", me.get("acts_for")),
        ("roles", ", ".join(me.get("roles", ())) or "none"),
        ("administrator", "yes" if me.get("admin") else None),
        ("teams", ", ".join(me.get("teams", ()))),
        ("attributes", ", ".join(f"{name}={value}" for name, value in sorted(me.get("attributes", {}).items()))),
        ("session", me.get("session")),
        ("reaches", " ".join(me.get("scope") or ("everything",)) + (", read-only" if me.get("read_only") else "")),
        ("until", me.get("expires_at") or "it is revoked"),
        ("token", me.get("token")),
    ]
    paint = Paint(colour=coloured(sys.stdout))
    for name, value in lines:
        if value:
            print(f"{paint(f'{name:<13}', 'dim')}  {value}")
    return Exit.FINE
