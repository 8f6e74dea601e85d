"""The word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word nearest to `word`, or `None` when nothing is near. Case is not held against it."""
    # Most texts have nothing wrong with them.
    from difflib import get_close_matches

    by_fold: dict[str, str] = {}
    for name in sorted(known):
        by_fold.setdefault(name.casefold(), name)
    near = get_close_matches(word.casefold(), list(by_fold), n=1, cutoff=0.6)
    return by_fold[near[0]] if near else None
