"""What has to be so all the time, asked of every batch that becomes durable, of every answer, and after every crash.

It keeps a second record of the space, made of the batches alone, and compares: what the host answers with what is
stored, what is stored with what the journal says, the journal with what was asked and ordered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from temper.kernel import Answer as AnyAnswer
from temper.kernel import (
    Attempt,
    Batch,
    Cause,
    Change,
    Codec,
    Conflict,
    Done,
    Entry,
    Folded,
    Host,
    No,
    OrderState,
    Store,
    replay,
)
from temper.table import (
    FAULTS,
    Ending,
    Everything,
    Move,
    NoValue,
    Snapshot,
    Table,
    Why,
    broken,
    digest,
    evaluate,
    load,
    moving,
    next_due,
    shape,
)
from temper.verify.people import Voice, people, voice
from temper.verify.properties import states_of
from temper.verify.tested import Wrong

Name = tuple[str, str]
_FAULTY = {why.value for why in FAULTS}
MANY = 1_000_000
# Past any moment of a run.
_NEVER = 10**15


class Found(Exception):
    """Something is wrong."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(wrong.text)
        self.wrong = wrong


def runtime(what: str, text: str) -> Found:
    """Return a broken promise of the runtime, to be raised. `what` is which, the same for all that break it."""
    return Found(Wrong("runtime", what, text))


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that stands in no journal."""

    at: int
    text: str


@dataclass(slots=True)
class _Asked:
    """A request under a name: the events by which it was sent, and the answers to it."""

    events: list[str] = field(default_factory=list)
    answer: Done | No | None = None


class Watch:
    """The second record of one run."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.claimed = digest(table)
        self.codec = Codec(table)
        self.rows: dict[str, dict[str, Snapshot]] = {}
        self.folded: dict[Name, Folded] = {}
        self.untold: set[Name] = set()
        """Those of whom no entry says yet what a later table has made of them."""
        self.seq = 0
        self.events: dict[str, int] = {}
        """The first entry of each event, by its id."""
        self.ordered: dict[str, str] = {}
        """What has been ordered and has not ended: "call" or "send"."""
        self.called: dict[Name, list[str]] = {}
        """The calls that an entity has made, ended ones included."""
        self.ended: dict[str, list[str]] = {}
        self.given_up: set[str] = set()
        self.dead: set[str] = set()
        self.answered: list[tuple[str, Entry]] = []
        self.asked: dict[str, _Asked] = {}
        self.lanes: dict[tuple[str, str, str, str], list[str]] = {}
        self.states: Counter[tuple[str, str]] = Counter()
        self.cases: Counter[str] = Counter()
        self.story: list[Entry | Happened] = []
        self.commits = 0
        self.refusals = 0
        self._needs = [each for each in table.properties if isinstance(each, shape.Needs)]
        self._agreed: dict[tuple[int, str, str], frozenset[Voice]] = {}
        self._orders_before: dict[str, tuple[str, str]] = {}

    # --- what became durable ------------------------------------------------------------------------------------------

    def durable(self, batch: Batch, at: int) -> None:
        """Take in a batch that is on the disk, at the moment of its decision. Raises `Found`."""
        for change in batch.changes:
            if change.version is not None:
                self._swapped(change)
            self._change(change, at)

    def _swapped(self, change: Change) -> None:
        assert change.version is not None, "it is a swap"
        old = self.codec
        self.table = load(change.version.table)
        self.claimed = digest(self.table)
        self.codec = Codec(self.table)
        version = change.version
        step = moving(old.table, self.table, version.number - 1)
        for kind, rows in self.rows.items():
            for id, now in list(rows.items()):
                carried = self.codec.carried(old, now, from_version=version.number - 1, at=version.at)
                if not isinstance(carried, Snapshot):
                    if old.is_live(now):
                        raise runtime("swap", f"the swap strands {kind} `{id}` without saying so")
                    del rows[id]  # It stays as it was, and no table speaks of it any more.
                    continue
                if old.is_live(now) and (kind, now.state) in step.touched:
                    # It is so from now on; that it is told of is asked when it is next written.
                    carried = replace(carried, version=now.version + 1, updated_at=max(version.at, now.updated_at))
                    self.untold.add((kind, id))
                elif old.is_live(now) and self.codec.stored(carried) != old.stored(now):
                    raise runtime("swap", f"{kind} `{id}` is another in the new table, and nobody is to tell")
                rows[id] = carried

    def _change(self, change: Change, at: int) -> None:
        self.dead |= {row.order for row in change.orders if row.state is OrderState.DEAD}
        before = {kind: dict(rows) for kind, rows in self.rows.items()} if change.snapshots else self.rows
        for now in change.snapshots:
            self.rows.setdefault(now.entity, {})[now.id] = now
            self.untold.discard((now.entity, now.id))
            self.states[now.entity, now.state] += 1
        # Orders first: a send that a commit orders may be what another one of the batch delivers.
        for entry in change.entries:
            self._entry(entry, at, before)
            for order in entry.orders:
                self.ordered[order.order] = order.kind
                if order.kind == "call":
                    self.called.setdefault((entry.entity, entry.id), []).append(order.order)
                if order.kind == "send":
                    target = order.to.rpartition(".")[0].partition("/")
                    lane = (entry.entity, entry.id, target[0], target[2])
                    self.lanes.setdefault(lane, []).append(order.order)
                    self._orders_before[order.order] = (entry.entity, entry.id)
        if change.snapshots:
            self.commits += 1
            self._consistent(change, before)

    def _entry(self, entry: Entry, at: int, before: Mapping[str, Mapping[str, Snapshot]]) -> None:
        self.seq += 1
        self.story.append(entry)
        if entry.seq != self.seq:
            raise runtime("dense", f"entry {entry.seq} stands where {self.seq} should")
        if entry.at != at:
            raise runtime("moment", f"an entry is dated {entry.at - at:+d} ms from when it was decided")
        if entry.digest != self.claimed:
            raise runtime("table", f"entry {entry.seq} was decided by a table that is not in force")
        if entry.refused is not None:
            self.refusals += 1
            self._refused(entry)
            return
        if entry.operated is not None:
            self._operated(entry)
            return
        name = (entry.entity, entry.id)
        version = self.folded[name].version if name in self.folded else 0
        if entry.version != version + 1:
            raise runtime("dense", f"{entry.entity} `{entry.id}` goes from version {version} to {entry.version}")
        self._fold(entry)
        if entry.cause is not Cause.SWAP:
            first = entry.cause in {Cause.REQUEST, Cause.TIMER, Cause.SEND, Cause.OFFER}
            if first and entry.event in self.events:
                raise runtime("once", f"event {entry.event} is in the journal twice")
            self.events.setdefault(entry.event, entry.seq)
        if entry.timer is not None:
            self._timer(entry, before)
        if entry.ended is not None:
            self._ended(entry)
        if entry.cause is Cause.SEND:
            self._arrived(entry)
        for move in entry.moves:
            self.cases[move.site] += 1
        self._authority(entry)

    def _fold(self, entry: Entry) -> None:
        name = (entry.entity, entry.id)
        now = self.folded.get(name)
        if now is None:
            now = self.folded[name] = Folded(entry.after, entry.version, entry.at, entry.at)
        now.state, now.version, now.updated_at = entry.after, entry.version, entry.at
        for field_name in entry.was.keys() - entry.set.keys():
            now.fields.pop(field_name, None)
        now.fields.update(entry.set)

    def _refused(self, entry: Entry) -> None:
        assert entry.refused is not None, "it is a refusal"
        no = entry.refused
        if no.why not in _FAULTY:
            return
        if any(each.site == no.site for each in self.table.properties):
            raise Found(Wrong("property", no.site or "", no.text, no.site))
        raise Found(Wrong("fault", f"{no.why} {no.site}", no.text, no.site))

    def _operated(self, entry: Entry) -> None:
        assert entry.operated is not None, "an operator has done it"
        if entry.operated.kind and entry.operated.order not in self.ordered:
            raise runtime("operators", f"an operator was concerned with {entry.event}, which nobody has ordered")

    def _timer(self, entry: Entry, before: Mapping[str, Mapping[str, Snapshot]]) -> None:
        was = before.get(entry.entity, {}).get(entry.id)
        armed = next((each for each in was.timers if each.timer == entry.timer), None) if was is not None else None
        if armed is None or armed.due is None:
            raise runtime("timers", f"a timer of {entry.entity} `{entry.id}` fired that was not armed")
        if armed.due > entry.at:
            raise runtime("timers", f"a timer of {entry.entity} `{entry.id}` fired {armed.due - entry.at} ms early")

    def _ended(self, entry: Entry) -> None:
        assert entry.ended is not None, "it ends a call"
        order = entry.ended.order
        endings = self.ended.setdefault(order, [])
        if order not in self.ordered:
            raise runtime("outcomes", f"call {order} ended, and nobody has made it")
        allowed = not endings or endings == [Ending.UNKNOWN.value]
        if not allowed or entry.ended.number != len(endings):
            told = ", ".join([*endings, entry.ended.ending])
            raise runtime("outcomes", f"call {order} has these outcomes: {told}")
        endings.append(entry.ended.ending)

    def _arrived(self, entry: Entry) -> None:
        order = entry.event
        if order not in self.ordered:
            raise runtime("sends", f"send {order} arrived, and nobody has sent it")
        if order in self.ended and self.ended[order] != ["dead"]:
            raise runtime("sends", f"send {order} arrived twice")
        dead = entry.how == "dead"
        self.ended[order] = ["dead" if dead else "arrived"]
        sender = self._orders_before[order]
        lane = self.lanes[(*sender, entry.entity, entry.id)]
        earlier = lane[: lane.index(order)]
        over = self.ended.keys() | self.given_up | self.dead
        behind = next((other for other in earlier if other not in over), None)
        if behind is not None:
            raise runtime("sends", f"send {order} arrived before {behind}, which was sent earlier to the same entity")

    # --- what has to be so of a state ---------------------------------------------------------------------------------

    def _consistent(self, change: Change, before: Mapping[str, Mapping[str, Snapshot]]) -> None:
        entries = {(entry.entity, entry.id): entry for entry in change.entries if entry.changes}
        look = Everything(self.table, self.rows)
        was = Everything(self.table, before)
        for now in change.snapshots:
            name = (now.entity, now.id)
            folded = self.folded.get(name)
            if folded is None or (folded.state, folded.version) != (now.state, now.version):
                raise runtime("fold", f"{now.entity} `{now.id}` is stored as no entry says")
            if folded.fields != self.codec.fields(now.entity, now.fields):
                raise runtime("fold", f"the fields of {now.entity} `{now.id}` are stored as no entry says")
            self._unique(now)
            self._calls(now)
            entry = entries.get(name)
            if entry is None:
                self._unchanged(before.get(now.entity, {}).get(now.id), now)
            if entry is None or entry.cause is Cause.SWAP:
                continue
            old = before.get(now.entity, {}).get(now.id)
            moves = [Move(one.action, one.site, one.before, one.after, {}, one.entered) for one in entry.moves]
            for site in broken(self.table, old, now, moves, world=look, was=was):
                raise Found(Wrong("property", site, f"then `{_named(self.table, site)}` does not hold", site))
        self._everywhere(look)

    def _calls(self, now: Snapshot) -> None:
        """What an entity has called, and has not heard of, it waits for."""
        waits = {call.order for call in now.calls}
        for order in self.called.get((now.entity, now.id), ()):
            if order not in waits and order not in self.ended:
                raise runtime("calls", f"{now.entity} `{now.id}` no longer waits for its call {order}")

    def _unchanged(self, was: Snapshot | None, now: Snapshot) -> None:
        """Where no entry says so, nothing changes but which `whenever`s are due."""
        if was is None:
            raise runtime("fold", f"{now.entity} `{now.id}` is stored, and no entry has created it")
        whenevers = {each.site for place in self.table.entities[now.entity].places for each in place.whenevers}
        kept = tuple(each for each in was.timers if each.timer not in whenevers)
        if tuple(each for each in now.timers if each.timer not in whenevers) != kept:
            raise runtime("timers", f"the timers of {now.entity} `{now.id}` are others, and no entry says so")
        if (now.calls, now.deferred) != (was.calls, was.deferred):
            raise runtime("calls", f"{now.entity} `{now.id}` waits for something else, and no entry says so")

    def _everywhere(self, look: Everything) -> None:
        """Ask the properties that speak of all entities of a kind."""
        for each in self.table.properties:
            if isinstance(each, shape.Always) and each.entity is None and not each.step:
                try:
                    holds = evaluate(self.table, None, each.condition, None, at=0, world=self.rows_of_all())
                except NoValue:
                    continue
                if not holds:
                    raise Found(Wrong("property", each.site, f"then `{each.name}` does not hold", each.site))

    def rows_of_all(self) -> dict[str, dict[str, Snapshot]]:
        """Return the entities by kind, with an empty place for a kind of which there is none."""
        return {kind: self.rows.get(kind, {}) for kind in self.table.entities}

    def _unique(self, now: Snapshot) -> None:
        mine = self.codec.uniques(now)
        mine_key = self.codec.key(now)
        for other in self.rows[now.entity].values():
            if other.id == now.id:
                continue
            theirs = self.codec.uniques(other)
            for number, text in mine.items():
                unique = self.table.entities[now.entity].uniques[number]
                if theirs.get(number) == text:
                    names = ", ".join(unique.fields)
                    text = f"`{other.id}` and `{now.id}` hold the same {names}, which is unique"
                    raise runtime("unique", text)
            if mine_key is not None and self.codec.key(other) == mine_key:
                raise runtime("unique", f"`{other.id}` and `{now.id}` have the same key")

    def _authority(self, entry: Entry) -> None:
        roles = frozenset(entry.by.roles)
        for each in self.table.properties:
            if isinstance(each, shape.Never) and each.role in roles:
                states = states_of(self.table, each, each.states).get(entry.entity, ())
                for move in entry.moves:
                    if move.entered and move.after in states:
                        text = f"then {move.after} is entered, and {each.role} has led there"
                        raise Found(Wrong("property", each.site, text, each.site))
        for index, needs in enumerate(self._needs):
            wanted = frozenset(states_of(self.table, needs, needs.states).get(entry.entity, ()))
            if wanted:
                self._counted(index, needs, wanted, entry)

    def _counted(self, index: int, needs: shape.Needs, states: frozenset[str], entry: Entry) -> None:
        """Count those who agreed, as the search does (`tally`), from the journal."""
        key = (index, entry.entity, entry.id)
        held = self._agreed.get(key, frozenset())
        for move in entry.moves:
            if move.action in needs.since:
                held = frozenset()
            if (not needs.by or move.action in needs.by) and (needs.role is None or needs.role in entry.by.roles):
                held |= {voice(needs, entry.by.principal, entry.by.acts_for)}
            if move.entered and move.after in states:
                now = self.rows[entry.entity][entry.id]
                besides: Any = now.fields[needs.besides] if needs.besides is not None else None
                if people(held, besides) < needs.count:
                    text = f"then {move.after} is entered by fewer than {needs.count}"
                    raise Found(Wrong("property", needs.site, text, needs.site))
        self._agreed[key] = held

    # --- answers ------------------------------------------------------------------------------------------------------

    def sent(self, name: str, event: str) -> None:
        """A request goes out: `name` is what it is, `event` the id under which it is sent."""
        self.asked.setdefault(name, _Asked()).events.append(event)

    def heard(self, name: str, keyed: bool, dry: bool, answer: AnyAnswer | None) -> None:
        """Take in the answer to a request. Raises `Found`."""
        asked = self.asked[name]
        if answer is None:
            raise runtime("answers", "a request was not answered")
        if isinstance(answer, Conflict) or not isinstance(answer, Done | No):
            return
        entry = answer.entry if isinstance(answer, Done) else None
        if dry:
            if any(event in self.events for event in asked.events):
                raise runtime("dry", "a dry run is in the journal")
            return
        if entry is not None and entry.seq > self.seq:
            raise runtime("durable", "what was answered is not on the disk")
        if entry is not None and entry.event not in asked.events:
            raise runtime("answers", f"request {name} is answered with what another one did")
        if isinstance(answer, Done) and entry is not None:
            self.answered.append((name, entry))
            kept = self.rows.get(answer.snapshot.entity, {}).get(answer.snapshot.id)
            if kept is None or kept.version < answer.snapshot.version:
                raise runtime("durable", "what was answered is not on the disk")
        if keyed:
            done = [event for event in asked.events if event in self.events]
            if len(done) > 1:
                raise runtime("keys", f"request {name} was done {len(done)} times under one idempotency key")
            first = asked.answer
            if first is not None and (type(first) is not type(answer) or not answer.replayed):
                raise runtime("keys", f"request {name} was answered twice under one key, and not alike")
            if isinstance(first, Done) and isinstance(answer, Done) and first.entry and entry:
                if first.entry.seq != entry.seq:
                    raise runtime("keys", f"request {name} was answered twice under one key, and not alike")
        if asked.answer is None and (entry is not None or (isinstance(answer, No) and _kept(answer))):
            asked.answer = answer

    def started(self, host: Host, attempt: Attempt) -> None:
        """An attempt is handed out: its start must be on the disk. Raises `Found`."""
        row = host.store.order(attempt.order)
        if row is None or row.state is not OrderState.STARTED or row.attempts != attempt.number:
            raise runtime("attempts", f"an attempt of {attempt.tool} starts, and the outbox does not know of it")

    # --- against the store --------------------------------------------------------------------------------------------

    def compare(self, store: Store) -> None:
        """Compare with what a process finds that begins now. Raises `Found`."""
        entries = store.entries(0, MANY)
        if len(entries) != self.seq:
            raise runtime("durable", f"{self.seq} entries were on the disk, and {len(entries)} are found")
        try:
            found = replay(entries)
        except AssertionError as gap:
            raise runtime("fold", str(gap)) from gap
        for name, folded in found.items():
            if name[1] not in self.rows.get(name[0], {}):
                continue
            now = store.snapshot(*name)
            untold = name in self.untold
            if now is None or (not untold and (now.state, now.version) != (folded.state, folded.version)):
                raise runtime("fold", f"{name[0]} `{name[1]}` is found as no entry says")
            if not untold and self.codec.is_live(now) and self.codec.fields(now.entity, now.fields) != folded.fields:
                raise runtime("fold", f"the fields of {name[0]} `{name[1]}` are found as no entry says")
            mine = self.rows[name[0]][name[1]]
            if self.codec.is_live(now) and self.codec.stored(mine) != self.codec.stored(now):
                raise runtime("durable", f"{name[0]} `{name[1]}` is found as nobody has left it")
        for asked, entry in self.answered:
            kept = entries[entry.seq - 1] if entry.seq <= len(entries) else None
            if kept is None or (kept.event, kept.id, kept.version) != (entry.event, entry.id, entry.version):
                raise runtime("durable", f"the answer to request {asked} is not in the journal")
        if self.untold and not store.moving():
            kind, id = min(self.untold)
            raise runtime("swap", f"{kind} `{id}` is kept as an earlier table wrote it, and nobody is to carry it over")
        self._all_there(store)
        self._all_due(store)

    def _all_there(self, store: Store) -> None:
        """Every order has ended, or waits, or is a dead letter."""
        for order, kind in self.ordered.items():
            if order in self.ended and self.ended[order] != ["dead"]:
                continue
            if store.order(order) is None and store.letter(order) is None and order not in self.given_up:
                raise runtime("orders", f"a {kind} was ordered, has not ended, and does not wait")

    def _all_due(self, store: Store) -> None:
        """Everybody who has a timer is found when it is due."""
        found = set(store.due(_NEVER, MANY))
        for kind, rows in self.rows.items():
            for id, now in rows.items():
                if next_due(now) is not None and self.codec.is_live(now) and (kind, id) not in found:
                    raise runtime("timers", f"{kind} `{id}` has a timer, and is not among those who will be due")

    def read(self, host: Host, change: Change) -> None:
        """What the host reads is what was stored. Raises `Found`."""
        for now in change.snapshots:
            mine = self.rows.get(now.entity, {}).get(now.id)
            seen = host.read(now.entity, now.id)
            if mine is None or seen is None or seen.version != mine.version:
                raise runtime("reads", f"{now.entity} `{now.id}` is read as it is not")


def _kept(no: No) -> bool:
    """Say whether a refusal is in the journal: one of what is not there is not."""
    return no.refused.why is not Why.MISSING


def _named(table: Table, site: str) -> str:
    return next((each.name for each in table.properties if each.site == site), site)
