"""`temper decisions` and `temper grants`: what waits for somebody's approval, the answers, and what is granted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured, indented, plain, short, width

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
        left = f"{each['left']} of {each['limit']} left, until {short(each['until'])}{kept}"
        print(f"{paint(each['id'], 'bold')}  {left}")
        to, giver = _who(each["to"], each.get("acts_for")), _who(each["by"], each.get("given_for"))
        said = f"{to} may {_granted(each)}, granted by {giver}"
        print("\n".join(indented(said)))
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
            print(f"{paint(short(entry['at']), 'dim')}  {entry['id']}  {plain(entry['text'])}", flush=True)
    return Exit.FINE


def _reason(args: argparse.Namespace) -> dict[str, str] | None:
    return {"reason": args.reason} if args.reason else None


# --- text -------------------------------------------------------------------------------------------------------------


def _lines(items: list[Mapping[str, Any]], paint: Paint) -> Iterator[str]:
    """Two lines for each: how it stands, and what is asked for by whom."""
    for each in items:
        state = paint(each["state"], _COLOURS.get(each["state"], "dim"))
        until = f", until {short(each['expires_at'])}" if each["state"] == "Pending" else ""
        may = paint("  yours to answer", "bold") if each.get("may_answer") else ""
        yield f"{paint(each['id'], 'bold')}  {state}{until}{may}"
        yield from indented(f"{_who(each['asked_by'], each.get('acts_for'))} asks for {_what(each)}")


def _shown(each: Mapping[str, Any], paint: Paint) -> str:
    state, until = each["state"], f", until {short(each['expires_at'])}" if each["state"] == "Pending" else ""
    lines = [f"{paint(each['id'], 'bold')}  {paint(state, _COLOURS.get(state, 'dim'))}{until}"]
    for name, text in _rows(each):
        lines += wrap(text, width(), initial_indent=f"  {name:<10}", subsequent_indent=" " * 12) or [f"  {name}"]
    if each.get("may_answer"):
        lines += ["", f"answer it with `temper decisions {each['id']}` and"]
        for flags, text in _answers(each):
            lines += [f"  {paint(flags, 'bold')}", *indented(text, 6)]
    return "\n".join(lines)


def _rows(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is asked for, what would come of it, and what has."""
    yield "what", _what(each)
    for number, (name, given) in enumerate((each.get("params") or {}).items()):
        yield "" if number else "with", f"{name}: {_json(given)}"
    roles = f" as {', '.join(each['roles'])}" if each.get("roles") else ""
    session = f", session {each['session']}" if each.get("session") else ""
    asked_by = _who(each["asked_by"], each.get("acts_for"))
    yield "asked by", f"{asked_by}{roles}{session}, {short(each['asked_at'])}"
    policies = f" ({', '.join(each['policies'])})" if each.get("policies") else ""
    yield "refused", plain(each["refused"]) + policies
    about = f"version {each['version']} of it" if each["version"] else "it is to be created"
    yield "about", f"{about}, by {each['blueprint']} {each['digest'][:12]}"
    would = each.get("would") or {}
    if would and each["state"] != "CarriedOut":  # Then the outcome says it.
        yield from _would(would)
    elif each["state"] == "Pending":
        yield "would be", "not told: it rests on who says yes, or you may not read what it is about"
    if each.get("answered_by"):
        said = f": {plain(each['reason'])}" if each.get("reason") else ""
        yield "answered", f"by {_who(each['answered_by'], each.get('answered_for'))}{said}"
    if each.get("outcome"):
        yield "outcome", plain(each["outcome"])
    if each.get("grant"):
        yield "grant", f"{each['grant']} (`temper grants`)"


def _answers(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What whoever may answer can say, and what each newly allows; the numbers are those that hold without them."""
    allows = each.get("allows") or {}
    yield "--grant", allows.get("call", "")
    for scope in ("entity", "action"):
        yield f"--grant --scope {scope} [--for 1h] [--uses 1] [--keep]", allows.get(scope, "")
    yield "--deny [--reason TEXT]", f"nothing is done, and {_who(each['asked_by'], each.get('acts_for'))} can see why"


def _would(would: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "refused" in would:
        yield "would be", f"refused: {plain(would['refused'])}"
        return
    before, after = would["before"], would["after"]
    yield "would be", f"{after}, as it is" if before == after else f"{before} -> {after}"
    for name, (was, now) in would["changed"].items():
        yield "", f"{name}: {_json(was)} -> {_json(now)}"
    for order in would["orders"]:
        yield "", f"{'calls' if order['kind'] == 'call' else 'sends'} {order['to']}({_pairs(order['args'])})"
    for created in would.get("created", ()):
        yield "", f"creates {created['entity']} {created['id']}"


def _json(what: Any) -> str:
    return plain(json.dumps(what, ensure_ascii=False))


def _pairs(args: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_json(value)}" for name, value in args.items())


def _what(each: Mapping[str, Any]) -> str:
    return f"{each['action']} on {each['blueprint']}/{each['entity']}/{each['entity_id']}"


def _granted(each: Mapping[str, Any]) -> str:
    about = each["about"] if each.get("about") else "*"
    return f"{each['action']} {each['blueprint']}/{each['entity']}/{about}"


def _who(principal: str, behind: str | None) -> str:
    return f"{principal} for {behind}" if behind else principal
