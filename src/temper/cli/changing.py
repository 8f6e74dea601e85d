"""Commands that change what is in force: plan, push, versions, rollback."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temper.cli.bundles import checked, read
from temper.cli.client import Client
from temper.cli.exits import Exit
from temper.cli.paint import Paint, Progress, coloured, table


def plan(args: argparse.Namespace) -> int:
    """Say what a push would change."""
    blueprint, files = bundle(args.path)
    with Client.of(args) as client, Progress("judging the candidate"):
        query = {"strength": "true"} if args.strength else None
        answer = client.post(f"/v1/{blueprint}/plan", {"files": files}, query, patient=True)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(plan_text(answer, Paint(colour=coloured(sys.stdout))))
    if answer["pushable"]:
        return Exit.FINE
    verdicts = {each["verdict"] for each in answer["report"]["properties"]}
    return (
        Exit.UNKNOWN if "unknown" in verdicts and "broken" not in verdicts and not answer["stranded"] else Exit.BROKEN
    )


def _strength_lines(strength: dict[str, Any], paint: Paint) -> Iterator[str]:
    if strength.get("why"):
        yield f"  how much its properties notice is not all known: {strength['why']}"
    if strength.get("score") is None:
        return
    before = f", from {strength['before']:.0%}" if strength.get("before") is not None else ""
    yield f"  notices {strength['score']:.0%} of {strength['counted']} small changes{before}"
    for each in strength.get("asked", ()):
        yield f"  {paint('asks', 'yellow')}  {each}"
    for each in strength.get("answered", ()):
        yield paint(f"  asks no more  {each}", "dim")


def plan_text(answer: dict[str, Any], paint: Paint) -> str:
    """Return a plan for people."""
    name, digest = answer["blueprint"], answer["digest"][:12]
    if answer["from_digest"] == answer["digest"]:
        return f"{name}: nothing changes, {digest} is in force"
    begin = f"version {answer['from_version']} ({answer['from_digest'][:12]})" if answer["from_version"] else "nothing"
    lines = [f"{paint(name, 'bold')}: from {begin} to {digest}"]
    lines += change_lines(answer["changes"], paint)
    living = ", ".join(f"{number} {where}" for where, number in sorted(answer.get("entities", {}).items()))
    if living:
        lines.append(f"  alive: {living}")
    lines += [line for each in answer.get("touched", ()) for line in touched_lines(each, paint)]
    lines += [
        f"  {paint('newly', 'yellow')}  {each['role']} can bring about {each['entity']} {each['state']}, "
        f"by {each['by']}" + ("" if each.get("sure", True) else " (whether it could before is not known)")
        for each in answer.get("newly", ())
    ]
    lines += [f"  {paint('wrong', 'red')}  `upgrade`: {each}" for each in answer.get("upgrade", ())]
    for each in answer["stranded"]:
        lines.append(
            paint(f"  no place for {each['entity']} {each['id']} in {each['state']}: ", "red")
            + "; ".join(each["reasons"])
        )
    lines += places_lines(answer, paint)
    report = answer["report"]
    for each in report["properties"]:
        if each["verdict"] in ("broken", "unknown"):
            lines.append(f"  {paint(each['verdict'], 'red')}  {each['name']}")
    lines += [
        f"  {paint('failed', 'red')}  scenario {each['title']}" for each in report["scenarios"] if not each["passed"]
    ]
    if answer.get("strength"):
        lines += _strength_lines(answer["strength"], paint)
    lines.append(
        paint("it can be pushed", "green") if answer["pushable"] else paint("it can't be pushed", "red", "bold")
    )
    return "\n".join(lines)


def places_lines(answer: dict[str, Any], paint: Paint) -> Iterator[str]:
    """Yield whether all that can be has a place, beyond those who live."""
    asked = answer.get("places")
    if asked is None or not (asked or answer.get("touched")):
        return  # Nobody is touched, whoever there is.
    open_ = [each for each in asked if each["verdict"] != "proved"]
    if not open_:
        yield f"  places: {paint('proved', 'green')} for all states that version {answer['from_version']} can reach"
        return
    living = sum(each["entities"] for each in answer.get("touched", ()))
    yield f"  places: checked against the {living} living; for all that version {answer['from_version']} can reach,"
    for each in open_:
        yield f"    {paint(each['verdict'], 'red' if each['verdict'] == 'broken' else 'yellow')}  {each['text']}"


def touched_lines(each: dict[str, Any], paint: Paint) -> Iterator[str]:
    """Yield what becomes of those in one state."""
    moved = each["becomes"] != each["state"]
    going_on = ", ".join(
        f"{each[what]} {what[:-1] if each[what] == 1 else what}" for what in ("calls", "timers") if each.get(what)
    )
    if each.get("deferred"):
        going_on += f"{', ' if going_on else ''}{each['deferred']} deferred"
    count = each["entities"] - each.get("stranded", 0)
    become, carried_over, stay = (
        ("becomes", "is carried over", "stays as it is")
        if count == 1
        else ("become", "are carried over", "stay as they are")
    )
    fate = f"{become} {each['becomes']}" if moved else carried_over if each["rewritten"] else stay
    carried = f"{count} {each['entity']} in {each['state']} {fate}"
    if count:
        yield f"  {paint('>', 'cyan')} {carried}" + (f", with {going_on}" if going_on else "")
    if each.get("stranded"):
        have = "has" if each["stranded"] == 1 else "have"
        yield f"  {paint('!', 'red')} {each['stranded']} {each['entity']} in {each['state']} {have} no place"


_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "note": ("!", "yellow")}


def change_lines(changes: list[dict[str, Any]], paint: Paint) -> list[str]:
    """Return changes as lines with a sign and a colour each."""
    lines = []
    for each in changes:
        sign, colour = next((look for word, look in _SIGNS.items() if word in each["kind"]), ("~", "yellow"))
        strength = f" ({each['strength']})" if each.get("strength") else ""
        lines.append(f"  {paint(sign, colour)} {each['text']}{strength}")
    return lines


def shadow(args: argparse.Namespace) -> int:
    """Say which of the last requests a bundle would have answered otherwise."""
    blueprint, files = bundle(args.path)
    with Client.of(args) as client, Progress("asking the candidate"):
        query = {"last": str(args.last)}
        answer = client.post(f"/v1/{blueprint}/shadow", {"files": files}, query, patient=True)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(shadow_text(answer, Paint(colour=coloured(sys.stdout))))
    return Exit.BROKEN if answer["differ"] else Exit.FINE


def shadow_text(answer: dict[str, Any], paint: Paint) -> str:
    """Return what a candidate would have answered otherwise, for people."""
    lines = []
    for each in answer.get("differences", ()):
        unsure = "" if each.get("sure", True) else " (as far as the journal tells)"
        where = paint(f"{each['entity']}/{each['id']}.{each['action']}", "bold")
        lines.append(f"  {paint(each['kind'], 'yellow')}  {where} at {each['seq']}: {each['text']}{unsure}")
    left = answer["differ"] - len(lines)
    if left:
        lines.append(f"  and {left} more")
    told = f"{answer['differ']} of the last {answer['requests']} requests would be answered otherwise"
    return "\n".join([*lines, paint(told, "yellow") if answer["differ"] else paint(told, "green")])


def push(args: argparse.Namespace) -> int:
    """Push a bundle."""
    blueprint, files = bundle(args.path)
    headers = {"If-Match": f'"{args.if_version}"'} if args.if_version is not None else {}
    with Client.of(args) as client, Progress("verifying, then swapping"):
        answer = client.put(f"/v1/{blueprint}", {"files": files, "note": args.note}, headers)
    tell(args, answer)
    return Exit.FINE


def rollback(args: argparse.Namespace) -> int:
    """Push an earlier version again."""
    body: dict[str, Any] = {"note": args.note}
    if args.to is not None:
        body["to"] = args.to
    with Client.of(args) as client, Progress("verifying, then swapping"):
        answer = client.post(f"/v1/{args.blueprint}/rollback", body, patient=True)
    tell(args, answer)
    return Exit.FINE


def tell(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    paint = Paint(colour=coloured(sys.stdout))
    number, digest = answer["version"], answer["digest"][:12]
    if answer.get("unchanged"):
        print(f"{answer['blueprint']}: version {number} ({digest}) is in force already")
        return
    print(f"{paint(answer['blueprint'], 'bold')}: version {number} ({digest}) is in force")
    for line in change_lines(answer.get("changes", []), paint):
        print(line)
    carried = answer.get("carried", 0)
    if carried:
        print(f"  {carried} live {'entity was' if carried == 1 else 'entities were'} carried over")


def versions(args: argparse.Namespace) -> int:
    """List versions, newest first."""
    with Client.of(args) as client:
        answer = client.get(f"/v1/{args.blueprint}/versions")
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return Exit.FINE
    rows = [
        (
            "*" if each.get("current") else "",
            str(each["number"]),
            each["digest"][:12],
            each["at"],
            each["by"],
            each.get("note", ""),
        )
        for each in answer["items"]
    ]
    print(table(rows, paint=Paint(colour=coloured(sys.stdout)), heads=("", "version", "digest", "at", "by", "note")))
    return Exit.FINE


def bundle(text: str) -> tuple[str, dict[str, str]]:
    """Return a bundle's name and files; one that does not compile is told of here, with its places on this disk."""
    path = Path(text)
    files = read(path)
    table = checked(path, files, "the blueprint is broken, and was not sent").table
    assert table is not None, "it compiles"
    return table.blueprint, files
