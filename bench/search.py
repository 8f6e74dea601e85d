"""How fast the engines search known models, side by side with SPIN, and how time grows with the instances.

    ./run python bench/search.py [--models 'two-phase commit 7,order 99'] [--no-spin] [--no-growth] [--blueprints]

SPIN is Debian's (`apt-get install spin gcc`), its models are in `bench/spin`, compiled with `-O2 -DSAFETY -DNOREDUCE`
(all states, as the engines see them), and its questions are left out, which saves it work. CPU seconds, so that a busy
machine shows less; a search is taken whole (a kernel is made, an order raced for), while of SPIN `pan` alone is
counted, and what `spin -a` and `gcc` take stands beside it; so is its memory that of its states alone, without its
table and stack. Every count is compared: the figures are of one state space. With `--blueprints` the same models are
read as blueprints, in which one state more is reached: that in which nothing has been created.
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
from tests.verify.system_models import filter_lock, order, philosophers, two_phase_commit

MODELS: dict[str, tuple[System, str, int]] = {
    **{f"two-phase commit {n}": (two_phase_commit(n), "two_phase_commit", n) for n in (7, 8, 9)},
    "philosophers 12": (philosophers(12), "philosophers", 12),
    "filter lock 5": (filter_lock(5), "filter_lock", 5),
    "order 99": (order(99), "order", 99),
}
LARGEST = ("two-phase commit 9", "order 99", "two-phase commit 8")
# Plain Python takes a minute for ten million states, and says nothing new there.
PYTHON_MAX = 2_500_000
STATES_MAX = 1 << 30
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
        if name == "portfolio":
            note = f"by {found.engine}"
        if best is None or took < best.cpu_s:
            best = Run(name, found.states, found.transitions, took, found.memory_bytes, note)
        if took > 2:
            break
    return best


def engines(system: System, states: int) -> Iterable[Run]:
    """Search with each engine that applies, and with the portfolio."""

    def run(engine: Callable[..., Searched]) -> Callable[[], Searched]:
        return lambda: engine(system, states_max=STATES_MAX, seconds=SECONDS)

    wanted: list[tuple[str, Callable[[], Searched]]] = []
    if states <= PYTHON_MAX:
        wanted.append(("generated Python", run(python.search)))
    wanted.append(("WebAssembly", run(wasm.search)))
    if symmetry.interchangeable(system):
        wanted.append(("symmetry", run(symmetry.search)))
    wanted.append(("decision diagrams", run(bdd.search)))
    wanted.append(("portfolio", lambda: choose.search(system, choose.Bounds(STATES_MAX, SECONDS))))
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
        # Deadlocks are counted as states, not taken for errors; deep enough for every model, a table of 2 ** 24 places.
        out = subprocess.run(
            ["./pan", "-E", "-m2000000", "-w24"], cwd=folder, check=True, capture_output=True, text=True
        ).stdout
        ended = _children()
    assert "max search depth too small" not in out, "SPIN left something out"
    # What it stores after compression, where that is worth saying to it.
    compressed = "actual memory usage for states" in out
    memory = _figure(out, rf"([\d.]+)\s+{'actual' if compressed else 'equivalent'} memory usage for states")
    return Run(
        "SPIN",
        int(_figure(out, r"(\d+) states, stored")),
        int(_figure(out, r"([\d.e+]+) transitions")),
        ended - made,
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


def compare(names: Iterable[str], *, spin: bool) -> None:
    """Search each model with everything, and say how far apart they are."""
    for name in names:
        system, model, size = MODELS[name]
        print(name)
        theirs = spun(model, size) if spin else None
        if theirs is not None:
            print(theirs.line())
        states = theirs.states if theirs is not None else bdd.search(system, states_max=1, seconds=SECONDS).states
        ours = []
        for each in engines(system, states):
            print(each.line(), flush=True)
            ours.append(each)
        assert len({each.states for each in ours} | {states}) == 1, "all count one space"
        if theirs is not None:
            kernel = next(each for each in ours if each.engine == "WebAssembly")
            portfolio = next(each for each in ours if each.engine == "portfolio")
            print(
                f"  kernel {kernel.rate / theirs.rate:.1f} times SPIN's states per CPU second; portfolio's verdict "
                f"{theirs.cpu_s / portfolio.cpu_s:.1f} times as soon{', one of the largest' * (name in LARGEST)}"
            )


def growth() -> None:
    """Two-phase commit from 3 to 12 managers, with symmetry, without, and as diagrams."""
    print("two-phase commit, CPU seconds by managers")
    print(f"  {'managers':>8} {'states':>15} {'WebAssembly':>12} {'symmetry':>10} {'visited':>8} {'diagrams':>10}")
    for managers in range(3, 13):
        system = two_phase_commit(managers)
        most = {"states_max": STATES_MAX, "seconds": SECONDS}
        kernel = searched("WebAssembly", partial(wasm.search, system, **most)) if managers <= 9 else None
        alike = searched("symmetry", partial(symmetry.search, system, **most))
        diagrams = searched("diagrams", partial(bdd.search, system, **most))
        assert alike is not None, "symmetry is quick here"
        assert diagrams is not None, "diagrams are quick here"
        took = "" if kernel is None else f"{kernel.cpu_s:.3f}"
        visited = alike.note.split()[0]
        counts = f"  {managers:>8} {diagrams.states:>15,}"
        print(f"{counts} {took:>12} {alike.cpu_s:>10.3f} {visited:>8} {diagrams.cpu_s:>10.3f}", flush=True)


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


def blueprints() -> None:
    """Search the models as they are written as blueprints."""
    from temper.verify.system.lower import lower
    from tests.verify.test_known import SIZES, text_of
    from tests.verify.texts import table_of

    for n in (8, 9):
        everybody = f"{{{', '.join(map(str, range(1, n + 1)))}}}"
        SIZES["two_phase", n] = [("1..3", f"1..{n}"), ("{1, 2, 3}", everybody), ("max 3", f"max {n}")]
    known = (("two_phase", 7), ("two_phase", 8), ("two_phase", 9), ("philosophers", 8), ("filter_lock", 5))
    texts = {f"{name} {size}": text_of(name, size) for name, size in known} | {"order 99": ORDER}
    for name, text in texts.items():
        system = lower(table_of(text))
        assert isinstance(system, System), system
        print(f"{name}, a blueprint: {len(system.rules)} rules")
        for engine, search in (
            ("WebAssembly", partial(wasm.search, system, states_max=STATES_MAX, seconds=SECONDS)),
            ("decision diagrams", partial(bdd.search, system, states_max=STATES_MAX, seconds=20)),
            ("portfolio", partial(choose.search, system, choose.Bounds(STATES_MAX, SECONDS))),
        ):
            found = searched(engine, search)
            if found is not None:
                print(found.line(), flush=True)


def main() -> None:
    """Compare, and then let two-phase commit grow."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--models", default=",".join(MODELS), help="which, by name, with commas between")
    asked.add_argument("--no-spin", action="store_true", help="leave SPIN out")
    asked.add_argument("--no-growth", action="store_true", help="leave out how time grows with the instances")
    asked.add_argument("--blueprints", action="store_true", help="search the models as blueprints, and nothing else")
    options = asked.parse_args()
    if options.blueprints:
        blueprints()
        return
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing and not options.no_spin:
        print(f"SPIN is left out: {' and '.join(missing)} not installed (apt-get install spin gcc)")
    wasm.search(two_phase_commit(3), states_max=1_000, seconds=10)  # the import is not the search
    compare([name.strip() for name in options.models.split(",")], spin=not missing and not options.no_spin)
    if not options.no_growth:
        growth()


if __name__ == "__main__":
    main()
