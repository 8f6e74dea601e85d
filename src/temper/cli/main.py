"""From arguments to a command, and from its end to an exit code.

What starts often imports little: each command's module is imported when it is the one that was asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from temper import __version__
from temper.cli.arguments import build
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured, columns

Command = Callable[[argparse.Namespace], int]
INTERRUPTED = 130
DEFECT = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names, print what it has to say, and return its exit code (see `Exit`)."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words in (["--version"], ["-V"]):
        print(f"temper {__version__}")
        return Exit.FINE
    parser = build(_Parser, words[0] if words and not words[0].startswith("-") else "")
    try:
        args = parser.parse_args(words)
    except _Misused as misused:
        return _end(Stop(Exit.USAGE, misused.text, help=misused.help), as_json="--json" in words)
    except SystemExit as asked_for_help:
        return int(asked_for_help.code or 0)
    if args.command is None:
        parser.print_help()
        return Exit.FINE
    module, _, function = args.run.partition(":")
    try:
        command: Command = getattr(import_module(f"temper.cli.{module}"), function)
        return command(args)
    except Stop as stop:
        return _end(stop, as_json=getattr(args, "json", False))
    except BrokenPipeError:
        # Whoever read our output has closed it (`| head`): that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FINE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - whatever it is, a script must not take it for a broken blueprint
        import traceback

        traceback.print_exc()
        print(f"temper {__version__} has a defect; please report what stands above", file=sys.stderr)
        return DEFECT


def _end(stop: Stop, *, as_json: bool) -> int:
    if as_json:
        data = (
            stop.data if stop.data is not None else {"error": stop.text, **({"help": stop.help} if stop.help else {})}
        )
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        paint = Paint(colour=coloured(sys.stderr))
        if stop.text:
            print(f"{paint('error', 'red', 'bold')}: {stop.text}", file=sys.stderr)
        if stop.help:
            print(f"  {paint('help', 'cyan')}: {stop.help}", file=sys.stderr)
    return stop.code


class _Misused(Exception):
    def __init__(self, text: str, help: str) -> None:
        super().__init__(text)
        self.text = text
        self.help = help


class _Pages(argparse.HelpFormatter):
    """Help as wide as the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns() - 2)


class _Parser(argparse.ArgumentParser):
    """A parser that takes options and words in any order, and whose complaints are told like every other."""

    _reading = False

    def __init__(self, **named: Any) -> None:
        super().__init__(**{"formatter_class": _Pages, **named})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, with options between the words too: `act helix/Rollout/r1 Start --key k reason=none`."""
        if self._reading or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._reading = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._reading = False

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        from temper.text import suggest

        known = [str(each) for each in action.choices]
        near = suggest(str(value), known)
        if action.dest == "command":
            text, listed = f"there is no command `{value}`", f"`{self.prog} --help` lists them"
        else:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            text = f"`{value}` is none of what `{name}` takes"
            listed = f"it takes {', '.join(f'`{each}`' for each in known)}"
        raise _Misused(text, f"did you mean `{near}`? {listed}" if near else listed)

    def error(self, message: str) -> NoReturn:
        """Stop with exit code 2."""
        raise _Misused(message, f"`{self.prog} --help` shows what it takes")
