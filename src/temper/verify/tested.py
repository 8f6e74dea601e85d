"""What runs that were drawn come to for each property: *tested* where nothing else decided, *broken* where one shows
it.

What a bound or the solver left *unknown* stays so: that no run among so many broke it is no more than a remark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from temper.table import Table, Why, shape
from temper.text import Code
from temper.verify.mends import mend
from temper.verify.report import PropertyResult, TraceStep, Verdict

# What is asked of the runtime, whatever the blueprint.
PROMISES = "the runtime keeps its promises"
RESTS = "everything comes to rest"
_FAULTS = {
    "out of type": (Code.B502, "no assignment leaves its type"),
    "division by zero": (Code.B503, "nothing divides by zero"),
    "twice in one commit": (Code.B504, "no field is set twice in one step"),
}
_KINDS = {Code.B502: Why.OUT_OF_TYPE, Code.B503: Why.DIVISION}


class Wrong(Struct, frozen=True):
    """What a run shows. `kind` is "property" (`site` is the property's), "fault" (a blueprint's own, at `site`),
    "runtime" (a promise of the runtime is broken) or "rest" (it does not come to rest)."""

    kind: str
    what: str
    text: str
    site: str | None = None


class Shown(Struct, frozen=True):
    """A run that shows something wrong, told. `seed` gives it again."""

    wrong: Wrong
    story: tuple[TraceStep, ...]
    seed: int


def judged(
    table: Table, results: Sequence[PropertyResult], shown: Sequence[Shown], by: str, how_much: str
) -> tuple[list[PropertyResult], list[tuple[Code, PropertyResult]]]:
    """Return the results with what the runs of one level add, and those newly broken, with the code of each."""
    after: list[PropertyResult] = []
    broken: list[tuple[Code, PropertyResult]] = []
    left = [each for each in shown if each.wrong.kind in {"property", "fault"}]
    for result in results:
        mine = next((each for each in left if _speaks_of(each.wrong, result)), None)
        if mine is not None:
            left.remove(mine)
            if result.verdict is not Verdict.BROKEN:
                code, result = _broken(table, result, mine, by)
                broken.append((code, result))
        elif result.verdict is Verdict.NOT_CHECKED and _asked(table, result):
            result = replace(result, verdict=Verdict.TESTED, by=by, why=f"no counterexample in {how_much}")
        after.append(result)
    for each in left:
        code, result = _broken(table, _of_nobody(table, each.wrong), each, by)
        after.append(result)
        broken.append((code, result))
    return after, broken


def promises(shown: Sequence[Shown], by: str, how_much: str) -> Iterator[PropertyResult]:
    """Return what is known of the runtime after these runs."""
    for kind, name in (("runtime", PROMISES), ("rest", RESTS)):
        mine = next((each for each in shown if each.wrong.kind == kind), None)
        if mine is None:
            yield PropertyResult(name, None, Verdict.TESTED, by, how_much)
        else:
            why = f"{mine.wrong.text} (seed {mine.seed})"
            yield PropertyResult(name, None, Verdict.BROKEN, by, why, trace=mine.story)


def unkept(kept: Iterable[PropertyResult], by: str, why: str) -> Iterator[PropertyResult]:
    """Return what is known of the runtime where some of the runs were lost: what the others broke, and no more."""
    for each in kept:
        yield each if each.verdict is Verdict.BROKEN else replace(each, verdict=Verdict.UNKNOWN, by=by, why=why)


def _speaks_of(wrong: Wrong, result: PropertyResult) -> bool:
    if wrong.kind == "property":
        return result.site == wrong.site
    return result.name == _fault(wrong)[1] and result.entity == _owner(wrong)


def _fault(wrong: Wrong) -> tuple[Code, str]:
    return next((found for why, found in _FAULTS.items() if wrong.what.startswith(why)), _FAULTS["out of type"])


def _owner(wrong: Wrong) -> str:
    return (wrong.site or "").partition(".")[0].partition("/")[0]


def _of_nobody(table: Table, wrong: Wrong) -> PropertyResult:
    """Return a result for what nobody has asked yet."""
    if wrong.kind == "property":
        each = next(each for each in table.properties if each.site == wrong.site)
        return PropertyResult(each.name, each.entity, Verdict.NOT_CHECKED, "", site=each.site)
    return PropertyResult(_fault(wrong)[1], _owner(wrong), Verdict.NOT_CHECKED, "")


def _broken(table: Table, result: PropertyResult, shown: Shown, by: str) -> tuple[Code, PropertyResult]:
    wrong = shown.wrong
    told = replace(
        result, verdict=Verdict.BROKEN, by=by, why=wrong.text, trace=shown.story, site=result.site or wrong.site
    )
    if wrong.kind == "property":
        return Code.B501, told
    code = _fault(wrong)[0]
    return code, replace(told, help=mend(table, _KINDS[code], wrong.site or "", wrong.text) if code in _KINDS else None)


def _asked(table: Table, result: PropertyResult) -> bool:
    """Say whether the runs ask a result's property of every state or step."""
    each = next((each for each in table.properties if each.site == result.site), None)
    match each:
        case shape.Always():
            # One that compares steps of several entities is asked of none.
            return each.entity is not None or not each.step
        case shape.Never() | shape.Needs():
            return True
        case _:
            return False
