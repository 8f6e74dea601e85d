"""What level 1 finds, as plain data: nothing here needs the solver."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from temper.table import Expr


class Open(Struct, frozen=True):
    """Something assigned or given that could not be shown to fit its type."""

    site: str
    what: str
    expr: Expr


class LeftOpen(Struct, frozen=True):
    """An expression that has no exact formula: it was taken to have any value of its type."""

    expr: Expr
    site: str
    help: str
    """What could be written instead."""


class Certificate(Struct, frozen=True):
    """Why a property holds of every reachable state: what `certificate.py` checks again.

    `facts` belong to a state each, and are an invariant together: creation makes them true, and each step keeps them.
    With `k` 1 the property follows from them; with more it is itself kept by any `k` steps in a row, none of which
    comes back to where it was.
    """

    entity: str
    condition: Expr
    by: str
    facts: Mapping[str, tuple[Expr, ...]]
    k: int = 1
    step: bool = False
    """The property speaks of a step; it follows from the facts before and after it."""
    reads_before: bool = False


class JointCertificate(Struct, frozen=True):
    """Why a property of several entities holds: facts about every entity of a kind, or (`None`) about the whole.

    They hold where there is nothing yet, and each commit keeps them together. `lemmas` are what each entity's own
    invariants add, by kind and state. `requests`: if whoever a request names is there.
    """

    entity: str | None
    condition: Expr
    by: str
    facts: tuple[tuple[str | None, Expr], ...]
    lemmas: Mapping[str, Mapping[str, tuple[Expr, ...]]]
    requests: bool = False
    step: bool = False
    reads_before: bool = False


class Query(Struct, frozen=True):
    """One question to the solver in SMT-LIB 2, with the answer that it got: "sat", "unsat" or "unknown"."""

    name: str
    text: str
    answer: str


class Proof(Struct, frozen=True):
    """Who proved a property, and what rests on what, in the blueprint's words."""

    by: str
    k: int
    words: tuple[str, ...]
    certificate: Certificate | JointCertificate

    def told(self) -> str:
        """Return what the proof rests on, for people: "with: moved < brokers"."""
        steps = "" if self.k == 1 else f"over {self.k} steps"
        many = isinstance(self.certificate, JointCertificate)
        unbounded = (
            "for any number of entities, and every value of the types" if many else "for every value of the types"
        )
        facts = f"with: {', '.join(self.words)}" if self.words else unbounded
        return f"{steps}, {facts}" if steps else facts


class Algebra(Struct):
    """What was found. Sites are the smallest that show it."""

    entity: str
    proofs: dict[int, Proof] = field(default_factory=dict)
    """Of the properties, by number, that hold of every reachable state."""
    open_why: dict[int, str] = field(default_factory=dict)
    """Of those that were asked and not proved: why not."""
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
    """Kinds of expression that were left open, and the expressions themselves."""
    left_open: tuple[LeftOpen, ...] = ()
    invariants: dict[str, list[Expr]] = field(default_factory=dict)
    """What is known of each state."""

    @property
    def proved(self) -> set[int]:
        """Return the properties, by number, that hold of every reachable state."""
        return set(self.proofs)
