"""The office's own blueprint: the report that it is shipped with is of it, and it is taken up by any later release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from temper.runtime import SqliteStore
from temper.service import check_texts, verify_table
from temper.service.office import NAME, office_table, office_version, shipped_report
from temper.service.office.shipped import FILE
from temper.table import digest, dump, shape
from tests.service.office import ADMIN, BOT, MAX, PUSH, SHIP, decision_of, ready, refused
from tests.service.shop import opened

MADE = "python -m temper.service.office"


def test_the_report_is_of_this_blueprint_and_has_passed_at_all_levels() -> None:
    report = shipped_report()
    assert report["digest"] == digest(office_table()), f"`{MADE}` judges it anew"
    assert report["passed"]
    assert {level["name"] for level in report["levels"]} == {
        "algebra", "search", "simulation", "properties", "scenarios",
    }  # fmt: skip
    verdicts = {each["verdict"] for each in report["properties"]}
    assert verdicts == {"proved", "holds within bounds", "tested"}
    assert all(each["passed"] for each in report["scenarios"]) and len(report["scenarios"]) >= 4


def test_what_the_report_calls_proved_by_induction_is() -> None:
    """The quickest level, asked again: the report is no claim that nobody could check."""
    judged = verify_table(office_table(), levels=("algebra", "scenarios"), states=1_000, seconds=60.0)
    now = {(each["entity"], each["name"]): each["verdict"] for each in judged.report["properties"]}
    shipped = [
        (each["entity"], each["name"])
        for each in shipped_report()["properties"]
        if each["verdict"] == "proved" and "induction" in each["by"]
    ]
    assert ("Decision", "nobody answers what they ask for") in shipped
    assert ("Grant", "no more uses than granted") in shipped
    assert [name for name in shipped if now[name] != "proved"] == []


def test_what_a_decision_is_about_is_set_once() -> None:
    """Only `Ask` sets them: no answer can change what it is an answer to."""
    table = office_table()
    for action in table.entities["Decision"].actions.values():
        bodies = (action.body, *(case.body for case in action.cases))
        fields = {each.field for body in bodies for each in body if isinstance(each, shape.Set)}
        once = {"wanted", "same", "asked_by", "asked_for", "asked_as"}
        assert once <= fields if action.name == "Ask" else fields.isdisjoint(once), action.name


async def test_an_earlier_release_s_office_is_swapped_at_the_start(tmp_path: Path) -> None:
    """What waits there goes on to wait."""
    folder = tmp_path / "data"
    async with opened(folder, push=PUSH) as shop:
        await shop.push(ADMIN, "ship", SHIP)
        await ready(shop)
        id = await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", {"notes": "x"}))
        space = shop.office.space
        assert space is not None
        # As another release might have had it: the same, but for how long it goes on to remind itself.
        text = office_table().notes.sources[FILE]
        other = check_texts({FILE: text.replace("every 10m do Remind", "every 11m do Remind")}).table
        assert other is not None and digest(other) != digest(office_table())
        version = office_version(space.version.number + 1, 0)
        assert isinstance(await space.live.swap(other, replace(version, digest=digest(other), table=dump(other))), int)
    async with opened(folder, push=PUSH) as shop:
        assert shop.office.space is not None
        assert shop.office.space.version.digest == digest(office_table())
        assert shop.office.space.version.number == 3
        assert (await shop.decisions.answer(MAX, id, "grant")).state == "CarriedOut"


async def test_it_is_founded_once_something_is_to_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    path = folder / "spaces" / f"{NAME}.db"
    async with opened(folder, push=PUSH) as shop:
        assert (await shop.decisions.listed(ADMIN)).items == ()
        assert await shop.pauses.listed(ADMIN) == ()
        assert not path.exists()
        await shop.pauses.pause(ADMIN, "principal", "bot", reason="it loops")
    store = SqliteStore(path)
    version = store.current()
    store.close()
    assert version is not None and version.digest == digest(office_table())


@pytest.mark.parametrize("name", ["temper", "decisions", "grants", "pauses"])
async def test_no_blueprint_takes_the_office_s_place(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path / "data", push=PUSH) as shop:
        files = {"a.blueprint": SHIP["ship.blueprint"].replace("blueprint ship", f"blueprint {name}")}
        assert (await refused(shop.push(ADMIN, name, files))).title == f"`{name}` is no name for a blueprint"
