"""What the levels judge of a table with policies, and what they don't see of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    from temper.table import Table
    from temper.verify.report import PropertyResult

ASKED = "~asked"
"""Ends the site of the part of a case that is for requests, where it is parted."""

LeftOut: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]


class Narrowed(Struct, frozen=True):
    """A table as its policies leave it.

    `left_out` says of each action ("Rollout.Promote") which policies forbid more than is told here, and by what of
    theirs that the table knows nothing about. `lifted` are the actions whose policies a person's consent lifts: here
    they forbid nothing.
    """

    table: Table
    left_out: LeftOut = field(default_factory=dict)
    lifted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def words(self) -> tuple[str, ...]:
        """Return what the levels don't see of the policies."""
        left_out = [
            f"{action}: the policy `{policy}` forbids more, by {' and '.join(f'`{each}`' for each in words)}"
            for action, policies in self.left_out.items()
            for policy, words in policies.items()
        ]
        lifted = [
            f"{action}: {', '.join(f'`{each}`' for each in policies)} can be lifted by who may approve it"
            for action, policies in self.lifted.items()
        ]
        return (*left_out, *lifted)


def by_policy(site: str | None) -> bool:
    """Say whether what refused a request is a policy."""
    return site is not None and site.startswith("policy/")


def doubted(result: PropertyResult, left_out: LeftOut) -> PropertyResult:
    """Return a result as it is; as *unknown* where its run has a step that a policy forbids, for all that is known."""
    from temper.verify.report import Verdict

    if not left_out or result.verdict is not Verdict.BROKEN:
        return result
    for step in result.trace:
        for policy, words in left_out.get(f"{step.entity}.{step.action}", {}).items():
            if step.who not in {"system", "the clock"} and not step.part:
                asked = " and ".join(f"`{each}`" for each in words)
                why = f"a run breaks it, in which `{step.action}` may be what the policy `{policy}` forbids: {asked}"
                return replace(result, verdict=Verdict.UNKNOWN, why=f"{why} is nothing that the table knows")
    return result


def overruled(result: PropertyResult, lifted: Mapping[str, tuple[str, ...]]) -> PropertyResult:
    """Return a result as it is; broken by a step that policies may forbid, with why they don't count there."""
    from temper.verify.report import Verdict

    if not lifted or result.verdict is not Verdict.BROKEN:
        return result
    for step in result.trace:
        policies = lifted.get(f"{step.entity}.{step.action}", ())
        if policies and step.who not in {"system", "the clock"} and not step.part:
            names = ", ".join(f"`{each}`" for each in policies)
            told = f"what {names} forbids of `{step.action}` can be let through by whoever may approve it"
            if told in (result.help or ""):
                return result  # It has been told by an earlier level.
            return replace(result, help=f"{result.help}; {told}" if result.help else told)
    return result
