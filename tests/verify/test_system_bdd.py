"""Decision diagrams against plain evaluation, on drawn systems and by hand."""

from __future__ import annotations

from hypothesis import given, settings

from temper.verify.system import bdd
from temper.verify.system.ir import System
from tests.verify.system_draw import systems
from tests.verify.test_system_engines import agrees


@settings(max_examples=200, deadline=None)
@given(systems())
def test_diagrams_find_what_plain_evaluation_finds(system: System) -> None:
    """States, transitions, shortest ways, faults and deadlocks are the same."""
    agrees(system, bdd.search(system, states_max=100_000, seconds=60))
