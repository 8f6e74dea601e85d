"""A blueprint as JSON, one to one with its text.

The objects are in the order of the text, each told by its first key, which is the word that begins its line. What
stands on one line of the text is one object; what stands below it is its `body`. Names, words and lists are JSON;
expressions, types and invocations are strings in the blueprint's syntax, since a tree of operators is what nobody,
person or model, writes right.

Tree, text and JSON say the same: `format_file` gives one text for `file` and for `from_json(to_json(file))`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as another
from itertools import zip_longest
from typing import Any

from msgspec.structs import replace

from temper.syntax import tree as t
from temper.syntax.format import (
    format_args,
    format_expression,
    format_file,
    format_invoke,
    format_set_item,
    format_state_name,
    format_type,
    inline_parts,
    parted,
)
from temper.syntax.json_codec import (
    Array,
    Block,
    Count,
    Either,
    Flag,
    Form,
    Json,
    Key,
    Object,
    Place,
    Tagged,
    Text,
    Unread,
    definitions,
)
from temper.syntax.json_strings import (
    read_call,
    read_expression,
    read_handler,
    read_invoke,
    read_qualified,
    read_set_item,
    read_type,
)
from temper.syntax.parser import parse
from temper.text import Code, Diagnostic, Source


def to_json(tree: t.File | t.Tree) -> Json:
    """Return the JSON form of a file, or of a bundle: `{"files": {path: file}}`. No file has a `Bad...` node."""
    if isinstance(tree, t.Tree):
        return {"files": {file.path: _FILE.write(file) for file in tree.files}}
    return _FILE.write(tree)


def from_json(value: object, path: str = "") -> tuple[t.File, list[Diagnostic]]:
    """Return the file that `value` means, and what is wrong with it; each problem's message begins with a JSON pointer.

    With problems, the file holds the declarations that could be read. Without any, its text reads back as this file.
    """
    problems: list[Diagnostic] = []
    place = Place(path, problems)
    try:
        file = replace(_FILE.read(value, place), path=path)
    except Unread:
        return t.File(path, None, ()), problems
    if not problems:
        _read_back(file, place)
    return file, problems


def json_schema() -> dict[str, Json]:
    """Return the JSON Schema (2020-12) of a file's JSON form."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Temper blueprint",
        **_FILE.definition(),
        "$defs": {one.name: one.definition() for one in definitions(_FILE)},
    }


def _read_back(file: t.File, place: Place) -> None:
    """Report what can be said in JSON but not in text: a reserved word as a field's name, for one."""
    again, found = parse(Source(file.path, format_file(file)))
    if not found and again != file:
        pairs = zip_longest(file.declarations, again.declarations)
        index = next((index for index, (said, read) in enumerate(pairs) if said != read), 0)
        place.at("declarations").at(index).report(
            Code.B094, "its text would be read as something else", "put brackets around the parts of its expressions"
        )
    for problem in found:
        where, key = place, "declarations"
        rows: tuple[t.Line, ...] = again.declarations
        while before := [index for index, row in enumerate(rows) if row.span.start <= problem.primary.span.start]:
            where = where.at(key).at(before[-1])
            rows, key = _below(rows[before[-1]])
        where.report(Code.B094, problem.message, problem.help or "write it as the language has it")


def _below(line: t.Line) -> tuple[tuple[t.Line, ...], str]:
    """Return the lines below another that the form has one by one, and the key under which it has them."""
    match line:
        case t.Entity() | t.Tool() | t.In():
            return line.parts, "body"
        case t.Scenario():
            return line.steps, "steps"
        case t.Upgrade():
            return line.entities, "entities"
        case _:
            # An action's `by` and `from` may have moved to its own object: its parts can't be counted.
            return (), ""


# --- strings ----------------------------------------------------------------------------------------------------------


_UPPER = r"[A-Z][A-Za-z0-9]*"
_LOWER = r"[a-z][a-z0-9_]*"
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
"""Whoever resolves a name will say that nothing is called so; a file in the making may hold any word."""


def _upper(says: str) -> Text[t.Name]:
    """Return the form of a name that is given here."""
    return Text("a name in UpperCamel", says, t.Name, _word, _UPPER)


def _lower(says: str) -> Text[t.Name]:
    """Return the form of a name that is given here."""
    return Text("a name in lower_snake", says, t.Name, _word, _LOWER)


def _upper_ref(says: str) -> Text[t.Name]:
    """Return the form of a name that is given elsewhere."""
    return Text("a name", says, t.Name, _word, _UPPER, _WORD)


def _lower_ref(says: str) -> Text[t.Name]:
    """Return the form of a name that is given elsewhere."""
    return Text("a name", says, t.Name, _word, _LOWER, _WORD)


def _word(name: t.Name) -> str:
    return name.text


def _dotted(says: str) -> Text[tuple[t.Name, ...]]:
    return Text(
        "names with dots between them",
        says,
        lambda text: tuple(map(t.Name, text.split("."))),
        lambda names: ".".join(name.text for name in names),
        rf"{_LOWER}(\.{_LOWER})*",
        rf"{_WORD}(\.{_WORD})*",
    )


def _expr(says: str) -> Text[t.Expr]:
    return Text("an expression", says, read_expression, format_expression, numbers=True)


def _type(says: str) -> Text[t.TypeExpr]:
    return Text("a type", says, read_type, format_type)


def _invoke(says: str) -> Text[t.Invoke]:
    return Text("an action and what it is given", says, read_invoke, format_invoke)


def _plain_text(says: str) -> Text[str]:
    return Text("a text", says, _encodable, str)


def _encodable(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair is no character") from None
    return text


def _comment(says: str) -> Text[str]:
    return Text("a comment", says, _comment_line, str)


def _comment_line(text: str) -> str:
    if "\n" in text:
        raise ValueError("a comment is one line; write an item for each line")
    return _encodable(text).rstrip()


def _description(text: str) -> tuple[str, ...]:
    return tuple(_comment_line(line) for line in text.split("\n"))


# --- pieces -----------------------------------------------------------------------------------------------------------


def _object(
    cls: type[Any],
    says: str,
    *keys: Key,
    make: Callable[..., Any] | None = None,
    parts: Callable[[Any], Mapping[str, object]] | None = None,
    **also: Json,
) -> Object[Any]:
    """Return the form of a node whose attributes are the keys' targets, unless `make` and `parts` say otherwise."""

    def attributes(node: Any) -> Mapping[str, object]:
        return {key.target: getattr(node, key.target) for key in keys}

    return Object(cls.__name__, says, keys, make or cls, parts or attributes, also)


_COMMENTS = Object(
    "Comments",
    "Comments that are no description. None of them means anything to the compiler",
    (
        Key(
            "detached",
            Array(Array(_comment("A line"), "A comment"), "Comments above, with a blank line below each"),
            absent=(),
        ),
        Key("beside", _comment("The comment at the end of the line"), absent=None),
        Key("below", Array(_comment("A line"), "Comments below the last line of the body"), absent=()),
    ),
    lambda detached, beside, below: t.Trivia(detached=detached, beside=beside, below=below),
    lambda trivia: {"detached": trivia.detached, "beside": trivia.beside, "below": trivia.below},
)
_DESCRIPTION = Key(
    "description",
    Text("a text", "What it is for, in the author's words: the comment above it", _description, "\n".join),
    absent=(),
)
_BESIDES = (
    Key("comments", _COMMENTS, absent=t.NO_TRIVIA),
    Key(
        "blank_line",
        Flag("Whether a blank line stands above it in the text; left out, where one is usual", only_true=False),
        absent=None,
    ),
)


def _line(
    cls: type[Any],
    says: str,
    tag: Key,
    *keys: Key,
    make: Callable[..., Any] | None = None,
    parts: Callable[[Any], Mapping[str, object]] | None = None,
    **also: Json,
) -> Object[Any]:
    """Return the form of a node that stands on a line, and so bears comments."""
    plain = _object(cls, says, tag, *keys, make=make, parts=parts)

    def made(description: tuple[str, ...], comments: t.Trivia, blank_line: bool | None, **values: object) -> Any:
        return replace(plain.make(**values), trivia=replace(comments, above=description))

    def taken(node: Any) -> Mapping[str, object]:
        comments = replace(node.trivia, above=(), blank_before=False)
        return {**plain.parts(node), "description": node.trivia.above, "comments": comments, "blank_line": None}

    return Object(plain.name, says, (tag, _DESCRIPTION, *keys, *_BESIDES), made, taken, also)


def _which(node: object) -> str:
    return type(node).__name__


_SECTIONS: tuple[tuple[type[Any], ...], ...] = (
    (t.Role, t.Excludes),
    (t.TypeDecl, t.Record, t.Const),
    (t.Event,),
    (t.States, t.Final, t.Group),
    (t.Field, t.Let, t.Inverse, t.Unique, t.Key),
    (t.Always, t.Eventually, t.Never, t.Needs, t.CanReach),
    (t.Late, t.Defer),
)
"""What stands together without a blank line between; all else at the top or in an entity stands apart."""


def _section_ends(before: t.Line | None, line: t.Line) -> bool:
    return not any(isinstance(before, section) and isinstance(line, section) for section in _SECTIONS)


def _never(before: t.Line | None, line: t.Line) -> bool:
    return parted(before, line)


def _body(item: Form[Any], says: str, attr: str = "parts", *, needed: bool = False, opening: bool = False) -> Key:
    return Key("body", Block(item, says, _never, opening=opening), attr, absent=... if needed else ())


def _listed(says: str, *forms: Object[Any]) -> Tagged[Any]:
    return Tagged(says, lambda: forms, _which)


# --- pieces of lines --------------------------------------------------------------------------------------------------

_PARAM = _object(
    t.Param,
    "A parameter, a result, or a field of a record",
    Key("name", _lower("Its name")),
    Key("type", _type("Its type. A parameter without one takes that of the field it is named after"), absent=None),
    Key("default", _expr("Its value where none is given"), absent=None),
)
_ARG = _object(
    t.Arg,
    "An argument",
    Key("value", _expr("What is given")),
    Key("name", _lower_ref("The parameter that it is for; left out, where the order says it"), absent=None),
)
_HANDLER = Text(
    "an action and what it is given, or `_`", "The action that follows; `_` is none", read_handler, format_invoke
)
_DO = Key("do", _invoke("The action that is taken, and what it is given"), "invoke")


def _state_name(text: str) -> t.StateName:
    entity, dot, state = text.rpartition(".")
    return t.StateName(t.Name(entity) if dot else None, t.Name(state))


_STATE_NAME = Text(
    "a state",
    "A state or a group; outside its entity `Entity.State`",
    _state_name,
    format_state_name,
    rf"({_UPPER}\.)?{_UPPER}",
    rf"({_WORD}\.)?{_WORD}",
)
_WHO = Array(
    _expr("A role, `system`, `anyone`, or a principal or set of principals such as `requester`"), "Who may do it"
)
_WHEN = (
    Key("when", _expr("What has to hold"), "condition"),
    Key("else", _plain_text("What the caller is told when it does not hold"), "otherwise", absent=None),
)
_CASE_STATES = Array(
    Text(
        "a state, a group, `new`, `any` or `all`",
        "A state or group; or the one word `new`, `any` or `all`",
        t.Name,
        _word,
        rf"new|any|all|{_UPPER}",
        _WORD,
    ),
    "Where it may be taken",
)

# --- clauses ----------------------------------------------------------------------------------------------------------

_CLAUSE: Tagged[Any] = Tagged("A clause", lambda: _CLAUSES, _which)
_SET = _line(
    t.Set,
    "Sets fields",
    Key(
        "set",
        Array(
            Text(
                "an assignment",
                "`f = e`, `f += e`, `f -= e`, `m[k] = e`; or `f` alone, for the parameter of this name",
                read_set_item,
                format_set_item,
            ),
            "The assignments",
        ),
        "items",
    ),
)
_DO_LINE = _line(t.Do, "Takes another action of this entity at once: a route", _DO)


def _call(tool_and_args: Any, **handlers: Any) -> t.Call:
    tool, args = tool_and_args
    return t.Call(tool, args, **handlers)


_CLAUSES: tuple[Object[Any], ...] = (
    _SET,
    _line(
        t.Call,
        "Calls a tool",
        Key(
            "call",
            Text(
                "a tool and what it is given",
                "The tool and its arguments: `kubernetes.set_partition(cluster, 3)`",
                read_call,
                lambda call: ".".join(name.text for name in call[0]) + format_args(call[1]),
            ),
            "tool_and_args",
        ),
        Key("then", _HANDLER, absent=None),
        Key("else", _HANDLER, "otherwise", absent=None),
        Key("unknown", _HANDLER, absent=None),
        make=_call,
        parts=lambda call: {
            "tool_and_args": (call.tool, call.args),
            "then": call.then,
            "otherwise": call.otherwise,
            "unknown": call.unknown,
        },
    ),
    _line(
        t.Send,
        "Sends an action to another entity, which takes it later",
        Key("send", _invoke("The action and what it is given"), "invoke"),
        Key("to", _expr("The entity: a reference"), "target"),
    ),
    _line(
        t.With,
        "Takes an action of another entity together with this one",
        Key("with", _expr("The entity: a reference"), "target"),
        _DO,
    ),
    _line(
        t.Create,
        "Creates an entity",
        Key(
            "create",
            Text(
                "an entity, its creating action and what that is given",
                "`Rollout.Plan(cluster, build)`",
                read_qualified,
                lambda create: f"{create[0].text}.{format_invoke(create[1])}",
            ),
        ),
        Key("as", _lower("A name for what is created"), "name", absent=None),
        make=lambda create, name: t.Create(create[0], create[1], name),
        parts=lambda node: {"create": (node.entity, node.invoke), "name": node.name},
    ),
    _line(
        t.Emit,
        "Publishes an event",
        Key("emit", _invoke("The event and what it tells")),
        make=lambda emit: t.Emit(emit.action, emit.args),
        parts=lambda node: {"emit": t.Invoke(node.event, node.args)},
    ),
    _line(
        t.For,
        "Clauses for each element of a collection",
        Key("for", _lower("A name for the element"), "var"),
        Key("in", _expr("The collection"), "over"),
        Key("body", Block(_CLAUSE, "The clauses", _never)),
    ),
    _line(
        t.If,
        "Clauses under a condition",
        Key("if", _expr("The condition"), "condition"),
        Key("body", Block(_CLAUSE, "The clauses", _never)),
    ),
    _DO_LINE,
)

# --- actions ----------------------------------------------------------------------------------------------------------

_BY = _line(t.By, "Who may do it", Key("by", _WHO, "who"))
_WHEN_LINE = _line(t.When, "A condition", *_WHEN)
_LET = _line(t.Let, "A name for a value", Key("let", _lower("The name"), "name"), Key("value", _expr("The value")))
_CASE_KEYS = (
    Key("to", _upper_ref("The state it leads to; left out, where the state stays as it is"), absent=None),
    Key("when", _expr("What has to hold for this case"), "condition", absent=None),
    Key("else", _plain_text("What the caller is told when it does not hold"), "otherwise", absent=None),
)
_NEEDS_OTHERS = {"dependentRequired": {"else": ["when"]}}


def _from(
    froms: tuple[t.Name, ...],
    to: t.Name | None,
    condition: t.Expr | None,
    otherwise: str | None,
    parts: tuple[Any, ...] = (),
) -> t.From:
    if condition is None and otherwise is not None:
        raise ValueError("`else` belongs to a `when`, which is missing")
    return t.From(froms, to, parts if condition is None else (t.When(condition, otherwise), *parts))


def _from_parts(case: t.From) -> dict[str, object]:
    condition: t.Expr | None = None
    otherwise: str | None = None
    parts: tuple[t.Line, ...] = case.parts
    match case.parts:
        # One with comments, or with a blank line above it, says so itself, in the body.
        case (t.When() as when, *others) if when.trivia == t.NO_TRIVIA:
            condition, otherwise, parts = when.condition, when.otherwise, tuple(others)
        case _:
            pass
    return {"froms": case.froms, "to": case.to, "condition": condition, "otherwise": otherwise, "parts": parts}


_CASE = _line(
    t.From,
    "A case. The first whose state and `when` hold is taken",
    Key("from", _CASE_STATES, "froms"),
    *_CASE_KEYS,
    _body(
        _listed("a part of a case", _BY, _WHEN_LINE, _LET, *_CLAUSES), "What belongs to this case alone", opening=True
    ),
    make=_from,
    parts=_from_parts,
    **_NEEDS_OTHERS,
)


def _action(
    name: t.Name,
    params: tuple[t.Param, ...],
    who: tuple[t.Expr, ...],
    froms: tuple[t.Name, ...],
    parts: tuple[Any, ...],
    **case: Any,
) -> t.Action:
    own: list[Any] = [t.By(who)] if who else []
    if froms:
        own.append(_from(froms, **case))
    elif any(value is not None for value in case.values()):
        raise ValueError(
            "`to`, `when` and `else` belong to a `from`, which is missing; a condition of all cases stands in the body"
        )
    return t.Action(name, params, (*own, *parts), inline=len(own))


def _action_parts(action: t.Action) -> dict[str, object]:
    by, case = inline_parts(action)
    parts = action.parts
    who: tuple[t.Expr, ...] = ()
    written: dict[str, object] = {"froms": (), "to": None, "condition": None, "otherwise": None}
    if by is not None and by.trivia == t.NO_TRIVIA:
        who, parts, by = by.who, parts[1:], None
    if (
        by is None
        and case is not None
        and case.trivia == t.NO_TRIVIA
        and not (of_case := _from_parts(case)).pop("parts")
    ):
        written, parts = of_case, parts[1:]
    return {"name": action.name, "params": action.params, "who": who, "parts": parts, **written}


_ACTION = _line(
    t.Action,
    "A move: who may make it, from where to where, and what it does",
    Key("action", _upper("Its name"), "name"),
    Key("params", Array(_PARAM, "What the caller gives"), absent=()),
    Key("by", _WHO, "who", absent=()),
    Key("from", _CASE_STATES, "froms", absent=()),
    *_CASE_KEYS,
    _body(
        _listed("a part of an action", _CASE, _BY, _WHEN_LINE, _LET, *_CLAUSES),
        "Several cases, conditions and clauses, in their order. The clauses belong to every case",
        # Above it may stand what was too long for the action's line.
        opening=True,
    ),
    make=_action,
    parts=_action_parts,
    dependentRequired={"to": ["from"], "when": ["from"], "else": ["when"]},
)

# --- what belongs to states -------------------------------------------------------------------------------------------


def _late(actions: tuple[t.Name, ...], ignore: bool, invoke: t.Invoke | None) -> t.Late:
    if ignore == (invoke is not None):
        raise ValueError("a `late` either has `ignore` or says what to `do`")
    return t.Late(actions, invoke)


_LATE = _line(
    t.Late,
    "What becomes of an outcome or a send that has no place any more",
    Key("late", Array(_upper_ref("A name"), "The actions that come too late"), "actions"),
    Key("ignore", Flag("That nothing is done"), absent=False),
    Key("do", _invoke("The action that is taken instead"), "invoke", absent=None),
    make=_late,
    parts=lambda late: {"actions": late.actions, "ignore": late.invoke is None, "invoke": late.invoke},
    oneOf=[{"required": ["ignore"]}, {"required": ["do"]}],
)
_DEFER = _line(
    t.Defer,
    "What is kept until the entity has left the state",
    Key("defer", Array(_upper_ref("A name"), "The actions that are kept"), "actions"),
)
_DURATION = "A duration such as `30m`, or an expression for one"
_IN = _line(
    t.In,
    "What belongs to states",
    Key("in", Array(_upper_ref("A name"), "The states or groups"), "states"),
    _body(
        _listed(
            "what belongs to a state",
            _line(t.OnEntry, "Added to every action that enters the state", Key("on_entry", _CLAUSE, "clause")),
            _line(t.OnExit, "Added to every action that leaves the state", Key("on_exit", _CLAUSE, "clause")),
            _line(
                t.After, "A timer from the moment the state is entered", Key("after", _expr(_DURATION), "duration"), _DO
            ),
            _line(t.At, "A timer to the moment in a `time` field", Key("at", _lower_ref("The field"), "field"), _DO),
            _line(t.Every, "A timer that repeats", Key("every", _expr(_DURATION), "duration"), _DO),
            _line(
                t.Whenever,
                "What is done as soon as it holds",
                Key("whenever", _expr("What has to hold"), "condition"),
                _DO,
            ),
            _LATE,
            _DEFER,
        ),
        "What belongs to them",
        needed=True,
    ),
)

# --- properties -------------------------------------------------------------------------------------------------------

_TITLE = Key("title", _plain_text("A name for the property"), absent=None)
_STATES = Array(_STATE_NAME, "The states")


_RESPONDS = another(
    _line(
        t.Assume,
        "Assumes that a role does its part",
        Key("responds", _dotted("The role"), "who"),
        make=lambda who: t.Assume(who, "responds"),
    ),
    name="AssumeResponds",
)
_SUCCEEDS = another(
    _line(
        t.Assume,
        "Assumes that a tool succeeds in the end",
        Key("succeeds", _dotted("The tool"), "who"),
        make=lambda who: t.Assume(who, "succeeds"),
    ),
    name="AssumeSucceeds",
)
_ASSUMES: Tagged[Any] = Tagged(
    "an assumption",
    lambda: (_RESPONDS, _SUCCEEDS),
    lambda assume: _RESPONDS.name if assume.verb == "responds" else _SUCCEEDS.name,
)
_PROPERTIES: tuple[Object[Any], ...] = (
    _line(t.Always, "Holds in every reachable state", Key("always", _expr("What holds"), "condition"), _TITLE),
    _line(
        t.Eventually,
        "Whoever is in one of the first states gets to one of the others",
        Key("eventually", _STATES, "froms"),
        Key("leads_to", _STATES, "to"),
        _TITLE,
        _body(_ASSUMES, "On what it rests", "assumes"),
    ),
    _line(
        t.Never,
        "Nothing that a role does enters these states",
        Key("never", _lower_ref("The role"), "role"),
        Key("enters", _STATES, "states"),
        _TITLE,
    ),
    _line(
        t.Needs,
        "No run gets into the state without so many different people",
        Key("needs", _STATE_NAME, "state"),
        Key("count", _expr("How many people")),
        Key("of", _lower_ref("Their role"), "role", absent=None),
        Key("by", Array(_upper_ref("A name"), "The actions that count"), absent=()),
        Key("besides", _lower_ref("The field with the principal who does not count"), absent=None),
        Key("since", Array(_upper_ref("A name"), "The actions after which counting begins anew"), absent=()),
        _TITLE,
    ),
    _line(t.CanReach, "A run to the states exists", Key("can_reach", _STATES, "states"), _TITLE),
)

# --- entities ---------------------------------------------------------------------------------------------------------

_ENTITY = _line(
    t.Entity,
    "A kind of thing with a lifecycle",
    Key("entity", _upper("Its name"), "name"),
    Key(
        "body",
        Block(
            _listed(
                "a part of an entity",
                _line(
                    t.States,
                    "Its states",
                    Key("states", Array(_upper("A name, in UpperCamel"), "Their names"), "names"),
                ),
                _line(
                    t.Final,
                    "The states that no action leaves",
                    Key("final", Array(_upper_ref("A name, in UpperCamel"), "Their names"), "names"),
                ),
                _line(
                    t.Group,
                    "A name for several states",
                    Key("group", _upper("The name"), "name"),
                    Key("of", Array(_upper_ref("A name"), "The states or groups"), "members"),
                ),
                _line(
                    t.Inverse,
                    "The entities whose field is this one",
                    Key("inverse", _lower("Its name"), "name"),
                    Key("every", _upper_ref("The other entity"), "entity"),
                    Key("field", _lower_ref("Its field, which refers to this one")),
                    Key("max", _expr("How many there can be"), absent=None),
                ),
                _line(
                    t.Field,
                    "Data",
                    Key("field", _lower("Its name"), "name"),
                    Key("type", _type("Its type, such as `int 0..64`, `string?` or `set of Task max 8`")),
                    Key("default", _expr("Its value to begin with"), absent=None),
                ),
                _line(
                    t.Unique,
                    "What no two entities agree on",
                    Key("unique", Array(_lower_ref("A name"), "The fields"), "fields"),
                    Key("ever", Flag("That entities in final states count too"), absent=False),
                ),
                _line(t.Key, "The identity", Key("key", Array(_lower_ref("A name"), "The fields"), "fields")),
                _LET,
                _ACTION,
                _IN,
                _LATE,
                _DEFER,
                *_PROPERTIES,
                _BY,
            ),
            "Its parts, in their order",
            _section_ends,
        ),
        "parts",
        absent=(),
    ),
)

# --- the top ----------------------------------------------------------------------------------------------------------

_TOOL_PARTS = _listed(
    "a part of a tool",
    _line(t.Timeout, "How long an attempt may take", Key("timeout", _expr(_DURATION), "duration")),
    _line(
        t.Retry,
        "How often a failed attempt is repeated",
        Key("retry", _expr("How many attempts more"), "count"),
        Key("every", _expr("How long after the one before")),
        Key("up_to", _expr("The longest wait; with it, waits grow"), absent=None),
    ),
    _line(
        t.Idempotent,
        "An attempt whose fate is unknown may be repeated",
        Key("idempotent", Flag("Always `true`")),
        make=lambda idempotent: t.Idempotent(),
        parts=lambda node: {"idempotent": True},
    ),
    _line(t.FromWasm, "It is carried out by a WebAssembly module", Key("from_wasm", _plain_text("The file"), "file")),
)
_SCOPE_ITEM = _object(
    t.ScopeItem,
    "How many entities, or which values of a field, the search combines",
    Key("entity", _upper_ref("The entity")),
    Key("field", _lower_ref("The field, where values are meant"), absent=None),
    Key("count", _expr("How many entities"), absent=None),
    Key("low", _expr("The least value"), absent=None),
    Key("high", _expr("The greatest value"), absent=None),
    dependentSchemas={"low": {"required": ["field"]}, "high": {"required": ["field"]}},
)

# --- scenarios --------------------------------------------------------------------------------------------------------


def _text_or_yes(text: str | None) -> str | bool:
    return True if text is None else text


def _refused(refused: object) -> t.RefusedWith:
    return t.RefusedWith(None if refused is True else str(refused))


_TEXT_OR_YES = Either[Any](
    Flag("Whatever the text"),
    _plain_text("The text"),
    lambda value: isinstance(value, bool),
    lambda value: value is True,
)
_EXPECT = Key(
    "expect",
    Array(
        _listed(
            "what is expected",
            _object(
                t.Denied,
                "Who asked may not",
                Key("denied", Flag("Always `true`")),
                make=lambda denied: t.Denied(),
                parts=lambda node: {"denied": True},
            ),
            _object(
                t.RefusedWith,
                "The table refuses",
                Key("refused", _TEXT_OR_YES),
                make=_refused,
                parts=lambda node: {"refused": _text_or_yes(node.text)},
            ),
            _object(
                t.Anything,
                "It is taken or refused, and nothing breaks",
                Key("any", Flag("Always `true`")),
                make=lambda any: t.Anything(),
                parts=lambda node: {"any": True},
            ),
            _object(t.BecomesState, "The entity is in this state afterwards", Key("state", _upper_ref("The state"))),
            _object(t.Names, "Names what the step created", Key("names", _lower("The name"), "name")),
            _object(t.Holds, "It holds afterwards", Key("holds", _expr("What holds"), "condition")),
        ),
        "What comes of it",
    ),
    absent=(),
)


def _act(act: tuple[t.Name, t.Invoke], **others: Any) -> t.Act:
    if others["acts_for"] is not None and others["principal"] is None:
        raise ValueError("`acts_for` says for whom a `principal` acts, which is missing")
    return t.Act(target=act[0], invoke=act[1], **others)


def _tool_does(
    tool: tuple[t.Name, ...],
    fails: object,
    answers: tuple[t.Arg, ...] | None,
    times_out: bool,
    expect: tuple[t.Expectation, ...],
) -> t.ToolDoes:
    if (fails is not None) + (answers is not None) + times_out != 1:
        raise ValueError("a tool either fails, answers or times out: one of these keys has to be there")
    if fails is not None:
        return t.ToolDoes(tool, "fails", None if fails is True else str(fails), (), expect)
    return t.ToolDoes(tool, "times_out" if times_out else "answers", None, answers or (), expect)


_STEPS = _listed(
    "a step",
    _line(
        t.Act,
        "Somebody takes an action",
        Key(
            "act",
            Text(
                "a name, an action and what that is given",
                '`r.Start`, or for a creating action `Rollout.Plan(cluster: "helix")`',
                read_qualified,
                lambda act: f"{act[0].text}.{format_invoke(act[1])}",
            ),
        ),
        Key("as", Array(_lower_ref("A name"), "The roles of who does it; `system` for the runtime"), "roles"),
        Key("principal", _lower_ref("Who does it; nobody for `system`"), absent=None),
        Key("acts_for", _lower_ref("The person for whom an agent does it"), absent=None),
        Key("creates", _lower("A name for what is created"), absent=None),
        _EXPECT,
        make=_act,
        parts=lambda act: {
            "act": (act.target, act.invoke),
            "roles": act.roles,
            "principal": act.principal,
            "acts_for": act.acts_for,
            "creates": act.creates,
            "expect": act.expect,
        },
    ),
    _line(
        t.Given,
        "An entity that is there to begin with",
        Key("given", _upper_ref("The entity"), "entity"),
        Key("name", _lower("A name for it")),
        Key("args", Array(_ARG, "Its state and its fields"), absent=()),
    ),
    _line(
        t.ToolDoes,
        "What a tool that was called does",
        Key("tool", _dotted("The tool")),
        Key("fails", _TEXT_OR_YES, absent=None),
        Key("answers", Array(_ARG, "Its results", least=0), absent=None),
        Key("times_out", Flag("That no answer comes in time"), absent=False),
        _EXPECT,
        make=_tool_does,
        parts=lambda does: {
            "tool": does.tool,
            "fails": _text_or_yes(does.text) if does.verb == "fails" else None,
            "answers": does.args if does.verb == "answers" else None,
            "times_out": does.verb == "times_out",
            "expect": does.expect,
        },
        oneOf=[{"required": [verb]} for verb in ("fails", "answers", "times_out")],
    ),
    _line(t.Wait, "Time passes", Key("wait", _expr("A duration"), "duration"), _EXPECT),
    _line(t.Check, "It holds", Key("check", _expr("What holds"), "condition")),
    _line(
        t.Emitted,
        "An event was published",
        Key("emitted", _invoke("The event and what it tells")),
        make=lambda emitted: t.Emitted(emitted.action, emitted.args),
        parts=lambda node: {"emitted": t.Invoke(node.event, node.args)},
    ),
)

_UPGRADE_PARTS = _listed(
    "a part of an upgrade",
    _line(
        t.Becomes,
        "A state goes on under another name",
        Key("becomes", _upper_ref("The new state"), "new"),
        Key("from", _upper_ref("The old state"), "old"),
    ),
    _SET,
    _line(t.Drop, "A field goes away", Key("drop", _lower_ref("The field"), "field")),
)

_DECLARATIONS: tuple[Object[Any], ...] = (
    _line(
        t.Role, "What a principal can be", Key("roles", Array(_lower("A name, in lower_snake"), "Their names"), "names")
    ),
    _line(
        t.Excludes,
        "Nobody has both",
        Key("role", _lower("A role")),
        Key("excludes", Array(_lower_ref("A name"), "The other roles"), "others"),
    ),
    _line(
        t.TypeDecl,
        "A named type",
        Key("type", _upper("Its name"), "name"),
        Key("is", _type("The type, such as `one of (low, high)`"), "type"),
    ),
    _line(
        t.Record,
        "A record",
        Key("record", _upper("Its name"), "name"),
        Key("fields", Array(_PARAM, "Its fields", least=0)),
    ),
    _line(t.Const, "A constant", Key("const", _lower("Its name"), "name"), Key("value", _expr("Its value"))),
    _line(
        t.Tool,
        "Something outside that can be called",
        Key("tool", _dotted("Its name, such as `kubernetes.set_partition`"), "name"),
        Key("params", Array(_PARAM, "What it is given"), absent=()),
        Key("returns", Array(_PARAM, "What it answers"), "results", absent=()),
        _body(_TOOL_PARTS, "How it is called"),
    ),
    _ENTITY,
    _line(
        t.Event,
        "A fact that is published",
        Key("event", _upper("Its name"), "name"),
        Key("params", Array(_PARAM, "What it tells"), absent=()),
    ),
    _line(t.Scope, "What the search combines", Key("scope", Array(_SCOPE_ITEM, "How much of what"), "items")),
    _line(
        t.Scenario,
        "An example that has to come out as it says",
        Key("scenario", _plain_text("What it shows"), "title"),
        Key("steps", Block(_STEPS, "Its steps, in their order", _never), absent=()),
    ),
    _line(
        t.Upgrade,
        "What becomes of live entities when this version takes the place of an earlier one",
        Key("upgrade", Count("The earlier version"), "version"),
        Key(
            "entities",
            Block(
                _line(
                    t.UpgradeEntity,
                    "What becomes of one kind of entity",
                    Key("entity", _upper_ref("Its name")),
                    _body(_UPGRADE_PARTS, "What changes"),
                ),
                "What changes, by entity",
                _never,
            ),
            absent=(),
        ),
    ),
    *_PROPERTIES,
)


def _file(name: t.Name, declarations: tuple[Any, ...], description: tuple[str, ...], comments: t.Trivia) -> t.File:
    return t.File("", name, declarations, trivia=replace(comments, above=description))


def _file_parts(file: t.File) -> dict[str, object]:
    assert file.name is not None, "a file without its `blueprint` line has a problem, and no JSON form"
    return {
        "name": file.name,
        "declarations": file.declarations,
        "description": file.trivia.above,
        "comments": replace(file.trivia, above=(), blank_before=False),
    }


_FILE = Object(
    "File",
    "One file of a blueprint",
    (
        Key("blueprint", _lower("The name of the bundle"), "name"),
        _DESCRIPTION,
        Key(
            "declarations",
            Block(
                Tagged("a declaration", lambda: _DECLARATIONS, _which),
                "What it declares, in its order",
                _section_ends,
                opening=True,
            ),
            absent=(),
        ),
        Key("comments", _COMMENTS, absent=t.NO_TRIVIA),
    ),
    _file,
    _file_parts,
)
