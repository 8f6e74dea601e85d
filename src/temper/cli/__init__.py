"""The command line: arguments to verbs, and the one place that wires real ports.

In:    arguments as the shell gives them.
Out:   an exit code, and what was printed: compact text, or with `--json` the same data with stable keys.
Never: rules of a domain; they are the table's.
"""

from __future__ import annotations

from temper.cli.main import main

__all__ = ["main"]
