"""Property-directed reachability by Z3's fixedpoint engine: it finds the strengthening of an invariant by itself.

The table becomes Horn clauses, with a relation for each state over the fields. Collections are left out, and what is
read of them is left open, so that there are more runs here than there are: what is proved stands. The invariant that
comes back is turned into a blueprint's words and is no proof until `certificate.py` has checked it in the encoding
that all others use; one that can't be said in words proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import z3
from msgspec import Struct
from msgspec.structs import replace

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import NEW
from temper.verify.expressions import FALSE, TRUE, conjuncts, in_one_state, names_in, opened
from temper.verify.symbolic.linear import KINDS, literal, relation
from temper.verify.symbolic.paths import paths
from temper.verify.symbolic.solve import heard
from temper.verify.symbolic.terms import Term, Terms

_SCALARS = frozenset({"bool", "int", "decimal", "time", "duration", "one_of", "string", "principal", "ref"})


class Spacer:
    """One entity as Horn clauses."""

    def __init__(self, table: Table, entity: shape.Entity, rlimit: int) -> None:
        self.terms = Terms(table, plain=True)
        self.table = table
        self.entity = entity
        self.rlimit = rlimit
        self.fields = [each for each in entity.fields if _scalar(each.type)]
        self.engine = z3.Fixedpoint(ctx=self.terms.context)
        self.engine.set("engine", "spacer")
        self.engine.set("rlimit", rlimit)
        # Rewritten clauses give answers with quantifiers, which are in nobody's words.
        for option in ("xform.inline_eager", "xform.inline_linear", "xform.slice"):
            self.engine.set(option, False)
        sorts = [self.terms.sort(each.type) for each in self.fields]
        truth = z3.BoolSort(self.terms.context)
        self.relations = {
            state: z3.Function(f"at_{number}", *sorts, truth) for number, state in enumerate(entity.states)
        }
        self.bad = z3.Function("bad", truth)
        self.declared = (*self.relations.values(), self.bad)
        for each in self.declared:
            self.engine.register_relation(each)
        self._fresh = 0

    def prove(self, condition: Expr) -> dict[str, tuple[Expr, ...]] | None:
        """Return an invariant from which the condition follows, by state; `None` where none is found."""
        try:
            self._rules()
            self._question(condition)
            if heard(self.engine, self.engine.query(self.bad())) != z3.unsat:
                return None
            return self._answer(self.engine.get_answer())
        except z3.Z3Exception as gave_up:
            if "interrupted" in str(gave_up):
                raise KeyboardInterrupt from None
            # It gives up by raising, at its limit and at what it has no theory for.
            return None

    # --- clauses ------------------------------------------------------------------------------------------------------

    def _rules(self) -> None:
        terms, entity = self.terms, self.entity
        for action in entity.actions.values():
            for path in paths(terms, self.table, entity, action, _froms(action)):
                body = [path.condition, terms.bounds(entity, path.fields)]
                if path.before != NEW:
                    body.append(self._at(path.before, path.scene.fields))
                self._rule(self._at(path.after, path.fields), body)

    def _question(self, condition: Expr) -> None:
        terms, entity = self.terms, self.entity
        names = names_in(self.table, entity)
        for state in entity.states:
            part = in_one_state(condition, state)
            if part == TRUE:
                continue
            scene = terms.stranger(names, f"asked in {state}", state)
            body = [self._at(state, scene.fields), terms.bounds(entity, scene.fields), z3.Not(terms.term(part, scene))]
            self._rule(self.bad(), body)

    def _at(self, state: str, fields: Mapping[str, Term]) -> Term:
        return self.relations[state](*(fields[each.name] for each in self.fields))

    def _rule(self, head: Term, body: list[Term]) -> None:
        whole = z3.And(*body, *self.terms.axioms_of([head, *body]))
        clause = z3.Implies(whole, head)
        clause = z3.substitute(clause, *self._abstracted(clause))
        free = [term for term in self.terms.free(clause) if not self._relation(term)]
        self.engine.add_rule(z3.ForAll(free, clause) if free else clause)

    def _abstracted(self, clause: Term) -> list[tuple[Term, Term]]:
        """Return what stands for each part of a clause that speaks of a collection: a value of its own."""
        found: dict[int, tuple[Term, Term]] = {}
        seen: set[int] = set()
        waiting = [clause]
        while waiting:
            term = waiting.pop()
            if term.get_id() in seen:
                continue
            seen.add(term.get_id())
            parts = term.children()
            strange = any(not _plain_sort(part) for part in parts)
            function = term.decl().kind() == z3.Z3_OP_UNINTERPRETED and bool(parts) and not self._relation(term)
            if _plain_sort(term) and (strange or function):
                self._fresh += 1
                found[term.get_id()] = (term, z3.Const(f"open {self._fresh}", term.sort()))
            else:
                waiting.extend(parts)
        return list(found.values())

    def _relation(self, term: Term) -> bool:
        return term.decl() in self.declared

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _answer(self, answer: Term) -> dict[str, tuple[Expr, ...]] | None:
        by_name = {relation_.name(): state for state, relation_ in self.relations.items()}
        found: dict[str, tuple[Expr, ...]] = {}
        for part in answer.children() if z3.is_and(answer) else [answer]:
            inner = part.body() if z3.is_quantifier(part) else part
            if not z3.is_eq(inner) or inner.arg(0).decl().name() not in by_name:
                continue
            state = by_name[inner.arg(0).decl().name()]
            given = [z3.Const(f"field {each.name}", self.terms.sort(each.type)) for each in self.fields]
            # The relation's own arguments say which variable stands for which field.
            order = {
                z3.get_var_index(arg): index for index, arg in enumerate(inner.arg(0).children()) if z3.is_var(arg)
            }
            body = inner.arg(1)
            if order:
                body = z3.substitute_vars(body, *(given[order[index]] for index in range(len(order))))
            said = _Words(self).of(z3.simplify(body))
            if said is None:
                return None
            found[state] = tuple(e for e in conjuncts(said) if e != TRUE)
        # A relation that the engine has not needed is one that nothing leads to.
        return {state: found.get(state, (FALSE,)) for state in self.entity.states if found.get(state, (FALSE,))}


class _Linear(Struct, frozen=True):
    kind: str
    terms: Mapping[Expr, Fraction]
    constant: Fraction


class _Words:
    """Terms of the solver as expressions of the table. `None` is what can't be said."""

    def __init__(self, spacer: Spacer) -> None:
        self.spacer = spacer
        self.types: dict[str, Type] = {f"field {each.name}": each.type for each in spacer.fields}

    def of(self, term: Term) -> Expr | None:
        """Return a condition."""
        if z3.is_true(term) or z3.is_false(term):
            return TRUE if z3.is_true(term) else FALSE
        if not z3.is_app(term):
            return None
        match term.decl().kind():
            case z3.Z3_OP_AND:
                return self._chain("and", term)
            case z3.Z3_OP_OR:
                return self._chain("or", term)
            case z3.Z3_OP_NOT:
                return self._not(term.arg(0))
            case z3.Z3_OP_IMPLIES:
                return self._pair("implies", term)
            case z3.Z3_OP_EQ if z3.is_bool(term.arg(0)):
                return self._pair("==", term)
            case z3.Z3_OP_EQ:
                return self._equal("==", term)
            case z3.Z3_OP_LE:
                return self._compared("<=", term)
            case z3.Z3_OP_GE:
                return self._compared(">=", term)
            case z3.Z3_OP_LT:
                return self._compared("<", term)
            case z3.Z3_OP_GT:
                return self._compared(">", term)
            case z3.Z3_OP_DT_IS | z3.Z3_OP_DT_RECOGNISER:
                return self._is(term)
            case _:
                found = self.value(term)
                return found[0] if found is not None and found[1] == ("bool",) else None

    def _chain(self, op: str, term: Term) -> Expr | None:
        total: Expr | None = None
        for part in term.children():
            e = self.of(part)
            if e is None:
                return None
            total = e if total is None else (op, total, e)
        return total

    def _pair(self, op: str, term: Term) -> Expr | None:
        a, b = self.of(term.arg(0)), self.of(term.arg(1))
        return None if a is None or b is None else (op, a, b)

    def _not(self, inner: Term) -> Expr | None:
        opposite = {z3.Z3_OP_LE: ">", z3.Z3_OP_GE: "<", z3.Z3_OP_LT: ">=", z3.Z3_OP_GT: "<="}
        if z3.is_app(inner) and inner.decl().kind() in opposite:
            return self._compared(opposite[inner.decl().kind()], inner)
        if z3.is_eq(inner) and not z3.is_bool(inner.arg(0)):
            return self._equal("!=", inner)
        e = self.of(inner)
        return None if e is None else ("not", e)

    def _is(self, term: Term) -> Expr | None:
        found = self.value(term.arg(0))
        if found is None:
            return None
        e, type_ = found
        recognised = term.decl().params()[0].name() if term.decl().kind() == z3.Z3_OP_DT_IS else term.decl().name()
        if type_[0] == "optional":
            return ("==" if "none_" in recognised else "!=", e, ("none", type_))
        if type_[0] == "one_of":
            return ("==", e, ("lit", type_, recognised.partition(".")[2]))
        return None

    def _equal(self, op: str, term: Term) -> Expr | None:
        if z3.is_arith(term.arg(0)):
            linear = self._compared(op, term)
            if linear is not None:
                return linear
        a, b = self.value(term.arg(0)), self.value(term.arg(1))
        if a is None or b is None:
            # A literal alone does not say what it is a literal of; the other side does.
            known = a or b
            other = term.arg(1) if a is not None else term.arg(0)
            if known is None:
                return None
            lit = self._literal(other, known[1])
            return None if lit is None else (op, known[0], lit)
        return (op, a[0], b[0])

    def _literal(self, term: Term, type_: Type) -> Expr | None:
        if type_[0] in {"string", "principal", "ref"}:
            for value, known in self.spacer.terms.named(type_).items():
                if known.eq(term):
                    return ("lit", type_, value)
            return None
        if type_[0] == "optional" and z3.is_app(term) and term.num_args() == 0 and "none_" in term.decl().name():
            return ("none", type_)
        return None

    def value(self, term: Term) -> tuple[Expr, Type] | None:
        """Return a value with its type."""
        if not z3.is_app(term):
            return None
        name = term.decl().name()
        if term.num_args() == 0 and name in self.types:
            type_ = self.types[name]
            return ("field", name.removeprefix("field ")), opened(type_)
        if term.decl().kind() == z3.Z3_OP_DT_ACCESSOR:
            inner = self.value(term.arg(0))
            return None if inner is None or inner[1][0] != "optional" else (("value", inner[0]), inner[1][1])
        if term.num_args() == 0 and term.decl().kind() == z3.Z3_OP_DT_CONSTRUCTOR and "." in name:
            for each in self.spacer.fields:
                kind = each.type[1] if each.type[0] == "optional" else each.type
                if kind[0] == "one_of" and self.spacer.terms.sort(kind).name() == term.sort().name():
                    return ("lit", kind, name.partition(".")[2]), kind
        return None

    # --- numbers ------------------------------------------------------------------------------------------------------

    def _compared(self, op: str, term: Term) -> Expr | None:
        a, b = self._linear(term.arg(0)), self._linear(term.arg(1))
        if a is None or b is None:
            return None
        kind = a.kind or b.kind
        if kind not in KINDS or (b.kind and b.kind != kind):
            return None
        terms = dict(a.terms)
        for e, c in b.terms.items():
            terms[e] = terms.get(e, Fraction(0)) - c
        return relation(op, kind, {e: c for e, c in terms.items() if c}, a.constant - b.constant)

    def _linear(self, term: Term) -> _Linear | None:
        if z3.is_int_value(term):
            return _Linear("", {}, Fraction(term.as_long()))
        if z3.is_rational_value(term):
            return _Linear("", {}, Fraction(term.numerator_as_long(), term.denominator_as_long()))
        if not z3.is_app(term):
            return None
        match term.decl().kind():
            case z3.Z3_OP_ADD | z3.Z3_OP_SUB:
                parts = [self._linear(part) for part in term.children()]
                sign = -1 if term.decl().kind() == z3.Z3_OP_SUB else 1
                total: _Linear | None = parts[0]
                for part in parts[1:]:
                    total = _added(total, part, sign)
                return total
            case z3.Z3_OP_UMINUS:
                return _added(_Linear("", {}, Fraction(0)), self._linear(term.arg(0)), -1)
            case z3.Z3_OP_MUL if term.num_args() == 2:
                a, b = self._linear(term.arg(0)), self._linear(term.arg(1))
                if a is None or b is None or (a.terms and b.terms):
                    return None
                factor, scaled = (a.constant, b) if not a.terms else (b.constant, a)
                return replace(
                    scaled, terms={e: c * factor for e, c in scaled.terms.items()}, constant=scaled.constant * factor
                )
            case z3.Z3_OP_MOD if z3.is_int_value(term.arg(1)) and term.arg(1).as_long() > 0:
                inner = self._linear(term.arg(0))
                plain = relation("==", "int", inner.terms, inner.constant) if inner and inner.kind == "int" else None
                if inner is None or plain is None or inner.constant or len(inner.terms) != 1:
                    return None
                modulus = literal("int", Fraction(term.arg(1).as_long()))
                ((e, c),) = inner.terms.items()
                if c != 1 or modulus is None:
                    return None
                return _Linear("int", {("%", e, modulus): Fraction(1)}, Fraction(0))
            case _:
                found = self.value(term)
                if found is None or found[1][0] not in KINDS:
                    return None
                return _Linear(found[1][0], {found[0]: Fraction(1)}, Fraction(0))


def _added(a: _Linear | None, b: _Linear | None, sign: int) -> _Linear | None:
    if a is None or b is None or (a.kind and b.kind and a.kind != b.kind):
        return None
    terms = dict(a.terms)
    for e, c in b.terms.items():
        terms[e] = terms.get(e, Fraction(0)) + sign * c
    return _Linear(a.kind or b.kind, terms, a.constant + sign * b.constant)


def _scalar(type_: Type) -> bool:
    return type_[0] in _SCALARS or (type_[0] == "optional" and type_[1][0] in _SCALARS)


def _plain_sort(term: Term) -> bool:
    kind = term.sort().kind()
    if kind == z3.Z3_DATATYPE_SORT:
        return not term.sort().name().startswith("record_")
    return kind in {z3.Z3_BOOL_SORT, z3.Z3_INT_SORT, z3.Z3_REAL_SORT}


def _froms(action: shape.Action) -> Iterator[str]:
    yield from dict.fromkeys(state for case in action.cases for state in case.froms)
