"""Adapters of other packages, by the entry points of the group `temper.adapters`.

A package gives an adapter by naming it in its `pyproject.toml`:

```toml
[project.entry-points."temper.adapters"]
smoke = "temper_smoke:build"
```

`build(settings, shared)` gets a tool's table of settings and that of `[adapters.smoke]`, and returns an adapter, or
`None` where it has noted a problem with one of them:

```python
from temper.runtime.tools import Adapter, Answered, Attempt, Call, Failed, Kind, Settings


class Smoke:
    def __init__(self, colour: str) -> None:
        self._colour = colour

    async def call(self, call: Call) -> Attempt:
        if call.args.get("wind") == "storm":
            return Failed(Kind.UNAVAILABLE, "too much wind", retry=True)
        return Answered({"seen": f"{self._colour} smoke of {call.order}"})

    async def close(self) -> None:
        pass


def build(settings: Settings, shared: Settings) -> Adapter | None:
    colour = settings.text("colour", required=True)
    settings.finish()  # Notes each key that nobody has asked for.
    shared.finish()
    return Smoke(colour) if colour is not None else None
```

Answers are checked against what the blueprint declares, and pace, time-outs, retries and the circuit are the server's
business, as for every adapter. The package is imported when a tool is bound to its adapter, and not before. An adapter
of the server's own can't be replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from temper.runtime.tools.adapter import Adapter
from temper.runtime.tools.reading import Problem, Table

GROUP = "temper.adapters"


class Others:
    """The adapters that other packages give, looked for once one is named that is not the server's own."""

    def __init__(self, shared: Mapping[str, Mapping[str, Any]], problems: list[Problem]) -> None:
        self._shared = shared
        self._problems = problems
        self._found: dict[str, EntryPoint] | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of all that are installed."""
        if self._found is None:
            self._found = {each.name: each for each in sorted(entry_points(group=GROUP))}
        return tuple(self._found)

    def build(self, name: str, table: Table) -> Adapter | None:
        """Return the adapter of that name for a tool's settings, or `None` and a problem."""
        assert self._found is not None, "its name was among the names"
        before = len(self._problems)
        shared = Table(("adapters", name), self._shared.get(name, {}), self._problems, table.vault)
        try:
            built: Adapter | None = self._found[name].load()(table, shared)
        except Exception as problem:  # noqa: BLE001 - it is a stranger's: whatever it raises keeps nothing but its tool
            said = table.vault.hide(f"{type(problem).__name__}: {problem}")
            table.note("adapter", f"the adapter `{name}` can't be made: {said}", "ask who wrote its package")
            return None
        if built is None and len(self._problems) == before:
            table.note(
                "adapter", f"the adapter `{name}` made nothing, and did not say why", "ask who wrote its package"
            )
        return built
