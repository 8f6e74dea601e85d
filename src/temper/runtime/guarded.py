"""What the server knows, kept from the programs that it starts and from what is written when it dies."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def guard_memory() -> None:
    """Let no other process of the same user read this one's memory and environment, and have no core of it written.

    A tool's program gets a clean environment, and would else find the server's own in `/proc`. Where the system is not
    Linux, cores alone are kept from being written.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        # The limit does not hold where cores are piped to a program, as most distributions have it; this does.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
