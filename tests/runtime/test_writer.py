"""The thread that writes does one job after the other, and hands back what came of it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from temper.runtime.writer import Writer


async def test_jobs_are_done_in_their_order_in_one_thread() -> None:
    writer = Writer(asyncio.get_running_loop())
    done: list[tuple[int, int]] = []
    jobs = [writer.do(lambda number: done.append((number, threading.get_ident())), number) for number in range(20)]
    await asyncio.gather(*jobs)
    writer.shutdown()
    assert [number for number, _ in done] == list(range(20))
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()


@pytest.mark.parametrize("bug", [ValueError("no"), KeyboardInterrupt()])
async def test_what_a_job_raises_is_for_whoever_waits(bug: BaseException) -> None:
    """And the thread goes on."""
    writer = Writer(asyncio.get_running_loop())

    def fail() -> None:
        raise bug

    with pytest.raises(type(bug)):
        await writer.do(fail)
    with pytest.raises(type(bug)):
        writer.submit(fail).result()
    assert await writer.do(int, "7") == await asyncio.get_running_loop().run_in_executor(writer, int, "7") == 7
    writer.shutdown()


async def test_what_was_handed_over_is_done_whoever_waits() -> None:
    """Also when nobody waits any more, and when the writer is let go."""
    writer = Writer(asyncio.get_running_loop())
    gate, done = threading.Event(), threading.Event()
    first, second = writer.do(gate.wait), writer.do(done.set)
    first.cancel()
    second.cancel()
    gate.set()
    writer.shutdown()
    writer.shutdown()
    assert done.is_set()
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="let go"):
        writer.do(done.set)
