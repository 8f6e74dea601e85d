"""The gate in a host: whom policies let act, and that nothing they refuse is ever written."""

from __future__ import annotations

import sys

import pytest

from temper.kernel import NO_FACTS, Done, Facts, No, RefusedEntry, Request
from temper.runtime import Gate
from temper.table import Act, Caller, Consent, Table, Why
from tests.kernel.driving import Driver
from tests.runtime.desk import DESK, FINISH, READ, WRITE, with_policies

CLERK = Caller("ann", frozenset({"clerk"}))
AGENT = Caller("bot", frozenset({"clerk"}), "ann")
NO = NO_FACTS
NIGHT = frozenset({"night"})
CHIEF = Caller("cat", frozenset({"chief"}))


def finish(conditions: str) -> str:
    return f"forbid (principal, {FINISH}, resource) {conditions};"


def opened(cedar: str) -> Driver:
    """Return a desk with two rooms and a ticket in each, made before there were policies."""
    driver = Driver(with_policies(""))
    for room in ("attic", "vault"):
        assert isinstance(driver.act("Room", room, "Build", CHIEF, name=room), Done)
    for id, room in (("t1", "attic"), ("t2", "vault")):
        assert isinstance(driver.act("Ticket", id, "File", CLERK, room=room, title=id), Done)
    ruled = Driver(with_policies(cedar), driver.store)
    ruled.host.gate = Gate()
    return ruled


def asked(driver: Driver, who: Caller, facts: Facts, action: str = "Finish", id: str = "t1") -> Done | No:
    request = Request(Act(driver.ids(), driver.at, action, {}, who, "Ticket", id), "Ticket", id, facts=facts)
    answer = driver.ask(request)
    assert isinstance(answer, Done | No)
    return answer


@pytest.mark.parametrize(
    ("cedar", "who", "facts", "allowed"),
    [
        # Nothing said, nothing narrowed.
        ("", AGENT, NO, True),
        (finish("when { principal.agent }"), AGENT, NO, False),
        (finish("when { principal.agent }"), CLERK, NO, True),
        (f'forbid (principal in temper::Role::"clerk", {FINISH}, resource);', CLERK, NO, False),
        (f'forbid (principal in temper::Role::"clerk", {FINISH}, resource);', CHIEF, NO, True),
        (f'forbid (principal == temper::Principal::"ann", {FINISH}, resource);', CLERK, NO, False),
        (f'forbid (principal, {FINISH}, resource == desk::Ticket::"t1");', CLERK, NO, False),
        (f'forbid (principal, {FINISH}, resource == desk::Ticket::"t2");', CLERK, NO, True),
        (f"forbid (principal, {WRITE}, resource is desk::Room);", CLERK, NO, True),
        (finish('when { resource.state == "Filed" }'), CLERK, NO, False),
        (finish('when { resource.state == "Held" }'), CLERK, NO, True),
        # Through a reference, as far as it goes.
        (finish('when { resource.room.name like "att*" }'), CLERK, NO, False),
        (finish('when { resource.room.name like "vau*" }'), CLERK, NO, True),
        (finish('when { resource.room.keeper.name == "cat" }'), CLERK, NO, False),
        (finish("when { resource.room.keeper == principal }"), CHIEF, NO, False),
        (finish("when { resource.room.keeper == principal }"), CLERK, NO, True),
        (finish('when { desk::Room::"vault".state == "Open" }'), CLERK, NO, False),
        # Values.
        (finish("when { resource.weight > 0 }"), CLERK, NO, False),
        (finish('when { resource.cost == decimal("1.0") }'), CLERK, NO, False),
        # What came with the credential.
        (f'forbid (principal in temper::Team::"night", {FINISH}, resource);', CLERK, Facts(NIGHT), False),
        (f'forbid (principal in temper::Team::"night", {FINISH}, resource);', CLERK, NO, True),
        (
            finish('unless { principal.hasTag("desk") && principal.getTag("desk") == "a" }'),
            CLERK, Facts(attributes={"desk": "a"}), True,
        ),
        (finish('unless { principal.hasTag("desk") }'), CLERK, NO, False),
        (finish('when { context.via == "mcp" }'), CLERK, Facts(via="mcp"), False),
        (
            finish('when { context has session && context.session == "s" }'),
            AGENT, Facts(session="s"), False,
        ),
        (finish("when { principal.admin }"), CLERK, Facts(admin=True), False),
        (finish('when { context.now > datetime("1970-01-01") }'), CLERK, NO, False),
        (finish('when { context.now < datetime("1970-01-01") }'), CLERK, NO, True),
        # What can't be evaluated counts against the caller: of another principal no more than the name is known.
        (finish("when { resource.room.keeper.admin }"), CLERK, NO, False),
        (finish("when { resource.weight * 9223372036854775807 + 1 > 0 }"), CLERK, NO, False),
    ],
)  # fmt: skip
def test_a_forbid_narrows_who_may(cedar: str, who: Caller, facts: Facts, allowed: bool) -> None:
    """One row, one policy, one caller who holds the role: whether the ticket can be finished."""
    driver = opened(cedar)
    answer = asked(driver, who, facts)
    now = driver.host.world(driver.at).snapshot("Ticket", "t1")
    assert now is not None
    if allowed:
        assert isinstance(answer, Done)
        assert now.state == "Done"
        return
    assert isinstance(answer, No)
    assert (answer.refused.why, answer.refused.policies) == (Why.FORBIDDEN, ("desk.cedar/1",))
    assert now.state == "Filed"
    *_, last = driver.store.history("Ticket", "t1", limit=9)
    assert last.refused == RefusedEntry("policy", answer.refused.text, "policy/desk.cedar/1", ("desk.cedar/1",))


def test_what_the_system_does_is_not_asked_of_policies() -> None:
    """A send delivers, and a timer fires, in the name of an agent whom policies would keep from doing so."""
    blueprint = (
        DESK.replace("Resume by clerk, chief", "Resume by clerk, chief, system") + "\n  in Held after 1h do Resume\n"
    )
    cedar = 'forbid (principal, action == desk::Action::"Ticket.Resume", resource) when { principal.agent };'
    driver = Driver(with_policies(cedar, blueprint))
    driver.host.gate = Gate()
    driver.act("Room", "attic", "Build", CHIEF, name="attic")
    driver.act("Ticket", "t1", "File", AGENT, room="attic", title="t")
    driver.act("Ticket", "t1", "Hold", AGENT, why="w")
    assert isinstance(asked(driver, AGENT, NO_FACTS, "Resume"), No)
    driver.wait(3_600_000)
    now = driver.host.world(driver.at).snapshot("Ticket", "t1")
    assert now is not None
    assert now.state == "Filed"


def test_a_consent_lifts_the_policies_that_it_is_about_and_lends_nobody_more() -> None:
    driver = opened(finish("when { principal.agent }"))
    for caller, consent, taken in (
        (AGENT, Consent("d1", AGENT, CHIEF, ("desk.cedar/1",)), True),
        # Nobody was asked about this policy.
        (AGENT, Consent("d1", AGENT, CHIEF, ("desk.cedar/2",)), False),
        # The giver acts, and is asked about himself.
        (AGENT, Consent("d1", CLERK, AGENT), False),
    ):
        event = Act(driver.ids(), driver.at, "Finish", {}, caller, "Ticket", "t2", consent=consent)
        answer = driver.ask(Request(event, "Ticket", "t2", dry_run=True))
        assert isinstance(answer, Done) is taken


@pytest.mark.parametrize(
    ("cedar", "action", "may"),
    [
        ("", "Finish", False),
        ('permit (principal, action in desk::Action::"approve", resource);', "Finish", True),
        ('permit (principal, action == desk::Action::"Ticket.Finish.approve", resource);', "Finish", True),
        ('permit (principal, action == desk::Action::"Ticket.Finish.approve", resource);', "Hold", False),
        # A forbid alone permits nobody.
        ("forbid (principal, action, resource) when { principal.agent };", "Finish", False),
    ],
)  # fmt: skip
def test_an_action_may_be_approved_where_a_permit_says_by_whom(cedar: str, action: str, may: bool) -> None:
    assert Gate().may_be_approved(with_policies(cedar), "Ticket", action) is may


APPROVERS = """
@id("chiefs")
permit (principal in temper::Role::"chief", action == desk::Action::"Ticket.Hold.approve", resource)
when { context.params.why != "" }
unless { context.requester == principal };
@id("people") forbid (principal, action in desk::Action::"approve", resource) when { principal.agent };
"""


@pytest.mark.parametrize(
    ("who", "why", "allowed", "by"),
    [
        (CHIEF, "w", True, ("chiefs",)),
        (CHIEF, "", False, ()),
        (CLERK, "w", False, ()),
        (Caller("bot2", frozenset({"chief"}), "cat"), "w", False, ("people",)),
        (Caller("ann", frozenset({"chief"})), "w", False, ()),
    ],
)
def test_who_may_approve(who: Caller, why: str, allowed: bool, by: tuple[str, ...]) -> None:
    table = with_policies(APPROVERS)
    driver = opened(APPROVERS)
    world = driver.host.world(driver.at)
    now = world.snapshot("Ticket", "t1")
    event = Act("e", 1, "Hold", {"why": why}, CLERK, "Ticket", "t1")
    ruling = Gate().may_approve(table, who, NO_FACTS, 1, now, event, world)
    assert (ruling.allowed, ruling.ids) == (allowed, by)


@pytest.mark.parametrize(
    ("cedar", "who", "seen"),
    [
        ("", CLERK, True),
        (f'permit (principal in temper::Role::"chief", {READ}, resource);', CHIEF, True),
        (f'permit (principal in temper::Role::"chief", {READ}, resource);', CLERK, False),
        (f"permit (principal, {READ}, resource) when {{ resource.room.keeper == principal }};", CLERK, False),
        (f"permit (principal, {READ}, resource) when {{ resource.room.keeper == principal }};", CHIEF, True),
        (f"forbid (principal, {READ}, resource) when {{ resource.weight == 1 }};", CHIEF, False),
    ],
)
def test_who_may_read(cedar: str, who: Caller, seen: bool) -> None:
    """Everybody, until a policy speaks of it; from a `permit` on, those whom one permits."""
    driver = opened(cedar)
    world = driver.host.world(driver.at)
    now = world.snapshot("Ticket", "t1")
    assert now is not None
    assert Gate().may_read(driver.table, who, NO_FACTS, now, 1, world) is seen


def test_policies_that_speak_of_something_else_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no policy covers is not asked: Cedar is not even loaded for it."""
    driver = opened(f"forbid (principal, {READ}, resource) when {{ principal.agent }};")
    monkeypatch.setitem(sys.modules, "cedarpy", None)
    assert isinstance(asked(driver, CLERK, NO_FACTS), Done)
    now = driver.host.world(driver.at).snapshot("Ticket", "t1")
    assert now is not None
    with pytest.raises(ImportError):
        Gate().may_read(driver.table, CLERK, NO_FACTS, now, 1, None)


def test_a_table_without_policies_is_spelt_as_it_was() -> None:
    from temper.table import dump
    from tests.kernel.shop import compiled

    assert b"policies" not in dump(compiled(DESK), notes=False)
    table: Table = with_policies(finish("when { principal.agent }"))
    assert b"policies" in dump(table, notes=False)
