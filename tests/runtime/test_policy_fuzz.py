"""Drawn policies, roles and requests: the server's answer is Cedar's own, and nothing that is refused is written.

Cedar is asked here about all of who may as one text (`temper policies`), with everything that is known told to it in
full: no slices, no pruned attributes, nothing remembered. One thing the server does beside that: a policy that can't be
evaluated counts against the caller.
"""

from __future__ import annotations

from typing import Any

import cedarpy
import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from temper.kernel import Done, Facts, No, Request
from temper.runtime import Gate, read_policies, whole_text
from temper.table import Act, Caller, Snapshot, Table, Why
from temper.text import Severity, Source
from tests.kernel.driving import Driver
from tests.kernel.shop import compiled
from tests.runtime.desk import DESK

# With what the desk lacks: roles that exclude each other, somebody whom the entity names, and cases with a `by` each.
CHANGED = {
    "role clerk, chief\n": "role clerk, chief, auditor\nrole clerk excludes auditor\n",
    "Shut by chief": "Shut by auditor, keeper",
    "Finish by clerk, chief from Filed, Held to Done": (
        "Finish\n    from Filed to Done by clerk\n    from Held to Done by chief"
    ),
}
TEXT = DESK
for _old, _new in CHANGED.items():
    assert _old in TEXT
    TEXT = TEXT.replace(_old, _new)
TABLE = compiled(TEXT)

PEOPLE = ("ann", "bob", "cat")
ROLES = ("clerk", "chief", "auditor")
FILED = {"room": "attic", "title": "x"}
STATES = ("Filed", "Held", "Done")

# --- what is drawn ----------------------------------------------------------------------------------------------------

_roles = st.sampled_from(ROLES)
_atoms = st.one_of(
    st.sampled_from(
        (
            "principal.agent", "principal.admin", "principal has acts_for",
            'principal has acts_for && principal.acts_for.name == "ann"',
            'principal in temper::Team::"night"',
            'principal.hasTag("desk") && principal.getTag("desk") == "a"',
            'context.via == "mcp"', 'context has session && context.session like "s*"',
            'context.now > datetime("1970-01-01T00:00:01Z")',
            'resource.id == "t1"', "true",
        )
    ),
    _roles.map(lambda role: f'principal in temper::Role::"{role}"'),
    st.sampled_from(PEOPLE).map(lambda name: f'principal == temper::Principal::"{name}"'),
    st.sampled_from((*STATES, "Open", "new")).map(lambda state: f'resource.state == "{state}"'),
    st.sampled_from(
        (
            "resource has weight && resource.weight > 2",
            'resource has room && resource.room.name == "attic"',
            "resource has room && resource.room.keeper == principal",
            "resource has keeper && resource.keeper == principal",
            'desk::Room::"vault".state == "Open"',
        )
    ),
    # What can't be evaluated: of somebody else no more is known than the name, and a sum has 64 bits.
    st.sampled_from(
        (
            "resource has room && resource.room.keeper.admin",
            "resource has weight && resource.weight * 9223372036854775807 + 1 > 0",
        )
    ),
)  # fmt: skip


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(("&&", "||")), inner).map(lambda each: f"({each[0]}) {each[1]} ({each[2]})"),
        inner.map(lambda each: f"!({each})"),
    )


_conditions = st.recursive(_atoms, _deeper, max_leaves=4)
_principals = st.one_of(
    st.just("principal"),
    _roles.map(lambda role: f'principal in temper::Role::"{role}"'),
    st.sampled_from(PEOPLE).map(lambda name: f'principal == temper::Principal::"{name}"'),
)
_actions = st.sampled_from(
    (
        "action", 'action in desk::Action::"write"', 'action in desk::Action::"read"',
        'action == desk::Action::"Ticket.Finish"', 'action == desk::Action::"Ticket.read"',
        'action in [desk::Action::"Ticket.Finish", desk::Action::"Ticket.read"]',
        'action == desk::Action::"Room.Shut"', 'action == desk::Action::"Ticket.File"',
    )
)  # fmt: skip
_resources = st.sampled_from(("resource", "resource is desk::Ticket", 'resource == desk::Ticket::"t1"'))


@st.composite
def _policies(draw: st.DrawFn) -> str:
    effect = draw(st.sampled_from(("forbid", "forbid", "permit")))
    head = f"{effect} ({draw(_principals)}, {draw(_actions)}, {draw(_resources)})"
    tail = "".join(
        f" {kind} {{ {condition} }}" for kind, condition in draw(st.lists(st.tuples(_kinds, _conditions), max_size=2))
    )
    return f"{head}{tail};\n"


_kinds = st.sampled_from(("when", "unless"))
_callers = st.builds(
    Caller, st.sampled_from(PEOPLE), st.frozensets(_roles, max_size=2), st.sampled_from((None, None, "ann", "bob"))
)
_facts = st.builds(
    Facts,
    st.sampled_from((frozenset(), frozenset({"night"}))),
    st.sampled_from(({}, {"desk": "a"}, {"desk": "b"})),
    st.sampled_from((None, "s1")),
    st.sampled_from(("http", "mcp")),
    st.booleans(),
)
_requests = st.tuples(
    _callers,
    _facts,
    st.one_of(
        st.tuples(st.just("Ticket"), st.sampled_from(("t1", "t2")), st.just("Finish"), st.just({})),
        st.tuples(st.just("Ticket"), st.sampled_from(("t1", "t2")), st.just("Hold"), st.just({"why": "w"})),
        st.tuples(
            st.just("Ticket"), st.sampled_from(("t3", "t4")), st.just("File"), st.just({"room": "attic", "title": "x"})
        ),
        st.tuples(st.just("Room"), st.sampled_from(("attic", "vault")), st.just("Shut"), st.just({})),
    ),
)


# --- Cedar, told everything -------------------------------------------------------------------------------------------


def _entity(now: Snapshot) -> dict[str, Any]:
    attributes: dict[str, Any] = {"id": now.id, "state": now.state}
    for name, value in now.fields.items():
        if name in ("room", "keeper"):
            kind = "desk::Room" if name == "room" else "temper::Principal"
            attributes[name] = {"__entity": {"type": kind, "id": value}}
        else:
            attributes[name] = {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}} if name == "cost" else value
    return {"uid": {"type": f"desk::{now.entity}", "id": now.id}, "attrs": attributes, "parents": []}


def cedar_allows(
    text: str, caller: Caller, facts: Facts, action: str, group: str, entity: str, id: str, at: int,
    context: dict[str, Any], world: dict[tuple[str, str], Snapshot],
) -> bool:  # fmt: skip
    """Return Cedar's own answer, an error of a `forbid` counting against the caller."""
    person: dict[str, Any] = {"name": caller.principal, "agent": caller.acts_for is not None, "admin": facts.admin}
    if caller.acts_for is not None:
        person["acts_for"] = {"__entity": {"type": "temper::Principal", "id": caller.acts_for}}
    parents = [{"type": "temper::Role", "id": role} for role in caller.roles]
    parents += [{"type": "temper::Team", "id": team} for team in facts.teams]
    uid = {"type": "temper::Principal", "id": caller.principal}
    entities = [{"uid": uid, "attrs": person, "tags": dict(facts.attributes), "parents": parents}]
    entities += [
        {"uid": {"type": "temper::Principal", "id": name}, "attrs": {"name": name}, "parents": []}
        for name in PEOPLE
        if name != caller.principal
    ]
    entities += [_entity(now) for now in world.values()]
    if (entity, id) not in world:
        new = {"id": id, "state": "new"}
        entities.append({"uid": {"type": f"desk::{entity}", "id": id}, "attrs": new, "parents": []})
    named = {"type": "desk::Action", "id": action}
    entities.append({"uid": named, "attrs": {}, "parents": [{"type": "desk::Action", "id": group}]})
    moment = f"1970-01-01T00:00:{at // 1000:02d}.{at % 1000:03d}Z"
    told = {**context, "via": facts.via, "now": {"__extn": {"fn": "datetime", "arg": moment}}}
    if facts.session is not None:
        told["session"] = facts.session
    answer = cedarpy.is_authorized(
        {"principal": uid, "action": named, "resource": {"type": f"desk::{entity}", "id": id}, "context": told},
        text,
        entities,
    )
    effects = [policy["effect"] for policy in _forms(text)]
    erring = [int(error.split("`")[1].removeprefix("policy")) for error in answer.diagnostics.errors]
    return answer.allowed and not any(effects[number] == "forbid" for number in erring)


def _forms(text: str) -> list[Any]:
    found: dict[str, Any] = msgspec.json.decode(cedarpy.policies_to_json_str(text))["staticPolicies"]
    return [found[f"policy{number}"] for number in range(len(found))]


def _table(texts: list[str]) -> Table:
    read = read_policies([Source("drawn.cedar", "".join(texts))], TABLE)
    # Drawn policies are mostly fine; one that is not is refused before anybody is asked.
    assume(not any(problem.severity is Severity.ERROR for problem in read.problems))
    return msgspec.structs.replace(TABLE, policies=read.policies)


# --- the law ----------------------------------------------------------------------------------------------------------


@given(st.lists(_policies(), min_size=1, max_size=4), st.lists(_requests, min_size=1, max_size=5))
def test_the_answer_is_cedars_own_and_nothing_refused_is_written(texts: list[str], requests: list[Any]) -> None:
    table = _table(texts)
    driver = Driver(TABLE)
    chief, clerk = Caller("cat", frozenset({"chief"})), Caller("ann", frozenset({"clerk"}))
    for room in ("attic", "vault"):
        driver.act("Room", room, "Build", chief, name=room)
    driver.act("Ticket", "t1", "File", clerk, room="attic", title="t1")
    driver.act("Ticket", "t2", "File", clerk, room="vault", title="t2", weight=5)
    ruled = Driver(table, driver.store)
    ruled.host.gate = gate = Gate()
    text = whole_text(table)
    known: dict[tuple[str, str], Snapshot] = {}
    for caller, facts, (entity, id, action, params) in requests:
        look = ruled.host.world(ruled.at)
        for name in (("Room", "attic"), ("Room", "vault"), *(("Ticket", f"t{n}") for n in range(1, 5))):
            now = look.snapshot(*name)
            if now is not None:
                known[name] = now
        asked = {"params": {"room": {"__entity": {"type": "desk::Room", "id": "attic"}}} if action == "File" else {}}
        allowed = cedar_allows(text, caller, facts, f"{entity}.{action}", "write", entity, id, ruled.at, asked, known)
        event = Act(ruled.ids(), ruled.at, action, params, caller, entity, id)
        answer = ruled.ask(Request(event, entity, id, facts=facts))
        refused = isinstance(answer, No) and answer.refused.why in (Why.DENIED, Why.FORBIDDEN)
        here = known.get((entity, id))
        if here is None or any(here.state in case.froms for case in table.entities[entity].actions[action].cases):
            assert refused is not allowed, (text, answer)
        else:
            # From a state that has no case, `by` of a case has nothing to say.
            assert not isinstance(answer, Done)
        after = ruled.host.world(ruled.at).snapshot(entity, id)
        if refused:
            assert (after and (after.state, after.fields)) == (here and (here.state, here.fields))
        if here is not None:
            seen = cedar_allows(text, caller, facts, f"{entity}.read", "read", entity, id, ruled.at, {}, known)
            assert gate.may_read(table, caller, facts, here, ruled.at, look) is seen
