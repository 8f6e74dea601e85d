"""A report as people read it: a screen for a page of blueprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from temper.table import Table
from temper.text import render
from temper.verify.explain import Names, named
from temper.verify.places import place_of, sources_of
from temper.verify.report import Level, PropertyResult, Report, TraceStep, Verdict

_RESET = "\x1b[0m"
_STYLES = {
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "red": "\x1b[1;31m",
    "green": "\x1b[32m",
    "yellow": "\x1b[33m",
    "cyan": "\x1b[36m",
}
_COLOURS = {
    Verdict.PROVED: "green",
    Verdict.HOLDS: "green",
    Verdict.TESTED: "green",
    Verdict.BROKEN: "red",
    Verdict.UNKNOWN: "yellow",
    Verdict.NOT_CHECKED: "yellow",
}
# Wide enough for the longest verdict.
_VERDICT_WIDTH = max(len(verdict.value) for verdict in Verdict)
# A property's name has so much room, if it needs it.
_NAME_MIN = 24
_NAME_MAX = 60
_WIDTH = 120
_WIDTHS = (80, 140)
# With less room beside it a reason stands on lines of its own.
_REASON_MIN = 36
# A story longer than this is told by its beginning and its end; the data has it all.
_STEPS_MAX = 14

# Findings that stand beside a property as its story.
_TOLD = frozenset({"B501", "B502", "B503", "B504", "B505", "B506", "B507"})


def render_report(report: Report, table: Table, *, colour: bool, width: int = _WIDTH) -> str:
    """Return a report as text: findings, broken runs as stories, a line for each property, and what each level did.

    Nothing is cut but what stands elsewhere: what has no room in `width` columns goes on in the next line.
    """
    low, high = _WIDTHS
    return _Drawing(report, table, colour, max(low, min(high, width))).text()


class _Drawing:
    def __init__(self, report: Report, table: Table, colour: bool, width: int) -> None:
        self.width = width
        self.report = report
        self.table = table
        self.colour = colour
        shown = [len(each.name) for each in report.properties if not self._told_together(each)]
        self.name_width = max(_NAME_MIN, min(_NAME_MAX, width // 2, max(shown, default=0)))

    def text(self) -> str:
        blocks = [self._findings(), *self._stories(), self._properties(), self._levels(), self._verdict()]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def paint(self, style: str, text: str) -> str:
        return f"{_STYLES[style]}{text}{_RESET}" if self.colour and text else text

    def _findings(self) -> str:
        told = {(each.site, each.name) for each in self.report.properties if each.verdict is Verdict.BROKEN}
        sources = sources_of(self.table)
        shown = [
            render(each, sources, colour=self.colour).rstrip("\n")
            for each in self.report.findings
            if not (each.code.name in _TOLD and told)
        ]
        return "\n\n".join(shown)

    # --- stories ------------------------------------------------------------------------------------------------------

    def _stories(self) -> Iterator[str]:
        for each in self.report.properties:
            if each.trace and each.verdict is Verdict.BROKEN:
                yield story(each, self.table, paint=self.paint, width=self.width)

    # --- properties ---------------------------------------------------------------------------------------------------

    def _properties(self) -> str:
        results = self.report.properties
        written = {each.site for each in self.table.properties}
        entities = [name for name in self.table.entities if any(each.entity == name for each in results)]
        lines: list[str] = []
        for entity in [*entities, None]:
            mine = [each for each in results if each.entity == entity]
            if not mine:
                continue
            if lines:
                lines.append("")
            lines.append(self.paint("bold", entity or "the whole"))
            own = [each for each in mine if each.site in written or not self._always_asked(each)]
            unwritten = [each for each in mine if each not in own]
            for each in (*own, *(each for each in unwritten if not self._told_together(each))):
                lines.extend(self._line(each))
                lines.extend(self._certificate(each))
            for verdict in (Verdict.PROVED, Verdict.HOLDS):
                lines.extend(self._together(verdict, [each for each in unwritten if each.verdict is verdict]))
        return "\n".join(lines)

    @classmethod
    def _told_together(cls, each: PropertyResult) -> bool:
        """Say whether a result is one of many: an unwritten question with nothing to say about it."""
        return cls._always_asked(each) and each.verdict in {Verdict.PROVED, Verdict.HOLDS}

    @staticmethod
    def _always_asked(each: PropertyResult) -> bool:
        return each.name in _ALWAYS_ASKED

    def _line(self, each: PropertyResult) -> Iterator[str]:
        word = self.paint(_COLOURS[each.verdict], each.verdict.value.ljust(_VERDICT_WIDTH))
        width = self.name_width
        name = each.name if len(each.name) <= width else each.name[: width - 3] + "..."
        by = f"by {each.by}" if each.by else ""
        why = each.why if each.verdict is not Verdict.BROKEN else self._where(each)
        if each.certificate:
            why = why.partition("with: ")[0].rstrip(", ")  # What it rests on has lines of its own.
        reason = "; ".join(part for part in (by, why) if part)
        room = self.width - _VERDICT_WIDTH - width - 6
        if len(reason) <= room or room >= _REASON_MIN:
            first, *more = _folded(reason, room)
            yield f"  {word}  {name.ljust(width)}  {self.paint('dim', first)}".rstrip()
            indent = _VERDICT_WIDTH + width + 6
        else:
            yield f"  {word}  {name}".rstrip()
            indent = _VERDICT_WIDTH + 6
            more = _folded(reason, self.width - indent)
        for line in more:
            yield f"{' ' * indent}{self.paint('dim', line)}"

    def _certificate(self, each: PropertyResult) -> Iterator[str]:
        """What a proof rests on, beside the property itself."""
        if each.certificate:
            indent = " " * (_VERDICT_WIDTH + 6)
            for line in self._wrapped(f"{indent}with: ", len(indent) + 6, ", ".join(each.certificate)):
                yield self.paint("dim", line)

    def _where(self, each: PropertyResult) -> str:
        place = place_of(self.table, each.site)
        return f"{place[0]}:{place[1]}" if place is not None else each.why

    def _together(self, verdict: Verdict, results: Sequence[PropertyResult]) -> Iterator[str]:
        """Unwritten questions with one verdict, on as few lines as they need."""
        if not results:
            return
        word = verdict.value.ljust(_VERDICT_WIDTH)
        line = ""
        for each in results:
            more = f"{line}, {each.name}" if line else each.name
            if len(more) > self.width - _VERDICT_WIDTH - 5:
                yield f"  {self.paint(_COLOURS[verdict], word)}  {self.paint('dim', line + ',')}"
                word, more = " " * _VERDICT_WIDTH, each.name
            line = more
        yield f"  {self.paint(_COLOURS[verdict], word)}  {self.paint('dim', line)}"

    # --- levels -------------------------------------------------------------------------------------------------------

    def _levels(self) -> str:
        return "\n".join(line for level in self.report.levels for line in self._level(level))

    def _level(self, level: Level) -> Iterator[str]:
        head = f"{level.name.ljust(10)} {_seconds(level.seconds).rjust(7)}  "
        known = [f"{level.looked_up} of {level.units} looked up"] if level.looked_up else []
        for part in (*level.covered, *known):
            yield from self._wrapped(self.paint("bold", head[:10]) + head[10:], len(head), part)
            head = " " * len(head)
        if level.not_covered:
            label = "not covered: "
            yield from self._wrapped(
                " " * len(head) + self.paint("yellow", label), len(head) + len(label), "; ".join(level.not_covered)
            )

    def _wrapped(self, head: str, indent: int, text: str) -> Iterator[str]:
        first, *more = _folded(text, self.width - indent)
        yield head + first
        yield from (" " * indent + line for line in more)

    def _verdict(self) -> str:
        report = self.report
        counts = [
            f"{count} {verdict.value}"
            for verdict in Verdict
            if (count := sum(each.verdict is verdict for each in report.properties))
        ]
        if report.scenarios:
            passed = sum(each.passed for each in report.scenarios)
            counts.append(f"{passed} of {len(report.scenarios)} scenarios")
        word = self.paint("green", "passed") if report.passed else self.paint("red", "not passed")
        return f"{self.paint('bold', report.blueprint)} {report.digest[:12]}  {word}: {', '.join(counts)}"


_ALWAYS_ASKED = frozenset(
    {
        "every guard can hold",
        "every state can be reached",
        "every case can be taken",
        "no assignment leaves its type",
        "nothing divides by zero",
        "no field is set twice in one step",
        "every state has a way out",
        "every state can reach a final one",
        "every outcome has a home",
    }
)


def _folded(text: str, room: int) -> list[str]:
    """Return a text as lines of words that have so much room."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _plain(style: str, text: str) -> str:
    return text


def story(
    result: PropertyResult, table: Table, *, paint: Callable[[str, str], str] = _plain, width: int | None = None
) -> str:
    """Return a run as a story: its steps with their lines and what they changed, then what it comes to.

    With a `width`, what has no room in a line goes on in the next.
    """
    place = place_of(table, result.site)
    where = f"{place[0]}:{place[1]}" if place is not None else ""
    head = f"{result.verdict.value}  {result.name}"
    lines = [
        paint("red" if result.verdict is Verdict.BROKEN else "bold", head)
        + f"  {where}".rjust(max(2, min(86, width or 86) - len(head))),
        f"  {_length(result)}",
    ]
    told = list(_numbered(result.trace))
    names = {(step.entity, step.id): step.name for step in result.trace if step.name}
    count = len(told)
    steps = told
    if count > _STEPS_MAX:
        half = _STEPS_MAX // 2
        steps = [*told[:half], *told[-half:]]
    said = [text for _, text, _ in steps]
    text_width = min(78, max((len(text) for text in said), default=0))
    after_width = max((len(step.after) for _, _, step in steps), default=0)
    gutter = max(len(number) for number, _, _ in told) if told else 1
    for row_number, (number, text, step) in enumerate(steps):
        if count > _STEPS_MAX and row_number == _STEPS_MAX // 2:
            lines.append(paint("dim", f"  {'.' * gutter}  {count - len(steps)} steps more"))
        tail = "   ".join(_tail(step, table, names))
        row = f"  {number.rjust(gutter)}  {text.ljust(text_width)}  -> {step.after.ljust(after_width)}"
        if width is None or len(row) + 2 + len(tail) <= width:
            lines.append(f"{row}  {paint('dim', tail)}".rstrip())
            continue
        lines.append(row.rstrip())
        lines += [" " * (gutter + 6) + paint("dim", line) for line in _folded(tail.strip(), width - gutter - 6)]
    if result.why:
        lines += [f"  {line}" for line in (_folded(result.why, width - 2) if width else [result.why])]
    if result.help is not None:
        first, *more = _folded(result.help, width - 8) if width else [result.help]
        lines += ["  " + paint("cyan", "help:") + f" {first}", *(f"        {line}" for line in more)]
    return "\n".join(lines)


# What looks at the nearest states first.
_SHORTEST = frozenset({"search", "table"})


def _length(result: PropertyResult) -> str:
    """Return how long a run is: what happens in one commit is one step."""
    count = sum(not step.part for step in result.trace)
    steps = f"{count} step{'' if count == 1 else 's'}"
    return f"the shortest run, {steps}" if result.by in _SHORTEST else f"a run of {steps}"


def _numbered(trace: Sequence[TraceStep]) -> Iterator[tuple[str, str, TraceStep]]:
    """The steps with their numbers; a part of one has none, and stands further to the right."""
    number = 0
    for step in trace:
        number += not step.part
        yield ("", f"  {step.text}", step) if step.part else (str(number), step.text, step)


def _tail(step: TraceStep, table: Table, names: Names) -> Iterator[str]:
    kind = table.entities.get(step.entity)
    types = {each.name: each.type for each in kind.fields} if kind is not None else {}

    def short(name: str, value: object) -> str:
        return named(types[name], _short(value), names) if name in types else _short(value)

    if step.place is not None:
        yield f"line {step.place[1]}".ljust(8)
    changes = [f"{name} {short(name, was)} -> {short(name, now)}" for name, (was, now) in step.changed.items()]
    if changes:
        yield ", ".join(changes)
    for call in step.event.get("calls", ()):
        yield f"calls {call}"
    if "refused" in step.event:
        yield "refused"


def _short(value: object) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 24 else text[:21] + "..."


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
