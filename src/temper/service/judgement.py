"""A judgement for whoever asks from this machine: the report as data and as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from temper.service.answers import Answers
from temper.service.beside import Team
from temper.service.disks import disks_for
from temper.service.remembered import Verified
from temper.table import Table
from temper.verify import LEVELS, Limits, Report, Verdict, render_report, report_json, smtlib, verify


def verify_table(
    table: Table,
    *,
    levels: Sequence[str],
    states: int,
    seconds: float,
    seed: int = 0,
    seeds: int | None = None,
    colour: bool = False,
    width: int = 120,
    before: Table | None = None,
    team: Team | None = None,
    kept: Answers | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verified:
    """Judge a table on these levels within these bounds: by a `team`, else in this process.

    `progress` hears what is being done. The text is as wide as `width` columns let it be. Simulated runs begin on the
    table `before`, if there is one.
    """
    limits = Limits(states_max=states, seconds=seconds, seed=seed)
    if seeds is not None:
        limits = replace(limits, seeds=seeds)
    with disks_for(() if team is not None else levels) as disk:
        report = verify(
            table,
            levels=tuple(levels),
            limits=limits,
            progress=progress,
            disk=disk,
            before=before,
            run=team,
            kept=kept,
        )
    verdicts = {each.verdict for each in report.properties}
    failed = (
        Verdict.BROKEN in verdicts
        or any(each.severity.value == "error" for each in report.findings)
        or not all(each.passed for each in report.scenarios)
    )
    # What no level of this release asks is said in the report; whoever ran them all can do no more about it.
    left_out = not set(LEVELS) <= set(levels)
    unknown = Verdict.UNKNOWN in verdicts or bool(report.stopped)
    return Verified(
        report=report_json(report),
        text=render_report(report, table, colour=colour, width=width),
        passed=report.passed,
        undecided=not failed and (unknown or (left_out and Verdict.NOT_CHECKED in verdicts)),
        again=render_report(_again(report), table, colour=colour, width=width),
    )


def _again(report: Report) -> Report:
    """Return a report as it is when all of it is looked up."""
    levels = tuple(replace(each, seconds=0.0, looked_up=each.units) for each in report.levels)
    return replace(report, levels=levels)


def questions(table: Table) -> dict[str, str]:
    """Return what level 1 asks its solver, as SMT-LIB 2, by the name of a file."""
    return smtlib(table)
