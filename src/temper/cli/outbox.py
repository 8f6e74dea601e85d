"""`temper letters` and `temper tools`: what is stuck, what waits and why, and what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client, target_path
from temper.cli.exits import Exit
from temper.cli.paint import Paint, coloured, plain, table

PAGE = 200


def letters(args: argparse.Namespace) -> int:
    """List dead letters, show one order, have it tried again, or give it up."""
    path = "/".join(("/v1", *target_path(args.blueprint, 1), "letters"))
    with Client.of(args) as client:
        if args.verb == "list":
            answer = {"items": _all(client, path)}
        else:
            order = f"{path}/{quote(args.order, safe='')}"
            show = args.verb == "show"
            answer = client.get(order) if show else client.post(f"{order}/{args.verb}", {"note": args.note})
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    paint = Paint(colour=coloured(sys.stdout))
    match args.verb:
        case "list":
            rows = [(each["order"], each["at"], _what(each), each.get("text", "")) for each in answer["items"]]
            heads = ("order", "at", "what", "why")
            print(table(rows, paint=paint, heads=heads) if rows else "no dead letters")
        case "show":
            print(_shown(answer, paint))
        case "retry":
            print(f"order {answer['order']} is tried again: {_what(answer)}")
        case _:
            print(f"order {answer['order']} is given up: {_what(answer)}")
    return Exit.FINE


def tools(args: argparse.Namespace) -> int:
    """Tell how each tool of a blueprint is being called, and what waits for it."""
    path = "/".join(("/v1", *target_path(args.blueprint, 1), "tools"))
    with Client.of(args) as client:
        answer = client.get(path)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    rows = [
        (
            each["tool"],
            str(each["running"]),
            str(each["waiting"]),
            each["circuit"],
            each["why"] + (f", until {each['until']}" if each["until"] else ""),
            each["last_error"],
        )
        for each in answer["items"]
    ]
    paint = Paint(colour=coloured(sys.stdout))
    heads = ("tool", "running", "waiting", "circuit", "held back", "last error")
    print(table(rows, paint=paint, heads=heads) if rows else "it has no tools")
    return Exit.FINE


def _all(client: Client, path: str) -> list[Any]:
    found: list[Any] = []
    while True:
        query: dict[str, str | int] = {"limit": PAGE, **({"after": found[-1]["order"]} if found else {})}
        page = client.get(path, query)["items"]
        found += page
        if len(page) < PAGE:
            return found


def _what(each: Mapping[str, Any]) -> str:
    by = f"{each['entity']}/{each['id']}"
    match each.get("kind", ""):
        case "call":
            return f"{by} calls {each['tool']}"
        case "send":
            return f"{by} sends {each['to']}"
        case _:
            return f"what came to {by}"


def _shown(each: Mapping[str, Any], paint: Paint) -> str:
    lines = [
        f"{paint(each['order'], 'bold')} {_what(each)}",
        f"  state:    {each['state']}",
        f"  at:       {each['at']}",
    ]
    if each.get("text"):
        lines.append(f"  why:      {plain(each['text'])}")
    if each.get("args"):
        lines.append(f"  with:     {plain(json.dumps(each['args'], ensure_ascii=False))}")
    if each.get("attempts"):
        lines.append(f"  attempts: {each['attempts']}")
    if each.get("next_attempt_at"):
        lines.append(f"  next:     {each['next_attempt_at']}")
    return "\n".join(lines)
