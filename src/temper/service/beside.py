"""Units of judgement, judged beside each other by processes that are forked for it.

They are forked before there is anything to judge, so that one loads the solver and one the search while the blueprint
is being read. Each is bounded: one that takes too much memory, is killed, or is not done when the time is up costs its
unit an answer, and nobody else anything. They end with the process that asked, however that ends.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from msgspec import Struct

from temper.service.disks import disks_for

# What judges is loaded where it is used: processes are forked before any of it is there.
if TYPE_CHECKING:
    from temper.verify import Done, Limits, Lost, Outcome, Unit

MEMORY_MIB = 4096
# A unit watches its own clock; past this much more its process is stopped.
GRACE_SECONDS = 1.0
SIZE_MAX = 2
_HEAD = struct.Struct("<Q")
_CHUNK = 1 << 20
_PULSE_SECONDS = 0.1
_SELDOM = (100_000, 20, 50)
# What a process loads before it is asked anything, and so which units it should rather get.
_FIRST = (
    ("algebra", ("temper.verify.symbolic.judge", "temper.verify.units")),
    ("search", ("temper.verify.system.found", "temper.verify.system.led", "temper.verify.units")),
)
_RATHER = (frozenset({"algebra", "algebra of several", "properties"}), frozenset({"search", "fair runs", "simulation"}))


class Broken(Exception):
    """A defect of the verifier: the traceback of the process in which it showed."""


def can_fork() -> bool:
    """Say whether processes can be forked here: threads would be lost, and whoever waits for them would wait on."""
    return hasattr(os, "fork") and threading.active_count() == 1 and "wasmtime" not in sys.modules


def team_for(levels: Collection[str], *, memory_mib: int = MEMORY_MIB) -> AbstractContextManager[Team | None]:
    """Return a team that gets ready for these levels, or nothing where processes can't be forked."""
    return Team(levels, memory_mib=memory_mib) if can_fork() else nullcontext()


class _Worker(Struct):
    """One process: `unit` is the place of what it judges, `None` while it waits."""

    number: int
    pid: int
    asks: int
    answers: int
    unit: int | None = None
    read: bytes = b""


class Team:
    """The processes; a `Run` for `verify`. Used as a context: none is left when it ends."""

    def __init__(self, levels: Collection[str] = (), *, size: int | None = None, memory_mib: int = MEMORY_MIB) -> None:
        self._levels = frozenset(levels)
        self.memory_mib = memory_mib
        self._workers: list[_Worker] = []
        # Whoever reads this end is told by its end that nobody can write any more: that this process is gone.
        self._life, self._held = os.pipe()
        for number in range(size or min(SIZE_MAX, os.cpu_count() or 1)):
            self._workers.append(self._forked(number))

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the ids of the processes."""
        return tuple(worker.pid for worker in self._workers)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()
        for end in (self._life, self._held):
            if end >= 0:
                os.close(end)
        self._life = self._held = -1

    def __call__(
        self, units: Sequence[Unit], known: Mapping[int, Done], limits: Limits, progress: Callable[[str], None]
    ) -> Iterator[tuple[int, Outcome]]:
        """Ask for what can be judged at once, and return what each unit that is not known came to, as it comes."""
        until = time.monotonic() + limits.seconds
        outcomes: dict[int, Outcome] = dict(known)
        left = [place for place in range(len(units)) if place not in known]
        self._hand_out(units, left, outcomes, until)

        from temper.verify import Lost

        def judging() -> Iterator[tuple[int, Outcome]]:
            while left or any(worker.unit is not None for worker in self._workers):
                if time.monotonic() >= until:
                    for place in left:
                        yield place, Lost(f"stopped after {limits.seconds:g} s")
                    left.clear()
                for place, outcome in self._heard(progress, until + GRACE_SECONDS, limits):
                    outcomes[place] = outcome
                    yield place, outcome
                self._hand_out(units, left, outcomes, until)

        return judging()

    def _hand_out(self, units: Sequence[Unit], left: list[int], outcomes: Mapping[int, Outcome], until: float) -> None:
        """Ask those who wait. Each gets what it is prepared for, as long as there is such; then whatever there is."""
        idle = [worker for worker in self._workers if worker.unit is None]
        for worker, prepared in [*((each, True) for each in idle), *((each, False) for each in idle)]:
            place = self._next(worker, units, left, outcomes, prepared=prepared)
            if place is not None and worker.unit is None and time.monotonic() < until:
                left.remove(place)
                self._ask(worker, place, units[place], outcomes, until - time.monotonic())

    @staticmethod
    def _next(
        worker: _Worker,
        units: Sequence[Unit],
        left: Sequence[int],
        outcomes: Mapping[int, Outcome],
        *,
        prepared: bool,
    ) -> int | None:
        """Return what a process could judge now, if there is anything: of what it is `prepared` for, or of all."""
        for place in left:
            guide = units[place].guide
            if (guide is None or guide in outcomes) and (
                not prepared or units[place].kind.value in _RATHER[worker.number % len(_RATHER)]
            ):
                return place
        return None

    def _ask(self, worker: _Worker, place: int, unit: Unit, outcomes: Mapping[int, Outcome], seconds: float) -> None:
        guide = None if unit.guide is None else outcomes[unit.guide]
        worker.unit = place
        # If it has ended meanwhile, the other pipe says so.
        with suppress(BrokenPipeError):
            _write(worker.asks, (unit, seconds, guide, self.memory_mib))

    def _heard(self, progress: Callable[[str], None], until: float, limits: Limits) -> Iterator[tuple[int, Outcome]]:
        """Yield what is answered next: waits for it, but not past the end of time."""
        busy = {worker.answers: worker for worker in self._workers if worker.unit is not None}
        if not busy:
            return
        readable, _, _ = select.select(list(busy), [], [], max(0.0, until - time.monotonic()))
        if not readable and time.monotonic() >= until:
            for worker in busy.values():
                yield self._lost(worker, f"stopped after {limits.seconds:g} s")
            return
        from temper.verify import Done, Lost

        for end in readable:
            worker = busy[end]
            more = os.read(end, _CHUNK)
            if not more:
                yield self._lost(worker)
                continue
            worker.read += more
            for said in _messages(worker):
                match said:
                    case str():
                        progress(said)
                    case Done() | Lost():
                        place, worker.unit = worker.unit, None
                        assert place is not None, "who answers was asked"
                        yield place, said
                    case _:
                        raise Broken(*said)

    def _lost(self, worker: _Worker, why: str = "") -> tuple[int, Lost]:
        """Return that a unit has no answer, and put another process in the place of the one that had it.

        Without a reason, the process has ended by itself.
        """
        from temper.verify import Lost

        place = worker.unit
        assert place is not None, "it was asked"
        status = self._end(worker, kill=bool(why))
        # Whoever is forked closes the ends of all that are there: those of the one that is gone may be its own by now.
        self._workers.remove(worker)
        self._workers.append(self._forked(worker.number))
        return place, Lost(why or _how(status))

    def _forked(self, number: int) -> _Worker:
        level, first = _FIRST[number % len(_FIRST)]
        asked, asks = os.pipe()
        answers, answered = os.pipe()
        pid = os.fork()
        if pid == 0:
            others = [end for each in self._workers for end in (each.asks, each.answers)]
            _serve(
                asked,
                answered,
                self._life,
                [asks, answers, self._held, *others],
                first if level in self._levels else (),
            )
        os.close(asked)
        os.close(answered)
        return _Worker(number, pid, asks, answers)

    @staticmethod
    def _end(worker: _Worker, *, kill: bool = True) -> int:
        """Wait for the end of a process, and return how it came; `kill` it first."""
        if kill:
            os.kill(worker.pid, signal.SIGKILL)
        _, status = os.waitpid(worker.pid, 0)
        os.close(worker.asks)
        os.close(worker.answers)
        return status


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"its process was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"its process ended with {os.waitstatus_to_exitcode(status)}"


# --- what goes through a pipe: the length of it, then it --------------------------------------------------------------


def _write(end: int, said: Any) -> None:
    content = pickle.dumps(said, protocol=5)
    view = memoryview(_HEAD.pack(len(content)) + content)
    while view:
        view = view[os.write(end, view) :]


def _messages(worker: _Worker) -> Iterator[Any]:
    """Yield what has been read as a whole."""
    while len(worker.read) >= _HEAD.size:
        (length,) = _HEAD.unpack_from(worker.read)
        content, rest = worker.read[_HEAD.size : _HEAD.size + length], worker.read[_HEAD.size + length :]
        if len(content) < length:
            return
        worker.read = rest
        yield pickle.loads(content)  # noqa: S301 - it comes from a process of our own


def _asked(end: int) -> Any:
    """Wait for a question, and return it; `None` when nobody can ask any more."""
    wanted, content = _HEAD.size, b""
    head = True
    while len(content) < wanted:
        more = os.read(end, min(_CHUNK, wanted - len(content)))
        if not more:
            return None
        content += more
        if head and len(content) == wanted:
            (wanted,), content, head = _HEAD.unpack(content), b"", False
    return pickle.loads(content)  # noqa: S301 - it comes from the process that forked this one


# --- in the forked process --------------------------------------------------------------------------------------------


def _serve(asked: int, answers: int, life: int, of_others: Sequence[int], first: Sequence[str]) -> NoReturn:
    """Answer what is asked until nobody asks any more. Nothing of the process that was forked goes on here."""
    status = 1
    try:
        for end in of_others:
            os.close(end)
        # An interrupt is for the process that asked: it ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Thread(target=_watch, args=(life,), daemon=True).start()
        # What is imported stays, and little that is made while judging is cyclic: looking for it takes a tenth of the
        # time. What grows without end meets its bound of memory.
        gc.set_threshold(*_SELDOM)
        for module in first:
            import_module(module)
        gc.freeze()
        while (question := _asked(asked)) is not None:
            _write(answers, _answered(question, answers))
        status = 0
    finally:
        os._exit(status)


def _watch(life: int) -> None:
    """End this process when the one that asks is gone."""
    os.read(life, 1)
    os._exit(1)


def _bound(memory_mib: int) -> None:
    """Bound what this process may write to; a module in WebAssembly reserves much more than that, and never uses it."""
    import resource

    _, hardest = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mib << 20, hardest))


def _answered(question: tuple[Unit, float, Outcome | None, int], answers: int) -> Any:
    unit, seconds, guide, memory_mib = question
    _bound(memory_mib)
    told = 0.0

    def progress(text: str) -> None:
        nonlocal told
        if time.monotonic() - told > _PULSE_SECONDS:
            told = time.monotonic()
            _write(answers, text)

    from temper.verify import Lost, judged

    try:
        with disks_for((unit.kind.level,)) as disk:
            return judged(unit, seconds, guide, progress, disk)
    except MemoryError:
        return Lost(f"stopped at {memory_mib:,} MiB of memory")
    except Exception as error:  # noqa: BLE001 - it is told where it can be reported
        if "out of memory" in str(error):  # The solver says so in an exception of its own.
            return Lost(f"stopped at {memory_mib:,} MiB of memory")
        return (traceback.format_exc(),)
