"""Holds a journal against the log of those who were answered from it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from temper.kernel import Cause, Entry
from tests.kill.client import Declined, Line, Taken


def assert_kept(
    lines: Sequence[Line], entries: Sequence[Entry], *, lane: Callable[[str, str], Hashable] = lambda entity, id: ""
) -> None:
    """What was answered is in the journal once and in order, what was refused is not, and of the rest 0 or 1.

    Clients have principals of their own. `seq` is dense in each lane; `lane` says in which an entity's entries are.
    """
    by_place: dict[tuple[Hashable, int], Entry] = {}
    for entry in entries:
        place = lane(entry.entity, entry.id), entry.seq
        assert place not in by_place, f"two entries have one number: {place}"
        by_place[place] = entry
    assert_dense(by_place)

    mine: dict[tuple[Hashable, int], Line] = {}
    for line in lines:
        if not isinstance(line.told, Taken) or line.told.seq == 0:
            continue
        place = lane(line.entity, line.id), line.told.seq
        found = by_place.get(place)
        assert found is not None, f"it was answered, and is not there: {line}"
        assert same(line, found), f"it was answered, and another thing is there: {line}, {found}"
        assert found.version == line.told.seen.version, (line, found)
        assert place not in mine, f"one entry answers two requests: {line}, {mine[place]}"
        mine[place] = line
    assert_in_order(lines, lane)

    # Whatever else people have done, they were never told of: at most once each, and never what was refused.
    untold: dict[tuple[str, str, str, str | None], list[Line]] = defaultdict(list)
    for line in lines:
        if line.told is None and line.sent:
            untold[line.client, line.entity, line.id, line.action].append(line)
    names = {line.client for line in lines}
    for place, entry in by_place.items():
        if entry.cause is not Cause.REQUEST or entry.refused is not None or place in mine:
            continue
        if entry.by.principal not in names:
            continue
        open_lines = untold[entry.by.principal, entry.entity, entry.id, entry.action]
        known = next((line for line in open_lines if same(line, entry)), None)
        assert known is not None, f"nobody asked for it, or it was done twice, or it was refused: {entry}"
        open_lines.remove(known)

    # Refusals are kept, too.
    refused = Counter(
        (line.client, line.entity, line.id, line.action)
        for line in lines
        if isinstance(line.told, Declined) and line.told.type == "refused"
    )
    kept = Counter((e.by.principal, e.entity, e.id, e.action) for e in entries if e.refused is not None)
    assert not refused - kept, f"it was refused, and nobody can read so: {refused - kept}"


def same(line: Line, entry: Entry) -> bool:
    """Say whether an entry is what the line asks for."""
    return (line.client, line.entity, line.id, line.action) == (
        entry.by.principal, entry.entity, entry.id, entry.action,
    ) and line.params.items() <= entry.params.items()  # fmt: skip


def assert_dense(places: Iterable[tuple[Hashable, int]]) -> None:
    """The numbers of each lane have no gap."""
    lanes: dict[Hashable, list[int]] = defaultdict(list)
    for lane, seq in places:
        lanes[lane].append(seq)
    for seqs in lanes.values():
        assert sorted(seqs) == list(range(1, len(seqs) + 1))


def assert_in_order(lines: Sequence[Line], lane: Callable[[str, str], Hashable]) -> None:
    """Who was answered before somebody asked stands before them in the journal."""
    lanes: dict[Hashable, list[tuple[int, int, int]]] = defaultdict(list)
    for line in lines:
        if isinstance(line.told, Taken) and line.told.seq and line.ended is not None:
            lanes[lane(line.entity, line.id)].append((line.ended, line.began, line.told.seq))
    for told in lanes.values():
        told.sort()
        ends = [ended for ended, _, _ in told]
        highest, most = [0], 0
        for _, _, seq in told:
            most = max(most, seq)
            highest.append(most)
        for _, began, seq in told:
            assert highest[bisect_left(ends, began)] < seq, f"{seq} was asked for after a later one was answered"
