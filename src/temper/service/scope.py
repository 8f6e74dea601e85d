"""How far a credential reaches: to which blueprints, kinds and entities, and whether it may change them.

A scope is a set of paths: `helix`, `helix/Rollout` or `helix/Rollout/r1`. What is outside of it does not exist for who
reads, and is refused to who writes before anything is looked at. It bounds what may be asked for; what an action then
takes along, creates or sends is the blueprint's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from temper.service import wire
from temper.service.declined import Declined, words

PATH = re.compile(r"[a-z][a-z0-9_]{0,63}(/[A-Z][A-Za-z0-9]{0,63}(/[A-Za-z0-9][A-Za-z0-9._~-]{0,63})?)?")
PATHS_MAX = 256


class Scoped(Protocol):
    """Whoever has a scope; `None` is no bound."""

    @property
    def entities(self) -> frozenset[str] | None: ...

    @property
    def read_only(self) -> bool: ...


def reaches(whose: Scoped, blueprint: str, entity: str = "", id: str = "") -> bool:
    """Say whether all of that is in the scope: a blueprint, a kind of entity in it, or one entity."""
    paths = whose.entities
    if paths is None or blueprint in paths:
        return True
    if not entity:
        return False
    kind = f"{blueprint}/{entity}"
    return kind in paths or (bool(id) and f"{kind}/{id}" in paths)


def touches(whose: Scoped, blueprint: str) -> bool:
    """Say whether anything of the blueprint is in the scope."""
    paths = whose.entities
    return paths is None or any(path.partition("/")[0] == blueprint for path in paths)


def must_write(whose: Scoped, blueprint: str, entity: str = "", id: str = "") -> None:
    """Decline with "out-of-scope" what the credential may not change, whether or not it is there."""
    if whose.entities is None and not whose.read_only:
        return
    if whose.read_only:
        raise out_of_scope("this credential may only read", "ask with one that may write")
    if not reaches(whose, blueprint, entity, id):
        raise beyond(whose, blueprint, entity, id)


def must_reach_whole(whose: Scoped, blueprint: str) -> None:
    """Decline with "out-of-scope" what speaks of all of a blueprint, to whom reaches only a part."""
    if not reaches(whose, blueprint):
        raise out_of_scope(f"this credential does not reach all of `{blueprint}`", reach(whose))


def must_be_unbounded(whose: Scoped) -> None:
    """Decline with "out-of-scope" what is nobody's who has a scope: looking after all tokens."""
    if whose.entities is not None or whose.read_only:
        raise out_of_scope("a credential with a scope does not look after tokens")


def beyond(whose: Scoped, blueprint: str, entity: str, id: str) -> Declined:
    """Return what is said to whoever would change what is outside."""
    where = "/".join(piece for piece in (blueprint, entity, id) if piece)
    return out_of_scope(f"this credential does not reach `{where}`", reach(whose))


def out_of_scope(title: str, help: str = "") -> Declined:
    """Return what is said to whoever asks for what the credential does not reach."""
    return Declined(wire.Problem(type="out-of-scope", title=title, status=403, help=help))


def within(paths: Iterable[str], bounds: frozenset[str] | None) -> bool:
    """Say whether a scope reaches no further than another one."""
    if bounds is None:
        return True
    return all(any(path == bound or path.startswith(f"{bound}/") for bound in bounds) for path in paths)


def scope_problem(paths: Iterable[str]) -> str | None:
    """Return what is wrong with the paths of a scope."""
    listed = list(paths)
    if len(listed) > PATHS_MAX:
        return f"has more than {PATHS_MAX} paths"
    for path in listed:
        if not PATH.fullmatch(path):
            return f"`{path[:200]}` is not `BLUEPRINT`, `BLUEPRINT/ENTITY` or `BLUEPRINT/ENTITY/ID`"
    return None


def reach(whose: Scoped) -> str:
    """Return in words how far a credential reaches."""
    return "it reaches everything" if whose.entities is None else f"it reaches {_paths(whose)}"


def _paths(whose: Scoped) -> str:
    paths = sorted(whose.entities or ())
    return words(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
