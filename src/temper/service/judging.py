"""`python -m temper.service.judging` reads a question from standard input and writes the answer to standard output."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from temper.service.judge_process import Judged, Question
from temper.service.judgement import disks_for
from temper.table import Expr, load
from temper.verify import Limits, compare_guards, report_json, verify


def answer(question: Question) -> Judged:
    """Return the report on a table, and how strong its changed guards are."""
    table = load(bytes(question.table))
    limits = Limits(states_max=question.states, seconds=question.seconds)
    with disks_for(question.levels) as disk:
        report = verify(table, levels=question.levels, limits=limits, disk=disk)
    strengths = tuple(
        compare_guards(_frozen(pair.old), _frozen(pair.new), table, pair.entity, pair.action)
        for pair in question.guards
    )
    return Judged(report_json(report), strengths)


def _frozen(value: Any) -> Expr:
    frozen: Expr = tuple(_frozen(each) if isinstance(each, list) else each for each in value)
    return frozen


def main() -> int:
    """Answer one question."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(answer(question)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
