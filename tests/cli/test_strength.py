"""A measurement is kept: looked up when it is asked for again, and told by `temper verify`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run import temper
from tests.cli.test_learning import WEAK, bundle


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    """An environment with a cache of its own."""
    return {"TEMPER_CACHE": str(tmp_path / "cache")}


def test_a_measurement_is_looked_up_until_the_blueprint_changes(tmp_path: Path, cache: dict[str, str]) -> None:
    path = str(bundle(tmp_path / "lock", WEAK))
    first = temper("strength", path, env=cache)
    again = temper("strength", path, env=cache)
    assert first.out.splitlines()[:-1] == again.out.splitlines()[:-1]
    assert first.out.rstrip().endswith(" s")
    assert again.out.rstrip().endswith("changes noticed, looked up")
    assert temper("strength", path, "--fresh", env=cache).out.rstrip().endswith(" s")
    assert temper("strength", path, "--mutants", "5", env=cache).out.rstrip().endswith(" s")
    bundle(tmp_path / "lock", WEAK + "  can reach Gone\n")
    assert temper("strength", path, env=cache).out.rstrip().endswith(" s")


def test_verify_tells_what_was_measured(tmp_path: Path, cache: dict[str, str]) -> None:
    path = str(bundle(tmp_path / "lock", WEAK))
    judge = ("verify", path, "--levels", "search")
    assert "strength" not in temper(*judge, env=cache).out
    assert temper(*judge, "--json", env=cache).json["strength"] is None
    measured = temper("strength", path, "--json", env=cache).json["strength"]
    assert temper(*judge, "--json", env=cache).json["strength"] == measured
    told = f"strength  {measured['score']:.0%}: {measured['killed']} of {measured['counted']} small changes noticed"
    assert told in temper(*judge, env=cache).out
    assert told in temper(*judge, "--fresh", env=cache).out
    bundle(tmp_path / "lock", WEAK + "  can reach Gone\n")
    assert "small changes" not in temper(*judge, env=cache).out
