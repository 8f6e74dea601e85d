"""The questions of level 1 as SMT-LIB 2, one file each, for any solver that reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from temper.table import Table
from temper.verify.symbolic.algebra import Query
from temper.verify.symbolic.joint import judge_together
from temper.verify.symbolic.judge import judge


def smtlib(table: Table, rlimit: int) -> dict[str, str]:
    """Return the questions that the verdicts of level 1 rest on, by the name of their file.

    Each begins with what it asks and the answer that it got. An *unsat* is what a verdict rests on: of what the
    question asks there is no case.
    """
    queries: list[Query] = []
    alone = {entity: judge(table, entity, rlimit, queries) for entity in table.entities}
    judge_together(table, rlimit, queries, alone)
    return dict(_named(queries))


def _named(queries: Iterable[Query]) -> Iterable[tuple[str, str]]:
    used: dict[str, int] = {}
    for each in queries:
        name = re.sub(r"[^A-Za-z0-9_]+", "-", each.name).strip("-")
        used[name] = used.get(name, 0) + 1
        number = f"-{used[name]}" if used[name] > 1 else ""
        yield f"{name}{number}.smt2", each.text
