"""Sets of few values in the solver: so many truth values, and as `evaluate` has them."""

from __future__ import annotations

from typing import Any

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.table import Expr, Snapshot, Type, evaluate
from temper.verify.expressions import names_in
from temper.verify.symbolic.terms import Terms
from temper.verify.symbolic.universe import universe
from tests.verify.texts import table_of

TABLE = table_of("""
    blueprint sets
    role r
    entity E
      states A
      a: set of int 1..3 max 3
      b: set of int 2..5 max 4
      wide: set of int 0..999 max 4
      n: int 1..3
      action Make(a, b, wide, n) by r from new to A
        set a, b, wide, n
""")
ENTITY = TABLE.entities["E"]
INT: Type = ("int", None, None)


def of(*values: int) -> Expr:
    return ("set", INT, tuple(("lit", INT, value) for value in values))


A: Expr = ("field", "a")
B: Expr = ("field", "b")
ROWS: list[tuple[Expr, Type | None]] = [
    (A, ("int", 1, 3)),
    # What is put together is wider than the type of its first part.
    (("union", A, B), ("int", 1, 5)),
    (("union", A, of(9)), ("int", 1, 9)),
    (("minus", A, B), ("int", 1, 3)),
    (("intersect", B, A), ("int", 2, 5)),
    (of(), ("int", 0, -1)),
    (("union", of(), A), ("int", 1, 3)),
    (of(7, 4), ("int", 4, 7)),
    # Far apart, or wide: it stays a set.
    (("union", A, of(90)), None),
    (("field", "wide"), None),
    (("union", ("field", "wide"), A), None),
]


@pytest.mark.parametrize(("e", "expected"), ROWS)
def test_in_what_small_type_the_elements_lie(e: Expr, expected: Type | None) -> None:
    assert universe(e, names_in(TABLE, ENTITY)) == expected


small = st.sampled_from([A, B, of(), of(1), of(2, 9), ("set", INT, (("field", "n"),))])
together = st.recursive(small, lambda part: st.tuples(st.sampled_from(["union", "minus", "intersect"]), part, part))
conditions = st.one_of(
    st.tuples(st.sampled_from(["==", "!="]), together, together),
    st.tuples(
        st.sampled_from([">", ">=", "<", "<=", "=="]),
        together.map(lambda e: ("size", e)),
        st.integers(0, 3).map(lambda n: ("lit", INT, n)),
    ),
    st.tuples(st.just("in"), st.just(("field", "n")), together),
)
fields = st.fixed_dictionaries(
    {
        "a": st.frozensets(st.integers(1, 3)),
        "b": st.frozensets(st.integers(2, 5)),
        "n": st.integers(1, 3),
    }
)


@settings(max_examples=30, deadline=None)
@given(conditions, fields)
def test_a_condition_on_sets_is_worth_what_evaluate_says(condition: Expr, values: dict[str, Any]) -> None:
    """For concrete fields the formula has that one value, and the other is impossible."""
    terms = Terms(TABLE)
    scene = terms.stranger(names_in(TABLE, ENTITY), "now", "A")
    solver = z3.Solver(ctx=terms.context)
    for name in ("a", "b"):
        held = terms.set_of(INT, [terms.number(value) for value in sorted(values[name])])
        solver.add(scene.fields[name] == held)
    solver.add(scene.fields["n"] == values["n"])
    term = terms.term(condition, scene)
    now = Snapshot("E", "e1", "A", {**values, "wide": frozenset()}, 1, 1, 0, 0)
    expected = bool(evaluate(TABLE, "E", condition, now))
    solver.add(*terms.axioms_of([term]))
    assert solver.check(term) == (z3.sat if expected else z3.unsat)
    assert solver.check(z3.Not(term)) == (z3.unsat if expected else z3.sat)
