"""Commands by which a blueprint learns: strength, keep, conform."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from temper.cli.client import Client, target_path
from temper.cli.exits import Exit, Stop
from temper.cli.language import read, shown
from temper.cli.paint import Paint, Progress, coloured
from temper.service import (
    LEVELS,
    BadJournal,
    Kept,
    NotKept,
    check_texts,
    conform_table,
    entries_of,
    finding,
    keep_history,
    keep_report,
    measure_table,
    verify_table,
)

# What is asked for at once.
PAGE = 200
# Of what goes to no terminal, and the least of any.
PAGE_WIDTH, WIDTH_MIN = 100, 60
# `keep` judges as `verify` does.
STATES, SECONDS = 500_000, 120.0


def strength(args: argparse.Namespace) -> int:
    """Measure how much the properties and scenarios of a bundle notice."""
    table = _table(args.path)
    try:
        happened = entries_of(_happened(args, table)) if args.journal else []
    except BadJournal as problem:
        raise Stop(Exit.USAGE, str(problem)) from problem
    with Progress("measuring") as progress:
        measured = measure_table(
            table,
            mutants=args.mutants,
            seconds=args.seconds,
            happened=happened,
            colour=not args.json and coloured(sys.stdout),
            width=_width(),
            progress=progress.tell,
        )
    if args.json:
        _print_json({"digest": measured.digest, "strength": measured.data})
    else:
        print(measured.text.rstrip())
    if measured.data["unjudged"] and not measured.data["survivors"]:
        return Exit.UNKNOWN
    return Exit.FINE


def _width() -> int:
    """Return how wide a text may be: as the terminal is, else as a page."""
    return max(shutil.get_terminal_size((PAGE_WIDTH, 24)).columns, WIDTH_MIN) if sys.stdout.isatty() else PAGE_WIDTH


def _happened(args: argparse.Namespace, table: Any) -> list[Any]:
    """Return the entries of a file, or of a server all that it has of this blueprint."""
    if not args.journal.startswith(("http://", "https://")):
        return _items(args)
    args.server = args.journal
    with Client.of(args) as client:
        return list(_everything(client, table.blueprint, list(table.entities)))


def keep(args: argparse.Namespace) -> int:
    """Write what broke, or what happened, as a scenario into the bundle."""
    folder = Path(args.path)
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"`{folder}` is no folder", help="a scenario is kept beside a bundle's blueprints")
    files = read(folder)
    table = _table(args.path)
    try:
        if args.history or args.journal:
            kept = [_from_history(args, files, table)]
        else:
            kept = keep_report(files, table, _report(args, table), only=args.property, title=args.title)
    except NotKept as problem:
        raise Stop(Exit.BROKEN, f"nothing was kept: {problem}") from problem
    except BadJournal as problem:
        raise Stop(Exit.USAGE, str(problem)) from problem
    for each in kept:
        path = folder / each.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(each.text, "utf-8")
    if args.json:
        _print_json({"kept": [_kept(each, folder) for each in kept]})
    else:
        for each in kept:
            print(f"kept {folder / each.file}: {each.title}")
            if not each.passes:
                print(f"  it fails until that is mended: {each.says}")
    return Exit.FINE


def _kept(each: Kept, folder: Path) -> dict[str, Any]:
    return {
        "path": str(folder / each.file),
        "title": each.title,
        "text": each.text,
        "passes": each.passes,
        "says": each.says,
    }


def _report(args: argparse.Namespace, table: Any) -> Mapping[str, Any]:
    if args.report:
        report = _json(Path(args.report))
        if not isinstance(report, dict) or not isinstance(report.get("properties"), list):
            raise Stop(Exit.USAGE, f"`{args.report}` is no report", help="write one with `temper verify PATH --json`")
        return report
    with Progress("judging") as progress:
        verified = verify_table(table, levels=LEVELS, states=STATES, seconds=SECONDS, progress=progress.tell)
    return verified.report


def _from_history(args: argparse.Namespace, files: Mapping[str, str], table: Any) -> Kept:
    items = _items(args) if args.journal else _history(args, table.blueprint)
    wanted = args.history.strip("/").split("/")[-2:] if args.history else None
    entries = [
        entry
        for entry in entries_of(items)
        if (args.until is None or entry.seq <= args.until) and (wanted is None or [entry.entity, entry.id] == wanted)
    ]
    if not entries:
        raise Stop(Exit.USAGE, "there are no such entries", help="name an entity as ENTITY/ID with --history")
    title = args.title or f"what happened to {entries[0].entity} {entries[0].id}"
    return keep_history(files, table, entries, title)


def _history(args: argparse.Namespace, blueprint: str) -> list[Any]:
    target = args.history if args.history.count("/") > 1 else f"{blueprint}/{args.history}"
    path = "/".join(("/v1", *target_path(target, 3)))
    with Client.of(args) as client:
        return list(_pages(client, path))


def conform(args: argparse.Namespace) -> int:
    """Say whether a journal could have happened by the blueprint that it claims."""
    path = Path(args.target)
    client: Client | None = None
    if not path.exists() or not args.journal:
        client = Client.of(args)
    try:
        if path.exists():
            table = _table(args.target)
        else:
            assert client is not None, "what is no path is asked of a server"
            served = client.get(f"/v1/{quote(args.target, safe='')}/sources")
            table = check_texts(served["files"]).table
        if table is None:
            raise Stop(Exit.BROKEN, "the blueprint does not compile here", help="is this the server's version?")
        if args.journal:
            items = _items(args)
        else:
            assert client is not None, "a journal that is in no file is a server's"
            items = list(_everything(client, table.blueprint, list(table.entities)))
    finally:
        if client is not None:
            client.__exit__()
    try:
        entries = entries_of(items)
    except BadJournal as problem:
        raise Stop(Exit.USAGE, str(problem)) from problem
    dense = [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    found = conform_table(table, entries, whole=dense and not args.part, anyway=args.anyway)
    if args.json:
        _print_json(found)
    else:
        print(conform_text(found, Paint(colour=coloured(sys.stdout))))
    if not found["conforms"]:
        return Exit.BROKEN
    return Exit.FINE if found["checked"] or not entries else Exit.UNKNOWN


def conform_text(found: Mapping[str, Any], paint: Paint) -> str:
    """Return what came of it for people."""
    others = f", {found['other_tables']} by other versions" if found["other_tables"] else ""
    part = "" if found["whole"] else ", a part of the journal"
    counted = f"{found['checked']} entries of {found['entities']} entities{others}{part}"
    gap = found["gap"]
    if gap is None and not found["checked"] and found["other_tables"]:
        return (
            f"nothing was checked: {found['other_tables']} entries are by other versions; --anyway takes them for this"
        )
    if gap is None:
        return f"{paint('it conforms', 'green')}: {counted}"
    place = f"\n  {gap['place']['file']}:{gap['place']['line']}:{gap['place']['column']}" if gap["place"] else ""
    what = gap["action"] or gap["cause"]
    return (
        f"{paint('it does not conform', 'red', 'bold')}: entry {gap['seq']}, {what} of {gap['entity']} {gap['id']}\n"
        f"  {gap['why']}{place}\n  before it: {counted}"
    )


# --- what is read -----------------------------------------------------------------------------------------------------


def _table(path: str) -> Any:
    """Return the table of a bundle that compiles, or stop with what keeps it from it."""
    checked = check_texts({shown(Path(path), name): text for name, text in read(Path(path)).items()})
    if checked.table is None:
        findings = [finding(each, checked.sources, colour=coloured(sys.stdout)) for each in checked.errors]
        print("\n".join(each.rendered for each in findings), file=sys.stderr)
        raise Stop(Exit.BROKEN, "it does not compile", help=f"`temper explain {findings[0].code}` says more")
    return checked.table


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Stop(Exit.USAGE, f"`{path}` can't be read: {error}") from error


def _items(args: argparse.Namespace) -> list[Any]:
    """Return the entries of a file: one JSON object a line, or one with `items`."""
    path = Path(args.journal)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(Exit.USAGE, f"`{path}` can't be read: {error}") from error
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("items"), list):
        return list(whole["items"])
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise Stop(
            Exit.USAGE, f"`{path}` is no journal: {error}", help="write one with `temper history ... --json`"
        ) from error


def _pages(client: Client, path: str) -> Iterator[Any]:
    after = 0
    while items := client.get(f"{path}/history", {"after": after, "limit": PAGE})["items"]:
        yield from items
        after = items[-1]["seq"]


def _everything(client: Client, blueprint: str, kinds: list[str]) -> Iterator[Any]:
    """Yield the history of every entity that is served."""
    for kind in kinds:
        cursor: str | None = None
        while True:
            page = client.get(
                f"/v1/{quote(blueprint, safe='')}/{kind}", {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
            )
            for each in page["items"]:
                yield from _pages(client, f"/v1/{quote(blueprint, safe='')}/{kind}/{quote(each['id'], safe='')}")
            cursor = page.get("cursor")
            if not cursor:
                break


def _print_json(answer: Any) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False))
