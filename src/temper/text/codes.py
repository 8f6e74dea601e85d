"""Every code that Temper can say, in one list.

A code is for ever: it is never given a second meaning, and a retired one is not used again. Each has a page,
`docs/reference/diagnostics/<code>.md`, with a blueprint that earns it and the mended one.

B0xx  the text cannot be read (lexing, layout, grammar)
B1xx  names
B2xx  types
B3xx  rules of the language that are neither (states, cases, clauses, orders, timers)
B4xx  level 1, algebra: found by looking at the table
B5xx  level 2, search: found by running the table
B6xx  scenarios
B7xx  change: what a push would strand
B8xx  what travels with the blueprint: modules (B80x), policies (B81x, B82x)
B9xx  typed, but not carried out by this release

Retired, since it is carried out: B901 (joint action), B902 (`whenever`), B903 (inverse set), B904 (read through a
reference), B906 (property over all entities).
"""

from __future__ import annotations

from enum import Enum, unique


class Severity(Enum):
    """How bad it is. Only errors keep a blueprint from being compiled."""

    ERROR = "error"
    WARNING = "warning"


@unique  # Two codes of one title would be one code with two names.
class Code(Enum):
    """A stable name for one kind of problem; the value is its title."""

    # B0xx: reading
    # characters and layout
    B001 = "unexpected character"
    B002 = "tab"
    B003 = "text without its closing quote"
    B004 = "text in other quotes"
    B005 = "unknown escape in a text"
    B006 = "unreadable number"
    B007 = "unreadable duration"
    B008 = "operator of another language"
    B009 = "semicolon"
    B010 = "braces around lines"
    B011 = "bracket that is not closed"
    B012 = "bracket that closes nothing"
    B013 = "indentation that matches no line above"
    B014 = "line that is indented too deep"
    B015 = "file that is too long"
    B016 = "nesting that is too deep"
    B017 = "too many problems"
    # names
    B020 = "name in the wrong case"
    B021 = "reserved word as a name"
    # files and lines
    B030 = "missing `blueprint` line"
    B031 = "`blueprint` line out of place"
    B032 = "files of one bundle with different names"
    B033 = "unknown word at the start of a line or clause"
    B034 = "declaration in the wrong place"
    B035 = "something else was expected"
    B036 = "words left over at the end of a line"
    B037 = "needless colon"
    B038 = "trailing comma"
    B039 = "missing colon"
    # expressions and types
    B050 = "expression expected"
    B051 = "`=` where values are compared"
    B052 = "`==` where a value is set"
    B053 = "comparisons in a chain"
    B054 = "`if` without `then` or `else`"
    B055 = "`else` in the wrong place"
    B056 = "state compared with `==`"
    B057 = "value of another language"
    B058 = "`is` or `in` with the wrong thing beside it"
    B059 = "call of something that is no function"
    B060 = "quantifier in the wrong form"
    B061 = "unknown type"
    B062 = "type in the wrong form"
    # clauses
    B070 = "case without `to`"
    B071 = "two clauses on one deeper line"
    B072 = "handler that is given twice"
    B073 = "two cases on an action's own line"
    B074 = "field of another entity that is set"
    # the JSON form
    B090 = "JSON value of the wrong kind"
    B091 = "unknown key in the JSON form"
    B092 = "missing key in the JSON form"
    B093 = "JSON object that says nothing"
    B094 = "string in the JSON form that cannot be read"
    B095 = "JSON value out of place"

    # B1xx: names
    B101 = "unknown state"
    B102 = "unknown action"
    B103 = "unknown role"
    B104 = "unknown tool"
    B105 = "type that is not declared"
    B106 = "unknown name"
    B107 = "unknown parameter"
    B108 = "unknown entity"
    B109 = "unknown event"
    B110 = "name that is declared twice"
    B111 = "name that hides another"
    B112 = "role and field of one name"
    B113 = "field that is not there"
    B114 = "definition that goes round in a circle"
    B116 = "unknown part"
    B117 = "unknown function"

    # B2xx: types
    B201 = "value of another type"
    B202 = "value that may be `none`"
    B203 = "value that is never `none`"
    B204 = "operator or question that does not fit the type"
    B205 = "comparison of two types"
    B206 = "value outside of its type"
    B207 = "value whose type nothing says"
    B208 = "wrong arguments"
    B209 = "type with nothing in it"
    B210 = "value that is not known in advance"
    B211 = "something that can't be read here"
    B212 = "division by zero"
    B213 = "type that can't stand here"
    B214 = "text that is not a time"
    B215 = "parameter without a type"
    B216 = "collection without a bound"

    # B3xx: rules of the language
    # states and cases
    B301 = "entity without states"
    B302 = "final state that is left"
    B303 = "group after `to`"
    B304 = "creating case without `to`"
    B305 = "action without a case"
    # who
    B306 = "action that nobody may take"
    B307 = "creating action by a field"
    B308 = "`by` that names nobody"
    B309 = "role that excludes itself"
    # fields
    B310 = "field that a creating action leaves without a value"
    B311 = "field that is read before it has a value"
    B312 = "field that is set twice"
    B313 = "`set` of something that is no field"
    B314 = "`set` of a key"
    B315 = "`set` under `for`"
    # orders
    B320 = "call without its outcomes"
    B321 = "action that is not open to the system"
    B322 = "creating action where another is needed"
    B323 = "action that creates nothing"
    B324 = "action that nothing triggers"
    B325 = "`late` or `defer` of an action that is never late"
    B326 = "event that is used in two ways"
    B327 = "joint action that can never be taken"
    # what belongs to states
    B330 = "route in the wrong place"
    B331 = "routing state that waits"
    B332 = "routes in a circle"
    B333 = "route to an action that has no case there"
    # the rest
    B340 = "clause that is given twice"
    B341 = "property of several entities"
    B342 = "scenario that speaks of nothing"
    B343 = "bundle without an entity"
    B344 = "agents that count as people"
    B350 = "module whose name is none"

    # B4xx: level 1, found by looking at the table
    B401 = "guard that can't hold"
    B402 = "case that an earlier one takes"
    B403 = "state that can't be reached"
    B404 = "state without a way out"
    B405 = "state that waits for one message"
    B406 = "case that can't be taken"

    # B5xx: level 2, found by running the table
    B501 = "property that a run breaks"
    B502 = "value outside its type"
    B503 = "division by zero in a run"
    B504 = "field set twice in one step"
    B505 = "outcome without a home"
    B506 = "state in which nothing can happen"
    B507 = "state that no final state can be reached from"
    B508 = "timer that its action leaves due"

    # B6xx: scenarios
    B601 = "scenario that comes out otherwise"
    B602 = "scenario line that can't be carried out"
    B603 = "scenario that runs into a fault"

    # B8xx: modules, found by looking into them
    B801 = "module that is not in the bundle"
    B802 = "module that can't carry out its tool"

    # B81x and B82x: policies, in the bundle's `*.cedar` files
    B811 = "policy that cannot be read"
    B812 = "policies that are too large"
    B813 = "name in a policy that the blueprint does not have"
    B814 = "types in a policy that do not fit"
    B815 = "policy that can never apply"
    B816 = "policy that another makes needless"
    B817 = "`permit` that adds nothing"
    B818 = "two policies of one name"
    B819 = "policy that leaves open whom it means"
    B820 = "`permit` that names no action"
    B821 = "roles of somebody else in a policy"
    B822 = "value in a policy that may not be there"

    @property
    def severity(self) -> Severity:
        """Return how bad this kind of problem is, wherever it is found."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


_WARNINGS = frozenset({Code.B343, Code.B344, Code.B405, Code.B406, Code.B816, Code.B817})
