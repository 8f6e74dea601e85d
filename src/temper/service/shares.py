"""In whose name it is counted what waits for an answer, and what is granted."""

from __future__ import annotations

from temper.service.credentials import OF_SESSION


def share_of(principal: str, behind: str, session: str | None) -> str:
    """Return in whose name something of somebody is counted, given the person behind them and the session.

    An agent's credential, and all sessions that it leads to, have one share for each person behind; whoever acts for
    themselves has one of their own beside that of their sessions. Else whoever starts sessions without end would have
    as many requests wait, and as much granted.
    """
    if session is None and behind == principal:
        return principal
    # No principal but those of sessions has the sign: the share is nobody's own.
    return f"{root_of(principal)}{OF_SESSION}{behind}"


def share_text(principal: str, behind: str, session: str | None) -> str:
    """Return whose that is, for people."""
    if session is None and behind == principal:
        return f"`{principal}`"
    root = root_of(principal)
    return f"the sessions of `{root}`" if root == behind else f"`{root}` for `{behind}`, its sessions counted with it,"


def starts(principal: str, other: str) -> bool:
    """Say whether the other is a session that the principal has started, itself or by another session."""
    return other.startswith(f"{principal}{OF_SESSION}")


def root_of(principal: str) -> str:
    """Return the principal with whose token a session began, by however many others; of no session, itself."""
    return principal.partition(OF_SESSION)[0]
