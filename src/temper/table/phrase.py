"""Expressions in words: as a blueprint writes them."""

from __future__ import annotations

from typing import Any

from temper.table.table import Expr
from temper.table.values import NO_RECORDS, Records, show_as, show_json
from temper.table.values import decode as decode_value

# How tightly an operation holds its parts together; loosest first, as in the language reference.
_QUANTIFIED, _IF, _IMPLIES, _OR, _AND, _NOT, _COMPARED, _DEFAULT, _SUM, _PRODUCT, _NEGATED, _ATOM = range(12)

_OPERATORS = {
    "implies": ("implies", _IMPLIES), "or": ("or", _OR), "and": ("and", _AND),
    "==": ("==", _COMPARED), "!=": ("!=", _COMPARED), "<": ("<", _COMPARED), "<=": ("<=", _COMPARED),
    ">": (">", _COMPARED), ">=": (">=", _COMPARED), "in": ("in", _COMPARED), "??": ("??", _DEFAULT),
    "+": ("+", _SUM), "-": ("-", _SUM), "concat": ("+", _SUM), "union": ("+", _SUM), "minus": ("-", _SUM),
    "*": ("*", _PRODUCT), "//": ("//", _PRODUCT), "%": ("%", _PRODUCT), "intersect": ("&", _PRODUCT),
}  # fmt: skip
_RIGHT = frozenset({"implies"})
_WORDS = {"this": "this", "id": "id", "created_at": "created_at", "now": "now", "caller": "caller"}


def describe_expr(expr: Expr, records: Records = NO_RECORDS) -> str:
    """Return `expr` in the syntax of a blueprint: `moved + 1 == brokers`."""
    return _Phrase(records).of(expr, _QUANTIFIED)


class _Phrase:
    def __init__(self, records: Records) -> None:
        self._records = records

    def of(self, expr: Expr, tightness: int) -> str:
        """In brackets where its parts would otherwise fall apart."""
        text, own = self._made(expr)
        return text if own >= tightness else f"({text})"

    def _made(self, expr: Expr) -> tuple[str, int]:
        match expr:
            case ("lit", type_, json):
                return self._literal(type_, json)
            case ("none", _):
                return "none", _ATOM
            case ("some" | "value" | "to_decimal", inner):
                return self._made(inner)
            case ("field" | "param" | "let" | "var" | "created" | "inverse", name):
                return str(name), _ATOM
            case ("every", entity):
                return str(entity), _ATOM
            case ("acts_for",):
                return "caller.acts_for", _ATOM
            case (("this" | "id" | "created_at" | "now" | "caller") as word,):
                return _WORDS[word], _ATOM
            case ("result" | "error", name):
                return f"{expr[0]}.{name}", _ATOM
            case ("in_state", states):
                return _stated("state", states)
            case ("read_in", e, _, states):
                return _stated(f"{self.of(e, _ATOM)}.state", states)
            case ("has_role", role):
                return f"caller is {role}", _COMPARED
            case ("action_is", entity, action):
                return f"action is {entity}.{action}", _COMPARED
            case ("before", ("field", name)):
                return f"before.{name}", _ATOM
            case ("before", e):
                return f"before({self.of(e, _QUANTIFIED)})", _ATOM
            case ("read", e, _, name):
                return f"{self.of(e, _ATOM)}.{name}", _ATOM
            case ("dot", e, _, name):
                return f"{self.of(e, _ATOM)}.{name}", _ATOM
            case ("not", inner):
                return self._negated(inner)
            case ("neg", inner):
                return f"-{self.of(inner, _ATOM)}", _NEGATED
            case ("if", c, a, b):
                then, otherwise = self.of(a, _QUANTIFIED), self.of(b, _QUANTIFIED)
                return f"if {self.of(c, _QUANTIFIED)} then {then} else {otherwise}", _IF
            case ("size" | "min" | "max" as name, *args):
                return f"{name}({', '.join(self.of(arg, _QUANTIFIED) for arg in args)})", _ATOM
            case ("to_set", e):
                return f"set({self.of(e, _QUANTIFIED)})", _ATOM
            case ("index" | "get", of, at):
                return f"{self.of(of, _ATOM)}[{self.of(at, _QUANTIFIED)}]", _ATOM
            case ("put", of, key, worth):
                return f"{self.of(of, _SUM)} + {{{self._pair(key, worth)}}}", _SUM
            case ("set" | "list" as kind, _, items):
                inner_text = ", ".join(self.of(item, _QUANTIFIED) for item in items)
                return (f"{{{inner_text}}}" if kind == "set" else f"[{inner_text}]"), _ATOM
            case ("map", _, _, pairs):
                return f"{{{', '.join(self._pair(key, worth) for key, worth in pairs)}}}", _ATOM
            case ("record", name, values):
                return self._record(name, values), _ATOM
            case ("all" | "any" as kind, x, c, e):
                return f"{kind} {x} in {self.of(c, _COMPARED + 1)}: {self.of(e, _QUANTIFIED)}", _QUANTIFIED
            case ("count" | "sum" | "first" as kind, x, c, e):
                return f"{kind}({x} in {self.of(c, _COMPARED + 1)}: {self.of(e, _QUANTIFIED)})", _ATOM
            case ("filter", x, c, e):
                return f"{{{x} in {self.of(c, _COMPARED + 1)}: {self.of(e, _QUANTIFIED)}}}", _ATOM
            case ("map_set" | "map_list" as kind, x, c, e):
                text = f"{self.of(e, _QUANTIFIED)} for {x} in {self.of(c, _COMPARED + 1)}"
                return (f"{{{text}}}" if kind == "map_set" else f"[{text}]"), _ATOM
            case (op, a, b) if op in _OPERATORS:
                word, own = _OPERATORS[op]
                # Comparisons don't chain; the others group to one side.
                left = own + (op in _RIGHT or own == _COMPARED)
                right = own + (op not in _RIGHT)
                return f"{self.of(a, left)} {word} {self.of(b, right)}", own
            case _:
                raise AssertionError(f"an operation that is none: {expr!r}")

    def _literal(self, type_: Any, json: Any) -> tuple[str, int]:
        try:
            text = show_as(type_, decode_value(type_, json, records=self._records), self._records)
        except KeyError:  # A record that is not known here.
            text = show_json(json)
        return text, _NEGATED if text.startswith("-") else _ATOM

    def _negated(self, inner: Expr) -> tuple[str, int]:
        match inner:
            case ("in", a, b):
                return f"{self.of(a, _COMPARED + 1)} not in {self.of(b, _COMPARED + 1)}", _COMPARED
            case ("in_state", (state,)):
                return f"state is not {state}", _COMPARED
            case ("read_in", e, _, (state,)):
                return f"{self.of(e, _ATOM)}.state is not {state}", _COMPARED
            case ("has_role", role):
                return f"caller is not {role}", _COMPARED
            case _:
                return f"not {self.of(inner, _NOT)}", _NOT

    def _pair(self, key: Expr, worth: Expr) -> str:
        return f"{self.of(key, _QUANTIFIED)}: {self.of(worth, _QUANTIFIED)}"

    def _record(self, name: str, values: tuple[Expr, ...]) -> str:
        shown = [self.of(value, _QUANTIFIED) for value in values]
        if name in self._records:
            shown = [f"{part.name}: {text}" for part, text in zip(self._records[name], shown, strict=False)]
        return f"{name}({', '.join(shown)})"


def _stated(subject: str, states: tuple[str, ...]) -> tuple[str, int]:
    if len(states) == 1:
        return f"{subject} is {states[0]}", _COMPARED
    return f"{subject} in ({', '.join(states)})", _COMPARED
