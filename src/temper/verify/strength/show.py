"""How much is noticed, as people read it: the score, the questions by place, and what would answer most of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from temper.verify.report import Strength

_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def render_strength(strength: Strength, *, colour: bool) -> str:
    """Return a measurement as text."""

    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if colour and text else text

    return "\n\n".join("\n".join(block) for block in _blocks(strength, paint) if block) + "\n"


def _blocks(strength: Strength, paint: Callable[[str, str], str]) -> Iterator[list[str]]:
    if strength.survivors:
        places = [_place(each.place) for each in strength.survivors]
        width = max(map(len, places))
        yield [
            paint(_BOLD, "no property and no scenario would notice these changes"),
            *(
                f"  {paint(_DIM, place.ljust(width))}  {each.question}"
                for place, each in zip(places, strength.survivors, strict=True)
            ),
        ]
    if strength.vacuous:
        yield [
            paint(_BOLD, "these properties say nothing"),
            *(f"  {paint(_DIM, _place(each.place))}  `{each.name}`: {each.why}" for each in strength.vacuous),
        ]
    if strength.suggestions:
        lines = [paint(_BOLD, "these hold, and would notice more")]
        for each in strength.suggestions:
            answers = f"; answers {_count(each.kills, 'question')}" if each.kills else ""
            lines.append(f"  {each.text}")
            lines.append(paint(_DIM, f"    in {each.entity}: {each.verdict.value}, by {each.by}{answers}"))
        yield lines
    notes = [f"{strength.equivalent} others do the same as the blueprint"] if strength.equivalent else []
    notes += [f"{strength.unjudged} not judged in time"] if strength.unjudged else []
    drawn = strength.counted + strength.equivalent + strength.unjudged
    notes += [f"drawn from {strength.made}"] if drawn < strength.made else []
    told = f" ({'; '.join(notes)})" if notes else ""
    score = paint(_BOLD, f"{strength.score:.0%}")
    changes = _count(strength.counted, "change")
    yield [f"{score}: {strength.killed} of {changes} noticed{told}, {strength.seconds:.1f} s"]


def _place(place: tuple[str, int, int] | None) -> str:
    return "" if place is None else f"{place[0]}:{place[1]}:{place[2]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
