"""The office's blueprint as it is shipped, with the report that it passed: founding one costs no judgement."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from temper.kernel import TableVersion
from temper.service.bundle import check_texts
from temper.table import Table, digest, dump

FILE = "temper.blueprint"
REPORT = "report.json"
BY = "temper"


@cache
def office_table() -> Table:
    """Return the office's table."""
    text = files("temper.service.office").joinpath(FILE).read_text("utf-8")
    table = check_texts({FILE: text}).table
    assert table is not None, "a test holds that it compiles"
    return table


@cache
def shipped_report() -> dict[str, Any]:
    """Return the report with which it was shipped; it is of the digest that it says."""
    report: dict[str, Any] = msgspec.json.decode(files("temper.service.office").joinpath(REPORT).read_bytes())
    return report


def office_version(number: int, at: int) -> TableVersion:
    """Return it as a version to be put in force."""
    table = office_table()
    return TableVersion(
        number=number,
        digest=digest(table),
        table=dump(table),
        report=msgspec.json.encode(shipped_report()),
        at=at,
        by=BY,
        note="the office",
    )
