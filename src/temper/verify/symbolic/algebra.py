"""What level 1 finds, as plain data: nothing here needs the solver."""

from __future__ import annotations

from dataclasses import dataclass, field

from temper.table import Expr


@dataclass(frozen=True, slots=True)
class Open:
    """Something assigned or given that could not be shown to fit its type."""

    site: str
    what: str
    expr: Expr


@dataclass
class Algebra:
    """What was found. Sites are the smallest that show it."""

    entity: str
    proved: set[int] = field(default_factory=set)
    """Properties, by number, that hold of every reachable state."""
    never_hold: list[str] = field(default_factory=list)
    """Guards that no value of the types makes true."""
    shadowed: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Cases that earlier ones always take, with those."""
    unreachable: list[str] = field(default_factory=list)
    """States that no step from a reachable state enters."""
    never_taken: list[str] = field(default_factory=list)
    """Cases that no reachable state satisfies."""
    may_leave: list[Open] = field(default_factory=list)
    """What could not be shown to stay within its type."""
    stays: int = 0
    """How much could be."""
    may_divide: list[str] = field(default_factory=list)
    divides: int = 0
    unsure: list[str] = field(default_factory=list)
    """Guards and cases of which the solver could not say."""
    opened: set[str] = field(default_factory=set)
    invariants: dict[str, list[Expr]] = field(default_factory=dict)
    """What is known of each state."""
