"""Engine 3: a search kernel made for the system at hand, as WebAssembly, compiled by wasmtime.

Breadth first, exact, with a parent for each state: the run to whatever is found is a shortest one. It needs no compiler
on the machine; a kernel takes some milliseconds to make, and then visits millions of states a second.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from temper.verify.system.ir import Path, Searched, State, System
from temper.verify.system.step import SPENT, Ways
from temper.verify.system.wasm_text import (
    FAULT_BYTES,
    STEP_BYTES,
    WINDOW_BITS,
    Known,
    Layout,
    Notes,
    TooWide,
    fault_keys,
    kernel,
    windows,
)

Progress = Callable[[int, int], None]

ENGINE = "WebAssembly"
# States between two looks at the clock (and at whoever presses Ctrl-C): as many as take about this long.
_FIRST_BUDGET = 10_000
_SLICE_S = 0.05
# From so many states on it pays to make the kernel anew, and up to so many to hand over what it holds.
_RENEW_FROM = 1 << 17
_RENEW_TO = 1 << 20
# From so many states on the window may move, by what a sample of so many of them says.
_WINDOW_FROM = 1 << 14
_SAMPLE = 1 << 6
# What is best for earlier levels is often not best for later ones: for half the blocks the window leaves its place.
_MOVES = 0.5
_LOWEST = (0, 0)
_PAGE = 1 << 16
# A 32-bit memory ends at four gigabytes; what would go over it stops the search.
_MEMORY_MAX = (1 << 32) - _PAGE
_FIRST_STATES = 1 << 13
_FIRST_BLOCKS = 1 << 12

_DONE, _PAUSED, _FULL = 0, 1, 2
# What a kernel hands over to the one that is made after it, beside its memories.
_COUNTED = ("n", "head", "transitions", "more", "deadlocks", "stuck")


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
    where a state or the rules do not fit the kernel, and `NoKernel` where the machine does not let one start.
    """
    asked = range(len(system.questions)) if questions is None else sorted(set(questions))
    return _Kernel(system, asked).run(states_max, seconds, memory_max, progress)


class NoKernel(Exception):
    """The machine does not let a kernel start: it has too little memory, or allows no compiled code."""


def fits(system: System) -> bool:
    """Say whether a system fits the kernel."""
    try:
        Layout(system)
    except TooWide:
        return False
    return True


def _within(budget: int, took: float) -> int:
    """Return how many states to look at until the next pause, from how long the last ones took."""
    return max(1_000, min(4 * budget, int(budget * _SLICE_S / max(took, 1e-6)), 1 << 30))


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
        self.known = Known()
        self.entry = 16 if self.layout.words == 1 else 32
        self.states_room = _FIRST_STATES
        self.blocks_room = _FIRST_BLOCKS
        self.size = 8 * self.layout.words
        self.window = _LOWEST
        # Four gigabytes of addresses for each memory, which wasmtime asks for by itself, spare the kernel its checks of
        # bounds. Where there are not so many, as under `ulimit -v`, it does with those that it needs, and checks.
        try:
            self.engine = self._engine(reserved=True)
            self._make(self.known)
        except wasmtime.WasmtimeError:
            try:
                self.engine = self._engine(reserved=False)
                self._make(self.known)
            except (wasmtime.WasmtimeError, MemoryError) as error:
                raise NoKernel(str(error)) from error

    @staticmethod
    def _engine(*, reserved: bool) -> Any:
        import wasmtime

        config = wasmtime.Config()
        config.wasm_multi_memory = True
        if not reserved:
            config.memory_reservation = 0
            config.memory_reservation_for_growth = 0
            config.memory_guard_size = 0
        return wasmtime.Engine(config)

    def run(self, states_max: int, seconds: float, memory_max: int, progress: Progress | None) -> Searched:
        self.states_max = states_max
        self._make_room()
        self._put_window(self.window)
        for state in self.system.initial:
            self.exports["seed"](self.store, *self.layout.packed(state))
        budget = _FIRST_BUDGET
        stopped = None
        while stopped is None:
            since = time.monotonic()
            answer = self.exports["expand"](self.store, budget)
            if answer == _DONE:
                break
            now = time.monotonic()
            if answer == _PAUSED:
                budget = _within(budget, now - since)
            if self._read("n") > states_max:
                stopped = f"stopped at {states_max:,} states"
            elif now - self.began > seconds:
                stopped = f"stopped after {seconds:g} s"
            elif answer == _FULL and not (self._renewed() or self._grow(memory_max)):
                stopped = f"stopped at {memory_max >> 20:,} MiB of memory"
            if progress is not None:
                progress(self._read("n"), self._read("transitions") + self._read("more"))
        return self._searched(stopped)

    def _make(self, known: Known) -> None:
        """Make a kernel that asks for no more than what is not known yet."""
        import wasmtime

        module = wasmtime.Module(self.engine, kernel(self.system, self.layout, self.notes, known))
        self.store: Any = wasmtime.Store(self.engine)
        self.exports: Any = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.known = known

    def _renewed(self) -> bool:
        """Go on with a kernel that does not ask for what has been found, if that is worth it; say whether it was."""
        n = self._read("n")
        known = Known(*self._answered())
        if known == self.known or not _RENEW_FROM <= n <= _RENEW_TO:
            return False
        kept = {
            name: bytes(self.exports[name].read(self.store, 0, size))
            for name, size in (("q", n * self.size), ("par", n * 4), ("ctl", self.notes.size))
        }
        counted = {name: self.exports[name].value(self.store) for name in _COUNTED}
        self._make(known)
        self._make_room()
        for name, content in kept.items():
            self.exports[name].write(self.store, content, 0)
        for name, value in counted.items():
            self.exports[name].set_value(self.store, value)
        self._put_window(self.window)
        self._rehash()
        return True

    # --- room ---

    def _make_room(self) -> None:
        states = self.states_room + len(self.system.rules) + len(self.system.initial) + 1
        table = (1 << max(self.layout.bits, 6)) // 8 if self.layout.bitmap else self.blocks_room * self.entry
        for name, size in (("q", states * self.size), ("par", states * 4), ("tab", table)):
            memory = self.exports[name]
            pages = -(-size // _PAGE)
            if pages > memory.size(self.store):
                memory.grow(self.store, pages - memory.size(self.store))
        # As many states as there is room for, and not one more than were asked for.
        self._write("n_max", min(self.states_room, self.states_max))
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
        import wasmtime

        n, window, better = self._read("n"), self.window, self.window
        if again and n >= _WINDOW_FROM:
            # The states of later levels are not like those of earlier ones: the window may move again.
            better = self._best_window(n)
        try:
            self._make_room()
        except wasmtime.WasmtimeError:
            return False
        if again:
            self._put_window(better)
            if not self._rehash():
                self._put_window(window)
                self._rehash()
        return True

    def _rehash(self) -> bool:
        """Fill the visited set anew from the queue; say whether there was room, which there is if it was no fuller."""
        table = self.exports["tab"]
        ctypes.memset(ctypes.addressof(table.data_ptr(self.store).contents), 0, table.data_len(self.store))
        return bool(self.exports["rehash"](self.store))

    def _put_window(self, window: tuple[int, int]) -> None:
        self.window = window
        word, shift = window
        self._write("word", word)
        self._write("shift", shift)
        for each in range(2):
            self._write(f"kept{each}", ~((1 << WINDOW_BITS) - 1 << shift) if each == word else -1)

    def _best_window(self, n: int) -> tuple[int, int]:
        """Return the window in which the later half of the states takes the fewest blocks, by a sample of them."""
        apart = max(n // 2 // _SAMPLE, 1)

        def blocks(window: tuple[int, int]) -> float:
            share: float = self.exports["blocks_of"](self.store, *window, n // 2, n, apart)
            return share

        found = {window: blocks(window) for window in windows(self.layout)}
        best = min(found, key=lambda window: found[window])
        return best if found[best] < _MOVES * found[_LOWEST] else _LOWEST

    def _read(self, name: str) -> int:
        value: int = self.exports[name].value(self.store)
        return value

    def _write(self, name: str, value: int) -> None:
        self.exports[name].set_value(self.store, value if value < 1 << 31 else value - (1 << 32))

    # --- what was found ---

    def _searched(self, stopped: str | None) -> Searched:
        notes, ctl = self.notes, self._noted()
        ways = Ways(self.system, self._parent, self._state)
        found: dict[int, Path | None] = {}
        for place, number in enumerate(notes.states):
            (index,) = struct.unpack_from("<I", ctl, 4 * place)
            if index:
                found[number] = ways.to(index - 1)
        for place, number in enumerate(notes.steps):
            index, rule = struct.unpack_from("<II", ctl, notes.steps_at + STEP_BYTES * place)
            if index:
                found[number] = ways.to(index - 1, rule)
        faults: dict[tuple[str, str], Path | None] = {}
        for place, key in enumerate(notes.faults):
            index, rule, position = struct.unpack_from("<III", ctl, notes.faults_at + FAULT_BYTES * place)
            if index:
                faults[key] = ways.to(index - 1, rule, position)
        deadlocks = self._read("deadlocks")
        stuck = ways.to(self._read("stuck")) if deadlocks else None
        return Searched(
            ENGINE,
            self._read("n"),
            self._read("transitions") + self._read("more"),
            {number: path for number, path in sorted(found.items()) if path is not None},
            {key: path for key, path in faults.items() if path is not None},
            SPENT if stopped is None and ways.spent else stopped,
            deadlocks,
            stuck,
            self._depth(self._read("n") - 1),
            sum(self.exports[name].data_len(self.store) for name in ("tab", "q", "par")),
            time.monotonic() - self.began,
        )

    def _noted(self) -> bytes:
        return bytes(self.exports["ctl"].read(self.store, 0, max(self.notes.size, 1)))

    def _answered(self) -> tuple[frozenset[int], frozenset[tuple[str, str]]]:
        """Return the questions and the faults that have been found."""
        notes, ctl = self.notes, self._noted()
        places = [(number, 4 * place) for place, number in enumerate(notes.states)]
        places += [(number, notes.steps_at + STEP_BYTES * place) for place, number in enumerate(notes.steps)]
        faults = [(key, notes.faults_at + FAULT_BYTES * place) for place, key in enumerate(notes.faults)]
        return (
            frozenset(number for number, at in places if any(ctl[at : at + 4])),
            frozenset(key for key, at in faults if any(ctl[at : at + 4])),
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
