"""Refusals, one row for each way to be refused, and what else `step` does that no ruling has a number for."""

from __future__ import annotations

import pytest

from temper.table import Act, Caller, Deliver, Ending, Fire, Offer, Outcome, Refused, Why, step
from tests.table.build import (
    ANN,
    BOB,
    CAT,
    INT,
    Life,
    accepted,
    action,
    case,
    compiled,
    entity,
    f,
    helix,
    n,
    on,
    put,
    refused,
    s,
    table,
    upto,
    when,
)

SHOP = """
    record Line(sku: string, units: int 1..9)
    event Sold(what: string, left: int 0..9)
    tool post.send(to: string, count: int 0..9 = 1)
      timeout 1m
    entity Order
      states Open, Held, Shipped
      final Shipped
      customer: string
      lines: list of Line max 2 = []
      units: int 0..9 = 5
      by_whom: principal?
      action Place(customer, units: int 0..9 = 5) by anyone from new to Open
        set customer, units
      action Add(line: Line) by operator from Open
        set lines += line
      action Take(units: int, reason: string?) by operator, builder
        from Open when units > 0 else "take at least one"
        from Held when units > 5 else "take more than five"
        set units = units // (5 - units)
      action Ship by operator from Open to Shipped
        when units > 0
        when customer != "nobody" else "somebody must get it"
        set by_whom = caller
        call post.send(customer, units - 8) then _ else _
      action Tell by operator from Open
        emit Sold(customer, units - 9)
      action Hold by operator from Open to Held
      action Free by operator from Held to Open
"""


def shop(state: str = "Open") -> Life:
    life = Life(compiled(SHOP), "Order")
    life.done("Place", customer="ann")
    if state == "Held":
        life.done("Hold")
    return life


@pytest.mark.parametrize(
    ("state", "name", "caller", "given", "why", "text"),
    [
        ("Open", "Shpi", ANN, {}, Why.UNKNOWN_ACTION, "Order has no action `Shpi`: did you mean `Ship`?"),
        ("Open", "Xyzzy", ANN, {}, Why.UNKNOWN_ACTION, "Order has no action `Xyzzy`"),
        ("Open", "Take", ANN, {}, Why.BAD_PARAMS, "`Take` needs `units`: int"),
        ("Open", "Take", ANN, {"unit": 1}, Why.BAD_PARAMS, "`Take` has no parameter `unit`: did you mean `units`?"),
        ("Open", "Take", ANN, {"units": "1"}, Why.BAD_PARAMS, '`units` is int; "1" is not'),
        ("Open", "Add", ANN, {"line": ("a", 10)}, Why.BAD_PARAMS,
         '`line` is Line; Line(sku: "a", units: 10) is not'),
        # Parameters are asked before rights: both are wrong here.
        ("Open", "Take", CAT, {"units": "1"}, Why.BAD_PARAMS, '`units` is int; "1" is not'),
        ("Open", "Take", CAT, {"units": 0}, Why.DENIED,
         "`Take` is by `operator`, `builder`; `cat` is `release_manager`"),
        ("Open", "Ship", Caller("dan"), {}, Why.DENIED, "`Ship` is by `operator`; `dan` has no role"),
        # Rights are asked before the state.
        ("Open", "Free", CAT, {}, Why.DENIED, "`Free` is by `operator`; `cat` is `release_manager`"),
        ("Open", "Free", ANN, {}, Why.NOT_HERE, "`Free` is possible from `Held`; this Order is `Open`"),
        ("Open", "Place", ANN, {"customer": "x"}, Why.NOT_HERE, "`Place` creates an Order; this one is `Open`"),
        ("Open", "Take", ANN, {"units": 0}, Why.GUARD, "take at least one"),
        ("Held", "Take", ANN, {"units": 5}, Why.GUARD, "take more than five"),
        ("Open", "Take", ANN, {"units": 5}, Why.DIVISION, "`Take` divides by zero"),
        ("Open", "Take", ANN, {"units": 6}, Why.OUT_OF_TYPE, "`units` would be -6, which is not int 0..9"),
        ("Open", "Tell", ANN, {}, Why.OUT_OF_TYPE, "`Sold` would get `left` -4, which is not int 0..9"),
        ("Open", "Ship", ANN, {}, Why.OUT_OF_TYPE, "`post.send` would get `count` -3, which is not int 0..9"),
    ],
)  # fmt: skip
def test_refusals(state: str, name: str, caller: Caller, given: dict[str, object], why: Why, text: str) -> None:
    """One row, one refusal: the reason, the words, and nothing is changed."""
    life = shop(state)
    before = life.here
    no = refused(life.act(name, caller, **given))  # type: ignore[arg-type]  # bad values are the point
    assert (no.why, no.text, no.action) == (why, text, name)
    assert no.site is not None
    assert life.here is before


def test_a_guard_without_a_text_is_told_as_it_is_written() -> None:
    life = shop()
    life.with_fields(units=0)
    no = refused(life.act("Ship"))
    assert (no.why, no.text, no.site) == (Why.GUARD, "`Ship` needs `units > 0`", "Order.Ship/when/0")


def test_the_action_s_own_guards_come_in_order_and_before_the_cases_guards() -> None:
    life = shop()
    life.with_fields(units=9, customer="nobody")
    assert refused(life.act("Ship")).text == "somebody must get it"


def test_a_final_state_says_so() -> None:
    life = shop()
    life.with_fields(units=8)
    life.done("Ship")
    no = refused(life.act("Ship"))
    assert (no.why, no.text) == (
        Why.FINISHED,
        "`Ship` is possible from `Open`; this Order is `Shipped`, which is final",
    )


def test_what_is_not_there() -> None:
    """No such entity, and no such kind of entity: for each kind of event."""
    shop_table = compiled(SHOP)
    for event in (
        Act("e", 0, "Hold", {}, ANN, "Order", "o1"),
        Deliver("e", 0, "s", "Hold", {}, ANN, "Order", "o1"),
        Outcome("e", 0, "x", Ending.FAILED),
        Fire("e", 0, "t", 1),
        Offer("e", 0, "d"),
        Act("e", 0, "Hold", {}, ANN, "Nothing", "o1"),
    ):
        result = step(shop_table, None, event)
        assert isinstance(result, Refused)
        assert result.why is Why.MISSING
    assert refused(step(shop_table, None, Act("e", 0, "Hold", {}, ANN, "Order", "o1"))).text == "there is no Order `o1`"


def test_defaults_and_optional_parameters_are_filled_in() -> None:
    """In the parameters that the move records too."""
    life = Life(compiled(SHOP), "Order")
    made = life.done("Place", customer="ann")
    assert made.moves[0].params == {"customer": "ann", "units": 5}
    assert made.after.fields["lines"] == ()
    taken = life.done("Take", units=4)
    assert taken.moves[0].params == {"units": 4, "reason": None}


def test_collections_have_a_max() -> None:
    life = shop()
    life.done("Add", line=("a", 1))
    life.done("Add", line=("a", 1))
    no = refused(life.act("Add", line=("b", 2)))
    assert no.why is Why.OUT_OF_TYPE
    assert no.text.endswith("which is not list of Line max 2")


def test_a_creation_that_leaves_a_field_without_value_is_refused() -> None:
    """The checker sees to it; a table that did not come from it is held to the same."""
    bare = table(entity("Thing", "On", {"x": INT}, action("Make", case("new", "On"))))
    no = refused(Life(bare, "Thing").act("Make"))
    assert (no.why, no.text) == (Why.OUT_OF_TYPE, "`x` has no value: `Make` creates a Thing without it")


def test_exit_reads_the_values_before_and_entry_those_after() -> None:
    life = Life(
        compiled("""
        entity Lamp
          states Off, On
          count: int = 0
          left_at: int = -1
          entered_at: int = -1
          action Make by anyone from new to Off
          action Press by anyone from Off to On
            set count += 1
          in Off on exit set left_at = count
          in On on entry set entered_at = count
        """),
        "Lamp",
    )
    life.done("Make")
    assert life.done("Press").after.fields == {"count": 1, "left_at": 0, "entered_at": 1}


def test_entries_read_the_values_so_far_and_their_lets_too() -> None:
    """Clause by clause, in the order of the text; a `let` is worked out anew when a field has changed."""
    life = Life(
        compiled("""
        entity Lamp
          states Off, On
          a: int = 1
          b: int = 0
          c: int = 0
          let twice = a * 2
          action Make by anyone from new to Off
          action Press by anyone from Off to On
            set b = twice
          in On
            on entry set a = twice
            on entry set c = twice
        """),
        "Lamp",
    )
    life.done("Make")
    assert life.done("Press").after.fields == {"a": 2, "b": 2, "c": 4}


def test_the_clauses_of_the_action_and_of_the_case_that_is_taken() -> None:
    """The action's own belong to every case; another case's are not carried out."""
    life = Life(
        compiled("""
        event Did(what: string)
        entity Door
          states Shut, Open
          pushes: int = 0
          action Make by anyone from new to Shut
          action Push by anyone
            from Shut to Open
              emit Did("opened")
            from Open to Shut
              emit Did("shut")
            set pushes += 1
        """),
        "Door",
    )
    life.done("Make")
    assert [fact.params for fact in life.done("Push").emitted] == [{"what": "opened"}]
    assert [fact.params for fact in life.done("Push").emitted] == [{"what": "shut"}]
    assert life.here.fields["pushes"] == 2


def test_versions_count_what_is_taken_in() -> None:
    """Refusals leave no trace in the snapshot; outcomes that move nothing do."""
    life = Life(helix(), "Rollout")
    assert life.done("Plan", BOB, cluster="c", build="b", brokers=2).after.version == 1
    refused(life.act("Promote", CAT))
    assert life.done("Start").after.version == 2
    life.done("Halt", reason="x")
    ignored = accepted(life.ends("e3.1"))
    assert (ignored.after.version, ignored.after.visit) == (4, 3)


def test_an_order_is_closed_over_what_it_was_made_with() -> None:
    """All that an argument of an outcome reads has become a literal, but the result and the error."""
    life = Life(
        compiled("""
        record Pair(a: int, b: string)
        tool out.ask(x: int) -> (y: int, ys: set of int max 9)
          timeout 1m
        entity Job
          states A, B
          x: int = 3
          zero: int = 0
          limit: int? = 5
          total: int = 0
          pair: Pair = Pair(a: 0, b: "")
          many: set of int max 9 = {}
          action Make by anyone from new to A
          action Go(plus: int) by anyone from A
            call out.ask(x) then Got(result.y + x * plus, Pair(a: result.y, b: "n"), {z in result.ys: z > x}) else Fell
          action Safe by anyone from A
            call out.ask(x) then Got(if zero == 0 then result.y else result.y // zero, pair, many) else Fell
          action Change by anyone from A
            set x = 100
          action Got(total: int, pair: Pair, many: set of int max 9) by system from A to B
            set total, pair, many
          action Fell by system from A to B
        """),
        "Job",
    )
    life.done("Make")
    life.done("Go", plus=2)
    life.done("Change")
    after = accepted(life.ends("e2.1", y=10, ys=frozenset({1, 5, 9}))).after
    assert after.fields["total"] == 10 + 3 * 2
    assert after.fields["pair"] == (10, "n")
    assert after.fields["many"] == frozenset({5, 9})
    other = Life(life.table, "Job")
    other.done("Make")
    # What can't be worked out at the call is left to the outcome, which does not ask for it.
    other.done("Safe")
    assert accepted(other.ends("e2.1", y=7, ys=frozenset())).after.fields["total"] == 7


def test_if_and_for_clauses() -> None:
    life = Life(
        compiled(
            """
        event Said(what: int)
        entity Box
          states On
          numbers: set of int max 9 = {3, 1, 2}
          map_: map of string to int max 9 = {"b": 2, "a": 1}
          action Make by anyone from new to On
            for x in numbers:
              if x > 1: emit Said(x)
            for k in map_: emit Said(map_[k] ?? 0)
        """.replace("map_", "stock")
        ),
        "Box",
    )
    assert [fact.params["what"] for fact in life.done("Make").emitted] == [2, 3, 1, 2]


def test_a_huge_number_is_refused_and_told_in_few_words() -> None:
    """Numbers have no bound but their type's, and one of ours: what can be stored and printed."""
    grow = table(
        entity(
            "Big", "On", {"x": (INT, n(10**1900))}, action("Make", case("new", "On")),
            action("Grow", case("On"), body=(put("x", on("*", f("x"), f("x"))),)),
        )
    )  # fmt: skip
    life = Life(grow, "Big")
    life.done("Make")
    no = refused(life.act("Grow"))
    assert no.why is Why.OUT_OF_TYPE
    assert len(no.text) < 100


def test_a_case_whose_guard_divides_by_zero_is_a_fault() -> None:
    bad = table(
        entity(
            "Bad", "On", {"x": (upto(9), n(0))}, action("Make", case("new", "On")),
            action("Try", case("On", when=(when(on(">", on("//", n(1), f("x")), n(0)), site="here"),))),
        )
    )  # fmt: skip
    life = Life(bad, "Bad")
    life.done("Make")
    no = refused(life.act("Try"))
    assert (no.why, no.site) == (Why.DIVISION, "here")


def test_strings_are_bounded_too() -> None:
    life = Life(
        table(
            entity(
                "Text", "On", {"x": (("string",), s("x" * 600_000))}, action("Make", case("new", "On")),
                action("Double", case("On"), body=(put("x", on("concat", f("x"), f("x"))),)),
            )
        ),
        "Text",
    )  # fmt: skip
    life.done("Make")
    assert refused(life.act("Double")).why is Why.OUT_OF_TYPE
