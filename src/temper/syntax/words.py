"""The words of the language, each with its part of speech, in one place."""

from __future__ import annotations

# No name may be one of these: they mean something wherever an expression can stand. Functions (`size`, `count`, `min`,
# ...) are not among them: a bracket follows a function and never a field.
RESERVED = frozenset(
    "true false none implies or and not is in if then else for all any"
    " new this caller now before state result error id created_at action".split()
)

# What binds how tightly, loosest first; `not` stands between `and` and the comparisons, unary `-` above the last.
PRECEDENCE = {
    "implies": 1,
    "or": 2,
    "and": 3,
    "==": 5, "!=": 5, "<": 5, "<=": 5, ">": 5, ">=": 5, "is": 5, "in": 5, "not in": 5,
    "??": 6,
    "+": 7, "-": 7,
    "*": 8, "//": 8, "%": 8, "&": 8,
}  # fmt: skip
NOT_PRECEDENCE = 4
NEGATIVE_PRECEDENCE = 9
POSTFIX_PRECEDENCE = 10
# `a ?? b ?? c` is `a ?? (b ?? c)`: the right side of each is a `T` then, as its type asks for.
RIGHT_ASSOCIATIVE = frozenset({"implies", "??"})

QUANTIFIERS_BARE = frozenset({"all", "any"})
QUANTIFIERS_IN_BRACKETS = frozenset({"count", "sum", "first"})

BASE_TYPES = ("bool", "int", "decimal", "string", "time", "duration", "principal")

DURATION_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

CLAUSES = ("set", "call", "send", "with", "create", "emit", "for", "if", "do")
CASE_PARTS = ("by", "when", "let", *CLAUSES)
ACTION_PARTS = ("by", "when", "let", "from", *CLAUSES)
STAYS = ("on", "after", "at", "every", "whenever", "late", "defer")
PROPERTIES = ("always", "eventually", "never", "can", "needs")
ENTITY_PARTS = (
    "states", "final", "group", "let", "unique", "key", "by", "action", "in", "late", "defer",
    "always", "eventually", "never", "can",
)  # fmt: skip
TOP = (
    "blueprint", "role", "type", "record", "const", "tool", "entity", "event", "scope", "scenario", "upgrade",
    "always", "eventually", "never", "can",
)  # fmt: skip
TOOL_PARTS = ("timeout", "retry", "idempotent", "from")
HANDLERS = ("then", "else", "unknown")
UPGRADE_PARTS = ("becomes", "set", "drop")

# Words that begin a line or a clause somewhere: where one is met in the wrong place, it is known what was meant.
OPENERS = frozenset({*TOP, *ENTITY_PARTS, *ACTION_PARTS, *STAYS, *TOOL_PARTS, "assume", "excludes", "given", "wait"})

# A deeper line that begins with one of these goes on with the line above it.
CONTINUE_AT_START = frozenset(
    "then else unknown -> or and implies == != < <= > >= ?? + * // % & = += -= . , ) ] }".split()
)
# A line that ends with one of these goes on with the deeper line below it.
CONTINUE_AT_END = frozenset(
    ", and or implies not is in == != < <= > >= ?? + - * // % & = += -= -> then else unknown".split()
)
