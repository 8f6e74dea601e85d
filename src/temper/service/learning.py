"""What a blueprint learns from: how much its properties notice, what happened, and what broke."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.kernel import Cause, Ended, Entry, Moved, Ordered, Published, RefusedEntry, Who
from temper.service.bundle import check_texts
from temper.service.findings import finding
from temper.service.texts import format_text
from temper.table import BadValue, Table, decode, digest
from temper.verify import (
    Bounds,
    NotKept,
    PropertyResult,
    TraceStep,
    Verdict,
    conform,
    history_text,
    measure,
    render_strength,
    run_scenarios,
    scenario_text,
    strength_json,
)

__all__ = [
    "BadJournal",
    "Kept",
    "Measured",
    "NotKept",
    "conform_table",
    "entries_of",
    "keep_history",
    "keep_report",
    "measure_table",
]

TIME = ("time",)


@dataclass(frozen=True, slots=True)
class Measured:
    """How much of a table, by its digest, is noticed: as JSON-able data, and drawn."""

    digest: str
    data: dict[str, Any]
    text: str


def measure_table(
    table: Table,
    *,
    mutants: int,
    seconds: float,
    happened: Sequence[Entry] = (),
    colour: bool = False,
    width: int = 100,
    progress: Callable[[str], None] | None = None,
) -> Measured:
    """Measure how much the properties and scenarios of a table notice; what has held in a journal is suggested too."""
    strength = measure(table, Bounds(mutants=mutants, seconds=seconds), progress, happened=happened)
    text = render_strength(strength, sources=table.notes.sources, colour=colour, width=width)
    return Measured(digest(table), strength_json(strength), text)


# --- journals ---------------------------------------------------------------------------------------------------------


class BadJournal(Exception):
    """These are no entries of a journal; the text says which and why."""


def entries_of(items: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return entries from JSON objects: those of a history, as `temper history --json` and the server give them, or
    those of a journal itself.

    Raises `BadJournal`.
    """
    found = []
    for number, item in enumerate(items, 1):
        try:
            found.append(_entry(item))
        except (msgspec.ValidationError, BadValue, KeyError, TypeError, ValueError, AttributeError) as bad:
            raise BadJournal(f"entry {number} can't be read: {bad}") from bad
    return sorted(found, key=lambda entry: entry.seq)


def _entry(item: Mapping[str, Any]) -> Entry:
    if "digest" in item:
        return msgspec.convert(item, Entry)
    at = decode(TIME, item["at"])
    assert isinstance(at, int), "a time counts milliseconds"
    changed: Mapping[str, Sequence[Any]] = item.get("changed", {})
    cause = Cause(item["cause"])
    ended = _ended(item.get("ended"))
    refused = item.get("refused")
    event = ended.order if ended is not None else str(item.get("event", ""))
    return Entry(
        seq=item["seq"], at=at, entity=item["entity"], id=item["id"], version=item["version"], digest=item["table"],
        cause=cause, event=event, how=item["how"], action=item.get("action"), params=item.get("params", {}),
        actor=item.get("actor", ""),
        by=Who(item.get("principal", ""), tuple(item.get("roles", ())), item.get("acts_for")),
        before=item["before"], after=item["after"],
        set={name: new for name, (_, new) in changed.items()},
        was={name: old for name, (old, _) in changed.items() if old is not None},
        orders=tuple(
            Ordered(each["order"], each["kind"], each["to"], each.get("args", {})) for each in item.get("orders", ())
        ),
        emitted=tuple(Published(each["event"], each.get("params", {})) for each in item.get("emitted", ())),
        moves=tuple(msgspec.convert(each, Moved) for each in item.get("moves", ())),
        ended=ended, timer=item.get("timer"), late=item.get("late"),
        refused=None if refused is None else RefusedEntry(refused["why"], refused["text"], refused.get("site")),
    )  # fmt: skip


def _ended(item: Mapping[str, Any] | None) -> Ended | None:
    if item is None:
        return None
    error = item.get("error") or {}
    return Ended(
        item["order"], item["tool"], item["ending"], item.get("number", 0), item.get("results", {}),
        error.get("kind", ""), error.get("text", ""),
    )  # fmt: skip


def conform_table(table: Table, entries: Sequence[Entry], *, whole: bool, anyway: bool = False) -> dict[str, Any]:
    """Return whether a journal could have happened by a table, as JSON-able data; `gap` is the first that could not."""
    found = conform(table, entries, whole=whole, anyway=anyway)
    gap = found.gap
    return {
        "conforms": gap is None,
        "entries": len(entries),
        "checked": found.checked,
        "other_tables": found.taken,
        "entities": found.entities,
        "choices": found.choices,
        "whole": whole,
        "gap": None
        if gap is None
        else {
            "index": gap.index,
            "seq": gap.entry.seq,
            "entity": gap.entry.entity,
            "id": gap.entry.id,
            "action": gap.entry.action,
            "cause": gap.entry.cause.value,
            "why": gap.why,
            "site": gap.site,
            "place": None
            if gap.place is None
            else {"file": gap.place[0], "line": gap.place[1], "column": gap.place[2]},
        },
    }


# --- scenarios --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """A scenario file: its name in the bundle, its text, and whether it comes out as written now; `says` what not."""

    file: str
    title: str
    text: str
    passes: bool
    says: str = ""


def keep_history(files: Mapping[str, str], table: Table, entries: Sequence[Entry], title: str) -> Kept:
    """Return what happened as a scenario file of a bundle. Raises `NotKept`; what does not come out so is not kept."""
    kept = _kept(files, table, history_text(table, entries, title), title)
    if not kept.passes:
        raise NotKept(f"played again, it does not come out so: {kept.says}")
    return kept


def keep_report(
    files: Mapping[str, str],
    table: Table,
    report: Mapping[str, Any],
    *,
    only: str | None = None,
    title: str | None = None,
) -> list[Kept]:
    """Return each run that breaks something in a report as a scenario file of a bundle.

    It fails while the run goes through: that is what it is kept for. Raises `NotKept`.
    """
    found: list[Kept] = []
    known = dict(files)
    for each in report["properties"]:
        if each["verdict"] != "broken" or not each.get("trace") or (only is not None and each["name"] != only):
            continue
        result = _result(each)
        text = scenario_text(result, table)
        called = title or result.name
        if title is not None:
            text = re.sub(r'^scenario ".*"', lambda _: f'scenario "{title}"', text, count=1)
        kept = _kept(known, table, text, called)
        known[kept.file] = kept.text
        found.append(kept)
    if not found:
        raise NotKept("the report has no run that breaks anything" + (f" called `{only}`" if only else ""))
    return found


def _kept(files: Mapping[str, str], table: Table, scenario: str, title: str) -> Kept:
    name = _file_name(files, title)
    text = format_text(name, f"blueprint {table.blueprint}\n\n{scenario}")
    if isinstance(text, tuple):
        raise NotKept(f"it can't be written as a scenario: {text[0].message}")
    checked = check_texts({**files, name: text})
    if checked.table is None:
        problem = finding(checked.errors[0], checked.sources)
        raise NotKept(f"it does not fit the blueprint: {problem.message}\n{problem.rendered}")
    mine = [each for each in run_scenarios(checked.table) if _stands_in(checked.table, each.site, name)]
    failed = next((each.problem for each in mine if each.problem is not None), None)
    return Kept(name, title, text, failed is None, "" if failed is None else failed.message)


def _stands_in(table: Table, site: str, file: str) -> bool:
    place = table.notes.places.get(site)
    return place is not None and place[0] == file


def _file_name(files: Mapping[str, str], title: str) -> str:
    words = re.findall(r"[a-z0-9]+", title.lower())[:8] or ["kept"]
    stem = "_".join(words)
    name, number = f"scenarios/{stem}.blueprint", 2
    while name in files:
        name, number = f"scenarios/{stem}_{number}.blueprint", number + 1
    return name


def _result(each: Mapping[str, Any]) -> PropertyResult:
    steps = tuple(
        TraceStep(
            step["text"], step["entity"], step["id"], step["who"], step["action"], step["params"], step["before"],
            step["after"], {}, step["site"], None, step["event"],
        )
        for step in each["trace"]
    )  # fmt: skip
    return PropertyResult(each["name"], each["entity"], Verdict(each["verdict"]), each["by"], each["why"], trace=steps)
