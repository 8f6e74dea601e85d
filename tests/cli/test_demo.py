"""`temper demo`: the whole story, with the real server, adapter, verifier and tokens, against a twin of a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from temper.cli.demo import blueprints
from temper.cli.demo.stage import at_the_twin
from tests.house.tree import ROOT

COMMAND = [sys.executable, "-m", "temper", "demo", "--fast"]
SECONDS = 120.0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What `temper demo --json` prints; it leaves nothing behind where it ran, nor where temporary files are."""
    here, temporary = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("temporary")
    env = {**os.environ, "TMPDIR": str(temporary)}
    ran = subprocess.run(
        [*COMMAND, "--json"], capture_output=True, text=True, cwd=here, env=env, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, ran
    assert ran.stderr == ""
    assert list(here.iterdir()) == []
    assert list(temporary.iterdir()) == []
    found: Mapping[str, Any] = json.loads(ran.stdout)
    return found


def test_it_ends_rolled_back(told: Mapping[str, Any]) -> None:
    """The rollout's word for it, and the cluster's."""
    assert told["final_state"] == "RolledBack"
    assert told["brokers"] == {f"orders-{ordinal}": "v1" for ordinal in range(5)}


def test_the_planted_bug_is_told(told: Mapping[str, Any]) -> None:
    """What is judged before passes; without one guard it does not, and the story has three steps."""
    assert "broken" not in told["verdicts"]["earlier"].values()
    assert "broken" not in told["verdicts"]["current"].values()
    assert told["verdicts"]["slip"]["nobody is served by a half-moved cluster"] == "broken"
    bug = told["planted_bug"]
    assert bug["was"].removesuffix(" when moved + 1 == brokers") == bug["is"]
    assert [step["action"] for step in bug["story"]["trace"]] == ["Plan", "Start", "Moved"]


def test_it_hangs_without_a_way_back_and_gets_one(told: Mapping[str, Any]) -> None:
    """What can be done before the push and after it, by the same person with the same rollout."""
    assert told["halted_because"].startswith("orders-2: CrashLoopBackOff: ")
    assert told["now_when_halted"] == ["Resume"]
    assert told["now_after_push"] == ["Resume", "RollBack"]
    assert told["plan"]["pushable"]
    assert told["plan"]["stranded"] == []
    assert "Rollout: `RollBack`, from `Halted` to `RollingBack`" in [each["text"] for each in told["plan"]["changes"]]
    assert (told["pushed"]["version"], told["pushed"]["over"]) == (2, "Halted")


def test_each_version_decided_its_part(told: Mapping[str, Any]) -> None:
    """The history, in full: two brokers move, the third does not bear it, all go back under the second version."""
    assert [(each["table_version"], each["action"], each["after"]) for each in told["history"]] == [
        (1, "Plan", "Planned"),
        (1, "Start", "Rolling"),
        (1, "Moved", "Rolling"),
        (1, "Moved", "Rolling"),
        (1, "Halt", "Halted"),
        (2, "RollBack", "RollingBack"),
        (2, "Restored", "RolledBack"),
    ]
    assert [each["principal"] for each in told["history"][:2]] == ["bob", "ann"]


def test_it_is_told_in_lines_where_nothing_can_move(tmp_path: Path) -> None:
    """No terminal, no colours, and no letters but the plain ones."""
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "100", "TMPDIR": str(tmp_path)}
    ran = subprocess.run(COMMAND, capture_output=True, text=True, env=env, timeout=SECONDS, check=False)
    assert ran.returncode == 0, ran
    assert "\x1b" not in ran.stdout
    assert [line for line in ran.stdout.splitlines() if line[:2] in {f"{n} " for n in range(1, 8)}] != []
    for said in (
        "broken  nobody is served by a half-moved cluster",
        "kubernetes.set_partition failed: Halt(",
        "Every broker runs v1 again.",
        "temper serve mine --watch",
    ):
        assert said in ran.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whatever_it_started_ends_with_it(tmp_path: Path, number: signal.Signals) -> None:
    """Cut off in the middle, it leaves no process and no file."""
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    # A shell starts what runs in the background with SIGINT ignored, and so would be what we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "is in force at" in line:
                break
        assert _mentioning(tmp_path), "the server runs"
        process.send_signal(number)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    assert _mentioning(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def _mentioning(folder: Path) -> list[str]:
    """The command lines of processes that name a file in this folder."""
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def test_the_settings_are_those_of_helix() -> None:
    """But for where the cluster is, where the data goes, and how often the cluster is looked at."""
    real = tomllib.loads(blueprints.settings())
    here = tomllib.loads(at_the_twin(blueprints.settings(), Path("/k"), Path("/d")))
    tool = "kubernetes.set_partition"
    assert real["tools"][tool].pop("poll") != here["tools"][tool].pop("poll")
    assert real["tools"] == here["tools"]
    assert here["adapters"] == {"kubernetes": {"kubeconfig": "/k"}}
    assert here["server"] == {"data": "/d"}


def test_an_installed_package_holds_what_a_checkout_has_beside_it() -> None:
    """The wheel's map leads from where the files are to where they are looked for."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build["force-include"] == {"apps": "temper/apps", "docs/reference/diagnostics": "temper/pages"}
    assert all((ROOT / source).is_dir() for source in build["force-include"])
    assert blueprints.current()["helix.blueprint"] == (ROOT / "apps" / "helix" / "helix.blueprint").read_text()
