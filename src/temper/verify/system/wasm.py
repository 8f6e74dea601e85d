"""Engine 3: a search kernel made for the system at hand, as WebAssembly, compiled by wasmtime.

Breadth first, exact, with a parent for each state: the run to whatever is found is a shortest one. It needs no compiler
on the machine; a kernel takes some milliseconds to make, and then visits millions of states a second.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from temper.verify.system.ir import Path, Searched, State, System
from temper.verify.system.step import rule_between
from temper.verify.system.wasm_text import FAULT_BYTES, STEP_BYTES, Layout, Notes, TooWide, fault_keys, kernel

Progress = Callable[[int, int], None]

ENGINE = "WebAssembly"
# States between two looks at the clock: some hundredths of a second.
_BUDGET = 100_000
_PAGE = 1 << 16
# A 32-bit memory ends at four gigabytes; what would go over it stops the search.
_MEMORY_MAX = (1 << 32) - _PAGE
_FIRST_STATES = 1 << 13
_FIRST_BLOCKS = 1 << 12

_DONE, _PAUSED, _FULL = 0, 1, 2


def search(
    system: System,
    *,
    states_max: int,
    seconds: float,
    questions: Iterable[int] | None = None,
    memory_max: int = 2 << 30,
    progress: Progress | None = None,
) -> Searched:
    """Return what is found in all states that can be reached, nearest first.

    Stops at `states_max` states, after `seconds`, or where it would take more than `memory_max` bytes. Raises `TooWide`
    where a state or the rules do not fit the kernel.
    """
    asked = range(len(system.questions)) if questions is None else sorted(set(questions))
    return _Kernel(system, asked).run(states_max, seconds, memory_max, progress)


def fits(system: System) -> bool:
    """Say whether a system fits the kernel."""
    try:
        Layout(system)
    except TooWide:
        return False
    return True


class _Kernel:
    def __init__(self, system: System, asked: Sequence[int]) -> None:
        # Most commands need no kernel, and the import takes a tenth of a second.
        import wasmtime

        self.began = time.monotonic()
        self.system = system
        self.layout = Layout(system)
        self.notes = Notes(
            tuple(number for number in asked if not system.questions[number].step),
            tuple(number for number in asked if system.questions[number].step),
            fault_keys(system),
        )
        config = wasmtime.Config()
        config.wasm_multi_memory = True
        engine = wasmtime.Engine(config)
        module = wasmtime.Module(engine, kernel(system, self.layout, self.notes))
        self.store: Any = wasmtime.Store(engine)
        self.exports: Any = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.entry = 16 if self.layout.words == 1 else 32
        self.states_room = _FIRST_STATES
        self.blocks_room = _FIRST_BLOCKS
        self.size = 8 * self.layout.words

    def run(self, states_max: int, seconds: float, memory_max: int, progress: Progress | None) -> Searched:
        self._make_room()
        for state in self.system.initial:
            self.exports["seed"](self.store, *self.layout.packed(state))
        expand = self.exports["expand"]
        stopped = None
        while stopped is None:
            answer = expand(self.store, _BUDGET)
            if answer == _DONE:
                break
            if self._read("n") > states_max:
                stopped = f"stopped at {states_max:,} states"
            elif time.monotonic() - self.began > seconds:
                stopped = f"stopped after {seconds:g} s"
            elif answer == _FULL and not self._grow(memory_max):
                stopped = f"stopped at {memory_max >> 20:,} MiB of memory"
            if progress is not None:
                progress(self._read("n"), self._read("transitions"))
        return self._searched(stopped)

    # --- room ---

    def _make_room(self) -> None:
        states = self.states_room + len(self.system.rules) + len(self.system.initial) + 1
        table = (1 << max(self.layout.bits, 6)) // 8 if self.layout.bitmap else self.blocks_room * self.entry
        for name, size in (("q", states * self.size), ("par", states * 4), ("tab", table)):
            memory = self.exports[name]
            pages = -(-size // _PAGE)
            if pages > memory.size(self.store):
                memory.grow(self.store, pages - memory.size(self.store))
        self._write("n_max", self.states_room)
        self._write("mask", (self.blocks_room - 1) * self.entry)
        # Half full at the most, so that a look is short; a bitmap is never full.
        self._write("blocks_max", 0x7FFF_FFFF if self.layout.bitmap else self.blocks_room // 2)

    def _grow(self, memory_max: int) -> bool:
        """Make room for more, and say whether there was any to make."""
        states, blocks = self.states_room, self.blocks_room
        if self._read("n") > states:
            states *= 2
        again = not self.layout.bitmap and self._read("blocks") > blocks // 2
        if again:
            blocks *= 2 if blocks >= 1 << 20 else 4
        sizes = (states * self.size, states * 4, 0 if self.layout.bitmap else blocks * self.entry)
        if sum(sizes) > memory_max or max(sizes) > _MEMORY_MAX:
            return False
        self.states_room, self.blocks_room = states, blocks
        self._make_room()
        if again:
            table = self.exports["tab"]
            ctypes.memset(ctypes.addressof(table.data_ptr(self.store).contents), 0, table.data_len(self.store))
            self.exports["rehash"](self.store)
        return True

    def _read(self, name: str) -> int:
        value: int = self.exports[name].value(self.store)
        return value

    def _write(self, name: str, value: int) -> None:
        self.exports[name].set_value(self.store, value if value < 1 << 31 else value - (1 << 32))

    # --- what was found ---

    def _searched(self, stopped: str | None) -> Searched:
        notes = self.notes
        ctl = bytes(self.exports["ctl"].read(self.store, 0, max(notes.size, 1)))
        found: dict[int, Path] = {}
        for place, number in enumerate(notes.states):
            (index,) = struct.unpack_from("<I", ctl, 4 * place)
            if index:
                found[number] = self._path(index - 1)
        steps_at = notes.steps_at + 7 & ~7
        for place, number in enumerate(notes.steps):
            at = steps_at + STEP_BYTES * place
            (index,) = struct.unpack_from("<I", ctl, at)
            if index:
                after = self.layout.unpacked(struct.unpack_from(f"<{self.layout.words}Q", ctl, at + 8))
                path = self._path(index - 1)
                found[number] = Path(
                    path.initial, (*path.rules, rule_between(self.system, self._state(index - 1), after))
                )
        faults: dict[tuple[str, str], Path] = {}
        for place, key in enumerate(notes.faults):
            index, rule, position = struct.unpack_from("<III", ctl, notes.faults_at + FAULT_BYTES * place)
            if index:
                path = self._path(index - 1)
                faults[key] = Path(path.initial, (*path.rules, rule), position)
        deadlocks = self._read("deadlocks")
        return Searched(
            ENGINE,
            self._read("n"),
            self._read("transitions"),
            dict(sorted(found.items())),
            faults,
            stopped,
            deadlocks,
            self._path(self._read("stuck")) if deadlocks else None,
            self._depth(self._read("n") - 1),
            sum(self.exports[name].data_len(self.store) for name in ("tab", "q", "par")),
            time.monotonic() - self.began,
        )

    def _parent(self, index: int) -> int:
        (parent,) = struct.unpack("<i", self.exports["par"].read(self.store, 4 * index, 4 * index + 4))
        return int(parent)

    def _state(self, index: int) -> State:
        content = self.exports["q"].read(self.store, self.size * index, self.size * (index + 1))
        return self.layout.unpacked(struct.unpack(f"<{self.layout.words}Q", content))

    def _depth(self, index: int) -> int:
        """Return how far a state is from the initial ones; the last that was found is a farthest."""
        depth = 0
        while (index := self._parent(index)) >= 0:
            depth += 1
        return depth

    def _path(self, index: int) -> Path:
        way = [index]
        while (parent := self._parent(way[-1])) >= 0:
            way.append(parent)
        states = [self._state(each) for each in reversed(way)]
        rules = tuple(rule_between(self.system, before, after) for before, after in pairwise(states))
        return Path(self.system.initial.index(states[0]), rules)
