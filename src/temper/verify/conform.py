"""A journal, held against the table it claims (trace validation): could it have happened?

Each entry is done again by the table on what the entities are, and has to come out as the journal says. What a journal
does not hold (which calls, timers and deferred ones an entity had where the journal begins in the middle, what a late
one asked for) is a choice: all choices that explain what has been read so far are kept as a set, and the first entry
that none of them explains is the finding. Entries by another table are taken as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from temper.kernel import Cause, Entry, RefusedEntry
from temper.table import (
    Accepted,
    Act,
    Armed,
    BadValue,
    Caller,
    CallOrder,
    Commit,
    Deferred,
    Deliver,
    Ending,
    Event,
    Fire,
    Offer,
    Outcome,
    Pending,
    Refused,
    SendOrder,
    Snapshot,
    Table,
    Value,
    Why,
    commit,
    decode,
    decode_args,
    default_values,
    digest,
    encode,
    encode_args,
    field_references,
    rouse,
    shape,
    watchers,
    watches,
)
from temper.verify.clauses import all_clauses, flat, lates
from temper.verify.expressions import walk
from temper.verify.places import place_of

# So many choices are kept for one entity; more would say that the journal holds next to nothing.
CHOICES_MAX = 64
# So much of what an entity did is told with the first entry that does not follow.
RECENT = 3
# Refusals that rest on entities which a part of a journal need not hold.
_OTHERS = frozenset(
    {Why.NOT_UNIQUE, Why.KEY, Why.CREATE_REFUSED, Why.JOINT_REFUSED, Why.MISSING, Why.BREAKS, Why.TWICE}
)
# Refusals by what is not in a table alone.
_BESIDES = frozenset({Why.FORBIDDEN, Why.PAUSED})
_ELSEWHERE = frozenset({"read", "read_in", "inverse"})
_NEW = "new"
# What shares in the commit of the entry before it.
_SHARED = frozenset({Cause.CREATE, Cause.WITH})


@dataclass(frozen=True, slots=True)
class Gap:
    """The first entry that the table does not explain: where it stands, and what the table would have done instead."""

    index: int
    entry: Entry
    why: str
    site: str | None = None
    place: tuple[str, int, int] | None = None
    before: tuple[str, ...] = ()
    """What the entity did last, in words."""


@dataclass(frozen=True, slots=True)
class Conformed:
    """What came of it. `checked` entries were explained, `taken` ones are by other tables; `choices` were the most that
    were kept at a time.
    """

    checked: int
    taken: int
    entities: int
    choices: int
    gap: Gap | None = None


def conform(table: Table, entries: Iterable[Entry], *, whole: bool = True, anyway: bool = False) -> Conformed:
    """Return whether a journal could have happened by a table, or the first entry that could not.

    `whole` says that it holds all that happened, from the first entry on: then none may be missing, and what is not in
    it has not been. An entry claims the table by its digest, or by how that begins; `anyway`, every entry is held
    against it, whichever decided it. Entries are read one after the other: what is kept of them is what the entities
    are, and what was sent and has not arrived.
    """
    return _Conforming(table, whole, anyway).run(entries)


class _Choice(Struct, frozen=True):
    """What an entity may be. `open`: it may have calls, timers and deferred ones besides those."""

    now: Snapshot
    open: bool = False


class _Known:
    """The entities of a journal, as they are by the first of their choices, and how they are found."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.entities: dict[tuple[str, str], Snapshot] = {}
        self.made: dict[tuple[str, str], tuple[str, Mapping[str, Value]]] = {}
        self._keys: dict[tuple[str, tuple[Value, ...]], str] = {}
        self._holders: dict[tuple[str, int, tuple[Value, ...]], dict[str, None]] = {}
        self._referrers: dict[tuple[str, str, str], dict[str, None]] = {}
        self._order: dict[str, dict[str, int]] = {}
        self._watched = {name: _fields_referring(table, entity) for name, entity in table.entities.items()}

    def put(self, now: Snapshot) -> None:
        """Let an entity be this from now on."""
        key = (now.entity, now.id)
        was = self.entities.get(key)
        if was is not None:
            self._forget(was)
        self.entities[key] = now
        order = self._order.setdefault(now.entity, {})
        order.setdefault(now.id, len(order))
        kind = self.table.entities[now.entity]
        if kind.key:
            self._keys[now.entity, tuple(now.fields[name] for name in kind.key)] = now.id
        for number, values in self._held(now):
            self._holders.setdefault((now.entity, number, values), {})[now.id] = None
        for name in self._watched[now.entity]:
            for id in field_references(self.table, now, name):
                self._referrers.setdefault((now.entity, name, id), {})[now.id] = None

    def _forget(self, was: Snapshot) -> None:
        for number, values in self._held(was):
            self._holders[was.entity, number, values].pop(was.id, None)
        for name in self._watched[was.entity]:
            for id in field_references(self.table, was, name):
                self._referrers[was.entity, name, id].pop(was.id, None)

    def _held(self, now: Snapshot) -> Iterator[tuple[int, tuple[Value, ...]]]:
        kind = self.table.entities[now.entity]
        for number, unique in enumerate(kind.uniques):
            if unique.ever or now.state not in kind.final:
                yield number, tuple(now.fields[name] for name in unique.fields)

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        return self._keys.get((entity, tuple(values)))

    def holders(self, entity: str, unique: int, values: Sequence[Value]) -> Iterable[str]:
        return self._holders.get((entity, unique, tuple(values)), ())

    def referring(self, entity: str, field: str, id: str) -> list[str]:
        order = self._order.get(entity, {})
        return sorted(self._referrers.get((entity, field, id), ()), key=lambda one: order[one])


def _fields_referring(table: Table, entity: shape.Entity) -> tuple[str, ...]:
    """Return the fields by which an entity may be found from the one that they refer to."""
    return tuple(each.name for each in entity.fields if _refers(table, each.type))


def _refers(table: Table, type_: tuple[Any, ...]) -> bool:
    match type_:
        case ("ref", _):
            return True
        case ("optional", inner) | ("set", inner, _) | ("list", inner, _):
            return _refers(table, inner)
        case _:
            return False


@dataclass(frozen=True, slots=True)
class _World:
    """What is known, as a commit asks for it; one entity is what one of its choices says."""

    known: _Known
    other: Snapshot | None = None

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        other = self.other
        if other is not None and (other.entity, other.id) == (entity, id):
            return other
        return self.known.entities.get((entity, id))

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        return self.known.by_key(entity, values)

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        return self.known.made.get((entity, id))

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        return any(id not in but_not for id in self.known.holders(entity, unique, values))

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        return self.known.referring(entity, field, id)[:limit]


@dataclass
class _Conforming:
    table: Table
    whole: bool
    anyway: bool
    choices: dict[tuple[str, str], tuple[_Choice, ...]] = field(default_factory=dict)
    sent: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    most: int = 1
    recent: dict[tuple[str, str], deque[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = _Known(self.table)

    def run(self, entries: Iterable[Entry]) -> Conformed:
        claimed = digest(self.table)
        checked = taken = 0
        position = last = 0
        gap: Gap | None = None
        for together in _commits(entries):
            entry = together[0]
            if self.whole and entry.seq and entry.seq != last + 1:
                gap = self._gap(position, entry, f"entry {last + 1} is missing before it")
                break
            if entry.cause is Cause.OPERATOR:
                checked += 1  # It is no table's doing, and changes nothing.
            elif self.anyway or (entry.digest and claimed.startswith(entry.digest)):
                found = self._explained(together)
                if isinstance(found, _Unlike):
                    gap = self._gap(position + found.part, together[found.part], found.why, found.site)
                    break
                checked += len(together)
            else:
                for each in together:
                    self._take_over(each)
                taken += len(together)
            position += len(together)
            last = together[-1].seq
            for each in together:
                self._tell(each)
                if each.cause is Cause.SEND:
                    self.sent.pop(each.event, None)
                if each.operated is not None and each.how == "discarded":
                    self.sent.pop(each.operated.order, None)
                for order in each.orders:
                    if order.kind == "send":
                        self.sent[order.order] = (order.to.rpartition(".")[2], order.args)
        return Conformed(checked, taken, len(self.choices), self.most, gap)

    def _tell(self, entry: Entry) -> None:
        """Keep in mind, of each entity, what it did last."""
        told = self.recent.get((entry.entity, entry.id))
        if told is None:
            told = self.recent[entry.entity, entry.id] = deque(maxlen=RECENT)
        what = entry.action or entry.cause.value
        became = "refused" if entry.refused is not None else f"{entry.before} -> {entry.after}"
        told.append(f"entry {entry.seq}, {what}: {became}")

    def _gap(self, index: int, entry: Entry, why: str, site: str | None = None) -> Gap:
        where = site or (entry.refused.site if entry.refused else None)
        where = where or (entry.moves[0].site if entry.moves else None)
        if where is None and entry.action is not None:
            where = f"{entry.entity}.{entry.action}"
        before = tuple(self.recent.get((entry.entity, entry.id), ()))
        return Gap(index, entry, why, where, place_of(self.table, where), before)

    # --- one commit ---------------------------------------------------------------------------------------------------

    def _explained(self, together: list[Entry]) -> _Unlike | None:
        """Take a commit in, by every choice that explains it; or return how the nearest one differs."""
        first = together[0]
        if first.entity not in self.table.entities:
            return _Unlike(f"the table has no kind of entity called `{first.entity}`")
        if first.cause in _SHARED:
            return self._alone(first)
        if first.cause is Cause.SWAP:
            self._take_over(first)
            return None
        key = (first.entity, first.id)
        if key not in self.choices and first.before != _NEW:
            if self.whole:
                return _Unlike(f"no entry before it has created {first.entity} `{first.id}`")
            # A part of a journal begins in the middle: what the entity is can't be known before something sets it.
            self._begin_with(first)
            return None
        now_ones: tuple[_Choice | None, ...] = self.choices.get(key) or (None,)
        explained: list[tuple[Commit | Refused, _Choice | None]] = []
        nearest: _Unlike | None = None
        for choice in now_ones:
            for before, event in self._events(first, choice, together):
                world = _World(self.known, None if before is None else before.now)
                answer = commit(self.table, None if before is None else before.now, event, world)
                unlike = self._unlike(answer, together, before)
                if unlike is None:
                    explained.append((answer, before))
                elif nearest is None or unlike.part > nearest.part:
                    nearest = unlike
        if not explained:
            if not self.whole and self._rests_on_others(first):
                self._take_over(first)
                return None
            return nearest or _Unlike(self._impossible(first))
        self._keep(key, explained)
        return None

    def _rests_on_others(self, entry: Entry) -> bool:
        """Say whether what is done with an entry asks or takes along entities that a part need not hold."""
        kind = self.table.entities[entry.entity]
        if (kind.uniques or kind.key) and (entry.before == _NEW or entry.refused is not None):
            return True
        action = kind.actions.get(entry.action or "")
        if action is None:
            return False
        bodies = [action.body, *(case.body for case in action.cases), *(p.entry + p.exit for p in kind.places)]
        if any(isinstance(clause, shape.With | shape.Create) for body in bodies for clause in flat(body)):
            return True
        asked = [guard for case in action.cases for guard in (*action.when, *case.when)]
        return any(part[0] in _ELSEWHERE for guard in asked for part in walk(guard.condition))

    def _keep(self, key: tuple[str, str], explained: list[tuple[Commit | Refused, _Choice | None]]) -> None:
        kept: list[_Choice] = []
        answer, before = explained[0]
        for answer, before in explained:
            if isinstance(answer, Refused):
                now = before
            else:
                now = _Choice(answer.parts[0].accepted.after, before is not None and before.open)
            if now is not None and now not in kept and len(kept) < CHOICES_MAX:
                kept.append(now)
        old = {} if isinstance(answer, Refused) else {
            (part.accepted.after.entity, part.accepted.after.id): self.known.entities.get(
                (part.accepted.after.entity, part.accepted.after.id)
            )
            for part in answer.parts
        }  # fmt: skip
        if before is not None:
            old[key] = before.now
        if kept:
            self._set(key, tuple(kept))
            self.most = max(self.most, len(kept))
        if isinstance(answer, Refused):
            return
        for part in answer.parts:
            after = part.accepted.after
            other = (after.entity, after.id)
            if other not in self.known.made and part.accepted.moves and part.accepted.moves[0].before == _NEW:
                self.known.made[other] = (part.accepted.moves[0].action, dict(part.accepted.moves[0].params))
            if other != key:
                was = self.choices.get(other)
                self._set(other, (_Choice(after, bool(was and was[0].open)),))
        if watches(self.table):
            for part in answer.parts:
                after = part.accepted.after
                self._rouse(old.get((after.entity, after.id)), after, part.accepted.caller, after.updated_at)

    def _set(self, key: tuple[str, str], choices: tuple[_Choice, ...]) -> None:
        self.choices[key] = choices
        self.known.put(choices[0].now)

    def _rouse(self, before: Snapshot | None, after: Snapshot, caller: Caller, at: int) -> None:
        world = _World(self.known)
        for other in sorted(set(watchers(self.table, before, after, world, len(self.choices)))):
            if other in self.choices:
                roused = (
                    replace(choice, now=rouse(self.table, choice.now, caller, at, world))
                    for choice in self.choices[other]
                )
                self._set(other, tuple(roused))

    # --- what may have happened ---------------------------------------------------------------------------------------

    def _events(
        self, entry: Entry, choice: _Choice | None, together: Sequence[Entry]
    ) -> Iterator[tuple[_Choice | None, Event]]:
        """Yield what may have come in so that this entry was written, and on what."""
        caller = Caller(entry.by.principal, frozenset(entry.by.roles), entry.by.acts_for)
        id = _event_id(together)
        match entry.cause:
            case Cause.REQUEST if entry.action is not None:
                params = self._params(entry.entity, entry.action, entry.params)
                yield choice, Act(id, entry.at, entry.action, params, caller, entry.entity, entry.id)
            case Cause.OUTCOME if entry.ended is not None and choice is not None:
                for before in self._calling(choice, entry, caller):
                    yield before, self._outcome(id, entry)
            case Cause.TIMER if entry.timer is not None and choice is not None:
                for before in self._ticking(choice, entry, caller):
                    armed = next(one for one in before.now.timers if one.timer == entry.timer)
                    yield before, Fire(id, entry.at, entry.timer, armed.stamp)
            case Cause.SEND:
                for action, sent in self._asked(entry):
                    params = self._params(entry.entity, action, sent)
                    yield (
                        choice,
                        Deliver(id, entry.at, entry.event, action, params, caller, entry.entity, entry.id),
                    )
            case Cause.OFFER if choice is not None:
                for before, held in self._deferred(choice, entry, caller):
                    yield before, Offer(id, entry.at, held.id)
            case _:
                return

    def _params(self, entity: str, action: str, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return parameters as they were asked for; what can't be read is left as it stands, and will not fit."""
        known = self.table.entities[entity].actions.get(action)
        if known is None:
            return dict(given)
        try:
            return decode_args(known.params, given, records=self.table.records)
        except BadValue:
            return dict(given)

    def _outcome(self, id: str, entry: Entry) -> Outcome:
        ended = entry.ended
        assert ended is not None, "an outcome says how it ended"
        tool = self.table.tools.get(ended.tool)
        results: Mapping[str, Value] = ended.results
        if tool is not None:
            try:
                results = decode_args(tool.results, ended.results, records=self.table.records)
            except BadValue:
                results = ended.results
        ending = Ending(ended.ending)
        return Outcome(
            id, entry.at, ended.order, ending, results if ending is Ending.ANSWERED else {},
            ended.error_kind, ended.error_text,
        )  # fmt: skip

    def _calling(self, choice: _Choice, entry: Entry, caller: Caller) -> Iterator[_Choice]:
        """Yield the choice where it has the call that ended; of one that may have more, with each that it may have."""
        ended = entry.ended
        assert ended is not None, "an outcome says which call ended"
        if any(call.order == ended.order for call in choice.now.calls) or not choice.open:
            yield choice
            return
        for _, clause in all_clauses(self.table.entities[entry.entity]):
            if isinstance(clause, shape.Call) and clause.tool == ended.tool:
                for visit in (choice.now.visit, -1):
                    call = Pending(
                        ended.order, clause.site, clause.tool, {}, visit, clause.then, clause.otherwise, clause.unknown,
                        clause.unknown_is_failure, caller, ended.number > 0,
                    )  # fmt: skip
                    yield replace(choice, now=replace(choice.now, calls=(*choice.now.calls, call)))

    def _ticking(self, choice: _Choice, entry: Entry, caller: Caller) -> Iterator[_Choice]:
        assert entry.timer is not None, "a timer's entry names it"
        timers = choice.now.timers
        if any(one.timer == entry.timer for one in timers):
            yield choice
        elif choice.open or self._reads_others(entry):
            armed = Armed(entry.timer, entry.at, choice.now.version, caller)
            yield replace(choice, now=replace(choice.now, timers=(*timers, armed)))

    def _reads_others(self, entry: Entry) -> bool:
        """Say whether it is a `whenever`, which a host may arm later than what makes it due."""
        places = self.table.entities[entry.entity].places
        return any(one.site == entry.timer for place in places for one in place.whenevers)

    def _asked(self, entry: Entry) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what may have been sent: as the sender's entry says, else all that lead to what was done."""
        known = self.sent.get(entry.event)
        if known is not None:
            yield known
            return
        if entry.action is None:
            return
        yield entry.action, entry.params
        for late in lates(self.table.entities[entry.entity]):
            if late.handler is not None and late.handler.action == entry.action:
                for name in late.actions:
                    yield name, entry.params

    def _deferred(self, choice: _Choice, entry: Entry, caller: Caller) -> Iterator[tuple[_Choice, Deferred]]:
        for held in choice.now.deferred:
            yield choice, held
        if choice.open and entry.action is not None:
            held = Deferred("?", entry.action, self._params(entry.entity, entry.action, entry.params), caller, "")
            yield replace(choice, now=replace(choice.now, deferred=(*choice.now.deferred, held))), held

    def _impossible(self, entry: Entry) -> str:
        match entry.cause:
            case Cause.OUTCOME:
                return "no call of this entity waits for that outcome"
            case Cause.TIMER:
                return "this timer is not armed"
            case Cause.OFFER:
                return "nothing is deferred"
            case _:
                return "nothing can have led to it"

    # --- does it come out so? -----------------------------------------------------------------------------------------

    def _forbidden(self, answer: Commit | Refused, no: RefusedEntry) -> _Unlike | None:
        """What policies look at is not all in a journal: it is asked whether there are such, and `by` comes first."""
        unknown = sorted({*no.policies} - {each.id for each in self.table.policies})
        if no.why == Why.FORBIDDEN.value and unknown:
            return _Unlike(f"it was refused by the policy `{unknown[0]}`, which is none of the table's")
        if isinstance(answer, Refused) and answer.why in {Why.DENIED, Why.BAD_PARAMS, Why.UNKNOWN_ACTION}:
            return _Unlike(
                f"it was refused for another reason ({no.why}): the table says {answer.text}", site=answer.site
            )
        return None

    def _unlike(self, answer: Commit | Refused, together: list[Entry], before: _Choice | None) -> _Unlike | None:
        """Return how an answer differs from what a commit's entries say, or nothing."""
        first = together[0]
        if first.refused is not None and Why(first.refused.why) in _BESIDES:
            return self._forbidden(answer, first.refused)
        if isinstance(answer, Refused):
            if first.refused is None:
                return _Unlike(f"the table refuses this: {answer.text}", site=answer.site)
            if answer.why.value == first.refused.why:
                return None if len(together) == 1 else _Unlike("nothing is created by what is refused", part=1)
            if not self.whole and Why(first.refused.why) in _OTHERS:
                return None
            return _Unlike(
                f"it was refused for another reason ({first.refused.why}): the table says {answer.text}",
                site=answer.site,
            )
        if first.refused is not None:
            if not self.whole and Why(first.refused.why) in _OTHERS:
                return None
            after = answer.parts[0].accepted.after.state if answer.parts else ""
            return _Unlike(f"it was refused, and the table takes it: to `{after}`", site=first.refused.site)
        parts = answer.parts
        if not self.whole:
            # What it took along may belong to entities that this part of a journal leaves out.
            here = {(entry.entity, entry.id) for entry in together}
            parts = tuple(part for part in parts if (part.accepted.after.entity, part.accepted.after.id) in here)
        if len(parts) != len(together):
            return _Unlike(
                f"the table makes {len(parts)} entries of it, and here are {len(together)}",
                part=min(len(parts), len(together) - 1),
            )
        for number, (part, entry) in enumerate(zip(parts, together, strict=True)):
            snapshot = self._before(part.accepted.after, before if number == 0 else None)
            why = self._differs(part.accepted, entry, snapshot)
            if why is not None:
                return _Unlike(why, number, part.accepted.moves[0].case if part.accepted.moves else None)
        return None

    def _before(self, after: Snapshot, choice: _Choice | None) -> Snapshot | None:
        if choice is not None:
            return choice.now
        known = self.choices.get((after.entity, after.id))
        return known[0].now if known else None

    def _differs(self, accepted: Accepted, entry: Entry, before: Snapshot | None) -> str | None:
        after = accepted.after
        if (after.entity, after.id) != (entry.entity, entry.id):
            return f"the table does this to {after.entity} `{after.id}`"
        if accepted.how.value != entry.how:
            return f"it is {entry.how} here, and the table says {accepted.how.value}"
        if (before.state if before else _NEW) != entry.before:
            return f"it was in `{before.state if before else _NEW}`, not in `{entry.before}`"
        if after.state != entry.after:
            return f"the table leads to `{after.state}`, not to `{entry.after}`"
        if after.version != entry.version:
            return f"it would be version {after.version}, not {entry.version}: entries are missing, or stand twice"
        action = accepted.moves[0].action if accepted.moves else entry.action
        if action != entry.action:
            return f"the table takes `{action}`, not `{entry.action}`"
        if accepted.actor != entry.actor:
            return f"the table lets it be done as {accepted.actor}, not as {entry.actor}"
        return self._fields(accepted, entry, before) or self._went_out(accepted, entry) or self._moves(accepted, entry)

    def _fields(self, accepted: Accepted, entry: Entry, before: Snapshot | None) -> str | None:
        types = {each.name: each.type for each in self.table.entities[entry.entity].fields}
        new = {n: encode(types[n], value, self.table.records) for n, value in accepted.after.fields.items()}
        old = {} if before is None else {n: encode(types[n], v, self.table.records) for n, v in before.fields.items()}
        expected = {name: value for name, value in new.items() if name not in old or old[name] != value}
        for name in [*expected, *(name for name in entry.set if name not in expected)]:
            if name not in entry.set:
                return f"the table sets `{name}` to {expected[name]!r}, and the entry leaves it"
            if name not in expected:
                return f"the table leaves `{name}` as it was, and the entry sets it to {entry.set[name]!r}"
            if entry.set[name] != expected[name]:
                return f"the table sets `{name}` to {expected[name]!r}, not to {entry.set[name]!r}"
        for name, was in entry.was.items():
            if name in old and was is not None and old[name] != was:
                return f"`{name}` was {old[name]!r}, not {was!r}"
        return None

    def _went_out(self, accepted: Accepted, entry: Entry) -> str | None:
        ours = [self._order(order) for order in accepted.orders]
        theirs = [(each.order, each.kind, each.to, dict(each.args)) for each in entry.orders]
        if ours != theirs:
            said = ", ".join(f"{kind} {to}" for _, kind, to, _ in ours) or "nothing"
            has = ", ".join(f"{kind} {to}" for _, kind, to, _ in theirs) or "nothing"
            return f"the table orders {said}, and the entry {has}" + (" with other arguments" if said == has else "")
        events = [
            (each.event, encode_args(self.table.events[each.event].params, each.params, self.table.records))
            for each in accepted.emitted
        ]
        if events != [(each.event, dict(each.params)) for each in entry.emitted]:
            return f"the table emits {', '.join(name for name, _ in events) or 'nothing'}, and the entry something else"
        return None

    def _order(self, order: CallOrder | SendOrder) -> tuple[str, str, str, dict[str, Any]]:
        if isinstance(order, CallOrder):
            call = order.pending
            args = encode_args(self.table.tools[call.tool].params, call.args, self.table.records)
            return call.order, "call", call.tool, args
        params = self.table.entities[order.entity].actions[order.action].params
        args = encode_args(params, order.params, self.table.records)
        return order.order, "send", order.to, args

    def _moves(self, accepted: Accepted, entry: Entry) -> str | None:
        if not entry.moves:
            return None
        ours = [(move.action, move.before, move.after, move.case) for move in accepted.moves]
        theirs = [(move.action, move.before, move.after, move.site) for move in entry.moves]
        if ours != theirs:
            return "the table takes other cases: " + ", ".join(f"{a} from {b} to {c}" for a, b, c, _ in ours)
        return None

    # --- what is taken as it stands -----------------------------------------------------------------------------------

    def _alone(self, entry: Entry) -> _Unlike | None:
        """Take in what a commit did to this one, whose own entry is not here."""
        if self.whole:
            return _Unlike("no entry before it has taken it along")
        self._take_over(entry)
        return None

    def _begin_with(self, entry: Entry) -> None:
        if entry.refused is None:
            self._take_over(entry)

    def _take_over(self, entry: Entry) -> None:
        """Let an entity be what an entry says; what it waits for is open from then on."""
        kind = self.table.entities.get(entry.entity)
        if kind is None or entry.refused is not None or entry.after not in kind.states:
            return
        key = (entry.entity, entry.id)
        known = self.choices.get(key)
        before = known[0].now if known else None
        types = {each.name: each.type for each in kind.fields}
        fields: dict[str, Value] = {**default_values(self.table, kind.name), **(before.fields if before else {})}
        for name, json in entry.set.items():
            if name in types:
                try:
                    fields[name] = decode(types[name], json, records=self.table.records)
                except BadValue:
                    return
        if fields.keys() < types.keys():
            return  # Where it begins in the middle, what it holds is not known until it is made anew.
        ordered = {name: fields[name] for name in types}
        born = before.created_at if before is not None else entry.at
        visit = before.visit + 1 if before is not None else 1
        now = Snapshot(kind.name, entry.id, entry.after, ordered, entry.version, visit, born, entry.at)
        calls, timers, deferred = (before.calls, before.timers, before.deferred) if before else ((), (), ())
        self._set(key, (_Choice(replace(now, calls=calls, timers=timers, deferred=deferred), open=True),))


@dataclass(frozen=True, slots=True)
class _Unlike:
    """How a commit of the journal differs from the table's; `part` counts its entries."""

    why: str
    part: int = 0
    site: str | None = None


def _commits(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries of each commit: those that others share in stand behind its own."""
    together: list[Entry] = []
    for entry in entries:
        if together and not (entry.cause in _SHARED and entry.at == together[0].at):
            yield together
            together = []
        together.append(entry)
    if together:
        yield together


def _event_id(together: Sequence[Entry]) -> str:
    """Return the id of the event: what it ordered and created is named after it, where the entry does not say."""
    entry = together[0]
    if entry.orders:
        return entry.orders[0].order.rpartition(".")[0]
    if entry.cause not in {Cause.OUTCOME, Cause.SEND} and entry.event:
        return entry.event
    named = next((each.event.rpartition(".")[0] for each in together[1:] if "." in each.event), "")
    return named or f"event-{entry.seq}"
