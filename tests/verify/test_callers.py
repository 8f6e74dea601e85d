"""Who caused something travels along with it, and is told from others only where something still looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.verify import Limits, Verdict, verify
from temper.verify.explore.cone import Cone, Told, cone_of
from temper.verify.explore.search import explore
from temper.verify.system.found import Together, search_together
from tests.verify.texts import result_of, run_of, table_of

ROOT = Path(__file__).parents[2]
# Somebody begins, somebody starts, and in the end the system does what only remembers for whom.
CHAIN = """
    blueprint chain
    role starter
    tool out.ask()
      timeout 1m
    entity Thing
      states Made, Going, Idle, Waiting, Done
      final Done
      first: principal
      last: principal?
      n: int 0..1 = 0
      action Make by anyone from new to Made
        set first = WHO
      action Start by starter from Made to Going
        set n = 1
      HOW
      action Far by system from Going, Waiting to Done
        set last = WHO
      always "one and the same": last == none or last == first
"""
# How what is started leads to `Far`, and the run that shows who did.
HOWS = {
    "a call": ("in Going on entry call out.ask() then Far else Far", ["the tool out.ask: Far -> Done"]),
    "a timer": ("in Going after 1h do Far", ["the clock: Far -> Done"]),
    "whenever": ("in Going whenever n == 1 do Far", ["the clock: Far -> Done"]),
    "two after each other": (
        """in Going after 1h do Near
      action Near by system from Going to Waiting
      in Waiting on entry call out.ask() then Far else Far""",
        ["the clock: Near -> Waiting", "the tool out.ask: Far -> Done"],
    ),
    "what is late": (
        """in Going on entry call out.ask() then Near else Near
      action Near by system from Made to Going
      late Near do Far""",
        ["the tool out.ask: Far -> Done"],
    ),
    "what is deferred": (
        """in Going on entry call out.ask() then Far else Far
      in Going after 1h do Leave
      action Leave by system from Going to Idle
      in Idle
        defer Far
        after 1h do Rest
      action Rest by system from Idle to Waiting""",
        None,
    ),
}
WHO = ("caller", "caller.acts_for")


def chain(how: str, who: str) -> str:
    """Return the text of a chain."""
    return CHAIN.replace("HOW", how).replace("WHO", who)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("kind", HOWS)
def test_who_started_it_is_known_at_the_far_end(kind: str, who: str) -> None:
    """Somebody else may have begun it: each way of being caused carries who it was, and the shortest run shows it."""
    how, run = HOWS[kind]
    told = result_of(verify(table_of(chain(how, who)), levels=("search",)), "one and the same")
    assert told.verdict is Verdict.BROKEN
    first, second = (step.event for step in told.trace[:2])
    assert (first["acts_for"] or first["principal"]) != (second["acts_for"] or second["principal"]) or who == "caller"
    if run is not None:
        assert run_of(told) == ["anyone: Make -> Made", "starter: Start -> Going", *run]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("kind", HOWS)
def test_no_break_is_lost_and_none_is_longer(kind: str, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much is found, as near, where every cause carries all of its caller: in the system, and by `step`."""
    table = table_of(chain(HOWS[kind][0], who))
    assert cone_of(table, table.entities["Thing"]).caller.principals

    def found() -> list[object]:
        together = search_together(table, ["Thing"], Limits())
        assert isinstance(together, Together)
        alone = explore(table, "Thing", Limits())
        each = [together.explored["Thing"], alone]
        return [
            {key: run and len(run.stages) for key, run in ((key, at.run) for key, at in known.items())}
            for explored in each
            for known in (explored.breaks, explored.reached)
        ]

    fine = found()
    monkeypatch.setattr(Cone, "told", lambda self, actions: self.caller)
    assert found() == fine


def test_nobody_is_told_apart_where_nothing_looks_any_more() -> None:
    """`Start` asks for whom who acts; what is pending then is nobody's, as nothing that comes of it asks."""
    text = """
    blueprint quiet
    role starter
    tool out.ask()
      timeout 1m
    entity Thing
      states Made, Going, Done
      final Done
      first: principal
      action Make by anyone from new to Made
        set first = caller
      action Start by starter from Made to Going
        when caller != first and caller.acts_for != first
      in Going on entry call out.ask() then Far else Far
      action Far by system from Going to Done
    """
    table = table_of(text)
    cone = cone_of(table, table.entities["Thing"])
    assert cone.told(["Make"]) == Told(principals=True)
    assert cone.told(["Start"]) == Told(principals=True, acts_for=True)
    assert cone.told(["Far"]) == Told()
    found = search_together(table, ["Thing"], Limits())
    assert isinstance(found, Together)
    layout = found.system.meta["layout"]
    assert len(layout.principals) == 3  # One is kept, one asks, and one is behind it.
    assert len(layout.slots["Thing", 0].calls) == 3  # Of this visit, of an earlier one, ended: each on nobody's behalf.
    # With each of three in `first`: `Made`; `Going`, with its call; `Done`, where its answer may come still, or not.
    assert found.states == 3 * (1 + 1 + 2)


def test_a_guard_that_asks_for_both_makes_steps_and_no_states() -> None:
    """Whether an approver is the requester, or an agent of theirs: each of `apps/access` has as many states either way,
    as what an approval leads to asks for neither."""
    text = (ROOT / "apps/access/access.blueprint").read_text()
    asked = "when caller.acts_for != asked_by else "
    both = text.replace(asked, asked.replace("when", "when caller != asked_by and"))
    assert both.count("caller != asked_by and") == 2
    one, two = (search_together(table_of(each), ["Grant"], Limits()) for each in (text, both))
    assert isinstance(one, Together)
    assert isinstance(two, Together)
    assert one.states == two.states
    assert one.searched.transitions < two.searched.transitions


def test_what_changes_nothing_that_a_whenever_looks_at_makes_nothing_due() -> None:
    """Of two that are searched together, one waits for what the other never touches; only operators make it due."""
    text = """
    blueprint apart
    role operator, visitor
    role operator excludes visitor
    entity Deploy
      states Waiting, Set, Live
      final Live
      n: int 0..1 = 0
      action Make by operator from new to Waiting
      action Raise by operator from Waiting
        set n = 1
      in Waiting whenever n == 1 do GoLive
      action GoLive by system from Waiting to Live
    entity Note
      states Written, Read
      deploy: Deploy
      action Write(deploy) by visitor from new to Written
        set deploy
      action Look by visitor from Written to Read
        when deploy.state is Live
    never visitor enters Deploy.Live
    Deploy.Live needs 1 of operator by GoLive
    scope Deploy 1, Note 1
    """
    table = table_of(text)
    found = search_together(table, ["Deploy", "Note"], Limits())
    assert isinstance(found, Together)
    assert ("state", "Read") in found.explored["Note"].reached
    assert not found.explored["Deploy"].breaks


@pytest.mark.parametrize(
    "action",
    [
        "action Drop by clerk, owner from Open to Gone",
        "action Drop by clerk\n        from Open to Gone\n        from Open to Shut by anyone",
        "action Drop by clerk\n        from Open to Gone\n        from Open to Shut by owner",
    ],
)
def test_a_holder_of_a_role_comes_in_where_somebody_else_is_named_too(action: str) -> None:
    """`owner` names nobody here, so that whoever drops it does so by the role, which no guard and no property reads."""
    text = f"""
    blueprint named
    role clerk
    entity Thing
      states Open, Shut, Gone
      final Gone
      owner: principal?
      action Make by anyone from new to Open
      action Close by anyone from Open to Shut
      action Reopen by anyone from Shut to Open
      {action}
    Thing.Gone needs 2 by Drop
    """
    (needs,) = (each for each in verify(table_of(text), levels=("search",)).properties if "needs 2" in each.name)
    assert needs.verdict is Verdict.BROKEN
    assert run_of(needs) == ["anyone: Make -> Open", "clerk: Drop -> Gone"]


@pytest.mark.parametrize("by", ["admin, clerk", "clerk, admin"])
def test_a_role_that_a_property_asks_for_is_not_taken_to_be_held_by_who_comes_in_by_another(by: str) -> None:
    """A clerk who is no administrator may drop it, too: whichever of the two roles comes first, in order or text."""
    for asked in ("admin", "clerk"):
        text = f"""
        blueprint asked
        role admin, clerk
        entity Thing
          states Open, Gone
          final Gone
          action Make by anyone from new to Open
          action Drop by {by} from Open to Gone
        Thing.Gone needs 1 of {asked} by Drop
        """
        (needs,) = (each for each in verify(table_of(text), levels=("search",)).properties if "needs 1" in each.name)
        assert needs.verdict is Verdict.BROKEN
        assert run_of(needs) == ["anyone: Make -> Open", f"{'clerk' if asked == 'admin' else 'admin'}: Drop -> Gone"]
