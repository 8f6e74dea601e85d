"""`temper verify`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from temper.cli.bundles import read, shown
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, Progress, coloured, columns
from temper.service import LEVELS, Measurements, Remembered, judgement_key

if TYPE_CHECKING:
    from temper.service import Checked


# Where the report is read by no terminal.
WIDTH = 120
# How many more objects there have to be before those are looked for that nothing leads to.
SELDOM = (100_000, 20, 50)


class _Interrupts:
    """Ctrl-C, wherever it comes: what is raised within a callback that ignores it is raised again, at the latest when
    the judgement has ended. (Hypothesis has one such, called when memory is collected.)"""

    def __init__(self) -> None:
        self._pressed = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)
        if kind is None or issubclass(kind, Exception):
            self.look()

    def look(self) -> None:
        """Raise `KeyboardInterrupt` if somebody has pressed Ctrl-C."""
        if self._pressed:
            raise KeyboardInterrupt

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        raise KeyboardInterrupt


def verify(args: argparse.Namespace) -> int:
    """Judge a bundle, and print the report."""
    # What is loaded stays, and this process ends soon: looking for what could go takes a tenth of the time.
    gc.set_threshold(*SELDOM)
    levels = tuple(each.strip() for each in args.levels.split(",")) if args.levels else LEVELS
    for level in levels:
        if level not in LEVELS:
            raise Stop(Exit.USAGE, f"there is no level `{level}`", help=f"there are {', '.join(LEVELS)}")
    files = _texts(args.path)
    before = _texts(args.before) if args.before is not None else {}
    colour = not args.json and coloured(sys.stdout)
    bounds = {
        "levels": levels,
        "states": args.states,
        "seconds": args.seconds,
        "seed": args.seed,
        "seeds": args.seeds,
        "colour": colour,
        # Whoever pipes it gets the same everywhere.
        "width": columns() if sys.stdout.isatty() else WIDTH,
    }
    remembered = Remembered.of_user(os.environ)
    key = judgement_key(files, before=sorted(before.items()), memory=args.memory, **bounds)
    verified = None if args.fresh or args.smtlib is not None else remembered.find(key)
    if verified is None:
        # What is looked up needs none of it.
        from temper.service import team_for

        # The processes that judge get ready while the texts are read.
        with team_for(levels, memory_mib=args.memory) as team:
            from temper.service import Answers, check_texts, questions

            checked = check_texts(files)
            if checked.table is None:
                return _unread(checked, args, colour=colour)
            old = check_texts(before) if before else None
            if old is not None and old.table is None:
                return _unread(old, args, colour=colour)
            if args.smtlib is not None:
                _write_questions(questions(checked.table), Path(args.smtlib))
            # Texts that are no blueprint need no verifier.
            from temper.service import verify_table

            kept = Answers(remembered.units, fresh=args.fresh)
            with _Interrupts() as interrupts, Progress("judging") as progress:

                def tell(text: str) -> None:
                    interrupts.look()
                    progress.tell(text)

                verified = verify_table(
                    checked.table,
                    before=old.table if old is not None else None,
                    team=team,
                    kept=kept,
                    progress=tell,
                    **bounds,
                )
        kept.tidy()
        if not verified.undecided:
            remembered.keep(key, verified)
    strength = Measurements(remembered.strengths).data(files)
    if args.json:
        print(json.dumps({**verified.report, "strength": strength}, indent=2, ensure_ascii=False))
    else:
        print(verified.text.rstrip())
        for line in _strength_lines(strength, args.path, Paint(colour=colour)):
            print(line)
    if verified.undecided:
        return Exit.UNKNOWN
    return Exit.FINE if verified.passed else Exit.BROKEN


def _strength_lines(strength: Mapping[str, Any] | None, path: str, paint: Paint) -> Iterator[str]:
    """How much the properties notice, where that was measured; people are told how they get to know it."""
    if strength is not None:
        counted = f"{strength['killed']} of {strength['counted']} small changes noticed"
        yield f"{paint('strength', 'bold')}  {strength['score']:.0%}: {counted}, as last measured"
    elif sys.stdout.isatty():
        yield paint(f"`temper strength {path}` says what nothing here would notice", "dim")


def _texts(path: str) -> dict[str, str]:
    return {shown(Path(path), name): text for name, text in read(Path(path)).items()}


def _unread(checked: Checked, args: argparse.Namespace, *, colour: bool) -> int:
    from temper.service import finding, wire

    findings = [finding(each, checked.sources, colour=colour) for each in checked.problems]
    if args.json:
        report: dict[str, Any] = {"digest": None, "passed": False, "levels": [], "properties": [], "scenarios": []}
        print(json.dumps({**report, "findings": [wire.as_json(each) for each in findings]}, indent=2))
    else:
        print("\n".join(each.rendered for each in findings))
        print(f"it does not compile, so that nothing was judged; `temper explain {findings[0].code}` says more")
    return Exit.BROKEN


def _write_questions(texts: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
