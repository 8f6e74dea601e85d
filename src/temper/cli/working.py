"""Commands about living entities: act, show, now, why, history."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from temper.cli.client import Client, target_path
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured, plain, table

# Entries that a history is asked for at once.
PAGE = 200


def act(args: argparse.Namespace) -> int:
    """Take an action, or create an entity by one."""
    headers = {}
    if args.key:
        headers["Idempotency-Key"] = args.key
    if args.if_version is not None:
        headers["If-Match"] = f'"{args.if_version}"'
    answer = _asked(args, dry_run=args.dry_run, headers=headers)
    if args.dry_run:
        return _explained(args, answer)
    if args.json:
        _print_json(answer)
    else:
        print(acted_text(answer, _paint()))
    return Exit.FINE


def why(args: argparse.Namespace) -> int:
    """Say what an action would do, and which clause decides it."""
    return _explained(args, _asked(args, dry_run=True, headers={}))


def _asked(args: argparse.Namespace, *, dry_run: bool, headers: Mapping[str, str]) -> Any:
    path = target_path(args.target, 2, 3)
    query: dict[str, str | int] = {"dry_run": "true"} if dry_run else {}
    with Client.of(args) as client:
        body = _body(client, path, args.action, args.params)
        if len(path) == 2:
            return client.post("/".join(("/v1", *path)), body, {"action": args.action, **query}, headers)
        return client.post("/".join(("/v1", *path, args.action)), body, query, headers)


def _explained(args: argparse.Namespace, answer: Mapping[str, Any]) -> int:
    if args.json:
        _print_json(answer)
    else:
        print(why_text(answer, _paint()))
    return Exit.FINE if answer["would"] == "take" else Exit.BROKEN


def show(args: argparse.Namespace) -> int:
    """Show what is served, a page of entities, or one of them."""
    path = target_path(args.target, 0, 1, 2, 3)
    query: dict[str, str | int] = {}
    if len(path) == 2:
        query = {
            name: value
            for name, value in (
                ("filter", args.filter),
                ("sort", args.sort),
                ("limit", args.limit),
                ("cursor", args.cursor),
                ("count", "true" if args.count else None),
            )
            if value is not None
        }
    if args.at is not None:
        if len(path) < 2:
            raise Stop(Exit.USAGE, "only entities are shown as they were", help="write BLUEPRINT/ENTITY, or with /ID")
        query["at"] = args.at
    with Client.of(args) as client:
        answer = client.get("/".join(("/v1", *path)), query)
    if args.json:
        _print_json(answer)
        return Exit.FINE
    paint = _paint()
    draw = (_served_text, _blueprint_text, _page_text, entity_text)[len(path)]
    print(draw(answer, paint))
    return Exit.FINE


def now(args: argparse.Namespace) -> int:
    """List the actions that are possible now."""
    path = target_path(args.target, 2, 3)
    with Client.of(args) as client:
        answer = client.get("/".join(("/v1", *path, "actions")))
    if args.json:
        _print_json(answer)
        return Exit.FINE
    paint = _paint()
    lines = []
    # What can be done stands first; the rest, with its reasons, below.
    for each in sorted(answer["items"], key=lambda each: ("yes", "depends", "no").index(each["status"])):
        sign, colour = {"yes": ("yes", "green"), "depends": ("if", "yellow"), "no": ("no", "dim")}[each["status"]]
        params = ", ".join(f"{one['name']}{'' if one['required'] else '?'}" for one in each.get("params", ()))
        name = each["action"] + (f"({params})" if params else "")
        to = f" -> {' or '.join(each['to'])}" if each.get("to") else ""
        told = f": {each['text']}" if each.get("text") else ""
        lines.append(f"{paint(sign.ljust(4), colour)} {name}{to}{paint(told, 'dim')}")
    print("\n".join(lines) or "nothing")
    return Exit.FINE


def history(args: argparse.Namespace) -> int:
    """Tell what happened to an entity, oldest first."""
    path = "/".join(("/v1", *target_path(args.target, 3)))
    with Client.of(args) as client:
        collected = list(_entries(client, path, args.after))
        if args.json and not args.follow:
            _print_json({"items": collected})
            return Exit.FINE
        paint = _paint()
        for each in collected:
            print(_shown(each, args, paint), flush=args.follow)
        after = collected[-1]["seq"] if collected else args.after
        while args.follow:
            # The server ends a stream after a while; the next one goes on where it ended.
            for each in client.stream(f"{path}/events", {"after": after}):
                print(_shown(each, args, paint), flush=True)
                after = each["seq"]
    return Exit.FINE


def _entries(client: Client, path: str, after: int) -> Iterator[Any]:
    while items := client.get(f"{path}/history", {"after": after, "limit": PAGE})["items"]:
        yield from items
        after = items[-1]["seq"]


def _shown(each: Mapping[str, Any], args: argparse.Namespace, paint: Paint) -> str:
    # A stream is printed as it comes: one JSON object a line.
    return json.dumps(each, ensure_ascii=False) if args.json else entry_text(each, paint)


def entry_text(each: Mapping[str, Any], paint: Paint) -> str:
    """Return an entry of a history as a line."""
    at = each["at"][11:23]
    version = f"v{each['table_version']}" if each.get("table_version") else each["table"]
    colour = "red" if each.get("refused") else "dim" if each["how"] in ("ignored", "deferred") else ""
    text = paint(plain(each["text"]), colour) if colour else plain(each["text"])
    fields = ", ".join(changed_lines(each))
    return f"{paint(at, 'dim')}  {paint(version, 'dim')}  {text}" + (paint(f"  [{fields}]", "dim") if fields else "")


def changed_lines(each: Mapping[str, Any]) -> list[str]:
    """Return what became of each field: `moved: 1 -> 2`, or where it was made, `moved: 0`."""
    made = each["before"] == "new"
    lines = [
        f"{name}: {value(new)}" if made else f"{name}: {value(was)} -> {value(new)}"
        for name, (was, new) in each.get("changed", {}).items()
        if was != new
    ]
    return lines + [f"{name}: {value(was)} -> dropped" for name, was in each.get("dropped", {}).items()]


def acted_text(answer: Mapping[str, Any], paint: Paint) -> str:
    """Return what an action did."""
    entity = answer["entity"]
    where = f"{entity['entity']} {paint(entity['id'], 'bold')}"
    path = f"{answer['before']} -> {answer['after']}" if answer["before"] != answer["after"] else answer["after"]
    lines = [
        f"{where}: {answer['action']}, {paint(path, 'green')}" + (" (done before)" if answer.get("replayed") else "")
    ]
    lines += [f"  {each}" for each in changed_lines(answer)]
    lines += [
        f"  calls {call['tool']}" for call in entity.get("calls", ()) if call["order"] in answer.get("orders", ())
    ]
    lines += [f"  emits {each['event']}" for each in answer.get("emitted", ())]
    return "\n".join(lines)


def why_text(answer: Mapping[str, Any], paint: Paint) -> str:
    """Return why an action would or would not be taken."""
    would = answer["would"]
    head = paint("it would be taken", "green") if would == "take" else paint("it would be refused", "red")
    lines = [f"{answer['action']}: {head}" + (f": {answer['text']}" if answer.get("text") else "")]
    for each in answer.get("clauses", ()):
        sign = {True: paint("holds", "green"), False: paint("fails", "red"), None: paint("not asked", "dim")}[
            each["holds"]
        ]
        values = ", ".join(f"{name} is {value(what)}" for name, what in each.get("values", {}).items())
        place = f"  {each['place']['file']}:{each['place']['line']}" if each.get("place") else ""
        lines.append(f"  {sign}  {each['text']}" + (f"  ({values})" if values else "") + paint(place, "dim"))
    if answer.get("may_be_approved"):
        lines.append(f"  {paint('help', 'cyan')}: somebody may approve it, and `temper act` asks them")
    if answer.get("result"):
        lines.append("  " + acted_text(answer["result"], paint).replace("\n", "\n  "))
    return "\n".join(lines)


def entity_text(answer: Mapping[str, Any], paint: Paint) -> str:
    """Return an entity: its state, fields, open calls and running timers."""
    state = paint(answer["state"], "green" if answer.get("final") else "cyan", "bold")
    lines = [f"{answer['entity']} {paint(answer['id'], 'bold')}  {state}  version {answer['version']}"]
    lines.append(
        table([(f"{name}:", value(what)) for name, what in answer["fields"].items()], paint=paint, indent="  ")
    )
    for call in answer.get("calls", ()):
        tries = f", attempt {call['attempts']}" if call.get("attempts") else ""
        error = f": {call['last_error']}" if call.get("last_error") else ""
        lines.append(f"  {paint('calls', 'yellow')} {call['tool']} ({call.get('state', 'waiting')}{tries}){error}")
    for timer in answer.get("timers", ()):
        if timer["due"]:
            lines.append(f"  {paint('timer', 'yellow')} {timer['action']} at {timer['due']}")
    if answer.get("archived"):
        lines.append(f"  {paint('archived', 'dim')}")
    return "\n".join(line for line in lines if line)


def _page_text(answer: Mapping[str, Any], paint: Paint) -> str:
    items = answer["items"]
    names = list(items[0]["fields"]) if items else []
    rows = [
        (each["id"], each["state"], str(each["version"]), *(_short(value(each["fields"].get(name))) for name in names))
        for each in items
    ]
    text = table(rows, paint=paint, heads=("id", "state", "version", *names)) if rows else "none"
    if answer.get("count") is not None:
        text += f"\n{answer['count']} in all"
    if answer.get("cursor"):
        text += f"\nmore: --cursor {answer['cursor']}"
    return text


def _blueprint_text(answer: Mapping[str, Any], paint: Paint) -> str:
    lines = [f"{paint(answer['name'], 'bold')}  version {answer['version']}  {answer['digest'][:12]}"]
    lines.append(f"  roles: {', '.join(answer['roles']) or 'none'}")
    for entity in answer["entities"]:
        lines.append(f"  {paint(entity['name'], 'bold')}: {', '.join(entity['states'])}")
        for action in entity["actions"]:
            froms = ", ".join(action["froms"])
            to = f" to {' or '.join(action['to'])}" if action["to"] else ""
            lines.append(f"    {action['name']} by {', '.join(action['by'])} from {froms}{to}")
    return "\n".join(lines)


def _served_text(answer: Mapping[str, Any], paint: Paint) -> str:
    rows = [
        (each["blueprint"], str(each["number"]), each["digest"][:12], each["at"], each["by"])
        for each in answer["items"]
    ]
    heads = ("blueprint", "version", "digest", "since", "by")
    return table(rows, paint=paint, heads=heads) if rows else "nothing is served yet; `temper push PATH`"


def value(what: Any) -> str:
    """Return a value as the language writes it, or as near as JSON allows."""
    if what is None:
        return "none"
    if isinstance(what, bool):
        return "true" if what else "false"
    if isinstance(what, str):
        return plain(what)
    return plain(json.dumps(what, ensure_ascii=False))


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _body(client: Client, path: list[str], action: str, params: list[str]) -> dict[str, Any]:
    """Return the body that `name=value` words make; the action's own schema says how a value is meant."""
    body: dict[str, Any] = {}
    schemas: dict[str, Any] | None = None
    for word in params:
        name, sign, text = word.partition("=")
        if not sign or not name.rstrip(":"):
            raise Stop(Exit.USAGE, f"`{word}` is no parameter", help="write name=value, or name:=JSON")
        if name.endswith(":"):
            try:
                body[name[:-1]] = json.loads(text)
            except json.JSONDecodeError as error:
                raise Stop(
                    Exit.USAGE, f"`{text}` is not JSON: {error}", help="text needs quotes in it: name:='\"text\"'"
                ) from error
            continue
        if schemas is None:
            schemas = _schemas(client, path, action)
        body[name] = _meant(text, schemas.get(name, {}))
    return body


def _schemas(client: Client, path: list[str], action: str) -> dict[str, Any]:
    shape = client.get(f"/v1/{path[0]}")
    for entity in shape["entities"]:
        if entity["name"] == path[1]:
            for each in entity["actions"]:
                if each["name"] == action:
                    properties: dict[str, Any] = each["params"]["properties"]
                    return properties
    return {}


def _meant(text: str, schema: Mapping[str, Any]) -> Any:
    kinds = _kinds(schema)
    if "null" in kinds and text == "none":
        return None
    if kinds & {"integer", "boolean", "array", "object"} and "string" not in kinds:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text  # The server says what it wanted.
    return text


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    kind = schema.get("type", [])
    kinds = {kind} if isinstance(kind, str) else set(kind)
    for each in schema.get("anyOf", ()):
        kinds |= _kinds(each)
    return kinds


def _print_json(answer: Any) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False))


def _paint() -> Paint:
    return Paint(colour=coloured(sys.stdout))
