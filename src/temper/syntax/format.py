"""A tree as text, in the one style.

What the author decides: the order of everything, blank lines (one at most) and comments. What we decide: the rest.

* A part stands on the line of what it belongs to where the language's examples have it so: an action's first `by` and
  its one `from`, a case's `when`, the one part of an `in`, the one clause of a `for` or an `if`. All others stand on
  deeper lines, and so does what does not fit there or bears comments.
* What is longer than `WIDTH` goes on after a comma, an operator or an opening bracket, or before `then`, `else` and
  `unknown`; four deeper than its line, so that it is told from the parts, which stand two deeper.
* Brackets stand only where the levels of the operators ask for them.
* A blank line always parts entities, scenarios and upgrades from their neighbours.

A tree that holds a `Bad...` node has no text. The printer asserts that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import assert_never

from msgspec import Struct, structs

from temper.syntax import tree as t
from temper.syntax.words import (
    DURATION_UNITS,
    NEGATIVE_PRECEDENCE,
    NOT_PRECEDENCE,
    POSTFIX_PRECEDENCE,
    PRECEDENCE,
    QUANTIFIERS_BARE,
    QUANTIFIERS_IN_BRACKETS,
    RIGHT_ASSOCIATIVE,
)
from temper.syntax.wrap import WIDTH, Break, Doc, Group, Nest, bracketed, cat, commas, fit, flat

STEP = 2
"""How much deeper a part stands."""
ONWARD = 4
"""How much deeper a line goes on that is too long."""


def format_file(file: t.File) -> str:
    """Return the text of a file in the one style; reading it back gives an equal tree, each comment in its place."""
    page = _Page([])
    if file.name is not None:
        page.line(cat("blueprint ", file.name.text), file.trivia, 0)
    else:
        page.above(file.trivia, 0)
    page.block(file.declarations, 0, begun=file.name is not None or bool(page.lines))
    if file.trivia.below:
        page.blank()
        page.comments(file.trivia.below, 0)
    return "".join(f"{line}\n" for line in page.lines)


def format_expression(expression: t.Expr) -> str:
    """Return the text of an expression, on one line."""
    return flat(_expr(expression))


def format_type(type_: t.TypeExpr) -> str:
    """Return the text of a type, on one line."""
    return flat(_type(type_))


def format_invoke(invoke: t.Invoke | t.Nothing) -> str:
    """Return the text of an action and what it is given, on one line."""
    return flat(_invoke(invoke))


def format_args(args: tuple[t.Arg, ...]) -> str:
    """Return arguments with their brackets, on one line."""
    return flat(_args(args))


def format_set_item(item: t.SetItem) -> str:
    """Return the text of one assignment, on one line, without the word `set`."""
    return flat(_set_item(item))


# --- lines ------------------------------------------------------------------------------------------------------------


class _Page(Struct, frozen=True):
    """The lines so far."""

    lines: list[str]

    def blank(self) -> None:
        """Part what follows from what is there."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def comments(self, comments: Sequence[str], indent: int) -> None:
        self.lines.extend(f"{' ' * indent}{_comment(comment)}" for comment in comments)

    def above(self, trivia: t.Trivia, indent: int) -> None:
        for block in trivia.detached:
            self.comments(block, indent)
            self.blank()
        self.comments(trivia.above, indent)

    def line(self, head: Doc, trivia: t.Trivia, indent: int) -> None:
        self.above(trivia, indent)
        *first, last = fit(Nest(ONWARD, head), indent)
        beside = "" if trivia.beside is None else f"  {_comment(trivia.beside)}"
        self.lines.extend((*first, last + beside))

    def block(self, parts: Iterable[t.Line], indent: int, *, begun: bool = False) -> None:
        """Print the parts of a block; `begun` where something of the block stands above them."""
        before: t.Line | None = None
        for part in parts:
            if (before is not None or begun) and (part.trivia.blank_before or parted(before, part)):
                self.blank()
            self.part(part, indent)
            before = part

    def part(self, part: t.Line, indent: int) -> None:
        shown = _shown(part, indent)
        self.line(shown.head, shown.trivia, indent)
        self.block(shown.block, indent + STEP)
        self.comments(shown.trivia.below, indent + STEP)


_STANDS_ALONE = (t.Entity, t.Scenario, t.Upgrade)


def parted(before: t.Line | None, part: t.Line) -> bool:
    """Return whether a blank line stands between the two whatever the author wrote; `None` is the `blueprint` line."""
    return isinstance(before, _STANDS_ALONE) or isinstance(part, _STANDS_ALONE)


def _comment(text: str) -> str:
    return f"# {text}".rstrip()


class _Shown(Struct, frozen=True):
    """How a part is printed: its own line, what stands on deeper lines, and the comments of all that its line holds."""

    head: Doc
    block: tuple[t.Line, ...]
    trivia: t.Trivia


def _shown(part: t.Line, indent: int) -> _Shown:
    """Decide what stands on the part's own line."""
    match part:
        case t.Action():
            return _action(part, indent)
        case t.From():
            return _case(part, indent)
        case t.In():
            return _joined(
                cat("in ", _names(part.states), " "), cat("in ", _names(part.states)), part, part.parts, indent
            )
        case t.For():
            head = cat("for ", part.var.text, " in ", _expr(part.over, _COALESCE, open_end=False), ":")
            return _joined(cat(head, " "), head, part, part.body, indent)
        case t.If():
            head = cat("if ", _expr(part.condition, open_end=False), ":")
            return _joined(cat(head, " "), head, part, part.body, indent)
        case t.OnEntry():
            return _with_clause("on entry ", part, part.clause, indent)
        case t.OnExit():
            return _with_clause("on exit ", part, part.clause, indent)
        case _:
            return _Shown(_head(part), _block(part), part.trivia)


def _block(part: t.Line) -> tuple[t.Line, ...]:
    match part:
        case t.Entity() | t.Tool() | t.UpgradeEntity():
            return part.parts
        case t.Eventually():
            return part.assumes
        case t.Scenario():
            return part.steps
        case t.Upgrade():
            return part.entities
        case _:
            return ()


def bears_comments(trivia: t.Trivia) -> bool:
    """Return whether a comment hangs on the line, so that it has to stand alone."""
    return structs.replace(trivia, blank_before=False) != t.NO_TRIVIA


def inline_parts(action: t.Action) -> tuple[t.By | None, t.From | None]:
    """Return the `by` and the `from` that may stand on the action's own line, whatever their length."""
    by = next((part for part in action.parts[:1] if isinstance(part, t.By) and not bears_comments(part.trivia)), None)
    behind = action.parts[1:] if by else action.parts
    froms = [part for part in action.parts if isinstance(part, t.From)]
    # A case's own clauses stand below its line; below the action's line they would be the action's.
    if len(froms) != 1 or behind[0] is not froms[0] or bears_comments(froms[0].trivia) or case_when(froms[0])[1]:
        return by, None
    return by, froms[0]


def case_when(case: t.From) -> tuple[t.When | None, tuple[t.Line, ...]]:
    """Return the `when` that may stand on the case's own line, and the parts below it."""
    match case.parts:
        case (t.When() as when, *others) if not bears_comments(when.trivia):
            return when, tuple(others)
        case _:
            return None, case.parts


def _action(action: t.Action, indent: int) -> _Shown:
    head = cat("action ", action.name.text, _params(action.params) if action.params else "")
    by, case = inline_parts(action)
    parts: tuple[t.Line, ...] = action.parts
    trivia = action.trivia
    if by is not None and _one_line(longer := cat(head, " ", _head(by)), indent):
        head, parts = longer, parts[1:]
        # A `from` follows the `by` on the line, or it would be read before it.
    elif by is not None:
        case = None
    if case is not None and _one_line(longer := cat(head, " ", _from(case, case_when(case)[0])), indent):
        head, parts = longer, parts[1:]
    return _Shown(head, parts, trivia)


def _case(case: t.From, indent: int) -> _Shown:
    when, others = case_when(case)
    if when is not None and _one_line(longer := _from(case, when), indent):
        return _Shown(longer, others, case.trivia)
    return _Shown(_from(case, None), case.parts, case.trivia)


def _from(case: t.From, when: t.When | None) -> Doc:
    to = "" if case.to is None else f" to {case.to.text}"
    return cat("from ", _names(case.froms), to, *([" ", _head(when)] if when else []))


def _joined(before_part: Doc, alone: Doc, outer: t.Line, parts: tuple[t.Line, ...], indent: int) -> _Shown:
    """Return the one part on the line of what it belongs to, if it is one line itself; or else all parts below it."""
    if len(parts) == 1 and not bears_comments(parts[0].trivia) and not outer.trivia.below:
        inner = _shown(parts[0], indent)
        if (
            not inner.block
            and not bears_comments(inner.trivia)
            and _one_line(longer := cat(before_part, inner.head), indent)
        ):
            return _Shown(longer, (), outer.trivia)
    return _Shown(alone, parts, outer.trivia)


def _with_clause(words: str, outer: t.Line, clause: t.Clause, indent: int) -> _Shown:
    """Return a line whose clause has no other place than this line; its comments become the line's."""
    inner = _shown(clause, indent + len(words))
    return _Shown(cat(words, inner.head), inner.block, _together(outer.trivia, inner.trivia))


def _together(outer: t.Trivia, inner: t.Trivia) -> t.Trivia:
    besides = [beside for beside in (outer.beside, inner.beside) if beside is not None]
    return t.Trivia(
        above=outer.above + inner.above,
        detached=outer.detached + inner.detached,
        beside=" ".join(besides) if besides else None,
        blank_before=outer.blank_before,
        below=inner.below + outer.below,
    )


def _one_line(doc: Doc, indent: int) -> bool:
    return indent + len(flat(doc)) <= WIDTH


def _head(part: t.Line) -> Doc:
    """Return the line of a part that decides nothing about other parts."""
    match part:
        # the top
        case t.Role():
            return cat("role ", _names(part.names))
        case t.Excludes():
            return cat("role ", part.role.text, " excludes ", _names(part.others))
        case t.TypeDecl():
            return cat("type ", part.name.text, " = ", _type(part.type))
        case t.Record():
            return cat("record ", part.name.text, _params(part.fields))
        case t.Const():
            return cat("const ", part.name.text, " = ", _expr(part.value))
        case t.Tool():
            results = cat(" -> ", _params(part.results)) if part.results else ""
            return cat("tool ", _dotted(part.name), _params(part.params), results)
        case t.Timeout():
            return cat("timeout ", _expr(part.duration))
        case t.Retry():
            up_to = cat(" up to ", _expr(part.up_to)) if part.up_to is not None else ""
            return cat("retry ", _expr(part.count), " every ", _expr(part.every), up_to)
        case t.Idempotent():
            return "idempotent"
        case t.FromWasm():
            return cat("from wasm ", quoted(part.file))
        case t.Event():
            return cat("event ", part.name.text, _params(part.params) if part.params else "")
        case t.Scope():
            return cat("scope ", commas([_scope_item(item) for item in part.items]))
        case t.Entity():
            return cat("entity ", part.name.text)
        # in an entity
        case t.States():
            return cat("states ", _names(part.names))
        case t.Final():
            return cat("final ", _names(part.names))
        case t.Group():
            return cat("group ", part.name.text, " = ", _names(part.members))
        case t.Field():
            return cat(part.name.text, ": ", _type(part.type), _default(part.default))
        case t.Inverse():
            most = cat(" max ", _expr(part.max, POSTFIX_PRECEDENCE)) if part.max is not None else ""
            return cat(part.name.text, ": every ", part.entity.text, ".", part.field.text, most)
        case t.Unique():
            return cat("unique ", _one_or_bracketed(part.fields), " ever" if part.ever else "")
        case t.Key():
            return cat("key ", _one_or_bracketed(part.fields))
        case t.Let():
            return cat("let ", part.name.text, " = ", _expr(part.value))
        case t.By():
            return cat("by ", commas([_expr(who, _COALESCE, open_end=False) for who in part.who]))
        case t.When():
            otherwise = Group(cat(Break(), "else ", quoted(part.otherwise))) if part.otherwise is not None else ""
            return cat("when ", _expr(part.condition), otherwise)
        # clauses
        case t.Set():
            return cat("set ", commas([_set_item(item) for item in part.items]))
        case t.Call():
            handlers = (("then", part.then), ("else", part.otherwise), ("unknown", part.unknown))
            written = [cat(Break(), f"{word} ", _invoke(invoke)) for word, invoke in handlers if invoke is not None]
            return cat("call ", _dotted(part.tool), _args(part.args), Group(cat("", *written)))
        case t.Send():
            return cat("send ", _target(part.target), ".", _invoke(part.invoke))
        case t.With():
            return cat("with ", _target(part.target), ".", _invoke(part.invoke))
        case t.Create():
            name = f" as {part.name.text}" if part.name is not None else ""
            return cat("create ", part.entity.text, ".", _invoke(part.invoke), name)
        case t.Emit():
            return cat("emit ", part.event.text, _some_args(part.args))
        case t.Do():
            return cat("do ", _invoke(part.invoke))
        # what belongs to states
        case t.After():
            return cat("after ", _expr(part.duration), " do ", _invoke(part.invoke))
        case t.At():
            return cat("at ", part.field.text, " do ", _invoke(part.invoke))
        case t.Every():
            return cat("every ", _expr(part.duration), " do ", _invoke(part.invoke))
        case t.Whenever():
            return cat("whenever ", _expr(part.condition), " do ", _invoke(part.invoke))
        case t.Late():
            what = "ignore" if part.invoke is None else cat("do ", _invoke(part.invoke))
            return cat("late ", _names(part.actions), " ", what)
        case t.Defer():
            return cat("defer ", _names(part.actions))
        # properties
        case t.Always():
            condition = _expr(part.condition)
            # A text right behind `always` would be the property's name.
            bare = part.title is not None or not flat(condition).startswith('"')
            return cat("always ", _title(part.title), condition if bare else cat("(", condition, ")"))
        case t.Eventually():
            return cat("eventually ", _title(part.title), _states(part.froms), " leads to ", _states(part.to))
        case t.Assume():
            return cat("assume ", _dotted(part.who), " ", part.verb)
        case t.Never():
            return cat("never ", _title(part.title), part.role.text, " enters ", _states(part.states))
        case t.Needs():
            return _needs(part)
        case t.CanReach():
            return cat("can reach ", _title(part.title), _states(part.states))
        # scenarios
        case t.Scenario():
            return cat("scenario ", quoted(part.title))
        case t.Act():
            # In one piece: on a line of its own, a role named `key` with a name behind it would begin something else.
            roles = ", ".join(role.text for role in part.roles)
            behind = f" for {part.acts_for.text}" if part.acts_for else ""
            who = f"{roles}({part.principal.text}{behind})" if part.principal else roles
            creates = f"{part.creates.text} = " if part.creates else ""
            return cat(who, " ", creates, part.target.text, ".", _invoke(part.invoke), _expect(part.expect))
        case t.Given():
            return cat("given ", part.entity.text, " ", part.name.text, _some_args(part.args))
        case t.ToolDoes():
            return cat(_dotted(part.tool), " ", _tool_does(part), _expect(part.expect))
        case t.Wait():
            duration = _expr(part.duration)
            # `wait - x` is a difference.
            bare = not flat(duration).startswith("-")
            return cat("wait ", duration if bare else cat("(", duration, ")"), _expect(part.expect))
        case t.Check():
            condition = _expr(part.condition)
            bare = flat(condition).split(maxsplit=1)[0] not in {"given", "wait", "emitted"}
            return condition if bare else cat("(", condition, ")")
        case t.Emitted():
            return cat("emitted ", part.event.text, _some_args(part.args))
        # upgrades
        case t.Upgrade():
            return f"upgrade from {part.version}"
        case t.UpgradeEntity():
            return part.entity.text
        case t.Becomes():
            return f"{part.old.text} becomes {part.new.text}"
        case t.Drop():
            return f"drop {part.field.text}"
        case _:
            raise AssertionError(f"no text for {type(part).__name__}")


# --- pieces of lines --------------------------------------------------------------------------------------------------


def _names(names: tuple[t.Name, ...]) -> Doc:
    return commas([name.text for name in names])


def _dotted(names: tuple[t.Name, ...]) -> str:
    return ".".join(name.text for name in names)


def _one_or_bracketed(names: tuple[t.Name, ...]) -> Doc:
    return names[0].text if len(names) == 1 else bracketed("(", [name.text for name in names], ")")


def _states(states: tuple[t.StateName, ...]) -> Doc:
    return commas([format_state_name(state) for state in states])


def format_state_name(state: t.StateName) -> str:
    """Return `Live` or `Rollout.Live`."""
    return state.state.text if state.entity is None else f"{state.entity.text}.{state.state.text}"


def _target(target: t.Expr) -> Doc:
    """Return what an action is sent to: a path, or something in brackets."""
    text = _expr(target, POSTFIX_PRECEDENCE)
    return text if flat(text)[0].isalpha() or flat(text)[0] in "(_" else cat("(", text, ")")


def _title(title: str | None) -> str:
    return "" if title is None else f"{quoted(title)}: "


def _needs(needs: t.Needs) -> Doc:
    words: list[Doc] = [
        _title(needs.title),
        format_state_name(needs.state),
        " needs ",
        _expr(needs.count, NEGATIVE_PRECEDENCE),
    ]
    if needs.role is not None:
        words += [" of ", needs.role.text]
    if needs.by:
        words += [" by ", _names(needs.by)]
    if needs.besides is not None:
        words += [" besides ", needs.besides.text]
    if needs.since:
        words += [" since ", _names(needs.since)]
    return cat(*words)


def _param(param: t.Param) -> Doc:
    type_ = cat(": ", _type(param.type)) if param.type is not None else ""
    return cat(param.name.text, type_, _default(param.default))


def _params(params: tuple[t.Param, ...]) -> Doc:
    return bracketed("(", [_param(param) for param in params], ")")


def _default(default: t.Expr | None) -> Doc:
    return cat(" = ", _expr(default)) if default is not None else ""


def _arg(arg: t.Arg) -> Doc:
    return _expr(arg.value) if arg.name is None else cat(arg.name.text, ": ", _expr(arg.value))


def _args(args: tuple[t.Arg, ...]) -> Doc:
    return bracketed("(", [_arg(arg) for arg in args], ")")


def _some_args(args: tuple[t.Arg, ...]) -> Doc:
    return _args(args) if args else ""


def _invoke(invoke: t.Invoke | t.Nothing) -> Doc:
    if isinstance(invoke, t.Nothing):
        return "_"
    return cat(invoke.action.text, _some_args(invoke.args))


def _set_item(item: t.SetItem) -> Doc:
    key = cat("[", _expr(item.key), "]") if item.key is not None else ""
    if item.value is None:
        return cat(item.target.text, key)
    return cat(item.target.text, key, f" {item.op} ", _expr(item.value))


def _scope_item(item: t.ScopeItem) -> Doc:
    what = item.entity.text if item.field is None else f"{item.entity.text}.{item.field.text}"
    if item.count is not None:
        return cat(what, " ", _expr(item.count, POSTFIX_PRECEDENCE))
    return cat(what, " ", _end(item.low), "..", _end(item.high))


def _tool_does(step: t.ToolDoes) -> Doc:
    match step.verb:
        case "fails":
            return "fails" if step.text is None else f"fails {quoted(step.text)}"
        case "answers":
            return cat("answers ", _args(step.args)) if step.args else "answers"
        case _:
            return "times out"


def _expect(expect: tuple[t.Expectation, ...]) -> Doc:
    return cat(" -> ", commas([_expectation(one) for one in expect])) if expect else ""


def _expectation(expectation: t.Expectation) -> Doc:
    match expectation:
        case t.Denied():
            return "denied"
        case t.RefusedWith(text):
            return "refused" if text is None else f"refused {quoted(text)}"
        case t.Anything():
            return "any"
        case t.BecomesState(state):
            return state.text
        case t.Names(name):
            return name.text
        case t.Holds(t.Ref(name)):
            # A name alone would be a state or a new name.
            return f"({name.text})"
        case t.Holds(condition):
            return _expr(condition)
        case _:
            assert_never(expectation)


# --- types ------------------------------------------------------------------------------------------------------------


def _type(type_: t.TypeExpr) -> Doc:
    match type_:
        case t.NamedType(name):
            return name.text
        case t.NumberType(kind, low, high, ranged):
            return cat(kind, " ", _end(low), "..", _end(high)) if ranged else kind
        case t.EnumType(values):
            return cat("one of ", bracketed("(", [value.text for value in values], ")"))
        case t.CollectionType(kind, element, most):
            return cat(f"{kind} of ", _type(element), _max(most))
        case t.MapType(key, value, most):
            return cat("map of ", _type(key), " to ", _type(value), _max(most))
        case t.OptionalType(inner):
            return cat(_type(inner), "?")
        case t.BadType():
            raise AssertionError("a type that could not be read has no text")
        case _:
            assert_never(type_)


def _end(end: t.Expr | None) -> Doc:
    return "" if end is None else _expr(end, NEGATIVE_PRECEDENCE)


def _max(most: t.Expr | None) -> Doc:
    return "" if most is None else cat(" max ", _expr(most, POSTFIX_PRECEDENCE))


# --- expressions ------------------------------------------------------------------------------------------------------

_OPEN = 0
"""The level of what has no end of its own: `if` and the quantifiers without brackets."""
_COALESCE = PRECEDENCE["??"]
"""The level just above comparisons: what a quantifier ranges over, so that nobody has to look for its `in` and `:`."""


def _level(expr: t.Expr) -> int:
    match expr:
        case t.IfExpr():
            return _OPEN
        case t.Quantifier(kind) if kind in QUANTIFIERS_BARE:
            return _OPEN
        case t.Binary(op):
            return PRECEDENCE[op]
        case t.Is():
            return PRECEDENCE["is"]
        case t.Unary(op):
            return NOT_PRECEDENCE if op == "not" else NEGATIVE_PRECEDENCE
        case _:
            return POSTFIX_PRECEDENCE


def _expr(expr: t.Expr, at: int = _OPEN, *, open_end: bool = True) -> Doc:
    """Return the text of an expression that has to bind at least as tightly as the level `at`.

    `open_end` is false where something follows on the right that a body without an end would swallow.
    """
    level = _level(expr)
    if level == _OPEN:
        # It may stand at the right of `and` and its kin, since nothing follows that it could swallow.
        bare = open_end and at <= NOT_PRECEDENCE
    else:
        bare = level >= at
    if bare:
        return _bare(expr, open_end=open_end)
    return bracketed("(", [_bare(expr, open_end=True)], ")")


def _bare(expr: t.Expr, *, open_end: bool) -> Doc:
    match expr:
        case t.Bool(value):
            return "true" if value else "false"
        case t.NoneValue():
            return "none"
        case t.Int(number):
            # Four digits are read at a glance; a port or a year would only be harder to find with a `_`.
            return f"{number:_}" if abs(number) >= 10_000 else str(number)
        case t.Dec(decimal):
            text = f"{decimal:f}"
            return text if "." in text else f"{text}.0"
        case t.Str(text):
            return quoted(text)
        case t.Duration():
            return format_duration(expr)
        case t.Ref(name):
            return name.text
        case t.Dot(base, name):
            return cat(_base(base), ".", name.text)
        case t.Index(base, index):
            return cat(_base(base), bracketed("[", [_expr(index)], "]"))
        case t.Apply(name, args):
            return cat(name.text, _function_args(name, args))
        case t.Unary("not", operand):
            return cat("not ", _expr(operand, NOT_PRECEDENCE, open_end=open_end))
        case t.Unary(op, operand):
            return cat(op, _expr(operand, POSTFIX_PRECEDENCE))
        case t.Binary():
            return _binary(expr, open_end=open_end)
        case t.Is(subject, negated, what, entity):
            named = what.text if entity is None else f"{entity.text}.{what.text}"
            return cat(_expr(subject, _COALESCE, open_end=False), " is not " if negated else " is ", named)
        case t.OneOfNames(items):
            return bracketed("(", [_expr(item) for item in items], ")")
        case t.IfExpr(condition, then, otherwise):
            branches = cat(Break(), "then ", _expr(then), Break(), "else ", _expr(otherwise, open_end=open_end))
            return Group(cat("if ", _expr(condition), Nest(STEP, branches)))
        case t.SetOf(items):
            return bracketed("{", [_expr(item) for item in items], "}")
        case t.ListOf(items):
            return bracketed("[", [_expr(item) for item in items], "]")
        case t.MapOf(pairs):
            entries: list[Doc] = [
                cat(_expr(key, _COALESCE, open_end=False), ": ", _expr(value)) for key, value in pairs
            ]
            return bracketed("{", entries, "}")
        case t.Quantifier(kind, var, over, body):
            head = cat(var.text, " in ", _expr(over, _COALESCE, open_end=False), ":")
            if kind in QUANTIFIERS_BARE:
                return Group(cat(f"{kind} ", head, Nest(STEP, cat(Break(), _expr(body, open_end=open_end)))))
            return bracketed(f"{kind}(", [cat(head, " ", _expr(body))], ")")
        case t.Filter(var, over, body):
            return bracketed(
                "{", [cat(var.text, " in ", _expr(over, _COALESCE, open_end=False), ": ", _expr(body))], "}"
            )
        case t.Mapped(kind, body, var, over):
            left, right = ("{", "}") if kind == "set" else ("[", "]")
            each = cat(" for ", var.text, " in ", _expr(over, _COALESCE))
            return bracketed(left, [cat(_expr(body, open_end=False), each)], right)
        case t.BadExpr():
            raise AssertionError("an expression that could not be read has no text")
        case _:
            assert_never(expr)


def _function_args(name: t.Name, args: tuple[t.Arg, ...]) -> Doc:
    """Return the arguments; `count((x in s))` keeps the brackets that tell it from `count(x in s: ...)`."""
    texts = [_arg(arg) for arg in args]
    if name.text in QUANTIFIERS_IN_BRACKETS and args and re.match(r"\w+ in ", flat(texts[0])):
        texts[0] = cat("(", texts[0], ")")
    return bracketed("(", texts, ")")


def _base(base: t.Expr) -> Doc:
    """Return what stands before a `.` or a `[`; a literal is bracketed, or `1.x` would be a decimal."""
    if isinstance(base, t.Int | t.Dec | t.Duration | t.Bool | t.NoneValue):
        return bracketed("(", [_expr(base)], ")")
    return _expr(base, POSTFIX_PRECEDENCE)


def _binary(expr: t.Binary, *, open_end: bool) -> Doc:
    """Return a chain of operators of one level; one that does not fit has a line for each operand."""
    level = PRECEDENCE[expr.op]
    operands, ops = _chain(expr, level)
    parts: list[Doc] = []
    for index, operand in enumerate(operands):
        last = index == len(operands) - 1
        text = Nest(STEP, _expr(operand, level + 1, open_end=open_end and last))
        if last and _looks_like_a_state(expr):
            text = Nest(STEP, cat("(", text, ")"))
        parts.extend([text] if last else [text, f" {ops[index]}", Break()])
    return Group(cat(*parts))


def _looks_like_a_state(expr: t.Binary) -> bool:
    """Return whether, without brackets on its right, `state == A` would be taken for `state is A`, written wrongly."""
    match expr:
        case t.Binary("==" | "!=", t.Ref(name) | t.Dot(_, name), t.Ref(right)):
            return name.text == "state" and right.text[0].isupper()
        case _:
            return False


def _chain(expr: t.Binary, level: int) -> tuple[list[t.Expr], list[str]]:
    """Return the operands that need no brackets, and what stands between them."""
    if expr.op in RIGHT_ASSOCIATIVE:
        operands, ops = [expr.left], [expr.op]
        rest = expr.right
        while isinstance(rest, t.Binary) and PRECEDENCE[rest.op] == level:
            operands.append(rest.left)
            ops.append(rest.op)
            rest = rest.right
        return [*operands, rest], ops
    if level == PRECEDENCE["=="]:
        return [expr.left, expr.right], [expr.op]
    operands, ops = [expr.right], [expr.op]
    rest = expr.left
    while isinstance(rest, t.Binary) and PRECEDENCE[rest.op] == level:
        operands.append(rest.right)
        ops.append(rest.op)
        rest = rest.left
    return [rest, *reversed(operands)], ops[::-1]


def format_duration(duration: t.Duration) -> str:
    """Return it in the author's unit, or in milliseconds where that would lose some."""
    count, rest = divmod(duration.ms, DURATION_UNITS[duration.unit])
    return f"{duration.ms}ms" if rest else f"{count}{duration.unit}"


def quoted(text: str) -> str:
    """Return a text literal, on one line whatever the text holds."""
    return (
        '"'
        + "".join(_ESCAPES.get(char) or (char if char.isprintable() else f"\\u{{{ord(char):x}}}") for char in text)
        + '"'
    )


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
