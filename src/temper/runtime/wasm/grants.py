"""The `wasm` adapter: a module of the bundle carries a tool out, within bounds.

```toml
[adapters.wasm]
fuel = 1_000_000_000        # about so many instructions a call
memory_mib = 64             # what its memory may grow to
time = "5s"                 # by the clock; and never more than nine tenths of the tool's `timeout`
allow = ["log", "now"]      # what a module may import
calls = 4                   # at once, of all modules together; the others wait for a thread

[tools."rules.judge"]       # what differs for one tool
adapter = "wasm"
fuel = 20_000_000
allow = []
concurrency = 2             # and the other settings of the pace, as every tool has them
```

What is shown first are the defaults.
The blueprint says which tools these are (`from wasm`), so none needs a table; what is bound to another adapter here and
declared `from wasm` there is carried out by the module.
[WASM modules](wasm.md) says how a module is called and what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from temper.runtime.tools.pace import Pace, read_pace
from temper.runtime.tools.reading import Problem, Table
from temper.runtime.tools.settings import MODULES
from temper.runtime.vault import Vault
from temper.text import suggest

FUNCTIONS = ("log", "now")
"""What a module may import, each if the settings allow it. There is no other way out of it."""
_CALLS = 4
_MIB = 1024 * 1024
# WebAssembly's own bound; a module can't address more.
_MEMORY_MIB_MAX = 4096


@dataclass(frozen=True, slots=True)
class Grant:
    """What one call may use."""

    fuel: int = 1_000_000_000
    memory_bytes: int = 64 * _MIB
    time_ms: int = 5_000
    allow: frozenset[str] = frozenset(FUNCTIONS)
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Grants:
    """What calls may use, by the tool's name; the others have `usual`. So many `calls` run side by side."""

    usual: Grant = field(default_factory=Grant)
    tools: Mapping[str, Grant] = field(default_factory=dict)
    calls: int = _CALLS

    def of(self, tool: str) -> Grant:
        """Return what a call of `tool` may use."""
        return self.tools.get(tool, self.usual)


def load_grants(settings: Mapping[str, Any]) -> tuple[Grants, list[Problem]]:
    """Return what `settings` grant, and every problem found. Reads `adapters.wasm`, and `tools` of that adapter."""
    problems: list[Problem] = []
    vault = Vault({})
    shared = settings.get("adapters", {})
    raw = shared.get(MODULES, {}) if isinstance(shared, Mapping) else {}
    table = Table(("adapters", MODULES), raw if isinstance(raw, Mapping) else {}, problems, vault)
    usual = _grant(table, Grant())
    calls = table.number("calls", _CALLS)
    table.finish()
    tools: dict[str, Grant] = {}
    bound = settings.get("tools", {})
    for name, each in bound.items() if isinstance(bound, Mapping) else ():
        if isinstance(each, Mapping) and each.get("adapter") == MODULES:
            table = Table(("tools", name), each, problems, vault, tool=name)
            table.text("adapter")
            tools[name] = replace(_grant(table, usual), pace=read_pace(table))
            table.finish()
    return Grants(usual, tools, calls), problems


def _grant(table: Table, usual: Grant) -> Grant:
    memory = table.number("memory_mib", usual.memory_bytes // _MIB)
    if memory > _MEMORY_MIB_MAX:
        table.note("memory_mib", f"a module has at most {_MEMORY_MIB_MAX} MiB", "give less")
        memory = usual.memory_bytes // _MIB
    allow = table.texts("allow")
    for name in allow or ():
        if name not in FUNCTIONS:
            near = suggest(name, FUNCTIONS)
            known = ", ".join(f"`{each}`" for each in FUNCTIONS)
            table.note("allow", f"there is no host function `{name}`", f"did you mean `{near}`?" if near else known)
    return replace(
        usual,
        fuel=table.number("fuel", usual.fuel),
        memory_bytes=memory * _MIB,
        time_ms=table.duration_ms("time", usual.time_ms),
        allow=usual.allow if allow is None else frozenset(allow) & frozenset(FUNCTIONS),
    )
