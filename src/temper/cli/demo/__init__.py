"""`temper demo`: a rollout, a halt, a hot reload while it hangs there, the way back.

In:    whether to leave out the pauses, and whether a program is to read what comes of it.
Out:   the story on the terminal, or with `--json` one object that holds `final_state`.
Never: a part that is played: the verifier, the server, the adapter and the tokens are those that everybody gets.
       Only the cluster is a twin.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from temper.cli.demo.screen import Screen
from temper.cli.demo.story import tell
from temper.cli.exits import Exit, Stop

HAPPY_END = "RolledBack"


def demo(args: argparse.Namespace) -> int:
    """Tell the story; succeed only if it ended well."""
    try:
        version("lightkube")
    except PackageNotFoundError:
        raise Stop(
            Exit.USAGE,
            "the demo reaches its cluster through the Kubernetes client, which is not installed",
            help="install `temper-blueprint[kubernetes]`",
        ) from None
    began = time.monotonic()
    with _ended_in_order():
        found = tell(Screen(fast=args.fast, silent=args.json))
    if args.json:
        answer: dict[str, Any] = {**found, "seconds": round(time.monotonic() - began, 1)}
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    return Exit.FINE if found["final_state"] == HAPPY_END else Exit.BROKEN


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let a signal unwind the block, so that what was started is ended, instead of cutting it off."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _unwind) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)
