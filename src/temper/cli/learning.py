"""Commands by which a blueprint learns: strength, keep, conform."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from temper.cli.bundles import read, shown
from temper.cli.client import Client
from temper.cli.exits import Exit, Stop
from temper.cli.journals import history_of, is_url, journal_at
from temper.cli.paint import Paint, Progress, coloured
from temper.service import (
    LEVELS,
    BadJournal,
    Kept,
    Measurements,
    NotKept,
    Remembered,
    check_texts,
    conform_table,
    finding,
    keep_history,
    keep_report,
    keep_seed,
    measure_table,
    verify_table,
)

# Of what goes to no terminal, and the least of any.
PAGE_WIDTH, WIDTH_MIN = 100, 60
# `keep` judges as `verify` does.
STATES, SECONDS = 500_000, 120.0


def strength(args: argparse.Namespace) -> int:
    """Measure how much the properties and scenarios of a bundle notice."""
    table = _table(args.path)
    try:
        happened = _happened(args, table) if args.journal else []
    except BadJournal as problem:
        raise Stop(Exit.USAGE, str(problem)) from problem
    with Progress("measuring") as progress:
        measured = measure_table(
            table,
            mutants=args.mutants,
            seconds=args.seconds,
            happened=happened,
            kept=Measurements(Remembered.of_user(os.environ).strengths),
            fresh=args.fresh,
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
    with ExitStack() as stack:
        return list(journal_at(args, table.blueprint, list(table.entities), stack).entries)


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
        elif args.seed is not None:
            with Progress("running") as progress:
                kept = keep_seed(
                    files, table, args.seed, seconds=SECONDS, only=args.property, title=args.title,
                    progress=progress.tell,
                )  # fmt: skip
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
    if not args.report:
        with Progress("judging") as progress:
            verified = verify_table(table, levels=LEVELS, states=STATES, seconds=SECONDS, progress=progress.tell)
        return verified.report
    report = _json(args.report)
    if isinstance(report, dict) and isinstance(report.get("trace"), list) and "verdict" in report:
        report = {"properties": [report]}  # One property of a report, with its run.
    properties = report.get("properties") if isinstance(report, dict) else None
    if not isinstance(properties, list) or not all(isinstance(each, dict) and "verdict" in each for each in properties):
        raise Stop(Exit.USAGE, f"`{args.report}` is no report", help="write one with `temper verify PATH --json`")
    return {"properties": properties}


def _from_history(args: argparse.Namespace, files: Mapping[str, str], table: Any) -> Kept:
    if args.journal and not (is_url(args.journal) and args.history):
        happened = _happened(args, table)
    else:
        happened = history_of(args, table.blueprint)
    wanted = args.history.strip("/").split("/")[-2:] if args.history else None
    entries = [
        entry
        for entry in happened
        if (args.until is None or entry.seq <= args.until) and (wanted is None or [entry.entity, entry.id] == wanted)
    ]
    begin = args.begin or 0
    first = next((entry for entry in entries if entry.seq >= begin), None)
    if first is None:
        raise Stop(Exit.USAGE, "there are no such entries", help="name an entity as ENTITY/ID with --history")
    title = args.title or f"what happened to {first.entity} {first.id}"
    return keep_history(files, table, entries, title, begin=begin)


def conform(args: argparse.Namespace) -> int:
    """Say whether a journal could have happened by the blueprint that it claims."""
    with ExitStack() as stack:
        if Path(args.target).exists():
            table = _table(args.target)
        else:
            client = stack.enter_context(Client.of(args))
            served = client.get(f"/v1/{quote(args.target, safe='')}/sources")
            table = check_texts(served["files"]).table
        if table is None:
            raise Stop(Exit.BROKEN, "the blueprint does not compile here", help="is this the server's version?")
        try:
            journal = journal_at(args, table.blueprint, list(table.entities), stack)
            found = conform_table(table, journal.entries, whole=journal.whole and not args.part, anyway=args.anyway)
        except BadJournal as problem:
            raise Stop(Exit.USAGE, str(problem)) from problem
    gap = found["gap"]
    if gap is not None:
        gap["entry"] = journal.place_of(gap["index"])
    if args.json:
        _print_json(found)
    else:
        print(conform_text(found, Paint(colour=coloured(sys.stdout))))
    if gap is not None:
        return Exit.BROKEN
    return Exit.FINE if found["checked"] or not found["entries"] else Exit.UNKNOWN


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
    told = "".join(f"\n  {line}" for line in gap["before"])
    stands = f"\n  {gap['entry']}" if gap["entry"] else ""
    return (
        f"{paint('it does not conform', 'red', 'bold')}: entry {gap['seq']}, {what} of {gap['entity']} {gap['id']}"
        f"{told}{stands}\n  {gap['why']}{place}\n  before it: {counted}"
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


def _json(name: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Stop(Exit.USAGE, f"`{name}` can't be read: {error}") from error


def _print_json(answer: Any) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False))
