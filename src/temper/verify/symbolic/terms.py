"""A table's types and expressions as the solver's terms.

Where a construct has no exact translation, its value is left open: a fresh constant, the same for the same expression
over the same state. So a set of terms without a model means that there is no such state, whatever was left open; a
model may be an artefact. Every claim of level 1 rests on the first alone, and `Terms.opened` says whether the second
can be trusted.

Integers, times and durations are the solver's integers, decimals its reals; both have their declared range and no
other. Strings, principals and references are elements of infinite sorts that can be told apart and nothing else.
Division by zero is left open here, and asked about on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

import z3
from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Expr, Table, Type, canonical_key, decode, shape
from temper.verify.clauses import NEW
from temper.verify.expressions import Names, children, element_type, opened, type_of
from temper.verify.symbolic.algebra import Query
from temper.verify.symbolic.budget import UNLIMITED, Budget
from temper.verify.symbolic.universe import FINITE_MAX, few, universe

Term: TypeAlias = Any  # z3 ships no types


class Scene(Struct, frozen=True):
    """What an expression is read against: one state of one entity, and one event's parameters, caller and time.

    `key` tells scenes apart where something is left open. `state` is a name, or a term that numbers the states.
    """

    key: str
    names: Names
    state: str | Term
    fields: Mapping[str, Term]
    params: Mapping[str, Term] = field(default_factory=dict)
    before: Scene | None = None
    taken: frozenset[str] = frozenset()
    bound: Mapping[str, Term] = field(default_factory=dict)
    event: str = ""
    """What the caller and the time belong to: two scenes of one event share them."""
    this: Term | None = None
    """Whose state and fields these are, where several entities are told apart."""
    world: World | None = None
    """What is read of others; left out, it is left open."""
    part: str = ""
    """Which share of a commit it is: what it creates has names of its own."""


class World(Protocol):
    """What a scene can read of other entities."""

    def field(self, entity: str, name: str, ref: Term) -> Term:
        """Return what an entity holds."""

    def state_in(self, entity: str, states: Sequence[str], ref: Term) -> Term:
        """Return that an entity is there, in one of these states."""

    def exists(self, entity: str, ref: Term) -> Term:
        """Return that there is such an entity."""

    def over(self, e: Expr, scene: Scene) -> Term | None:
        """Return what an expression that goes through entities is worth; `None` where it is left open."""

    def each(self, x: str, c: Expr, scene: Scene, holds: Callable[[Scene], Term]) -> Term | None:
        """Return that something holds of each of a collection of entities; `None` where it can't be said."""

    def action_is(self, entity: str, action: str, scene: Scene) -> Term:
        """Return that the step that led here took an action: on the scene's own entity if it is of that kind."""


class Terms:
    """The vocabulary of one table in a solver of its own.

    `plain`: strings, principals and references are integers, and their literals numbers, for engines that know no
    sorts but their own. It is as exact: there are as many as one likes of both.
    """

    def __init__(self, table: Table, *, plain: bool = False, budget: Budget | None = None) -> None:
        self.table = table
        self.budget = budget or Budget(UNLIMITED, None)
        """What its questions may cost in all."""
        self.context = z3.Context()
        self.core = z3.SimpleSolver(ctx=self.context)
        """Answers one question after the other; between them it holds nothing."""
        self.queries: list[Query] | None = None
        """The questions that have a name, where somebody wants them in writing."""
        self._plain = plain
        self._true = z3.BoolVal(True, self.context)
        self._false = z3.BoolVal(False, self.context)
        self._axioms: dict[int, tuple[Term, frozenset[int]]] = {}
        self._constants: dict[int, frozenset[int]] = {}
        self._named_by: dict[int, Term] = {}
        self._kept: list[Term] = []
        self.opened: set[str] = set()
        """Kinds of expression that were left open so far."""
        self.left_open: dict[Expr, None] = {}
        """The expressions themselves, in the order in which they were met."""
        self._sorts: dict[Any, Any] = {}
        self._open: dict[Any, Term] = {}
        self._literals: dict[str, dict[str, Term]] = {}
        self._optional: dict[Any, Any] = {}
        self._functions: dict[Any, Any] = {}
        self._fresh = 0
        self._terms: dict[Any, Term] = {}
        self._numbers: dict[Expr, int] = {}

    # --- axioms -------------------------------------------------------------------------------------------------------

    def axiom(self, *terms: Term) -> None:
        """Note what holds whatever the state: distinct literals, sizes, the bounds of what is open."""
        for term in terms:
            key = term.get_id()
            if key not in self._axioms:
                self._axioms[key] = (term, self.constants(term))

    def axioms_of(self, facts: Iterable[Term]) -> list[Term]:
        """Return the axioms that speak of nothing but what the facts speak of.

        To leave the others out can only make more possible, so that no claim rests on it; to bring them all along
        made a question twelve times as slow.
        """
        if not self._axioms:
            return []
        known: set[int] = set()
        for fact in facts:
            known |= self.constants(fact)
        return [term for term, constants in self._axioms.values() if constants <= known]

    def constants(self, term: Term) -> frozenset[int]:
        """Return the constants of a term, by the numbers that the solver gives to them."""
        known = self._constants
        root = term.get_id()
        if root in known:
            return known[root]
        # A number is not used again while what it stands for is alive, and a term keeps its parts alive.
        self._kept.append(term)
        context = self.context.ref()
        waiting = [term.as_ast()]
        while waiting:
            at = waiting[-1]
            key = z3.Z3_get_ast_id(context, at)
            if key in known:
                waiting.pop()
                continue
            if z3.Z3_get_ast_kind(context, at) != z3.Z3_APP_AST:
                known[key] = frozenset()  # A number, or a bound variable.
                continue
            count = z3.Z3_get_app_num_args(context, at)
            if count == 0:
                free = z3.Z3_get_decl_kind(context, z3.Z3_get_app_decl(context, at)) == z3.Z3_OP_UNINTERPRETED
                known[key] = frozenset({key} if free else ())
                if free:
                    self._named_by[key] = z3.ExprRef(at, self.context)
                continue
            parts = [z3.Z3_get_app_arg(context, at, index) for index in range(count)]
            keys = [z3.Z3_get_ast_id(context, part) for part in parts]
            missing = [part for part, part_key in zip(parts, keys, strict=True) if part_key not in known]
            if missing:
                waiting.extend(missing)
                continue
            known[key] = frozenset().union(*(known[part] for part in keys))
        return known[root]

    def free(self, term: Term) -> list[Term]:
        """Return the constants of a term themselves."""
        return [self._named_by[key] for key in sorted(self.constants(term))]

    # --- logic --------------------------------------------------------------------------------------------------------

    def true(self) -> Term:
        return self._true

    def false(self) -> Term:
        return self._false

    def both(self, terms: Iterable[Term]) -> Term:
        """Return the conjunction."""
        # Equal terms are one in the solver; to ask it for their kind took longer than to answer the question.
        same = self._true.ast.value
        found = [term for term in terms if term.ast.value != same]
        return self._joined(z3.Z3_mk_and, found) if len(found) > 1 else found[0] if found else self.true()

    def either(self, terms: Iterable[Term]) -> Term:
        """Return the disjunction."""
        same = self._false.ast.value
        found = [term for term in terms if term.ast.value != same]
        return self._joined(z3.Z3_mk_or, found) if len(found) > 1 else found[0] if found else self.false()

    def _joined(self, make: Callable[[Any, int, Any], Any], terms: list[Term]) -> Term:
        # `z3.And` compares the sorts of all parts with each other, which took longer than to answer.
        parts = (z3.Ast * len(terms))(*(term.as_ast() for term in terms))
        return z3.BoolRef(make(self.context.ref(), len(terms), parts), self.context)

    def number(self, value: int) -> Term:
        return z3.IntVal(value, self.context)

    # --- types --------------------------------------------------------------------------------------------------------

    def sort(self, type_: Type) -> Any:
        """Return the solver's sort for a type, its bounds aside."""
        key = _kind(type_)
        if key not in self._sorts:
            self._sorts[key] = self._make_sort(key)
        return self._sorts[key]

    def _make_sort(self, type_: Type) -> Any:
        context = self.context
        match type_:
            case ("bool",):
                return z3.BoolSort(context)
            case ("int",) | ("time",) | ("duration",):
                return z3.IntSort(context)
            case ("decimal",):
                return z3.RealSort(context)
            case ("string",) | ("principal",) | ("ref",):
                return z3.IntSort(context) if self._plain else z3.DeclareSort(type_[0], context)
            case ("one_of", values):
                name = f"one_of_{len(self._sorts)}"
                sort, members = z3.EnumSort(name, [f"{name}.{value}" for value in values], context)
                self._literals[name] = dict(zip(values, members, strict=True))
                return sort
            case ("optional", inner):
                name = f"optional_{len(self._sorts)}"
                kind = z3.Datatype(name, context)
                kind.declare(f"none_{name}")
                kind.declare(f"some_{name}", (f"value_{name}", self.sort(inner)))
                made = kind.create()
                self._optional[made.name()] = made
                return made
            case ("record", name):
                kind = z3.Datatype(f"record_{name}", context)
                parts = self.table.records[name]
                kind.declare(f"make_{name}", *((f"{name}.{part.name}", self.sort(part.type)) for part in parts))
                return kind.create()
            case ("set", inner):
                return z3.ArraySort(self.sort(inner), z3.BoolSort(context))
            case ("map", key, inner):
                return z3.ArraySort(self.sort(key), self.sort(("optional", inner)))
            case ("list", inner):
                self.sort(inner)
                return z3.DeclareSort(f"list_{len(self._sorts)}", context)
            case _:
                raise AssertionError(f"a type that is none: {type_!r}")

    def within(self, type_: Type, term: Term) -> Term:
        """Return what a value of the type obeys. For elements of sets, lists and maps it says less than the type
        does."""
        match type_:
            case ("int", low, high):
                return self.both(
                    [
                        *([term >= self.number(low)] if low is not None else []),
                        *([term <= self.number(high)] if high is not None else []),
                    ]
                )
            case ("decimal", low, high):
                return self.both(
                    [
                        *([term >= self._real(Decimal(low))] if low is not None else []),
                        *([term <= self._real(Decimal(high))] if high is not None else []),
                    ]
                )
            case ("optional", inner):
                return z3.Or(self.is_none(term), self.within(inner, self.value_of(term)))
            case ("record", name):
                return self.both(
                    self.within(part.type, self.part(name, index, term))
                    for index, part in enumerate(self.table.records[name])
                )
            case ("set", inner, int(size)) if (values := few(inner)) is not None:
                if len(values) <= size:
                    return self.true()
                return self._count(term, [self.constant(inner, value) for value in values]) <= self.number(size)
            case ("set", _, size) | ("list", _, size) | ("map", _, _, size):
                return self.size(type_, term) <= self.number(size) if size is not None else self.true()
            case _:
                return self.true()

    def whole(self, type_: Type) -> bool:
        """Say whether `within` says all that the type does."""
        match type_:
            case ("optional", inner):
                return self.whole(inner)
            case ("record", name):
                return all(self.whole(part.type) for part in self.table.records[name])
            case ("set", inner, _) | ("list", inner, _):
                return _unbounded(inner, self.table)
            case ("map", key, inner, _):
                return _unbounded(key, self.table) and _unbounded(inner, self.table)
            case _:
                return True

    def fresh(self, hint: str, type_: Type) -> Term:
        """Return a new constant of the type, its bounds not asserted."""
        self._fresh += 1
        return z3.Const(f"{hint}!{self._fresh}", self.sort(type_))

    def open(self, key: Any, what: str, type_: Type) -> Term:
        """Return the constant that stands for something left open; the same for the same key."""
        if key not in self._open:
            self.opened.add(what)
            term = self.fresh(what, type_)
            self.axiom(self.within(type_, term))
            self._open[key] = term
        return self._open[key]

    def given(self, key: Any, hint: str, type_: Type) -> Term:
        """Return the constant that stands for what an event brings; the same for the same key."""
        if key not in self._open:
            self._open[key] = self.fresh(hint, type_)
        return self._open[key]

    # --- values -------------------------------------------------------------------------------------------------------

    def _real(self, value: Decimal) -> Term:
        return z3.RealVal(str(value), self.context)

    def literal(self, type_: Type, json: Any) -> Term:
        """Return a literal, given as on the wire."""
        return self.constant(type_, decode(type_, json, records=self.table.records))

    def constant(self, type_: Type, value: Any) -> Term:
        """Return a value."""
        match type_:
            case ("bool",):
                return z3.BoolVal(value, self.context)
            case ("int", _, _) | ("time",) | ("duration",):
                return self.number(value)
            case ("decimal", _, _):
                return self._real(value)
            case ("string",) | ("principal",) | ("ref", _):
                return self._named(type_, value)
            case ("one_of", _):
                return self._literals[self.sort(type_).name()][value]
            case ("optional", inner):
                return self.none(inner) if value is None else self.some(inner, self.constant(inner, value))
            case ("record", name):
                parts = self.table.records[name]
                return self.record(name, [self.constant(p.type, v) for p, v in zip(parts, value, strict=True)])
            case ("set", inner, _):
                # In an order that no hash decides: the solver's work, and so its limit, depends on it.
                return self.set_of(inner, [self.constant(inner, item) for item in sorted(value, key=canonical_key)])
            case ("map", key, inner, _):
                return self.map_of(key, inner, [(self.constant(key, k), self.constant(inner, v)) for k, v in value])
            case ("list", inner, _):
                return self.list_of(inner, [self.constant(inner, item) for item in value])
            case _:
                raise AssertionError(f"a type that is none: {type_!r}")

    def _named(self, type_: Type, value: str) -> Term:
        sort = self.sort(type_)
        known = self._literals.setdefault(type_[0] if self._plain else sort.name(), {})
        if value not in known and self._plain:
            known[value] = self.number(len(known))
        elif value not in known:
            term = z3.Const(f"{sort.name()}:{value}", sort)
            self.axiom(*(term != other for other in known.values()))
            known[value] = term
        return known[value]

    def named(self, type_: Type) -> dict[str, Term]:
        """Return the literals of a plain sort, or the members of an enumeration, that were met so far."""
        plain = self._plain and type_[0] in {"string", "principal", "ref"}
        return self._literals.get(type_[0] if plain else self.sort(type_).name(), {})

    def none(self, inner: Type) -> Term:
        return self.sort(("optional", inner)).constructor(0)()

    def some(self, inner: Type, term: Term) -> Term:
        return self.sort(("optional", inner)).constructor(1)(term)

    def is_none(self, term: Term) -> Term:
        return self._optional[term.sort().name()].recognizer(0)(term)

    def value_of(self, term: Term) -> Term:
        return self._optional[term.sort().name()].accessor(1, 0)(term)

    def record(self, name: str, parts: list[Term]) -> Term:
        return self.sort(("record", name)).constructor(0)(*parts)

    def part(self, name: str, index: int, term: Term) -> Term:
        return self.sort(("record", name)).accessor(0, index)(term)

    # --- collections --------------------------------------------------------------------------------------------------

    def members(self, inner: Type) -> list[Term] | None:
        """Return every element of a small type, or `None` where there are too many."""
        match inner:
            case ("bool",):
                return [self.true(), self.false()]
            case ("one_of", values) if len(values) <= FINITE_MAX:
                return [self.constant(inner, value) for value in values]
            case _:
                return None

    def size(self, type_: Type, term: Term) -> Term:
        """Return how many elements a collection has. Exact for sets of small types; else what is known of it is an
        axiom."""
        if type_[0] == "set":
            members = self.members(type_[1])
            if members is not None:
                return z3.Sum([z3.If(z3.Select(term, member), self.number(1), self.number(0)) for member in members])
        size = self.function("size", term.sort(), z3.IntSort(self.context))(term)
        self.axiom(size >= 0)
        return size

    def function(self, name: str, *sorts: Any) -> Any:
        """Return the function of that name, of which nothing is known."""
        key = (name, *(sort.sexpr() for sort in sorts))
        if key not in self._functions:
            self._functions[key] = z3.Function(f"{name}_{len(self._functions)}", *sorts)
        return self._functions[key]

    def _counted(self, type_: Type) -> bool:
        return type_[0] == "set" and self.members(type_[1]) is not None

    def set_of(self, inner: Type, items: list[Term]) -> Term:
        term = z3.K(self.sort(inner), self.false())
        kind = ("set", inner, None)
        if not self._counted(kind):
            self.axiom(self.size(kind, term) == 0)
        for item in items:
            term = self._put(kind, term, item, there=True)
        return term

    def _put(self, kind: Type, held: Term, item: Term, *, there: bool) -> Term:
        """Return a set with an element, or without it; its size changes by one, or by nothing."""
        new = z3.Store(held, item, self.true() if there else self.false())
        if not self._counted(kind):
            inside, one, none = z3.Select(held, item), self.number(1), self.number(0)
            change = z3.If(inside, none, one) if there else z3.If(inside, -one, none)
            self.axiom(self.size(kind, new) == self.size(kind, held) + change)
        return new

    def map_of(self, key: Type, inner: Type, pairs: list[tuple[Term, Term]]) -> Term:
        term = z3.K(self.sort(key), self.none(inner))
        for at, value in pairs:
            term = z3.Store(term, at, self.some(inner, value))
        size = self.size(("map", key, inner, None), term)
        self.axiom(size == 0 if not pairs else z3.And(size >= 1, size <= len(pairs)))
        return term

    def list_of(self, inner: Type, items: list[Term]) -> Term:
        sort = self.sort(("list", inner, None))
        made = self.function(f"list{len(items)}", *(item.sort() for item in items), sort)
        term = made(*items) if items else z3.Const(f"empty_{sort.name()}", sort)
        self.axiom(self.size(("list", inner, None), term) == len(items))
        return term

    # --- expressions --------------------------------------------------------------------------------------------------

    def term(self, e: Expr, scene: Scene) -> Term:
        """Return what an expression is worth in a scene."""
        key = (scene.key, e, tuple(sorted((name, term.get_id()) for name, term in scene.bound.items())))
        if key not in self._terms:
            self._terms[key] = self._term(e, scene)
        return self._terms[key]

    def _term(self, e: Expr, scene: Scene) -> Term:
        match e:
            case ("lit", type_, json):
                return self.literal(type_, json)
            case ("none", type_):
                return self.none(type_[1] if type_[0] == "optional" else type_)
            case ("some", part):
                return self.some(type_of(part, scene.names), self.term(part, scene))
            case ("value", part):
                return self.value_of(self.term(part, scene))
            case ("to_decimal", part):
                return z3.ToReal(self.term(part, scene))
            case ("field", name):
                return scene.fields[name]
            case ("param", name):
                return scene.params[name]
            case ("let", name):
                let = scene.names.let(name)
                assert let is not None, f"`{name}` is derived nowhere"
                return self.term(let.value, scene)
            case ("var", name):
                return scene.bound[name]
            case ("this",) | ("id",):
                return scene.this if scene.this is not None else self.given(("id",), "id", ("ref", ""))
            case ("created", name) if scene.world is not None:
                return self.created(name, scene)
            case ("read", of, entity, name) if scene.world is not None:
                return scene.world.field(entity, name, self.term(of, scene))
            case ("read_in", of, entity, states) if scene.world is not None:
                return scene.world.state_in(entity, states, self.term(of, scene))
            case ("created_at",) if scene.world is not None:
                return self._left_open(e, scene)
            case ("created_at",):
                return self.given(("created_at",), "created_at", ("time",))
            case ("now",) | ("caller",) | ("acts_for",):
                kind: Type = ("time",) if e[0] == "now" else ("principal",)
                term = self.given((scene.event, e[0]), e[0], kind)
                if e[0] == "now" and scene.world is None:
                    self.axiom(term >= self.given(("created_at",), "created_at", ("time",)))
                return term
            case ("has_role", role):
                return self.has_role(role, scene)
            case ("in_state", states):
                return self.in_state(scene, states)
            case ("before", part):
                return self.term(part, _earlier(scene))
            case ("action_is", entity, action):
                if scene.world is not None:
                    return scene.world.action_is(entity, action, scene)
                if scene.names.entity is None or scene.names.entity.name != entity:
                    return self._left_open(e, scene)  # Another's, in the same commit.
                return z3.BoolVal(action in scene.taken, self.context)
            case ("not", a):
                return z3.Not(self.term(a, scene))
            case ("and", a, b):
                return z3.And(self.term(a, scene), self.term(b, scene))
            case ("or", a, b):
                return z3.Or(self.term(a, scene), self.term(b, scene))
            case ("implies", a, b):
                return z3.Implies(self.term(a, scene), self.term(b, scene))
            case ("if", c, a, b):
                return z3.If(self.term(c, scene), self.term(a, scene), self.term(b, scene))
            case ("==", a, b):
                return self._equal(a, b, scene)
            case ("!=", a, b):
                return z3.Not(self._equal(a, b, scene))
            case ("<" | "<=" | ">" | ">=" | "min" | "max", _, _):
                return self._compared(e, scene)
            case ("??", a, b):
                first = self.term(a, scene)
                second = self.term(b, scene)
                if second.sort() == first.sort():
                    return z3.If(self.is_none(first), second, first)
                return z3.If(self.is_none(first), second, self.value_of(first))
            case ("+" | "-" | "*" | "//" | "%", _, _):
                return self._arithmetic(e, scene)
            case ("neg", a):
                return -self.term(a, scene)
            case ("in", x, c):
                return self._member(x, c, scene)
            case ("union" | "minus" | "intersect", _, _):
                return self._combined(e, scene)
            case ("size", c) if scene.world is not None and through_entities(c):
                return self._over(e, scene)
            case ("size", c):
                held, kind = self.term(c, scene), type_of(c, scene.names)
                members = self._universe(c, scene.names)
                return self.size(kind, held) if members is None else self._count(held, members)
            case ("dot", part, record, name):
                parts = self.table.records[record]
                index = next(i for i, each in enumerate(parts) if each.name == name)
                return self.part(record, index, self.term(part, scene))
            case ("get", m, k):
                return z3.Select(self.term(m, scene), self.term(k, scene))
            case ("put", m, k, v):
                kind = type_of(m, scene.names)
                old, at = self.term(m, scene), self.term(k, scene)
                new = z3.Store(old, at, self.some(kind[2], self.term(v, scene)))
                there = z3.Not(self.is_none(z3.Select(old, at)))
                self.axiom(self.size(kind, new) == self.size(kind, old) + z3.If(there, self.number(0), self.number(1)))
                return new
            case ("set", inner, items):
                return self.set_of(inner, [self.term(item, scene) for item in items])
            case ("list", inner, items):
                return self.list_of(inner, [self.term(item, scene) for item in items])
            case ("map", key, inner, pairs):
                return self.map_of(key, inner, [(self.term(k, scene), self.term(v, scene)) for k, v in pairs])
            case ("record", name, values):
                return self.record(name, [self.term(value, scene) for value in values])
            case ("all" | "any" | "count" | "sum", _, c, _) if scene.world is not None and self.of_entities(c, scene):
                return self._over(e, scene)
            case ("all" | "any" | "count", x, c, body):
                return self._quantified(e, x, c, body, scene)
            case _:
                return self._left_open(e, scene)

    def put(self, term: Term, places: Sequence[Term], others: Sequence[Term]) -> Term:
        """Return a term with others in these places; of the same sorts, which is not asked again."""
        count = len(places)
        old = (z3.Ast * count)(*(each.as_ast() for each in places))
        new = (z3.Ast * count)(*(each.as_ast() for each in others))
        made = z3.Z3_substitute(self.context.ref(), term.as_ast(), count, old, new)
        return z3.BoolRef(made, self.context) if z3.is_bool(term) else z3.ExprRef(made, self.context)

    def marks(self) -> tuple[int, int]:
        """Return a mark that moves when something is left open, or an axiom noted."""
        return len(self._open), len(self._axioms)

    def numbered(self, e: Expr) -> int:
        """Return a number that stands for an expression."""
        return self._numbers.setdefault(e, len(self._numbers))

    def created(self, name: str, scene: Scene) -> Term:
        """Return the reference that a creation in this share of a commit is named by."""
        return self.given((scene.event, scene.part, "created", name), name, ("ref", ""))

    def _over(self, e: Expr, scene: Scene) -> Term:
        assert scene.world is not None, "there is somewhere to look"
        found = scene.world.over(e, scene)
        return self._left_open(e, scene) if found is None else found

    def of_entities(self, c: Expr, scene: Scene) -> bool:
        """Say whether a collection is a set of entities."""
        kind = type_of(c, scene.names)
        return bool(kind[0] == "set" and kind[1][0] == "ref")

    def defined(self, e: Expr, scene: Scene) -> Term:
        """Return that an expression has a value: what it reads is there, and nothing is divided by zero."""
        if certain(e, set()):
            return self.true()
        match e:
            case ("let", name):
                let = scene.names.let(name)
                assert let is not None, f"`{name}` is derived nowhere"
                return self.defined(let.value, scene)
            case ("read" | "read_in", of, entity, _) if scene.world is not None:
                there = scene.world.exists(entity, self.term(of, scene))
                return self.both([self.defined(of, scene), there])
            case ("and" | "implies", a, b):
                later = self.implies(self.term(a, scene), self.defined(b, scene))
                return self.both([self.defined(a, scene), later])
            case ("or", a, b):
                return self.both([self.defined(a, scene), z3.Or(self.term(a, scene), self.defined(b, scene))])
            case ("if", c, a, b):
                either = z3.If(self.term(c, scene), self.defined(a, scene), self.defined(b, scene))
                return self.both([self.defined(c, scene), either])
            case ("??", a, b):
                there = z3.Not(self.is_none(self.term(a, scene)))
                return self.both([self.defined(a, scene), z3.Or(there, self.defined(b, scene))])
            case ("before", part):
                return self.defined(part, _earlier(scene))
            case ("//" | "%", a, b):
                return self.both([self.defined(a, scene), self.defined(b, scene), self.term(b, scene) != 0])
            case ("all" | "any" | "count" | "sum" | "first" | "filter" | "map_set" | "map_list", x, c, body):
                # Asked of each: an `all` that stops early asks fewer.
                return self.both([self.defined(c, scene), self._all_defined(x, c, body, scene)])
            case _:
                return self.both(self.defined(part, scene) for part in children(e))

    def _all_defined(self, x: str, c: Expr, body: Expr, scene: Scene) -> Term:
        if certain(body, {x} if through_entities(c) else set()):
            return self.true()
        if scene.world is not None and self.of_entities(c, scene):
            found = scene.world.each(x, c, scene, lambda inner: self.defined(body, inner))
            if found is not None:
                return found
        return self.open(("defined", scene.key, scene.event, c, body), "defined", ("bool",))

    def _left_open(self, e: Expr, scene: Scene) -> Term:
        self.left_open.setdefault(e)
        bound = tuple(sorted((name, term.get_id()) for name, term in scene.bound.items()))
        # What another entity holds may change between two states; only one scene sees one value of it.
        return self.open((scene.key, scene.event, e, bound), str(e[0]), type_of(e, scene.names))

    def has_role(self, role: str, scene: Scene) -> Term:
        """Return whether the caller of the scene's event holds a role; nobody holds two that exclude each other."""
        term = self.given((scene.event, "role", role), f"is_{role}", ("bool",))
        excluded = next((each.excludes for each in self.table.roles if each.name == role), ())
        for other in excluded:
            self.axiom(z3.Not(z3.And(term, self.given((scene.event, "role", other), f"is_{other}", ("bool",)))))
        return term

    def in_state(self, scene: Scene, states: Iterable[str]) -> Term:
        """Return whether the scene's entity is in one of these states."""
        if isinstance(scene.state, str):
            return z3.BoolVal(scene.state in states, self.context)
        entity = scene.names.entity
        assert entity is not None, "a state is somebody's"
        known = (NEW, *entity.states)
        return self.either(scene.state == self.number(known.index(state)) for state in states)

    def _compared(self, e: Expr, scene: Scene) -> Term:
        op, a, b = e
        if a[0] == "size" and b[0] == "lit" and (empty := _emptiness(op, b[2])) is not None:
            members = self._universe(a[1], scene.names)
            if members is not None:
                held = self.term(a[1], scene)
                some = self.either(z3.Select(held, each) for each in members)
                return z3.Not(some) if empty else some
        left, right = self.term(a, scene), self.term(b, scene)
        if left.sort().kind() not in {z3.Z3_INT_SORT, z3.Z3_REAL_SORT}:
            return self._left_open(e, scene)
        match op:
            case "<":
                return left < right
            case "<=":
                return left <= right
            case ">":
                return left > right
            case ">=":
                return left >= right
            case "min":
                return z3.If(left <= right, left, right)
            case _:
                return z3.If(left >= right, left, right)

    def _arithmetic(self, e: Expr, scene: Scene) -> Term:
        op, a, b = e
        left, right = self.term(a, scene), self.term(b, scene)
        if left.sort() != right.sort():
            left, right = (z3.ToReal(t) if t.sort().kind() == z3.Z3_INT_SORT else t for t in (left, right))
            if type_of(e, scene.names)[0] != "decimal":
                return self._left_open(e, scene)
        match op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case _ if left.sort().kind() == z3.Z3_REAL_SORT:
                floor = z3.ToReal(z3.ToInt(left / right))
                return floor if op == "//" else left - right * floor
            case _:
                # The solver's division rounds so that the remainder is not negative; ours floors.
                floor = z3.If(right > 0, left / right, (-left) / (-right))
                return floor if op == "//" else left - right * floor

    def _member(self, x: Expr, c: Expr, scene: Scene) -> Term:
        kind = type_of(c, scene.names)
        held, item = self.term(c, scene), self.term(x, scene)
        match kind[0]:
            case "set":
                held_sort = held.sort().domain()
                if item.sort() != held_sort:
                    # A `T?` is in a set of `T` if it is there, and its value is.
                    return z3.And(z3.Not(self.is_none(item)), z3.Select(held, self.value_of(item)))
                if self._universe(c, scene.names) is not None:
                    return z3.Select(held, item)
                return self.inside(kind, held, item)
            case "map" if item.sort() == held.sort().domain():
                inside = z3.Not(self.is_none(z3.Select(held, item)))
                self.axiom(z3.Implies(inside, self.size(kind, held) >= 1))
                return inside
            case _:
                return self._left_open(("in", x, c), scene)

    def inside(self, kind: Type, held: Term, item: Term) -> Term:
        """Return that a set has an element; then its size is not zero."""
        inside = z3.Select(held, item)
        if not self._counted(kind):
            self.axiom(z3.Implies(inside, self.size(kind, held) >= 1))
        return inside

    def _equal(self, a: Expr, b: Expr, scene: Scene) -> Term:
        left, right = self.term(a, scene), self.term(b, scene)
        whole: Expr = ("union", a, b)
        members = self._universe(whole, scene.names) if z3.is_array(left) else None
        if members is None:
            return left == right
        return self.both(z3.Select(left, each) == z3.Select(right, each) for each in members)

    def _universe(self, e: Expr, names: Names) -> list[Term] | None:
        """Return all that can be in a set, where that is little."""
        inner = universe(e, names)
        values = None if inner is None else few(inner)
        if values is None:
            return None
        assert inner is not None, "it has values"
        return [self.constant(inner, value) for value in values]

    def _count(self, held: Term, members: Sequence[Term]) -> Term:
        if not members:
            return self.number(0)
        return z3.Sum([z3.If(z3.Select(held, each), self.number(1), self.number(0)) for each in members])

    def _combined(self, e: Expr, scene: Scene) -> Term:
        op, a, b = e
        kind = type_of(a, scene.names)
        members = self._universe(e, scene.names)
        if members is not None:
            return self._chosen(op, kind[1], self.term(a, scene), self.term(b, scene), members)
        if op != "intersect" and b[0] == "set":
            # One after the other, which keeps the size exact.
            term = self.term(a, scene)
            for item in b[2]:
                term = self._put(kind, term, self.term(item, scene), there=op == "union")
            return term
        left, right = self.term(a, scene), self.term(b, scene)
        match op:
            case "union":
                term = z3.SetUnion(left, right)
            case "minus":
                term = z3.SetDifference(left, right)
            case _:
                term = z3.SetIntersect(left, right)
        if not self._counted(kind):
            size, first, second = (self.size(kind, each) for each in (term, left, right))
            match op:
                case "union":
                    self.axiom(size <= first + second, size >= first, size >= second)
                case "minus":
                    self.axiom(size <= first, size >= first - second)
                case _:
                    self.axiom(size <= first, size <= second)
        return term

    def _chosen(self, op: str, inner: Type, left: Term, right: Term, members: Sequence[Term]) -> Term:
        """Return a set put together of two, element by element: so the solver has nothing to do with sets."""
        term = z3.K(self.sort(inner), self.false())
        for each in members:
            one, other = z3.Select(left, each), z3.Select(right, each)
            match op:
                case "union":
                    inside = z3.Or(one, other)
                case "minus":
                    inside = z3.And(one, z3.Not(other))
                case _:
                    inside = z3.And(one, other)
            term = z3.Store(term, each, inside)
        return term

    def _quantified(self, e: Expr, x: str, c: Expr, body: Expr, scene: Scene) -> Term:
        kind = type_of(c, scene.names)
        if kind[0] != "set" or c[0] == "every":
            return self._left_open(e, scene)
        inner = element_type(kind)
        members = self._universe(c, scene.names) or self.members(inner)
        if members is None:
            return self._left_open(e, scene)
        held = self.term(c, scene)
        inside = [(z3.Select(held, m), self.term(body, self.bind(scene, x, inner, m))) for m in members]
        match e[0]:
            case "all":
                return self.both(z3.Implies(there, holds) for there, holds in inside)
            case "any":
                return self.either(z3.And(there, holds) for there, holds in inside)
            case _:
                return z3.Sum([z3.If(z3.And(*pair), self.number(1), self.number(0)) for pair in inside])

    @staticmethod
    def bind(scene: Scene, x: str, inner: Type, term: Term) -> Scene:
        """Return the scene with one bound variable more."""
        return replace(scene, names=scene.names.bind(x, inner), bound={**scene.bound, x: term})

    # --- scenes -------------------------------------------------------------------------------------------------------

    def stranger(self, names: Names, key: str, state: str | Term) -> Scene:
        """Return a scene whose fields can be anything of their types, with the bounds among the axioms of `bounds`."""
        entity = names.entity
        assert entity is not None, "a scene is an entity's"
        fields = {each.name: self.given((key, "field", each.name), each.name, each.type) for each in entity.fields}
        return Scene(key, names, state, fields, event=key)

    def implies(self, a: Term, b: Term) -> Term:
        """Return that one condition implies another."""
        return z3.BoolRef(z3.Z3_mk_implies(self.context.ref(), a.as_ast(), b.as_ast()), self.context)

    def bounds(self, entity: shape.Entity, fields: Mapping[str, Term]) -> Term:
        """Return what the declared types say of an entity's fields."""
        return self.both(self.within(each.type, fields[each.name]) for each in entity.fields)


def through_entities(c: Expr) -> bool:
    """Say whether a collection is made of all entities of a kind, or of those that refer to one."""
    while c[0] == "filter":
        c = c[2]
    return c[0] in {"every", "inverse"}


def _earlier(scene: Scene) -> Scene:
    """Return the scene before a step, for whoever a variable stands for now."""
    before = scene.before
    assert before is not None, "only properties of steps look back"
    if not scene.bound:
        return before
    names = replace(before.names, bound=scene.names.bound)
    return replace(before, names=names, bound={**before.bound, **scene.bound})


def _emptiness(op: str, number: object) -> bool | None:
    """Return whether comparing a size so asks for nothing (`True`) or for something (`False`); `None` for neither."""
    return {(">", 0): False, (">=", 1): False, ("<", 1): True, ("<=", 0): True}.get((op, number))  # type: ignore[arg-type]  # whatever is no number is not in it


def certain(e: Expr, there: set[str]) -> bool:
    """Say whether an expression has a value wherever the entities are there that these variables stand for."""
    match e:
        case ("read" | "read_in", ("var", name), _, _):
            return name in there
        case ("read" | "read_in" | "//" | "%" | "let" | "before", *_):
            return False
        case ("all" | "any" | "count" | "sum" | "filter", x, c, body):
            return certain(c, there) and certain(body, {*there, x} if through_entities(c) else there - {x})
        case _:
            return all(certain(part, there) for part in children(e))


def divisions(e: Expr) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """Each divisor in `e`, with the conditions under which it is reached (`and`, `or`, `implies` and `if` are lazy)."""
    yield from _divisions(e, ())


def _divisions(e: Expr, under: tuple[Expr, ...]) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    match e:
        case ("and" | "implies", a, b):
            yield from _divisions(a, under)
            yield from _divisions(b, (*under, a))
        case ("or", a, b):
            yield from _divisions(a, under)
            yield from _divisions(b, (*under, ("not", a)))
        case ("if", c, a, b):
            yield from _divisions(c, under)
            yield from _divisions(a, (*under, c))
            yield from _divisions(b, (*under, ("not", c)))
        case ("all" | "any" | "count" | "sum" | "first" | "filter" | "map_set" | "map_list", _, over, body):
            yield from _divisions(over, under)
            # What the variable is bound to is not followed: its divisors are asked about by the search.
            yield from ((("var", ""), under) for _ in _divisions(body, ()))
        case ("//" | "%", a, b):
            yield from _divisions(a, under)
            yield from _divisions(b, under)
            yield b, under
        case _:
            for part in children(e):
                yield from _divisions(part, under)


def _kind(type_: Type) -> Type:
    """Return what tells sorts apart: the type without its bounds; all references are of one sort."""
    match type_:
        case ("int" | "decimal", _, _):
            return (type_[0],)
        case ("ref", _):
            return ("ref",)
        case ("set" | "list", inner, _):
            return (type_[0], _kind(inner))
        case ("map", key, inner, _):
            return ("map", _kind(key), _kind(inner))
        case ("optional", inner):
            return ("optional", _kind(inner))
        case _:
            return type_


def _unbounded(type_: Type, table: Table) -> bool:
    return opened(type_) == type_ and (
        type_[0] != "record" or all(_unbounded(part.type, table) for part in table.records[type_[1]])
    )
