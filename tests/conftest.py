"""What every test shares: Hypothesis' profiles and the event loop."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The same draws every time: a red run is somebody's change, not their luck. No deadline, since the machine is shared.
settings.register_profile(
    "ci", derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# New draws each time, and more of them, for whoever is hunting: `HYPOTHESIS_PROFILE=dev ./run pytest`.
settings.register_profile("dev", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on the loop that the server runs on."""
    return "asyncio", {"use_uvloop": True}
