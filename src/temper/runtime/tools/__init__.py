"""Tools of the outside, and the adapters that carry out their calls.

In:    `temper.toml`'s `[tools]` and `[adapters]`, the environment's secrets; a `Call`.
Out:   an `Adapter` for each tool, or `Problem`s; for each call an `Attempt`: `Answered`, `Failed` or `Unknown`.
Never: raises for a call, tries a call twice, or shows a secret. Whether to try again is the outbox's to decide.
"""

from temper.runtime.tools.adapter import Adapter, Answered, Attempt, Call, Failed, Kind, Unknown
from temper.runtime.tools.pace import Gate, Pace, Paced
from temper.runtime.tools.path import extract, parse_path
from temper.runtime.tools.reading import Declared, Problem
from temper.runtime.tools.reading import Table as Settings
from temper.runtime.tools.settings import ADAPTERS, load_tools

__all__ = [
    "ADAPTERS",
    "Adapter",
    "Answered",
    "Attempt",
    "Call",
    "Declared",
    "Failed",
    "Gate",
    "Kind",
    "Pace",
    "Paced",
    "Problem",
    "Settings",
    "Unknown",
    "extract",
    "load_tools",
    "parse_path",
]
