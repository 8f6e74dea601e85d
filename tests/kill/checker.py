"""Whether a history of one object is linearizable: could all that was told have come from one thing done at a time?

After J. M. Wing and C. Gong, "Testing and Verifying Concurrent Objects" (1993), with the memory of configurations of
G. Lowe, "Testing for linearizability" (2017). An order of the operations is looked for in which each takes effect
between the moment it was asked and the moment its answer came, and in which a sequential specification gives those
answers. What was never answered may have taken effect at any time after it was asked, or never. Linearizability is
local (M. Herlihy and J. Wing, 1990), so that one object's history is looked at by itself.

The search goes first into the operation that was answered first, and remembers which sets of operations, with which
state after them, lead nowhere. It is exponential at the worst; past a bound it gives no verdict but `Undecided`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told", bound=Hashable)
State = TypeVar("State", bound=Hashable)

STEPS_MAX = 2_000_000


class Undecided(Exception):
    """The bound of the search was met: that is no verdict."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[Asked, Told]):
    """What was asked, and when; what was told, and when. It was never told where `ended` is `None`."""

    asked: Asked
    began: int
    told: Told | None = None
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Stuck(Generic[Asked, Told, State]):
    """No order explains the history. The longest that explains a part of it, and what could not come next."""

    order: tuple[Operation[Asked, Told], ...]
    state: State
    next: tuple[Operation[Asked, Told], ...]


def linearize(
    history: Sequence[Operation[Asked, Told]],
    initial: State,
    apply: Callable[[State, Asked], tuple[State, Told]],
    *,
    hopeless: Callable[[State, Told], bool] = lambda state, told: False,
    steps_max: int = STEPS_MAX,
) -> tuple[Operation[Asked, Told], ...] | Stuck[Asked, Told, State]:
    """Return an order that explains the history, or where the longest one is stuck. Raises `Undecided`.

    `apply` is the sequential specification: the state after an operation, and what it tells. `hopeless` may say that an
    answer can't be told any more once a state was reached, as one that shows an earlier version can't: without it, what
    was never answered is tried in every order before that is found out.
    """
    # Whoever is answered first is tried first; those who never were come last.
    never = max((max(each.began, each.ended or 0) for each in history), default=0) + 1
    operations = sorted(history, key=lambda each: (never if each.ended is None else each.ended, each.began))
    overlap = _overlaps(operations, never)
    answered = (1 << sum(each.ended is not None for each in operations)) - 1

    done, state = 0, initial
    path: list[tuple[int, State]] = []  # What was taken, and the state before it.
    best: tuple[list[int], State] = ([], initial)
    left = [_next(overlap, done)]
    dead: set[tuple[int, State]] = set()
    steps = 0
    while done & answered != answered:
        for index in left[-1]:
            steps += 1
            if steps > steps_max:
                raise Undecided(f"{len(history)} operations, and no verdict after {steps_max} steps")
            operation = operations[index]
            after, told = apply(state, operation.asked)
            if operation.ended is None:
                if after == state:
                    continue  # It changes nothing and nobody was told: as good as never.
            elif told != operation.told:
                continue
            reached = done | 1 << index
            if (reached, after) not in dead and not any(
                (waits := operations[other].told) is not None and hopeless(after, waits)
                for other in _next(overlap, reached)
            ):
                path.append((index, state))
                done, state = reached, after
                left.append(_next(overlap, done))
                if len(path) > len(best[0]):
                    best = ([taken for taken, _ in path], after)
                break
        else:
            if not path:
                order, state = best
                done = sum(1 << index for index in order)
                return Stuck(
                    tuple(operations[index] for index in order),
                    state,
                    tuple(operations[index] for index in _next(overlap, done)),
                )
            dead.add((done, state))
            left.pop()
            index, state = path.pop()
            done ^= 1 << index
    return tuple(operations[index] for index, _ in path)


def _overlaps(operations: Sequence[Operation[Asked, Told]], never: int) -> list[int]:
    """Return for each operation a mask of those that had begun when it ended."""
    by_begin = sorted(range(len(operations)), key=lambda index: operations[index].began)
    masks: list[int] = []
    mask, place = 0, 0
    for operation in operations:  # By their ends: each mask goes on from the one before.
        ended = never if operation.ended is None else operation.ended
        while place < len(by_begin) and operations[by_begin[place]].began <= ended:
            mask |= 1 << by_begin[place]
            place += 1
        masks.append(mask)
    return masks


def _next(overlap: Sequence[int], done: int) -> Iterator[int]:
    """Yield those that are not done and had begun when the first of them ended: each of these may be the next."""
    first = (~done & (done + 1)).bit_length() - 1
    mask = overlap[first] & ~done if first < len(overlap) else 0
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
