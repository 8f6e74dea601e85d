"""Blueprints of one entity, drawn: sound by their shape, with any guards, assignments, timers, calls and properties."""

from __future__ import annotations

import re

from hypothesis import reject
from hypothesis import strategies as st

from temper.table import Table
from tests.verify.texts import table_of

STATES = ("S0", "S1", "S2", "S3")

NUMBERS = st.sampled_from(
    ["n", "m", "0", "1", "2", "n + 1", "m - 1", "n - m", "min(n, m)", "max(n, 1)", "5 - n", "n * 2"]
)
WHOLE = st.sampled_from(["n // 2", "m % 3", "n // 2 + 1"])
RELATIONS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


@st.composite
def comparisons(draw: st.DrawFn, params: tuple[str, ...] = ()) -> str:
    """Draw an atom over the entity's fields, and these parameters."""
    number = NUMBERS | WHOLE
    if params:
        number |= st.sampled_from(params)
    kind = draw(st.integers(0, 9))
    if kind <= 5:
        return f"{draw(number)} {draw(RELATIONS)} {draw(number)}"
    return draw(
        st.sampled_from(
            [
                "flag",
                "kind == high",
                "kind != low",
                "note == none",
                "note != none",
                "size(tags) < 2",
                "red in tags",
                "all t in tags: t != blue",
                "count(t in tags: t == red) == 1",
            ]
        )
    )


@st.composite
def conditions(draw: st.DrawFn, params: tuple[str, ...] = ()) -> str:
    """Draw a condition of up to two atoms."""
    first = draw(comparisons(params))
    match draw(st.integers(0, 5)):
        case 0:
            return f"not ({first})"
        case 1:
            return f"({first}) and {draw(comparisons(params))}"
        case 2:
            return f"({first}) or {draw(comparisons(params))}"
        case 3:
            return f"({first}) implies {draw(comparisons(params))}"
        case _:
            return first


@st.composite
def sets(draw: st.DrawFn, params: tuple[str, ...] = ()) -> list[str]:
    """Draw assignments, at most one to a field."""
    number = NUMBERS | WHOLE
    if params:
        number |= st.sampled_from(params)
    found = []
    for name in draw(st.lists(st.sampled_from(["n", "m", "flag", "kind", "note", "tags"]), max_size=2, unique=True)):
        match name:
            case "n" | "m":
                value = draw(number)
            case "flag":
                value = draw(st.sampled_from(["true", "false", "not flag", "n > 1"]))
            case "kind":
                value = draw(st.sampled_from(["low", "high", "if flag then high else low"]))
            case "note":
                value = draw(st.sampled_from(["none", '"x"', "note"]))
            case _:
                value = draw(st.sampled_from(["{}", "tags + {red}", "tags - {red}", "{red, blue}", "tags & {blue}"]))
        found.append(f"set {name} = {value}")
    return found


@st.composite
def actions(draw: st.DrawFn, name: str, params: str, by: str, froms: tuple[str, ...]) -> list[str]:
    """Draw an action's lines."""
    names = tuple(part.split(":")[0].strip() for part in params.split(",") if part)
    lines = [f"  action {name}{f'({params})' if params else ''} by {by}"]
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"    when {draw(conditions(names))}")
    for _ in range(draw(st.integers(1, 2))):
        states = draw(st.lists(st.sampled_from(froms), min_size=1, max_size=2, unique=True))
        to = draw(st.sampled_from(["", *(f" to {state}" for state in STATES)]))
        when = f" when {draw(conditions(names))}" if draw(st.booleans()) else ""
        lines.append(f"    from {', '.join(states)}{to}{when}")
    lines += [f"    {each}" for each in draw(sets(names))]
    return lines


@st.composite
def blueprints(draw: st.DrawFn, *, times: bool = False) -> str:
    """Draw the text of a blueprint; its properties hold or not, as it comes."""
    final = draw(st.booleans())
    froms = STATES[:3] if final else STATES
    lines = [
        "blueprint drawn",
        "role a, b",
        "tool t.op(n: int) -> (r: int 0..3)",
        "  timeout 1m",
        "entity E",
        f"  states {', '.join(STATES)}",
        *(["  final S3"] if final else []),
        "  n: int 0..5 = 0",
        "  m: int 0..5",
        "  flag: bool = false",
        "  kind: one of (low, high) = low",
        "  note: string?",
        "  tags: set of one of (red, blue) max 2 = {}",
        *(["  since: time?", "  span: duration = 30m", "  owner: principal?"] if times else []),
        "  action Make(m) by a, b from new to S0",
        "    set m",
        *(["    set since = now"] if times and draw(st.booleans()) else []),
    ]
    lines += draw(actions("P0", "", "a", froms))
    lines += draw(actions("P1", "k: int 0..3", "a, b", froms))
    if times:
        lines += ["  action Touch by b", f"    from {draw(st.sampled_from(froms))}"]
        compared = draw(st.sampled_from(["now >= (since ?? now) + span", "since == none", "now < (since ?? now) + 1h"]))
        lines += [f"      when {compared}"]
        lines += [f"    set since = {draw(st.sampled_from(['now', 'none', 'now + 1h']))}"]
    if times and draw(st.booleans()):
        lines += ["  action Claim by a, b", f"    from {draw(st.sampled_from(froms))}"]
        lines += [
            f"      when {draw(st.sampled_from(['owner == none', 'owner != caller', 'flag']))}",
            "    set owner = caller",
        ]
        lines += ["  action Drop by owner", f"    from {', '.join(froms)}", "    set owner = none"]
    lines += draw(actions("Y0", "v: int 0..3", "system", froms))
    lines += draw(actions("Y1", "", draw(st.sampled_from(["system", "system, a"])), froms))
    calling = draw(st.sampled_from(froms))
    unknown = draw(st.sampled_from(["", " unknown _", " unknown Y1"]))
    lines += [f"  in {calling}", f"    on entry call t.op(n) then Y0(result.r) else Y1{unknown}"]
    if draw(st.booleans()):
        lines.append("    after 30m do Y1")
        if draw(st.booleans()):
            lines.append("    after 1h do Y0(1)")
    if times and draw(st.booleans()):
        lines.append("    at since do Y1")
    if draw(st.integers(0, 3)) == 0:
        lines += [f"  in {draw(st.sampled_from(froms))}", "    every 10m do Y1"]
    match draw(st.integers(0, 3)):
        case 0:
            lines.append("  late Y0, Y1 ignore")
        case 1:
            lines += ["  in S2", "    defer Y0"]
        case 2:
            lines += ["  late Y0 do Y1"]
        case _:
            pass
    for _ in range(draw(st.integers(1, 3))):
        lines.append(f"  always {draw(conditions())}")
    lines.append(f"  always state is {draw(st.sampled_from(STATES))} implies {draw(comparisons())}")
    lines.append(
        f"  always {draw(st.sampled_from(['before.n <= n', 'n <= before.n + 1', 'action is P0 implies flag']))}"
    )
    lines.append(f"  never {draw(st.sampled_from('ab'))} enters {draw(st.sampled_from(STATES))}")
    return "\n".join(lines) + "\n"


def tables(*, times: bool = False) -> st.SearchStrategy[Table]:
    """Draw tables."""
    return blueprints(times=times).map(table_of)


# --- blueprints of entities that act together ---

_A = ("A0", "A1", "A2")
_B = ("B0", "B1", "B2")


@st.composite
def joint_blueprints(draw: st.DrawFn) -> str:
    """Draw the text of a blueprint of two kinds of entities: jobs refer to items, read them, take them along, send to
    them, make them, and wait for them; items know their jobs. Timers, calls and late ones as it comes.
    """
    items, jobs = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 2), (2, 1), (2, 2)]))
    inverse, holder, calls = draw(st.booleans()), draw(st.integers(0, 3)) == 0, draw(st.integers(0, 2)) == 0
    lines = [
        "blueprint drawn",
        "role a, b",
        *(["tool t.op(n: int) -> (r: int 0..1)", "  timeout 1m"] if calls else []),
        "entity Item",
        f"  states {', '.join(_A)}",
        *(["  final A2"] if (final := draw(st.booleans())) else []),
        "  n: int 0..2 = 0",
        *(["  holder: principal?"] if holder else []),
        *([f"  jobs: every Job.item max {jobs}"] if inverse else []),
        *(["  unique n"] if draw(st.integers(0, 7)) == 0 else []),
        "  action Make by a from new to A0",
        "  action Found(n) by system from new to A0",
        "    set n",
    ]
    alive = _A[:2] if final else _A
    of_jobs = ["size(jobs) > 0", "any j in jobs: j.state is B1", "all j in jobs: j.m == n"] if inverse else []
    own = ["n < 2", "n == 0", "n != 1", *of_jobs]
    lines += draw(_moves("Put", "k: int 0..1", "system", alive, _A, own, ["set n = k", "set n = min(n + k, 2)"]))
    poke = draw(st.sampled_from(["system", "system, a"]))
    lines += draw(_moves("Poke", "", poke, alive, _A, own, ["set n = 2 - n", "set n += 1"]))
    if inverse or draw(st.booleans()):
        tell = ["for j in jobs: send j.Ping", "for j in jobs: with j.Ping"] if inverse else []
        to_holder = ["set holder = caller"] if holder else []
        lines += draw(_moves("Go", "", "a, b", alive, _A, own, ["set n = 0", *tell, *tell, *to_holder]))
    if holder:
        lines += ["  action Drop by holder", f"    from {', '.join(alive)}", "    set holder = none"]
    if calls:
        lines.append("  in A1 on entry call t.op(n) then Put(result.r) else Poke")
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"  in {draw(st.sampled_from(alive))} after 10m do Poke")
    match draw(st.integers(0, 4)):
        case 0:
            lines.append("  late Put, Poke ignore")
        case 1:
            lines.append(f"  in {draw(st.sampled_from(alive))} defer Poke")
        case 2:
            lines.append("  late Poke do Put(0)")
        case _:
            pass
    optional = draw(st.integers(0, 2)) == 0
    there = "item != none and " if optional else ""
    reads = [f"{there}item.n > 0", f"{there}item.state is A1", f"{there}item.state is not A0", "m < 1"]
    lines += [
        "entity Job",
        f"  states {', '.join(_B)}",
        *(["  final B2"] if (ends := draw(st.booleans())) else []),
        f"  item: Item{'?' if optional else ''}",
        "  m: int 0..2 = 0",
        f"  action Open(item) by {draw(st.sampled_from(['a', 'a, b']))} from new to B0",
        "    set item",
    ]
    going = _B[:2] if ends else _B
    asks = [] if optional else ["with item.Put(1)", "with item.Put(m % 2)", "send item.Poke", "send item.Put(m % 2)"]
    if optional:
        asks += ["if item != none: with item.Put(1)", "if item != none: send item.Poke"]
    makes = "create Item.Found(1) as made"
    acts = [*asks, *asks, "set m += 1", "set m = 0", makes]
    lines += draw(_moves("Do", "", "b", going, _B, reads, acts))
    lines += draw(_moves("Try", "k: int 0..1", "a", going, _B, [*reads, "k == m"], [*acts, "set m = k"]))
    ping = ["set m = min(m + 1, 2)", "set m = 0", *asks[:1]]
    lines += draw(_moves("Ping", "", draw(st.sampled_from(["system", "system, b"])), going, _B, reads[:2], ping))
    if draw(st.integers(0, 2)) == 0:
        lines += ["  action Fin by system", f"    from B0 to {draw(st.sampled_from(_B[1:]))}"]
        lines.append(f"  in B0 whenever {draw(st.sampled_from(reads[:3]))} do Fin")
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"  in {draw(st.sampled_from(going))} after 10m do Ping")
    if draw(st.booleans()):
        lines.append("  late Ping ignore")
    lines += [
        f"  always {draw(st.sampled_from(['m < 2', 'state is B2 implies m > 0', 'before.m <= m', 'm + 1 > 0']))}",
        f"  always state is {draw(st.sampled_from(_B))} implies {draw(st.sampled_from(reads))}",
        f"never {draw(st.sampled_from('ab'))} enters Job.{draw(st.sampled_from(_B[1:]))}",
        f"never {draw(st.sampled_from('ab'))} enters Item.{draw(st.sampled_from(_A[1:]))}",
    ]
    if draw(st.integers(0, 5)) == 0:
        lines.append(f"Item.{draw(st.sampled_from(_A[1:]))} needs 2")
    lines.append(f"always all i in Item: {draw(st.sampled_from(['i.n < 2', 'i.state is A1 implies i.n > 0']))}")
    lines.append(f"scope Item {items}, Job {jobs}")
    return _wired("\n".join(lines) + "\n")


def _wired(text: str) -> str:
    """Return a text in which what nothing leads to is for people, and nothing is late that never is."""
    for name in ("Found", "Poke", "Put", "Ping"):
        comes_late = re.search(rf"send \w+\.{name}\b|then {name}\b|else {name}\b", text)
        if not comes_late:
            text = re.sub(rf"  late {name} do .*\n|  in \w+ defer {name}\n|  late {name} ignore\n", "", text)
            text = text.replace(f"  late {name}, ", "  late ").replace(f", {name} ignore", " ignore")
        if not comes_late and not re.search(rf"(with \w+\.|create \w+\.|do ){name}\b", text):
            text = re.sub(rf"action {name}(\(.*\))? by system\b.*?( from .*)?\n", rf"action {name}\1 by a\2\n", text)
    return text


@st.composite
def _moves(
    draw: st.DrawFn,
    name: str,
    params: str,
    by: str,
    froms: tuple[str, ...],
    targets: tuple[str, ...],
    guards: list[str],
    clauses: list[str],
) -> list[str]:
    """Draw an action's lines: one case or two, each with a guard or none, and up to two clauses."""
    lines = [f"  action {name}{f'({params})' if params else ''} by {by}"]
    for _ in range(draw(st.integers(1, 2))):
        states = draw(st.lists(st.sampled_from(froms), min_size=1, max_size=2, unique=True))
        to = draw(st.sampled_from(["", *(f" to {state}" for state in targets)]))
        when = f" when {draw(st.sampled_from(guards))}" if draw(st.booleans()) else ""
        lines.append(f"    from {', '.join(states)}{to}{when}")
    written: set[str] = set()
    for each in draw(st.lists(st.sampled_from(clauses), max_size=2, unique=True)):
        target = " ".join(each.split()[:2])
        if target not in written or not target.startswith("set"):
            written.add(target)
            lines.append(f"    {each}")
    return lines


@st.composite
def joint_tables(draw: st.DrawFn) -> Table:
    """Draw tables of entities that act together; what has a mistake (two actions of one in one commit) is left out."""
    text = draw(joint_blueprints())
    try:
        return table_of(text)
    except AssertionError:
        reject()
