"""Policies that can never apply, and those that others make needless: what is told, and what Cedar itself says."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.kernel import NO_FACTS
from temper.runtime import Gate, read_policies
from temper.table import Act, Caller, Snapshot
from temper.text import Code, Source
from tests.kernel.shop import compiled

YARD = """\
blueprint yard

role boss, worker

entity Dock
  states Open, Shut
  final Shut

  action Dig() by boss from new to Open

  action Shut by boss from Open to Shut

entity Crane
  states Idle, Busy, Gone
  final Gone

  stage: one of (alpha, beta)
  load: int 0..9
  weight: int = 0
  least: int 0.. = 0
  owner: principal
  spare: principal?
  up: bool
  dock: Dock

  action Build(stage, load, up, dock) by boss from new to Idle
    set stage, load, up, dock
    set owner = caller

  action Move(to: int 0..9, how: one of (fast, slow)) by boss, worker from Idle, Busy to Busy
    set load = to

  action Scrap by boss from Idle, Busy to Gone
"""
WRITE = 'action in yard::Action::"write"'
READ = 'action == yard::Action::"Crane.read"'
APPROVE = 'action == yard::Action::"Crane.Move.approve"'
BUILD = 'action == yard::Action::"Crane.Build"'
MOVE = 'action == yard::Action::"Crane.Move"'
SCRAP = 'action == yard::Action::"Crane.Scrap"'
BOSS = 'principal in temper::Role::"boss"'
TABLE = compiled(YARD)


def told(*policies: str) -> list[tuple[str, str]]:
    problems = read_policies([Source("yard.cedar", "\n".join(policies))], TABLE).problems
    return [(problem.code.name, problem.message) for problem in problems]


def forbid(action: str, when: str = "true", principal: str = "principal") -> str:
    return f"forbid ({principal}, {action}, resource) when {{ {when} }};"


def permit(action: str, when: str = "true", principal: str = "principal") -> str:
    return f"permit ({principal}, {action}, resource) when {{ {when} }};"


NEVER = [
    "principal.agent && !principal.agent",
    "principal has acts_for && !principal.agent",
    f"{BOSS} && !({BOSS})",
    'principal == temper::Principal::"ann" && principal.name == "bob"',
    "resource.load > 5 && resource.load < 5",
    "resource.load > 9",
    "resource.load < context.params.to && context.params.to > 20",
    'resource.stage == "alpha" && resource.stage == "beta"',
    'context.params.how != "fast" && context.params.how != "slow"',
    'resource.dock.state == "Open" && resource.dock.state == "Shut"',
    "resource is yard::Dock",
    "1 > 2",
    'context.via == "mcp" && context.via == "http"',
    "if principal.agent then !principal.agent else principal has acts_for",
    "!(resource has load)",
]  # fmt: skip
MAY = [
    'principal.agent && principal.name == "bob"',
    f'{BOSS} && principal in temper::Role::"worker"',
    "resource.load > 5 && resource.load < 7",
    "resource.load >= 9",
    "resource.weight > 9",
    # An integer that Cedar can't hold is forbidden by it.
    "resource.least < 0",
    'resource.stage == "alpha" || resource.stage == "beta"',
    'resource.state == "Busy"',
    "resource.owner != principal && resource has spare && resource.spare == principal",
    'resource.dock.state == "Shut"',
    "resource is yard::Crane",
    "if principal.agent then principal has acts_for else resource.up",
    'resource.owner == temper::Principal::"a" && principal == temper::Principal::"b"',
]  # fmt: skip


@pytest.mark.parametrize("when", NEVER)
def test_conditions_that_cannot_hold_together_are_told_of(when: str) -> None:
    assert [code for code, _ in told(forbid(MOVE, when))] == ["B815"]


@pytest.mark.parametrize("when", MAY)
def test_conditions_that_can_hold_are_left_alone(when: str) -> None:
    assert told(forbid(MOVE, when)) == []


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (forbid(MOVE, 'context.via == "htpp"'), "unknown value of `via` `htpp`"),
        (forbid(MOVE, 'context.params.how == "fasst"'), "unknown value of `how` `fasst`"),
        (forbid(MOVE, 'resource.dock.state == "Opn"'), "unknown state `Opn`"),
        (forbid(WRITE, 'resource.state == "Bsy"'), "unknown state `Bsy`"),
        (forbid(SCRAP, 'resource.state == "Gone"'), "nothing that this policy forbids is possible from `Gone`"),
        (forbid(BUILD, "resource has up && resource.up"),
         "nothing that this policy forbids is possible from `Busy`, `Gone`, `Idle`"),
        (permit(READ, 'resource.state == "new"'), "the conditions of this policy can't hold together"),
    ],
)  # fmt: skip
def test_what_an_entity_never_is_is_told_of(policy: str, message: str) -> None:
    assert [text for _, text in told(policy)][:1] == [message]


# Two policies: the first, and a second that it covers.
COVERED = [
    (forbid(MOVE, "principal.agent"), forbid(MOVE, "principal.agent && resource.load > 5")),
    (forbid(MOVE, "principal.agent"), forbid(MOVE, "resource.load > 5 && principal.agent")),
    (forbid(MOVE, "principal.agent || principal.admin"), forbid(MOVE, "principal.agent")),
    (forbid(MOVE, "principal.agent"), f"forbid (principal, {MOVE}, resource) unless {{ !principal.agent }};"),
    (forbid(MOVE, "resource.load > 3"), forbid(MOVE, "resource.load >= 7")),
    (forbid(MOVE, 'resource.state != "Idle"'), forbid(MOVE, 'resource.state == "Busy"')),
    (forbid(MOVE, 'resource.stage != "alpha"'), forbid(MOVE, 'resource.stage == "beta"')),
    (forbid(MOVE, principal=BOSS), forbid(MOVE, BOSS)),
    (forbid(MOVE, BOSS), forbid(MOVE, "resource.up", principal=BOSS)),
    (forbid(MOVE, 'principal in [temper::Role::"boss", temper::Role::"worker"]'), forbid(MOVE, principal=BOSS)),
    (forbid(WRITE), forbid('action in [yard::Action::"Crane.Move", yard::Action::"Crane.Scrap"]')),
    (forbid('action in [yard::Action::"Crane.Move", yard::Action::"Crane.Scrap"]'), forbid(MOVE, "resource.up")),
    (permit(READ, BOSS), permit(READ, f"{BOSS} && resource.up")),
]  # fmt: skip
# Two policies neither of which covers the other.
APART = [
    (forbid(MOVE, "principal.agent"), forbid(SCRAP, "principal.agent && resource.load > 5")),
    (forbid(MOVE, "principal.agent"), forbid(MOVE, "principal.admin")),
    (forbid(MOVE, "resource.load > 3"), forbid(MOVE, "resource.load < 5")),
    (forbid(MOVE, principal=BOSS), forbid(MOVE, 'principal in temper::Role::"worker"')),
    (forbid(MOVE, 'resource.owner == temper::Principal::"a"'), forbid(MOVE, 'principal == temper::Principal::"a"')),
    # Where Cedar can't hold the weight the second forbids, and the first does not.
    (forbid(MOVE, "principal.agent"), forbid(MOVE, "resource.weight > 5 && principal.agent")),
    (permit(READ, "principal.agent"), forbid(READ, "principal.agent && resource.up")),
    (permit(APPROVE, BOSS), forbid(APPROVE, "principal.agent")),
]  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow"), COVERED)
def test_a_policy_that_another_covers_is_told_of(wide: str, narrow: str) -> None:
    """In either order, though of two that mean the same the second is the one to leave out."""
    both = [f'@id("wide") {wide}', f'@id("narrow") {narrow}']
    message = "the policy `narrow` says nothing that `wide` does not say"
    assert told(*both) == [("B816", message)]
    assert told(*reversed(both))[0][0] == "B816"


@pytest.mark.parametrize("policies", APART)
def test_policies_that_do_not_cover_each_other_are_left_alone(policies: tuple[str, str]) -> None:
    assert told(*policies) == []
    assert told(*reversed(policies)) == []


def test_of_three_that_mean_the_same_one_stays() -> None:
    same = ["resource.load > 4", "!(resource.load <= 4)", "resource.load >= 5"]
    assert [text for _, text in told(*(forbid(MOVE, f"resource.up && {when}") for when in same))] == [
        "the policy `yard.cedar/2` says nothing that `yard.cedar/1` does not say",
        "the policy `yard.cedar/3` says nothing that `yard.cedar/1` does not say",
    ]


@pytest.mark.parametrize("action", [READ, APPROVE])
def test_a_permit_under_a_forbid_is_told_of(action: str) -> None:
    policies = f'@id("yes") {permit(action, principal=BOSS)}', f'@id("no") {forbid(action)}'
    assert told(*policies) == [("B816", "the policy `yes` lets nobody do anything: `no` forbids all that it permits")]


def test_a_forbid_of_what_nothing_permits_is_told_of() -> None:
    assert told(f'@id("no") {forbid(APPROVE)}') == [("B816", "the policy `no` forbids what nothing permits")]


def test_a_permit_that_matters_for_a_part_says_for_which_it_does_not() -> None:
    policy = permit('action in [yard::Action::"Crane.Move", yard::Action::"Crane.Move.approve"]', BOSS)
    assert told(policy) == [
        ("B817", "this `permit` adds nothing for `Crane.Move`: who may take an action is what its `by` says")
    ]


# --- against Cedar ----------------------------------------------------------------------------------------------------

ATOMS = [
    "principal.agent", "principal has acts_for", BOSS, 'principal == temper::Principal::"ann"',
    'principal.name == "bob"', 'resource.state == "Idle"', 'resource.state != "Busy"', 'resource.stage == "alpha"',
    "resource.up", "resource.load > 4", "resource.load <= 4", "resource.load == 9", "context.params.to < 1",
    'context.params.how == "fast"', '["alpha", "beta"].contains(resource.stage)', "resource has up", "true",
    "resource.weight > 3", "resource.weight < 3",
]  # fmt: skip
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda each: f"!({each})"),
    ),
    max_leaves=4,
)
DRAWN = st.builds(
    lambda when, kind, who: f"forbid ({who}, {MOVE}, resource) {kind} {{ {when} }};",
    CONDITIONS, st.sampled_from(["when", "unless"]), st.sampled_from(["principal", BOSS]),
)  # fmt: skip
PEOPLE = [
    Caller(name, frozenset(roles), behind)
    for name, roles, behind in product(("ann", "bob", "eve"), ((), ("boss",)), (None, "cat"))
]


def _fields(stage: str, up: bool, load: int, weight: int) -> dict[str, Any]:
    return {
        "stage": stage, "up": up, "load": load, "weight": weight, "least": 0, "owner": "ann", "spare": None, "dock": "d"
    }  # fmt: skip


CRANES = [
    Snapshot("Crane", "c", state, _fields(stage, up, load, weight), 1, 1, 0, 0)
    for state, stage, up, load, weight in [
        *product(("Idle",), ("alpha", "beta"), (True, False), (4, 9), (0, 3, 1 << 63)),
        *product(("Busy",), ("alpha", "beta"), (True, False), (5, 9), (5,)),
    ]
]


class Docks:
    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return Snapshot("Dock", id, "Open", {}, 1, 1, 0, 0)

    def referrers(self, entity: str, field: str, id: str, limit: int) -> tuple[str, ...]:
        return ()


def _applies(policy: str, caller: Caller, crane: Snapshot, params: dict[str, Any]) -> bool:
    """Return whether a policy alone forbids a move, as Cedar has it."""
    read = read_policies([Source("yard.cedar", policy)], None)
    table = msgspec.structs.replace(TABLE, policies=read.policies)
    event = Act("e", 1, "Move", params, caller, "Crane", "c")
    return not Gate().ruling(table, crane, event, NO_FACTS, Docks()).allowed


REQUESTS = st.tuples(
    st.sampled_from(PEOPLE), st.sampled_from(CRANES),
    st.sampled_from([{"to": to, "how": how} for to, how in product((0, 1), ("fast", "slow"))]),
)  # fmt: skip


@given(DRAWN, DRAWN, st.lists(REQUESTS, min_size=8, max_size=8))
@settings(max_examples=150)
def test_what_is_said_of_two_policies_holds_of_each_request(
    one: str, other: str, requests: list[tuple[Caller, Snapshot, dict[str, Any]]]
) -> None:
    text = f"{one}\n{other}"
    problems = read_policies([Source("yard.cedar", text)], TABLE).problems
    second = text.index("\n")
    never = {"one" if each.primary.span.start < second else "other" for each in problems if each.code is Code.B815}
    needless = {"one" if each.primary.span.start < second else "other" for each in problems if each.code is Code.B816}
    for request in requests:
        held = request[1].fields["weight"] != 1 << 63
        applied = {name for name, policy in (("one", one), ("other", other)) if _applies(policy, *request)}
        assert not (held and never & applied)
        assert not needless & applied or applied == {"one", "other"}
