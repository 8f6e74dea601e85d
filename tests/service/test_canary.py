"""A canary by the workshop's verbs: started, looked at, promoted, withdrawn, and what is declined."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from temper.service import CanaryWanted, Declined, Person, Workshop
from tests.runtime.living import until
from tests.service.shop import ADMIN, opened

OLD = """
blueprint desk

role clerk

entity Customer
  states Active, Gone
  final Gone
  name: string
  action Join(name) by clerk from new to Active
    set name
  action Leave by clerk from Active to Gone

entity Ticket
  states Open, Closed
  final Closed
  customer: Customer
  text: string
  action Ask(customer, text) by clerk from new to Open
    set customer, text
  action Close by clerk from Open to Closed
"""
NEW = (
    OLD.replace("states Open, Closed", "states Open, Urgent, Closed")
    .replace("  text: string\n", "  text: string\n  priority: int 0..9 = 0\n")
    .replace("Close by clerk from Open to", "Close by clerk from Open, Urgent to")
    + """
  action Escalate(by_how_much: int 1..9) by clerk from Open to Urgent
    set priority = by_how_much
  action Calm by clerk from Urgent to Open

upgrade from 1
  Ticket
    set priority = 1
"""
)
ANN = Person("ann", frozenset({"clerk"}))
FILES = {"desk.blueprint": NEW}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A desk with two tickets."""
    async with opened(tmp_path / "data") as workshop:
        await workshop.push(ADMIN, "desk", {"desk.blueprint": OLD})
        await workshop.create(ANN, "desk", "Customer", None, {"id": "c", "name": "c"})
        for id in ("t1", "t2"):
            await ask(workshop, id)
        yield workshop


async def ask(workshop: Workshop, id: str) -> None:
    await workshop.create(ANN, "desk", "Ticket", None, {"id": id, "customer": "c", "text": id})


async def declined(verb: object) -> tuple[int, str, str]:
    with pytest.raises(Declined) as caught:
        await verb  # type: ignore[misc]  # what a verb returns is awaited
    problem = caught.value.problem
    return problem.status, problem.title, problem.detail


async def test_new_ones_live_by_the_candidate_until_it_is_promoted(desk: Workshop) -> None:
    before = await desk.read(ANN, "desk", "Ticket", "t1")
    started = await desk.start_canary(ADMIN, "desk", FILES, CanaryWanted(0, ("Ticket/new",)))
    assert (started.version, started.carried) == (2, 0)
    await until_later(desk)
    await ask(desk, "new")
    await ask(desk, "t3")
    view = await desk.canary(ANN, "desk")
    assert (view.version, view.beside, view.share, view.named) == (2, 1, 0, ("Ticket/new",))
    assert (view.kinds, view.entities, view.whole) == (("Ticket",), {"Ticket.Open": 1}, True)
    # Each is read, listed, explained and acted on by its own table.
    new = await desk.read(ANN, "desk", "Ticket", "new")
    assert new.fields["priority"] == 0
    assert await desk.read(ANN, "desk", "Ticket", "t1") == before
    assert [each.action for each in await desk.possible(ANN, "desk", "Ticket", "new")] == ["Close", "Escalate", "Calm"]
    assert [each.action for each in await desk.possible(ANN, "desk", "Ticket", "t3")] == ["Close"]
    assert (await desk.why(ANN, "desk", "Ticket", "new", "Escalate", {"by_how_much": 3})).would == "take"
    done = await desk.act(ANN, "desk", "Ticket", "new", "Escalate", {"by_how_much": 3})
    assert (done.entity.state, done.entity.fields["priority"]) == ("Urgent", 3)
    status, title, _ = await declined(desk.act(ANN, "desk", "Ticket", "t3", "Escalate", {"by_how_much": 3}))
    assert (status, title) == (404, "`Ticket` has no action `Escalate`")
    page = await desk.list(ANN, "desk", "Ticket", filter='text != ""', sort="text", count=True)
    assert [(each.id, each.state, each.fields.get("priority")) for each in page.items] == [
        ("new", "Urgent", 3), ("t1", "Open", None), ("t2", "Open", None), ("t3", "Open", None),
    ]  # fmt: skip
    assert page.count == 4
    history = await desk.history(ANN, "desk", "Ticket", "new")
    assert [(each.action, each.table_version) for each in history] == [("Ask", 2), ("Escalate", 2)]
    promoted = await desk.promote(ADMIN, "desk")
    assert (promoted.version, promoted.carried) == (3, 3)
    assert (await desk.read(ANN, "desk", "Ticket", "new")).fields["priority"] == 3
    assert (await desk.read(ANN, "desk", "Ticket", "t1")).fields["priority"] == 1
    assert [each.note for each in desk.versions(ADMIN, "desk")] == ["the canary is promoted", "a canary", ""]
    assert (await declined(desk.canary(ANN, "desk")))[:2] == (404, "`desk` has no canary")


async def test_it_is_withdrawn_when_nobody_is_in_the_way(desk: Workshop) -> None:
    before = await desk.read(ANN, "desk", "Ticket", "t1")
    await desk.start_canary(ADMIN, "desk", FILES, CanaryWanted(1.0))
    await until_later(desk)
    await ask(desk, "new")
    await desk.act(ANN, "desk", "Ticket", "new", "Escalate", {"by_how_much": 3})
    with pytest.raises(Declined) as caught:
        await desk.withdraw(ADMIN, "desk")
    assert caught.value.problem.type == "stranded"
    assert [(each.id, each.state) for each in caught.value.problem.stranded] == [("new", "Urgent")]
    assert (await desk.canary(ANN, "desk")).entities == {"Ticket.Urgent": 1}, "it goes on"
    await desk.act(ANN, "desk", "Ticket", "new", "Calm", {})
    withdrawn = await desk.withdraw(ADMIN, "desk", note="not yet")
    assert (withdrawn.version, withdrawn.carried) == (3, 1)
    assert desk.sources(ADMIN, "desk") == {"desk.blueprint": OLD}
    assert "priority" not in (await desk.read(ANN, "desk", "Ticket", "new")).fields
    assert await desk.read(ANN, "desk", "Ticket", "t1") == before
    # And once more, from the version that is in force now.
    files = {"desk.blueprint": NEW.replace("upgrade from 1", "upgrade from 3")}
    assert (await desk.start_canary(ADMIN, "desk", files, CanaryWanted(0.5))).version == 4


async def test_any_push_ends_it_and_so_does_a_rollback(desk: Workshop) -> None:
    await desk.start_canary(ADMIN, "desk", FILES, CanaryWanted(1.0))
    await until_later(desk)
    await ask(desk, "new")
    third = {"desk.blueprint": NEW.replace("priority: int 0..9 = 0", "priority: int 0..99 = 0")}
    assert (await desk.push(ADMIN, "desk", third)).version == 3
    assert (await desk.read(ANN, "desk", "Ticket", "new")).fields["priority"] == 0
    assert (await desk.read(ANN, "desk", "Ticket", "t1")).fields["priority"] == 1


async def test_a_restart_goes_on_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as desk:
        await desk.push(ADMIN, "desk", {"desk.blueprint": OLD})
        await desk.create(ANN, "desk", "Customer", None, {"id": "c", "name": "c"})
        await desk.start_canary(ADMIN, "desk", FILES, CanaryWanted(0, ("Ticket/new",)))
        await until_later(desk)
        await ask(desk, "new")
        await ask(desk, "t1")
    for ends in (None, "withdraw", None):
        async with opened(tmp_path / "data") as desk:
            if ends is not None:
                await desk.withdraw(ADMIN, "desk")
            elif desk.sources(ADMIN, "desk") and len(desk.versions(ADMIN, "desk")) == 2:
                assert (await desk.canary(ANN, "desk")).entities == {"Ticket.Open": 1}
                assert "priority" in (await desk.read(ANN, "desk", "Ticket", "new")).fields
            else:
                assert "priority" not in (await desk.read(ANN, "desk", "Ticket", "new")).fields


@pytest.mark.parametrize(
    ("wanted", "text", "says"),
    [
        (CanaryWanted(), NEW, (422, "`share` is less than one of 10,000, and nobody is named", "")),
        (CanaryWanted(1.5), NEW, (422, "`share` is not from 0 to 1", "")),
        (CanaryWanted(0, ("Ticket",)), NEW, (422, "`named` has `Ticket`, which is no Entity/ID", "")),
        (CanaryWanted(0, ("Ticket/t1",)), NEW, (422, "`named` has `Ticket/t1`, which lives already", "")),
        (CanaryWanted(0, ("Customer/x",)), NEW, (422, "the candidate changes nothing of `Customer`", "")),
        (CanaryWanted(0.1), OLD, (409, "the candidate can't live beside the version in force", "changes no entity")),
        (CanaryWanted(0.1), OLD.replace("Active to Gone", "Active to Gone\n  action Stay by clerk from Active"),
         (409, "the candidate can't live beside the version in force", "`Ticket.customer` refers to `Customer`")),
        (CanaryWanted(0.1), NEW.replace("upgrade from 1\n  Ticket\n    set priority = 1",
                                        "upgrade from 1\n  Ticket\n    drop nothing_of_that_name"),
         (422, "the `upgrade` speaks of what is not in force", "nothing_of_that_name")),
        (CanaryWanted(0.1), NEW.replace("  action Calm", "  always priority < 9\n  action Calm"),
         (422, "the blueprint did not pass the verifier, and nothing was changed", "priority < 9")),
    ],
)  # fmt: skip
async def test_what_is_declined_changes_nothing(
    desk: Workshop, wanted: CanaryWanted, text: str, says: tuple[int, str, str]
) -> None:
    with pytest.raises(Declined) as caught:
        await desk.start_canary(ADMIN, "desk", {"desk.blueprint": text}, wanted)
    problem = caught.value.problem
    whole = msgspec.json.encode(problem).decode()
    assert problem.status == says[0]
    assert says[1] in problem.title
    assert says[2] in whole
    assert len(desk.versions(ADMIN, "desk")) == 1


async def test_there_is_one_at_a_time_and_an_administrator_starts_it(desk: Workshop) -> None:
    assert (await declined(desk.start_canary(ANN, "desk", FILES, CanaryWanted(0.5))))[0] == 403
    await desk.start_canary(ADMIN, "desk", FILES, CanaryWanted(0.5))
    other = {"desk.blueprint": NEW.replace("0..9 = 0", "0..8 = 0")}
    assert (await declined(desk.start_canary(ADMIN, "desk", other, CanaryWanted(0.5))))[:2] == (
        409, "a canary is under way",
    )  # fmt: skip
    for verb in (desk.promote, desk.withdraw):
        assert (await declined(verb(ANN, "desk")))[0] == 403


async def until_later(workshop: Workshop) -> None:
    """A millisecond later: who is created in the very one in which a canary starts is not in it."""
    await until(partial(_is_after, workshop, workshop.clock.now()))


def _is_after(workshop: Workshop, time: int) -> bool:
    return workshop.clock.now() > time
