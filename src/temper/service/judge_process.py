"""Judgement in a process of its own (`judging.py`), so that a server goes on serving whatever becomes of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from temper.table import Table, digest, dump

# The verifier keeps to its own limit of time; past this much more it hangs, and is stopped.
GRACE_SECONDS = 20.0


class GuardPair(msgspec.Struct, frozen=True):
    """A guard before and after a change; both are expressions of a table."""

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
        "temper.service.judging",
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
