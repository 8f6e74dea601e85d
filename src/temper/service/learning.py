"""What a blueprint learns from: how much its properties notice, what happened, and what broke."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from temper.kernel import Cause, Ended, Entry, Moved, Operated, Ordered, Published, RefusedEntry, Who
from temper.service.bundle import check_texts
from temper.service.findings import finding
from temper.service.measured import Measurements
from temper.service.texts import format_text
from temper.table import BadValue, Table, decode, digest
from temper.verify import (
    Bounds,
    Limits,
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
    shown_by,
    strength_json,
)

__all__ = [
    "BadJournal",
    "Kept",
    "Measured",
    "NotKept",
    "conform_table",
    "each_entry",
    "keep_history",
    "keep_report",
    "keep_seed",
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
    kept: Measurements | None = None,
    fresh: bool = False,
    colour: bool = False,
    width: int = 100,
    progress: Callable[[str], None] | None = None,
) -> Measured:
    """Measure how much the properties and scenarios of a table notice; what has held in a journal is suggested too.

    Where it is `kept` it is looked up, unless it is to be measured afresh or something has happened.
    """
    sources = table.notes.sources
    known = kept.find(sources, mutants=mutants) if kept is not None and not fresh and not happened else None
    if known is not None:
        strength = replace(known, seconds=0.0)
    else:
        strength = measure(table, Bounds(mutants=mutants, seconds=seconds), progress, happened=happened)
        if kept is not None and not happened:
            kept.keep(sources, strength, mutants=mutants)
    text = render_strength(strength, sources=sources, colour=colour, width=width)
    return Measured(digest(table), strength_json(strength), text)


# --- journals ---------------------------------------------------------------------------------------------------------


class BadJournal(Exception):
    """These are no entries of a journal; the text says which and why."""


def each_entry(items: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    """Yield entries from JSON objects: those of a history, as `temper history --json` and the server give them, or
    those of a journal itself.

    Raises `BadJournal`.
    """
    for number, item in enumerate(items, 1):
        try:
            entry = _entry(item)
        except (msgspec.ValidationError, BadValue, KeyError, TypeError, ValueError, AttributeError) as bad:
            raise BadJournal(f"entry {number} can't be read: {bad}") from bad
        yield entry


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
        was={name: old for name, (old, _) in changed.items() if old is not None} | item.get("dropped", {}),
        orders=tuple(
            Ordered(each["order"], each["kind"], each["to"], each.get("args", {})) for each in item.get("orders", ())
        ),
        emitted=tuple(Published(each["event"], each.get("params", {})) for each in item.get("emitted", ())),
        moves=tuple(msgspec.convert(each, Moved) for each in item.get("moves", ())),
        ended=ended, timer=item.get("timer"), late=item.get("late"),
        refused=None if refused is None else RefusedEntry(refused["why"], refused["text"], refused.get("site")),
        operated=msgspec.convert(item.get("operated"), Operated | None),
    )  # fmt: skip


def _ended(item: Mapping[str, Any] | None) -> Ended | None:
    if item is None:
        return None
    error = item.get("error") or {}
    return Ended(
        item["order"], item["tool"], item["ending"], item.get("number", 0), item.get("results", {}),
        error.get("kind", ""), error.get("text", ""),
    )  # fmt: skip


def conform_table(table: Table, entries: Iterable[Entry], *, whole: bool, anyway: bool = False) -> dict[str, Any]:
    """Return whether a journal could have happened by a table, as JSON-able data; `gap` is the first that could not.

    Entries are read as far as there is no gap; `entries` says how many.
    """
    read = 0

    def counted() -> Iterator[Entry]:
        nonlocal read
        for entry in entries:
            read += 1
            yield entry

    found = conform(table, counted(), whole=whole, anyway=anyway)
    gap = found.gap
    return {
        "conforms": gap is None,
        "entries": read,
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
            "before": list(gap.before),
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


def keep_history(
    files: Mapping[str, str], table: Table, entries: Sequence[Entry], title: str, *, begin: int = 0
) -> Kept:
    """Return what happened, from entry `begin` on, as a scenario file of a bundle. Raises `NotKept`.

    What does not come out so when it is played is not kept.
    """
    kept = _kept(files, table, history_text(table, entries, title, begin=begin), title)
    if not kept.passes:
        raise NotKept(f"played again, it does not come out so: {kept.says}")
    return kept


def keep_seed(
    files: Mapping[str, str],
    table: Table,
    seed: int,
    *,
    seconds: float,
    only: str | None = None,
    title: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Kept]:
    """Return each run that a seed breaks something by, simulated or drawn, as a scenario file of a bundle.

    Raises `NotKept`.
    """
    from temper.service.rehearsal import sqlite_disks  # It brings in the runtime.

    with sqlite_disks() as disk:
        results = shown_by(table, Limits(seed=seed, seconds=seconds), disk, progress or (lambda _: None))
    return _keep_results(files, table, results, f"seed {seed} breaks nothing", only=only, title=title)


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
    results = [_result(each) for each in report["properties"] if each["verdict"] == "broken" and each.get("trace")]
    nothing = "the report has no run that breaks anything"
    return _keep_results(files, table, results, nothing, only=only, title=title)


def _keep_results(
    files: Mapping[str, str],
    table: Table,
    results: Sequence[PropertyResult],
    nothing: str,
    *,
    only: str | None,
    title: str | None,
) -> list[Kept]:
    found: list[Kept] = []
    shown: set[tuple[str, str | None]] = set()
    known = dict(files)
    why = nothing + (f" called `{only}`" if only else "")
    for result in results:
        if (only is not None and result.name != only) or (result.name, result.entity) in shown:
            continue
        text = scenario_text(result, table)
        if title is not None:
            text = re.sub(r'^scenario ".*"', lambda _: f'scenario "{title}"', text, count=1)
        kept = _kept(known, table, text, title or result.name)
        if kept.passes:
            # A crash, a swap or a bug of the runtime is in no scenario's power.
            why = f"`{result.name}` is broken by more than people, tools and time: its run goes through as a scenario"
            continue
        known[kept.file] = kept.text
        shown.add((result.name, result.entity))
        found.append(kept)
    if not found:
        raise NotKept(why)
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
