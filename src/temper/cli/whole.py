"""`temper audit`, `temper export` and `temper import`: a space as a whole, where it is kept, served or not."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured
from temper.cli.settings import settings
from temper.runtime import (
    Anchor,
    Audited,
    Exported,
    Head,
    PostgresStill,
    SqliteStill,
    Still,
    StoreFault,
    audit_space,
    exported,
    plant_file,
    plant_postgres,
    space_of,
)
from temper.service import Loaded

_GZIP = b"\x1f\x8b"


def audit(args: argparse.Namespace) -> int:
    """Walk a space's journal, and say the first thing in it that is not what was written."""
    try:
        anchors = [Anchor.parse(each) for each in args.expect]
    except ValueError as error:
        raise Stop(Exit.USAGE, str(error), help="`temper audit` prints one for each part of the log") from error
    try:
        with _still(args) as still:
            found = audit_space(still, anchors)
    except StoreFault as fault:
        raise Stop(Exit.USAGE, fault.text) from fault
    if args.json:
        print(json.dumps(_audited(found), ensure_ascii=False))
    else:
        _tell(found, Paint(colour=coloured(sys.stdout)))
    return Exit.FINE if found.difference is None else Exit.BROKEN


def _audited(found: Audited) -> dict[str, Any]:
    difference = found.difference
    told = None
    if difference is not None:
        told = {"text": difference.text, "help": difference.help, "part": difference.part}
        told |= {"seq": difference.seq, "entity": difference.entity, "table": difference.table, "row": difference.row}
    return {
        "passes": difference is None,
        "entries": found.entries,
        "entities": found.entities,
        "versions": found.versions,
        "anchors": [str(_anchor(head)) for head in found.heads],
        "difference": told,
    }


def _tell(found: Audited, paint: Paint) -> None:
    entries, entities = _counted(found.entries, "entry", "entries"), _counted(found.entities, "entity", "entities")
    walked = f"{entries}, {entities} and {_counted(found.versions, 'version', 'versions')}"
    if found.difference is not None:
        print(f"{paint('broken', 'red')}: {found.difference.text}")
        if found.difference.table is not None:
            row = f", row {found.difference.row}" if found.difference.row is not None else ""
            print(f"  in the table {found.difference.table}{row}")
        print(f"  after {walked} that are what was written")
        print(f"  help: {found.difference.help}")
        return
    print(f"{paint('passes', 'green')}: {walked}")
    for head in found.heads:
        print(f"  anchor {_anchor(head)}")


def _counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _anchor(head: Head) -> Anchor:
    return Anchor(head.seq, head.hash, head.part)


def export(args: argparse.Namespace) -> int:
    """Write a space as a stream of lines, as it is at one moment."""
    try:
        with _still(args) as still:
            lines = exported(still)
            if args.to is None:
                count = _written(sys.stdout.buffer, lines)
            else:
                count = _to_file(Path(args.to), lines)
    except StoreFault as fault:
        raise Stop(Exit.USAGE, fault.text) from fault
    except OSError as error:
        raise Stop(Exit.USAGE, f"`{args.to or '-'}` can't be written: {error.strerror}") from error
    if args.to is not None:
        said = {"file": args.to, "lines": count}
        print(json.dumps(said) if args.json else f"{args.to}: {count} lines, whole")
    return Exit.FINE


def _to_file(path: Path, lines: Iterable[bytes]) -> int:
    """Write the lines to a file that has its name once it is whole; `.gz` is compressed."""
    growing = path.with_name(path.name + ".part")
    try:
        with growing.open("wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
                    count = _written(packed, lines)
            else:
                count = _written(file, lines)
            file.flush()
            os.fsync(file.fileno())
        growing.replace(path)
    finally:
        growing.unlink(missing_ok=True)
    return count


def _written(file: IO[bytes] | gzip.GzipFile, lines: Iterable[bytes]) -> int:
    count = 0
    for line in lines:
        file.write(line)
        count += 1
    file.flush()
    return count


def take_in(args: argparse.Namespace) -> int:
    """Make a space of a stream, where none is: all of it or nothing."""
    loaded = _loaded(args)
    try:
        with _read(args.stream) as source:
            name, lines = space_of(source)
            if loaded.store:
                where = f"temper_{name}"
                done = plant_postgres(loaded.store, name, lines, parts=args.partitions)
            else:
                if args.partitions not in (None, 1):
                    raise Stop(Exit.USAGE, "a file has one partition", help="--partitions is for a --store")
                path = _near(loaded.data / "spaces" / f"{name}.db")
                path.parent.mkdir(parents=True, exist_ok=True)
                where = str(path)
                done = plant_file(path, lines)
    except StoreFault as fault:
        raise Stop(Exit.USAGE, fault.text) from fault
    except (OSError, EOFError) as error:
        raise Stop(Exit.USAGE, f"`{args.stream}` can't be read: {error}") from error
    _taken(args, done, where)
    return Exit.FINE


def _taken(args: argparse.Namespace, done: Exported, where: str) -> None:
    anchors = [str(_anchor(head)) for head in done.heads]
    if args.json:
        said = {"blueprint": done.blueprint, "where": where, "entities": done.entities, "entries": done.entries}
        print(json.dumps({**said, "anchors": anchors}, ensure_ascii=False))
        return
    entities, entries = _counted(done.entities, "entity", "entities"), _counted(done.entries, "entry", "entries")
    print(f"{done.blueprint}: {entities} and {entries} are in {where} now")
    for anchor in anchors:
        print(f"  anchor {anchor}")


@contextmanager
def _read(name: str) -> Iterator[Iterable[bytes]]:
    """Yield a stream's lines, unpacked where it is packed."""
    if name == "-":
        yield _unpacked(cast("io.BufferedReader", sys.stdin.buffer))
        return
    with Path(name).open("rb") as file:
        yield _unpacked(file)


def _unpacked(file: io.BufferedReader) -> Iterable[bytes]:
    return gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file


def _still(args: argparse.Namespace) -> Still:
    """Return the space that is named: a file, or a blueprint's where the settings say that it is kept."""
    path = Path(args.space)
    if path.suffix == ".db" or path.is_file():
        return SqliteStill(path)
    loaded = _loaded(args)
    if loaded.store:
        return PostgresStill(loaded.store, args.space)
    path = _near(loaded.data / "spaces" / f"{args.space}.db")
    if not path.is_file():
        data = _near(loaded.data)
        raise Stop(Exit.USAGE, f"there is no `{args.space}` in `{data}`", help="name its file, or its folder by --data")
    return SqliteStill(path)


def _near(path: Path) -> Path:
    """Return a path as one would write it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _loaded(args: argparse.Namespace) -> Loaded:
    loaded = settings(args)
    problem = loaded.store_problem()
    if problem is not None:
        raise Stop(Exit.USAGE, str(problem))
    return loaded
