"""`temper pause`, `temper resume` and `temper pauses`: the kill switch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client
from temper.cli.exits import Exit
from temper.cli.paint import Paint, coloured, indented, plain, short


def pause(args: argparse.Namespace) -> int:
    """Pause, and come back once nothing of what is paused is committed any more."""
    body = {"kind": args.kind, "name": args.name, "reason": args.reason}
    body |= {"blueprint": args.blueprint} if args.blueprint else {}
    body |= {"for": args.lasts} if args.lasts else {}
    with Client.of(args) as client:
        answer = client.post("/v1/pauses", body)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        until = f" until {short(answer['until'])}" if answer.get("until") else ""
        print(f"paused {_what(answer)}{until}; lift it with: temper resume {answer['id']}")
    return Exit.FINE


def resume(args: argparse.Namespace) -> int:
    """Lift a pause."""
    with Client.of(args) as client:
        answer = client.delete(f"/v1/pauses/{quote(args.id, safe='')}")
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(f"{_what(answer)} goes on")
    return Exit.FINE


def pauses(args: argparse.Namespace) -> int:
    """List what is paused."""
    with Client.of(args) as client:
        answer = client.get("/v1/pauses")
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    paint = Paint(colour=coloured(sys.stdout))
    for each in answer["items"]:
        until = f"until {short(each['until'])}" if each.get("until") else "until it is lifted"
        print(f"{paint(each['id'], 'bold')}  {_what(each)}, {until}")
        print("\n".join(indented(f"by {each['by']}: {plain(each['reason'])}")))
    if not answer["items"]:
        print("nothing is paused")
    return Exit.FINE


def _what(each: Mapping[str, Any]) -> str:
    where = f" in {each['blueprint']}" if each.get("blueprint") else ""
    return f"{each['kind']} {each['name']}{where}"
