"""Whether a space is what its journal says, and the journal what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.kernel import Codec, Codecs, Entry, Folded, Gap
from temper.runtime.archive import ArchiveDamaged
from temper.runtime.chain import GENESIS, chained, chained_on, is_digest
from temper.runtime.history.still import Still, entities, whole
from temper.runtime.records import Head
from temper.table import digest, load

_entry_from_json = msgspec.json.Decoder(Entry).decode

_RESTORE = "restore the space from an export or a copy that passes, and find out who can write to the store"
_DEFECT = "restore the space from an export or a copy that passes; if it came about by itself, report it"


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
class Difference:
    """The first thing that is not as it has to be: where, what, and what to do."""

    text: str
    help: str
    part: int = 0
    seq: int | None = None
    """The entry, where it is one."""
    entity: str | None = None
    """`Entity/id`, where it is one."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found."""

    entries: int
    entities: int
    versions: int
    heads: tuple[Head, ...]
    """Each part's last entry: to be written down elsewhere, as an anchor for the next audit."""
    difference: Difference | None


class _Differs(Exception):
    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.text)
        self.difference = difference


@dataclass
class _Auditor:
    still: Still
    anchors: Mapping[int, Mapping[int, str]]
    digests: set[str]
    entries: int = 0
    owned: int = 0
    entities: int = 0
    versions: int = 0
    given: _Given | None = None


def audit(still: Still, anchors: Sequence[Anchor] = ()) -> Audited:
    """Walk all of a space, in bounded memory, and return what it is and the first difference, if any.

    Every hash follows from the one before and the entry's bytes; entries are numbered without a gap; each was decided
    by a version that is there; versions have the digests that they say; each entity is what its entries make it; and
    the anchors are in the log; keys and `unique`s are held by those who have them. What was put away is looked at like
    the rest. Raises `StoreFault` where the store can't be read at all.
    """
    by_part: dict[int, dict[int, str]] = {}
    for anchor in anchors:
        by_part.setdefault(anchor.part, {})[anchor.seq] = anchor.hash
    auditor = _Auditor(still, by_part, set())
    heads: list[Head] = []
    difference: Difference | None = None
    try:
        _versions(auditor)
        for part in range(still.parts):
            heads.append(_part(auditor, part))
        for part in sorted(by_part.keys() - set(range(still.parts))):
            raise _Differs(Difference(f"there is no part {part} of the log, which an anchor names", _RESTORE, part))
        still.must_have_segments()
        _entities(auditor)
        if auditor.given is not None:
            auditor.given.must_be_all()
    except _Differs as differs:
        difference = differs.difference
    except ArchiveDamaged as damaged:
        difference = Difference(damaged.text.partition(": restore")[0], _RESTORE)
    return Audited(auditor.entries, auditor.entities, auditor.versions, tuple(heads), difference)


def _versions(auditor: _Auditor) -> None:
    for number, said, table, *_ in auditor.still.rows("versions"):
        auditor.versions += 1
        if number != auditor.versions:
            raise _Differs(Difference(f"version {auditor.versions} is missing", _RESTORE))
        try:
            found = digest(load(table))
        except Exception:  # noqa: BLE001 - whatever it is, it is no table of ours any more
            found = ""
        if found != said:
            raise _Differs(Difference(f"the table of version {number} is not the one that was pushed", _RESTORE))
        auditor.digests.add(said)
    if auditor.versions:
        auditor.given = _Given(auditor.still)


def _part(auditor: _Auditor, part: int) -> Head:
    """Walk one part of the log, and return its end."""
    head, seq = GENESIS, 0
    anchors = auditor.anchors.get(part, {})
    for _, number, row, body, hash in auditor.still.rows("log", part):
        if number != seq + 1:
            raise _Differs(_of(part, seq + 1, "is missing"))
        seq = number
        # What stands there as a text was not written by us.
        apart = isinstance(body, bytes) and is_digest(body)
        head = chained_on(head, body) if apart else chained(head, body) if isinstance(body, bytes) else b""
        if head != hash:
            raise _Differs(_of(part, seq, "is not what was written: its hash differs"))
        if seq in anchors and anchors[seq] != head.hex():
            text = "is not the one that the anchor names: the log was written anew"
            raise _Differs(_of(part, seq, text))
        if apart and row is not None:
            auditor.owned += 1  # Its bytes are looked at with its entity's.
        else:
            _entry(auditor, part, seq, row, body)
        auditor.entries += 1
    kept, last = next(iter(auditor.still.rows("end", part)), (0, None))
    if kept != seq or (last is not None and last != head):
        raise _Differs(_of(part, seq + 1, "is missing: the end of the log was cut off"))
    beyond = [each for each in sorted(anchors) if each > seq]
    if beyond:
        text = f"is missing: the log ends with {seq}, and an anchor names {beyond[0]}"
        raise _Differs(_of(part, seq + 1, text))
    return Head(part, seq, head.hex())


def _entry(auditor: _Auditor, part: int, seq: int, row: int | None, body: bytes) -> None:
    try:
        entry = _entry_from_json(body)
    except msgspec.DecodeError as error:
        raise _Differs(_of(part, seq, f"can't be read: {error}", _DEFECT)) from error
    if entry.digest not in auditor.digests:
        raise _Differs(_of(part, seq, f"was decided by a table that is not there ({entry.digest[:12]})"))
    if row is not None:
        auditor.owned += 1
    elif entry.changes:
        raise _Differs(_of(part, seq, f"happened to {entry.entity}/{entry.id}, and is in nobody's history"))


def _of(part: int, seq: int, text: str, help: str = _RESTORE) -> Difference:
    where = f"entry {seq} of part {part}" if part else f"entry {seq}"
    return Difference(f"{where} {text}", help, part, seq)


class _Given:
    """What is given for good: keys, and the values of `unique`s, each held by the entity that has it."""

    def __init__(self, still: Still) -> None:
        self._still = still
        self._versions = {number: (table, at, by) for number, _, table, _, at, by, _ in still.rows("versions")}
        self._codecs = Codecs(lambda number: load(self._versions[number][0]), lambda number: self._versions[number][1:])
        last = max(self._versions)
        self._codecs.put(last, Codec(load(self._versions[last][0])))
        self._keys = self._holds = 0
        self._all = True

    def look(self, number: int, kind: str, id: str, body: bytes) -> None:
        """Look whether one has what is its own, by the table in force."""
        codec = self._codecs.of(self._codecs.current)
        try:
            now = self._codecs.load(number, kind, id, body)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            text = f"{kind}/{id} is no entity of version {number}: {error}"
            raise _Differs(Difference(text, _RESTORE, entity=f"{kind}/{id}")) from error
        entity = codec.table.entities.get(kind)
        if entity is None or not {field.name for field in entity.fields} <= now.fields.keys():
            self._all = False  # It was final before, and is as it was: what it holds is of an earlier table.
            return
        name = f"{kind}/{id}"
        key = codec.key(now)
        if key is not None:
            self._keys += 1
            if self._held("key", kind, key) != id:
                raise _Differs(Difference(f"the `key` of {name} is not given to it", _RESTORE, entity=name))
        for unique, text in codec.uniques(now).items():
            holder = self._held("hold", kind, unique, text)
            if holder == id:
                self._holds += 1
            elif holder is None or not entity.uniques[unique].ever:
                # Of those who were final when it became `ever`, the first has it.
                raise _Differs(Difference(f"what is `unique` of {name} is not held by it", _RESTORE, entity=name))

    def _held(self, what: str, *given: int | str) -> str | None:
        return next((id for (id,) in self._still.rows(what, *given)), None)

    def must_be_all(self) -> None:
        """Look whether nobody else is given anything."""
        keys, holds = next(iter(self._still.rows("given")))
        if self._all and (keys, holds) != (self._keys, self._holds):
            raise _Differs(Difference("a `key` or a `unique` is held by nobody who has its values", _RESTORE))


class _Body(msgspec.Struct):
    state: str
    version: int
    created_at: int
    fields: dict[str, Any]


_body = msgspec.json.Decoder(_Body).decode


def _entities(auditor: _Auditor) -> None:
    """Fold each entity's own entries, one entity after the other."""
    told = 0
    for row, kind, id, state, _, _, number, body in entities(auditor.still):
        name = f"{kind}/{id}"
        auditor.entities += 1
        now: Folded | None = None
        for entry, seq, part in _history(auditor, row):
            told += 1
            if (entry.entity, entry.id) != (kind, id):
                text = f"entry {seq} is of {entry.entity}/{entry.id}, and stands in the history of {name}"
                raise _Differs(Difference(text, _RESTORE, part, seq, name))
            if entry.digest not in auditor.digests:
                raise _Differs(_of(part, seq, f"was decided by a table that is not there ({entry.digest[:12]})"))
            if not entry.changes:
                continue
            now = now or Folded(entry.after, entry.version, entry.at, entry.at)
            try:
                now.take(entry)
            except Gap as gap:
                text = f"entry {seq} of {name} does not follow the one before it"
                raise _Differs(Difference(text, _RESTORE, part, seq, name)) from gap
        _same(name, now, state, body)
        if auditor.given is not None:
            auditor.given.look(number, kind, id, body)
    if told != auditor.owned:
        raise _Differs(Difference("there are entries of an entity that is not there", _RESTORE))


def _history(auditor: _Auditor, row: int) -> Iterator[tuple[Entry, int, int]]:
    for part, seq, _, body, _ in whole(auditor.still, "history", row):
        yield _entry_from_json(body), seq, part


def _same(name: str, now: Folded | None, state: str, body: bytes) -> None:
    if now is None:
        raise _Differs(Difference(f"{name} is there, and no entry has created it", _RESTORE, entity=name))
    try:
        kept = _body(body)
    except msgspec.DecodeError as error:
        raise _Differs(Difference(f"{name} can't be read: {error}", _RESTORE, entity=name)) from error
    for what, stored, told in (
        ("in state", kept.state, now.state),
        ("listed in state", state, now.state),
        ("at version", kept.version, now.version),
        ("created at", kept.created_at, now.created_at),
    ):
        if stored != told:
            text = f"{name} is kept {what} `{stored}`, and its entries say `{told}`"
            raise _Differs(Difference(text, _RESTORE, entity=name))
    for field in sorted(kept.fields.keys() | now.fields.keys()):
        if field not in kept.fields or field not in now.fields or kept.fields[field] != now.fields[field]:
            stored, told = (_shown(each.get(field)) for each in (kept.fields, now.fields))
            text = f"{name}.{field} is kept as `{stored}`, and its entries say `{told}`"
            raise _Differs(Difference(text, _RESTORE, entity=name))


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
