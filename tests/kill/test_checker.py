"""The checker of histories, held by histories whose verdict is known, and by a search that knows no short cut."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kill.checker import Operation, Stuck, Undecided, linearize

Asked = tuple[str, int] | tuple[str]
Op = Operation[Asked, int]
ASKED: list[Asked] = [("w", 1), ("w", 2), ("a", 1), ("r",)]


def register(value: int, asked: Asked) -> tuple[int, int]:
    """A register: `w` writes and tells what was there, `r` reads, `a` adds and tells the sum."""
    match asked:
        case ("w", new):
            return new, value
        case ("a", more):
            return value + more, value + more
        case _:
            return value, value


def op(asked: Asked, began: int, told: int | None = None, ended: int | None = None) -> Op:
    return Operation(asked, began, told, ended)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [op(("w", 1), 0, 0, 1), op(("r",), 2, 1, 3)],
        # They overlap: either may be first.
        [op(("w", 1), 0, 0, 9), op(("r",), 1, 0, 2), op(("r",), 3, 1, 4)],
        [op(("w", 1), 0, 2, 9), op(("w", 2), 1, 0, 2)],
        # Nobody knows whether it was done: it was, before the second read.
        [op(("w", 1), 0), op(("r",), 1, 0, 2), op(("r",), 3, 1, 4)],
        # Or it never was.
        [op(("w", 1), 0), op(("r",), 1, 0, 2), op(("r",), 3, 0, 4)],
        # It took effect after everything that was answered.
        [op(("r",), 5, 0, 6), op(("w", 1), 0), op(("a", 2), 7, 2, 8)],
    ],
)  # fmt: skip
def test_a_history_with_an_order(history: list[Op]) -> None:
    order = linearize(history, 0, register)
    assert not isinstance(order, Stuck)
    assert {id(each) for each in order} >= {id(each) for each in history if each.ended is not None}


@pytest.mark.parametrize(
    "history",
    [
        # A stale read: it was told after the write was, and does not show it.
        [op(("w", 1), 0, 0, 1), op(("r",), 2, 0, 3)],
        # One that was answered is lost.
        [op(("a", 1), 0, 1, 1), op(("a", 1), 2, 1, 3)],
        # One that was answered is done twice.
        [op(("a", 1), 0, 1, 1), op(("r",), 2, 2, 3)],
        # Two readers see two writes in two orders.
        [op(("w", 1), 0, 0, 1), op(("w", 2), 2, 1, 9), op(("r",), 3, 2, 4), op(("r",), 5, 1, 6)],
        # It was seen, and then it was not.
        [op(("w", 1), 0), op(("r",), 1, 1, 2), op(("r",), 3, 0, 4)],
        # It takes effect before it was asked.
        [op(("r",), 0, 1, 1), op(("w", 1), 2, 0, 3)],
    ],
)  # fmt: skip
def test_a_history_without_one(history: list[Op]) -> None:
    found = linearize(history, 0, register)
    assert isinstance(found, Stuck)
    assert found.next, "it says what could not come next"


def test_a_bound_is_no_verdict() -> None:
    history = [op(("a", 1), 0, 100, 9) for _ in range(12)]
    with pytest.raises(Undecided):
        linearize(history, 0, register, steps_max=5)


def test_many_at_once_are_decided_by_what_is_remembered() -> None:
    """Twelve that overlap have half a thousand million orders, but few sums; none explains what was told."""
    history = [*(op(("a", 1), 0) for _ in range(12)), op(("r",), 1, 13, 2)]
    assert isinstance(linearize(history, 0, register, steps_max=100_000), Stuck)


def test_what_was_never_answered_is_not_tried_in_every_order_where_versions_are_told() -> None:
    """Thirty writes are lost, and the last one asked for was done: each that is tried is seen to be wrong at once."""

    def versioned(state: tuple[int, int], asked: Asked) -> tuple[tuple[int, int], tuple[int, int]]:
        value, told = register(state[1], asked)
        after = (state[0] + 1, value) if asked[0] != "r" else state
        return after, (after[0], told)

    lost: list[Operation[Asked, tuple[int, int]]] = [Operation(("w", number), 0) for number in range(30)]
    read: Operation[Asked, tuple[int, int]] = Operation(("r",), 1, (1, 29), 2)
    order = linearize([*lost, read], (0, 0), versioned, hopeless=lambda now, told: told[0] < now[0], steps_max=10_000)
    assert order == (lost[-1], read)


@st.composite
def histories(draw: st.DrawFn) -> list[Op]:
    """A few operations at random moments, with answers that are often near the truth."""
    made: list[Op] = []
    for _ in range(draw(st.integers(0, 5))):
        asked = draw(st.sampled_from(ASKED))
        began = draw(st.integers(0, 8))
        if draw(st.integers(0, 4)) == 0:
            made.append(op(asked, began))
        else:
            made.append(op(asked, began, draw(st.integers(0, 3)), began + draw(st.integers(0, 5))))
    return made


@given(histories())
def test_the_checker_agrees_with_trying_every_order(history: list[Op]) -> None:
    assert isinstance(linearize(history, 0, register), Stuck) == (not _some_order(history))


def _some_order(history: list[Op]) -> bool:
    lost = [each for each in history if each.ended is None]
    answered = [each for each in history if each.ended is not None]
    for chosen in range(1 << len(lost)):
        some = [*answered, *(each for number, each in enumerate(lost) if chosen >> number & 1)]
        if any(_explains(order) for order in permutations(some)):
            return True
    return False


def _explains(order: tuple[Op, ...]) -> bool:
    value = 0
    for number, each in enumerate(order):
        if any(later.ended is not None and later.ended < each.began for later in order[number:]):
            return False
        value, told = register(value, each.asked)
        if each.ended is not None and told != each.told:
            return False
    return True
