"""What entities are found by and counted in, and what was answered under a key, held against what there is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from temper.kernel import Codec, Codecs, Entry, path_of
from temper.runtime import records as r
from temper.runtime.history.difference import differs
from temper.runtime.history.ledger import Ledger
from temper.runtime.history.still import Still, first, whole
from temper.runtime.ranks import place_of
from temper.table import Snapshot, Table

_entry_from_json = msgspec.json.Decoder(Entry).decode


class Indexes:
    """What is to be there by the entities that were looked at: keys, `unique`s, references, ranks and counts."""

    def __init__(self, still: Still, codecs: Codecs) -> None:
        self._still = still
        self._codecs = codecs
        self._codec: Codec = codecs.of(codecs.current)
        self._keys = self._holds = self._refs = self._ranked = 0
        self._all = True
        self._populations: Counter[tuple[str, str]] = Counter()
        self._ranks = {number: (kind, field, upto) for number, kind, field, upto in still.rows("ranks")}
        moved = first(still, "moved")
        self._moved: int | None = None if moved is None else moved[0]
        self._refs_there = _counted(still, "refs_there")

    def look(self, row: int, number: int, kind: str, id: str, body: bytes, listed: str) -> None:
        """Look whether one has what is its own, by the table in force; `listed` is the state that its row says."""
        kept = self._codecs.kept(number, kind, id, body)
        now = kept.now
        self._populations[kind, listed] += 1
        name = f"{kind}/{id}"
        if kept.steps and (self._moved is None or row <= self._moved):
            raise differs(
                f"{name} is to be carried over to the version in force, and `moved` says it is", "meta", "moved"
            )
        if listed:
            self._in_ranks(row, now, name)
        entity = self._codec.table.entities.get(kind)
        if entity is None or not {field.name for field in entity.fields} <= now.fields.keys():
            self._all = False  # It was final before, and is as it was: what it holds is of an earlier table.
            return
        key = self._codec.key(now)
        if key is not None:
            holder = self._held("key", kind, key)
            if holder == id:
                self._keys += 1
            elif holder is None or self._codec.is_live(now):
                # Of those who were final when it became the `key`, the first has it.
                raise differs(f"the `key` of {name} is not given to it", "keys", key, name)
        for unique, text in self._codec.uniques(now).items():
            holder = self._held("hold", kind, unique, text)
            if holder == id:
                self._holds += 1
            elif holder is None or not entity.uniques[unique].ever:
                # Of those who were final when it became `ever`, the first has it.
                raise differs(f"what is `unique` of {name} is not held by it", "holds", text, name)
        wanted = self._codec.references(now) if self._codec.is_watched(kind) else frozenset()
        self._refs += len(wanted)
        if wanted or self._refs_there:
            found = {(field, target) for field, target in self._still.rows("refs_of", row)}
            if found != wanted:
                field, target = min(found ^ wanted)
                text = f"{name} is found by {field} from `{target}`, or has to be"
                raise differs(text, "refs", f"{kind}.{field} {target}", name)

    def _held(self, what: str, *given: int | str) -> str | None:
        found = first(self._still, what, *given)
        return None if found is None else found[0]

    def _in_ranks(self, row: int, now: Snapshot, name: str) -> None:
        if not self._ranks:
            return
        found: dict[int, bytes] = dict(map(tuple, self._still.rows("ranked_of", row)))
        self._ranked += len(found)
        for number, (kind, field, upto) in self._ranks.items():
            if (
                kind == now.entity
                and (upto is None or number in found)
                and found.pop(number, None) != place_of(now, field)
            ):
                raise differs(f"{name} stands elsewhere in the order by {field}", "ranked", f"{number} {row}", name)
        if found:
            raise differs(f"{name} stands in the order of another kind", "ranked", f"{min(found)} {row}", name)

    def must_be_all(self) -> None:
        """Look whether there is nothing else."""
        keys, holds = self._still_row("given")
        if self._all and (keys, holds) != (self._keys, self._holds):
            text = "a `key` or a `unique` is held by nobody who has its values"
            raise differs(text, "keys" if keys != self._keys else "holds")
        if self._all and self._refs_there != self._refs:
            raise differs("somebody who is not there is found by a reference", "refs")
        if _counted(self._still, "ranked_there") != self._ranked:
            raise differs("somebody who is not there stands in the order of a list", "ranked")
        astray = first(self._still, "astray")
        if astray is not None:
            raise differs("somebody who is not there has a place in the archive", "archived", astray[0])
        table = first(self._still, "populations_in")
        # Spaces of earlier builds count nobody before they are served again.
        counted = {} if table is None else {tuple(name): number for *name, number in self._still.rows("populations")}
        if table is not None and counted != self._populations:
            kind, state = min(
                name for name in counted.keys() | self._populations.keys()
                if counted.get(name, 0) != self._populations[name]
            )  # fmt: skip
            text = f"{counted.get((kind, state), 0)} of {kind} are counted in `{state}`, and there are"
            raise differs(f"{text} {self._populations[kind, state]}", table[0], f"{kind} {state}")

    def _still_row(self, what: str) -> tuple[int, int]:
        keys, holds = first(self._still, what) or (0, 0)
        return keys, holds


def _counted(still: Still, what: str) -> int:
    found = first(still, what)
    return 0 if found is None else int(found[0])


class _Body(msgspec.Struct):
    state: str
    version: int
    fields: dict[str, Any]


_body = msgspec.json.Decoder(_Body).decode


def must_be_answers(still: Still, ledger: Ledger) -> None:
    """Raise where what is kept under an idempotency key is not what the journal says was done."""
    for answer in still.answers():
        places = answer.entries
        found = next(iter(whole(still, "entry", *places[0])), None) if places else None
        if found is None:
            raise differs(f"the key `{answer.name}` answers with an entry that is not there", "requests", answer.name)
        entry = _entry_from_json(found[3])
        mine = f"{entry.entity}/{entry.id}"
        body = r.kept(answer.body)
        same = entry.at == answer.at and (answer.kind is None or (answer.kind, answer.id) == (entry.entity, entry.id))
        if not same or (body is not None and not _is_after(body, entry)):
            text = f"the key `{answer.name}` answers otherwise than entry {found[1]} of {mine} says"
            raise differs(text, "requests", answer.name, mine)
        if not ledger.is_new(*places[0]):
            text = f"the key `{answer.name}` answers with entry {found[1]} of {mine}, which another key has"
            raise differs(text, "requests", answer.name, mine)


def _is_after(body: bytes, entry: Entry) -> bool:
    try:
        kept = _body(body)
    except msgspec.DecodeError:
        return False
    if not entry.changes:
        # A refusal is kept with the entity as its whole batch leaves it.
        return kept.version >= entry.version
    return (kept.state, kept.version) == (entry.after, entry.version) and all(
        name in kept.fields and kept.fields[name] == value for name, value in entry.set.items()
    )


def must_be_stirs(still: Still, table: Table) -> None:
    """Raise where somebody is to look at their `whenever`s for one that is not there."""
    for owner, kind, id, path, *_ in still.rows("stirs"):
        try:
            known = owner in table.entities and all(hop.entity in table.entities for hop in path_of(path))
        except ValueError:
            known = False
        if not known or first(still, "entity", kind, id) is None:
            raise differs(f"{owner} is to look at {kind}/{id} by `{path}`, which is not there", "stirs", f"{kind}/{id}")
