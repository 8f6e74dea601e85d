"""Commands about who may: policies, simulate-policy."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from temper.cli.bundles import checked, read
from temper.cli.client import Client
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured, table
from temper.service import policies_view, wire

ROWS_SHOWN = 200
_Name: TypeAlias = Callable[[Mapping[str, Any]], str]


def policies(args: argparse.Namespace) -> int:
    """Print all of who may, as Cedar, or the schema."""
    if args.path is not None and args.blueprint is not None:
        raise Stop(Exit.USAGE, "a PATH and --blueprint are two places to read from", help="name one of them")
    if args.blueprint is not None:
        with Client.of(args) as client:
            answer = client.get(f"/v1/{args.blueprint}/policies")
    else:
        answer = _of_bundle(args.path or ".")
    if args.json:
        print(json.dumps(answer["schema"] if args.schema else answer, indent=2, ensure_ascii=False))
    else:
        print(answer["schema_text"] if args.schema else answer["text"], end="")
    return Exit.FINE


def _of_bundle(text: str) -> dict[str, Any]:
    path = Path(text)
    files = read(path)
    found = checked(path, files, "the bundle is broken").table
    assert found is not None, "it compiles"
    return wire.as_json(policies_view(found))


def simulate_policy(args: argparse.Namespace) -> int:
    """Say who could do what, and what other policies would newly allow or deny."""
    blueprint, _, rest = args.target.partition("/")
    entity, _, id = rest.partition("/")
    body = {"entity": entity or None, "action": args.action, "id": id or None, "files": _candidate(args.candidate)}
    with Client.of(args) as client:
        said = {name: value for name, value in body.items() if value is not None}
        answer = client.post(f"/v1/{blueprint}/simulate-policy", said, patient=True)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(simulated(answer, Paint(colour=coloured(sys.stdout)), changes=args.candidate is not None))
    return Exit.FINE


def _candidate(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    path = Path(text)
    if path.suffix != ".cedar":
        return read(path)
    try:
        return {path.name: path.read_text("utf-8")}
    except (OSError, UnicodeDecodeError) as problem:
        raise Stop(Exit.USAGE, f"`{path}` cannot be read: {problem}") from problem


def simulated(answer: Mapping[str, Any], paint: Paint, *, changes: bool) -> str:
    """Return who could do what, or what would change in that, as lines."""
    lines = list(_changes(answer, paint) if changes else _rows(answer, paint))
    lines += _living(answer, paint, changes=changes)
    left_out = answer.get("left_out", 0)
    if left_out:
        lines.append(f"{left_out} more: name an entity or an action, or ask with --json")
    return "\n".join(lines)


def _changes(answer: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    said = answer.get("lines", [])
    if not said:
        yield "nothing changes in who may do what, of one role by itself"
    for line in said:
        newly = line.startswith(("newly", "lets without"))
        yield f"  {paint('+' if newly else '-', 'red' if newly else 'green')} {line}"


def _rows(answer: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """One line for each action and roles, with its states: who has two roles can what either can, as a rule."""
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    given = answer.get("rows", [])
    each_role = {(*_about(row), *row["roles"]): row for row in given if len(row.get("roles", ())) == 1}
    names = _named(given, lambda row: (row["could"], *row.get("because", ())))
    for row in given:
        alone = [each_role.get((*_about(row), role), {}) for role in row.get("roles", ())]
        if len(alone) > 1 and any(one.get("could") == row["could"] for one in alone):
            continue  # One of them by itself could.
        who, why = names(row), ", ".join(row.get("because", ()))
        states = found.setdefault((row["entity"], row["action"], who, row["could"], why), [])
        if row["state"] not in states:
            states.append(row["state"])
    rows = [
        (f"{entity}.{action}", who, could, " ".join(states), why)
        for (entity, action, who, could, why), states in found.items()
    ]
    heads = ("action", "who", "could", "in", "it depends on")
    columns = len(heads) if any(why for *_, why in rows) else len(heads) - 1
    yield table([row[:columns] for row in rows[:ROWS_SHOWN]], paint=paint, heads=heads[:columns])
    if len(rows) > ROWS_SHOWN:
        yield f"{len(rows) - ROWS_SHOWN} more: name an entity or an action, or ask with --json"


def _named(rows: Sequence[Mapping[str, Any]], said: Callable[[Mapping[str, Any]], object]) -> _Name:
    """Return how rows call those whom they speak of: people and agents apart where the same is not said of both."""
    both = {(*_about(row), *row.get("roles", ())): said(row) for row in rows}

    def name(row: Mapping[str, Any]) -> str:
        who = " and ".join(row.get("roles", ())) or "everybody"
        *about, agent = _about(row)
        if both.get((*about, not agent, *row.get("roles", ()))) == said(row):
            return who
        return f"{who}, as an agent" if agent else f"{who}, as a person"

    return name


def _about(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["entity"], row["action"], row.get("state"), row.get("agent", False)


def _living(answer: Mapping[str, Any], paint: Paint, *, changes: bool) -> Iterator[str]:
    rows: dict[tuple[str, ...], None] = {}
    found = answer.get("living", [])
    each_role = {(*_about(each), *each["roles"]): each for each in found if len(each.get("roles", ())) == 1}
    names = _named(found, lambda each: (each["could"], each.get("would")))
    for each in found:
        alone = [each_role.get((*_about(each), role), {}) for role in each.get("roles", ())]
        same = [one for one in alone if one.get("could") == each["could"] and one.get("would") == each.get("would")]
        if len(alone) > 1 and same:
            continue
        would = each.get("would")
        if changes and would == each["could"]:
            continue
        counts = f"{each['could']} of {each['of']}"
        rows[f"{each['entity']}.{each['action']}", names(each), counts, "?" if would is None else str(would)] = None
    if rows:
        heads = ("action", "who", "can now", "would") if changes else ("action", "who", "can now")
        yield f"\nof the living, the newest {answer['sampled_max']} of a kind:"
        yield table([row[: len(heads)] for row in [*rows][:ROWS_SHOWN]], paint=paint, heads=heads)
