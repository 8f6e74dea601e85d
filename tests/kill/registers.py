"""Work on a few entities that many write at once, and whether what was told of them has an order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from temper.service import check_texts
from tests.kill.checker import Operation, Stuck, linearize
from tests.kill.client import Client, Log
from tests.kill.spec import Asked, Now, Said, history, hopeless, one_entity

TEXT = (Path(__file__).parent / "kill.blueprint").read_text("utf-8")
REGISTERS = ("r0", "r1", "r2")
# The file grows by it, so that there are checkpoints.
NOTE = "x" * 4_000


async def write(client: Client, number: int, stop: asyncio.Event, *, seed: int = 1, note: str = NOTE) -> None:
    """Read and write registers, where others do; now and then without asking again when nothing is heard."""
    chance = random.Random(f"{seed} {number}")
    turn = 0
    while not stop.is_set():
        turn += 1
        register = chance.choice(REGISTERS)
        value = number * 1_000_000 + turn
        patience = {} if chance.random() < 0.8 else {"patience": 1}
        match chance.randrange(8):
            case 0 | 1 | 2:
                await client.read("Register", register)
            case 3:
                await client.act("Register", register, "Write", value=value, note=note, **patience)
            case 4 | 5:
                await client.act("Register", register, "Add", n=chance.randrange(9), **patience)
            case 6:
                found = await client.read("Register", register)
                if found is not None and found.seen is not None:
                    expected = found.seen.fields["value"]
                    await client.act("Register", register, "Exchange", expected=expected, value=value, **patience)
            case _:
                await client.act("Register", register, "Flip", **patience)


def told_of(log: Log, register: str) -> list[Operation[Asked, Said]]:
    """Return what was asked and told of a register."""
    roles = {line.client: frozenset({"clerk"}) for line in log.lines}
    return history(log.lines, "Register", register, roles)


def unexplained(log: Log, register: str) -> Stuck[Asked, Said, Now | None] | None:
    """Return where what was told of a register stops to be what comes of doing one thing at a time, if it does."""
    checked = check_texts({"kill.blueprint": TEXT})
    assert checked.table is not None, checked.problems
    found = linearize(told_of(log, register), None, one_entity(checked.table, "Register", register), hopeless=hopeless)
    return found if isinstance(found, Stuck) else None
