"""From `temper.toml` to the adapters of the tools.

`[tools."ns.op"]` binds a tool to the adapter that its `adapter` names; `[adapters.NAME]` holds what all tools of one
adapter share. An adapter is known by its name in `ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from temper.runtime.egress import Resolve, resolve_by_system
from temper.runtime.tools import http, kubernetes, mcp, process
from temper.runtime.tools.adapter import Adapter
from temper.runtime.tools.discreet import Discreet
from temper.runtime.tools.others import Others
from temper.runtime.tools.pace import Pace, Paced, read_pace
from temper.runtime.tools.reading import Declared, Problem, Table, dotted
from temper.runtime.tools.spawn import Commands
from temper.runtime.vault import Vault


@dataclass(frozen=True, slots=True)
class Site:
    """What the tools of one file of settings share."""

    resolve: Resolve
    clusters: kubernetes.Clusters
    commands: Commands
    servers: Commands


Build = Callable[[Table, Site], Adapter | None]

ADAPTERS: dict[str, Build] = {
    "http": lambda table, site: http.build(table, site.resolve),
    "kubernetes": lambda table, site: kubernetes.build(table, site.clusters),
    "mcp": lambda table, site: mcp.build(table, site.servers, site.resolve),
    "process": lambda table, site: process.build(table, site.commands),
}


MODULES = "wasm"
"""No adapter, but a tool's module: what it is granted is read elsewhere (`temper.runtime.wasm`)."""


def load_tools(
    settings: Mapping[str, Any],
    declared: Mapping[str, Declared],
    vault: Vault,
    *,
    resolve: Resolve = resolve_by_system,
) -> tuple[dict[str, Adapter], list[Problem]]:
    """Return an adapter for each tool that `settings` binds soundly, by the tool's name, and every problem found.

    Reads the keys `tools` and `adapters`; the others are somebody else's. The secrets that templates name are read from
    `vault`, and taken out of whatever an adapter answers. `declared` are the tools of the live blueprints that need an
    adapter: one that is not bound is a problem. A bound tool that is not declared is no problem, since its blueprint
    may not have been pushed yet; its arguments are then checked at each call. Connects to nothing.
    """
    problems: list[Problem] = []
    tools, shared = (_tables(settings, key, problems) for key in ("tools", "adapters"))
    others = Others(shared, problems)
    for name in shared:
        if name not in ADAPTERS and name != MODULES and name not in others.names():
            problems.append(Problem(dotted(("adapters", name)), f"there is no adapter `{name}`", _known_adapters()))
    # It is read when the first tool asks for it, so that without one the client is not imported.
    cluster = Table(("adapters", "kubernetes"), shared.get("kubernetes", {}), problems, vault)
    programs = Table(("adapters", "process"), shared.get("process", {}), problems, vault)
    servers = Table(("adapters", "mcp"), shared.get("mcp", {}), problems, vault)
    site = Site(resolve, kubernetes.Clusters(cluster), Commands(programs), Commands(servers))
    adapters: dict[str, Adapter] = {}
    for name, raw in tools.items():
        if raw.get("adapter") == MODULES:
            continue
        table = Table(("tools", name), raw, problems, vault, tool=name, declared=declared.get(name))
        own = raw.get("adapter") in ADAPTERS
        adapter = table.one_of("adapter", (*ADAPTERS, MODULES, *(() if own else others.names())))
        before, pace = len(problems), read_pace(table)
        built = None
        if adapter:
            built = ADAPTERS[adapter](table, site) if own else others.build(adapter, table)
        if built is not None and len(problems) == before:
            discreet = Discreet(built, vault)
            adapters[name] = discreet if pace == Pace() else Paced(discreet, pace)
    bound = settings.get("tools", {})
    for name in declared:
        if isinstance(bound, Mapping) and name not in bound:
            help = f"add `[{dotted(('tools', name))}]` with an `adapter`; {_known_adapters()}"
            problems.append(Problem("tools", f"no adapter is bound to `{name}`", help))
    return adapters, problems


def _tables(settings: Mapping[str, Any], key: str, problems: list[Problem]) -> dict[str, Mapping[str, Any]]:
    raw = settings.get(key, {})
    if not isinstance(raw, Mapping):
        problems.append(Problem(key, "this is not a table", f"write `[{key}.NAME]`"))
        return {}
    tables: dict[str, Mapping[str, Any]] = {}
    for name, table in raw.items():
        if isinstance(table, Mapping):
            tables[name] = table
        else:
            where = dotted((key, name))
            problems.append(Problem(where, "this is not a table", f"write `[{where}]`"))
    return tables


def _known_adapters() -> str:
    return f"adapters are {', '.join(f'`{name}`' for name in ADAPTERS)}"
