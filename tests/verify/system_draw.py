"""Systems, drawn: small variables, any guards, updates that stay within them, faults, and questions of both kinds."""

from __future__ import annotations

from hypothesis import strategies as st

from temper.verify.system.ir import Code, Fault, Leads, Question, Rule, State, System, Var

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
