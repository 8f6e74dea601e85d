"""The levels that a judgement can be asked for, for whoever reads them before there is anything to judge."""

from __future__ import annotations

LEVELS = ("algebra", "search", "simulation", "properties", "scenarios")
