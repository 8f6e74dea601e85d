"""Every entity of every kind at a moment, as functions of who is asked about.

There may be as many as one likes. What a population holds as a whole is said by two devices. "Each of them" is a truth
value of its own: where it is true, what it says holds of each entity that the question at hand names; where it is
false, there is one of which it does not hold, and it gets a name. A sum (or a count) is an unknown before a commit,
and after it that unknown with what the commit's parts add or take away: nobody else's share has changed.

Two references may name one entity; whether they do is left to the solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import z3
from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Expr, Table, Type
from temper.verify.clauses import NEW
from temper.verify.expressions import element_type, names_in, reads_nothing_else, type_of, walk
from temper.verify.symbolic.terms import Scene, Term, Terms, through_entities

REF: Type = ("ref", "")
# Those of a kind that a question names: past it more can't be told than is told.
NAMED_MAX = 14
Taken = tuple[Term, frozenset[str]]


class Part(Struct, frozen=True):
    """One entity's share of a commit, if `active` holds: which state and fields it has after it."""

    entity: str
    ref: Term
    active: Term
    state: Term
    fields: Mapping[str, Term]
    taken: tuple[Taken, ...]
    """Which actions it takes, each with the condition under which it takes these."""


class Universal(Struct, frozen=True):
    """If `flag` holds, `at` holds of any entities of these kinds."""

    kinds: tuple[str, ...]
    flag: Term
    at: Callable[[Sequence[Term]], Term]


class Named(Struct):
    """Those that were asked about, of each kind, in the order in which they were."""

    refs: dict[str, dict[int, Term]] = field(default_factory=dict)
    recording: list[tuple[str, Term]] | None = None
    """Where a pattern is made: who would be named by it."""
    closed: bool = False
    """Nobody gets a name any more: what is said of everybody is being applied."""

    def add(self, entity: str, ref: Term) -> None:
        if self.recording is not None:
            self.recording.append((entity, ref))
        elif not self.closed:
            self.refs.setdefault(entity, {}).setdefault(ref.get_id(), ref)

    def of(self, entity: str) -> list[Term]:
        return list(self.refs.get(entity, {}).values())[:NAMED_MAX]


class Population:
    """What is common to all moments: who is named, and what is said of each."""

    def __init__(self, terms: Terms, table: Table, key: str, named: Named | None = None) -> None:
        self.terms = terms
        self.table = table
        self.key = key
        self.named = named or Named()
        self.universals: list[Universal] = []
        self.facts: list[Term] = []
        """What is so by the meaning of the terms that were made."""
        self._over: dict[tuple[object, ...], Term | None] = {}
        self._scenes: dict[tuple[str, int], Scene] = {}

    # --- what a world is made of --------------------------------------------------------------------------------------

    def state(self, entity: str, ref: Term) -> Term:
        """Return the number of an entity's state; 0 if there is none."""
        raise NotImplementedError

    def field(self, entity: str, name: str, ref: Term) -> Term:
        """Return what an entity holds."""
        raise NotImplementedError

    def total(self, e: Expr, scene: Scene) -> Term:
        """Return a sum, or a count, over a population."""
        raise NotImplementedError

    def action_is(self, entity: str, action: str, scene: Scene) -> Term:
        """Return that the step that led here took an action; nothing is known of that before a step."""
        return self.terms.open((self.key, "action_is", entity, action, id(scene)), "action_is", ("bool",))

    # --- what can be asked of it --------------------------------------------------------------------------------------

    def number(self, entity: str, state: str) -> Term:
        """Return what stands for a state."""
        return self.terms.number((NEW, *self.table.entities[entity].states).index(state))

    def exists(self, entity: str, ref: Term) -> Term:
        return self.state(entity, ref) != self.terms.number(0)

    def state_in(self, entity: str, states: Sequence[str], ref: Term) -> Term:
        now = self.state(entity, ref)
        return self.terms.either(now == self.number(entity, state) for state in states)

    def scene(self, entity: str, ref: Term) -> Scene:
        """Return the scene in which an entity is asked what it is."""
        key = (entity, ref.get_id())
        if key not in self._scenes:
            kind = self.table.entities[entity]
            fields = {each.name: self.field(entity, each.name, ref) for each in kind.fields}
            self._scenes[key] = Scene(
                f"{self.key} {entity} {ref.get_id()}", names_in(self.table, kind), self.state(entity, ref), fields,
                event=self.key, this=ref, world=self,
            )  # fmt: skip
        return self._scenes[key]

    def legal(self, entity: str, ref: Term) -> Term:
        """Return that an entity, if there is one, is in one of its states, and its fields fit their types."""
        terms, kind = self.terms, self.table.entities[entity]
        state = self.state(entity, ref)
        inside = terms.both([state >= 0, state <= terms.number(len(kind.states))])
        fields = {each.name: self.field(entity, each.name, ref) for each in kind.fields}
        return terms.both([inside, terms.implies(self.exists(entity, ref), terms.bounds(kind, fields))])

    def agree(self, entity: str, a: Term, b: Term) -> Term:
        """Return that two references name one entity where `unique` or `key` leaves no other way."""
        terms, kind = self.terms, self.table.entities[entity]
        found = []
        for names, ever in [(u.fields, u.ever) for u in kind.uniques] + ([(kind.key, True)] if kind.key else []):
            same = [self.exists(entity, a), self.exists(entity, b)]
            if not ever:
                same += [z3.Not(self.state_in(entity, kind.final, ref)) for ref in (a, b)]
            for name in names:
                one, other = self.field(entity, name, a), self.field(entity, name, b)
                same.append(one == other)
                if next(each.type for each in kind.fields if each.name == name)[0] == "optional":
                    same.append(z3.Not(terms.is_none(one)))
            found.append(terms.implies(terms.both(same), a == b))
        return terms.both(found)

    # --- all of a kind ------------------------------------------------------------------------------------------------

    def over(self, e: Expr, scene: Scene) -> Term | None:
        key = (scene.key, e, *((name, term.get_id()) for name, term in sorted(scene.bound.items())))
        if key not in self._over:
            self._over[key] = self._made(e, scene)
        return self._over[key]

    def _made(self, e: Expr, scene: Scene) -> Term | None:
        terms = self.terms
        match e:
            case ("all", x, c, body):
                ranges = [(x, c)]
                while body[0] == "all" and terms.of_entities(body[2], self._sorted(scene, ranges)):
                    ranges.append((body[1], body[2]))
                    body = body[3]
                return self._all(ranges, scene, lambda inner: terms.term(body, inner))
            case ("any", x, c, body):
                none = self.each(x, c, scene, lambda inner: z3.Not(terms.term(body, inner)))
                return None if none is None else z3.Not(none)
            case _:
                return self.total(e, scene) if self._sums(e, scene) else None

    def each(self, x: str, c: Expr, scene: Scene, holds: Callable[[Scene], Term]) -> Term | None:
        return self._all([(x, c)], scene, holds)

    def _sorted(self, scene: Scene, ranges: Sequence[tuple[str, Expr]]) -> Scene:
        """Return the scene with its variables declared, if not given."""
        names = scene.names
        for x, c in ranges:
            names = names.bind(x, element_type(type_of(c, names)))
        return replace(scene, names=names)

    def _all(self, ranges: Sequence[tuple[str, Expr]], scene: Scene, holds: Callable[[Scene], Term]) -> Term | None:
        terms = self.terms
        kinds = []
        for index, (_, c) in enumerate(ranges):
            found = self._member(c, self._sorted(scene, ranges[:index]))
            if found is None:
                return None
            kinds.append(found[0])

        def at(refs: Sequence[Term]) -> Term:
            inner, among = scene, []
            for (x, c), kind, ref in zip(ranges, kinds, refs, strict=True):
                found = self._member(c, inner)
                assert found is not None, "it was asked before"
                among.append(found[1](ref))
                inner = terms.bind(inner, x, ("ref", kind), ref)
            return terms.implies(terms.both(among), holds(inner))

        flag = terms.fresh("each", ("bool",))
        others = [terms.fresh(f"some_{kind}", REF) for kind in kinds]
        for kind, other in zip(kinds, others, strict=True):
            self.named.add(kind, other)
        self.facts.append(z3.Or(flag, z3.Not(at(others))))
        self.universals.append(Universal(tuple(kinds), flag, at))
        return flag

    def _member(self, c: Expr, scene: Scene) -> tuple[str, Callable[[Term], Term]] | None:
        """Return the kind of a collection's elements, and when one is among them."""
        terms = self.terms
        match c:
            case ("every", kind):
                return kind, lambda ref: self.exists(kind, ref)
            case ("inverse", name) if scene.this is not None and scene.names.entity is not None:
                inverse = next(each for each in scene.names.entity.inverses if each.name == name)
                type_ = next(
                    (f.type for f in self.table.entities[inverse.entity].fields if f.name == inverse.field), REF
                )
                owner = scene.this
                if type_[0] not in {"ref", "optional", "set"} or (type_[0] != "ref" and type_[1][0] != "ref"):
                    return None

                def refers(ref: Term) -> Term:
                    held = self.field(inverse.entity, inverse.field, ref)
                    match type_[0]:
                        case "ref":
                            points = held == owner
                        case "optional":
                            points = terms.both([z3.Not(terms.is_none(held)), terms.value_of(held) == owner])
                        case _:
                            points = z3.Select(held, owner)
                    return terms.both([self.exists(inverse.entity, ref), points])

                return inverse.entity, refers
            case ("filter", y, inner, condition):
                found = self._member(inner, scene)
                if found is None:
                    return None
                kind, member = found
                return kind, lambda ref: terms.both(
                    [member(ref), terms.term(condition, terms.bind(scene, y, ("ref", kind), ref))]
                )
            case _:
                type_ = type_of(c, scene.names)
                if type_[0] != "set" or type_[1][0] != "ref":
                    return None
                held = terms.term(c, scene)
                return type_[1][1], lambda ref: z3.Select(held, ref)

    def _sums(self, e: Expr, scene: Scene) -> bool:
        """Say whether a total changes by nothing but the shares of those that change."""
        c = e[1] if e[0] == "size" else e[2]
        if not through_entities(c) or self._member(c, scene) is None:
            return False
        known = set(scene.bound)
        parts = [] if e[0] == "size" else [(e[1], e[3])]
        while c[0] == "filter":
            parts.append((c[1], c[3]))
            c = c[2]
        return all(reads_nothing_else(body, x, known) for x, body in parts)

    def share(self, e: Expr, scene: Scene, ref: Term) -> Term:
        """Return what one entity adds to a total."""
        terms = self.terms
        x, c = ("", e[1]) if e[0] == "size" else (e[1], e[2])
        found = self._member(c, scene)
        assert found is not None, "it was asked before"
        kind, member = found
        zero, one = terms.number(0), terms.number(1)
        if e[0] == "size":
            return z3.If(member(ref), one, zero)
        body = terms.term(e[3], terms.bind(scene, x, ("ref", kind), ref))
        if e[0] == "count":
            return z3.If(terms.both([member(ref), body]), one, zero)
        return z3.If(member(ref), body, z3.RealVal(0, terms.context) if body.is_real() else zero)

    def of_kind(self, e: Expr, scene: Scene) -> str:
        """Return whose shares make a total."""
        found = self._member(e[1] if e[0] == "size" else e[2], scene)
        assert found is not None, "it was asked before"
        return found[0]


class Before(Population):
    """Any world: of what there is, nothing is known yet."""

    def state(self, entity: str, ref: Term) -> Term:
        self.named.add(entity, ref)
        sort = self.terms.sort(REF)
        return self.terms.function(f"state {entity}", sort, z3.IntSort(self.terms.context))(ref)

    def field(self, entity: str, name: str, ref: Term) -> Term:
        self.named.add(entity, ref)
        type_ = next(each.type for each in self.table.entities[entity].fields if each.name == name)
        return self.terms.function(f"{entity}.{name}", self.terms.sort(REF), self.terms.sort(type_))(ref)

    def total(self, e: Expr, scene: Scene) -> Term:
        terms = self.terms
        owned = (
            [scene.this] if scene.this is not None and any(part[0] in {"this", "inverse"} for part in walk(e)) else []
        )
        names = {part[1] for part in walk(e) if part[0] == "var"}
        given = [*owned, *(term for name, term in sorted(scene.bound.items()) if name in names)]
        sort = terms.sort(type_of(e, scene.names))
        name = f"total {terms.numbered(e)}"
        term = terms.function(name, *(each.sort() for each in given), sort)(*given) if given else z3.Const(name, sort)
        if e[0] != "sum":
            self.facts.append(term >= 0)
        inverse = self._inverse(e, scene)
        if inverse is not None and scene.this is not None and scene.names.entity is not None:
            # Nobody refers to one that is not there, if all references lead somewhere.
            nobody = z3.Not(self.exists(scene.names.entity.name, scene.this))
            self.facts.append(terms.implies(terms.both([self.leads(*inverse), nobody]), term == 0))
        return term

    def leads(self, entity: str, name: str) -> Term:
        """Return what stands for it that a field, wherever it is a reference, leads to an entity."""
        return self.terms.given(("leads", entity, name), f"leads_{name}", ("bool",))

    def _inverse(self, e: Expr, scene: Scene) -> tuple[str, str] | None:
        c = e[1] if e[0] == "size" else e[2]
        while c[0] == "filter":
            c = c[2]
        if c[0] != "inverse" or scene.names.entity is None:
            return None
        found = next(each for each in scene.names.entity.inverses if each.name == c[1])
        return found.entity, found.field


class Empty(Population):
    """The world in which nobody has done anything: there is nothing."""

    def state(self, entity: str, ref: Term) -> Term:
        return self.terms.number(0)

    def field(self, entity: str, name: str, ref: Term) -> Term:
        type_ = next(each.type for each in self.table.entities[entity].fields if each.name == name)
        return self.terms.given((self.key, entity, name, ref.get_id()), name, type_)

    def total(self, e: Expr, scene: Scene) -> Term:
        real = self.terms.sort(type_of(e, scene.names)).kind() == z3.Z3_REAL_SORT
        return z3.RealVal(0, self.terms.context) if real else self.terms.number(0)

    def each(self, x: str, c: Expr, scene: Scene, holds: Callable[[Scene], Term]) -> Term | None:
        return self.terms.true() if through_entities(c) else super().each(x, c, scene, holds)


class After(Population):
    """A world after a commit: that before it, with its parts as they are now.

    Of the kinds in `unknown` nothing is known but that those that are there stay, and what the parts say.
    """

    def __init__(self, base: Before, key: str, parts: Sequence[Part], unknown: frozenset[str]) -> None:
        super().__init__(base.terms, base.table, key, base.named)
        self.base = base
        self.parts = tuple(parts)
        self.unknown = unknown
        self._now: dict[tuple[str, str, int], tuple[Term, Term]] = {}
        """What has been asked for, with the reference, so that its number stays its own."""

    def _of(self, entity: str) -> Iterator[Part]:
        return (part for part in self.parts if part.entity == entity)

    def _over_parts(self, entity: str, name: str, ref: Term, otherwise: Term, now: Callable[[Part], Term]) -> Term:
        key = (entity, name, ref.get_id())
        if key not in self._now:
            self._now[key] = ref, self._with_parts(entity, ref, otherwise, now)
        return self._now[key][1]

    def _with_parts(self, entity: str, ref: Term, otherwise: Term, now: Callable[[Part], Term]) -> Term:
        term = otherwise
        for part in self._of(entity):
            here = self.terms.both([part.active, ref == part.ref])
            term = now(part) if part.ref.eq(ref) and z3.is_true(part.active) else z3.If(here, now(part), term)
        return term

    def state(self, entity: str, ref: Term) -> Term:
        self.named.add(entity, ref)
        was = self.base.state(entity, ref)
        if entity in self.unknown:
            new = self.terms.function(f"{self.key} state {entity}", ref.sort(), z3.IntSort(self.terms.context))(ref)
            self.facts.append(z3.Or(was == 0, new != 0))
            was = new
        return self._over_parts(entity, "", ref, was, lambda part: part.state)

    def field(self, entity: str, name: str, ref: Term) -> Term:
        was = self.base.field(entity, name, ref)
        if entity in self.unknown:
            was = self.terms.function(f"{self.key} {entity}.{name}", ref.sort(), was.sort())(ref)
        return self._over_parts(entity, name, ref, was, lambda part: part.fields[name])

    def total(self, e: Expr, scene: Scene) -> Term:
        terms, kind = self.terms, self.of_kind(e, scene)
        if kind in self.unknown:
            return terms.open((scene.key, e, "total"), e[0], type_of(e, scene.names))
        before = replace(scene, key=f"{scene.key} before", world=self.base)
        total = self.base.total(e, before)
        for part in self._of(kind):
            change = self.share(e, scene, part.ref) - self.base.share(e, before, part.ref)
            zero = z3.RealVal(0, terms.context) if change.is_real() else terms.number(0)
            total = total + z3.If(part.active, change, zero)
        return total

    def action_is(self, entity: str, action: str, scene: Scene) -> Term:
        own = scene.names.entity is not None and scene.names.entity.name == entity
        ways = []
        for part in self._of(entity):
            here = [part.active, *([scene.this == part.ref] if own and scene.this is not None else [])]
            ways += [self.terms.both([*here, taken]) for taken, names in part.taken if action in names]
        if entity in self.unknown:
            ways.append(self.terms.open((self.key, "action_is", entity, action), "action_is", ("bool",)))
        return self.terms.either(ways)


class Pattern:
    """Things said of any entities of some kinds, made once and applied to many, all at once.

    Where one of them makes values of its own for each of those, it is made anew each time.
    """

    def __init__(
        self, base: Before, after: After, kinds: Sequence[str], said: Sequence[Callable[[Sequence[Term]], Term]]
    ) -> None:
        self._named = base.named
        self._worlds = (base, after)
        self._terms = base.terms
        self._places = [base.terms.fresh(f"a_{kind}", REF) for kind in kinds]
        self._anew: list[Callable[[Sequence[Term]], Term]] = []
        self._touched: dict[tuple[str, int], tuple[str, Term]] = {}
        self._facts: tuple[list[Term], list[Term]] = ([], [])
        bodies = [body for each in said if (body := self._made(each)) is not None]
        self._body = base.terms.both(bodies)

    def _made(self, said: Callable[[Sequence[Term]], Term]) -> Term | None:
        """Return what is said of the places, if it can be applied to others; else it is kept to be made anew."""
        facts = [len(world.facts) for world in self._worlds]
        universals = [len(world.universals) for world in self._worlds]
        marks = self._terms.marks()
        self._named.recording = []
        body = said(self._places)
        touched, self._named.recording = self._named.recording, None
        plain = self._terms.marks() == marks and universals == [len(world.universals) for world in self._worlds]
        for world, kept, count, some in zip(self._worlds, self._facts, facts, universals, strict=True):
            kept.extend(world.facts[count:] if plain else ())
            del world.facts[count:]
            del world.universals[some:]
        if not plain:
            self._anew.append(said)
            return None
        self._touched |= {(entity, ref.get_id()): (entity, ref) for entity, ref in touched}
        return body

    def of(self, refs: Sequence[Term]) -> Term:
        """Return what is said of these."""
        if not self._named.closed:
            for entity, ref in self._touched.values():
                self._named.add(entity, self._put(ref, refs))
        for world, facts in zip(self._worlds, self._facts, strict=True):
            world.facts += [self._put(fact, refs) for fact in facts]
        return self._terms.both([self._put(self._body, refs), *(said(refs) for said in self._anew)])

    def _put(self, term: Term, refs: Sequence[Term]) -> Term:
        return self._terms.put(term, self._places, refs)
