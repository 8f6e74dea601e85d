"""Tools and what is bound to them: the adapters of the settings, and the modules that bundles bring along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from temper.runtime import Adapter, Clock, Modules, load_grants, load_tools
from temper.service import wire
from temper.service.announcing import announcing
from temper.service.settings import Loaded, SettingProblem
from temper.table import Table


def bind(loaded: Loaded) -> tuple[dict[str, Adapter], tuple[SettingProblem, ...]]:
    """Return the adapters that the settings bind, by the tool, and what is wrong with the settings of any tool."""
    adapters, problems = load_tools(_sections(loaded), {}, loaded.vault)
    _, more = load_grants(_sections(loaded))
    _, telling = announcing(loaded.settings.approvals, loaded.vault)
    return adapters, (
        *(SettingProblem(each.where, each.text, each.help) for each in (*problems, *more)),
        *telling,
    )


def modules_of(loaded: Loaded, clock: Clock) -> Modules:
    """Return what carries out the tools of modules, within what the settings grant them."""
    return Modules(load_grants(_sections(loaded))[0], clock.now)


@dataclass(frozen=True, slots=True)
class Bindings:
    """What is bound, and what is not of all that some table declares."""

    adapters: dict[str, Adapter]
    modules: Modules

    def missing(self, tables: Iterable[Table]) -> tuple[SettingProblem, ...]:
        """Return the tools of the tables that nothing is bound to, as what is odd about the settings."""
        return tuple(
            SettingProblem(
                f'tools."{name}"', "nothing is bound to this tool: its calls fail as `not_bound`", "bind an adapter"
            )
            for name in sorted({name for table in tables for name in self._unbound(table)})
        )

    def notes(self, table: Table) -> tuple[wire.ChangeLine, ...]:
        """Return what of a candidate's calls will fail by the settings, as notes beside its changes."""
        unbound = [
            f"nothing is bound to the tool `{name}`: until the settings do, its calls fail as `not_bound`"
            for name in self._unbound(table)
        ]
        denied = [
            f"the module of `{name}` imports `{function}`, which the settings don't allow: its calls fail as `refused`"
            for name, function in self.modules.denied(table)
        ]
        return tuple(wire.ChangeLine(kind="note", text=text) for text in (*unbound, *denied))

    async def close(self) -> None:
        """Let go of what the adapters hold, and take no more calls."""
        for adapter in self.adapters.values():
            await adapter.close()
        self.modules.close()

    def _unbound(self, table: Table) -> list[str]:
        return [name for name, tool in table.tools.items() if tool.wasm is None and name not in self.adapters]


def _sections(loaded: Loaded) -> dict[str, Any]:
    return {"tools": loaded.settings.tools, "adapters": loaded.settings.adapters}
