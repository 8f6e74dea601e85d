"""the problems of HTTP itself. Those of the domain come from the workshop as they are.

`KINDS` is also what `/problems/{type}`, OpenAPI and the reference page show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NoReturn

from temper.service import Declined, wire

# Each kind of problem, and its meaning in a sentence.
KINDS: Final[dict[str, str]] = {
    "bad-request": "The request can't be read as what it should be: `errors` names each member that is wrong.",
    "unauthenticated": "No valid bearer token came with the request.",
    "denied": "The token is valid, but who bears it may not do this.",
    "needs-approval": "It was refused, and somebody may approve it: `decision` is where it waits for that, and how it "
    "stands. Nothing was done.",
    "too-many": "More is open, waits for somebody, or is granted, than the server keeps for one principal. Nothing was "
    "done.",
    "too-fast": "Who calls asks more often than the settings let a principal. Nothing was done; try again after "
    "`Retry-After`.",
    "paused": "Who calls, a role of theirs, or the blueprint is paused: `detail` says by whom and why.",
    "out-of-scope": "The credential is valid, but made for a part of what there is: this is not in it.",
    "not-found": "Nothing is at this path.",
    "refused": "The blueprint refuses the action as things are: `detail` is its text, `clause` the clause that "
    "refused, `next` the actions that are possible now.",
    "conflict": "The request contradicts something that is there already, such as another use of the same key.",
    "stale": "The entity or the blueprint has changed: it has no longer the version that `If-Match` names.",
    "stranded": "Live entities have no place in the pushed blueprint: `stranded` names them.",
    "broken-blueprint": "The blueprint has errors: `findings` holds its diagnostics.",
    "unverified": "The blueprint did not pass the verifier.",
    "too-large": "The request or one of its parts is larger than the server takes.",
    "busy": "The server has as much to do as it takes on. Nothing was done; try again after `Retry-After`.",
    "contended": "Other servers of the cluster kept changing what the action reads. Nothing was done; try again after "
    "`Retry-After`.",
    "unavailable": "The server, or something that it rests on, is not to be had now. Try again after `Retry-After`.",
    "method-not-allowed": "Something is at this path, but not this method: `Allow` names those that are.",
    "unsupported-media-type": "The body is of a type that is not read here.",
    "request-timeout": "The request did not arrive whole in time.",
    "bug": "The server failed in a way that is its own fault. `instance` finds the failure in its log.",
}

_BYTE = re.compile(r"(?P<what>.*?) \(byte (?P<byte>\d+)\)")
_POINTER = re.compile(r"(?P<what>.*?) - at `(?P<path>[^`]*)`", re.DOTALL)


def decline(
    type: str,
    status: int,
    title: str,
    *,
    detail: str = "",
    help: str = "",
    errors: Iterable[tuple[str, str]] = (),
    retry_after_ms: int | None = None,
) -> NoReturn:
    """Raise the problem. `errors` are (place, message)."""
    raise Declined(
        wire.Problem(
            type=type,
            title=title,
            status=status,
            detail=detail,
            help=help,
            errors=tuple(wire.FieldError(path=place, message=message) for place, message in errors),
            retry_after_ms=retry_after_ms,
        )
    )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    by_fold = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[near[0]] if near else None


def malformed(body: bytes, why: str) -> NoReturn:
    """Raise for a body that is not JSON; `why` is what the decoder says, with its byte."""
    found = _BYTE.fullmatch(why)
    what, at = (found["what"], int(found["byte"])) if found else (why, len(body))
    before = body[:at].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    what = what.removeprefix("JSON is malformed: ")
    what = what[:1].lower() + what[1:]
    decline(
        "bad-request",
        400,
        "the body is not JSON",
        detail=f"{what} at line {line}, column {column}",
        errors=[("", f"line {line}, column {column}: {what}")],
    )


def misshapen(why: str) -> NoReturn:
    """Raise for JSON of another shape; `why` is what the decoder says, with its path."""
    found = _POINTER.fullmatch(why)
    what, place = (found["what"], found["path"]) if found else (why, "$")
    pointer = place.removeprefix("$").replace("[...]", "/*").replace(".", "/").replace("[", "/").replace("]", "")
    what = what[:1].lower() + what[1:]
    decline("bad-request", 422, "the body is not of the right shape", detail=what, errors=[(pointer, what)])
