"""Who proves what: rows of properties that need one prover each, and those that none may prove."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from temper.table import Table
from temper.verify import Limits, Verdict, report_json, verify
from temper.verify.symbolic import solve
from temper.verify.symbolic.judge import judge
from temper.verify.symbolic.samples import holds, sample
from tests.blueprints import sound_blueprints
from tests.verify.drawn import tables
from tests.verify.texts import HELIX, result_of, table_of

RLIMIT = Limits().rlimit
ALGEBRA = ("algebra",)


def entity(lines: str) -> Table:
    """A blueprint of one entity, with these lines in it."""
    return table_of(f"blueprint drawn\nrole r\nentity E\n{lines}\n")


STOCK = """
  states A
  final A
  received: int = 0
  shipped: int = 0
  stock: int = 0
  action Make by r from new to A
  action Receive(n: int 1..) by r from A
    set received += n
    set stock += n
  action Ship(n: int 1..) by r from A when n <= stock
    set shipped += n
    set stock -= n
"""

MONEY = """
  states Open, Closed
  final Closed
  due: decimal 0.. = 0
  paid: decimal = 0
  left: decimal = 0
  action Make(due) by r from new to Open
    set due, left = due
  action Pay(sum: decimal 0.01..) by r from Open when sum <= left
    set paid += sum
    set left -= sum
  action Close by r from Open to Closed when left == 0
"""

# Each turn hands the numbers on: 4 would have to come from somewhere two turns ago.
TURN = """
  states A
  x: int = 1
  y: int = 2
  z: int = 3
  action Make by r from new to A
  action Turn by r from A
    set x = y
    set y = z
    set z = x
"""

# `y` goes down while `x` is small: what bounds it changes with `x`, and no guess has that form.
DIP = """
  states A
  x: int = 0
  y: int = 10
  action Make by r from new to A
  action Up by r from A when x < 5
    set x += 1
    set y += if x >= 3 then 4 else 0 - 1
"""

COUNT = """
  states A, B
  n: int = 0
  flag: bool = false
  action Make by r from new to A
  action Up by r from A to B
    set n += 2
    set flag = true
  action Back by r from B to A when n < 100
    set flag = false
"""

# Only whoever is named acts, and nobody is before somebody claims it.
OWNED = """
  states A
  owner: principal?
  helpers: set of principal max 3 = {}
  n: int = 0
  m: int = 0
  action Make by r from new to A
  action Claim by r from A when owner == none
    set owner = caller
  action Invite(who: principal) by owner from A when who not in helpers and size(helpers) < 3
    set helpers += {who}
  action Up by owner from A
    set n += 1
  action Help by helpers from A
    set m += 1
"""

COUNT_BY_SYSTEM = """
  states A
  n: int = 0
  action Make by r from new to A
  action Answer(got: int) by system, r from A
    set n = got
"""


@pytest.mark.parametrize(
    ("lines", "property_", "by", "certificate"),
    [
        # By itself.
        (STOCK, "always stock <= stock + received * 0", "induction", ()),
        (COUNT, "always n >= 0", "induction", ()),
        (COUNT, "always before.n <= n", "induction", ()),
        # With what the text of the table suggests.
        (COUNT, "always state is B implies flag", "induction", ()),
        (COUNT, "always flag implies n > 0", "induction", None),
        # By who may act.
        (OWNED, "always owner == none implies n == 0", "induction", None),
        (OWNED, "always n == before.n or before.owner != none", "induction", ()),
        (OWNED, "always size(helpers) == 0 implies m == 0", "induction", None),
        # Sets are counted while elements come and go one by one.
        (OWNED, "always size(before.helpers) <= size(helpers) and size(helpers) <= size(before.helpers) + 1",
         "induction", ()),
        # Over several steps.
        (TURN, "always x != 4", "k-induction", ()),
        # With what samples suggest. Spacer alone does not end on the first.
        (STOCK, "always shipped <= received", "mined invariants", None),
        (MONEY, "always paid <= due", "mined invariants", None),
        (MONEY, "always state is Closed implies paid == due", "mined invariants", None),
        (COUNT, "always n % 2 == 0", "induction", ()),
        (COUNT, "always n != 51", "mined invariants", None),
        # By property-directed reachability.
        (DIP, "always y >= 6", "Spacer", None),
    ],
)  # fmt: skip
def test_a_property_is_proved_by_the_first_that_can(
    lines: str, property_: str, by: str, certificate: tuple[str, ...] | None
) -> None:
    """One row, one property: who proves it, and what the proof rests on besides."""
    result = result_of(verify(entity(f"{lines}  {property_}"), levels=ALGEBRA), property_)
    assert (result.verdict, result.by) == (Verdict.PROVED, by), result.why
    if certificate is not None:
        assert set(result.certificate) == set(certificate)


def _orbit(start: int) -> set[int]:
    seen: set[int] = set()
    while start not in seen:
        seen.add(start)
        start = (start * start + 1) % 1009
    return seen


@pytest.mark.parametrize(
    ("lines", "property_"),
    [
        # True, as counting shows, and beyond all of them.
        (
            ("  states A\n  x: int = 2\n  action Make by r from new to A\n"
             "  action Turn by r from A\n    set x = (x * x + 1) % 1009\n"),
            f"always x != {next(n for n in range(700, 1009) if n not in _orbit(2))}",
        ),
        # True of runs, but not by the guards: no tool answers with more than it was asked for.
        (COUNT_BY_SYSTEM, "always n <= 3"),
        # False.
        (STOCK, "always shipped < received or received == 0"),
        (STOCK, "always stock <= 1_000_000_000"),
        (COUNT, "always n <= 99"),
        (COUNT, "always flag implies n > 2"),
        (MONEY, "always left > 0"),
        (TURN, "always x != 3"),
        (DIP, "always y >= 8"),
        (COUNT, "always n <= before.n + 1"),
    ],
)  # fmt: skip
def test_what_can_not_be_shown_is_unknown(lines: str, property_: str) -> None:
    """Never *proved*, and never *broken* either: that takes a run."""
    result = result_of(verify(entity(f"{lines}  {property_}"), levels=ALGEBRA), property_)
    assert result.verdict is Verdict.UNKNOWN
    assert result.why
    assert result.certificate == ()


def test_what_a_proof_rests_on_is_told_in_words_and_as_data() -> None:
    """In `why` for people, as a list in the JSON."""
    report = verify(table_of(HELIX), levels=ALGEBRA)
    result = result_of(report, "always moved <= brokers")
    assert result.certificate
    assert result.why == f"with: {', '.join(result.certificate)}"
    assert any("Rolling implies moved < brokers" in words for words in result.certificate)
    data = report_json(report)["properties"]
    told = next(each for each in data if each["name"] == "always moved <= brokers")
    assert told["certificate"] == list(result.certificate)


def test_what_the_core_gives_up_is_asked_of_the_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    """With next to no work for the core, what is proved is the same."""
    table = table_of(HELIX)
    before = judge(table, "Rollout", RLIMIT)
    monkeypatch.setattr(solve, "PLAIN_MAX", 1)
    after = judge(table, "Rollout", RLIMIT)
    assert before.proofs
    assert after.proofs.keys() == before.proofs.keys()
    assert after.open_why == before.open_why


def test_a_verdict_is_the_same_the_second_time() -> None:
    """Limits are in the solver's units, samples are drawn from a fixed seed."""
    for lines, property_ in ((STOCK, "always shipped <= received"), (DIP, "always y >= 6"), (TURN, "always x != 4")):
        table = entity(f"{lines}  {property_}")
        first, second = (judge(table, "E", RLIMIT) for _ in range(2))
        assert first.proofs[0].words == second.proofs[0].words


# --- laws -------------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(sound_blueprints())
def test_what_level_1_proves_no_search_refutes(text: str) -> None:
    """On blueprints of any shape; a disagreement is a bug in us."""
    table = table_of(text)
    _agree(table)


@settings(max_examples=10)
@given(tables())
def test_what_level_1_proves_no_search_refutes_among_tight_guards(table: Table) -> None:
    """On blueprints whose guards, sets, timers and properties say more about each other."""
    _agree(table)


def _agree(table: Table) -> None:
    proved = {
        each.site: each
        for each in verify(table, levels=ALGEBRA).properties
        if each.verdict is Verdict.PROVED and each.by != "table"
    }
    searched = verify(table, levels=("search",), limits=Limits(states_max=400, seconds=2))
    for each in searched.properties:
        if each.verdict is Verdict.BROKEN and each.site is not None:
            assert each.site not in proved, (each, proved[each.site])


@settings(max_examples=25)
@given(tables(times=True))
def test_no_step_leaves_what_is_known_of_the_states(table: Table) -> None:
    """Every fact that level 1 believes, in every state that steps lead to from creation."""
    known = judge(table, "E", RLIMIT).invariants
    for now in sample(table, table.entities["E"]):
        for fact in known[now.state]:
            assert holds(table, now, fact) is not False, (now, fact)
