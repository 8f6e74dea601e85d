"""How long `step` takes, warm: what one core can decide, before anything is stored.

    ./run python bench/step.py

Prints the best microseconds of many rounds in CPU time, so that a busy machine does not show.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from temper.model import check
from temper.syntax import parse_bundle
from temper.table import Accepted, Act, Caller, Ending, Outcome, Snapshot, Table, Value, compile_machine, possible, step
from temper.text import Source

HELIX = Path(__file__).parents[1] / "apps" / "helix" / "helix.blueprint"
COUNTER = """blueprint counter

entity Counter
  states On
  n: int 0..1000 = 0
  action Make by anyone from new to On
  action Inc by anyone from On when n < 1000
    set n += 1
"""
BOB = Caller("bob", frozenset({"builder"}))
ANN = Caller("ann", frozenset({"operator"}))


def best_us(run: Callable[[], object], rounds: int) -> float:
    """Return the best microseconds of one `run`, over `rounds` of a thousand."""
    found = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(1_000):
            run()
        found = min(found, (time.thread_time() - began) * 1_000)
    return found


def table_of(text: str) -> Table:
    tree, _ = parse_bundle([Source("bench.blueprint", text)])
    machine, problems = check(tree)
    assert not problems, "it checks"
    return compile_machine(machine)


def after(table: Table, now: Snapshot | None, event: Act | Outcome) -> Snapshot:
    result = step(table, now, event)
    assert isinstance(result, Accepted), result
    return result.after


def main() -> None:
    """Measure a counter, and a rollout on its way."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--json", action="store_true")
    args = arguments.parse_args()

    counter = table_of(COUNTER)
    one = after(counter, None, Act("e", 0, "Make", {}, ANN, "Counter", "c"))
    helix = table_of(HELIX.read_text("utf-8"))
    params: dict[str, Value] = {"cluster": "helix", "build": "v2", "previous": "v1", "brokers": 3}
    planned = after(helix, None, Act("e", 0, "Plan", params, BOB, "Rollout", "r"))
    rolling = after(helix, planned, Act("e", 0, "Start", {}, ANN, "Rollout", "r"))

    increment = Act("e", 0, "Inc", {}, ANN, "Counter", "c")
    start = Act("e", 0, "Start", {}, ANN, "Rollout", "r")
    answered = Outcome("e", 0, rolling.calls[0].order, Ending.ANSWERED)
    rows = {
        "a guard and a set": best_us(lambda: step(counter, one, increment), args.rounds),
        "an entry with a call and a timer": best_us(lambda: step(helix, planned, start), args.rounds),
        "an outcome that calls again": best_us(lambda: step(helix, rolling, answered), args.rounds),
        "a refusal": best_us(lambda: step(helix, rolling, start), args.rounds),
        "all that is possible": best_us(lambda: possible(helix, "Rollout", rolling, ANN, 0), args.rounds),
    }
    if args.json:
        print(json.dumps({"step_us": rows}))
        return
    for name, us in rows.items():
        print(f"{name:36}{us:8.2f} us")


if __name__ == "__main__":
    main()
