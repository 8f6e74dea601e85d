"""Blueprints, drawn.

`files` draws trees that use every construct, with no care for their meaning: whatever the grammar allows.
`sound_blueprints` draws small texts of one entity whose names are declared and whose types are right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from temper.syntax import tree as t

# --- words ------------------------------------------------------------------------------------------------------------

# Words of the language that may be names too are among them: that is where a parser goes wrong.
LOWERS = (
    "a", "b", "moved", "x_1", "key", "from", "set", "given", "wait", "to", "max", "late", "fails", "every", "count",
    "brokers_that_are_still_to_be_moved",
)  # fmt: skip
UPPERS = ("A", "B", "Rolling", "Live", "V2", "WaitingForTheControllerToSettle")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["no progress", '"', "\\", "# no"]
)
# A comment's line has no line end, and nothing that is stripped away at its end.
COMMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8).map(str.rstrip)


def _name(words: tuple[str, ...]) -> st.SearchStrategy[t.Name]:
    return st.sampled_from(words).map(t.Name)


LOWER = _name(LOWERS)
UPPER = _name(UPPERS)


def _some(item: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(item, min_size=1, max_size=most).map(tuple)


def _any(item: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(item, max_size=most).map(tuple)


def _maybe(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | item


def _evenly(*kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from each as often as from the others; `|` would draw from a union of many more often."""
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


TRIVIA = st.just(t.NO_TRIVIA) | st.builds(
    t.Trivia,
    above=_any(COMMENTS, 2),
    detached=_any(_some(COMMENTS, 2), 2),
    beside=_maybe(COMMENTS),
    blank_before=st.booleans(),
    below=_any(COMMENTS, 2),
)
DOTTED = _some(LOWER)
UPPER_LIST = _some(UPPER)
LOWER_LIST = _some(LOWER)

# --- expressions ------------------------------------------------------------------------------------------------------

REFS = (LOWER | UPPER | _name(("state", "caller", "now", "id", "before", "result", "error"))).map(t.Ref)
NUMBERS = st.integers(0, 200_000).map(t.Int)
DURATIONS = st.builds(
    lambda count, unit: t.Duration(
        count * {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit], unit
    ),
    st.integers(0, 400),
    st.sampled_from(["ms", "s", "m", "h", "d"]),
)
LITERALS = (
    st.booleans().map(t.Bool)
    | st.just(t.NoneValue())
    | NUMBERS
    | st.decimals(0, 100_000, places=2, allow_nan=False).map(t.Dec)
    | TEXTS.map(t.Str)
    | DURATIONS
)
OPERATORS = (
    "implies", "or", "and", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "??", "+", "-", "*", "//", "%", "&",
)  # fmt: skip
# Functions; `count` and its kin are called with their quantifier's form alone.
FUNCTIONS = _name(("size", "min", "before", "Line", "first", "set"))


def _deeper(inner: st.SearchStrategy[t.Expr]) -> st.SearchStrategy[t.Expr]:
    args = _any(st.builds(t.Arg, _maybe(LOWER), inner), 2)
    return (
        st.builds(t.Dot, inner, LOWER)
        | st.builds(t.Index, inner, inner)
        | st.builds(t.Apply, FUNCTIONS, args)
        | st.builds(t.Unary, st.sampled_from(["not", "-"]), inner)
        | st.builds(t.Binary, st.sampled_from(OPERATORS), inner, inner)
        | st.builds(
            t.Binary,
            st.sampled_from(["in", "not in"]),
            inner,
            (st.lists(inner, min_size=2, max_size=3) | st.lists(REFS, min_size=1, max_size=1)).map(
                lambda items: t.OneOfNames(tuple(items))
            ),
        )
        | st.builds(t.Is, inner, st.booleans(), LOWER | UPPER, _maybe(UPPER))
        | st.builds(t.IfExpr, inner, inner, inner)
        | st.builds(t.SetOf, _any(inner))
        | st.builds(t.ListOf, _any(inner))
        | st.builds(t.MapOf, _some(st.tuples(inner, inner), 2))
        | st.builds(t.Quantifier, st.sampled_from(["all", "any", "count", "sum", "first"]), LOWER, inner, inner)
        | st.builds(t.Filter, LOWER, inner, inner)
        | st.builds(t.Mapped, st.sampled_from(["set", "list"]), inner, LOWER, inner)
    )


def expressions(most: int = 8) -> st.SearchStrategy[t.Expr]:
    """Draw any expression, of up to about so many leaves."""
    return st.recursive(LITERALS | REFS, _deeper, max_leaves=most)


EXPR = expressions(4)
ARGS = _any(st.builds(t.Arg, _maybe(LOWER), EXPR), 2)

# --- types ------------------------------------------------------------------------------------------------------------

ENDS = NUMBERS | LOWER.map(t.Ref) | NUMBERS.map(lambda number: t.Unary("-", number))
RANGES = st.tuples(_maybe(ENDS), _maybe(ENDS)).filter(lambda ends: ends != (None, None))
PLAIN_TYPES = (
    _name(("bool", "string", "time", "duration", "principal", "Rollout")).map(t.NamedType)
    | st.sampled_from(["int", "decimal"]).map(t.NumberType)
    | st.builds(
        lambda kind, ends: t.NumberType(kind, ends[0], ends[1], ranged=True),
        st.sampled_from(["int", "decimal"]),
        RANGES,
    )
    | LOWER_LIST.map(t.EnumType)
)
MOST = NUMBERS | LOWER.map(t.Ref)


def _types() -> st.SearchStrategy[t.TypeExpr]:
    def deeper(inner: st.SearchStrategy[t.TypeExpr]) -> st.SearchStrategy[t.TypeExpr]:
        # Its bound ends a collection: without one, what follows would be taken for the element's.
        return st.builds(t.CollectionType, st.sampled_from(["set", "list"]), inner, MOST) | st.builds(
            t.MapType, inner, inner, MOST
        )

    def optional(inner: st.SearchStrategy[t.TypeExpr]) -> st.SearchStrategy[t.TypeExpr]:
        return inner | inner.map(t.OptionalType)

    return optional(st.recursive(optional(PLAIN_TYPES), deeper, max_leaves=3)).map(
        lambda type_: (
            type_.inner if isinstance(type_, t.OptionalType) and isinstance(type_.inner, t.OptionalType) else type_
        )
    )


TYPE = _types()
PARAM = st.builds(t.Param, LOWER, _maybe(TYPE), _maybe(EXPR))
PARAMS = _any(PARAM)

# --- clauses ----------------------------------------------------------------------------------------------------------

INVOKE = st.builds(t.Invoke, UPPER, ARGS)
HANDLER = _maybe(INVOKE | st.just(t.Nothing()))
SET_ITEM = st.builds(
    lambda target, op, value, key: t.SetItem(
        target, op, None if op == "copy" else value, None if op == "copy" else key
    ),
    LOWER,
    st.sampled_from(["=", "+=", "-=", "copy"]),
    EXPR,
    _maybe(EXPR),
)
SET = st.builds(t.Set, _some(SET_ITEM))
# What stands on one line with something else bears no comments of its own.
BARE_CLAUSE: st.SearchStrategy[Any] = (
    SET
    | st.builds(t.Call, DOTTED, ARGS, HANDLER, HANDLER, HANDLER)
    | st.builds(t.Send, EXPR, INVOKE)
    | st.builds(t.With, EXPR, INVOKE)
    | st.builds(t.Create, UPPER, INVOKE, _maybe(LOWER))
    | st.builds(t.Emit, UPPER, ARGS)
    | st.builds(t.Do, INVOKE)
)


def _commented(line: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda node, trivia: structs.replace(node, trivia=trivia), line, TRIVIA)


def _blocks(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    body = _some(_commented(inner), 2)
    return st.builds(t.For, LOWER, EXPR, body) | st.builds(t.If, EXPR, body)


CLAUSE = st.recursive(BARE_CLAUSE, _blocks, max_leaves=3)
LINE_OF_CLAUSE = _commented(CLAUSE)

# --- actions and states -----------------------------------------------------------------------------------------------

BY = st.builds(t.By, _some(REFS | EXPR, 2))
WHEN = st.builds(t.When, EXPR, _maybe(TEXTS))
LET = st.builds(t.Let, LOWER, EXPR)
CASE_PART = _commented(BY | WHEN | LET | CLAUSE)
FROMS = UPPER_LIST | st.sampled_from(["new", "any", "all"]).map(lambda word: (t.Name(word),))
CASE = st.builds(t.From, FROMS, _maybe(UPPER), _any(WHEN, 1) | _any(CASE_PART, 2))
ACTION = st.builds(
    t.Action,
    UPPER,
    PARAMS,
    st.tuples(BY, CASE) | _any(BY, 1) | _any(_commented(CASE) | CASE_PART, 4),
)
LATE = st.builds(t.Late, UPPER_LIST, _maybe(INVOKE))
DEFER = st.builds(t.Defer, UPPER_LIST)
STAY = _evenly(
    LATE | DEFER,
    st.builds(t.OnEntry, CLAUSE) | st.builds(t.OnExit, CLAUSE),
    st.builds(t.After, EXPR, INVOKE)
    | st.builds(t.At, LOWER, INVOKE)
    | st.builds(t.Every, EXPR, INVOKE)
    | st.builds(t.Whenever, EXPR, INVOKE),
)
IN = st.builds(t.In, UPPER_LIST, _some(_commented(STAY)))

# --- properties -------------------------------------------------------------------------------------------------------

TITLE = _maybe(TEXTS)
STATE_NAMES = _some(st.builds(t.StateName, _maybe(UPPER), UPPER))
ASSUME = st.builds(t.Assume, DOTTED, st.sampled_from(["responds", "succeeds"]))
PROPERTY = (
    st.builds(t.Always, TITLE, EXPR)
    | st.builds(t.Eventually, TITLE, STATE_NAMES, STATE_NAMES, _any(_commented(ASSUME), 2))
    | st.builds(t.Never, TITLE, LOWER, STATE_NAMES)
    | st.builds(
        t.Needs,
        TITLE,
        st.builds(t.StateName, _maybe(UPPER), UPPER),
        NUMBERS | LOWER.map(t.Ref) | EXPR,
        _maybe(LOWER),
        _any(UPPER, 2),
        _maybe(LOWER),
        _any(UPPER, 2),
    )
    | st.builds(t.CanReach, TITLE, STATE_NAMES)
)

# --- entities and the top ---------------------------------------------------------------------------------------------

ENTITY_PART = (
    st.builds(t.States, UPPER_LIST)
    | st.builds(t.Final, UPPER_LIST)
    | st.builds(t.Group, UPPER, UPPER_LIST)
    | st.builds(t.Field, LOWER, TYPE, _maybe(EXPR))
    | st.builds(t.Inverse, LOWER, UPPER, LOWER, _maybe(MOST))
    | st.builds(t.Unique, LOWER_LIST, st.booleans())
    | st.builds(t.Key, LOWER_LIST)
    | LET
    | BY
    | LATE
    | DEFER
    | PROPERTY
)
# Half of an entity is what can happen to it.
ENTITY_PARTS = _some(_commented(_evenly(ENTITY_PART, ACTION, IN)), 6)
ENTITY = st.builds(t.Entity, UPPER, ENTITY_PARTS)
TOOL_PART = (
    st.builds(t.Timeout, EXPR)
    | st.builds(t.Retry, EXPR, EXPR, _maybe(EXPR))
    | st.just(t.Idempotent())
    | st.builds(t.FromWasm, TEXTS)
)
TOOL = st.builds(t.Tool, DOTTED, PARAMS, PARAMS, _any(_commented(TOOL_PART)))
SCOPE_ITEM = st.builds(t.ScopeItem, UPPER, st.none(), EXPR) | st.builds(
    lambda entity, field, ends: t.ScopeItem(entity, field, None, *ends), UPPER, LOWER, RANGES
)

# --- scenarios and upgrades -------------------------------------------------------------------------------------------

EXPECTATION = (
    st.just(t.Denied())
    | st.just(t.Anything())
    | st.builds(t.RefusedWith, _maybe(TEXTS))
    | st.builds(t.BecomesState, UPPER)
    | st.builds(t.Names, LOWER)
    | st.builds(t.Holds, EXPR)
)
EXPECT = _any(EXPECTATION, 2)
# A step that begins with `given` or `wait`, or goes on with `fails`, is one of those.
ACTOR = LOWER.filter(lambda name: name.text not in {"given", "wait", "fails"})
STEP_TOOL = st.builds(lambda first, others: (first, *others), ACTOR, _any(LOWER, 2))
STEP = (
    st.builds(t.Act, _some(ACTOR), _maybe(LOWER), _maybe(ACTOR), ACTOR | UPPER, INVOKE, EXPECT)
    | st.builds(t.Given, UPPER, LOWER, ARGS)
    | st.builds(t.ToolDoes, STEP_TOOL, st.just("fails"), _maybe(TEXTS), st.just(()), EXPECT)
    | st.builds(t.ToolDoes, STEP_TOOL, st.just("answers"), st.none(), ARGS, EXPECT)
    | st.builds(t.ToolDoes, STEP_TOOL, st.just("times_out"), st.none(), st.just(()), EXPECT)
    | st.builds(t.Wait, EXPR, EXPECT)
    | st.builds(t.Check, EXPR)
    | st.builds(t.Emitted, UPPER, ARGS)
)
SCENARIO = st.builds(t.Scenario, TEXTS, _some(_commented(STEP), 4))
UPGRADE_PART = st.builds(t.Becomes, UPPER, UPPER) | SET | st.builds(t.Drop, LOWER)
UPGRADE = st.builds(
    t.Upgrade,
    st.integers(0, 20_000),
    _any(_commented(st.builds(t.UpgradeEntity, UPPER, _some(_commented(UPGRADE_PART)))), 2),
)
SMALL_DECLARATION = (
    st.builds(t.Role, LOWER_LIST)
    | st.builds(t.Excludes, LOWER, LOWER_LIST)
    | st.builds(t.TypeDecl, UPPER, TYPE)
    | st.builds(t.Record, UPPER, PARAMS)
    | st.builds(t.Const, LOWER, EXPR)
    | st.builds(t.Event, UPPER, PARAMS)
    | st.builds(t.Scope, _some(SCOPE_ITEM))
    | PROPERTY
)
DECLARATION = _evenly(SMALL_DECLARATION, SMALL_DECLARATION, TOOL, ENTITY, ENTITY, SCENARIO, UPGRADE)


def files() -> st.SearchStrategy[t.File]:
    """Draw a file of any constructs, with comments and blank lines anywhere. It has a text that reads back as it."""
    return st.builds(
        lambda name, declarations, trivia: t.File("drawn.blueprint", name, declarations, trivia=trivia),
        LOWER,
        _some(_commented(DECLARATION), 4),
        TRIVIA,
    )


# --- sound ones -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scope:
    """What an expression may speak of, by its type, as text."""

    ints: tuple[str, ...]
    bools: tuple[str, ...]
    modes: tuple[str, ...]
    states: tuple[str, ...]

    def with_params(self, params: tuple[str, ...]) -> _Scope:
        """The same with an action's parameters, which are named after their types."""
        ints = tuple(name for name in params if name.startswith("p_int"))
        bools = tuple(name for name in params if name.startswith("p_bool"))
        return replace(self, ints=self.ints + ints, bools=self.bools + bools)


_MODES = ("low", "mid", "high")
_STATES = ("First", "Second", "Third", "Fourth")
_INT_MAX = 4


@cache
def _int_text(scope: _Scope) -> st.SearchStrategy[str]:
    leaves = st.sampled_from(scope.ints) | st.integers(0, _INT_MAX).map(str)

    def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return (
            st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*"]), inner)
            # Division by what may be zero is a problem that the judges find, not one of types.
            | st.builds("({} {} {})".format, inner, st.sampled_from(["//", "%"]), st.integers(1, 3))
            | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner)
            | st.builds("(if {} then {} else {})".format, _bool_leaf(scope), inner, inner)
        )

    return st.recursive(leaves, deeper, max_leaves=3)


@cache
def _assigned(scope: _Scope) -> st.SearchStrategy[str]:
    """What a whole number may be set to. It is not known in advance, or the checker would judge it by its type."""
    fields = st.sampled_from([name for name in scope.ints if name != "limit"])
    return (
        st.sampled_from(["0", "1"])
        | fields
        | st.builds("{} {} {}".format, fields, st.sampled_from("+-"), _int_text(scope))
    )


@cache
def _bool_leaf(scope: _Scope) -> st.SearchStrategy[str]:
    some_states = st.lists(st.sampled_from(scope.states), min_size=2, max_size=3, unique=True)
    return (
        st.sampled_from(scope.bools)
        | st.builds(
            "{} {} {}".format, st.sampled_from(scope.modes), st.sampled_from(["==", "!="]), st.sampled_from(_MODES)
        )
        | st.builds("state {} {}".format, st.sampled_from(["is", "is not"]), st.sampled_from(scope.states))
        | (some_states.map(lambda names: f"state in ({', '.join(names)})") if len(scope.states) > 1 else st.nothing())
    )


@cache
def _bool_text(scope: _Scope) -> st.SearchStrategy[str]:
    compared = st.builds(
        "{} {} {}".format, _int_text(scope), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), _int_text(scope)
    )

    def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.builds("not ({})".format, inner) | st.builds(
            "({}) {} ({})".format, inner, st.sampled_from(["and", "or", "implies"]), inner
        )

    return st.recursive(compared | _bool_leaf(scope), deeper, max_leaves=3)


@st.composite
def _sets(draw: st.DrawFn, fields: tuple[str, ...], scope: _Scope) -> list[str]:
    """Assignments to some of the fields, each at most once."""
    out: list[str] = []
    for name in fields:
        match draw(st.sampled_from(["leave", "leave", "set", "step"])), name[0]:
            case "set", "n":
                out.append(f"{name} = {draw(_assigned(scope))}")
            case "step", "n":
                out.append(f"{name} {draw(st.sampled_from(['+=', '-=']))} {draw(st.integers(1, 2))}")
            case (("set" | "step"), "b"):
                out.append(f"{name} = {draw(_bool_text(scope))}")
            case (("set" | "step"), "m"):
                out.append(f"{name} = {draw(st.sampled_from((*_MODES, *scope.modes)))}")
            case _:
                pass
    return out


@st.composite
def _drawn_action(
    draw: st.DrawFn,
    name: str,
    by: str,
    params: tuple[str, ...],
    scope: _Scope,
    fields: tuple[str, ...],
    froms: tuple[str, ...],
) -> list[str]:
    """The lines of an action with up to three cases."""
    inside = scope.with_params(params)
    given = ", ".join(f"{param}: {'bool' if 'bool' in param else f'int 0..{_INT_MAX}'}" for param in params)
    lines = [f"  action {name}({given}) by {by}"]
    cut = draw(st.integers(0, len(fields)))
    for _ in range(draw(st.integers(1, 3))):
        sources = draw(st.lists(st.sampled_from(froms), min_size=1, max_size=2, unique=True))
        to = draw(st.none() | st.sampled_from(scope.states))
        guard = draw(st.none() | _bool_text(inside))
        refusal = draw(st.sampled_from(["", ' else "not now"'])) if guard is not None else ""
        when = "" if guard is None else f" when {guard}{refusal}"
        lines.append(f"    from {', '.join(sources)}{'' if to is None else f' to {to}'}{when}")
        own = draw(_sets(fields[:cut], inside))
        lines += [f"      set {', '.join(own)}"] if own else []
    if draw(st.booleans()):
        lines.append(f"    when {draw(_bool_text(inside))}")
    shared = draw(_sets(fields[cut:], inside))
    lines += [f"    set {', '.join(shared)}"] if shared else []
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"    emit Noted(count: {draw(_int_text(inside))})")
    return lines


@st.composite
def sound_blueprints(draw: st.DrawFn) -> str:
    """Draw the text of a blueprint of one entity that is without problems of names, types and rules.

    It has fields that are whole numbers, truth values and enumerations, guards, cases, assignments, a timer and a
    call with its outcomes, and properties. What judges find in it - values outside their types, states that nobody
    reaches or leaves, guards that cannot hold, properties that do not - is left to chance.
    """
    states = _STATES[: draw(st.integers(2, 4))]
    live, final = (states[:-1], states[-1]) if draw(st.booleans()) else (states, None)
    ints = ("n", "n_2")[: draw(st.integers(1, 2))]
    fields = (*ints, "b", "m")
    scope = _Scope((*ints, "limit"), ("b",), ("m",), states)
    called = draw(st.none() | st.sampled_from(live))
    timed = draw(st.none() | st.sampled_from(live))

    lines = ["blueprint drawn", "", "role operator, builder", "", f"const limit = {draw(st.integers(1, _INT_MAX))}", ""]
    if called is not None:
        lines += [f"tool box.work(count: int) -> (got: int 0..{_INT_MAX})", "  timeout 1m"]
        lines += ["  idempotent"] if draw(st.booleans()) else []
        lines.append("")
    lines += ["# Drawn, and without a purpose.", "entity Thing", f"  states {', '.join(states)}"]
    lines += [f"  final {final}"] if final is not None else []
    lines.append("")
    lines += [f"  {name}: int 0..{draw(st.integers(1, _INT_MAX))} = {draw(st.integers(0, 1))}" for name in ints]
    lines += [f"  b: bool = {draw(st.sampled_from(['true', 'false']))}", f"  m: one of ({', '.join(_MODES)}) = low", ""]

    lines += [f"  action Make(p_int: int 0..1) by builder from new to {states[0]}", "    set n = p_int", ""]
    for name in ("Go", "Turn", "Stop")[: draw(st.integers(1, 3))]:
        params = draw(st.sampled_from([(), ("p_int",), ("p_int", "p_bool")]))
        by = draw(st.sampled_from(["operator", "builder", "operator, builder", "anyone"]))
        lines += [*draw(_drawn_action(name, by, params, scope, fields, live)), ""]
    if timed is not None:
        lines += [*draw(_drawn_action("Tick", "operator, system", (), scope, fields, live)), ""]
        kind = draw(st.sampled_from(["after", "every"]))
        lines += [f"  in {timed} {kind} {draw(st.integers(1, 90))}m do Tick", ""]
    if called is not None:
        handlers = draw(
            st.sampled_from(["then Came(result.got) else Lost", "then Came(result.got) else Lost unknown Lost"])
        )
        lines += [*draw(_drawn_action("Came", "system", ("p_int",), scope, fields, live)), ""]
        lines += [*draw(_drawn_action("Lost", "system", (), scope, fields, live)), ""]
        lines += [f"  in {called}", f"    on entry call box.work({draw(st.sampled_from(ints))}) {handlers}", ""]
        lines += ["  late Came, Lost ignore", ""] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        lines.append(f"  always {draw(_bool_text(scope))}")
    if draw(st.booleans()):
        lines.append(f"  always before.{draw(st.sampled_from(ints))} <= {draw(_int_text(scope))}")
    if draw(st.booleans()):
        lines.append(f"  can reach {draw(st.sampled_from(states))}")
    while not lines[-1]:
        lines.pop()
    return "\n".join([*lines, ""])
