"""Certificates: what proves, what is tampered with, and the same questions in writing."""

from __future__ import annotations

import pytest
import z3
from hypothesis import given, settings
from msgspec.structs import replace

from temper.table import Expr, Table
from temper.verify import Limits, smtlib
from temper.verify.expressions import in_one_state
from temper.verify.symbolic.algebra import Certificate
from temper.verify.symbolic.certificate import check
from temper.verify.symbolic.judge import judge
from tests.verify.drawn import tables
from tests.verify.test_symbolic_provers import COUNT, DIP, MONEY, STOCK, TURN, entity
from tests.verify.texts import HELIX, table_of

RLIMIT = Limits().rlimit
NUMBER = ("int", None, None)


def _number(value: int) -> Expr:
    return ("lit", NUMBER, value)


SHIPPED: Expr = ("field", "shipped")
RECEIVED: Expr = ("field", "received")
BALANCE: Expr = ("==", RECEIVED, ("+", SHIPPED, ("field", "stock")))
NO_DEBT: Expr = (">=", ("field", "stock"), _number(0))


def stock(*facts: Expr, condition: Expr = ("<=", SHIPPED, RECEIVED), k: int = 1) -> Certificate:
    """What a prover might hand over for the stock."""
    return Certificate("E", condition, "a test", {"A": facts} if facts else {}, k)


@pytest.mark.parametrize(
    ("certificate", "refusal"),
    [
        (stock(BALANCE, NO_DEBT), None),
        (stock(("<=", ("+", SHIPPED, ("field", "stock")), RECEIVED), ("<=", SHIPPED, RECEIVED)), None),
        # Nothing keeps the stock from being negative.
        (stock(BALANCE), "implication"),
        (stock(), "implication"),
        # It is not what creation leaves.
        (stock(BALANCE, ("==", RECEIVED, _number(1))), "initiation"),
        # A step does not keep it.
        (stock(NO_DEBT, ("==", SHIPPED, _number(0))), "consecution"),
        (stock(("<=", SHIPPED, RECEIVED)), "consecution"),
        # False is kept by every step, but nobody begins there.
        (stock(("lit", ("bool",), False)), "initiation"),
        # More steps do not help where one does not.
        (stock(k=2), "step"),
        (stock(condition=("==", RECEIVED, _number(0)), k=2), "base_1"),
        (stock(condition=(">", RECEIVED, _number(0)), k=3), "base_0"),
    ],
)  # fmt: skip
def test_a_certificate_is_checked_by_plain_questions(certificate: Certificate, refusal: str | None) -> None:
    """One row, one certificate: which obligation it does not meet."""
    assert check(entity(STOCK), certificate, RLIMIT) == refusal


def test_a_property_of_steps_is_checked_at_each_step() -> None:
    """From what is known before it; creation is a step only for those that do not look back."""
    grows: Expr = ("<=", ("before", SHIPPED), SHIPPED)
    certificate = replace(stock(condition=grows), step=True, reads_before=True)
    assert check(entity(STOCK), certificate, RLIMIT) is None
    shrinks = replace(certificate, condition=(">=", ("before", SHIPPED), SHIPPED))
    assert check(entity(STOCK), shrinks, RLIMIT) == "each_step"
    made: Expr = ("not", ("action_is", "E", "Make"))
    assert check(entity(STOCK), replace(certificate, condition=made, reads_before=False), RLIMIT) == "first_step"


@pytest.mark.parametrize(
    "table",
    [
        table_of(HELIX),
        entity(f"{STOCK}  always shipped <= received"),
        entity(f"{MONEY}  always paid <= due"),
        entity(f"{TURN}  always x != 4"),
        entity(f"{DIP}  always y >= 6"),
        entity(f"{COUNT}  always flag implies n > 0"),
    ],
    ids=["helix", "stock", "money", "turn", "dip", "count"],
)
def test_a_proof_without_one_of_its_facts_is_none(table: Table) -> None:
    """What is handed over beside the property is as little as will do; without it some obligation is not met."""
    (name,) = table.entities
    proofs = judge(table, name, RLIMIT).proofs
    assert proofs
    for proof in proofs.values():
        certificate = proof.certificate
        assert isinstance(certificate, Certificate)
        assert check(table, certificate, RLIMIT) is None
        for state, facts in certificate.facts.items():
            itself = in_one_state(certificate.condition, state)
            for fact in (each for each in facts if each != itself):
                less = tuple(each for each in facts if each != fact)
                tampered = replace(certificate, facts={**certificate.facts, state: less})
                assert check(table, tampered, RLIMIT) is not None, (state, fact)


@settings(max_examples=15)
@given(tables())
def test_every_proof_has_a_certificate_that_proves(table: Table) -> None:
    """A law over drawn blueprints, with a solver of its own for each check."""
    for proof in judge(table, "E", RLIMIT).proofs.values():
        assert isinstance(proof.certificate, Certificate)
        assert check(table, proof.certificate, RLIMIT) is None


# --- in writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [table_of(HELIX), entity(f"{STOCK}  always shipped <= received"), entity(f"{TURN}  always x != 4")],
    ids=["helix", "stock", "turn"],
)
def test_the_questions_in_writing_have_the_same_answers(table: Table) -> None:
    """Read again by a solver that knows nothing but the text."""
    written = smtlib(table)
    assert any("consecution" in name or "step" in name for name in written)
    for name, text in written.items():
        assert name.endswith(".smt2")
        told = text.splitlines()[0].rpartition(": ")[2]
        solver = z3.Solver(ctx=z3.Context())
        solver.from_string(text)
        assert str(solver.check()) == told, name
        assert f"(set-info :status {told})" in text


def test_each_obligation_of_a_proof_is_in_writing() -> None:
    """Named after the property that it belongs to."""
    names = set(smtlib(table_of(HELIX)))
    for obligation in ("initiation", "consecution", "implication"):
        assert f"Rollout-always-0-{obligation}.smt2" in names
