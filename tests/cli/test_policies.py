"""Who may, from the command line: a bundle's policies, and what others would change on a server that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cedarpy
import pytest

from tests.cli.run import temper
from tests.cli.server_process import RunningServer, running_server
from tests.runtime.desk import DESK, FINISH

NO_AGENTS = (
    f'@id("no agents") @else("people finish")\nforbid (principal, {FINISH}, resource) when {{ principal.agent }};\n'
)
ANN = ("ann", "clerk")


def bundle(folder: Path, cedar: str = NO_AGENTS) -> Path:
    path = folder / "desk"
    path.mkdir()
    (path / "desk.blueprint").write_text(DESK, "utf-8")
    (path / "desk.cedar").write_text(cedar, "utf-8")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("desk")
    bundle(folder)
    (folder / "temper.toml").write_text('[push]\nlevels = ["algebra"]\n')
    with running_server("desk", folder=folder) as running:
        yield running


def test_all_of_who_may_is_printed_as_cedar(tmp_path: Path) -> None:
    ran = temper("policies", str(bundle(tmp_path)))
    assert ran.code == 0
    assert '// Ticket.Hold by clerk\n@id("by/Ticket.Hold/clerk")\npermit (' in ran.out
    assert '@id("no agents")\n@else("people finish")\nforbid (' in ran.out
    assert len(json.loads(cedarpy.policies_to_json_str(ran.out))["staticPolicies"]) == ran.out.count(";\n")
    found = temper("policies", str(tmp_path / "desk"), "--json").json
    assert [each["id"] for each in found["policies"] if each["origin"] == "file"] == ["no agents"]


def test_the_schema_is_printed_for_the_tools_of_cedar(tmp_path: Path) -> None:
    path = str(bundle(tmp_path))
    text = temper("policies", path, "--schema").out
    as_json = temper("policies", path, "--schema", "--json").out
    for schema in (text, as_json):
        assert cedarpy.validate_policies(NO_AGENTS, schema).validation_passed
        assert not cedarpy.validate_policies(NO_AGENTS.replace("agent ", "agnt "), schema).validation_passed


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    path = bundle(tmp_path, NO_AGENTS.replace("Ticket.Finish", "Ticket.Finnish"))
    for command in ("policies", "check"):
        ran = temper(command, str(path))
        assert ran.code == 1
        said = ran.out + ran.err
        assert "error[B813]: unknown action" in said
        assert "desk.cedar:2:30" in said
    assert temper("policies", str(path), "--blueprint", "desk").code == 2


def test_a_server_says_who_could_and_what_would_change(server: RunningServer, tmp_path: Path) -> None:
    listed = server.run("policies", "--blueprint", "desk", as_=ANN)
    assert "no agents" in listed.out
    said = server.run("simulate-policy", "desk/Ticket", "Finish").out
    assert said.splitlines() == [
        "action         who                 could  in",
        "Ticket.Finish  clerk, as a person  yes    Filed Held",
        "Ticket.Finish  chief, as a person  yes    Filed Held",
    ]
    other = tmp_path / "other.cedar"
    other.write_text(f'forbid (principal in temper::Role::"clerk", {FINISH}, resource);', "utf-8")
    said = server.run("simulate-policy", "desk/Ticket", "--with", str(other)).out
    assert said.splitlines() == [
        "  - no longer lets `clerk` as a person take `Ticket.Finish` in Filed and Held",
        "  + newly lets `chief` as an agent take `Ticket.Finish` in Filed and Held",
    ]
    assert "Ticket.read    everybody           yes    Filed Held" in server.run("simulate-policy", "desk/Ticket").out
    assert server.run("simulate-policy", "desk/Ticket", as_=ANN).code == 1
    assert "did you mean `Ticket`?" in server.run("simulate-policy", "desk/Tickt").err


def test_a_refusal_names_the_policy_and_the_entry_too(server: RunningServer) -> None:
    assert server.run("act", "desk/Room", "Build", "id=r", "name=r", as_=("cat", "chief")).code == 0
    assert server.run("act", "desk/Ticket", "File", "id=t", "room=r", "title=t", as_=ANN).code == 0
    told = server.run("why", "desk/Ticket/t", "Finish", as_=ANN).out
    assert "holds  forbid `no agents`" in told
