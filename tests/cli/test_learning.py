"""strength, keep and conform, as a shell sees them; what is kept is a scenario that the bundle then has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import temper
from tests.cli.server_process import RunningServer, running_server

ANN = ("ann", "requester")
BOB = ("bob", "approver")

WEAK = """\
blueprint lock

role user, owner

entity Lock
  states Free, Held, Gone
  final Gone

  holds: int 0..3 = 0

  action Make by owner from new to Free

  action Take by user from Free to Held
    set holds = 1

  action Give by user from Held to Free
    set holds = 0

  action Break by owner from Free to Gone
    when holds == 0

  always "what is free is held by nobody": state is Free implies holds == 0
"""

BROKEN = WEAK.replace("    set holds = 0\n", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle in `gate`."""
    folder = tmp_path_factory.mktemp("learning")
    assert temper("new", "gate", folder=folder).code == 0
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """A server of that bundle, on which something was asked for, refused, and approved."""
    with running_server("gate", folder=folder) as server:
        assert server.run("act", "gate/Request", "Ask", "id=one", "what=a disk", as_=ANN).code == 0
        assert server.run("act", "gate/Request/one", "Approve", as_=ANN).code == 1
        assert server.run("act", "gate/Request/one", "Approve", as_=BOB).code == 0
        assert server.run("act", "gate/Request", "Ask", "id=two", "what=a desk", as_=ANN).code == 0
        yield server


def bundle(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "lock.blueprint").write_text(text, "utf-8")
    return folder


def test_strength_asks_and_suggests(tmp_path: Path) -> None:
    ran = temper("strength", str(bundle(tmp_path / "lock", WEAK)))
    assert ran.code == 0
    assert "13 | action Take by user from Free to Held\n   |   nothing forbids `Take` from `Held`: intended?" in ran.out
    assert "always state is Held implies before(state is Free)" in ran.out
    assert "changes noticed" in ran.out


def test_strength_as_data(tmp_path: Path) -> None:
    ran = temper("strength", str(bundle(tmp_path / "lock", WEAK)), "--json", "--mutants", "6")
    data = ran.json
    found = data["strength"]
    assert len(data["digest"]) == 64
    assert found["killed"] + len(found["survivors"]) == found["counted"]
    assert found["counted"] + found["equivalent"] + found["unjudged"] == 6 < found["made"]
    for each in found["survivors"]:
        assert each["question"].endswith(": intended?")
        assert each["place"]["file"].endswith("lock.blueprint")


@pytest.mark.parametrize("where", ["file", "server"])
def test_strength_suggests_what_has_held(server: RunningServer, folder: Path, tmp_path: Path, where: str) -> None:
    journal = tmp_path / "journal.json"
    journal.write_text(server.run("history", "gate/Request/one", "--json", as_=ANN).out, "utf-8")
    asked = str(journal) if where == "file" else server.url
    ran = server.run("strength", str(folder / "gate"), "--journal", asked, "--json", as_=ANN)
    assert ran.code == 0, ran.err
    held = [each for each in ran.json["strength"]["suggestions"] if each["by"].startswith("journal")]
    assert "always asked_by == before.asked_by" in [each["text"] for each in held]
    assert {each["verdict"] for each in held} <= {"proved", "holds within bounds"}
    shown = server.run("strength", str(folder / "gate"), "--journal", asked, as_=ANN).out
    assert "these have held in the journal, and say more\n  always " in shown


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    path = bundle(tmp_path / "lock", WEAK)
    ran = temper("strength", str(path), "--journal", str(tmp_path / "nothing.json"))
    assert (ran.code, "can't be read" in ran.err) == (2, True)
    (tmp_path / "some.json").write_text('{"items": [{"seq": 1}]}', "utf-8")
    ran = temper("strength", str(path), "--journal", str(tmp_path / "some.json"))
    assert (ran.code, "entry 1 can't be read" in ran.err) == (2, True)


def test_keep_a_counterexample(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "lock", BROKEN)
    ran = temper("keep", str(folder))
    assert ran.code == 0, ran.err
    path = folder / "scenarios" / "what_is_free_is_held_by_nobody.blueprint"
    assert ran.out.startswith(f"kept {path}: what is free is held by nobody")
    assert "it fails until that is mended" in ran.out
    assert path.read_text("utf-8").startswith("blueprint lock\n\nscenario ")
    assert temper("fmt", "--check", str(path)).code == 0
    # The bundle has it now: it fails with the bug, and passes where it is mended.
    told = temper("verify", str(folder), "--levels", "scenarios", "--json").json["scenarios"]
    assert [(each["title"], each["passed"]) for each in told] == [("what is free is held by nobody", False)]


def test_keep_from_a_report_does_not_overwrite(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "lock", BROKEN)
    report = tmp_path / "report.json"
    report.write_text(temper("verify", str(folder), "--json").out, "utf-8")
    for name in ("the_lock.blueprint", "the_lock_2.blueprint"):
        ran = temper("keep", str(folder), "--report", str(report), "--title", "the lock", "--json")
        assert ran.code == 0, ran.err
        (kept,) = ran.json["kept"]
        assert Path(kept["path"]).name == name
        assert not kept["passes"]


def test_there_is_nothing_to_keep(tmp_path: Path) -> None:
    ran = temper("keep", str(bundle(tmp_path / "lock", WEAK)))
    assert ran.code == 1
    assert "nothing was kept: the report has no run that breaks anything" in ran.err
    assert not (tmp_path / "lock" / "scenarios").exists()


def test_keep_what_happened_on_a_server(server: RunningServer, folder: Path) -> None:
    ran = server.run(
        "keep", str(folder / "gate"), "--history", "gate/Request/one", "--title", "a disk is asked for", as_=ANN
    )
    assert ran.code == 0, ran.err
    text = (folder / "gate" / "scenarios" / "a_disk_is_asked_for.blueprint").read_text("utf-8")
    assert 'requester(ann) r = Request.Ask(what: "a disk") -> Open' in text
    assert "requester(ann) r.Approve -> denied" in text
    assert "approver(bob) r.Approve -> Approved" in text
    verified = temper("verify", "gate", "--levels", "scenarios", folder=folder)
    assert "2 of 2 come out as written" in verified.out


def test_a_plan_says_what_its_properties_notice(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    text = (folder / "gate" / "gate.blueprint").read_text("utf-8")
    stronger = text.replace(
        "  can reach", '  always "decided once": state is Open implies decided_by == none\n  can reach'
    )
    (tmp_path / "gate.blueprint").write_text(stronger, "utf-8")
    plain = server.run("plan", str(tmp_path), "--json", as_=("administrator",))
    assert "strength" not in plain.json
    ran = server.run("plan", str(tmp_path), "--json", "--strength", as_=("administrator",))
    assert ran.code in (0, 1, 3), ran.err
    found = ran.json["strength"]
    assert 0 < found["before"] < 1
    assert found["counted"] > 0
    shown = server.run("plan", str(tmp_path), "--strength", as_=("administrator",)).out
    assert f"notices {found['score']:.0%} of {found['counted']} small changes, from {found['before']:.0%}" in shown


def test_a_server_conforms_to_what_it_serves(server: RunningServer, folder: Path) -> None:
    for target in ("gate", str(folder / "gate" / "gate.blueprint")):
        ran = server.run("conform", target, as_=ANN)
        assert ran.code == 0, ran.out + ran.err
        assert ran.out.startswith("it conforms: 4 entries of 2 entities")


def test_another_version_is_asked_only_if_that_is_wanted(server: RunningServer, tmp_path: Path, folder: Path) -> None:
    text = (folder / "gate" / "gate.blueprint").read_text("utf-8")
    (tmp_path / "gate.blueprint").write_text(
        text.replace("caller.acts_for != asked_by else", "caller.acts_for == asked_by else"), "utf-8"
    )
    ran = server.run("conform", str(tmp_path), as_=ANN)
    assert ran.code == 3
    assert "nothing was checked: 4 entries are by other versions" in ran.out
    ran = server.run("conform", str(tmp_path), "--anyway", as_=ANN)
    assert ran.code == 1
    assert "entry 3, Approve of Request one" in ran.out


def test_a_journal_in_a_file(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    told = json.loads(server.run("history", "gate/Request/one", "--json", as_=ANN).out)
    journal = tmp_path / "journal.jsonl"
    journal.write_text("\n".join(json.dumps(each) for each in told["items"]), "utf-8")
    where = str(folder / "gate" / "gate.blueprint")
    assert temper("conform", where, "--journal", str(journal)).code == 0
    told["items"][2]["after"] = "Withdrawn"
    journal.write_text(json.dumps(told), "utf-8")
    ran = temper("conform", where, "--journal", str(journal))
    assert ran.code == 1
    assert "does not conform: entry 3, Approve of Request one" in ran.out
    assert "the table leads to `Approved`, not to `Withdrawn`" in ran.out
    assert "gate.blueprint:" in ran.out
    gap = temper("conform", where, "--journal", str(journal), "--json").json["gap"]
    assert (gap["index"], gap["seq"]) == (2, 3)


@pytest.mark.parametrize("text", ["{", '{"seq": 1}', "[1, 2"])
def test_what_is_no_journal(folder: Path, tmp_path: Path, text: str) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text(text, "utf-8")
    ran = temper("conform", str(folder / "gate"), "--journal", str(journal))
    assert ran.code == 2
    assert "error: " in ran.err


def test_the_line_of_a_gap_is_told_and_what_was_before(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    items = json.loads(server.run("history", "gate/Request/one", "--json", as_=ANN).out)["items"]
    items[2]["after"] = "Withdrawn"
    journal = tmp_path / "journal.jsonl"
    journal.write_text("\n\n".join(json.dumps(each) for each in items), "utf-8")
    ran = temper("conform", str(folder / "gate" / "gate.blueprint"), "--journal", str(journal))
    assert ran.code == 1
    assert ran.out.splitlines()[:4] == [
        "it does not conform: entry 3, Approve of Request one",
        "  entry 1, Ask: new -> Open",
        "  entry 2, Approve: refused",
        f"  {journal}:5",
    ]


# --- three bugs, each kept, mended, and not forgotten -----------------------------------------------------------------

TANK = """\
blueprint tank

role keeper

entity Tank
  states Open, Shut
  final Shut

  level: int 0..10 = 0

  action Dig by keeper from new to Open

  action Fill(units: int 1..4) by keeper from Open
    set level += units

  action Close by keeper from Open to Shut
"""
DESKS = """\
blueprint desks

role clerk

entity Office
  states Here
  number: int 1..1
  taken: bool = false
  key number

  action Open(number) by clerk from new to Here
    set number

  action Take by system from Here
    set taken = true

entity Desk
  states Free, Taken
  office: Office

  action Place(office) by clerk from new to Free
    set office

  action Sit by clerk from Free to Taken
    with office.Take

always "one at a time": count(d in Desk: d.state is Taken) <= 1
"""
BUGS = {
    # An assignment is missing: the last step is right, once it sets what it should.
    "lock": (BROKEN, "    set holds = 1\n\n  action Give by user from Held to Free\n", "\n    set holds = 0\n"),
    # A guard is missing: the last step is refused, once it is there.
    "tank": (TANK, "from Open\n", '\n    when level + units <= 10 else "full"\n'),
    # What is wrong is about several entities at once.
    "desks": (DESKS, "by system from Here\n", "\n    when not taken\n"),
}


def mended(name: str) -> str:
    text, after, line = BUGS[name]
    assert text.count(after) == 1
    return text.replace(after, after.rstrip("\n") + line)


@pytest.mark.parametrize("way", ["seed", "report", "now"])
@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_kept_mended_and_not_forgotten(tmp_path: Path, name: str, way: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    blueprint = folder / f"{name}.blueprint"
    blueprint.write_text(BUGS[name][0], "utf-8")
    match way:
        case "seed":
            seed = next(seed for seed in range(8) if temper("keep", str(folder), "--seed", str(seed)).code == 0)
            assert seed < 8
        case "report":
            told = temper("verify", str(folder), "--levels", "simulation", "--json").out
            ran = temper("keep", str(folder), "--report", "-", given=told)
            assert ran.code == 0, ran.err
        case _:
            ran = temper("keep", str(folder))
            assert ran.code == 0, ran.err
            assert "it fails until that is mended" in ran.out

    def passing() -> list[bool]:
        told = temper("verify", str(folder), "--levels", "scenarios", "--json").json
        return [each["passed"] for each in told["scenarios"]]

    assert passing() == [False]
    blueprint.write_text(mended(name), "utf-8")
    assert passing() == [True]
    blueprint.write_text(BUGS[name][0], "utf-8")
    assert passing() == [False]


def test_a_seed_that_breaks_nothing(tmp_path: Path) -> None:
    ran = temper("keep", str(bundle(tmp_path / "lock", WEAK)), "--seed", "3")
    assert ran.code == 1
    assert "nothing was kept: seed 3 breaks nothing" in ran.err


def test_keep_from_the_middle_of_a_server_s_journal(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    copy = bundle(tmp_path / "gate", (folder / "gate" / "gate.blueprint").read_text("utf-8"))
    ran = server.run(
        "keep", str(copy), "--journal", server.url, "--history", "Request/one", "--from", "2", "--title", "the end",
        as_=ANN,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    lines = (copy / "scenarios" / "the_end.blueprint").read_text("utf-8").splitlines()
    assert lines[3].startswith("  given Request r(state: Open, ")
    assert lines[4:6] == ["  requester(ann) r.Approve -> denied", "  approver(bob) r.Approve -> Approved"]
