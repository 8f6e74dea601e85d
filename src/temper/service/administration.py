"""A server's own policies on who may administer it: `[policies] files`, read again whenever they change."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from temper.runtime import Administers, Administration, Clock, Ruling, read_administration
from temper.service.settings import Loaded, SettingProblem
from temper.text import Source

if TYPE_CHECKING:
    from temper.service.people import Person

KEY = "policies.files"
BYTES_MAX = 1_000_000

_log = logging.getLogger("temper.policies")


@dataclass
class ServerPolicies:
    """The policies in force: those that the files said when they were last whole.

    A file that can't be read, or is broken, changes nothing: until it is mended, what was in force stays so.
    """

    paths: tuple[Path, ...]
    clock: Clock
    problems: tuple[SettingProblem, ...] = ()
    """What is wrong with the files as they are now."""
    _administration: Administration = field(default_factory=Administration)
    _seen: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        """Read the files."""
        self._look()

    @property
    def plain(self) -> bool:
        """Return whether there are none, so that an administrator's credential alone decides."""
        return not self.paths

    def rule(self, person: Person, action: Administers, blueprint: str | None) -> Ruling:
        """Return whether a person may do that, by the files as they are now."""
        self._look()
        return self._administration.rule(person.caller, person.facts, action, blueprint, self.clock.now())

    def _look(self) -> None:
        now = tuple(_stamp(path) for path in self.paths)
        if now == self._seen:
            return
        self._seen = now
        sources, problems = _read(self.paths)
        found = None
        if not problems:
            found, wrong = read_administration(sources)
            problems = tuple(SettingProblem(KEY, text) for text in wrong)
        self.problems = problems
        if found is not None:
            self._administration = found
        else:
            for problem in problems:
                _log.warning("%s; what was in force stays so", problem)


def server_policies(loaded: Loaded, clock: Clock) -> ServerPolicies:
    """Return the policies that the settings name."""
    return ServerPolicies(tuple(loaded.folder / name for name in loaded.settings.policies.files), clock)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(paths: Iterable[Path]) -> tuple[list[Source], tuple[SettingProblem, ...]]:
    sources: list[Source] = []
    problems: list[SettingProblem] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                content = file.read(BYTES_MAX + 1)
            if len(content) > BYTES_MAX:
                problems.append(SettingProblem(KEY, f"`{path}` has more than {BYTES_MAX:,} bytes"))
            else:
                sources.append(Source(str(path), content.decode("utf-8")))
        except OSError as error:
            problems.append(SettingProblem(KEY, f"`{path}` cannot be read: {error.strerror}"))
        except UnicodeDecodeError:
            problems.append(SettingProblem(KEY, f"`{path}` is not UTF-8"))
    return sources, tuple(problems)
