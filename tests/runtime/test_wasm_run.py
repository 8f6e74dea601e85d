"""What comes of one call of a module, whatever the module does."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace

import pytest

from temper.runtime import Answered, Attempt, Failed
from temper.runtime.wasm.engine import compiled
from temper.runtime.wasm.grants import Grant
from temper.runtime.wasm.run import ANSWER_BYTES_MAX, run
from tests.runtime.modules import CALL, address, place, says, wat

MILLION = Grant(fuel=1_000_000, memory_bytes=1 << 20, time_ms=1_000)
_ECHO = wat(
    # {"ok":{"said": + the input + }}
    """(local $i i32)
    (i32.store8 (i32.add (i32.const 1024) (local.get 1)) (i32.const 125))
    (i32.store8 (i32.add (i32.const 1025) (local.get 1)) (i32.const 125))
    (i64.or (i64.shl (i64.const 1010) (i64.const 32)) (i64.extend_i32_u (i32.add (local.get 1) (i32.const 16))))""",
    more=r'(data (i32.const 1010) "{\22ok\22:{\22said\22:")',
)


def outcome(text: str, grant: Grant = MILLION, *, time_ms: int = 1_000) -> Attempt:
    return run(compiled(address(text), text.encode), CALL, grant, lambda: 1_700_000_000_000, time_ms)


def test_a_module_gets_its_arguments_its_order_and_its_attempt() -> None:
    found = outcome(_ECHO)
    assert found == Answered({"said": {"args": CALL.args, "order": "order-1", "attempt": 2}})


def test_a_number_with_a_fraction_comes_as_its_text() -> None:
    assert outcome(says('{"ok": {"n": 1.10, "whole": 3}}')) == Answered({"n": "1.10", "whole": 3})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"failed": {}}', Failed("rejected", "", retry=False)),
        (
            '{"failed": {"kind": "no_stock", "text": "none left", "retry": true}}',
            Failed("no_stock", "none left", retry=True),
        ),
    ],
)
def test_a_module_says_itself_that_it_failed(answer: str, expected: Failed) -> None:
    assert outcome(says(answer)) == expected


COMPONENT = r"""(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 16) "\00\04\00\00\14\00\00\00")
    (data (i32.const 1024) "{\22ok\22:{\22part\22:true}}")
    (func (export "run") (param i32 i32) (result i32) BODY)
    (func (export "room") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "room" (core func $room))
  (alias core export $i "run" (core func $run))
  (func (export "run") (param "input" string) (result string)
    (canon lift (core func $run) (memory $memory) (realloc $room))))"""


def test_a_component_takes_and_gives_texts() -> None:
    assert outcome(COMPONENT.replace("BODY", "(i32.const 16)")) == Answered({"part": True})


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("(loop (br 0)) (unreachable)", "out_of_fuel"),
        ("(unreachable)", "trapped"),
        ("(i32.const 65534)", "trapped"),  # Its answer's place lies outside of its memory.
        ("(i32.store (i32.const 20) (i32.const -1)) (i32.const 16)", "trapped"),  # Its length is a lie.
        ("(i32.store (i32.const 16) (i32.const 9)) (i32.const 16)", "bad_answer"),
        ("(i32.store (i32.const 1024) (i32.const -1)) (i32.const 16)", "trapped"),  # It is not UTF-8.
    ],
)
def test_a_hostile_component_is_a_failed_outcome(body: str, kind: str) -> None:
    found = outcome(COMPONENT.replace("BODY", body))
    assert isinstance(found, Failed), found
    assert found.kind == kind


_GROWS = """(loop $on (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (br $on))))
    (unreachable)"""
_DEEP = f'{{"ok": {{"x": {"[" * 100_000}'

HOSTILE: dict[str, tuple[str, str, str]] = {
    "loops": (wat("(loop (br 0)) (unreachable)"), "out_of_fuel", "1,000,000 units"),
    "loops in alloc": (wat(place(0, 0), alloc="(loop (br 0)) (unreachable)"), "out_of_fuel", "fuel"),
    "loops at the start": (
        wat(place(0, 0), more="(func $spin (loop (br 0))) (start $spin)"),
        "out_of_fuel",
        "fuel",
    ),
    "grows": (wat(_GROWS), "trapped", "unreachable"),
    "wants too much from the start": (wat(place(0, 0), pages="17"), "out_of_memory", "1,048,576 bytes"),
    "traps": (wat("(unreachable)"), "trapped", "unreachable"),
    "divides by zero": (wat("(i64.div_u (i64.const 1) (i64.const 0))"), "trapped", "division by zero"),
    "calls itself for ever": (
        wat(place(0, 0), more="(func $f (param i64 i64) (call $f (local.get 1) (local.get 0))) (start $g) "
        "(func $g (call $f (i64.const 1) (i64.const 2)))"),
        "trapped",
        "stack overflow",
    ),
    "reads outside": (wat("(i64.load (i32.const -8))"), "trapped", "memory out of bounds"),
    "writes outside at the start": (wat(place(0, 0), more='(data (i32.const 65535) "xyz")'), "trapped", ""),
    "lies about a place": (wat(place(65_530, 100)), "bad_answer", "outside of its memory"),
    "lies about a far place": (wat("(i64.const -4294967290)"), "bad_answer", "outside of its memory"),
    "lies about a length": (wat("(i64.const -1)"), "bad_answer", "4,294,967,295 bytes"),
    "answers too much": (wat(place(0, ANSWER_BYTES_MAX + 1), pages="16"), "bad_answer", "1,048,577 bytes"),
    "gives room outside": (wat(place(0, 0), alloc="(i32.const 65530)"), "bad_answer", "`temper_alloc`"),
    "gives room below": (wat(place(0, 0), alloc="(i32.const -1)"), "bad_answer", "`temper_alloc`"),
    "speaks another ABI": (wat(place(0, 0), abi="(i32.const 2)"), "bad_answer", "ABI 2"),
    "says nothing": (wat(place(0, 0)), "bad_answer", "not JSON"),
    "says zeros": (wat(place(0, 50)), "bad_answer", "not JSON"),
    "is not UTF-8": (says(b'{"ok": {"x": "\xff"}}'), "bad_answer", "not JSON"),
    "has half a letter": (says('{"ok": {"x": "\\ud800"}}'), "bad_answer", "not JSON"),
    "nests without end": (says(_DEEP[:50_000]), "bad_answer", "not JSON"),
    "has a huge number": (says(f'{{"ok": {{"x": {"9" * 5000}}}}}'), "bad_answer", "not JSON"),
    "says NaN": (says('{"ok": {"x": NaN}}'), "bad_answer", "not JSON"),
    "says two things": (says('{"ok": {}} {"ok": {}}'), "bad_answer", "not JSON"),
    "says yes and no": (says('{"ok": {}, "failed": {}}'), "bad_answer", "neither"),
    "says a list": (says("[1]"), "bad_answer", "neither"),
    "says ok alone": (says('{"ok": true}'), "bad_answer", "neither"),
    "fails in no word": (says('{"failed": {"kind": "No Word"}}'), "bad_answer", "lower_snake"),
    "fails with more": (says('{"failed": {"stack": []}}'), "bad_answer", "more than"),
    "fails with a number": (says('{"failed": {"text": 1}}'), "bad_answer", "other types"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_module_is_a_failed_outcome(name: str) -> None:
    text, kind, said = HOSTILE[name]
    found = outcome(text)
    assert isinstance(found, Failed), found
    assert (found.kind, found.retry) == (kind, False)
    assert said in found.text
    # And whoever comes next is served as before.
    assert isinstance(outcome(_ECHO), Answered)


def test_a_loop_with_fuel_for_ever_ends_by_the_clock() -> None:
    found = outcome(HOSTILE["loops"][0], replace(MILLION, fuel=1 << 60), time_ms=30)
    assert found == Failed("out_of_time", "it had not ended when its time was up", retry=True)
    assert threading.active_count() < 20


def test_growing_is_refused_by_the_bound_and_a_module_can_live_with_that() -> None:
    pages = wat(
        f"""(local $got i32)
    (block $no (loop $on (br_if $no (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $on)))
    (if (i32.ne (memory.size) (i32.const 16)) (then (unreachable)))
    {place(8192, 20)}""",
        more=r'(data (i32.const 8192) "{\22ok\22:{\22fits\22:true}}")',
    )
    assert outcome(pages) == Answered({"fits": True})


def test_the_same_call_takes_the_same_fuel_every_time() -> None:
    """So a module that ends with so much fuel ends with it on every machine, however busy."""
    counting = wat(
        f"""(local $i i32)
    (loop $on (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $i) (i32.const 10000))))
    {place(8192, 9)}""",
        more=r'(data (i32.const 8192) "{\22ok\22:{}}")',
    )
    low, high = 1, 1_000_000
    while low < high:
        middle = (low + high) // 2
        if isinstance(outcome(counting, replace(MILLION, fuel=middle)), Answered):
            high = middle
        else:
            low = middle + 1
    enough = replace(MILLION, fuel=low)
    assert [type(outcome(counting, enough)) for _ in range(20)] == [Answered] * 20
    short = outcome(counting, replace(MILLION, fuel=low - 1))
    assert isinstance(short, Failed)
    assert short.kind == "out_of_fuel"


def test_no_call_sees_what_another_left() -> None:
    """A fresh instance each: the module answers how often this one was called."""
    counts = wat(
        f"""(i32.store8 (i32.const 8203) (i32.add (i32.load8_u (i32.const 8203)) (i32.const 1)))
    {place(8192, 14)}""",
        more=r'(data (i32.const 8192) "{\22ok\22:{\22n\22:0}}")',
    )
    assert outcome(counts) == outcome(counts) == Answered({"n": 1})


_ASKS = wat(
    f"""(call $log (local.get 0) (local.get 1))
    (call $log (i32.const -1) (i32.const 10))
    (if (i64.ne (call $now) (i64.const 1700000000000)) (then (unreachable)))
    (i32.store (i32.const 8192) (i32.const 0x6b6f227b)) (i32.store (i32.const 8196) (i32.const 0x7d7b3a22))
    (i32.store8 (i32.const 8200) (i32.const 125))
    {place(8192, 9)}""",
    more="""(import "temper" "log" (func $log (param i32 i32)))
  (import "temper" "now" (func $now (result i64)))""",
)


def test_a_module_may_log_and_ask_for_the_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "temper.wasm")
    assert outcome(_ASKS) == Answered({})
    said = [record.getMessage() for record in caplog.records]
    sent = json.dumps({"args": CALL.args, "order": "order-1", "attempt": 2}, ensure_ascii=False, separators=(",", ":"))
    assert said[0] == f"rules.judge, order order-1: {json.dumps(sent, ensure_ascii=False)[1:-1]}"
    assert said[1] == "rules.judge, order order-1: "


def test_a_module_can_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "temper.wasm")
    chatty = wat(
        "(loop (call $log (i32.const 0) (i32.const 60000)) (br 0)) (unreachable)",
        more='(import "temper" "log" (func $log (param i32 i32)))',
    )
    found = outcome(chatty, replace(MILLION, fuel=100_000))
    assert isinstance(found, Failed)
    assert len(caplog.records) == 100
    assert max(len(record.getMessage()) for record in caplog.records) < 12_100
