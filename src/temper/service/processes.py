"""A process of our own that is asked one thing: how it is started, bounded and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final


class Unanswered(Exception):
    """It gave no answer; the text says why."""


# What an interpreter needs to start as this one did. Of the rest, secrets among it, what is asked needs nothing.
_KEPT: Final = frozenset(
    {"HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV", "DYLD_LIBRARY_PATH"}
)


async def ask(module: str, question: bytes, *, seconds: float) -> bytes:
    """Return what `python -m MODULE` writes when it is given `question`. Raises `Unanswered`.

    It does not outlive the asking, whatever becomes of that.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(seconds):
            answer, complaint = await process.communicate(question)
    except TimeoutError as late:
        raise Unanswered(f"was stopped after {seconds:.0f} s") from late
    except (OSError, RuntimeError) as closed:
        # It had ended before it was asked; uvloop says so in its own way.
        raise Unanswered(f"ended with {await process.wait()}: before it was asked") from closed
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = complaint.decode(errors="replace").strip().splitlines()
        raise Unanswered(f"ended with {process.returncode}: {last[-1] if last else 'no word'}")
    return answer


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("PYTHON")}
