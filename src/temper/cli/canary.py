"""`temper canary`: some new entities on a candidate, beside the version in force."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from temper.cli.changing import bundle, tell
from temper.cli.client import Client
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, Progress, coloured


def canary(args: argparse.Namespace) -> int:
    """Start a canary, say how it goes, or end it."""
    at = f"/v1/{args.blueprint}/canary"
    if args.start is not None:
        name, files = bundle(args.start)
        if name != args.blueprint:
            raise Stop(Exit.USAGE, f"`{args.start}` is the blueprint `{name}`, not `{args.blueprint}`")
        body = {"files": files, "share": _share(args.share), "named": args.named, "note": args.note}
        with Client.of(args) as client, Progress("verifying the candidate"):
            client.post(at, body, patient=True)
            answer = client.get(at)
    elif args.promote or args.withdraw:
        verb = "promote" if args.promote else "withdraw"
        with Client.of(args) as client, Progress("verifying, then swapping"):
            tell(args, client.post(f"{at}/{verb}", {"note": args.note}, patient=True))
        return Exit.FINE
    else:
        with Client.of(args) as client:
            answer = client.get(at)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(canary_text(answer, Paint(colour=coloured(sys.stdout))))
    return Exit.FINE


def canary_text(answer: dict[str, Any], paint: Paint) -> str:
    """Return a canary for people."""
    name, digest = answer["blueprint"], answer["digest"][:12]
    lines = [
        f"{paint(name, 'bold')}: version {answer['version']} is version {answer['beside']} with a canary on {digest}",
        f"  of each {' and '.join(answer.get('kinds', ()))} created since {answer['since']}: {answer['share']:.2%}",
    ]
    lines += [f"  and {each}" for each in answer.get("named", ())]
    living = ", ".join(f"{number} {where}" for where, number in answer.get("entities", {}).items())
    more = "" if answer.get("whole", True) else ", and there may be more"
    lines.append(f"  alive in it: {living or 'nobody yet'}{more}")
    return "\n".join(lines)


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"`{text}` is no share", help="write one such as 5%") from error
