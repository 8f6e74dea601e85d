"""The command line: arguments to verbs.

In:    arguments as the shell gives them.
Out:   an exit code, and what was printed.
Never: rules of a domain; they are the table's.
"""

from __future__ import annotations

import argparse

from temper import __version__

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command that `argv` names and return its exit code."""
    parser = argparse.ArgumentParser(prog="temper")
    parser.add_argument("--version", action="version", version=f"temper {__version__}")
    parser.parse_args(argv)
    return 0
