"""Every commit that a table allows, as formulas: an action, and what it takes along, over any population.

The parts of a commit are different entities: one that would take a second action refuses the whole. All of them read
the world before it. What stands in a `for` may be any number of parts, and is followed no further than which kinds
they are of.

Who may act by a role, and the system where something makes it act, are taken to be there at any time and with any
parameters. An action that only others take along is no commit by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import z3
from msgspec import Struct

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import NEW, admitted, by_people, flat, triggers
from temper.verify.expressions import walk
from temper.verify.symbolic.paths import Link, Path, Share, absent, paths
from temper.verify.symbolic.terms import Scene, Term, Terms
from temper.verify.symbolic.world import REF, After, Before, Part

# Far more than a page of a blueprint takes along; a cycle of `with`, which refuses itself, is cut here.
PARTS_MAX = 12


class TooMuch(Exception):
    """A commit takes more along than is followed; the text says which."""


class Commit(Struct, frozen=True):
    """A way for the world to change: from `base` to `after`, if `facts` hold."""

    name: str
    site: str
    base: Before
    after: After
    facts: tuple[Term, ...]
    requests: tuple[Term, ...]
    """That those whom a request names are there."""


def commits(terms: Terms, table: Table) -> Iterator[Commit]:
    """Every commit, one for each path of each action that can begin one. Raises `TooMuch`."""
    number = 0
    for entity in table.entities.values():
        for action in entity.actions.values():
            begins = {case.site for case in action.cases if _begins(table, entity, action, case)}
            states = dict.fromkeys(state for case in action.cases for state in case.froms)
            for before in states if begins else ():
                # Paths are made twice: the first time to see how many there are, each in a world of its own.
                count = sum(1 for _ in _Made(terms, table, f"commit {number}").roots(entity, action, before))
                for index in range(count):
                    made = _Made(terms, table, f"commit {number}.{index}")
                    path = list(made.roots(entity, action, before))[index]
                    if path.site.split("+")[0] in begins:
                        yield made.commit(path)
                number += 1


def _begins(table: Table, entity: shape.Entity, action: shape.Action, case: shape.Case) -> bool:
    """Say whether a case can be the first of a commit: by a person, or by what makes the system act by itself."""
    if by_people(admitted(action, case)):
        return True
    return any(each.kind not in {"with", "create", "route"} for each in triggers(table, entity.name, action.name))


class _Made:
    """One commit in the making."""

    def __init__(self, terms: Terms, table: Table, key: str) -> None:
        self.terms = terms
        self.table = table
        self.key = key
        self.base = Before(terms, table, f"{key} before")
        self.parts: list[Part] = []
        self.facts: list[Term] = []
        self.unknown: set[str] = set()

    def roots(self, entity: shape.Entity, action: shape.Action, before: str) -> Iterator[Path]:
        this = self.terms.given((self.key, "this"), entity.name, REF)
        share = Share(this, self.base, self.key, "0")
        return self._paths(entity, action, before, share)

    def _paths(self, entity: shape.Entity, action: shape.Action, before: str, share: Share) -> Iterator[Path]:
        fields = {each.name: self.base.field(entity.name, each.name, share.this) for each in entity.fields}
        at = f"{self.key} part {share.part} "
        return paths(self.terms, self.table, entity, action, (before,), fields=fields, at=at, share=share)

    def commit(self, path: Path) -> Commit:
        """Return the commit that begins with a path."""
        terms, entity = self.terms, self.table.entities[path.entity]
        assert path.scene.this is not None, "it is somebody's"
        always = terms.true()
        self._part(path, path.scene.this, always, ((always, path),))
        self._apart()
        after = After(self.base, f"{self.key} after", self.parts, frozenset(self.unknown))
        requests = [
            there
            for param in entity.actions[path.action].params
            for there in self._there(param.type, path.scene.params[param.name])
        ]
        name = f"{path.entity}.{path.action} from {path.before}"
        return Commit(name, path.site.split("+")[0], self.base, after, tuple(self.facts), tuple(requests))

    def _there(self, type_: Type, term: Term) -> Iterator[Term]:
        match type_:
            case ("ref", kind):
                yield self.base.exists(kind, term)
            case ("optional", ("ref", kind)):
                yield z3.Or(self.terms.is_none(term), self.base.exists(kind, self.terms.value_of(term)))
            case _:
                pass

    def _part(self, first: Path, ref: Term, active: Term, ways: tuple[tuple[Term, Path], ...]) -> None:
        """Add a share of the commit, which goes one of these ways, and what each of them takes along."""
        if len(self.parts) >= PARTS_MAX:
            raise TooMuch(f"`{first.entity}.{first.action}` takes more along than is followed")
        terms, entity = self.terms, self.table.entities[first.entity]
        number = str(len(self.parts))
        state: Term
        fields: Mapping[str, Term]
        if len(ways) == 1:
            state, fields = self.base.number(entity.name, first.after), first.fields
        else:
            key = (self.key, "part", number)
            state = terms.given((*key, "state"), "state", ("int", None, None))
            fields = {each.name: terms.given((*key, each.name), each.name, each.type) for each in entity.fields}
        taken = tuple((chosen, path.taken) for chosen, path in ways)
        self.parts.append(Part(entity.name, ref, active, state, fields, taken))
        self.facts.append(terms.implies(active, terms.either(chosen for chosen, _ in ways)))
        self.facts.append(terms.implies(active, terms.bounds(entity, fields)))
        links: list[tuple[Term, Link]] = []
        for chosen, path in ways:
            goes = [self.base.state(entity.name, ref) == self._number(entity, path.before), path.condition]
            if len(ways) > 1:
                goes.append(state == self.base.number(entity.name, path.after))
                goes += [fields[name] == term for name, term in path.fields.items()]
            # What it works out has a value: else it is refused.
            goes += [
                terms.implies(asked.under, terms.defined(asked.expr, asked.scene))
                for asked in path.asked
                if not _later(asked.expr)
            ]
            self.facts.append(terms.implies(terms.both([active, chosen]), terms.both(goes)))
            links += [(terms.both([active, chosen, link.under]), link) for link in path.links]
        for under, link in links:
            self._along(under, link)

    def _number(self, entity: shape.Entity, state: str) -> Term:
        return self.terms.number(0) if state == NEW else self.base.number(entity.name, state)

    def _along(self, under: Term, link: Link) -> None:
        clause, scene, terms = link.clause, link.scene, self.terms
        if isinstance(clause, shape.For):
            self.unknown |= self._kinds(clause)
            return
        number = str(len(self.parts))
        entity = self.table.entities[clause.entity]
        action = entity.actions[clause.action]
        created = isinstance(clause, shape.Create)
        if isinstance(clause, shape.With):
            ref = terms.term(clause.target, scene)
        else:
            ref = terms.created(clause.name or clause.site, scene)
        given = dict(clause.args)
        params = {
            param.name: terms.term(given[param.name], scene)
            if param.name in given
            else absent(terms, self.table, entity, param, Scene(f"{self.key} {number}", scene.names, NEW, {}))
            for param in action.params
        }
        share = Share(ref, self.base, self.key, number, params, joint=True)
        states = dict.fromkeys(state for case in action.cases for state in case.froms if (state == NEW) == created)
        found = [path for state in states for path in self._paths(entity, action, state, share)]
        if not found:
            self.facts.append(z3.Not(under))
            return
        marks = [terms.true()] if len(found) == 1 else [terms.fresh("way", ("bool",)) for _ in found]
        self._part(found[0], ref, under, tuple(zip(marks, found, strict=True)))

    def _kinds(self, clause: shape.For) -> set[str]:
        """Return the kinds of those that the clauses of a `for` may change, with all that these take along."""
        todo = [(c.entity, c.action) for c in flat(clause.body) if isinstance(c, shape.With | shape.Create)]
        seen: set[tuple[str, str]] = set()
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                entity = self.table.entities[at[0]]
                # Its entry may take along as well, and so may the routes that follow: everything that it has.
                bodies: list[Any] = [clause for place in entity.places for clause in (*place.entry, *place.exit)]
                for action in entity.actions.values():
                    bodies += action.body
                    bodies += [clause for case in action.cases for clause in case.body]
                todo += [(c.entity, c.action) for c in flat(bodies) if isinstance(c, shape.With | shape.Create)]
        return {entity for entity, _ in seen}

    def _apart(self) -> None:
        """In one commit an entity takes one action (1)."""
        for index, part in enumerate(self.parts):
            for other in self.parts[:index]:
                if other.entity == part.entity:
                    both = self.terms.both([part.active, other.active])
                    self.facts.append(self.terms.implies(both, part.ref != other.ref))


def _later(e: Expr) -> bool:
    """Say whether an expression reads what only the outcome of a call brings."""
    return any(part[0] in {"result", "error"} for part in walk(e))
