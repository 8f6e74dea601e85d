"""The engine that runs modules: what it allows, how it counts, and what it has compiled.

There is one for the process. Fuel counts instructions, the same on every machine. Epochs are the backstop by the clock:
a thread moves them on while calls are under way.
"""

from __future__ import annotations

import atexit
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

TICK_MS = 10
# Compiled code of the modules that were called last; a component with an interpreter has some 50 MB of it.
_KEPT_MAX = 16
_STACK_BYTES = 512 * 1024
_COMPONENT = b"\0asm\x0d\0\x01\0"


class Unsound(Exception):
    """The engine does not take it for a module; the text says why."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A module that can be called: `code` is a `wasmtime.Module`, or a `wasmtime.component.Component`."""

    digest: str
    code: Any
    component: bool


@cache
def engine() -> Any:
    """Return the process's engine: deterministic, without threads, fuel and epochs on."""
    import wasmtime

    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.max_wasm_stack = _STACK_BYTES
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_component_model = True
    return wasmtime.Engine(config)


_compiled: OrderedDict[str, Compiled] = OrderedDict()
_lock = threading.Lock()
# One module is compiled at a time: two calls that wait for the same one must not both do the work.
_compiling = threading.Lock()


def compiled(digest: str, content: Callable[[], bytes]) -> Compiled:
    """Return a module's code, which is kept by its digest; `content` is asked for where it is not there.

    Takes its time: never on the loop. Raises `Unsound`, and what `content` raises.
    """
    kept = known(digest)
    if kept is not None:
        return kept
    with _compiling:
        kept = known(digest)
        if kept is None:
            kept = _compile(digest, content())
            with _lock:
                _compiled[digest] = kept
                while len(_compiled) > _KEPT_MAX:
                    _compiled.popitem(last=False)
        return kept


def known(digest: str) -> Compiled | None:
    """Return the code that is kept under a digest."""
    with _lock:
        kept = _compiled.get(digest)
        if kept is not None:
            _compiled.move_to_end(digest)
        return kept


def _compile(digest: str, content: bytes) -> Compiled:
    import wasmtime
    from wasmtime import component

    try:
        binary = bytes(content) if content.startswith(b"\0asm") else bytes(wasmtime.wat2wasm(content))
        if binary.startswith(_COMPONENT):
            return Compiled(digest, component.Component(engine(), binary), component=True)
        return Compiled(digest, wasmtime.Module(engine(), binary), component=False)
    except wasmtime.WasmtimeError as error:
        raise Unsound(_reason(str(error))) from error


def _reason(text: str) -> str:
    # What says most is the innermost cause, which comes last; of a WAT error, what stands above the drawing.
    head, _, causes = text.partition("Caused by:")
    lines = [line.strip() for line in (causes or head).splitlines() if line.strip()]
    reason = lines[-1 if causes else 0] if lines else "it can't be compiled"
    return re.sub(r"^\d+: ", "", reason)[:200]


@atexit.register
def _let_go() -> None:
    # Before the interpreter takes the library apart that they are let go with.
    with _lock:
        _compiled.clear()
    engine.cache_clear()


class _Ticker:
    """Moves the epoch on, every `TICK_MS`, while somebody counts on it."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._counting = 0
        self._thread: threading.Thread | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._change:
            self._counting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick, name="temper-wasm-epochs", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._change:
                self._counting -= 1

    def _tick(self) -> None:
        # By the clock, not by how often this thread was woken: on a busy machine each wait is longer than it was asked
        # for, and a call's time would be up later than whoever waits for it waits.
        begun, ticks = time.monotonic(), 0
        while True:
            with self._change:
                if self._counting == 0:
                    self._thread = None
                    return
                self._change.wait(TICK_MS / 1000)
            due = int((time.monotonic() - begun) * 1000 / TICK_MS)
            for _ in range(due - ticks):
                engine().increment_epoch()
            ticks = due


ticking = _Ticker()
"""A context in which epochs pass."""
