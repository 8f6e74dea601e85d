"""Systems, drawn: small variables, any guards, updates that stay within them, faults, and questions of both kinds."""

from __future__ import annotations

from hypothesis import strategies as st

from temper.verify.system.ir import Code, Fault, Leads, Orbit, Question, Rule, State, System, Var

_RELATIONS = ("==", "!=", "<", "<=", ">", ">=")
_CLASSES = ("system", "system", "operator", "builder", "")


@st.composite
def variables(draw: st.DrawFn, *, most: int = 4) -> tuple[Var, ...]:
    """Draw variables: numbers (from a low end that may be negative), and sets of up to three elements."""
    found = []
    for index in range(draw(st.integers(1, most))):
        if draw(st.integers(0, 3)) == 0:
            found.append(Var(f"mask {index}", 1 << draw(st.integers(1, 3)), 0))
        else:
            size = draw(st.integers(1, 6))
            low = draw(st.sampled_from((0, 0, 1, -2)))
            labels = tuple(f"L{n}" for n in range(size)) if draw(st.booleans()) else ()
            found.append(Var(f"v {index}", size, low, labels))
    return tuple(found)


def numbers(sized: tuple[Var, ...], *, after: bool = False, depth: int = 2) -> st.SearchStrategy[Code]:
    """Draw a code of a number; with `after`, of a step. No division by what may be zero stands unprotected."""
    leaves: st.SearchStrategy[Code] = st.integers(-3, 7).map(lambda n: ("const", n))
    leaves |= st.sampled_from([("var", index) for index in range(len(sized))])
    if after:
        leaves |= st.sampled_from([("next", index) for index in range(len(sized))])
    if depth == 0:
        return leaves
    inner = numbers(sized, after=after, depth=depth - 1)
    truths = conditions(sized, after=after, depth=depth - 1)
    masks = sets(sized, after=after)
    divisor = st.sampled_from([("const", n) for n in (-3, -2, 1, 2, 3)])
    return (
        leaves
        | st.tuples(st.sampled_from(("+", "-", "*", "min", "max")), inner, inner)
        | st.tuples(st.sampled_from(("//", "%")), inner, divisor)
        | st.builds(_protected, st.sampled_from(("//", "%")), inner, inner)
        | st.tuples(st.just("neg"), inner)
        | st.tuples(st.just("ite"), truths, inner, inner)
        | st.tuples(st.just("count"), masks)
        | masks
    )


def _protected(name: str, a: Code, b: Code) -> Code:
    return ("ite", ("==", b, ("const", 0)), a, (name, a, b))


def sets(sized: tuple[Var, ...], *, after: bool = False) -> st.SearchStrategy[Code]:
    """Draw a code of a set of small numbers."""
    known = [("var", index) for index, each in enumerate(sized) if each.name.startswith("mask")]
    if after:
        known += [("next", code[1]) for code in known]
    leaves: st.SearchStrategy[Code] = st.integers(0, 7).map(lambda n: ("const", n))
    leaves |= st.integers(0, 3).map(lambda n: ("bit", ("const", n)))
    if known:
        leaves |= st.sampled_from(known)
    return leaves | st.tuples(st.sampled_from(("bits_and", "bits_or", "bits_without")), leaves, leaves)


def conditions(sized: tuple[Var, ...], *, after: bool = False, depth: int = 2) -> st.SearchStrategy[Code]:
    """Draw a code of a truth value."""
    number = numbers(sized, after=after, depth=max(depth - 1, 0))
    element = st.integers(0, 3).map(lambda n: ("const", n))
    atoms: st.SearchStrategy[Code] = (
        st.tuples(st.sampled_from(_RELATIONS), number, number)
        | st.tuples(st.just("has"), sets(sized, after=after), element)
        | st.sampled_from([("const", 0), ("const", 1)])
    )
    if depth == 0:
        return atoms
    inner = conditions(sized, after=after, depth=depth - 1)
    return (
        atoms
        | st.tuples(st.sampled_from(("and", "or")), inner, inner)
        | st.tuples(st.sampled_from(("and", "or")), inner, inner, inner)
        | st.tuples(st.just("not"), inner)
        | st.tuples(st.just("ite"), inner, inner, inner)
    )


def _within(variable: Var, code: Code) -> Code:
    """Return a code made to fit a variable: what leaves it wraps around."""
    low = ("const", variable.low)
    return ("+", ("%", ("-", code, low), ("const", variable.size)), low)


@st.composite
def rules(draw: st.DrawFn, sized: tuple[Var, ...], number: int) -> Rule:
    """Draw a rule: often from one value of a variable to another, now and then with a fault in the way."""
    guard = draw(conditions(sized))
    if draw(st.booleans()):
        index = draw(st.integers(0, len(sized) - 1))
        value = sized[index].low + draw(st.integers(0, sized[index].size - 1))
        guard = ("and", ("==", ("var", index), ("const", value)), guard)
    updates = []
    for index in sorted(draw(st.sets(st.integers(0, len(sized) - 1), max_size=2))):
        variable = sized[index]
        if draw(st.booleans()):
            code: Code = ("const", variable.low + draw(st.integers(0, variable.size - 1)))
        else:
            code = _within(variable, draw(numbers(sized)))
        updates.append((index, code))
    faults = tuple(
        Fault(draw(conditions(sized, depth=1)), draw(st.sampled_from(("out of type", "division"))), f"site {n}")
        for n in range(draw(st.sampled_from((0, 0, 0, 1, 2))))
    )
    fair = draw(st.sampled_from(_CLASSES))
    return Rule(
        f"rule {number}", guard, tuple(updates), f"rule/{number}", "", fair, faults, None, draw(st.integers(1, 2))
    )


@st.composite
def systems(draw: st.DrawFn, *, rules_max: int = 6, most: int = 4) -> System:
    """Draw a system with one or two initial states, and questions of states, of steps, and of what leads to what."""
    sized = draw(variables(most=most))
    initial: list[State] = draw(
        st.lists(st.tuples(*(st.integers(0, each.size - 1) for each in sized)), min_size=1, max_size=2, unique=True)
    )
    made = tuple(draw(rules(sized, number)) for number in range(draw(st.integers(1, rules_max))))
    questions = []
    for number in range(draw(st.integers(0, 3))):
        step = draw(st.booleans())
        kind = "always" if step else draw(st.sampled_from(("always", "reach")))
        questions.append(Question(f"question {number}", kind, draw(conditions(sized, after=step)), step, key=number))
    leads = []
    for number in range(draw(st.integers(0, 2))):
        start, goal = draw(conditions(sized, depth=1)), draw(conditions(sized, depth=1))
        fair = draw(st.sampled_from((("system",), ("system", "operator"), ())))
        strong = draw(st.sampled_from(((), (), fair)))
        leads.append(Leads(f"leads {number}", start, goal, fair, strong, key=number))
    return System(sized, tuple(initial), made, tuple(questions), tuple(leads))


# --- systems with interchangeable members: rules are drawn once, about "me" and "you", and hold for every member ---


def _instance(code: Code, members: tuple[tuple[int, ...], ...], who: dict[str, int]) -> Code:
    """Return what a code about members is for these ones."""
    match code:
        case ("own", name, place):
            return ("var", members[who[name]][place])
        case ("name", name):
            return ("const", 1 + who[name])
        case ("single", name):
            return ("const", 1 << who[name])
        case ("any" | "sum" as over, inner):
            parts = [_instance(inner, members, {**who, "any": k}) for k in range(len(members))]
            if over == "any":
                return ("or", *parts)
            total = parts[0]
            for part in parts[1:]:
                total = ("+", total, part)
            return total
        case ("const" | "var" | "next", _):
            return code
        case _:
            return (code[0], *(_instance(part, members, who) for part in code[1:]))


@st.composite
def symmetric_systems(draw: st.DrawFn) -> System:
    """Draw a system of two or three members that can be exchanged: with variables of their own, a reference each, and
    references and sets of everybody's.

    The variables: 0 a number of everybody's, 1 names a member or none (0), 2 is a set of members; then for each member
    a number, and a reference to a member or none.
    """
    count = draw(st.integers(2, 3))
    size = draw(st.integers(2, 3))
    shared = (Var("shared", 3), Var("chosen", count + 1), Var("mask all", 1 << count))
    own = tuple(Var(f"{name} {k}", many) for k in range(count) for name, many in (("n", size), ("to", count + 1)))
    members = tuple((3 + 2 * k, 4 + 2 * k) for k in range(count))

    def atoms(names: tuple[str, ...], *, within: bool = False) -> st.SearchStrategy[Code]:
        name = st.sampled_from(names)
        digit = st.integers(0, 2).map(lambda n: ("const", n))
        number = name.map(lambda who: ("own", who, 0)) | st.just(("var", 0)) | st.just(("count", ("var", 2)))
        named = name.map(lambda who: ("own", who, 1)) | st.just(("var", 1))
        whom = name.map(lambda who: ("name", who)) | st.just(("const", 0)) | named
        found: st.SearchStrategy[Code] = st.tuples(st.sampled_from(_RELATIONS), number, digit | number)
        found |= st.tuples(st.sampled_from(("==", "!=")), named, whom)
        found |= name.map(lambda who: ("!=", ("bits_and", ("var", 2), ("single", who)), ("const", 0)))
        if not within:
            found |= atoms((*names, "any"), within=True).map(lambda inner: ("any", inner))
            total = st.just(("sum", ("own", "any", 0)))
            found |= st.tuples(st.sampled_from(_RELATIONS), total, st.integers(0, 4).map(lambda n: ("const", n)))
        return found

    def conditions_of(names: tuple[str, ...]) -> st.SearchStrategy[Code]:
        atom = atoms(names)
        return atom | st.tuples(st.sampled_from(("and", "or")), atom, atom) | st.tuples(st.just("not"), atom)

    def updates_of(names: tuple[str, ...]) -> st.SearchStrategy[tuple[tuple[int | tuple[str, int], Code], ...]]:
        name = st.sampled_from(names)
        whom = name.map(lambda who: ("name", who)) | st.just(("const", 0)) | name.map(lambda who: ("own", who, 1))
        chosen = whom | st.just(("var", 1))
        one = st.tuples(
            st.just(("me", 0)),
            st.integers(0, size - 1).map(lambda n: ("const", n))
            | st.just(("%", ("+", ("own", "me", 0), ("const", 1)), ("const", size))),
        )
        one |= st.tuples(st.just(("me", 1)), chosen)
        one |= st.tuples(st.just(1), chosen)
        one |= st.tuples(
            st.just(2),
            st.tuples(
                st.sampled_from(("bits_or", "bits_without")), st.just(("var", 2)), name.map(lambda w: ("single", w))
            ),
        )
        one |= st.tuples(st.just(0), st.integers(0, 2).map(lambda n: ("const", n)))
        return st.lists(one, min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(tuple)

    made: list[Rule] = []
    for number in range(draw(st.integers(1, 5))):
        names = draw(st.sampled_from((("me",), ("me", "you"))))
        guard, updates = draw(conditions_of(names)), draw(updates_of(names))
        faults = draw(st.sampled_from((0, 0, 1)))
        fault = draw(conditions_of(names)) if faults else ("const", 0)
        weight = draw(st.integers(1, 2))
        for me in range(count):
            for you in range(count) if "you" in names else (me,):
                if "you" in names and me == you:
                    continue
                who = {"me": me, "you": you}
                made.append(
                    Rule(
                        f"rule {number} {me} {you}",
                        _instance(guard, members, who),
                        tuple(
                            (
                                members[me][place[1]] if isinstance(place, tuple) else place,
                                _instance(code, members, who),
                            )
                            for place, code in updates
                        ),
                        f"rule/{number}",
                        faults=(Fault(_instance(fault, members, who), "out of type", f"site {number}"),) * faults,
                        weight=weight,
                    )
                )
    questions = []
    for number in range(draw(st.integers(0, 3))):
        bad = _instance(("any", draw(atoms(("any",), within=True))), members, {})
        questions.append(Question(f"question {number}", "always", bad, key=number))
    if draw(st.booleans()):
        bad = ("and", ("!=", ("var", 1), ("next", 1)), ("!=", ("next", 1), ("const", 0)))
        questions.append(Question("a step", "always", bad, step=True))
    start = (draw(st.integers(0, 2)), 0, draw(st.sampled_from((0, (1 << count) - 1))))
    mine = (draw(st.integers(0, size - 1)), 0)
    orbit = Orbit(members, ((1, 1), *((member[1], 1) for member in members)), ((2, 0),))
    return System((*shared, *own), ((*start, *mine * count),), tuple(made), tuple(questions), orbits=(orbit,))
