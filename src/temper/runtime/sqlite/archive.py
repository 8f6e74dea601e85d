"""The archive of a space in a file: segments beside it, and in it where in them each one is that was put away."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from temper.runtime import records as r
from temper.runtime.archive import ENTRIES_MAX, ArchiveDamaged, Packed, Segment, Segments, Unpacked, packed
from temper.runtime.chain import digest_of, is_digest
from temper.runtime.disk import fault_of
from temper.runtime.sqlite.file import archive_of, back
from temper.runtime.sqlite.reader import Reader
from temper.runtime.sqlite.schema import FORMAT_ARCHIVED, RAISE_FORMAT


class _Versioned(msgspec.Struct):
    version: int


_versioned = msgspec.json.Decoder(_Versioned).decode


def version_of(body: bytes) -> int:
    """Return the version of an entity as it is kept."""
    return _versioned(body).version


class Archive:
    """The archive of the file `path`, which `db` appends to. Reading is safe from any thread."""

    def __init__(self, path: Path, reader: Reader, db: apsw.Connection) -> None:
        self._path = path
        self._reader = reader
        self._db = db
        self._segments = Segments(archive_of(path))

    def pack(self, names: Iterable[tuple[str, str]]) -> Segment | None:
        """Put these on the disk as a segment, which does not count yet. Raises `StoreFault`."""
        found = [one for kind, id in names if (one := self._pack(kind, id)) is not None]
        if not found:
            return None
        after = self._reader.first("select number, sum from segments order by number desc limit 1") or (0, "")
        return self._segments.write(after, found)

    def _pack(self, kind: str, id: str) -> Packed | None:
        row, state, live, due, version, body = self._reader.first(
            "select row, state, live, due, version, body from entities where kind = ? and id = ?", kind, id
        )
        log = self._reader.rows(
            "select seq, body, hash from log where entity = ? order by seq limit ?", row, ENTRIES_MAX + 1
        )
        if not state or len(log) > ENTRIES_MAX:
            return None
        entity = r.Entity(
            row=row, kind=kind, id=id, state=state, live=bool(live), due=due, table=version, body=r.raw(body)
        )
        return packed(entity, version_of(body), log, self.packed)

    def put_away(self, segment: Segment) -> int:
        """Let a segment count, in the thread that appends, and return for how many: those who are as they were."""
        db = self._db
        done = 0
        try:
            with db:
                db.execute("insert into segments values(?, ?, ?)", (segment.number, segment.sha256, segment.size))
                for one, place, size in segment.members:
                    done += self._put_away(db, one, (one.row, segment.number, place, size))
                db.execute(RAISE_FORMAT, (FORMAT_ARCHIVED,))
        except apsw.Error as problem:
            back(self._db)
            raise fault_of(self._path, problem) from problem
        return done

    def _put_away(self, db: apsw.Connection, one: Packed, place: tuple[int, int, int, int]) -> bool:
        kept: Any = db.execute("select state, body from entities where row = ?", (one.row,)).fetchone()
        state, body = kept
        last = db.execute("select max(seq) from log where entity = ?", (one.row,)).get
        if not state or last != one.last or version_of(body) != one.version:
            return False
        log: Any = db.execute("select seq, body from log where entity = ?", (one.row,)).fetchall()
        db.executemany(
            "update log set body = ? where seq = ?",
            [(digest_of(body), seq) for seq, body in log if not is_digest(body)],
        )
        db.execute("update entities set state = '', body = x'' where row = ?", (one.row,))
        db.execute("delete from marks where entity = ?", (one.row,))
        db.execute("delete from ranked where row = ?", (one.row,))
        db.execute("insert or replace into archived values(?, ?, ?, ?)", place)
        return True

    def packed(self, row: int) -> Unpacked:
        """Return one that was put away. Raises `ArchiveDamaged`."""
        found = self._reader.first("select segment, place, size from archived where row = ?", row)
        if found is None:
            raise ArchiveDamaged(f"`{self._path}` does not say where in the archive row {row} is")
        return self._segments.read(*found)
