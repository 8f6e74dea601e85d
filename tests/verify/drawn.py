"""Blueprints of one entity, drawn: sound by their shape, with any guards, assignments, timers, calls and properties."""

from __future__ import annotations

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
