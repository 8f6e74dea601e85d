"""`temper verify`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temper.cli.exits import Exit, Stop
from temper.cli.language import read, shown
from temper.cli.paint import Progress, coloured
from temper.service import LEVELS, Remembered, check_texts, finding, judgement_key, questions, verify_table, wire


def verify(args: argparse.Namespace) -> int:
    """Judge a bundle, and print the report."""
    levels = tuple(each.strip() for each in args.levels.split(",")) if args.levels else LEVELS
    for level in levels:
        if level not in LEVELS:
            raise Stop(Exit.USAGE, f"there is no level `{level}`", help=f"there are {', '.join(LEVELS)}")
    path = Path(args.path)
    checked = check_texts({shown(path, name): text for name, text in read(path).items()})
    colour = not args.json and coloured(sys.stdout)
    if checked.table is None:
        findings = [finding(each, checked.sources, colour=colour) for each in checked.problems]
        if args.json:
            report: dict[str, Any] = {"digest": None, "passed": False, "levels": [], "properties": [], "scenarios": []}
            print(json.dumps({**report, "findings": [wire.as_json(each) for each in findings]}, indent=2))
        else:
            print("\n".join(each.rendered for each in findings))
            print(f"it does not compile, so that nothing was judged; `temper explain {findings[0].code}` says more")
        return Exit.BROKEN
    if args.smtlib is not None:
        _write_questions(questions(checked.table), Path(args.smtlib))
    bounds = {
        "levels": levels,
        "states": args.states,
        "seconds": args.seconds,
        "seed": args.seed,
        "seeds": args.seeds,
        "colour": colour,
    }
    remembered = Remembered.of_user(os.environ)
    key = judgement_key(checked.table, **bounds)
    verified = None if args.fresh else remembered.find(key)
    if verified is None:
        with Progress("judging") as progress:
            verified = verify_table(checked.table, progress=progress.tell, **bounds)
        if not verified.undecided:
            remembered.keep(key, verified)
    print(json.dumps(verified.report, indent=2, ensure_ascii=False) if args.json else verified.text.rstrip())
    if verified.undecided:
        return Exit.UNKNOWN
    return Exit.FINE if verified.passed else Exit.BROKEN


def _write_questions(texts: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
