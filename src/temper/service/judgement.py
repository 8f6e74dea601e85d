"""Judgement in this process, for a command line: the report as data and as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from temper.service.remembered import Verified
from temper.table import Table
from temper.verify import LEVELS, Disks, Limits, MemoryDisk, Verdict, render_report, report_json, smtlib, verify


def verify_table(
    table: Table,
    *,
    levels: Sequence[str],
    states: int,
    seconds: float,
    seed: int = 0,
    seeds: int | None = None,
    colour: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Verified:
    """Judge a table on these levels within these bounds. `progress` hears what is being done."""
    limits = Limits(states_max=states, seconds=seconds, seed=seed)
    if seeds is not None:
        limits = replace(limits, seeds=seeds)
    with disks_for(levels) as disk:
        report = verify(table, levels=tuple(levels), limits=limits, progress=progress, disk=disk)
    verdicts = {each.verdict for each in report.properties}
    failed = (
        Verdict.BROKEN in verdicts
        or any(each.severity.value == "error" for each in report.findings)
        or not all(each.passed for each in report.scenarios)
    )
    # What no level of this release asks is said in the report; whoever ran them all can do no more about it.
    left_out = not set(LEVELS) <= set(levels)
    return Verified(
        report=report_json(report),
        text=render_report(report, table, colour=colour),
        passed=report.passed,
        undecided=not failed and (Verdict.UNKNOWN in verdicts or (left_out and Verdict.NOT_CHECKED in verdicts)),
    )


def disks_for(levels: Sequence[str]) -> AbstractContextManager[Disks]:
    """Return what simulated runs stand on: the store that serves, where a folder for it can be had."""
    if "simulation" not in levels:
        return nullcontext(MemoryDisk)
    # The runtime takes a while to import, and most judgements do not need it.
    from temper.service.rehearsal import sqlite_disks

    return sqlite_disks()


def questions(table: Table) -> dict[str, str]:
    """Return what level 1 asks its solver, as SMT-LIB 2, by the name of a file."""
    return smtlib(table)
