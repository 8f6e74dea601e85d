"""`temper decisions` and `temper grants`: what waits for somebody's approval, the answers, and what is granted."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured

PAGE = 50
_COLOURS = {"Pending": "yellow", "Granted": "cyan", "CarriedOut": "green", "Failed": "red", "Denied": "red"}


def decisions(args: argparse.Namespace) -> int:
    """List decisions, show one, or answer it."""
    _must_fit(args)
    with Client.of(args) as client:
        if args.follow:
            return _follow(client, args)
        if args.id is None:
            answer = _listed(client, args)
        else:
            answer = _one(client, args)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    paint = Paint(colour=coloured(sys.stdout))
    if args.id is not None:
        print(_shown(answer, paint))
        return Exit.BROKEN if args.answer == "grant" and answer["state"] in ("Failed", "Stale") else Exit.FINE
    if not answer["items"]:
        print("nothing waits for an answer" if args.state == "Pending" else "no decisions")
        return Exit.FINE
    print("\n".join(_lines(answer["items"], paint)))
    if answer["cursor"] is not None:
        print(f"\nmore: --cursor {answer['cursor']}")
    return Exit.FINE


def grants(args: argparse.Namespace) -> int:
    """List the grants in force, or end one."""
    with Client.of(args) as client:
        if args.revoke is not None:
            answer = client.delete(f"/v1/grants/{quote(args.revoke, safe='')}", _reason(args))
        else:
            answer = client.get("/v1/grants", {"principal": args.to} if args.to else None)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    paint = Paint(colour=coloured(sys.stdout))
    if args.revoke is not None:
        print(f"grant {answer['id']} is revoked: {_granted(answer)}")
        return Exit.FINE
    if not answer["items"]:
        print("nothing is granted")
    for each in answer["items"]:
        kept = ", across versions" if each.get("across_versions") else ""
        left = f"{each['left']} of {each['limit']} left, until {_short(each['until'])}{kept}"
        print(f"{paint(each['id'], 'bold')}  {left}")
        said = f"{_who(each['to'], each.get('acts_for'))} may {_granted(each)}, granted by {each['by']}"
        print("\n".join(wrap(said, _width(), initial_indent="  ", subsequent_indent="    ")))
    return Exit.FINE


def _must_fit(args: argparse.Namespace) -> None:
    if args.answer and args.id is None:
        raise Stop(Exit.USAGE, f"--{args.answer} is about one decision", help="name it: `temper decisions ID`")
    if args.answer != "grant" and (args.scope != "call" or args.lasts or args.uses or args.keep):
        raise Stop(Exit.USAGE, "--scope, --for, --uses and --keep are about a grant", help="add --grant")
    if args.scope == "call" and (args.lasts or args.uses or args.keep):
        raise Stop(
            Exit.USAGE, "a grant of one call has no --for, --uses or --keep", help="add --scope entity or action"
        )


def _listed(client: Client, args: argparse.Namespace) -> Any:
    query: dict[str, str | int] = {"limit": args.limit}
    if args.state != "all":
        query["state"] = args.state
    if args.cursor:
        query["cursor"] = args.cursor
    return client.get("/v1/decisions", query)


def _one(client: Client, args: argparse.Namespace) -> Any:
    path = f"/v1/decisions/{quote(args.id, safe='')}"
    if args.answer is None:
        return client.get(path, {"wait": args.wait} if args.wait else None, patient=bool(args.wait))
    if args.answer == "withdraw":
        return client.delete(path)
    body = {"answer": args.answer, **(_reason(args) or {})}
    if args.scope != "call":
        body |= {"scope": args.scope}
        body |= {"expires": args.lasts} if args.lasts else {}
        body |= {"uses": args.uses} if args.uses else {}
        body |= {"across_versions": True} if args.keep else {}
    return client.post(path, body)


def _follow(client: Client, args: argparse.Namespace) -> int:
    paint = Paint(colour=coloured(sys.stdout))
    for entry in client.stream("/v1/decisions/events"):
        if args.json:
            print(json.dumps(entry, ensure_ascii=False), flush=True)
        else:
            print(f"{paint(_short(entry['at']), 'dim')}  {entry['id']}  {entry['text']}", flush=True)
    return Exit.FINE


def _reason(args: argparse.Namespace) -> dict[str, str] | None:
    return {"reason": args.reason} if args.reason else None


# --- text -------------------------------------------------------------------------------------------------------------


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 120))


def _lines(items: list[Mapping[str, Any]], paint: Paint) -> Iterator[str]:
    """Two lines for each: what is asked for by whom, and how it stands."""
    for each in items:
        state = paint(each["state"], _COLOURS.get(each["state"], "dim"))
        may = paint("  yours to answer", "bold") if each.get("may_answer") else ""
        yield f"{paint(each['id'], 'bold')}  {state}{may}"
        said = f"{_who(each['asked_by'], each.get('acts_for'))} asks for {_what(each)}"
        yield from wrap(said, _width(), initial_indent="  ", subsequent_indent="    ")


def _shown(each: Mapping[str, Any], paint: Paint) -> str:
    who = _who(each["asked_by"], each.get("acts_for"))
    roles = f" as {', '.join(each['roles'])}" if each.get("roles") else ""
    rows = [
        ("what", _what(each)),
        ("asked by", f"{who}{roles}, {_short(each['asked_at'])}"),
        ("refused", each["refused"] + (f" ({', '.join(each['policies'])})" if each.get("policies") else "")),
    ]
    if each.get("session"):
        rows.append(("session", each["session"]))
    if each.get("params"):
        rows.append(("with", json.dumps(each["params"], ensure_ascii=False)))
    rows.append(("at", f"version {each['version']}" if each["version"] else "it is to be created"))
    rows += _would(each.get("would") or {})
    for scope, text in (each.get("allows") or {}).items():
        rows.append((f"{scope}:", text))
    if each.get("answered_by"):
        said = f": {each['reason']}" if each.get("reason") else ""
        rows.append(("answered", f"by {_who(each['answered_by'], each.get('answered_for'))}{said}"))
    if each.get("outcome"):
        rows.append(("outcome", each["outcome"]))
    if each.get("grant"):
        rows.append(("grant", f"{each['grant']} (`temper grants`)"))
    if each["state"] == "Pending":
        rows.append(("until", _short(each["expires_at"])))
    indent = " " * 12
    lines = [f"{paint(each['id'], 'bold')}  {paint(each['state'], _COLOURS.get(each['state'], 'dim'))}"]
    for name, text in rows:
        lines += wrap(text, _width(), initial_indent=f"  {name:<10}", subsequent_indent=indent) or [f"  {name}"]
    if each.get("may_answer"):
        lines.append(f"\nanswer it: temper decisions {each['id']} --grant | --deny [--reason TEXT]")
    return "\n".join(lines)


def _would(would: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "refused" in would:
        return [("would be", f"refused: {would['refused']}")]
    if not would:
        return []
    moved = would["before"] if would["before"] == would["after"] else f"{would['before']} -> {would['after']}"
    rows = [("would be", moved)]
    rows += [("", f"{name}: {json.dumps(was)} -> {json.dumps(now)}") for name, (was, now) in would["changed"].items()]
    rows += [
        ("", f"{'calls' if order['kind'] == 'call' else 'sends'} {order['to']}({_pairs(order['args'])})")
        for order in would["orders"]
    ]
    return rows


def _pairs(args: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in args.items())


def _what(each: Mapping[str, Any]) -> str:
    return f"{each['action']} on {each['blueprint']}/{each['entity']}/{each['entity_id']}"


def _granted(each: Mapping[str, Any]) -> str:
    about = each["about"] if each.get("about") else "*"
    return f"{each['action']} {each['blueprint']}/{each['entity']}/{about}"


def _who(principal: str, behind: str | None) -> str:
    return f"{principal} for {behind}" if behind else principal


def _short(at: str) -> str:
    """Return a time to the second: `2026-11-24 15:08:01Z`."""
    return f"{at[:10]} {at[11:19]}Z"
