"""What a system's expressions and rules mean: plain evaluation, to which every engine is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from temper.verify.system.ir import Code, Path, Rule, State, System

COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
NUMBERS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": min,
    "max": max,
    "bits_and": lambda a, b: a & b,
    "bits_or": lambda a, b: a | b,
    "bits_without": lambda a, b: a & ~b,
    "has": lambda a, b: a >> b & 1,
}


def evaluate(system: System, code: Code, state: State, after: State | None = None) -> int:
    """Return what a code is worth in a state; `after` is the state after the step, for those that read `next`."""
    name = code[0]
    match name:
        case "const":
            return int(code[1])
        case "var":
            return state[code[1]] + system.variables[code[1]].low
        case "next":
            assert after is not None, "`next` is read of a step alone"
            return after[code[1]] + system.variables[code[1]].low
        case "and":
            return int(all(evaluate(system, part, state, after) for part in code[1:]))
        case "or":
            return int(any(evaluate(system, part, state, after) for part in code[1:]))
        case "not":
            return int(not evaluate(system, code[1], state, after))
        case "ite":
            chosen = code[2] if evaluate(system, code[1], state, after) else code[3]
            return evaluate(system, chosen, state, after)
        case "neg":
            return -evaluate(system, code[1], state, after)
        case "bit":
            return 1 << evaluate(system, code[1], state, after)
        case "count":
            return evaluate(system, code[1], state, after).bit_count()
        case _:
            a, b = evaluate(system, code[1], state, after), evaluate(system, code[2], state, after)
            return int(COMPARE[name](a, b)) if name in COMPARE else NUMBERS[name](a, b)


def fault_of(system: System, rule: Rule, state: State) -> int | None:
    """Return the number of the first fault that a rule meets in a state where its guard holds."""
    return next((n for n, fault in enumerate(rule.faults) if evaluate(system, fault.condition, state)), None)


def taken(system: System, rule: Rule, state: State) -> State | None:
    """Return the state after a rule, `None` where it can't be taken: its guard does not hold, or it meets a fault."""
    if not evaluate(system, rule.guard, state) or fault_of(system, rule, state) is not None:
        return None
    after = list(state)
    for index, code in rule.updates:
        after[index] = evaluate(system, code, state) - system.variables[index].low
    for index, _ in rule.updates:
        assert 0 <= after[index] < system.variables[index].size, f"{rule.name}: {system.variables[index].name}"
    return tuple(after)


def successors(system: System) -> Callable[[State], Iterator[tuple[int, State]]]:
    """Return what gives every step from a state, as the number of its rule and the state after it."""

    def steps(state: State) -> Iterator[tuple[int, State]]:
        for number, rule in enumerate(system.rules):
            after = taken(system, rule, state)
            if after is not None:
                yield number, after

    return steps


def rule_between(system: System, before: State, after: State) -> int:
    """Return the number of the first rule that leads from one state to the other; there is one."""
    for number, rule in enumerate(system.rules):
        if taken(system, rule, before) == after:
            return number
    raise AssertionError("a state is reached by some rule")


def states_of(system: System, path: Path) -> list[State]:
    """Return the states along a path, from the initial one; a last rule that meets a fault adds none."""
    states = [system.initial[path.initial]]
    for position, number in enumerate(path.rules):
        if path.fault is not None and position == len(path.rules) - 1:
            break
        after = taken(system, system.rules[number], states[-1])
        assert after is not None, f"rule {number} can't be taken where the path takes it"
        states.append(after)
    return states
