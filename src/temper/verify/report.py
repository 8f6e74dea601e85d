"""What the verifier says: verdicts, runs and findings. Plain data; doors draw it or write it as JSON."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct, field

from temper.text import Diagnostic


class Verdict(Enum):
    """What is known of a property. They are different words because they are different things."""

    PROVED = "proved"
    """For every reachable state of the real types."""
    HOLDS = "holds within bounds"
    """In every state of the search, whose bounds the report states."""
    TESTED = "tested"
    """No counterexample in so many runs."""
    BROKEN = "broken"
    """There is a run, and it is shown."""
    UNKNOWN = "unknown"
    """It was tried, and a bound or the solver stopped it."""
    NOT_CHECKED = "not checked"
    """Nothing that ran looks at it."""


class TraceStep(Struct, frozen=True):
    """One step of a run, in the blueprint's words.

    `who` is "operator", "system", "the tool kubernetes.set_partition", "the clock". `site` is the case or clause
    that did it; `place` is where that stands, as (file, line, column). `changed` maps a field to (was, is), encoded.
    """

    text: str
    entity: str
    id: str
    who: str
    action: str | None
    params: dict[str, Any]
    before: str
    after: str
    changed: dict[str, tuple[Any, Any]]
    site: str | None
    place: tuple[str, int, int] | None
    event: dict[str, Any] = field(default_factory=dict)
    """The step as data, enough to replay it or to write it as a scenario's line."""
    name: str = ""
    """What the entity is called in the story and in its scenario."""
    part: bool = False
    """Whether it happens in one commit with the step before it."""


class PropertyResult(Struct, frozen=True):
    """A property, or an unwritten question that is always asked, and its verdict.

    `by` names what decided: "induction", "search", "table", ... `why` is for people: bounds, the reason of an
    unknown, what would have stopped a broken one. `trace` is the shortest run to the break, or the witness of a `can
    reach`. `certificate` is what a proof rests on, in the blueprint's words: with the property, an invariant.
    """

    name: str
    entity: str | None
    verdict: Verdict
    by: str
    why: str = ""
    site: str | None = None
    trace: tuple[TraceStep, ...] = ()
    help: str | None = None
    certificate: tuple[str, ...] = ()


class Level(Struct, frozen=True):
    """What one level did. `covered` says it in words, `not_covered` what it leaves out; numbers where they mean
    something."""

    name: str
    seconds: float
    covered: tuple[str, ...]
    not_covered: tuple[str, ...] = ()
    states: int | None = None
    transitions: int | None = None
    units: int = 1
    """How many parts of the table it was asked about."""
    looked_up: int = 0
    """Of how many of them it was known already."""


class ScenarioResult(Struct, frozen=True):
    title: str
    passed: bool
    site: str
    problem: Diagnostic | None = None


class Survivor(Struct, frozen=True):
    """A change to the blueprint that no property and no scenario notices: what was changed, and what that asks.

    `place` is where it stands, as (file, line, column).
    """

    kind: str
    entity: str
    what: str
    question: str
    site: str
    place: tuple[str, int, int] | None


class Vacuous(Struct, frozen=True):
    """A property that says nothing: it can't be broken, whatever the actions do."""

    name: str
    entity: str | None
    why: str
    site: str
    place: tuple[str, int, int] | None


class Suggestion(Struct, frozen=True):
    """A property that holds and is not written: its line, within its entity.

    `by` names what checked it. `kills` is the number of survivors that it would notice, and `asked` are their
    questions.
    """

    text: str
    entity: str
    verdict: Verdict
    by: str
    kills: int
    asked: tuple[str, ...] = ()


SCENARIOS = "scenarios"
"""What notices a mutant where a scenario does."""


class Strength(Struct, frozen=True):
    """How much the properties and scenarios of a table notice.

    `killed` of `counted` mutants are noticed. `equivalent` ones do the same as the table and are not counted, nor are
    those that were `unjudged` within the bounds; `made` is the number of all mutants, of which some were drawn.
    """

    made: int
    counted: int
    killed: int
    equivalent: int
    unjudged: int
    seconds: float
    survivors: tuple[Survivor, ...]
    vacuous: tuple[Vacuous, ...]
    suggestions: tuple[Suggestion, ...]
    by: dict[str, int] = field(default_factory=dict)
    """What noticed how many: SCENARIOS, or the name of a property or of an unwritten question."""

    @property
    def score(self) -> float:
        """Return the share of mutants that are noticed; 1 where there are none."""
        return self.killed / self.counted if self.counted else 1.0


class Report(Struct, frozen=True):
    """Everything that was found about one table.

    `passed`: no error among the findings, no scenario failed, and no property is broken, or is unknown or not
    checked while the push policy asks for it.
    """

    digest: str
    blueprint: str
    passed: bool
    levels: tuple[Level, ...]
    properties: tuple[PropertyResult, ...]
    findings: tuple[Diagnostic, ...]
    scenarios: tuple[ScenarioResult, ...]
    strength: Strength | None = None
    """How much the properties notice, where that was asked: it takes longer than all the rest."""
    stopped: tuple[str, ...] = ()
    """What came to no answer, because the time was up or its process ended, and why."""
