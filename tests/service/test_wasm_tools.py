"""Tools that modules carry out, pushed to a server, called by it, and changed while entities live."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from temper.runtime import Grant, Grants, load_grants
from temper.runtime.tools import Pace
from temper.service import Declined, Loaded, Person, Settings, Workshop
from temper.service.settings import PushSection
from tests.runtime.modules import says, wat
from tests.service.shop import ADMIN, opened

CLERK = Person("eve", frozenset({"clerk"}))
PUSH = PushSection(levels=("scenarios",), allow_unknown=True)
SHOP = """blueprint shop

role clerk

tool rules.judge(text: string) -> (score: int 0..9)
  timeout 10s
  from wasm "rules.wat"

entity Order
  states Asked, Told, Failed

  text: string
  score: int 0..9 = 0
  kind: string = ""
  why: string = ""

  action Ask(text) by clerk from new, Told, Failed to Asked
    set text
    call rules.judge(text) then Tell(result.score) else Fail(error.kind, error.text)

  action Tell(score) by system from Asked to Told
    set score

  action Fail(kind, why) by system from Asked to Failed
    set kind, why

  late Tell, Fail ignore
"""


async def asked(workshop: Workshop, id: str) -> tuple[str, object, object]:
    """Ask, and return what came of it."""
    made = await workshop.create(CLERK, "shop", "Order", None, {"text": "a new disk", "id": id})
    assert made.after == "Asked"
    waited = await workshop.wait(CLERK, "shop", "Order", id, "state is not Asked", timeout_ms=10_000)
    entity = waited.entity
    return entity.state, entity.fields["score"], entity.fields["kind"]


def files(module: str) -> dict[str, str]:
    return {"shop.blueprint": SHOP, "rules.wat": module}


async def test_a_module_is_pushed_called_and_changed_without_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", push=PUSH) as workshop:
        one = await workshop.push(ADMIN, "shop", files(says('{"ok": {"score": 1}}')))
        assert [each.text for each in one.changes if each.kind == "note"] == []
        assert await asked(workshop, "o1") == ("Told", 1, "")
        plan = await workshop.plan(ADMIN, "shop", files(says('{"ok": {"score": 2}}')))
        assert any("rules.wat" in each.text for each in plan.changes)
        two = await workshop.push(ADMIN, "shop", files(says('{"ok": {"score": 2}}')))
        assert (two.version, two.digest != one.digest) == (2, True)
        assert await asked(workshop, "o2") == ("Told", 2, "")
        assert workshop.sources(ADMIN, "shop") == files(says('{"ok": {"score": 2}}'))
    async with opened(tmp_path / "data", push=PUSH) as workshop:
        # It is in the store, with the version that names it; and so is the one before.
        assert await asked(workshop, "o3") == ("Told", 2, "")
        assert (await workshop.rollback(ADMIN, "shop")).version == 3
        assert await asked(workshop, "o4") == ("Told", 1, "")


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (wat("(loop (br 0)) (unreachable)"), "out_of_fuel"),
        (wat("(unreachable)"), "trapped"),
        (wat("(i64.const -1)"), "bad_answer"),
        # Of JSON, and not of the declared types: ruling 29, as with every tool.
        (says('{"ok": {"score": 10}}'), "bad_answer"),
        (says('{"ok": {"score": "1"}}'), "bad_answer"),
        (says('{"ok": {}}'), "bad_answer"),
        (says('{"failed": {"kind": "no_rule", "text": "none fits"}}'), "no_rule"),
    ],
)  # fmt: skip
async def test_ruling_29_what_a_module_does_wrong_is_a_failed_outcome(tmp_path: Path, module: str, kind: str) -> None:
    async with opened(tmp_path / "data", push=PUSH) as workshop:
        await workshop.push(ADMIN, "shop", files(module))
        assert await asked(workshop, "o1") == ("Failed", 0, kind)


async def test_a_module_is_called_at_the_pace_of_its_settings(tmp_path: Path) -> None:
    """One an hour: the first is answered, and the second waits and says for what."""
    settings = Settings(push=PUSH, tools={"rules.judge": {"adapter": "wasm", "rate": "1/h"}})
    workshop = await Workshop.open(Loaded(settings, tmp_path))
    try:
        await workshop.push(ADMIN, "shop", files(says('{"ok": {"score": 1}}')))
        assert await asked(workshop, "o1") == ("Told", 1, "")
        await workshop.create(CLERK, "shop", "Order", None, {"text": "", "id": "o2"})
        (tool,) = await workshop.tools(ADMIN, "shop")
        assert (tool.tool, tool.bound, tool.waiting, tool.why) == ("rules.judge", True, 1, "its rate is used up")
        assert (await workshop.read(CLERK, "shop", "Order", "o2")).state == "Asked"
    finally:
        await workshop.close()


def test_the_pace_of_a_module_is_read_like_every_other() -> None:
    bound = {"adapter": "wasm", "concurrency": 2, "breaker_failures": 5, "breaker_pause": "1m"}
    grants, problems = load_grants({"tools": {"a.b": bound}})
    assert (problems, grants.of("a.b").pace, grants.of("c.d").pace) == ([], Pace(2, None, 1000, 1, 5, 60_000), Pace())
    _, (problem,) = load_grants({"tools": {"a.b": {"adapter": "wasm", "rate": "often"}}})
    assert problem.text == "`often` is no rate"


async def test_a_server_answers_while_modules_loop(tmp_path: Path) -> None:
    """They loop in their threads, and let go of the interpreter while they do."""
    async with opened(tmp_path / "data", push=PUSH) as workshop:
        workshop._bindings.modules.grants = Grants(Grant(fuel=100_000_000))
        await workshop.push(ADMIN, "shop", files(wat("(loop (br 0)) (unreachable)")))
        looping = [asyncio.create_task(asked(workshop, f"o{number}")) for number in range(8)]
        await asyncio.sleep(0)
        for number in range(5):
            made = await workshop.create(CLERK, "shop", "Order", None, {"text": "", "id": f"p{number}"})
            assert made.after == "Asked"
        assert {each[2] for each in await asyncio.gather(*looping)} == {"out_of_fuel"}


async def test_a_push_whose_module_is_missing_or_unsound_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", push=PUSH) as workshop:
        await workshop.push(ADMIN, "shop", files(says('{"ok": {"score": 1}}')))
        for texts, code in (({"shop.blueprint": SHOP}, "B801"), (files("(module)"), "B802")):
            with pytest.raises(Declined) as declined:
                await workshop.push(ADMIN, "shop", texts)
            assert declined.value.problem.type == "broken-blueprint"
            assert [each.code for each in declined.value.problem.findings] == [code]
        assert await asked(workshop, "o1") == ("Told", 1, "")
