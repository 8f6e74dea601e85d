"""`python -m temper.service.judging` reads a question from standard input and writes the answer to standard output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from temper.service.answers import Answers
from temper.service.beside import Team, team_for
from temper.service.disks import disks_for
from temper.service.judge_process import NOTHING, Judged, NewlyReached, Question
from temper.table import Expr, load
from temper.verify import LEVELS, Limits, compare_guards, newly, report_json, verify


def answer(question: Question, team: Team | None) -> Judged:
    """Return the report on a table, and how strong its changed guards are."""
    table = load(bytes(question.table))
    answers = None if question.answers is None else Answers(Path(question.answers))
    if team is not None:
        team.memory_mib = question.memory_mib
    before = None if question.before == NOTHING else load(bytes(question.before))
    limits = Limits(states_max=question.states, seconds=question.seconds)
    with disks_for(() if team is not None else question.levels) as disk:
        report = verify(
            table,
            levels=question.levels,
            limits=limits,
            disk=disk,
            before=before,
            run=team,
            kept=answers,
        )
    reached = newly(before, table, limits, kept=answers) if question.newly and before is not None else ()
    if answers is not None:
        answers.tidy()
    strengths = tuple(
        compare_guards(_frozen(pair.old), _frozen(pair.new), table, pair.entity, pair.action)
        for pair in question.guards
    )
    told = tuple(NewlyReached(each.role, each.entity, each.state, each.by, each.sure) for each in reached)
    return Judged(report_json(report), strengths, told)


def _frozen(value: Any) -> Expr:
    frozen: Expr = tuple(_frozen(each) if isinstance(each, list) else each for each in value)
    return frozen


def main() -> int:
    """Answer one question."""
    # Those who judge get ready while the question comes in.
    with team_for(LEVELS) as team:
        question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
        sys.stdout.buffer.write(msgspec.json.encode(answer(question, team)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
