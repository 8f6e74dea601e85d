"""Judgement: what a table can do, asked at several levels.

In:    a `Table`.
Out:   `verify` -> `Report` (verdicts, findings, runs told as stories); `render_report` and `report_json` write it,
       `scenario_text` and `history_text` keep a run and what happened as scenarios; `measure` -> `Strength` says how
       much the properties notice, `suggest_from` a journal which would be worth having; `conform` holds a journal
       against the table it claims; `compare_guards` says whether a guard became stronger or weaker.
Never: the runtime. The levels read the table alone; time, randomness and people are drawn, not had.
"""

from __future__ import annotations

from typing import Literal

from temper.table import Expr, Table
from temper.verify.conform import Conformed, Gap, conform
from temper.verify.data import finding_json, report_json, strength_json
from temper.verify.explain import scenario_text
from temper.verify.keep import NotKept, history_text
from temper.verify.limits import Limits
from temper.verify.render import render_report, story
from temper.verify.report import Level, PropertyResult, Report, ScenarioResult, Strength, Suggestion, TraceStep, Verdict
from temper.verify.scenarios import run_scenarios
from temper.verify.strength import Bounds, measure, render_strength, suggest_from
from temper.verify.verify import LEVELS, verify

__all__ = [
    "LEVELS",
    "Bounds",
    "Conformed",
    "Gap",
    "Level",
    "Limits",
    "NotKept",
    "PropertyResult",
    "Report",
    "ScenarioResult",
    "Strength",
    "Suggestion",
    "TraceStep",
    "Verdict",
    "compare_guards",
    "conform",
    "finding_json",
    "history_text",
    "measure",
    "render_report",
    "render_strength",
    "report_json",
    "run_scenarios",
    "scenario_text",
    "smtlib",
    "story",
    "strength_json",
    "suggest_from",
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
    from temper.verify.symbolic.smtlib import smtlib as written

    return written(table, (limits or Limits()).rlimit)
