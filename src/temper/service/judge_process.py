"""Judgement in a process of its own (`judging.py`), so that a server goes on serving whatever becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from temper.service.processes import Unanswered, ask
from temper.service.settings import PushSection
from temper.table import Table, digest, dump

# The verifier keeps to its own limit of time; past this much more it hangs, and is stopped.
GRACE_SECONDS = 20.0
NOTHING = msgspec.Raw(b"null")


class GuardPair(msgspec.Struct, frozen=True):
    """A guard before and after a change; both are expressions of a table."""

    entity: str
    action: str
    old: Any
    new: Any


class Question(msgspec.Struct, frozen=True):
    """A table, the levels that are asked for, their bounds, and the guards to compare.

    Simulated runs begin on the table `before`, if there is one. `answers` is the folder of what is known already.
    """

    table: msgspec.Raw
    levels: tuple[str, ...]
    states: int
    seconds: float
    memory_mib: int
    answers: str | None = None
    before: msgspec.Raw = NOTHING
    guards: tuple[GuardPair, ...] = ()
    newly: bool = False
    """Whether to say what roles can newly reach, since `before`."""


class NewlyReached(msgspec.Struct, frozen=True):
    """A state that a role can bring about now, and could not before; `sure` unless that could not be told."""

    role: str
    entity: str
    state: str
    by: str
    sure: bool


class Judged(msgspec.Struct, frozen=True):
    """The report as JSON-able data, and for each pair of guards how strong the new one is."""

    report: dict[str, Any]
    strengths: tuple[str, ...] = ()
    newly: tuple[NewlyReached, ...] = ()


async def judge(
    table: Table,
    push: PushSection,
    *,
    levels: Sequence[str],
    before: Table | None = None,
    answers: Path | None = None,
    guards: Sequence[GuardPair] = (),
    newly: bool = False,
) -> Judged:
    """Return what the verifier says of `table`. A judge that dies or takes too long gives *unknown*, never *passed*."""
    question = Question(
        msgspec.Raw(dump(table)),
        tuple(levels),
        push.states,
        push.seconds,
        push.memory,
        None if answers is None else str(answers),
        NOTHING if before is None else msgspec.Raw(dump(before)),
        tuple(guards),
        newly,
    )
    try:
        asked = msgspec.json.encode(question)
        output = await ask("temper.service.judging", asked, seconds=push.seconds + GRACE_SECONDS)
    except Unanswered as why:
        return _unknown(table, f"the verifier {why}")
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
            "stopped": [why],
        }
    )
