"""One call of one module, in an instance of its own, in the thread that it is given. Total: whatever the module does.

ABI 1. A module exports its `memory` and three functions:

    temper_abi() -> i32                     the number of the ABI: 1
    temper_alloc(length: i32) -> i32        room for so many bytes, in its memory
    temper_run(at: i32, length: i32) -> i64 takes the input there; returns where its answer is: at << 32 | length

A component exports `run: func(input: string) -> string` in their place. Input and answer are JSON.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.runtime.tools import Answered, Attempt, Call, Failed, Kind
from temper.runtime.wasm.engine import TICK_MS, Compiled, engine, ticking
from temper.runtime.wasm.grants import Grant

ABI = 1
# What the host asks a module for, and of which type: parameters, results.
EXPORTS = {"temper_abi": ((), ("i32",)), "temper_alloc": (("i32",), ("i32",)), "temper_run": (("i32", "i32"), ("i64",))}
IMPORTS = {"log": (("i32", "i32"), ()), "now": ((), ("i64",))}
IMPORTS_FROM = "temper"
ANSWER_BYTES_MAX = 1_048_576
_TEXT_MAX = 500
_LOGS_MAX = 100
_LOG_BYTES_MAX = 2_000
_TABLE_ELEMENTS_MAX = 100_000
# A component is several core modules; one of the core kind is one.
_PARTS_MAX = {False: 1, True: 64}
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_answer = msgspec.json.Decoder(float_hook=str)
_log = logging.getLogger("temper.wasm")


class _Lied(Exception):
    """What the module gave back is not what the ABI says; the text says how."""


@dataclass(slots=True)
class Host:
    """What a module may ask for during one call, and for how much of it."""

    call: Call
    now: Callable[[], int]
    logs: int = 0

    def log(self, content: bytes) -> None:
        """Write a line to the server's log. Past the bound it is dropped: a module can't fill a disk."""
        self.logs += 1
        if self.logs <= _LOGS_MAX:
            text = content[:_LOG_BYTES_MAX].decode("utf-8", errors="replace")
            _log.info("%s, order %s: %s", self.call.tool, self.call.order, json.dumps(text, ensure_ascii=False)[1:-1])


def run(compiled: Compiled, call: Call, grant: Grant, now: Callable[[], int], time_ms: int) -> Attempt:
    """Return what comes of `call`. `time_ms` is what is left of its time; `grant.fuel` counts its instructions."""
    import wasmtime

    sent = {"args": call.args, "order": call.order, "attempt": call.attempt}
    given = json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()
    # The epoch moves on at once, maybe: one tick more, so that nobody has less than the time said.
    with ticking():
        store = sandbox(grant, 1 + -(-time_ms // TICK_MS), component=compiled.component)
        try:
            if compiled.component:
                return _read(_by_component(store, compiled.code, given, Host(call, now)))
            return _read(_by_module(store, compiled.code, given, Host(call, now)))
        except _Lied as lie:
            return Failed(Kind.BAD_ANSWER, str(lie), retry=False)
        except wasmtime.Trap as trap:
            return _trapped(trap, grant)
        except wasmtime.WasmtimeError as error:
            return _broken(error, grant)
        except UnicodeDecodeError:
            return Failed(Kind.BAD_ANSWER, "its answer is not UTF-8", retry=False)


def late() -> Failed:
    """Return that a call had begun and not ended in time. By the clock, which a busy machine makes short: try again."""
    return Failed("out_of_time", "it had not ended when its time was up", retry=True)


def sandbox(grant: Grant, ticks: int, *, component: bool) -> Any:
    """Return a store with its bounds: an instance lives in it, and goes with it."""
    import wasmtime

    store = wasmtime.Store(engine())
    store.set_fuel(grant.fuel)
    store.set_epoch_deadline(ticks)
    parts = _PARTS_MAX[component]
    store.set_limits(
        memory_size=grant.memory_bytes,
        table_elements=_TABLE_ELEMENTS_MAX,
        instances=parts,
        tables=parts * 4,
        memories=parts,
    )
    return store


def instance_of(store: Any, module: Any, host: Host) -> Any:
    """Return the exports of a fresh instance of a core module."""
    import wasmtime

    def log(caller: Any, at: int, length: int) -> None:
        memory = caller.get("memory")
        if isinstance(memory, wasmtime.Memory):
            host.log(_bytes(caller, memory, at & _U32, min(length & _U32, _LOG_BYTES_MAX)))

    def now(_caller: Any) -> int:
        return host.now()

    given: dict[str, Callable[..., Any]] = {"log": log, "now": now}
    imports = [wasmtime.Func(store, each.type, given[each.name], access_caller=True) for each in module.imports]
    return wasmtime.Instance(store, module, imports).exports(store)


_U32 = 0xFFFF_FFFF


def _by_module(store: Any, module: Any, given: bytes, host: Host) -> bytes:
    exports = instance_of(store, module, host)
    memory = exports["memory"]
    spoken = exports["temper_abi"](store)
    if spoken != ABI:
        raise _Lied(f"it speaks ABI {spoken}; this server speaks {ABI}")
    at = exports["temper_alloc"](store, len(given)) & _U32
    if at + len(given) > memory.data_len(store):
        raise _Lied("`temper_alloc` gave a place outside of its memory")
    memory.write(store, given, at)
    packed = exports["temper_run"](store, at, len(given))
    at, length = packed >> 32 & _U32, packed & _U32
    if length > ANSWER_BYTES_MAX:
        raise _Lied(f"its answer has {length:,} bytes; at most {ANSWER_BYTES_MAX:,} are read")
    if at + length > memory.data_len(store):
        raise _Lied("its answer lies outside of its memory")
    return bytes(memory.read(store, at, at + length))


def _bytes(store: Any, memory: Any, at: int, length: int) -> bytes:
    return bytes(memory.read(store, at, at + length)) if at + length <= memory.data_len(store) else b""


def linker_of(host: Host) -> Any:
    """Return what a component is linked with: the host's functions, and nothing else."""
    from wasmtime import component

    def log(_store: Any, text: str) -> None:
        host.log(text.encode("utf-8", errors="replace"))

    def now(_store: Any) -> int:
        return host.now()

    linker = component.Linker(engine())
    with linker.root() as root:
        root.add_func("log", log)
        root.add_func("now", now)
    return linker


def _by_component(store: Any, code: Any, given: bytes, host: Host) -> bytes:
    instance = linker_of(host).instantiate(store, code)
    function = instance.get_func(store, "run")
    answer: str = function(store, given.decode())
    if len(answer) > ANSWER_BYTES_MAX:
        raise _Lied(f"its answer has {len(answer):,} characters; at most {ANSWER_BYTES_MAX:,} are read")
    return answer.encode("utf-8", errors="surrogatepass")


def _read(content: bytes) -> Attempt:
    try:
        value = _answer.decode(content)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        # Not quoted: what a module leaves in its memory may be another's secret that it was given as an argument.
        raise _Lied("its answer is not JSON") from None
    match value:
        case {"ok": dict(results)} if len(value) == 1:
            return Answered(results)
        case {"failed": dict(failure)} if len(value) == 1:
            return _failed(failure)
        case _:
            raise _Lied('its answer is neither `{"ok": {...}}` nor `{"failed": {...}}`')


def _failed(failure: dict[str, Any]) -> Failed:
    kind, text, retry = failure.get("kind", Kind.REJECTED.value), failure.get("text", ""), failure.get("retry", False)
    if not (isinstance(kind, str) and _KIND.fullmatch(kind)):
        raise _Lied("the `kind` of its failure is not a lower_snake word")
    if not isinstance(text, str) or not isinstance(retry, bool) or failure.keys() - {"kind", "text", "retry"}:
        raise _Lied("its failure has more than `kind`, `text` and `retry`, or they are of other types")
    return Failed(kind, text[:_TEXT_MAX], retry)


def _trapped(trap: Any, grant: Grant) -> Failed:
    import wasmtime

    match trap.trap_code:
        case wasmtime.TrapCode.OUT_OF_FUEL:
            return Failed("out_of_fuel", f"it had not ended after {grant.fuel:,} units of fuel", retry=False)
        case wasmtime.TrapCode.INTERRUPT:
            return late()
        case None:
            return Failed("trapped", "it trapped", retry=False)
        case code:
            return Failed("trapped", f"it trapped: {code.name.lower().replace('_', ' ')}", retry=False)


def _broken(error: Any, grant: Grant) -> Failed:
    text = str(error)
    if "exceeds memory limits" in text or "memory minimum size" in text:
        return Failed("out_of_memory", f"it wants more than {grant.memory_bytes:,} bytes from the start", retry=False)
    if "fuel" in text:
        return Failed("out_of_fuel", f"it had not ended after {grant.fuel:,} units of fuel", retry=False)
    if "interrupt" in text:
        return late()
    if "mmap" in text or "allocate" in text:
        return Failed(Kind.UNAVAILABLE, "the server has no memory left for an instance", retry=True)
    return Failed("trapped", "it could not be run to its end", retry=False)
