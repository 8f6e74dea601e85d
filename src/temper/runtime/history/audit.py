"""Whether a space is what its journal says, and the journal what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from temper.kernel import Codec, Codecs, Entry, Folded, Gap, StoredEntity
from temper.runtime.archive import ArchiveDamaged
from temper.runtime.chain import GENESIS, chained, chained_on, is_digest
from temper.runtime.history.difference import DEFECT, RESTORE, Difference, Differs, differs
from temper.runtime.history.indexes import Indexes, must_be_answers, must_be_stirs
from temper.runtime.history.ledger import Ledger
from temper.runtime.history.still import Still, entities, first, whole
from temper.runtime.history.waits import Waits
from temper.runtime.records import Head
from temper.table import Table, digest, load

_entry_from_json = msgspec.json.Decoder(Entry).decode
_kept_from_json = msgspec.json.Decoder(StoredEntity).decode


@dataclass(frozen=True, slots=True)
class Anchor:
    """A hash that was written down elsewhere: of the entry `seq` of a part."""

    seq: int
    hash: str
    part: int = 0

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Return what `HASH@SEQ` or `HASH@PART.SEQ` says, as an audit prints it. Raises `ValueError`."""
        hash, at, place = text.strip().partition("@")
        part, _, seq = place.rpartition(".")
        if not at or len(hash) != 64 or not seq.isdecimal() or not (part or "0").isdecimal():
            raise ValueError(f"`{text}` is no anchor: write HASH@SEQ, as an audit prints it")
        try:
            digest = bytes.fromhex(hash)
        except ValueError as error:
            raise ValueError(f"`{text}` is no anchor: its hash is no hexadecimal number") from error
        return cls(int(seq), digest.hex(), int(part or 0))

    def __str__(self) -> str:
        return f"{self.hash}@{self.part}.{self.seq}" if self.part else f"{self.hash}@{self.seq}"


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found."""

    entries: int
    entities: int
    versions: int
    heads: tuple[Head, ...]
    """Each part's last entry: to be written down elsewhere, as an anchor for the next audit."""
    difference: Difference | None


@dataclass
class _Auditor:
    still: Still
    anchors: Mapping[int, Mapping[int, str]]
    ledger: Ledger
    digests: list[str] = field(default_factory=list)
    """Those of the versions, in their order."""
    first: dict[str, int] = field(default_factory=dict)
    """Which version was the first with a digest."""
    entries: int = 0
    owned: int = 0
    entities: int = 0
    versions: int = 0
    codecs: Codecs | None = None
    indexes: Indexes | None = None

    def codec_of(self, digest: str) -> Codec:
        """Return the codec of the first version with that digest."""
        assert self.codecs is not None, "it is known which versions there are"
        return self.codecs.of(self.first[digest])


def audit(still: Still, anchors: Sequence[Anchor] = ()) -> Audited:
    """Walk all of a space, in bounded memory, and return what it is and the first difference, if any.

    Every hash follows from the one before and the entry's bytes; entries are numbered without a gap; each was decided
    by a version that is there; versions have the digests that they say; the anchors are in the log. Each entity is what
    its entries make it, and waits for what they say; the outbox has those orders that have not ended, and letters are
    of what an entry had no place for; keys, references, lists and counts are the entities', and what is answered again
    is what was done. What was put away is looked at like the rest. Raises `StoreFault` where the store can't be read at
    all.
    """
    by_part: dict[int, dict[int, str]] = {}
    for anchor in anchors:
        by_part.setdefault(anchor.part, {})[anchor.seq] = anchor.hash
    auditor = _Auditor(still, by_part, Ledger())
    heads: list[Head] = []
    difference: Difference | None = None
    try:
        _versions(auditor)
        for part in range(still.parts):
            heads.append(_part(auditor, part))
        for part in sorted(by_part.keys() - set(range(still.parts))):
            raise Differs(Difference(f"there is no part {part} of the log, which an anchor names", RESTORE, part))
        _segments(still)
        _entities(auditor)
        auditor.ledger.must_be(still, auditor.digests)
        must_be_answers(still, auditor.ledger)
        if auditor.codecs is not None and auditor.indexes is not None:
            must_be_stirs(still, auditor.codecs.of(auditor.codecs.current).table)
            auditor.indexes.must_be_all()
    except Differs as found:
        difference = found.difference
    except ArchiveDamaged as damaged:
        difference = Difference(damaged.text.partition(": restore")[0], RESTORE, table="archived")
    finally:
        auditor.ledger.close()
    return Audited(auditor.entries, auditor.entities, auditor.versions, tuple(heads), difference)


def _versions(auditor: _Auditor) -> None:
    pushed: dict[int, tuple[int, str]] = {}
    for number, said, table, _, at, by, _ in auditor.still.rows("versions"):
        auditor.versions += 1
        pushed[number] = at, by
        if number != auditor.versions:
            raise differs(f"version {auditor.versions} is missing", "versions", auditor.versions)
        try:
            found = digest(load(table))
        except Exception:  # noqa: BLE001 - whatever it is, it is no table of ours any more
            found = ""
        if found != said:
            raise differs(f"the table of version {number} is not the one that was pushed", "versions", number)
        auditor.digests.append(said)
        auditor.first.setdefault(said, number)
    if auditor.versions:
        # A table is read again when it is asked for: a space may have had thousands of them.
        auditor.codecs = Codecs(lambda number: _table(auditor.still, number), pushed.__getitem__)
        auditor.codecs.put(auditor.versions, auditor.codecs.of(auditor.versions))
        auditor.indexes = Indexes(auditor.still, auditor.codecs)


def _table(still: Still, number: int) -> Table:
    found = first(still, "table", number)
    assert found is not None, "all versions have been looked at"
    return load(found[0])


def _segments(still: Still) -> None:
    try:
        still.must_have_segments()
    except ArchiveDamaged as damaged:
        raise differs(damaged.text, "segments") from damaged


def _part(auditor: _Auditor, part: int) -> Head:
    """Walk one part of the log, and return its end."""
    head, seq = GENESIS, 0
    anchors = auditor.anchors.get(part, {})
    for _, number, row, body, hash in auditor.still.rows("log", part):
        if number != seq + 1:
            raise Differs(_of(part, seq + 1, "is missing"))
        seq = number
        # What stands there as a text was not written by us.
        apart = isinstance(body, bytes) and is_digest(body)
        head = chained_on(head, body) if apart else chained(head, body) if isinstance(body, bytes) else b""
        if head != hash:
            raise Differs(_of(part, seq, "is not what was written: its hash differs"))
        if seq in anchors and anchors[seq] != head.hex():
            text = "is not the one that the anchor names: the log was written anew"
            raise Differs(_of(part, seq, text))
        if apart and row is not None:
            auditor.owned += 1  # Its bytes are looked at with its entity's.
        else:
            _entry(auditor, part, seq, row, body)
        auditor.entries += 1
    kept, last = next(iter(auditor.still.rows("end", part)), (0, None))
    if kept != seq or (last is not None and last != head):
        raise Differs(_of(part, seq + 1, "is missing: the end of the log was cut off"))
    beyond = [each for each in sorted(anchors) if each > seq]
    if beyond:
        text = f"is missing: the log ends with {seq}, and an anchor names {beyond[0]}"
        raise Differs(_of(part, seq + 1, text))
    return Head(part, seq, head.hex())


def _entry(auditor: _Auditor, part: int, seq: int, row: int | None, body: bytes) -> None:
    try:
        entry = _entry_from_json(body)
    except msgspec.DecodeError as error:
        raise Differs(_of(part, seq, f"can't be read: {error}", DEFECT)) from error
    if entry.digest not in auditor.first:
        raise Differs(_of(part, seq, f"was decided by a table that is not there ({entry.digest[:12]})"))
    if row is not None:
        auditor.owned += 1
    elif entry.changes:
        raise Differs(_of(part, seq, f"happened to {entry.entity}/{entry.id}, and is in nobody's history"))


def _of(part: int, seq: int, text: str, help: str = RESTORE) -> Difference:
    where = f"entry {seq} of part {part}" if part else f"entry {seq}"
    return Difference(f"{where} {text}", help, part, seq, table="log", row=f"{part}.{seq}" if part else str(seq))


def _entities(auditor: _Auditor) -> None:
    """Fold each entity's own entries, one entity after the other."""
    told = 0
    marks_there = (first(auditor.still, "marks_there") or (0,))[0]
    for row, kind, id, state, live, due, number, body in entities(auditor.still):
        name = f"{kind}/{id}"
        auditor.entities += 1
        marks = {seq: kept for seq, _, kept in auditor.still.rows("marks_of", row)} if marks_there else {}
        marks_there -= len(marks)
        now: Folded | None = None
        waits = Waits(kind, id, auditor.codec_of)
        for entry, seq, part in _history(auditor, row):
            told += 1
            if (entry.entity, entry.id) != (kind, id):
                text = f"entry {seq} is of {entry.entity}/{entry.id}, and stands in the history of {name}"
                raise Differs(Difference(text, RESTORE, part, seq, name, "log", str(seq)))
            if entry.digest not in auditor.first:
                raise Differs(_of(part, seq, f"was decided by a table that is not there ({entry.digest[:12]})"))
            auditor.ledger.take(entry)
            if entry.changes:
                now = now or Folded(entry.after, entry.version, entry.at, entry.at)
                try:
                    now.take(entry)
                except Gap as gap:
                    text = f"entry {seq} of {name} does not follow the one before it"
                    raise Differs(Difference(text, RESTORE, part, seq, name, "log", str(seq))) from gap
                waits.take(entry, now)
            else:
                waits.refused(entry)
            if seq in marks:
                _same(name, now, marks.pop(seq), "marks", f"{row} {seq}")
        for seq in sorted(marks):
            raise differs(f"{name} has a mark at {seq}, and no such entry", "marks", f"{row} {seq}", name)
        listed = next(iter(auditor.still.rows("listed", row)))[0]
        kept = _same(name, now, body, "entities", name)
        if kept.state != state:
            text = f"{name} is kept listed in state `{state}`, and its entries say `{kept.state}`"
            raise differs(text, "entities", name, name)
        _waits(auditor, waits, kept, number, name, live=bool(live), due=due)
        if auditor.indexes is not None:
            auditor.indexes.look(row, number, kind, id, body, listed)
    if told != auditor.owned:
        raise differs("there are entries of an entity that is not there", "entities")
    if marks_there:
        raise differs("there are marks of an entity that is not there", "marks")


def _history(auditor: _Auditor, row: int) -> Iterator[tuple[Entry, int, int]]:
    for part, seq, _, body, _ in whole(auditor.still, "history", row):
        yield _entry_from_json(body), seq, part


def _waits(
    auditor: _Auditor, waits: Waits, kept: StoredEntity, number: int, name: str, *, live: bool, due: int | None
) -> None:
    kind, _, id = name.partition("/")
    codecs = auditor.codecs
    if codecs is None or not 1 <= number <= auditor.versions:
        raise differs(f"{name} is kept by version {number}, which is not there", "entities", name, name)
    codec = codecs.of(number)
    try:
        now = codec.of(kind, id, kept.created_at).decoded(kind, id, kept)
        alive = codec.is_live(now)
        waits.must_be(kept, codec, due)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise differs(f"{name} is no entity of version {number}: {error}", "entities", name, name) from error
    if alive != live:
        raise differs(
            f"{name} is kept as one that {'lives' if live else 'is final'}, and is not", "entities", name, name
        )


def _same(name: str, now: Folded | None, body: bytes, table: str, row: str) -> StoredEntity:
    """Return what is kept of an entity, which is to be what its entries have made of it."""
    if now is None:
        raise differs(f"{name} is there, and no entry has created it", table, row, name)
    try:
        kept = _kept_from_json(body)
    except msgspec.DecodeError as error:
        raise differs(f"{name} can't be read: {error}", table, row, name) from error
    for what, stored, told in (
        ("in state", kept.state, now.state),
        ("at version", kept.version, now.version),
        ("created at", kept.created_at, now.created_at),
        ("updated at", kept.updated_at, now.updated_at),
    ):
        if stored != told:
            raise differs(f"{name} is kept {what} `{stored}`, and its entries say `{told}`", table, row, name)
    for member in sorted(kept.fields.keys() | now.fields.keys()):
        if member not in kept.fields or member not in now.fields or kept.fields[member] != now.fields[member]:
            stored, told = (_shown(each.get(member)) for each in (kept.fields, now.fields))
            text = f"{name}.{member} is kept as `{stored}`, and its entries say `{told}`"
            raise differs(text, table, row, name)
    return kept


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
