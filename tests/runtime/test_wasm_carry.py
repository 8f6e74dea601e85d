"""What comes of a call by whoever waits for it: in time, and told apart from one that never began."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from temper.runtime import Answered, Attempt, Failed
from temper.runtime.wasm import Grant, Grants, Modules, digest_of
from temper.runtime.wasm.engine import compiled
from temper.table import Table
from tests.runtime.modules import CALL, place, says, wat

_TIMEOUT_MS = 400
_LATE = Failed("out_of_time", "it had not ended when its time was up", retry=True)


@pytest.fixture
async def modules() -> AsyncIterator[Modules]:
    opened = Modules(Grants(Grant(fuel=1 << 60)))
    yield opened
    opened.close()


def table_of(text: str) -> Table:
    """Return of a table what a call of its module reads."""
    digest = digest_of(text.encode())
    return cast(Table, SimpleNamespace(modules={"m.wat": digest}, notes=SimpleNamespace(sources={"m.wat": text})))


async def called(modules: Modules, text: str) -> Attempt:
    # Compiled beforehand, so that a busy machine takes none of the call's time for it.
    await asyncio.to_thread(compiled, digest_of(text.encode()), text.encode)
    return await modules.carry_out(table_of(text), "m.wat", replace(CALL, timeout_ms=_TIMEOUT_MS))


def forever(body: str, more: str = "", pages: str = "1") -> str:
    return wat(f"(loop {body} (br 0)) (unreachable)", more=more, pages=pages)


ENDLESS = {
    "nothing": forever(""),
    # A refusal takes the engine some microseconds, and one unit of fuel.
    "a memory that does not grow": forever("(drop (memory.grow (i32.const 65535)))"),
    "a table that does not grow": forever(
        "(drop (table.grow 0 (ref.null func) (i32.const 1000000)))", "(table 1 funcref)"
    ),
    "filling its memory": forever("(memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864))", pages="1024"),
    "copying its memory": forever("(memory.copy (i32.const 0) (i32.const 1) (i32.const 67108863))", pages="1024"),
    "filling its table": forever(
        "(table.fill 0 (i32.const 0) (ref.null func) (i32.const 100000))", "(table 100000 funcref)"
    ),
    "logging": forever(
        "(call $log (i32.const 0) (i32.const 2000))", '(import "temper" "log" (func $log (param i32 i32)))'
    ),
    "calling another in its own place": wat("(return_call $on)", more="(func $on (result i64) (return_call $on))"),
    "starting": wat(place(0, 0), more="(func $on (loop (br 0))) (start $on)"),
    "making room": wat(place(0, 0), alloc="(loop (br 0)) (unreachable)"),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_module_that_does_not_end_is_out_of_time_whatever_it_does(modules: Modules, name: str) -> None:
    begun = time.monotonic()
    assert await called(modules, ENDLESS[name]) == _LATE
    assert time.monotonic() - begun < _TIMEOUT_MS / 1000 + 1
    # Its thread is free again: as many as there are serve whoever comes next.
    again = await asyncio.gather(*(called(modules, says('{"ok": {}}')) for _ in range(modules.grants.calls)))
    assert again == [Answered({})] * modules.grants.calls


async def test_a_call_that_no_thread_was_free_for_is_told_apart_and_never_begins(modules: Modules) -> None:
    busy = [asyncio.create_task(called(modules, ENDLESS["nothing"])) for _ in range(modules.grants.calls)]
    await asyncio.sleep(0.05)
    waiting = await modules.carry_out(table_of(says("{}")), "m.wat", replace(CALL, timeout_ms=50))
    assert isinstance(waiting, Failed)
    assert (waiting.kind, waiting.retry) == ("unavailable", True)
    assert await asyncio.gather(*busy) == [_LATE] * len(busy)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("(module", "refused"),
        (wat(place(0, 0), pages="65537"), "refused"),
        (wat(place(0, 0)).replace('(memory (export "memory") 1)', '(memory (export "memory") i64 1)'), "refused"),
        (wat(place(0, 0), pages="1 2 shared"), "refused"),
        (wat(place(0, 0), pages="65536"), "out_of_memory"),
        (wat(place(0, 0), more="(memory 1)" * 99), "trapped"),
        (wat(place(0, 0), more="(table 1 funcref)" * 99), "trapped"),
        (wat(place(0, 0), more="(table 10000000 funcref)"), "trapped"),
        (wat(place(0, 0), alloc="(unreachable)"), "trapped"),
        (
            wat(
                "(call_indirect (i32.const 0)) (unreachable)",
                more="(table 1 funcref) (elem (i32.const 0) $f) (func $f (call_indirect (i32.const 0)))",
            ),
            "trapped",
        ),
        # What a collector holds counts as memory.
        (
            wat(
                "(local $last (ref null $link))"
                "(loop (local.set $last"
                "(struct.new $link (local.get $last) (array.new_default $much (i32.const 9999)))) (br 0))"
                "(unreachable)",
                more="(type $much (array (mut i64)))(type $link (struct (field (ref null $link)) (field (ref $much))))",
            ),
            "trapped",
        ),
        # Its answer is its input, which is no answer.
        (
            wat("(i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))"),
            "bad_answer",
        ),
        (says(f'{{"ok": {{"x": {"[" * 20_000}{"]" * 20_000}}}}}'), "bad_answer"),
    ],
)
async def test_a_module_that_can_not_be_run_or_ends_badly_is_a_failed_outcome(
    modules: Modules, text: str, kind: str
) -> None:
    found = await modules.carry_out(table_of(text), "m.wat", replace(CALL, timeout_ms=10_000))
    assert isinstance(found, Failed), found
    assert (found.kind, found.retry) == (kind, False)
