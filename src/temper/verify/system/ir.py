"""The finite transition system that every engine searches.

A state is a tuple of codes, one for each variable, each from 0 to its size less one. Rules are ground: parameters,
callers and choices of the outside have been drawn when the table was lowered, so that a rule is a guard and
simultaneous updates, and a step of the system is one rule whose guard holds.

**Expressions** are nested tuples over the state before the step; values are integers, `0` and `1` for false and true,
and fit 62 bits with a sign. Sets over a domain of at most 62 elements are bit masks.

| expression | value |
|---|---|
| `("const", n)` | n |
| `("var", i)` | the code of variable i plus its `low` |
| `("next", i)` | the same in the state after the step; in `step_bad` alone |
| `("+", a, b)` `("-", a, b)` `("*", a, b)` `("neg", a)` `("min", a, b)` `("max", a, b)` | arithmetic |
| `("//", a, b)` `("%", a, b)` | floored; the lowering sees to it that b is not 0 where it is evaluated |
| `("==", a, b)` `("!=", ..)` `("<", ..)` `("<=", ..)` `(">", ..)` `(">=", ..)` | 0 or 1 |
| `("and", a, b, ...)` `("or", a, b, ...)` `("not", a)` `("ite", c, a, b)` | of truth values; `ite` of any values |
| `("bits_and", a, b)` `("bits_or", a, b)` `("bits_without", a, b)` | masks: `a & b`, `a \\| b`, `a & ~b` |
| `("has", mask, e)` `("bit", e)` `("count", mask)` | whether bit e is set; `1 << e`; how many bits are set |

`and`, `or` and `ite` are lazy from the left, so that a guard may protect what stands to the right of it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct, field

Code: TypeAlias = tuple[Any, ...]
State: TypeAlias = tuple[int, ...]
TRUE: Code = ("const", 1)
# Why a rule is no step where it leads past a bound of the search, which the blueprint does not have.
BOUND = "bound"


class Var(Struct, frozen=True):
    """A variable with `size` values. `low` is the value of code 0; `labels` name the values where they are words."""

    name: str
    size: int
    low: int = 0
    labels: tuple[str, ...] = ()


class Fault(Struct, frozen=True):
    """A rule whose guard holds and then `condition` breaks the blueprint: a value leaves its type, say.

    It is found, and the rule is not taken there. Of several the first counts.
    """

    condition: Code
    why: str
    site: str


class Rule(Struct, frozen=True):
    """A ground step. Where its guard holds it can be taken, unless a fault's condition holds, which is then found.

    An update gives a variable its value (`low` included), worked out before the step; it fits if the rule is taken.
    `event` is what the rule is, as data from which the table's event is made again when a run is replayed by `commit`.
    Rules that have one `fair` are one action as far as fairness goes: what stays possible is that *one* of them is
    taken. Before the first `/` stands its class ("system", a role, a tool's name), and after it which action of that
    class it is (an instance, a call site); an empty `fair` is what nobody promises. `renews` are those that the step
    begins anew: who waits for them then waits from the beginning.
    `weight` is how many of the table's events the rule stands for, so that transitions count as the tables' do.
    """

    name: str
    guard: Code
    updates: tuple[tuple[int, Code], ...]
    site: str = ""
    actor: str = ""
    fair: str = ""
    faults: tuple[Fault, ...] = ()
    event: Any = None
    weight: int = 1
    renews: frozenset[str] = frozenset()


class Question(Struct, frozen=True):
    """What is asked of every state (`bad` reads the state) or of every step (`step`: `bad` reads `next` too).

    `kind` is "always", "never", "needs", "reach" (then `bad` is what is to be reached), or another word of the
    lowering's. A step is a rule that is taken; one that meets a fault is none.
    """

    name: str
    kind: str
    bad: Code
    step: bool = False
    site: str = ""
    key: Any = None


class Leads(Struct, frozen=True):
    """`eventually A leads to B`: a state where `start` holds is followed by one where `goal` holds.

    `strong` names the classes of fairness that are strong; the classes in `fair` are weak at least.
    """

    name: str
    start: Code
    goal: Code
    fair: tuple[str, ...] = ("system",)
    strong: tuple[str, ...] = ()
    site: str = ""
    key: Any = None


class Orbit(Struct, frozen=True):
    """Members that can be exchanged for each other without a change of behaviour.

    `members[k]` are the variables of member k, in the same order for each. A variable in `values` names a member by
    its code (`base + k`); one in `masks` holds a set of them (bit `base + k`). `values` and `masks` may be members'
    own. What belongs to several members, or says more of them than their names, is written out: a variable in `owned`
    has a place and members, and changes places with the one of the same place and the others' names; one in `named`
    has for each code, one in `held` for each bit, a word and members, and becomes the code with the same word and the
    others' names. Where there is nothing to say of members stands `()`.
    A variable may belong to members of several orbits, and name members of several, but not by one code.
    """

    members: tuple[tuple[int, ...], ...]
    values: tuple[tuple[int, int], ...] = ()
    masks: tuple[tuple[int, int], ...] = ()
    owned: tuple[tuple[int, tuple[int, ...]], ...] = ()
    named: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = ()
    held: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = ()


class System(Struct, frozen=True):
    """A whole system. `covered` says in words what was drawn and what the bounds are; `exact` is false where some value
    of the real types was left out, so that what holds is not proved."""

    variables: tuple[Var, ...]
    initial: tuple[State, ...]
    rules: tuple[Rule, ...]
    questions: tuple[Question, ...] = ()
    leads: tuple[Leads, ...] = ()
    orbits: tuple[Orbit, ...] = ()
    covered: tuple[str, ...] = ()
    exact: bool = True
    meta: dict[str, Any] = field(default_factory=dict)


class Path(Struct, frozen=True):
    """A shortest run: the number of the initial state, and the numbers of the rules that were taken one after another.

    `fault` is the one that the last rule meets, by its number in the rule.
    """

    initial: int
    rules: tuple[int, ...]
    fault: int | None = None


class Searched(Struct, frozen=True):
    """What an engine found.

    `found` maps the number of a question to a shortest path to a state (or over a step) where its `bad` holds; `faults`
    maps (site, why) to a shortest path. A question that is not in `found` holds in all `states`; if `stopped` is `None`
    these are all that can be reached. `transitions` counts the steps by the rules' weights; `deadlocks` the states in
    which no rule can be taken, of which `stuck` is a nearest. `memory_bytes` is what the visited set took.
    `representatives` is how many states an engine visited for all that are counted, where it does not visit each.
    """

    engine: str
    states: int
    transitions: int
    found: dict[int, Path]
    faults: dict[tuple[str, str], Path]
    stopped: str | None = None
    deadlocks: int | None = None
    stuck: Path | None = None
    depth: int | None = None
    memory_bytes: int = 0
    seconds: float = 0.0
    representatives: int | None = None
