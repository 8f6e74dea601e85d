"""Judgement: what a table can do, asked at several levels.

In:    a `Table`.
Out:   `verify` -> `Report` (verdicts, findings, runs told as stories); `render_report` and `report_json` write it,
       `scenario_text` and `history_text` keep a run and what happened as scenarios; `measure` -> `Strength` says how
       much the properties notice, `suggest_from` a journal which would be worth having; `conform` holds a journal
       against the table it claims; `compare_guards` says whether a guard became stronger or weaker;
       `Disk` is what a simulated store has to be, for whoever brings one.
Never: the runtime. The levels read the table alone; time, randomness and people are drawn, not had.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from temper.table import Expr, Table
    from temper.verify.conform import Conformed, Gap, conform
    from temper.verify.data import finding_json, report_json, strength_json
    from temper.verify.explain import scenario_text
    from temper.verify.judgement import LEVELS, verify
    from temper.verify.keep import NotKept, history_text
    from temper.verify.limits import Limits
    from temper.verify.newly import Newly, newly
    from temper.verify.render import render_report, story
    from temper.verify.report import (
        Level,
        PropertyResult,
        Report,
        ScenarioResult,
        Strength,
        Suggestion,
        TraceStep,
        Verdict,
    )
    from temper.verify.scenarios import run_scenarios
    from temper.verify.seeds import shown_by
    from temper.verify.simulate.disk import Crashed, Disk, Disks, Fate, Ill, MemoryDisk, offered
    from temper.verify.strength import Bounds, measure, render_strength, suggest_from
    from temper.verify.units import Done, Keeps, Kind, Lost, Outcome, Run, Unit, judged, units_of

# A judgement must begin at once, and each process that takes part in it needs but some of this room.
_LATE = {
    "LEVELS": "judgement",
    "Bounds": "strength",
    "Conformed": "conform",
    "Crashed": "simulate.disk",
    "Disk": "simulate.disk",
    "Disks": "simulate.disk",
    "Done": "units",
    "Fate": "simulate.disk",
    "Gap": "conform",
    "Ill": "simulate.disk",
    "Keeps": "units",
    "Kind": "units",
    "Level": "report",
    "Limits": "limits",
    "Lost": "units",
    "MemoryDisk": "simulate.disk",
    "Newly": "newly",
    "NotKept": "keep",
    "Outcome": "units",
    "PropertyResult": "report",
    "Report": "report",
    "Run": "units",
    "ScenarioResult": "report",
    "Strength": "report",
    "Suggestion": "report",
    "TraceStep": "report",
    "Unit": "units",
    "Verdict": "report",
    "conform": "conform",
    "finding_json": "data",
    "history_text": "keep",
    "judged": "units",
    "measure": "strength",
    "newly": "newly",
    "offered": "simulate.disk",
    "render_report": "render",
    "render_strength": "strength",
    "report_json": "data",
    "run_scenarios": "scenarios",
    "scenario_text": "explain",
    "shown_by": "seeds",
    "story": "render",
    "strength_json": "data",
    "suggest_from": "strength",
    "units_of": "units",
    "verify": "judgement",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"temper.verify.{_LATE[name]}"), name)
    # A module may have the name of what it gives out: from now on it is that.
    globals()[name] = found
    return found


__all__ = [
    "LEVELS",
    "Bounds",
    "Conformed",
    "Crashed",
    "Disk",
    "Disks",
    "Done",
    "Fate",
    "Gap",
    "Ill",
    "Keeps",
    "Kind",
    "Level",
    "Limits",
    "Lost",
    "MemoryDisk",
    "Newly",
    "NotKept",
    "Outcome",
    "PropertyResult",
    "Report",
    "Run",
    "ScenarioResult",
    "Strength",
    "Suggestion",
    "TraceStep",
    "Unit",
    "Verdict",
    "compare_guards",
    "conform",
    "finding_json",
    "history_text",
    "judged",
    "measure",
    "newly",
    "offered",
    "render_report",
    "render_strength",
    "report_json",
    "run_scenarios",
    "scenario_text",
    "shown_by",
    "smtlib",
    "story",
    "strength_json",
    "suggest_from",
    "units_of",
    "verify",
]


def compare_guards(
    old: Expr, new: Expr, table: Table, entity: str, action: str
) -> Literal["stronger", "weaker", "same", "different", "unknown"]:
    """Return how a guard of an action has changed: `new` is stronger where it admits less than `old`."""
    # The solver takes a while to import, and most commands do not need it.
    from temper.verify.symbolic.judge import compare_guards as compare

    return compare(old, new, table, entity, action)


def smtlib(table: Table, limits: Limits | None = None) -> dict[str, str]:
    """Return the questions that level 1 puts to its solver, as SMT-LIB 2, by the name of their file."""
    from temper.verify.limits import Limits as Given
    from temper.verify.symbolic.smtlib import smtlib as written

    return written(table, (limits or Given()).rlimit)
