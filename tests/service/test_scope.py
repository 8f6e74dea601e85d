"""A credential with a scope sees and changes what is in it, and nothing else; what is outside is not there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from temper.kernel import Facts
from temper.service import Declined, Person, Workshop
from temper.service.scope import scope_problem, within
from tests.service.shop import ADMIN, ANN, BEFORE, PLAN

INSIDE = replace(ANN, entities=frozenset({"helix/Rollout/r1"}))
KIND = replace(ANN, entities=frozenset({"helix/Rollout"}))
ELSEWHERE = replace(ANN, entities=frozenset({"other/Rollout"}))
READER = replace(ANN, read_only=True)


@pytest.fixture
async def two(shop: Workshop) -> Workshop:
    """Two rollouts, `r1` and `r2`."""
    for id in ("r1", "r2"):
        await shop.create(ANN, "helix", "Rollout", None, PLAN | {"id": id, "cluster": id})
    return shop


READS: dict[str, Callable[[Workshop, Person, str], Awaitable[Any]]] = {
    "read": lambda shop, who, id: shop.read(who, "helix", "Rollout", id),
    "past": lambda shop, who, id: shop.past(who, "helix", "Rollout", id, "9"),
    "history": lambda shop, who, id: shop.history(who, "helix", "Rollout", id),
    "possible": lambda shop, who, id: shop.possible(who, "helix", "Rollout", id),
    "why": lambda shop, who, id: shop.why(who, "helix", "Rollout", id, "Halt", {"reason": "no"}),
    "wait": lambda shop, who, id: shop.wait(who, "helix", "Rollout", id, "state is Live", timeout_ms=0),
    "watch": lambda shop, who, id: anext(shop.watch(who, "helix", "Rollout", id, after=0)),
}


async def _declined(asked: Awaitable[Any]) -> tuple[int, str, str]:
    with pytest.raises(Declined) as declined:
        await asked
    problem = declined.value.problem
    return problem.status, problem.type, problem.title


@pytest.mark.parametrize("verb", READS)
async def test_what_is_outside_answers_a_read_as_what_is_not_there(two: Workshop, verb: str) -> None:
    await READS[verb](two, INSIDE, "r1")
    outside = await _declined(READS[verb](two, INSIDE, "r2"))
    missing = await _declined(READS[verb](two, ANN, "r3"))
    assert outside[:2] == (404, "not-found")
    assert outside[2].replace("r2", "r3") == missing[2]


async def test_a_list_and_its_count_hold_what_is_in_the_scope(two: Workshop) -> None:
    page = await two.list(INSIDE, "helix", "Rollout", count=True)
    assert [each.id for each in page.items] == ["r1"]
    assert page.count == 1
    page = await two.list(KIND, "helix", "Rollout", count=True, sort="id")
    assert [each.id for each in page.items] == ["r1", "r2"]
    page = await two.list(INSIDE, "helix", "Rollout", filter='cluster == "r2"', count=True)
    assert (page.items, page.count) == ((), 0)


async def test_a_stream_of_a_blueprint_tells_of_what_is_in_the_scope(two: Workshop) -> None:
    stream = two.watch(replace(INSIDE, entities=frozenset({"helix/Rollout/r2"})), "helix", after=0)
    entry = await anext(stream)
    await cast("AsyncGenerator[Any, None]", stream).aclose()
    assert entry.id == "r2"


async def test_a_write_outside_is_refused_whether_or_not_it_is_there(two: Workshop) -> None:
    halt = {"reason": "no"}
    there = await _declined(two.act(INSIDE, "helix", "Rollout", "r2", "Halt", halt))
    missing = await _declined(two.act(INSIDE, "helix", "Rollout", "r3", "Halt", halt))
    nowhere = await _declined(two.act(INSIDE, "nowhere", "Rollout", "r3", "Halt", halt))
    assert {there[:2], missing[:2], nowhere[:2]} == {(403, "out-of-scope")}
    assert (await two.read(ANN, "helix", "Rollout", "r2")).version == 1


async def test_an_entity_is_created_under_an_id_that_the_scope_names(shop: Workshop) -> None:
    assert (await _declined(shop.create(INSIDE, "helix", "Rollout", None, PLAN)))[1] == "out-of-scope"
    asked = shop.why(INSIDE, "helix", "Rollout", None, "Plan", PLAN | {"id": "r2"})
    assert (await _declined(asked))[1] == "out-of-scope"
    assert (await shop.create(INSIDE, "helix", "Rollout", None, PLAN | {"id": "r1"})).entity.id == "r1"
    assert (await shop.create(KIND, "helix", "Rollout", None, PLAN | {"cluster": "b"})).entity.id


async def test_who_may_only_read_changes_nothing(two: Workshop) -> None:
    assert (await two.read(READER, "helix", "Rollout", "r1")).id == "r1"
    assert (await _declined(two.create(READER, "helix", "Rollout", None, PLAN)))[1] == "out-of-scope"
    assert (await _declined(two.act(READER, "helix", "Rollout", "r1", "Halt", {"reason": "no"})))[1] == "out-of-scope"
    reader = replace(ADMIN, read_only=True)
    assert (await _declined(two.push(reader, "helix", BEFORE)))[1] == "out-of-scope"
    assert (await _declined(two.rollback(reader, "helix", 1)))[1] == "out-of-scope"
    with pytest.raises(Declined):
        two.make_token(reader, "ann", ())


async def test_a_blueprint_outside_is_not_there(two: Workshop) -> None:
    assert two.blueprints(ELSEWHERE) == ()
    with pytest.raises(Declined) as outside:
        two.shape(ELSEWHERE, "helix")
    with pytest.raises(Declined) as missing:
        two.shape(ANN, "felix_the_cat")
    assert outside.value.problem.title == "there is no blueprint `helix`"
    assert outside.value.problem.status == missing.value.problem.status
    near = replace(ELSEWHERE)
    with pytest.raises(Declined) as misspelt:
        two.shape(near, "helx")
    assert "helix" not in misspelt.value.problem.help


async def test_what_speaks_of_a_whole_blueprint_needs_all_of_it(two: Workshop) -> None:
    assert (await _declined(two.letters(KIND, "helix")))[1] == "out-of-scope"
    assert (await _declined(two.tools(KIND, "helix")))[1] == "out-of-scope"
    assert await two.tools(replace(ANN, entities=frozenset({"helix"})), "helix")


@pytest.mark.parametrize(
    ("paths", "bounds", "inside"),
    [
        (["helix/Rollout/r1"], None, True),
        (["helix/Rollout/r1"], {"helix"}, True),
        (["helix/Rollout/r1"], {"helix/Rollout"}, True),
        (["helix/Rollout"], {"helix/Rollout/r1"}, False),
        (["helix"], {"helix/Rollout"}, False),
        (["helixir"], {"helix"}, False),
        (["helix/Rollout", "bank"], {"helix", "shop"}, False),
        ([], {"helix"}, True),
    ],
)
def test_a_scope_reaches_no_further_than_its_bounds(paths: list[str], bounds: set[str] | None, inside: bool) -> None:
    assert within(paths, frozenset(bounds) if bounds is not None else None) is inside


@pytest.mark.parametrize("path", ["", "Helix", "helix/rollout", "helix/Rollout/", "helix//r1", "helix/Rollout/r1/x"])
def test_a_path_of_a_scope_is_read_strictly(path: str) -> None:
    assert scope_problem([path]) is not None
    assert scope_problem(["helix", "helix/Rollout", "helix/Rollout/r-1.2"]) is None


def test_what_policies_may_ask_of_a_person() -> None:
    assert ANN.facts == Facts()
    agent = Person("ann#bot", teams=frozenset({"core"}), attributes={"site": "eu"}, session="bot", via="mcp")
    assert agent.facts == Facts(frozenset({"core"}), {"site": "eu"}, "bot", "mcp")
