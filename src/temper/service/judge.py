"""Judgement in a process of its own, so that a server goes on serving while it runs, whatever becomes of it.

`python -m temper.service.judge` reads a question from standard input and writes the answer to standard output.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from temper.table import Expr, Table, digest, dump, load
from temper.verify import Limits, compare_guards, report_json, verify

# What a judge may print: a report of this size is a defect of ours, not a long report.
ANSWER_BYTES_MAX = 64_000_000
GRACE_SECONDS = 20.0


class GuardPair(msgspec.Struct, frozen=True):
    """A guard before and after a change."""

    entity: str
    action: str
    old: Any
    new: Any


class Question(msgspec.Struct, frozen=True):
    """A table, the levels that are asked for, and the guards to compare."""

    table: msgspec.Raw
    levels: tuple[str, ...]
    states: int
    seconds: float
    guards: tuple[GuardPair, ...] = ()


class Judged(msgspec.Struct, frozen=True):
    """The report as JSON-able data, and for each pair of guards how strong the new one is."""

    report: dict[str, Any]
    strengths: tuple[str, ...] = ()


async def judge(
    table: Table, *, levels: Sequence[str], states: int, seconds: float, guards: Sequence[GuardPair] = ()
) -> Judged:
    """Return what the verifier says of `table`. A judge that dies or takes too long gives *unknown*, never *passed*."""
    question = Question(msgspec.Raw(dump(table)), tuple(levels), states, seconds, tuple(guards))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "temper.service.judge",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            output, complaint = await process.communicate(msgspec.json.encode(question))
    except TimeoutError:
        return _unknown(table, f"the verifier was stopped after {seconds + GRACE_SECONDS:.0f} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = complaint.decode(errors="replace").strip().splitlines()
        return _unknown(table, f"the verifier ended with {process.returncode}: {last[-1] if last else 'no word'}")
    return msgspec.json.decode(output, type=Judged)


def _unknown(table: Table, why: str) -> Judged:
    return Judged(
        {
            "digest": digest(table),
            "blueprint": table.blueprint,
            "passed": False,
            "levels": [],
            "properties": [
                {"name": each.name, "entity": each.entity, "verdict": "unknown", "by": "", "why": why}
                for each in table.properties
            ],
            "findings": [],
            "scenarios": [],
            "stopped": why,
        }
    )


def _answer(question: Question) -> Judged:
    table = load(bytes(question.table))
    limits = Limits(states_max=question.states, seconds=question.seconds)
    report = verify(table, levels=question.levels, limits=limits)
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
    sys.stdout.buffer.write(msgspec.json.encode(_answer(question)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
