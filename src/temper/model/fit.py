"""Whether a value can stand where it is given, and as what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from decimal import Decimal

from temper.model.lookup import Lookup
from temper.model.problems import listed
from temper.model.scope import CONSTANT, Scope
from temper.model.typed import Args, Typed, bad, constant, folded, known, some
from temper.model.types import (
    BOOL,
    DECIMAL,
    DURATION,
    INT,
    BoolT,
    DecimalT,
    DurationT,
    EnumT,
    IntT,
    ListT,
    MapT,
    OptionalT,
    PrincipalT,
    RefT,
    SetT,
    StringT,
    Type,
    UnknownT,
    article,
    fits,
    one,
    opened,
    plain,
    same,
    show,
)
from temper.model.world import Param
from temper.syntax import tree
from temper.text import Code, Span


class Fitter(Lookup, ABC):
    """Fits typed values to the types that are expected."""

    @abstractmethod
    def infer(self, expr: tree.Expr, scope: Scope, hint: Type | None = None) -> Typed:
        """Return the expression with its own type; `hint` (the type that is expected, if any) only decides what bare
        names and empty collections mean."""

    def expect(self, expr: tree.Expr, want: Type, scope: Scope) -> Typed:
        """Return the expression as a value of `want`."""
        return self.coerce(self.infer(expr, scope, want), want)

    def condition(self, expr: tree.Expr, scope: Scope) -> Typed:
        return self.expect(expr, BOOL, scope)

    def coerce(self, value: Typed, want: Type) -> Typed:
        """Return `value` where a `want` is expected, or say why it can't stand there."""
        have = value.type
        if isinstance(have, UnknownT) or isinstance(want, UnknownT):
            return value
        if isinstance(want, OptionalT):
            if isinstance(have, OptionalT):
                if same(have, want):
                    return value
            elif fits(have, want.inner):
                # What was narrowed is given back as it was.
                return value.parts[0] if value.op == "value" else some(self.coerce(value, want.inner))
            return self._mismatch(value, want)
        if value.op == "none":
            self.problems.add(
                Code.B201,
                value.span,
                f"{one(want)} is expected, and this is `none`",
                help="give a value, or declare what it is given to with a `?`",
            )
            return bad(value.span)
        if isinstance(have, OptionalT):
            if fits(have.inner, want):
                self.may_be_none(value)
                return known(value)
            return self._mismatch(value, want)
        if same(have, want):
            self._in_range(value, want)
            return value
        if isinstance(have, IntT) and isinstance(want, DecimalT):
            widened = folded(Typed("to_decimal", (value,), DECIMAL, value.span))
            self._in_range(widened, want)
            return widened
        return self._mismatch(value, want)

    def present(self, value: Typed) -> Typed:
        """Return `value` as a `T`, or say that it may be `none`."""
        if isinstance(value.type, OptionalT):
            self.may_be_none(value)
            return known(value)
        return value

    def may_be_none(self, value: Typed) -> None:
        name = spelt(value)
        self.problems.add(
            Code.B202,
            value.span,
            f"{quoted(name)} may be `none` here",
            label=f"this is {one(value.type)}",
            help=f"check it first (`{name or 'x'} != none and ...`), or say what else (`{name or 'x'} ?? ...`)",
        )

    def unite(self, left: Typed, right: Typed) -> tuple[Typed, Typed] | None:
        """Return both as values of one type, or `None` where there is none."""
        a, b = left.type, right.type
        if isinstance(a, UnknownT) or isinstance(b, UnknownT) or same(a, b):
            return left, right
        if isinstance(a, OptionalT) and not isinstance(b, OptionalT) and fits(b, a):
            return left, self.coerce(right, opened(a))
        if isinstance(b, OptionalT) and not isinstance(a, OptionalT) and fits(a, b):
            return self.coerce(left, opened(b)), right
        if isinstance(a, IntT) and isinstance(b, DecimalT):
            return self.coerce(left, DECIMAL), right
        if isinstance(a, DecimalT) and isinstance(b, IntT):
            return left, self.coerce(right, DECIMAL)
        return None

    def different(self, left: Typed, right: Typed, span: Span) -> None:
        help = "both sides of a comparison are of one type"
        if {type(left.type), type(right.type)} == {EnumT, StringT}:
            help = "a value of an enumeration stands without quotes"
        self.problems.add(
            Code.B205,
            span,
            f"{one(left.type)} is compared with {one(right.type)}",
            help=help,
            beside=((left.span, f"`{show(left.type)}`"), (right.span, f"`{show(right.type)}`")),
        )

    # --- values that are known in advance -----------------------------------------------------------------------------

    def number(self, expr: tree.Expr, what: str, low: int) -> int | None:
        """Return a whole number that is known now and at least `low`, or say why there is none."""
        value = self.expect(expr, INT, Scope(CONSTANT))
        return self._known_number(value, what, low, str(low))

    def duration(self, expr: tree.Expr, what: str) -> int | None:
        """Return a duration that is known now, in milliseconds."""
        value = self.expect(expr, DURATION, Scope(CONSTANT))
        return self._known_number(value, what, 1, "a duration longer than nothing")

    def _known_number(self, value: Typed, what: str, low: int, least: str) -> int | None:
        if isinstance(value.type, UnknownT):
            return None
        found = constant(value)
        if not isinstance(found, int):
            self.problems.add(
                Code.B210, value.span, f"{what} is not known in advance", help="write a literal or a constant"
            )
            return None
        if found < low:
            self.problems.add(Code.B206, value.span, f"{what} is too small", help=f"write {least} or more")
            return None
        return found

    # --- arguments ----------------------------------------------------------------------------------------------------

    def arguments(
        self, args: Iterable[tree.Arg], params: tuple[Param, ...], scope: Scope, span: Span, what: str
    ) -> Args:
        """Return what each parameter is given, in the order of the parameters; those left out are absent."""
        by_name = {param.name: param for param in params}
        given: dict[str, Typed] = {}
        spans: dict[str, Span] = {}
        named = False
        complete = True
        for index, arg in enumerate(args):
            if arg.name is not None:
                named = True
                param = by_name.get(arg.name.text)
                if param is None:
                    self.problems.unknown(
                        Code.B107,
                        arg.name.span,
                        "parameter",
                        arg.name.text,
                        {param.name: param.span for param in params},
                        owner=what,
                        help=None if params else f"{what} takes nothing",
                    )
                    complete = False
                    self.infer(arg.value, scope)
                    continue
            elif named:
                self.problems.add(
                    Code.B208,
                    arg.value.span,
                    "an argument without a name follows one with a name",
                    help=f"name it too; {what} takes {_signature(params)}",
                )
                complete = False
                continue
            elif index >= len(params):
                self.problems.add(
                    Code.B208,
                    arg.value.span,
                    f"{what} takes {_count(len(params))}",
                    label="one too many",
                    help=f"it takes {_signature(params)}",
                )
                complete = False
                continue
            else:
                param = params[index]
            if param.name in given:
                self.problems.add(
                    Code.B208,
                    arg.value.span,
                    f"`{param.name}` is given twice",
                    beside=((spans[param.name], "given here first"),),
                )
                continue
            given[param.name] = self.expect(arg.value, param.type, scope)
            spans[param.name] = arg.value.span
        missing = [param for param in params if param.name not in given and not param.may_be_left_out]
        if missing and complete:
            self.problems.add(
                Code.B208,
                span,
                f"{what} is not given {listed(param.name for param in missing)}",
                help=f"it takes {_signature(params)}",
                beside=((missing[0].span, "declared here"),),
            )
        return tuple((param.name, given[param.name]) for param in params if param.name in given)

    # --- what does not fit --------------------------------------------------------------------------------------------

    def _mismatch(self, value: Typed, want: Type) -> Typed:
        help: str | None = None
        match plain(want), plain(value.type):
            case BoolT(), _:
                help = "a condition compares something: `x > 0`, `x == y`, `x != none`"
            case StringT(), _:
                help = "texts are made of texts"
            case IntT(), DecimalT():
                help = "a decimal is no int, even where it is whole"
            case DurationT(), IntT():
                help = "write the unit: `30s`, `5m`, `24h`, `7d`"
            case IntT(), DurationT():
                help = "divide it by a duration: `d // 1s`"
            case RefT(name), _:
                help = f"a reference to {article(name)} is expected"
            case EnumT(values), _:
                help = f"one of {listed(values)}"
            case SetT(), element if fits(element, element_of(want) or want):
                help = "write a set of one in braces: `{x}`"
            case ListT(), element if fits(element, element_of(want) or want):
                help = "write a list of one in brackets: `[x]`"
            case PrincipalT(), StringT():
                help = "a principal comes from outside: read a field, a parameter or `caller`"
            case _:
                pass
        self.problems.add(
            Code.B201,
            value.span,
            f"{one(want)} is expected, and this is {one(value.type)}",
            help=help,
        )
        return bad(value.span)

    def _in_range(self, value: Typed, want: Type) -> None:
        found = constant(value)
        if isinstance(found, bool) or not isinstance(want, IntT | DecimalT) or not isinstance(found, int | Decimal):
            return
        if (want.low is not None and found < want.low) or (want.high is not None and found > want.high):
            self.problems.add(
                Code.B206,
                value.span,
                f"{found} is outside of `{show(want)}`",
                help="give a value inside, or widen the type",
            )


def spelt(value: Typed) -> str | None:
    """Return a name for an expression that is a name, as the author wrote it."""
    match value.op:
        case "field" | "param" | "let" | "var" | "created" | "inverse":
            return str(value.parts[0])
        case "before":
            inner = spelt(value.parts[0])
            return None if inner is None else f"before.{inner}"
        case "read" | "dot":
            inner = spelt(value.parts[0])
            return None if inner is None else f"{inner}.{value.parts[2]}"
        case "result":
            return f"result.{value.parts[0]}"
        case "value" | "some":
            return spelt(value.parts[0])
        case _:
            return None


def quoted(name: str | None) -> str:
    return "this" if name is None else f"`{name}`"


def plainly(hint: Type | None) -> Type | None:
    return None if hint is None else plain(hint)


def element_of(type: Type | None) -> Type | None:
    """Return the type of a collection's elements (a map's keys), `None` for anything else."""
    match type:
        case SetT(element) | ListT(element):
            return element
        case MapT(key_type):
            return key_type
        case _:
            return None


def _signature(params: tuple[Param, ...]) -> str:
    if not params:
        return "nothing"
    return f"`({', '.join(f'{param.name}: {show(param.type)}' for param in params)})`"


def _count(number: int) -> str:
    return {0: "nothing", 1: "one argument"}.get(number, f"{number} arguments")
