"""Blueprints, drawn.

`files` draws trees that use every construct, with no care for their meaning: whatever the grammar allows.
`sound_blueprints` draws small texts of one entity whose names are declared and whose types are right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

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
    return st.builds(lambda node, trivia: replace(node, trivia=trivia), line, TRIVIA)


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
STAY = (
    st.builds(t.OnEntry, CLAUSE)
    | st.builds(t.OnExit, CLAUSE)
    | st.builds(t.After, EXPR, INVOKE)
    | st.builds(t.At, LOWER, INVOKE)
    | st.builds(t.Every, EXPR, INVOKE)
    | st.builds(t.Whenever, EXPR, INVOKE)
    | LATE
    | DEFER
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
    | ACTION
    | IN
    | LATE
    | DEFER
    | PROPERTY
)
ENTITY = st.builds(t.Entity, UPPER, _any(_commented(ENTITY_PART), 5))
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
    st.builds(t.Act, _some(ACTOR), _maybe(LOWER), _maybe(LOWER), ACTOR | UPPER, INVOKE, EXPECT)
    | st.builds(t.Given, UPPER, LOWER, ARGS)
    | st.builds(t.ToolDoes, STEP_TOOL, st.just("fails"), _maybe(TEXTS), st.just(()), EXPECT)
    | st.builds(t.ToolDoes, STEP_TOOL, st.just("answers"), st.none(), ARGS, EXPECT)
    | st.builds(t.ToolDoes, STEP_TOOL, st.just("times_out"), st.none(), st.just(()), EXPECT)
    | st.builds(t.Wait, EXPR, EXPECT)
    | st.builds(t.Check, EXPR)
    | st.builds(t.Emitted, UPPER, ARGS)
)
SCENARIO = st.builds(t.Scenario, TEXTS, _any(_commented(STEP), 4))
UPGRADE_PART = st.builds(t.Becomes, UPPER, UPPER) | SET | st.builds(t.Drop, LOWER)
UPGRADE = st.builds(
    t.Upgrade,
    st.integers(0, 20_000),
    _any(_commented(st.builds(t.UpgradeEntity, UPPER, _any(_commented(UPGRADE_PART)))), 2),
)
DECLARATION = (
    st.builds(t.Role, LOWER_LIST)
    | st.builds(t.Excludes, LOWER, LOWER_LIST)
    | st.builds(t.TypeDecl, UPPER, TYPE)
    | st.builds(t.Record, UPPER, PARAMS)
    | st.builds(t.Const, LOWER, EXPR)
    | TOOL
    | ENTITY
    | st.builds(t.Event, UPPER, PARAMS)
    | st.builds(t.Scope, _some(SCOPE_ITEM))
    | SCENARIO
    | UPGRADE
    | PROPERTY
)


def files() -> st.SearchStrategy[t.File]:
    """Draw a file of any constructs, with comments and blank lines anywhere. It has a text that reads back as it."""
    return st.builds(
        lambda name, declarations, trivia: t.File("drawn.blueprint", name, declarations, trivia=trivia),
        LOWER,
        _any(_commented(DECLARATION), 4),
        TRIVIA,
    )
