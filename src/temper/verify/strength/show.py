"""How much is noticed, as people read it: the questions at their lines, what would answer most of them, the score."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from temper.verify.report import SCENARIOS, Strength, Suggestion, Survivor
from temper.verify.strength.journals import HAPPENED
from temper.verify.strength.mutants import Kind

WIDTH = 100
# From here on a score is well, or at least not poor.
GOOD, FAIR = 0.9, 0.7
# What notices least is left out of the line that says what notices how many.
NOTICING_MAX = 5
# Questions of these kinds that are alike but for one name.
_ALIKE = {
    Kind.FROM.value: re.compile(r"(?P<head>nothing forbids .* from )(?P<name>`\w+`)(?P<tail>: intended\?)"),
    Kind.ROLE.value: re.compile(r"(?P<head>nothing forbids )(?P<name>`\w+`)(?P<tail> to take .*)"),
}
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}


def render_strength(
    strength: Strength, *, sources: Mapping[str, str] | None = None, colour: bool, width: int = WIDTH
) -> str:
    """Return a measurement as text, with the lines of `sources` (texts by file name) that it asks about."""
    show = _Show(strength, sources or {}, colour, width)
    return "\n\n".join("\n".join(block) for block in show.blocks() if block) + "\n"


class _Show:
    def __init__(self, strength: Strength, sources: Mapping[str, str], colour: bool, width: int) -> None:
        self.strength = strength
        self.lines = {name: text.splitlines() for name, text in sources.items()}
        self.colour = colour
        self.width = width

    def paint(self, text: str, *styles: str) -> str:
        if not self.colour or not text:
            return text
        return f"\x1b[{';'.join(_STYLES[each] for each in styles)}m{text}\x1b[0m"

    def blocks(self) -> Iterator[list[str]]:
        strength = self.strength
        if strength.survivors:
            yield [self.paint("no property and no scenario would notice these changes", "bold"), *self._questions()]
        if strength.vacuous:
            yield [self.paint("these properties say nothing", "bold"), *self._empty()]
        answering = [each for each in strength.suggestions if not each.by.startswith(HAPPENED)]
        if answering:
            yield [self.paint("these hold, and would notice more", "bold"), *self._suggested(answering)]
        held = [each for each in strength.suggestions if each.by.startswith(HAPPENED)]
        if held:
            yield [self.paint("these have held in the journal, and say more", "bold"), *self._suggested(held)]
        yield list(self._score())

    # --- questions ----------------------------------------------------------------------------------------------------

    def _questions(self) -> Iterator[str]:
        """Each line that is asked about with its questions, by file."""
        by_line: dict[tuple[str, int], list[Survivor]] = {}
        for each in self.strength.survivors:
            file, line, _ = each.place or ("", 0, 0)
            by_line.setdefault((file, line), []).append(each)
        gutter = max(len(str(line)) for _, line in by_line)
        last = None
        for (file, line), asked in sorted(by_line.items()):
            if file != last:
                yield f"{' ' * gutter}{self.paint('-->', 'blue')} {file}"
                last = file
            number = self.paint(f"{str(line).rjust(gutter)} |", "blue")
            yield f"{number} {self.paint(self._cut(self._line(file, line), gutter + 3), 'dim')}".rstrip()
            for question in _gathered(asked):
                for text in self._wrapped(question, gutter + 5):
                    yield f"{self.paint(' ' * gutter + ' |', 'blue')}   {text}"

    def _line(self, file: str, line: int) -> str:
        lines = self.lines.get(file, [])
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""

    def _cut(self, text: str, indent: int) -> str:
        room = self.width - indent
        return text if len(text) <= room else text[: room - 3] + "..."

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return wrap(
            text, max(self.width - indent, 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )

    # --- properties ---------------------------------------------------------------------------------------------------

    def _empty(self) -> Iterator[str]:
        for each in self.strength.vacuous:
            file, line, column = each.place or ("", 0, 0)
            yield f"  {file}:{line}:{column}" if file else f"  {each.site}"
            yield from (f"    {text}" for text in self._wrapped(f"`{each.name}`: {each.why}", 4))

    def _suggested(self, found: Sequence[Suggestion]) -> Iterator[str]:
        for each in found:
            first, *more = self._wrapped(each.text, 2)
            yield f"  {self.paint(first, 'green')}"
            # A condition runs on where the next line stands deeper.
            yield from (f"      {self.paint(text.strip(), 'green')}" for text in more)
            answers = f"; answers {_count(each.kills, 'question')}" if each.kills else ""
            by = each.by.removeprefix(f"{HAPPENED}, ")
            yield self.paint(f"    in {each.entity}: {each.verdict.value}, by {by}{answers}", "dim")

    # --- the score ----------------------------------------------------------------------------------------------------

    def _score(self) -> Iterator[str]:
        strength = self.strength
        if strength.by:
            named = [
                f"{count} by {'the scenarios' if name == SCENARIOS else f'`{name}`'}"
                for name, count in strength.by.items()
            ]
            rest = sum(list(strength.by.values())[NOTICING_MAX:])
            more = [f"{rest} by others"] if rest else []
            words = ", ".join([*named[:NOTICING_MAX], *more])
            yield from (self.paint(text, "dim") for text in self._wrapped(f"noticed: {words}", 0))
        same = strength.equivalent
        notes = [f"{same} more {'do' if same > 1 else 'does'} the same as the blueprint"] if same else []
        notes += [f"{strength.unjudged} not judged in time"] if strength.unjudged else []
        drawn = strength.counted + strength.equivalent + strength.unjudged
        notes += [f"drawn from {strength.made}"] if drawn < strength.made else []
        if notes:
            yield from (self.paint(text, "dim") for text in self._wrapped(f"{'; '.join(notes)}", 0))
        look = "green" if strength.score >= GOOD else "yellow" if strength.score >= FAIR else "red"
        score = self.paint(f"{strength.score:.0%}", "bold", look)
        changes = _count(strength.counted, "change")
        took = f"{strength.seconds:.1f} s" if strength.seconds else "looked up"
        yield f"{score}: {strength.killed} of {changes} noticed, {took}"


def _gathered(asked: Sequence[Survivor]) -> list[str]:
    """Return the questions about one line, where those that differ in a state or a role alone are one."""
    names: dict[tuple[str, str], list[str]] = {}
    for each in asked:
        alike = _ALIKE[each.kind].fullmatch(each.question) if each.kind in _ALIKE else None
        key = (alike["head"], alike["tail"]) if alike is not None else (each.question, "")
        names.setdefault(key, []).extend([alike["name"]] if alike is not None else [])
    return [f"{head}{_either(found)}{tail}" for (head, tail), found in names.items()]


def _either(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
