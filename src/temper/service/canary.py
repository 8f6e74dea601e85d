"""A canary: some new entities on a candidate, beside the version in force, until a push ends it.

It is a version of its own. Promoting it pushes the candidate, withdrawing it the version beside which it was; any
other push ends it as well. Those who live by the candidate have to have a place in what comes then, like everybody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temper.service import wire
from temper.service.declined import Declined, bad_query
from temper.service.space import Space
from temper.service.views import moment
from temper.table import SHARES, Table, apart, digest, shape, takes, with_canary

NAMED_MAX = 1_000
# Of those who live, so many are looked at to count who is in it.
COUNTED_MAX = 100_000
_PAGE = 500
_NAME = re.compile(r"[A-Z][A-Za-z0-9]*/[^/]{1,200}")


@dataclass(frozen=True, slots=True)
class CanaryWanted:
    """Who is to be in it: of new entities a share, from 0 to 1, and those that are named as `Entity/id`."""

    share: float = 0.0
    named: Sequence[str] = ()

    def problem(self) -> tuple[str, str] | None:
        """Return what of it makes no sense, and why."""
        if not 0 <= self.share <= 1:
            return "share", "is not from 0 to 1"
        if not self.named and self.share * SHARES < 1:
            return "share", f"is less than one of {SHARES:,}, and nobody is named"
        if len(self.named) > NAMED_MAX:
            return "named", f"has more than {NAMED_MAX:,} names"
        wrong = next((name for name in self.named if not _NAME.fullmatch(name)), None)
        return None if wrong is None else ("named", f"has `{wrong[:80]}`, which is no Entity/ID")


def must_make_sense(wanted: CanaryWanted) -> None:
    """Decline what no canary can be."""
    problem = wanted.problem()
    if problem is not None:
        raise bad_query(*problem)


def beside(space: Space, candidate: Table, wanted: CanaryWanted, *, at: int) -> Table:
    """Return the table in force with a canary. Declines where the two can't live beside each other."""
    if space.table.canary is not None:
        raise _conflict("a canary is under way", "promote or withdraw it first: there is one at a time")
    problems = apart(space.table, candidate)
    if problems:
        raise Declined(
            wire.Problem(
                type="conflict",
                title="the candidate can't live beside the version in force",
                status=409,
                detail="; ".join(problems),
                help="push it, or make the change in steps; docs/how-to/upgrade.md says what a canary may change",
            )
        )
    table = with_canary(
        space.table,
        candidate,
        number=space.version.number,
        since=at,
        share=round(wanted.share * SHARES),
        named=sorted(set(wanted.named)),
    )
    assert table.canary is not None, "it was made with one"
    for name in wanted.named:
        kind, _, id = name.partition("/")
        if kind not in table.canary.kinds:
            raise bad_query("named", f"has `{name}`, and the candidate changes nothing of `{kind}`")
        if space.store.snapshot(kind, id) is not None:
            raise bad_query("named", f"has `{name}`, which lives already: a canary is for new ones")
    return table


def files_of(space: Space) -> Mapping[str, str]:
    """Return the candidate's files. Declines where there is no canary."""
    return _of(space).table.notes.sources


def number_of(space: Space) -> int:
    """Return the version beside which the canary is. Declines where there is none."""
    return _of(space).number


def view(space: Space) -> wire.Canary:
    """Return the canary, with who lives in it. Declines where there is none."""
    canary = _of(space)
    counted: Counter[str] = Counter()
    looked = 0
    states = {(kind, state) for kind in canary.kinds for state in space.table.entities[kind].states}
    states |= {(kind, state) for kind in canary.kinds for state in canary.table.entities[kind].states}
    more: int | None = 0
    while more is not None and looked < COUNTED_MAX:
        found, more = space.store.living(states, after=more, limit=_PAGE)
        looked += _PAGE
        counted.update(
            f"{now.entity}.{now.state}" for now in found if takes(canary, now.entity, now.id, now.created_at)
        )
    return wire.Canary(
        blueprint=space.name,
        version=space.version.number,
        beside=canary.number,
        digest=digest(canary.table),
        since=moment(canary.since),
        share=canary.share / SHARES,
        named=canary.named,
        kinds=canary.kinds,
        entities=dict(sorted(counted.items())),
        whole=more is None,
    )


def _of(space: Space) -> shape.Canary:
    canary = space.table.canary
    if canary is None:
        raise Declined(
            wire.Problem(
                type="not-found",
                title=f"`{space.name}` has no canary",
                status=404,
                help="`temper canary BLUEPRINT --start PATH --share 5%` starts one",
            )
        )
    return canary


def _conflict(title: str, help: str) -> Declined:
    return Declined(wire.Problem(type="conflict", title=title, status=409, help=help))
