"""Runs as formulas: the state and the fields at each of a few moments, and what leads from one moment to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import z3
from msgspec import Struct

from temper.table import Expr, Table, shape
from temper.verify.clauses import NEW
from temper.verify.expressions import names_in
from temper.verify.symbolic.paths import Path, paths
from temper.verify.symbolic.terms import Scene, Term, Terms


class Move(Struct, frozen=True):
    """One path from a moment to the next, as a condition on both."""

    path: Path
    holds: Term


class Frames:
    """The moments of one entity's run, numbered from 0; they may begin anywhere, or at its creation."""

    def __init__(self, terms: Terms, table: Table, entity: shape.Entity) -> None:
        self.terms = terms
        self.table = table
        self.entity = entity
        self._names = names_in(table, entity)
        self._scenes: dict[int, Scene] = {}
        self._moves: dict[int, tuple[Move, ...]] = {}
        self._births: tuple[Move, ...] | None = None
        self._facts: dict[tuple[str, Expr, int], Term] = {}
        self._states: dict[tuple[str, int], Term] = {}
        self._legal: dict[int, Term] = {}
        self._moved: dict[int, Term] = {}

    def scene(self, at: int) -> Scene:
        """Return what is read at a moment."""
        if at not in self._scenes:
            key = f"frame {at}"
            state = self.terms.given((key, "state"), "state", ("int", None, None))
            self._scenes[at] = self.terms.stranger(self._names, key, state)
        return self._scenes[at]

    def state_is(self, state: str, at: int) -> Term:
        """Return that the entity is in a state."""
        key = (state, at)
        if key not in self._states:
            self._states[key] = self.terms.in_state(self.scene(at), (state,))
        return self._states[key]

    def legal(self, at: int) -> Term:
        """Return that the entity is in one of its states, and that its fields fit their types: no step leaves them."""
        if at not in self._legal:
            terms = self.terms
            scene = self.scene(at)
            inside = terms.in_state(scene, self.entity.states)
            self._legal[at] = terms.both([inside, terms.bounds(self.entity, scene.fields)])
        return self._legal[at]

    def births(self) -> tuple[Move, ...]:
        """Return each way to be created, into moment 0."""
        if self._births is None:
            found = [
                Move(path, self._lands(path, 0))
                for action in self.entity.actions.values()
                if any(NEW in case.froms for case in action.cases)
                for path in paths(self.terms, self.table, self.entity, action, (NEW,), at="birth ")
            ]
            self._births = tuple(found)
        return self._births

    def moves(self, at: int) -> tuple[Move, ...]:
        """Return each way from a moment to the next."""
        if at not in self._moves:
            scene = self.scene(at)
            found = []
            for action in self.entity.actions.values():
                states = dict.fromkeys(state for case in action.cases for state in case.froms if state != NEW)
                for path in paths(
                    self.terms, self.table, self.entity, action, states, fields=scene.fields, at=f"{at} "
                ):
                    holds = self.terms.both([self.state_is(path.before, at), self._lands(path, at + 1)])
                    found.append(Move(path, holds))
            self._moves[at] = tuple(found)
        return self._moves[at]

    def _lands(self, path: Path, at: int) -> Term:
        fields = self.scene(at).fields
        same = [fields[name] == term for name, term in path.fields.items()]
        return self.terms.both([path.condition, self.state_is(path.after, at), *same])

    def born(self) -> Term:
        """Return that the entity has just been created at moment 0."""
        return self.terms.either(move.holds for move in self.births())

    def moved(self, at: int) -> Term:
        """Return that a step leads from a moment to the next."""
        if at not in self._moved:
            self._moved[at] = self.terms.either(move.holds for move in self.moves(at))
        return self._moved[at]

    def holds(self, e: Expr, at: int) -> Term:
        """Return that a condition holds at a moment."""
        return self.terms.term(e, self.scene(at))

    def fact(self, state: str, e: Expr, at: int) -> Term:
        """Return that a condition holds at a moment if the entity is in this state then."""
        key = (state, e, at)
        if key not in self._facts:
            self._facts[key] = self.terms.implies(self.state_is(state, at), self.holds(e, at))
        return self._facts[key]

    def all_of(self, facts: Mapping[str, Sequence[Expr]], at: int) -> Term:
        """Return that what is known of each state holds at a moment."""
        return self.terms.both(self.fact(state, e, at) for state, known in facts.items() for e in known)

    def differ(self, one: int, other: int) -> Term:
        """Return that two moments are not the same in everything."""
        a, b = self.scene(one), self.scene(other)
        same = [a.fields[each.name] == b.fields[each.name] for each in self.entity.fields]
        assert not isinstance(a.state, str), "a moment's state is a term"
        return z3.Not(self.terms.both([a.state == b.state, *same]))
