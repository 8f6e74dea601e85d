"""How long a look at a token takes: one that is good, and those that are nearly so, in no order, again and again.

`uv run python bench/tokens.py`. A guess at a secret must take as long however much of it is right: the medians of those
rows differ by a few hundredths, and no more than they do from one run to the next.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from temper.runtime import TokenStore

ROUNDS = 20_000
TOKENS = 1_000


def rows(store: TokenStore) -> dict[str, Callable[[int], object]]:
    """What is asked, by its name; the number tells one round from another."""
    made = [store.make(f"p{number}", ("operator",), at=1) for number in range(TOKENS)]
    texts = [text for text, _ in made]
    ids = [row.id for _, row in made]
    secret = len(texts[0].rsplit("_", 1)[1])

    def asking(text: Callable[[int], str]) -> Callable[[int], object]:
        return lambda number: store.find(text(number % TOKENS), at=2)

    return {
        "a good one": asking(lambda number: texts[number]),
        "the id is there, no letter of the secret is right": asking(
            lambda number: f"temper_{ids[number]}_{'!' * secret}"
        ),
        "the id is there, all letters but the last are right": asking(lambda number: texts[number][:-1] + "!"),
    }


def main() -> None:
    """Measure, and print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        store = TokenStore(Path(folder) / "tokens.db")
        asked = rows(store)
        taken: dict[str, list[int]] = {name: [] for name in asked}
        chance = random.Random(1)
        for number in range(ROUNDS):
            for name in chance.sample(list(asked), len(asked)):
                began = time.perf_counter_ns()
                asked[name](number)
                taken[name].append(time.perf_counter_ns() - began)
        for name, times in taken.items():
            low, middle, high = statistics.quantiles(times, n=4)
            print(f"{middle / 1000:6.2f} us  ({low / 1000:.2f} to {high / 1000:.2f})  {name}")
        store.close()


if __name__ == "__main__":
    main()
