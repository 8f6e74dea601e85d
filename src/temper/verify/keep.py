"""What happened, as a scenario: a journal's entries made lines that do the same again.

What a person did and what a tool answered are lines; what follows from them (timers, sends, creations) only has to be
waited for. Each line expects what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from temper.kernel import Cause, Entry, replay
from temper.table import BadValue, Table, Why, decode, shape, show_as
from temper.verify.values import written

# Fields of these types are expected to hold what they held; others would need names that a scenario has not.
WRITTEN = frozenset({"int", "bool", "string", "one_of", "decimal"})


class NotKept(Exception):
    """These entries make no scenario; the text says why."""


def history_text(table: Table, entries: Sequence[Entry], title: str, *, begin: int = 0) -> str:
    """Return what happened to some entities as a scenario: from their beginning on, or from entry `begin` on.

    With `begin`, what the entries before it come to is `given`. Raises `NotKept`. The entries are by this table, and of
    every entity that theirs refer to.
    """
    before = [entry for entry in entries if entry.seq < begin]
    return _Keeping(table, [entry for entry in entries if entry.seq >= begin], before).text(title)


class _Keeping:
    def __init__(self, table: Table, entries: list[Entry], before: Sequence[Entry]) -> None:
        self.table = table
        self.entries = entries
        self.before = before
        self.names: dict[tuple[str, str], str] = {}
        # A given one waits for no call, whatever was ordered before it.
        self.ordered = {order.order for entry in entries for order in entry.orders}
        self.now = entries[0].at if entries else 0
        self.waits = any(entry.cause is Cause.TIMER for entry in entries)

    def text(self, title: str) -> str:
        lines = [f'scenario "{plain(title)}"']
        lines += [f"  {line}" for line in self._given()]
        for number, entry in enumerate(self.entries):
            lines += [f"  {line}" for line in self._lines(entry, self._created(number))]
        lines += [f"  {line}" for line in self._ends()]
        if len(lines) == 1:
            raise NotKept("nothing that a person or a tool did is among these entries")
        return "\n".join(lines) + "\n"

    def _given(self) -> Iterator[str]:
        """What is there before the first entry, and is spoken of."""
        spoken = {(entry.entity, entry.id) for entry in self.entries}
        folded = replay(self.before) if self.before else {}
        for (kind, id), now in folded.items():
            known = self.table.entities.get(kind)
            referred = any(id in entry.params.values() for entry in self.entries)
            if known is None or ((kind, id) not in spoken and not referred):
                continue
            types = {each.name: each.type for each in known.fields}
            values = {name: json for name, json in now.fields.items() if json is not None and name in types}
            fields = "".join(f", {name}: {self._value(types[name], json)}" for name, json in values.items())
            self.names[kind, id] = self._free_name(kind)
            yield f"given {kind} {self.names[kind, id]}(state: {now.state}{fields})"

    def _created(self, number: int) -> list[Entry]:
        """Return the entries of what the commit of an entry has created: they stand behind it."""
        found: list[Entry] = []
        for entry in self.entries[number + 1 :]:
            if entry.cause not in {Cause.CREATE, Cause.WITH} or entry.at != self.entries[number].at:
                break
            if entry.cause is Cause.CREATE and entry.before == "new":
                found.append(entry)
        return found

    def _lines(self, entry: Entry, created: Sequence[Entry]) -> Iterator[str]:
        known = self.table.entities.get(entry.entity)
        if known is None:
            raise NotKept(f"the blueprint has no `{entry.entity}`")
        if entry.before != "new" and (entry.entity, entry.id) not in self.names and entry.refused is None:
            raise NotKept(f"the entries begin after {entry.entity} `{entry.id}` was created: keep them from there on")
        match entry.cause:
            case Cause.REQUEST if entry.refused is not None and entry.refused.why == Why.PAUSED.value:
                return  # It was somebody's hand that stopped it, not the blueprint.
            case Cause.REQUEST:
                yield from self._waited(entry)
                yield self._act(known, entry, created)
            case Cause.OUTCOME if entry.ended is not None and entry.refused is None:
                if self.before and entry.ended.order not in self.ordered:
                    raise NotKept(f"{entry.ended.tool} ends a call that was made before: keep it from there on")
                yield from self._waited(entry)
                yield self._outcome(entry)
            case Cause.TIMER if entry.refused is None:
                yield from self._waited(entry, f" -> {self.names[entry.entity, entry.id]} is {entry.after}")
            case Cause.CREATE if entry.before == "new":
                # Where no person has made it, nobody in a scenario has a name for it; lines about it can't be told.
                self.names.setdefault((entry.entity, entry.id), "")
            case Cause.SWAP:
                raise NotKept("the blueprint was changed in between: keep what came before, or after")
            case _:
                return

    def _waited(self, entry: Entry, expect: str = "") -> Iterator[str]:
        """The time that passed, where a timer of these entries makes it matter."""
        ms = entry.at - self.now
        if self.waits and ms > 0:
            yield f"wait {show_as(('duration',), ms)}{expect}"
            self.now = entry.at

    def _act(self, known: shape.Entity, entry: Entry, created: Sequence[Entry]) -> str:
        assert entry.action is not None, "a request is for an action"
        roles = ", ".join(entry.by.roles) or "anyone"
        behind = f" for {_word(entry.by.acts_for)}" if entry.by.acts_for is not None else ""
        who = f"{roles}({_word(entry.by.principal)}{behind})"
        params = known.actions[entry.action].params if entry.action in known.actions else ()
        args = self._args(params, entry.params)
        call = f"{entry.action}({args})" if args else entry.action
        if entry.refused is not None:
            expect = "denied" if entry.refused.why in {Why.DENIED.value, Why.FORBIDDEN.value} else "refused"
        else:
            expect = entry.after
        if entry.before == "new" and entry.refused is not None:
            return f"{who} {entry.entity}.{call} -> {expect}"
        if entry.before == "new":
            self.names[entry.entity, entry.id] = self._free_name(entry.entity)
        for each in created:
            self.names[each.entity, each.id] = self._free_name(each.entity)
        expect = ", ".join((expect, *(self.names[each.entity, each.id] for each in created)))
        if entry.before == "new":
            name = self.names[entry.entity, entry.id]
            return f"{who} {name} = {entry.entity}.{call} -> {expect}"
        return f"{who} {self._name(entry)}.{call} -> {expect}"

    def _outcome(self, entry: Entry) -> str:
        ended = entry.ended
        assert ended is not None, "an outcome says how it ended"
        expect = f" -> {self._name(entry)} is {entry.after}"
        tool = self.table.tools.get(ended.tool)
        if tool is None:
            raise NotKept(f"the blueprint has no tool `{ended.tool}`")
        if ended.ending == "answered":
            args = self._args(tool.results, ended.results)
            return f"{ended.tool} answers{f' ({args})' if args else ''}{expect}"
        if ended.ending == "failed":
            return f'{ended.tool} fails "{plain(ended.error_text)}"{expect}'
        return f"{ended.tool} times out{expect}"

    def _ends(self) -> Iterator[str]:
        """What each entity holds at the end, of what was set last and can be written down."""
        last: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            if entry.refused is None and entry.before != "new":
                last[entry.entity, entry.id] = entry
        for key, entry in last.items():
            types = {each.name: each.type for each in self.table.entities[entry.entity].fields}
            for name, json in entry.set.items():
                if self.names.get(key) and types.get(name, ("time",))[0] in WRITTEN:
                    value = decode(types[name], json, records=self.table.records)
                    yield f"{self.names[key]}.{name} == {show_as(types[name], value, self.table.records)}"

    def _args(self, params: Iterable[shape.Param], values: Mapping[str, Any]) -> str:
        return ", ".join(
            f"{param.name}: {self._value(param.type, values[param.name])}"
            for param in params
            if values.get(param.name) is not None
        )

    def _value(self, type_: tuple[Any, ...], json: Any) -> str:
        inner = type_[1] if type_[0] == "optional" else type_
        if inner[0] == "ref":
            name = self.names.get((inner[1], json))
            if not name:
                raise NotKept(f"{inner[1]} `{json}` is referred to, and what happened to it is not among the entries")
            return name
        try:
            return written(self.table, type_, decode(type_, json, records=self.table.records))
        except BadValue as bad:
            raise NotKept(f"a value does not fit the blueprint: {bad}") from bad

    def _free_name(self, kind: str) -> str:
        letter = kind[:1].lower()
        count = sum(other == kind for other, _ in self.names)
        name = letter if count == 0 else f"{letter}{count + 1}"
        while name in self.names.values():
            name += "x"
        return name

    def _name(self, entry: Entry) -> str:
        name = self.names.get((entry.entity, entry.id))
        if not name:
            raise NotKept(f"{entry.entity} `{entry.id}` has no name in a scenario: it was created by another entity")
        return name


def plain(text: str) -> str:
    """Return a text as it may stand between quotes."""
    return " ".join(text.replace("\\", "/").replace('"', "'").split())


def _word(principal: str) -> str:
    """Return a principal as a scenario may write it, or as near as can be."""
    word = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in principal)
    return word if word[:1].isalpha() else f"p_{word}"
