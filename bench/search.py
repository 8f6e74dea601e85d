"""How fast the engines search known models, side by side with SPIN, and how time grows with the instances.

    ./run python bench/search.py [--models 'two-phase commit 7,order 99'] [--no-spin] [--no-growth]

Each model is searched twice: written by hand as a system of variables and rules, and written as a blueprint and lowered
to one, in which one state more is reached, that in which nothing has been created.

SPIN is Debian's (`apt-get install spin gcc`), its models are in `bench/spin`, compiled with `-O2 -DSAFETY -DNOREDUCE`
(all states, as the engines see them), and its questions are left out, which saves it work. CPU seconds, the best of
three, so that a busy machine shows less; a search is taken whole (a kernel is made, an order raced for), while of SPIN
`pan` alone is counted, and what `spin -a` and `gcc` take stands beside it; so is its memory that of its states alone,
without its table and stack. Every count is compared: the figures are of one state space.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from temper.verify.system import bdd, choose, python, symmetry, wasm
from temper.verify.system.ir import Searched, System
from temper.verify.system.lower import lower
from temper.verify.system.wasm_text import Layout
from tests.verify.system_models import filter_lock, order, philosophers, two_phase_commit
from tests.verify.test_known import text_of
from tests.verify.texts import table_of

# By hand, and what it is called in `bench/spin` and among the known blueprints, and its size.
MODELS: dict[str, tuple[System, str, str, int]] = {
    **{f"two-phase commit {n}": (two_phase_commit(n), "two_phase_commit", "two_phase", n) for n in (7, 8, 9)},
    "philosophers 12": (philosophers(12), "philosophers", "philosophers", 12),
    "filter lock 5": (filter_lock(5), "filter_lock", "filter_lock", 5),
    "order 99": (order(99), "order", "", 99),
}
LARGEST = ("two-phase commit 9", "order 99", "two-phase commit 8")
# Plain Python takes a minute for ten million states, and says nothing new there.
PYTHON_MAX = 2_500_000
STATES_MAX = 1 << 30
# What diagrams don't do in this time they would not do in ten times as much.
DIAGRAMS_SECONDS = 20.0
KERNEL, PORTFOLIO = "WebAssembly", "portfolio"
_COLUMNS = ("by hand", "written", "by hand", "written", "SPIN", "by hand", "written")
SECONDS = 300.0
SPIN = Path(__file__).parent / "spin"


@dataclass(frozen=True, slots=True)
class Run:
    """One search: what it took, and what it counted."""

    engine: str
    states: int
    transitions: int
    cpu_s: float
    memory_bytes: int
    note: str = ""

    @property
    def rate(self) -> float:
        """States per CPU second."""
        return self.states / max(self.cpu_s, 1e-6)

    def line(self) -> str:
        return (
            f"  {self.engine:<18} {self.states:>13,} states {self.transitions:>15,} steps {self.cpu_s:>9.3f} s"
            f" {self.rate / 1e6:>10.2f} M/s {self.memory_bytes / max(self.states, 1):>8.1f} B/state  {self.note}"
        )


def searched(name: str, search: Callable[[], Searched], repeats: int = 3) -> Run | None:
    """Return the best of some searches, `None` where one is stopped by its bounds."""
    best: Run | None = None
    for _ in range(repeats):
        began = time.process_time()
        found = search()
        took = time.process_time() - began
        if found.stopped is not None:
            print(f"  {name:<18} {found.stopped}")
            return None
        note = f"{found.representatives:,} visited" if found.representatives is not None else ""
        if name == PORTFOLIO:
            note = f"by {found.engine}"
        if best is None or took < best.cpu_s:
            best = Run(name, found.states, found.transitions, took, found.memory_bytes, note)
        if took > 2:
            break
    return best


def engines(system: System, states: int) -> Iterable[Run]:
    """Search with each engine that applies, and with the portfolio."""

    def run(engine: Callable[..., Searched], seconds: float = SECONDS) -> Callable[[], Searched]:
        return lambda: engine(system, states_max=STATES_MAX, seconds=seconds)

    wanted: list[tuple[str, Callable[[], Searched]]] = []
    if states <= PYTHON_MAX:
        wanted.append(("generated Python", run(python.search)))
    wanted.append((KERNEL, run(wasm.search)))
    if symmetry.interchangeable(system):
        wanted.append(("symmetry", run(symmetry.search)))
    wanted.append(("decision diagrams", run(bdd.search, DIAGRAMS_SECONDS)))
    wanted.append((PORTFOLIO, lambda: choose.search(system, choose.Bounds(STATES_MAX, SECONDS))))
    for name, each in wanted:
        found = searched(name, each)
        if found is not None:
            yield found


def spun(model: str, size: int) -> Run:
    """Return what SPIN takes: of `pan`, and as a note what it takes to make it."""
    with tempfile.TemporaryDirectory() as folder:
        began = _children()
        subprocess.run(
            ["spin", f"-DN={size}", "-a", str(SPIN / f"{model}.pml")], cwd=folder, check=True, capture_output=True
        )
        command = ["gcc", "-O2", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        made = _children()
        took: list[float] = []
        out = ""
        while len(took) < 3 and sum(took) < 2:
            began_pan = _children()
            # Deadlocks are counted as states, not taken for errors; deep enough for every model, a table of 2 ** 24
            # places.
            out = subprocess.run(
                ["./pan", "-E", "-m2000000", "-w24"], cwd=folder, check=True, capture_output=True, text=True
            ).stdout
            took.append(_children() - began_pan)
    assert "max search depth too small" not in out, "SPIN left something out"
    # What it stores after compression, where that is worth saying to it.
    compressed = "actual memory usage for states" in out
    memory = _figure(out, rf"([\d.]+)\s+{'actual' if compressed else 'equivalent'} memory usage for states")
    return Run(
        "SPIN",
        int(_figure(out, r"(\d+) states, stored")),
        int(_figure(out, r"([\d.e+]+) transitions")),
        min(took),
        int(memory * (1 << 20)),
        f"and {made - began:.2f} s for `spin -a` and `gcc`",
    )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figure(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, f"{pattern} is in what SPIN says"
    return float(found[1])


@dataclass(frozen=True, slots=True)
class Compared:
    """One model, searched by everybody: what is worth a line at the end."""

    name: str
    states: int
    spin: Run | None
    kernels: tuple[Run, Run]
    portfolios: tuple[Run, Run]


def compare(name: str, *, spin: bool) -> Compared:
    """Search a model with everything, by hand and as a blueprint, and say what each takes."""
    by_hand, model, known, size = MODELS[name]
    print(name)
    theirs = spun(model, size) if spin else None
    if theirs is not None:
        print(theirs.line())
    states = theirs.states if theirs is not None else bdd.search(by_hand, states_max=1, seconds=SECONDS).states
    lowered = lower(table_of(text_of(known, size) if known else ORDER))
    assert isinstance(lowered, System), lowered
    both: list[dict[str, Run]] = []
    for what, system, more in (("by hand", by_hand, 0), ("as a blueprint", lowered, 1)):
        print(f"  {what}: {len(system.rules)} rules, {Layout(system).bits} bits")
        ours: dict[str, Run] = {}
        for each in engines(system, states):
            print(f"  {each.line()}", flush=True)
            ours[each.engine] = each
        assert {each.states for each in ours.values()} == {states + more}, "all count one space"
        both.append(ours)
    one, other = both
    return Compared(name, states, theirs, (one[KERNEL], other[KERNEL]), (one[PORTFOLIO], other[PORTFOLIO]))


def summary(compared: Iterable[Compared]) -> None:
    """Say how far apart they are."""
    print("\ntimes SPIN's states per CPU second (kernel) and times as soon to the end (portfolio)")
    print(f"  {'':<18} {'':>11} {'kernel':>17} {'portfolio':>17} {'bytes a state':>26}")
    print(f"  {'model':<18} {'states':>11}" + "".join(f" {word:>8}" for word in _COLUMNS))
    for each in compared:
        memory = "".join(f" {run.memory_bytes / run.states:>8.1f}" for run in each.kernels)
        if each.spin is None:
            print(f"  {each.name:<18} {each.states:>11,} {'':>35} {'':>8}{memory}")
            continue
        kernels = "".join(f" {run.rate / each.spin.rate:>8.1f}" for run in each.kernels)
        portfolios = "".join(f" {each.spin.cpu_s / run.cpu_s:>8.1f}" for run in each.portfolios)
        theirs = f" {each.spin.memory_bytes / each.spin.states:>8.1f}"
        print(
            f"  {each.name:<18} {each.states:>11,}{kernels}{portfolios}{theirs}{memory}{' *' * (each.name in LARGEST)}"
        )
    print("  * one of the three largest")


def growth() -> None:
    """Instances of a blueprint's entity, and managers of two-phase commit, from 3 to 12 of them."""
    grown("tickets of a blueprint", _tickets, kernel_most=12)
    grown("managers of two-phase commit", two_phase_commit, kernel_most=9)


def grown(what: str, model: Callable[[int], System], *, kernel_most: int) -> None:
    """Search a model of 3 to 12 members without symmetry, with it, and as diagrams."""
    print(f"\n{what}, CPU seconds by their number")
    print(f"  {'':>4} {'states':>15} {'WebAssembly':>12} {'symmetry':>10} {'visited':>8} {'diagrams':>10}")
    for size in range(3, 13):
        system = model(size)

        def run(engine: Callable[..., Searched], system: System = system) -> Run | None:
            return searched("", partial(engine, system, states_max=STATES_MAX, seconds=SECONDS))

        kernel = run(wasm.search) if size <= kernel_most else None
        alike, diagrams = run(symmetry.search), run(bdd.search)
        assert alike is not None, "symmetry is quick here"
        assert diagrams is not None, "diagrams are quick here"
        assert len({each.states for each in (kernel, alike, diagrams) if each is not None}) == 1, "all count one space"
        took = "" if kernel is None else f"{kernel.cpu_s:.3f}"
        visited = alike.note.split()[0]
        counts = f"  {size:>4} {diagrams.states:>15,}"
        print(f"{counts} {took:>12} {alike.cpu_s:>10.3f} {visited:>8} {diagrams.cpu_s:>10.3f}", flush=True)


def _tickets(size: int) -> System:
    system = lower(table_of(TICKETS.format(size=size)))
    assert isinstance(system, System), system
    return system


TICKETS = """blueprint desk
role clerk
entity Ticket
  states Waiting, Taken, Done
  final Done
  action Draw by clerk from new to Waiting
  action Take by clerk from Waiting to Taken
  action Give by clerk from Taken to Waiting
  action End by clerk from Taken to Done
always "two at a time": count(t in Ticket: t is Taken) <= 2
scope Ticket {size}
"""

ORDER = """blueprint order
role clerk
entity Order
  states Draft, Till, Paid, Done, Cancelled
  final Done, Cancelled
  items: int 0..99 = 0
  tries: int 0..99 = 0
  parts: int 0..99 = 0
  action Open by clerk from new to Draft
  action Add by clerk from Draft when items < 99
    set items += 1
  action Submit by clerk from Draft to Till when items > 0
  action Try by clerk from Till when tries < 99
    set tries += 1
  action Pay by clerk from Till to Paid
  action Ship by clerk from Paid when parts < 99
    set parts += 1
  action Finish by clerk from Paid to Done
  action Cancel by clerk from Draft, Till to Cancelled
"""


def main() -> None:
    """Compare, say how far apart they are, and then let instances grow."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--models", default=",".join(MODELS), help="which, by name, with commas between")
    asked.add_argument("--no-spin", action="store_true", help="leave SPIN out")
    asked.add_argument("--no-growth", action="store_true", help="leave out how time grows with the instances")
    options = asked.parse_args()
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing and not options.no_spin:
        print(f"SPIN is left out: {' and '.join(missing)} not installed (apt-get install spin gcc)")
    wasm.search(two_phase_commit(3), states_max=1_000, seconds=10)  # the import is not the search
    spin = not missing and not options.no_spin
    summary([compare(name.strip(), spin=spin) for name in options.models.split(",")])
    if not options.no_growth:
        growth()


if __name__ == "__main__":
    main()
