"""Who is counted for `needs`: people, by whom agents act for (rulings 10 and 28).

The search by `step`, the lowered kernel, the replay of its runs and the simulator all count with this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from temper.table import shape

Voice: TypeAlias = tuple[str, str]
"""Somebody who agreed: the principal that acted, and the person behind it (or itself)."""


def voice(each: shape.Needs, principal: str, acts_for: str | None) -> Voice:
    """Return what is remembered of somebody who agreed.

    Through whom a person acted makes a difference to `besides` alone; remembered without need, it would only make more
    states.
    """
    behind = acts_for or principal
    return (principal if each.besides is not None else behind, behind)


def excluded(voice: Voice) -> tuple[str, ...]:
    """Return the principals of which none may stand in the field of `besides`, for a voice to count."""
    return tuple(dict.fromkeys(voice))


def people(held: Iterable[Voice], besides: Any) -> int:
    """Return how many people have agreed, besides a principal and whoever acts for it or through it."""
    return len({each[1] for each in held if besides is None or besides not in excluded(each)})
