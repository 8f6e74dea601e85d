"""What a mutant is called, and what its survival asks, in the blueprint's own words."""

from __future__ import annotations

from temper.table import Expr, Table, describe_expr, shape
from temper.verify.clauses import NEW
from temper.verify.places import text_of

_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def opposite(e: Expr) -> Expr:
    """Return what holds where `e` does not."""
    match e:
        case ("not", inner):
            negated: Expr = inner
            return negated
        case (op, a, b) if op in _OPPOSITE:
            return (_OPPOSITE[op], a, b)
        case ("and", a, b):
            return ("or", opposite(a), opposite(b))
        case ("or", a, b):
            return ("and", opposite(a), opposite(b))
        case ("implies", a, b):
            return ("and", a, opposite(b))
        case _:
            return ("not", e)


def said(table: Table, e: Expr) -> str:
    """Return an expression as a blueprint writes it, in backticks."""
    return f"`{describe_expr(e, table.records)}`"


def from_states(case: shape.Case) -> str:
    """Return from where a case is taken: "from `Halted`"; nothing where it is from too many to name, or creates."""
    states = [state for state in case.froms if state != NEW]
    return f" from {listed(states)}" if 0 < len(states) <= 3 else ""


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Return names in backticks: "`A`, `B`"."""
    return ", ".join(f"`{name}`" for name in names)


def asks(fact: str) -> str:
    """Return a fact that nothing speaks against as a question."""
    return f"{fact}: intended?"


def timer_words(table: Table, timer: shape.Timer, place: shape.Place) -> str:
    """Return what a timer says, as its author wrote it: "`after 30m do Halt(...)` in `Rolling`"."""
    text = " ".join(text_of(table, timer.site).split())
    if not text:
        text = f"{timer.kind} {describe_expr(timer.duration)}" if timer.duration is not None else f"at {timer.field}"
        text += f" do {timer.handler.action}"
    return f"`{text}` in `{place.name}`"
