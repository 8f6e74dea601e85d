"""Journals, as a command is given them: a file with an entry on each line, an answer of a server, or the server itself.

Lines are read one after the other, however many there are; an answer is read whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client, target_path
from temper.cli.exits import Exit, Stop
from temper.service import each_entry

# What is asked for at once.
PAGE = 200


@dataclass(frozen=True, slots=True)
class Journal:
    """Entries in the order of their numbers, to be read once; `whole` if they are all, from the first on."""

    entries: Iterable[Any]
    whole: bool
    place_of: Callable[[int], str | None]
    """Where the so-manieth entry stands, in words, if it stands somewhere."""


def is_url(text: str) -> bool:
    """Say whether a journal is a server's."""
    return text.startswith(("http://", "https://"))


def journal_at(args: argparse.Namespace, blueprint: str, kinds: list[str], stack: ExitStack) -> Journal:
    """Return the journal that is asked for: a file, standard input (`-`), or what a server has of a blueprint.

    What it is read from is open until `stack` is closed. Raises `BadJournal` while it is read.
    """
    if args.journal and not is_url(args.journal):
        return _file(args.journal)
    client = stack.enter_context(_client(args))
    # They may be many: they wait on the disk for their turn.
    spool = stack.enter_context(NamedTemporaryFile("w", encoding="utf-8", suffix=".json"))  # noqa: SIM115 - in the stack
    for item in _everything(client, blueprint, kinds):
        spool.write(json.dumps(item) + "\n")
    spool.flush()
    found = _file(spool.name)
    return Journal(found.entries, found.whole, lambda _: None)


def history_of(args: argparse.Namespace, blueprint: str) -> list[Any]:
    """Return the entries of the entity that is asked for, from a server."""
    target = args.history if args.history.count("/") > 1 else f"{blueprint}/{args.history}"
    path = "/".join(("/v1", *target_path(target, 3)))
    with _client(args) as client:
        return list(each_entry(_pages(client, path)))


def _client(args: argparse.Namespace) -> Client:
    if args.journal and is_url(args.journal):
        args.server = args.journal
    return Client.of(args)


# --- files ------------------------------------------------------------------------------------------------------------


def _file(name: str) -> Journal:
    if name == "-":
        return _text(sys.stdin.read(), "standard input")
    path = Path(name)
    try:
        with path.open(encoding="utf-8") as file:
            first = next((line for line in file if line.strip()), "")
        if first and not _is_entry(first):
            return _text(path.read_text("utf-8"), f"`{name}`")
        order = list(_numbers(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(Exit.USAGE, f"`{name}` can't be read: {error}") from error
    if any(one > other for one, other in pairwise(order)):
        return _text(path.read_text("utf-8"), f"`{name}`")
    return Journal(each_entry(_items(path)), _dense(order), lambda index: f"{name}:{_line(path, index)}")


def _is_entry(line: str) -> bool:
    try:
        item = json.loads(line)
    except ValueError:
        return False
    return isinstance(item, dict) and "items" not in item


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _items(path: Path) -> Iterator[Any]:
    for number, line in _lines(path):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise Stop(Exit.USAGE, f"`{path}` is no journal: line {number}: {error}", help=_HELP) from error


def _numbers(path: Path) -> Iterator[int]:
    """Yield the number of each entry, 0 where it has none: those are told when they are read."""
    for item in _items(path):
        number = item.get("seq", 0) if isinstance(item, dict) else 0
        yield number if isinstance(number, int) else 0


def _line(path: Path, index: int) -> int:
    return next(number for place, (number, _) in enumerate(_lines(path)) if place == index)


_HELP = "write one with `temper history ... --json`"


def _text(text: str, name: str) -> Journal:
    """Return the entries of a text: one JSON object a line, or one with `items`."""
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("items"), list):
        return _sorted(each_entry(whole["items"]))
    try:
        items = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise Stop(Exit.USAGE, f"{name} is no journal: {error}", help=_HELP) from error
    return _sorted(each_entry(items))


def _sorted(entries: Iterable[Any]) -> Journal:
    found = sorted(entries, key=lambda entry: entry.seq)
    return Journal(found, _dense([entry.seq for entry in found]), lambda _: None)


def _dense(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


# --- a server ---------------------------------------------------------------------------------------------------------


def _pages(client: Client, path: str) -> Iterator[Any]:
    after = 0
    while items := client.get(f"{path}/history", {"after": after, "limit": PAGE})["items"]:
        yield from items
        after = items[-1]["seq"]


def _everything(client: Client, blueprint: str, kinds: list[str]) -> Iterator[Any]:
    """Yield the entries of every entity that is served, in their order."""
    return merge(*(_pages(client, path) for path in _paths(client, blueprint, kinds)), key=lambda item: item["seq"])


def _paths(client: Client, blueprint: str, kinds: list[str]) -> Iterator[str]:
    for kind in kinds:
        place = f"/v1/{quote(blueprint, safe='')}/{kind}"
        cursor: str | None = None
        while True:
            page = client.get(place, {"limit": PAGE, **({"cursor": cursor} if cursor else {})})
            yield from (f"{place}/{quote(each['id'], safe='')}" for each in page["items"])
            cursor = page.get("cursor")
            if not cursor:
                break
