"""Judgement: what a table can do, asked at several levels.

In:    a `Table`.
Out:   `verify` -> `Report` (verdicts, findings, runs told as stories); `render_report` and `report_json`.
Never: the runtime. The levels read the table alone; time, randomness and people are drawn, not had.
"""

from temper.verify.report import Level, PropertyResult, Report, ScenarioResult, TraceStep, Verdict

__all__ = ["Level", "PropertyResult", "Report", "ScenarioResult", "TraceStep", "Verdict"]
