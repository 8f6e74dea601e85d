"""The verbs, against a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from temper.kernel import Batch, Stale
from temper.runtime import SqliteStore
from temper.service import CannotOpen, Declined, Person, Workshop, load_settings, wire
from tests.service.shop import ADMIN, ANN, BEFORE, BOB, CAT, HELIX, PLAN, Prepared, copied, opened

ADMINS = "use an administrator's token (`temper token make NAME --admin`)"
Ask = Callable[[Workshop], Awaitable[Any]]


async def declined(asked: Awaitable[Any]) -> wire.Problem:
    """Return the problem with which a verb was declined."""
    with pytest.raises(Declined) as caught:
        await asked
    return caught.value.problem


async def planned(shop: Workshop, **params: object) -> str:
    """Return the id of a new rollout."""
    made = await shop.create(ANN, "helix", "Rollout", None, {**PLAN, **params})
    return made.entity.id


async def test_a_new_entity_has_what_its_creating_action_set(shop: Workshop) -> None:
    made = await shop.create(BOB, "helix", "Rollout", None, {**PLAN, "id": "r1"})
    assert (made.before, made.after, made.entity.id, made.entity.version) == ("new", "Planned", "r1", 1)
    assert made.entity.fields == {**PLAN, "moved": 0, "halted_because": None}
    assert await shop.read(ANN, "helix", "Rollout", "r1") == made.entity


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        # What is not there.
        (lambda s: s.read(ANN, "helx", "Rollout", "r1"), ("not-found", 404, "did you mean `helix`?")),
        (lambda s: s.read(ANN, "helix", "Rolout", "r1"), ("not-found", 404, "did you mean `Rollout`?")),
        (lambda s: s.read(ANN, "helix", "Rollout", "r1"), ("not-found", 404, "")),
        (lambda s: s.act(ANN, "helix", "Rollout", "r1", "Strat", {}), ("not-found", 404, "did you mean `Start`?")),
        (lambda s: s.act(ANN, "helix", "Rollout", "r1", "Start", {}), ("not-found", 404, "")),
        (lambda s: s.history(ANN, "helix", "Rollout", "r1"), ("not-found", 404, "")),
        (lambda s: s.rollback(ADMIN, "helix", 7), ("not-found", 404, "versions go from 1 to 1")),
        # What does not fit.
        (lambda s: s.create(ANN, "helix", "Rollout", "Start", PLAN), ("bad-request", 422, "what does: `Plan`")),
        (lambda s: s.create(ANN, "helix", "Rollout", None, {**PLAN, "brokers": 65}), ("bad-request", 422, "")),
        (lambda s: s.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "events"}), ("bad-request", 422, "")),
        (lambda s: s.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "../x"}), ("bad-request", 422, "")),
        (lambda s: s.create(ANN, "helix", "Rollout", None, PLAN, key=""), ("bad-request", 400, "")),
        (lambda s: s.list(ANN, "helix", "Rollout", limit=0), ("bad-request", 422, "")),
        (lambda s: s.list(ANN, "helix", "Rollout", filter="state == Live"), ("bad-request", 422, "")),
        (lambda s: s.list(ANN, "helix", "Rollout", sort="move"), ("bad-request", 422, "")),
        (lambda s: s.list(ANN, "helix", "Rollout", cursor="!"), ("bad-request", 422, "")),
        # Who may not.
        (lambda s: s.create(CAT, "helix", "Rollout", None, PLAN), ("denied", 403, "")),
        (lambda s: s.push(ANN, "helix", HELIX), ("denied", 403, ADMINS)),
        (lambda s: s.plan(ANN, "helix", HELIX), ("denied", 403, ADMINS)),
        (lambda s: s.rollback(ANN, "helix"), ("denied", 403, ADMINS)),
        # What cannot be pushed.
        (lambda s: s.push(ADMIN, "helix", {}), ("bad-request", 422, "")),
        (lambda s: s.push(ADMIN, "other", HELIX), ("bad-request", 422, "push them to `/v1/helix`")),
        (lambda s: s.push(ADMIN, "helix", HELIX, if_version=4), ("stale", 412, "read it again, and decide again")),
        (lambda s: s.push(ADMIN, "helix", {"a.blueprint": "blueprint helix\nentty A"}), ("broken-blueprint", 422, "")),
    ],
)  # fmt: skip
async def test_what_is_declined(shop: Workshop, ask: Ask, expected: tuple[str, int, str]) -> None:
    """One row, one way to be declined: the kind of problem, its status, and what helps."""
    problem = await declined(ask(shop))
    assert (problem.type, problem.status, problem.help) == expected


async def test_every_parameter_that_does_not_fit_is_named(shop: Workshop) -> None:
    body = {"clustr": "orders", "build": 2, "brokers": 0}
    problem = await declined(shop.create(ANN, "helix", "Rollout", None, body))
    assert {error.path for error in problem.errors} == {"/clustr", "/build", "/brokers", "/cluster", "/previous"}
    assert "did you mean `cluster`?" in problem.errors[0].message


async def test_a_refusal_says_why_where_and_what_is_possible(shop: Workshop) -> None:
    id = await planned(shop)
    problem = await declined(shop.act(CAT, "helix", "Rollout", id, "Promote", {}))
    assert (problem.type, problem.status, problem.why) == ("refused", 409, "no case")
    assert problem.detail == "`Promote` is possible from `Verifying`; this Rollout is `Planned`"
    assert problem.clause is not None
    assert problem.clause.text == "action Promote by release_manager from Verifying to Live"
    theirs = await declined(shop.act(ANN, "helix", "Rollout", id, "Resume", {}))
    assert [each.action for each in theirs.next] == ["Start"]
    assert theirs.next[0].href == f"/v1/helix/Rollout/{id}/Start"


async def test_a_refusal_is_kept_in_the_history(shop: Workshop) -> None:
    id = await planned(shop)
    await declined(shop.act(BOB, "helix", "Rollout", id, "Start", {}))
    history = await shop.history(ANN, "helix", "Rollout", id)
    assert [(each.action, each.how, each.principal, each.actor) for each in history] == [
        ("Plan", "taken", "ann", "operator"),
        ("Start", "refused", "bob", ""),
    ]
    assert all(each.table_version == 1 for each in history)


async def test_a_key_is_answered_once_and_the_same(shop: Workshop) -> None:
    first = await shop.create(ANN, "helix", "Rollout", None, PLAN, key="k1")
    again = await shop.create(ANN, "helix", "Rollout", None, PLAN, key="k1")
    assert again.entity == first.entity
    assert again.replayed
    assert (await shop.list(ANN, "helix", "Rollout", count=True)).count == 1
    other = await declined(shop.create(ANN, "helix", "Rollout", None, {**PLAN, "brokers": 4}, key="k1"))
    assert other.type == "conflict"
    # Another person's key of the same name is another key.
    theirs = await shop.create(BOB, "helix", "Rollout", None, {**PLAN, "cluster": "other"}, key="k1")
    assert theirs.entity.id != first.entity.id


async def test_who_never_gets_through_may_try_again(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others always write first: that is no other use of the key, which takes the action later."""
    id = await planned(shop)

    def late(store: SqliteStore, batch: Batch) -> int:
        raise Stale("what it reads has changed")

    with monkeypatch.context() as others:
        others.setattr(SqliteStore, "append", late)
        problem = await declined(shop.act(ANN, "helix", "Rollout", id, "Start", {}, key="k1"))
    assert (problem.type, problem.status, problem.retry_after_ms) == ("contended", 503, 1000)
    assert (await shop.act(ANN, "helix", "Rollout", id, "Start", {}, key="k1")).after == "Rolling"


async def test_a_stale_caller_is_refused(shop: Workshop) -> None:
    id = await planned(shop)
    problem = await declined(shop.act(ANN, "helix", "Rollout", id, "Start", {}, if_version=9))
    assert (problem.type, problem.status) == ("stale", 412)
    assert (await shop.act(ANN, "helix", "Rollout", id, "Start", {}, if_version=1)).after == "Rolling"


async def test_a_dry_run_changes_nothing(shop: Workshop) -> None:
    id = await planned(shop)
    would = await shop.act(ANN, "helix", "Rollout", id, "Start", {}, dry_run=True)
    assert (would.after, would.dry_run) == ("Rolling", True)
    assert (await shop.read(ANN, "helix", "Rollout", id)).version == 1
    assert len(await shop.history(ANN, "helix", "Rollout", id)) == 1


async def test_unique_holds_until_the_other_is_final(shop: Workshop) -> None:
    await planned(shop)
    problem = await declined(shop.create(BOB, "helix", "Rollout", None, PLAN))
    assert (problem.type, problem.why) == ("refused", "not unique")


async def test_why_shows_each_clause_with_what_it_is_worth(shop: Workshop) -> None:
    id = await planned(shop)
    answer = await shop.why(CAT, "helix", "Rollout", id, "Promote", {})
    assert (answer.would, answer.why) == ("refuse", "no case")
    assert [(clause.kind, clause.holds) for clause in answer.clauses] == [("by", True), ("from", False)]
    would = await shop.why(ANN, "helix", "Rollout", id, "Start", {})
    assert would.would == "take"
    assert would.result is not None
    assert would.result.after == "Rolling"


async def test_now_lists_what_people_can_ask_for(shop: Workshop) -> None:
    id = await planned(shop)
    listed = await shop.possible(ANN, "helix", "Rollout", id)
    # `Moved` is by `system` alone: nobody can ask for it.
    assert {each.action: each.status for each in listed} == {
        "Start": "yes",
        "Promote": "no",
        "Halt": "no",
        "Resume": "no",
    }
    new = await shop.possible(CAT, "helix", "Rollout", None)
    assert [(each.action, each.status, each.why) for each in new] == [("Plan", "no", "denied")]


async def test_a_bundle_is_changed_while_its_entities_live(shop: Workshop) -> None:
    id = await planned(shop)
    await shop.act(ANN, "helix", "Rollout", id, "Start", {})
    await shop.act(ANN, "helix", "Rollout", id, "Halt", {"reason": "by hand"})
    plan = await shop.plan(ADMIN, "helix", HELIX)
    assert plan.pushable
    assert (plan.from_version, plan.stranded) == (1, ())
    assert any("RollBack" in each.text for each in plan.changes)
    pushed = await shop.push(ADMIN, "helix", HELIX, note="a way back")
    assert (pushed.version, pushed.unchanged) == (2, False)
    assert (await shop.push(ADMIN, "helix", HELIX)).unchanged
    assert (await shop.act(ANN, "helix", "Rollout", id, "RollBack", {})).after == "RollingBack"
    assert [(each.number, each.current) for each in shop.versions(ADMIN, "helix")] == [(2, True), (1, False)]
    # The first version has no place for it now: nothing changes, and the entity is named.
    problem = await declined(shop.rollback(ADMIN, "helix"))
    assert (problem.type, problem.status) == ("stranded", 409)
    assert [(each.id, each.state) for each in problem.stranded] == [(id, "RollingBack")]
    assert shop.shape(ADMIN, "helix").version == 2


async def test_a_rollback_is_a_push_of_the_earlier_version(shop: Workshop) -> None:
    await shop.push(ADMIN, "helix", HELIX)
    back = await shop.rollback(ADMIN, "helix")
    assert back.version == 3
    assert shop.sources(ADMIN, "helix") == BEFORE
    assert shop.versions(ADMIN, "helix")[0].note == "back to version 1"


async def test_a_broken_property_is_not_let_in(shop: Workshop) -> None:
    """The planted bug: a rollout goes on to `Verifying` when its first broker has moved."""
    text = BEFORE["helix.blueprint"]
    careless = text.replace("to Verifying when moved + 1 == brokers", "to Verifying")
    assert careless != text
    problem = await declined(shop.push(ADMIN, "helix", {"helix.blueprint": careless}))
    assert (problem.type, problem.status) == ("unverified", 422)
    assert "nobody is served by a half-moved cluster" in problem.detail
    assert shop.versions(ADMIN, "helix")[0].number == 1


async def test_no_request_fails_while_versions_change(shop: Workshop) -> None:
    """Requests go on while four swaps come between them, and each is answered."""
    stop, moved = asyncio.Event(), asyncio.Event()
    done = 0

    async def client(number: int) -> None:
        nonlocal done
        while not stop.is_set():
            id = await planned(shop, cluster=f"c{number}-{done}")
            done += 1
            moved.set()
            await shop.act(ANN, "helix", "Rollout", id, "Start", {})
            await shop.act(ANN, "helix", "Rollout", id, "Halt", {"reason": "enough"})

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    before = done
    await shop.push(ADMIN, "helix", HELIX)
    assert done > before, "the old table serves while the new one is judged"
    # The others have been judged, and come at once.
    for files in (BEFORE, HELIX, BEFORE):
        moved.clear()
        await moved.wait()
        await shop.push(ADMIN, "helix", files)
    stop.set()
    await asyncio.gather(*clients)
    assert shop.shape(ADMIN, "helix").version == 5


async def test_a_start_that_fails_leaves_the_first_token_to_one_that_shows_it(tmp_path: Path) -> None:
    settings = tmp_path / "temper.toml"
    settings.write_text('[server]\ndata = "data"\n\n[tools."pager.page"]\nadapter = "http"\nurl = "{secret:GONE}"\n')
    with pytest.raises(CannotOpen, match="GONE"):
        await Workshop.open(load_settings(settings, {}))
    async with opened(tmp_path / "data") as shop:
        assert shop.first_token is not None
        assert shop.authenticate(shop.first_token).admin


async def test_what_was_answered_is_there_after_a_restart(prepared: Prepared, tmp_path: Path) -> None:
    folder = copied(prepared, tmp_path / "data")
    async with opened(folder) as shop:
        assert shop.first_token is None
        assert shop.authenticate(prepared.token).admin
        id = await planned(shop)
        started = await shop.act(ANN, "helix", "Rollout", id, "Start", {})
        history = await shop.history(ANN, "helix", "Rollout", id)
    async with opened(folder) as shop:
        again = await shop.read(ANN, "helix", "Rollout", id)
        assert (again.state, again.version, again.fields) == (started.after, 2, started.entity.fields)
        assert (await shop.history(ANN, "helix", "Rollout", id))[: len(history)] == history


async def test_a_stream_tells_all_in_order(shop: Workshop) -> None:
    id = await planned(shop)
    seen: list[str] = []

    async def watcher() -> None:
        async for entry in shop.watch(ANN, "helix", "Rollout", id, after=0):
            seen.append(entry.action or "")
            if len(seen) == 3:
                return

    watching = asyncio.create_task(watcher())
    await shop.act(ANN, "helix", "Rollout", id, "Start", {})
    await shop.act(ANN, "helix", "Rollout", id, "Halt", {"reason": "x"})
    await asyncio.wait_for(watching, 10)
    assert seen == ["Plan", "Start", "Halt"]


async def test_a_wait_ends_when_its_condition_holds(shop: Workshop) -> None:
    id = await planned(shop)
    waiting = asyncio.create_task(shop.wait(ANN, "helix", "Rollout", id, "state is Rolling", timeout_ms=10_000))
    await shop.act(ANN, "helix", "Rollout", id, "Start", {})
    waited = await waiting
    assert (waited.met, waited.entity.state) == (True, "Rolling")
    late = await shop.wait(ANN, "helix", "Rollout", id, "state is Live", timeout_ms=1)
    assert (late.met, late.entity.state) == (False, "Rolling")


async def test_the_shape_says_what_can_be_asked(shop: Workshop) -> None:
    shape = shop.shape(Person("anyone"), "helix")
    (rollout,) = shape.entities
    plan = next(each for each in rollout.actions if each.name == "Plan")
    assert (plan.creates, plan.acts, plan.callable, plan.by) == (True, False, True, ("builder", "operator"))
    assert plan.params["required"] == ["cluster", "build", "previous", "brokers"]
    assert not next(each for each in rollout.actions if each.name == "Moved").callable
    assert rollout.description == "Rolls a build out through its StatefulSet, one broker at a time."
