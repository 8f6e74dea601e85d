"""A judgement by its units: which are judged again after a change, and that nothing else makes a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.table import Table
from temper.verify import LEVELS, Done, Limits, Lost, Report, Verdict, units_of, verify
from temper.verify.cut import Links
from temper.verify.symbolic.algebra import Algebra
from temper.verify.symbolic.budget import LATE
from temper.verify.units import Outcome, Progress, Unit, in_turn, judged
from tests.house.tree import ROOT
from tests.verify.drawn import joint_tables, tables
from tests.verify.texts import HELIX, table_of

APPS = ROOT / "apps"
LIMITS = Limits(seeds=2, examples=4, steps=30)

# Orders move stocks and refer to shops, which nothing moves; a lamp has nothing to do with any of them.
MANY = """
    blueprint many

    role clerk

    tool lamps.switch(on: bool)
      timeout 1m
      idempotent

    entity Shop
      states Open, Closed
      opened: int 0..3 = 0
      action Found by clerk from new to Open
      action Close by clerk from Open to Closed
        set opened = {opened}
      action Reopen by clerk from Closed to Open when opened < 3

    entity Stock
      states There
      left: int 0..2 = 2
      action Fill by clerk from new to There
      action Take by system from There when left > 0
        set left -= 1
      action Refill by clerk from There
        set left = {refill}

    entity Order
      states Placed, Packed
      final Packed
      stock: Stock
      shop: Shop
      action Place(stock, shop) by clerk from new to Placed
        set stock, shop
      action Pack by clerk from Placed to Packed
        with stock.Take

    entity Lamp
      states Off, On
      lit: int 0..2 = 0
      action Mount by clerk from new to Off
      action Switch by clerk
        from Off to On when lit < {most}
        from On to Off
        set lit = {lit}
      always lit <= {bound}
      {more}
"""
PLAIN = {"opened": "opened", "refill": "2", "most": "2", "lit": "lit", "bound": "2", "more": "can reach On"}


def many(**changed: str) -> Table:
    return table_of(MANY.format(**{**PLAIN, **changed}))


class Memory(dict[str, Done]):
    """What is kept, in memory; and the names of what was judged since it was last asked."""

    def __init__(self) -> None:
        super().__init__()
        self.judged: list[str] = []
        self.names: dict[str, str] = {}

    def find(self, key: str) -> Done | None:
        """Return what is kept under a key."""
        return self.get(key)

    def keep(self, key: str, done: Done) -> None:
        """Keep it."""
        self[key] = done
        self.judged.append(self.names[key])

    def of(
        self,
        table: Table,
        limits: Limits = LIMITS,
        before: Table | None = None,
        levels: tuple[str, ...] = LEVELS,
    ) -> Report:
        """Judge a table, and look up what is known."""
        self.judged.clear()
        self.names = {unit.key: unit.name for unit in units_of(table, levels, limits, before)}
        return verify(table, levels=levels, limits=limits, before=before, kept=self)


@pytest.fixture
def kept() -> Memory:
    made = Memory()
    made.of(many())
    return made


def plain(report: Report) -> Report:
    """A report without how long it took, and what was looked up."""
    return replace(report, levels=tuple(replace(each, seconds=0.0, looked_up=0) for each in report.levels))


SHOPS = "Shop and Stock and Order"


@pytest.mark.parametrize(
    ("changed", "judged"),
    [
        # A lamp is alone: nothing of the shops is judged again.
        ({"lit": "1"}, ["algebra of Lamp", "search of Lamp", "simulation of Lamp", "properties of Lamp", "scenarios"]),
        # Orders take from stocks: level 1 asks both again, and not the shops, which neither can move.
        (
            {"refill": "1"},
            ["algebra of Stock", "algebra of Order", f"search of {SHOPS}", f"simulation of {SHOPS}",
             f"properties of {SHOPS}", "scenarios"],
        ),
        # A shop is read by orders, which refer to it, and is nothing to a stock but that orders move that.
        (
            {"opened": "1"},
            ["algebra of Shop", "algebra of Stock", "algebra of Order", f"search of {SHOPS}",
             f"simulation of {SHOPS}", f"properties of {SHOPS}", "scenarios"],
        ),
        # What can be reached is read off: nobody is asked again.
        ({"more": "can reach Off"}, ["scenarios"]),
        # What leads to what is asked of fair runs alone.
        ({"more": "eventually On leads to Off assume clerk responds"}, ["fair runs of Lamp", "scenarios"]),
        # Who may do what is nothing that level 1 asks.
        (
            {"more": "never clerk enters On"},
            ["search of Lamp", "simulation of Lamp", "properties of Lamp", "scenarios"],
        ),
        (
            {"bound": "1"},
            ["algebra of Lamp", "search of Lamp", "simulation of Lamp", "properties of Lamp", "scenarios"],
        ),
    ],
)  # fmt: skip
def test_after_a_change_only_what_depends_on_it_is_judged_again(
    kept: Memory, changed: Mapping[str, str], judged: list[str]
) -> None:
    """And what comes of it is what comes of judging it all."""
    table = many(**changed)
    report = kept.of(table)
    assert [each.partition(" of Shop and Stock and Order and Lamp")[0] for each in kept.judged] == judged
    assert plain(report) == plain(verify(table, levels=LEVELS, limits=LIMITS))


def test_what_has_not_changed_is_looked_up_whole(kept: Memory) -> None:
    report = kept.of(many())
    assert kept.judged == []
    assert [(each.name, each.looked_up, each.units) for each in report.levels] == [
        ("algebra", 4, 4), ("search", 2, 2), ("simulation", 2, 2), ("properties", 2, 2), ("scenarios", 1, 1),
    ]  # fmt: skip
    assert all(each.seconds == 0 for each in report.levels)


def test_lines_that_move_are_no_change(kept: Memory) -> None:
    """A report points at where things are now, though what it says of them is looked up."""
    moved = table_of("\n    # Above it all." + MANY.format(**PLAIN))
    report = kept.of(moved)
    assert [each for each in kept.judged if not each.startswith("scenarios")] == []
    assert plain(report) == plain(verify(moved, levels=LEVELS, limits=LIMITS))


@pytest.mark.parametrize(
    ("limits", "judged"),
    [
        (replace(LIMITS, seconds=LIMITS.seconds + 1), []),
        (replace(LIMITS, seed=7), ["simulation", "simulation", "properties", "properties"]),
        (replace(LIMITS, examples=5), ["properties", "properties"]),
        (replace(LIMITS, rlimit=LIMITS.rlimit + 1), ["algebra"] * 4),
        (replace(LIMITS, states_max=LIMITS.states_max - 1), ["search", "search", "simulation", "simulation"]),
    ],
)
def test_a_bound_counts_for_those_whom_it_bounds(kept: Memory, limits: Limits, judged: list[str]) -> None:
    kept.of(many(), limits)
    assert [each.partition(" of ")[0] for each in kept.judged] == judged


def test_the_version_before_counts_for_the_swap_to_it(kept: Memory) -> None:
    kept.of(many(), before=many(lit="1"))
    assert kept.judged == [f"simulation of {SHOPS}", "simulation of Lamp"]


def test_kinds_that_were_together_before_swap_together() -> None:
    """Else a run on the version before would lack those whom it needs."""
    text = MANY.format(**PLAIN).replace("with stock.Take", "set shop = shop").replace("Take by system", "Take by clerk")
    alone = table_of(text.replace("      stock: Stock\n", "").replace("stock, shop", "shop"))
    assert Links(alone).components() == (("Shop", "Order"), ("Stock",), ("Lamp",))
    assert Links(alone, many()).components() == (("Shop", "Stock", "Order"), ("Lamp",))


def test_what_the_clock_stopped_is_not_kept() -> None:
    kept = Memory()
    report = kept.of(table_of(HELIX), replace(LIMITS, seconds=1e-9))
    assert report.stopped
    assert not kept
    assert not report.passed
    # What the shape of a table shows takes no time.
    assert {each.verdict for each in report.properties if each.by != "table"} == {Verdict.UNKNOWN}


def test_the_solver_asks_nothing_once_the_time_is_over() -> None:
    """In one process there is nobody who could end it: it looks at the clock before each question."""
    unit = units_of(table_of(HELIX), ("algebra",), Limits())[0]
    long, none = (judged(unit, seconds, None, lambda _: None) for seconds in (60, 0))
    assert isinstance(long.answer, Algebra)
    assert isinstance(none.answer, Algebra)
    assert long.answer.proofs
    assert not none.answer.proofs
    assert set(none.answer.open_why.values()) == {LATE}
    assert (long.final, none.final) == (True, False)


def test_what_is_lost_is_unknown_with_its_reason() -> None:
    """Each unit in turn: what it would have decided is unknown, and the report does not pass."""
    table = table_of(HELIX)
    whole = in_turn()
    count = len(units_of(table, LEVELS, LIMITS))
    for lost in range(count):

        def run(
            units: Sequence[Unit], known: Mapping[int, Done], limits: Limits, progress: Progress
        ) -> Iterator[tuple[int, Outcome]]:
            for place, outcome in whole(units, known, limits, lambda _: None):
                yield place, Lost("its process was ended by SIGKILL") if place == lost else outcome  # noqa: B023 - it is used up in the same turn

        report = verify(table, levels=LEVELS, limits=LIMITS, run=run)
        name = units_of(table, LEVELS, LIMITS)[lost].name
        assert report.stopped == (f"{name}: its process was ended by SIGKILL",)
        assert not report.passed
        (level,) = (each for each in report.levels if any("SIGKILL" in why for why in each.not_covered))
        assert level.name == units_of(table, LEVELS, LIMITS)[lost].kind.level
        if level.name in {"search", "simulation"}:
            assert any("SIGKILL" in each.why and each.verdict is Verdict.UNKNOWN for each in report.properties)


def test_a_run_is_shown_where_level_1_is_lost() -> None:
    """What one unit loses keeps no other from what it shows."""
    table = many(lit="2", bound="1")
    whole = in_turn()

    def run(
        units: Sequence[Unit], known: Mapping[int, Done], limits: Limits, progress: Progress
    ) -> Iterator[tuple[int, Outcome]]:
        for place, outcome in whole(units, known, limits, lambda _: None):
            yield place, Lost("gone") if units[place].name == "algebra of Lamp" else outcome

    report = verify(table, levels=("algebra", "search"), run=run)
    lamps = {each.name: each for each in report.properties if each.entity == "Lamp"}
    assert (lamps["every guard can hold"].verdict, lamps["every guard can hold"].why) == (Verdict.UNKNOWN, "gone")
    assert lamps["always lit <= 1"].verdict is Verdict.BROKEN
    assert len(lamps["always lit <= 1"].trace) == 2
    assert {each.verdict for each in report.properties if each.entity == "Stock"} == {Verdict.PROVED, Verdict.HOLDS}


# Hypothesis does not draw within what it draws.
NESTABLE = ("algebra", "search", "simulation", "scenarios")
QUICK = Limits(seeds=1, steps=20, states_max=500, rlimit=10_000)


@settings(max_examples=4)
@given(st.lists(st.one_of(tables(), joint_tables()), min_size=2, max_size=2))
def test_what_is_looked_up_is_what_would_come_of_it(drawn: list[Table]) -> None:
    """Over drawn blueprints that share what is known, and then once more each, when all of it is."""
    kept = Memory()
    for table in (*drawn, *drawn):
        assert plain(kept.of(table, QUICK, levels=NESTABLE)) == plain(verify(table, levels=NESTABLE, limits=QUICK))
    assert kept.judged == []


@pytest.mark.parametrize("app", sorted(path.stem for path in APPS.glob("*/*.blueprint")))
def test_an_app_that_is_looked_up_is_the_one_that_was_judged(app: str) -> None:
    table = table_of((APPS / app / f"{app}.blueprint").read_text("utf-8"))
    kept = Memory()
    fresh = plain(kept.of(table))
    assert plain(kept.of(table)) == fresh
    assert kept.judged == []
