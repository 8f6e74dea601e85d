"""What starts often imports little, and a command says how it ended whatever happens in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from temper.cli import main
from temper.cli.arguments import build
from temper.cli.main import _Parser
from tests.cli.run import temper

HEAVY = ("apsw", "asyncio", "httpx2", "httpx", "lightkube", "rich", "starlette", "uvicorn", "watchfiles", "z3")
HEAVY_ROOMS = ("kernel", "runtime", "verify", "web")
FRONT_ROOMS = ("syntax", "model", "table")

_PROBE = """
import sys
from temper.cli import main
from temper.cli.arguments import build
from temper.cli.main import _Parser
code = main(sys.argv[1:])
loaded = {name.split(".")[0] for name in sys.modules}
loaded |= {name for name in sys.modules if name.startswith("temper.") and name.count(".") == 1}
print(*sorted(loaded), file=sys.stderr)
raise SystemExit(code)
"""


def _imported(words: str, folder: Path) -> set[str]:
    """The packages, and our rooms, that a command has imported by its end."""
    asked = [sys.executable, "-c", _PROBE, *words.split()]
    env = {**os.environ, "TEMPER_TOKEN": "none", "TEMPER_SERVER": "http://127.0.0.1:1"}
    return set(subprocess.run(asked, capture_output=True, text=True, cwd=folder, env=env, check=False).stderr.split())


@pytest.mark.parametrize(
    ("words", "never"),
    [
        ("--version", (*HEAVY, "msgspec", *(f"temper.{room}" for room in (*FRONT_ROOMS, *HEAVY_ROOMS, "service")))),
        ("--help", (*HEAVY, "msgspec", *(f"temper.{room}" for room in (*FRONT_ROOMS, *HEAVY_ROOMS, "service")))),
        ("check gate", (*HEAVY, *(f"temper.{room}" for room in HEAVY_ROOMS))),
        ("fmt --check gate", (*HEAVY, *(f"temper.{room}" for room in HEAVY_ROOMS))),
        ("explain B101", (*HEAVY, *(f"temper.{room}" for room in HEAVY_ROOMS))),
        ("verify gate", ("apsw", "httpx2", "httpx", "lightkube", "rich", "uvicorn", "temper.runtime", "temper.web")),
        ("show", ("apsw", "lightkube", "rich", "uvicorn", "z3", "temper.runtime", "temper.verify", "temper.web")),
    ],
)  # fmt: skip
def test_what_starts_often_imports_little(tmp_path: Path, words: str, never: tuple[str, ...]) -> None:
    """One row, one command: what it must not bring in, since it costs time that nobody gets anything for."""
    temper("new", "gate", folder=tmp_path)
    imported = _imported(words, tmp_path)
    assert "temper.cli" in imported
    assert sorted(imported & set(never)) == []


def test_the_package_is_a_command() -> None:
    """For whoever has the interpreter and not its scripts on the path."""
    ran = subprocess.run([sys.executable, "-m", "temper", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == temper("--version").out


def test_a_defect_of_ours_is_no_broken_blueprint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts read 1 as *broken*: what goes wrong in us has a code of its own, and its traceback."""

    def fails() -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("temper.cli.language.guide_text", fails)
    assert main(["guide"]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "has a defect" in said


def test_whoever_reads_our_output_may_stop(tmp_path: Path) -> None:
    """`temper guide | head -1` ends in peace."""
    script = f"set -o pipefail; {sys.executable} -m temper guide | head -1"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "# Writing a blueprint\n", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("act a/B/c D --key k x=1 y=2", {"target": "a/B/c", "action": "D", "key": "k", "params": ["x=1", "y=2"]}),
        ("act --key k a/B/c D x=1 --dry-run y=2", {"target": "a/B/c", "params": ["x=1", "y=2"], "dry_run": True}),
        ("serve one --port 0 two", {"paths": ["one", "two"], "port": 0}),
        ("check --fix one --json two", {"paths": ["one", "two"], "fix": True, "json": True}),
        ("rollback lease --note n 3", {"blueprint": "lease", "to": 3, "note": "n"}),
        ("show --json", {"target": "", "json": True}),
        ("token make ann --role a --role b --json", {"verb": "make", "role": ["a", "b"], "json": True}),
    ],
)  # fmt: skip
def test_options_may_stand_between_words(words: str, expected: dict[str, object]) -> None:
    """One row, one line as people type it, and what it says."""
    got = vars(build(_Parser).parse_args(words.split()))
    assert {name: got[name] for name in expected} == expected
