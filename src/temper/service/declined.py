"""What a verb raises when it is not done, and the problems that it says."""

from __future__ import annotations

from collections.abc import Iterable

from temper.kernel import STRANDED_MAX as NAMED_MAX
from temper.service import wire
from temper.service.bundle import Checked
from temper.service.findings import finding
from temper.table import Table
from temper.table import shape as pieces
from temper.text import Severity, suggest

# How many stranded entities a problem lists; the rest is counted, as far as they are known.
STRANDED_MAX = 100
# Of what is wrong with a bundle, so much is told at once; errors first.
FINDINGS_MAX = 100


class Declined(Exception):
    """A verb was not done; `problem` says why and what to do next."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(f"{problem.title}: {problem.detail}" if problem.detail else problem.title)
        self.problem = problem


def broken(checked: Checked) -> wire.Problem:
    """Return the problem of a blueprint that does not compile."""
    errors = checked.errors
    told = checked.problems
    if len(told) > FINDINGS_MAX:
        told = (*errors, *(each for each in told if each.severity is not Severity.ERROR))[:FINDINGS_MAX]
    return wire.Problem(
        type="broken-blueprint",
        title="the blueprint is broken, and nothing was changed",
        status=422,
        detail=f"{len(errors)} error{'s' if len(errors) != 1 else ''}: {errors[0].message}",
        findings=tuple(finding(each, checked.sources) for each in told),
    )


def entity_of(table: Table, entity: str) -> pieces.Entity:
    """Return an entity of the table, or decline."""
    kind = table.entities.get(entity)
    if kind is None:
        near = suggest(entity, table.entities)
        raise Declined(
            wire.Problem(
                type="not-found",
                title=f"`{table.blueprint}` has no entity `{entity}`",
                status=404,
                help=f"did you mean `{near}`?" if near else f"it has {words(table.entities)}",
            )
        )
    return kind


def action_of(kind: pieces.Entity, action: str) -> pieces.Action:
    """Return an action of the entity, or decline."""
    chosen = kind.actions.get(action)
    if chosen is None:
        near = suggest(action, kind.actions)
        raise Declined(
            wire.Problem(
                type="not-found",
                title=f"`{kind.name}` has no action `{action}`",
                status=404,
                help=f"did you mean `{near}`?" if near else f"it has {words(kind.actions)}",
            )
        )
    return chosen


def no_such_entity(entity: str, id: str, *, at: str = "") -> wire.Problem:
    title = f"there was no {entity} `{id}` at {at}" if at else f"there is no {entity} `{id}`"
    return wire.Problem(type="not-found", title=title, status=404)


def stale(actual: int | None, wanted: int | None) -> Declined:
    return Declined(
        wire.Problem(
            type="stale",
            title="it is not at the version that you named",
            status=412,
            detail=f"it is at version {actual}, and you named {wanted}" if actual is not None else "there is none yet",
            help="read it again, and decide again",
        )
    )


def strands(stranded: tuple[wire.StrandedEntity, ...]) -> Declined:
    first = stranded[0]
    how_many = f"{len(stranded):,}" + (" or more" if len(stranded) == NAMED_MAX else "") + " live entities"
    return Declined(
        wire.Problem(
            type="stranded",
            title=f"{how_many} have no place in this version, and nothing was changed"
            if len(stranded) > 1
            else "a live entity has no place in this version, and nothing was changed",
            status=409,
            detail=f"{first.entity} `{first.id}` in {first.state}: {first.reasons[0]}",
            help="let them move on first, keep their place in the blueprint, or say in an `upgrade` what becomes of"
            " them",
            stranded=stranded[:STRANDED_MAX],
        )
    )


def unavailable(text: str) -> Declined:
    return Declined(
        wire.Problem(
            type="unavailable", title="the store cannot take it now", status=503, detail=text, retry_after_ms=1_000
        )
    )


def bad_query(name: str, message: str, findings: tuple[wire.Finding, ...] = ()) -> Declined:
    detail = "; ".join(each.message for each in findings)
    return Declined(
        wire.Problem(
            type="bad-request",
            title=f"`{name}` {message}",
            status=422,
            detail=detail,
            findings=findings,
            errors=(wire.FieldError(path=name, message=detail or message),),
        )
    )


def words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
