"""Judgement: what a table can do, asked at several levels.

In:    a `Table`.
Out:   `verify` -> `Report` (verdicts, findings, runs told as stories); `render_report` and `report_json` write it,
       `scenario_text` keeps a run as a scenario; `compare_guards` says whether a guard became stronger or weaker.
Never: the runtime. The levels read the table alone; time, randomness and people are drawn, not had.
"""

from __future__ import annotations

from typing import Literal

from temper.table import Expr, Table
from temper.verify.data import finding_json, report_json, strength_json
from temper.verify.explain import scenario_text
from temper.verify.limits import Limits
from temper.verify.render import render_report, story
from temper.verify.report import Level, PropertyResult, Report, ScenarioResult, Strength, Suggestion, TraceStep, Verdict
from temper.verify.scenarios import run_scenarios
from temper.verify.verify import LEVELS, verify

__all__ = [
    "LEVELS",
    "Level",
    "Limits",
    "PropertyResult",
    "Report",
    "ScenarioResult",
    "Strength",
    "Suggestion",
    "TraceStep",
    "Verdict",
    "compare_guards",
    "finding_json",
    "render_report",
    "report_json",
    "run_scenarios",
    "scenario_text",
    "story",
    "strength_json",
    "verify",
]


def compare_guards(
    old: Expr, new: Expr, table: Table, entity: str, action: str
) -> Literal["stronger", "weaker", "same", "different", "unknown"]:
    """Return how a guard of an action has changed: `new` is stronger where it admits less than `old`."""
    # The solver takes a while to import, and most commands do not need it.
    from temper.verify.symbolic.judge import compare_guards as compare

    return compare(old, new, table, entity, action)
