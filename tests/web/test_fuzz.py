"""Schemathesis against the door: the real workshop, its real store, the flagship blueprint, every check.

It reads the OpenAPI document, sends what fits it and what does not, follows what was made from one operation to the
next, and judges each answer by the document. It runs as a process of its own, as anybody would run it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from temper.service import Loaded, Person, Settings, Workshop
from temper.web import Limits
from tests.house.tree import ROOT
from tests.web.test_server import running

HERE = Path(__file__).parent
# The tool writes and revokes tokens too, and would in time revoke the one that it calls with.
TOKEN = "held-by-the-fuzzer"  # no secret: it opens nothing but this test's server
FUZZER = Person("fuzzer", frozenset({"operator", "release_manager"}), admin=True)

# No text that is made up is a blueprint named `helix` (what a schema has as its example is one named `lamp`), and none
# names what has to be there first: a canary, a decision, a grant, a session, an order that has not ended (which is gone
# once it is discarded). Those are done in test_office.py, and in tests/service/test_canary.py, test_sessions.py and
# test_outbox.py.
MADE_UP = {
    *("PUT /v1/helix", "POST /v1/helix/plan", "POST /v1/helix/shadow"),
    *("GET /v1/helix/canary", "POST /v1/helix/canary"),
    *("POST /v1/helix/canary/promote", "POST /v1/helix/canary/withdraw"),
    *(f"{method} /v1/decisions/{{decision}}" for method in ("GET", "POST", "DELETE")),
    *("DELETE /v1/grants/{grant}", "DELETE /v1/sessions/{session}"),
    *("GET /v1/helix/letters/{order}", "POST /v1/helix/letters/{order}/retry"),
    "POST /v1/helix/letters/{order}/discard",
}


class Open(Workshop):
    """The workshop, which knows one token more."""

    def authenticate(self, token: str | None) -> Person:
        return FUZZER if token == TOKEN else super().authenticate(token)


async def fuzz(url: str, folder: Path, *, examples: int, seed: int) -> tuple[int, str, Any]:
    """Run the tool, and return its exit code, what it said, and its report."""
    report = folder / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}", "--checks", "all"),
        *("--max-examples", str(examples), "--seed", str(seed), "--request-timeout", "20"),
        *("--report", "json", "--report-json-path", str(report), "--no-color"),
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.web.fuzzing", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), msgspec.json.decode(report.read_bytes()) if report.exists() else None


async def test_a_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """No failure, no error, no operation left out; and it did get in: nearly everything was done at least once."""
    workshop = await Open.open(Loaded(Settings(), tmp_path))
    try:
        files = {"helix.blueprint": (ROOT / "apps" / "helix" / "helix.blueprint").read_text()}
        await workshop.push(FUZZER, "helix", files)
        # Streams and waits end soon: the tool reads each answer to its end.
        async with running(workshop, Limits(stream_max=0.02, wait_max=0.02)) as server:
            code, said, report = await fuzz(f"http://127.0.0.1:{server.port}", tmp_path, examples=10, seed=1)
    finally:
        await workshop.close()
    assert code == 0, said
    assert report["operations"]["tested"] == report["operations"]["total"] > 20, said
    accepted = {
        operation
        for operation, phases in report["valid_rates"].items()
        if any(each["accepted"] for each in phases.values())
    }
    assert set(report["valid_rates"]) - accepted <= MADE_UP, said
    assert len(report["valid_rates"]) == report["operations"]["total"]
