"""Level 1: what the solver says for every value of the types, and what it leaves open."""

from __future__ import annotations

import pytest

from temper.table import Expr, Table
from temper.verify import Limits, Verdict, compare_guards, verify
from temper.verify.symbolic.budget import OVER
from temper.verify.symbolic.judge import judge
from tests.verify.texts import HELIX, codes_of, lines_of, result_of, table_of

ALGEBRA = ("algebra",)


def body(lines: str, head: str = "") -> str:
    """A blueprint of one entity with two numbers, and these lines in it."""
    return f"""
blueprint drawn
role r, q
{head}
entity E
  states A, B
  n: int 0..9 = 0
  m: int 0.. = 0
  note: string?
  level: one of (low, middle, high) = low
  tags: set of string max 3 = {{}}
  price: decimal 0..100 = 1
  owner: principal?
  action Make by r from new to A
{lines}
"""


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        # Guards that can't hold, by the types alone.
        ("  action P by r from A to B when n > 9\n  action Q by r from B to A", ["B401", "B403"]),
        ("  action P by r\n    when n > 5\n    from A to B when n < 5\n  action Q by r from B to A", ["B401", "B403"]),
        ("  action P by r from A to B when m < 0\n  action Q by r from B to A", ["B401", "B403"]),
        (
            "  action P by r from A to B when level == low and level == high\n  action Q by r from B to A",
            ["B401", "B403"],
        ),
        ("  action P by r from A to B when price > 100.5\n  action Q by r from B to A", ["B401", "B403"]),
        ("  action P by r from A to B when size(tags) > 3\n  action Q by r from B to A", ["B401", "B403"]),
        (
            '  action P by r from A to B when note == none and note == "x"\n  action Q by r from B to A',
            ["B401", "B403"],
        ),
        # Shadowed by what stands before.
        ("  action P by r\n    from A to B\n    from A to A when n == 3\n  action Q by r from B to A", ["B402"]),
        (
            ("  action P by r\n"
            "    from A to B when n < 5\n"
            "    from A to A when n >= 5\n"
            "    from A\n"
            "    set n = 7\n"
            "  action Q by r from B to A"),
            ["B402"],
        ),
        # An earlier case that not everybody may take shadows nothing.
        ("  action P\n    from A to B\n      by r\n    from A to A\n      by q\n  action Q by r from B to A", []),
        # Reachable by the shape, not by what holds.
        ("  action P by r from A to B when n == 4\n  action Q by r from B to A", ["B403", "B406"]),
        # No way out.
        ("  action P by r from A to B", ["B404"]),
        # All well.
        ("  action P by r from A to B when n < 9\n    set n += 1\n  action Q by r from B to A", []),
    ],
)  # fmt: skip
def test_what_is_found_by_looking(lines: str, codes: list[str]) -> None:
    """One row, one entity: the codes that it earns."""
    assert sorted(codes_of(verify(table_of(body(lines)), levels=ALGEBRA))) == sorted(codes)


@pytest.mark.parametrize(
    ("lines", "property_", "proved"),
    [
        (
            "  action P by r from A to B\n    set n = 4\n  action Q by r from B to A\n    set n = 0",
            "always state is B implies n == 4",
            True,
        ),
        # It needs more than itself: in B the number is what P has made it.
        (
            "  action P by r from A to B\n    set m = n\n  action Q by r from B to A\n    set m = 0\n    set n = 3",
            "always m <= 9",
            True,
        ),
        ("  action P by r from A to B\n    set m += 1\n  action Q by r from B to A", "always m >= 0", True),
        ("  action P by r from A to B\n    set m += 1\n  action Q by r from B to A", "always m < 1_000_000", False),
        ("  action P by r from A to B\n    set m += 2\n  action Q by r from B to A", "always before.m <= m", True),
        (
            "  action P by r from A to B\n    set level = middle\n  action Q by r from B to A",
            "always level != high",
            True,
        ),
        (
            '  action P by r from A to B\n    set note = "x"\n  action Q by r from B to A\n    set note = none',
            "always state is B implies note != none",
            True,
        ),
        (
            '  action P by r from A to B when size(tags) < 2\n    set tags += {"a"}\n  action Q by r from B to A',
            "always size(tags) <= 2",
            True,
        ),
        (
            "  action P by r from A to B\n    set price = price // 2\n  action Q by r from B to A",
            "always price <= 1",
            True,
        ),
        ("  action P by r from A to B\n    set n = n % 3\n  action Q by r from B to A", "always n < 3", True),
        (
            "  action P by r from A to B\n    set owner = caller\n  action Q by owner from B to A",
            "always state is B implies owner != none",
            True,
        ),
    ],
)  # fmt: skip
def test_an_invariant_is_proved_or_left_open(lines: str, property_: str, proved: bool) -> None:
    """For every value of the types; what is not inductive is left to the search."""
    result = result_of(verify(table_of(body(f"{lines}\n  {property_}")), levels=ALGEBRA), property_)
    assert (result.verdict is Verdict.PROVED) == proved
    assert result.verdict in {Verdict.PROVED, Verdict.UNKNOWN}


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ("  action P by r from A to B when n < 9\n    set n += 1\n  action Q by r from B to A", "proved"),
        ("  action P by r from A to B\n    set n += 1\n  action Q by r from B to A", "unknown"),
        # By what holds in the state: n is 0 in A and 1 in B.
        ("  action P by r from A to B\n    set n += 1\n  action Q by r from B to A\n    set n -= 1", "proved"),
        ("  action P(k: int 0..9) by r from A to B\n    set n = k\n  action Q by r from B to A", "proved"),
        ("  action P(k: int) by r from A to B\n    set n = k\n  action Q by r from B to A", "unknown"),
        (
            '  action P by r from A to B when size(tags) < 3\n    set tags += {"a"}\n  action Q by r from B to A',
            "proved",
        ),
        (
            ("  action P by r from A to B\n"
            '    set tags += {"a", "b"}\n'
            "  action Q by r from B to A\n"
            "    set tags = {}"),
            "proved",
        ),
        ("  action P by r from A to B\n    set price = price * 2\n  action Q by r from B to A", "unknown"),
    ],
)  # fmt: skip
def test_an_assignment_stays_in_its_type_or_is_left_open(lines: str, verdict: str) -> None:
    """Proved with the guard, or with what is known of the state; else the search is asked."""
    assert lines_of(verify(table_of(body(lines)), levels=ALGEBRA))["no assignment leaves its type"] == verdict


def test_the_flagship_is_proved_without_the_search() -> None:
    """Brokers have their real range here: 64, not 2."""
    lines = lines_of(verify(table_of(HELIX), levels=ALGEBRA))
    for name in (
        "always moved <= brokers",
        "always state is Live implies moved == brokers",
        "always before.moved <= moved",
        "never builder enters Live",
        "no assignment leaves its type",
        "every guard can hold",
    ):
        assert lines[name] == "proved", name
    assert lines["every outcome has a home"] == "unknown"


def test_a_state_that_waits_for_one_message_is_warned_about() -> None:
    """`unknown _` leads nowhere; a timer, or a person, is a way out, and so is a call that always leads on."""
    text = """
        blueprint wait
        role r
        tool t.op()
          timeout 1m
        entity Job
          states Busy, Done
          final Done
          action Make by r from new to Busy
          in Busy
            on entry call t.op() then Finish else Finish UNKNOWN
            TIMER
          action Finish by system from Busy to Done
          late Finish ignore
    """
    careless = table_of(text.replace("UNKNOWN", "unknown _").replace("TIMER", "late Finish ignore"))
    assert codes_of(verify(careless, levels=ALGEBRA)) == ["B405"]
    for mended in (
        text.replace("UNKNOWN", "").replace("TIMER", "late Finish ignore"),
        text.replace("UNKNOWN", "unknown _").replace("TIMER", "after 1h do Finish"),
    ):
        assert codes_of(verify(table_of(mended), levels=ALGEBRA)) == []


# --- guards, compared -------------------------------------------------------------------------------------------------


def _guarded() -> Table:
    return table_of(body("  action P(k: int 0..5) by r from A to B when n > 0 and k > 1\n  action Q by r from B to A"))


N: Expr = ("field", "n")
M: Expr = ("field", "m")
K: Expr = ("param", "k")


def number(value: int) -> Expr:
    return ("lit", ("int", None, None), value)


@pytest.mark.parametrize(
    ("old", "new", "strength"),
    [
        ((">", N, number(3)), (">", N, number(5)), "stronger"),
        ((">", N, number(5)), (">", N, number(3)), "weaker"),
        ((">", N, number(3)), (">=", N, number(4)), "same"),
        # The type says so: n is at most 9, m at least 0.
        (("<=", N, number(9)), ("<", N, number(50)), "same"),
        ((">", N, number(3)), ("<", N, number(3)), "different"),
        (("==", K, number(3)), ("and", ("==", K, number(3)), (">", M, N)), "stronger"),
        (("in_state", ("A", "B")), ("in_state", ("A",)), "stronger"),
        (("has_role", "r"), ("or", ("has_role", "r"), ("has_role", "q")), "weaker"),
        # Beyond what is translated: it can be shown to be the same, and never to differ.
        (("==", ("*", M, M), ("*", N, K)), ("==", ("*", N, K), ("*", M, M)), "same"),
        (("==", ("field", "gone"), number(1)), ("==", N, number(1)), "unknown"),
    ],
)  # fmt: skip
def test_guards_are_compared_for_every_value(old: Expr, new: Expr, strength: str) -> None:
    """One row, one change of a guard: what it does to who and when."""
    assert compare_guards(old, new, _guarded(), "E", "P") == strength


# --- ways out, of one and of several ----------------------------------------------------------------------------------

HELD = """
blueprint held
role member
entity Item
  states Free, Held
  holder: principal?
  action Make by member from new to Free
  action Take by member from Free to Held
    set holder = caller
  action Drop by holder from Held {to}
    set holder = none
"""


@pytest.mark.parametrize(("to", "verdict"), [("to Free", Verdict.HOLDS), ("", Verdict.BROKEN)])
def test_whom_nobody_holds_nobody_can_move(to: str, verdict: Verdict) -> None:
    """Any other principal fares as the stranger whom the search has tried: whoever a field names is no bound."""
    told = result_of(verify(table_of(HELD.format(to=to)), levels=("algebra", "search")), "every state has a way out")
    assert told.verdict is verdict, told.why


SEATS = """
blueprint seats
role member
entity Seat
  states Free, Taken
  action Make by member from new to Free
  action Take by system from Free to Taken
  action Give by system from Taken to Free
entity Booking
  states Open, Over
  final Over
  seat: Seat
  action Book(seat) by member from new to Open
    set seat
    {with_} seat.Take
  action Cancel by member from Open to Over
    {with_} seat.Give
"""


def test_what_others_take_along_has_a_way_out() -> None:
    """A possible joint move is one; a send may never come."""
    joint = verify(table_of(SEATS.format(with_="with")), levels=("algebra", "search"))
    assert codes_of(joint) == []
    ways = [each for each in joint.properties if each.name == "every state has a way out"]
    assert {each.verdict for each in ways} == {Verdict.HOLDS}
    sent = table_of(SEATS.format(with_="send") + "\n")
    assert "B405" in codes_of(verify(sent, levels=("algebra",)))


PAYING = """
blueprint paying
role member
entity Account
  states Open
  n: int = 9
  action Make by member from new to Open
  action Pay(to: Account) by member from Open {when}
    set n -= 1
    with to.Get
  action Get by system from Open
    set n += 1
"""


def test_ruling_01_who_would_be_moved_twice_is_told_so() -> None:
    """Paying oneself sets no field twice: it would move an account twice, and is mended by a guard."""
    name = "no entity is moved twice in one commit"
    report = verify(table_of(PAYING.format(when="")), levels=("search",))
    told = result_of(report, name)
    assert told.verdict is Verdict.BROKEN
    assert told.help is not None
    assert "when ... != this" in told.help
    assert "no field is set twice in one step" not in lines_of(report)
    assert name not in lines_of(verify(table_of(PAYING.format(when="when to != this")), levels=("search",)))


# --- what is left open, and limits ------------------------------------------------------------------------------------

LISTS = """
blueprint lists
role member
entity Order
  states Open
  lines: list of int max 5 = []
  total: int = 0
  action Make by member from new to Open
  action Add(line: int 0..) by member from Open when size(lines) < 5
    set lines = lines + [line]
    set total = sum(l in lines: l)
  always total >= 0
"""


def test_an_unknown_says_what_was_left_open_and_where() -> None:
    """The words of the blueprint, their line, and what would help; in the level's own line too."""
    report = verify(table_of(LISTS), levels=ALGEBRA)
    told = result_of(report, "always total >= 0")
    assert told.verdict is Verdict.UNKNOWN
    assert "left open: `lines + [line]` (line 9), `sum(l in lines: l)` (line 10)" in told.why
    assert "a set instead of a list" in told.why
    assert any("`sum(l in lines: l)` (line 10)" in each for each in report.levels[0].not_covered)


def test_past_the_limit_of_all_questions_nothing_is_claimed() -> None:
    """With next to no work allowed nothing is proved, and it says so; twice the same."""
    table = table_of(body("  action P by r from A to B\n    set m += 1\n  action Q by r from B to A\n  always m >= 0"))
    assert judge(table, "E", Limits().rlimit).proofs
    little = judge(table, "E", 50)
    assert not little.proofs
    assert list(little.open_why.values()) == [OVER]
    assert not little.never_hold
    assert not little.unreachable
    assert judge(table, "E", 50) == little
