"""What a policy forbids by the table's own reading, against Cedar itself: on drawn policies, entities and callers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from temper.kernel import Facts
from temper.runtime import Gate
from temper.table import Accepted, Act, Caller, Refused, Snapshot, Table, step
from temper.verify.narrow import narrowed
from temper.verify.narrowed import by_policy
from tests.verify.policies import guarded

TEXT = """
    blueprint yard

    role builder, operator, keeper
    type Stage = one of (alpha, beta)

    entity Site
      states Open, Shut
      final Shut
      owner: principal
      action Found() by builder from new to Open
        set owner = caller
      action Close by operator from Open to Shut

    entity Crane
      states Idle, Busy, Gone
      final Gone

      name: string
      stage: Stage
      load: int
      spare: int?
      cost: decimal
      up: bool
      lasts: duration = 1h
      due: time?
      owner: principal
      backup: principal?
      tags: set of string max 4 = {}
      friends: set of principal max 4 = {}
      site: Site
      other: Site?

      action Build(name, stage, load, cost, up, site) by builder, keeper from new to Idle
        set name, stage, load, cost, up, site
        set owner = caller

      action Move(to: int, why: string?, stage: Stage) by operator, keeper, owner, system
        from Idle to Busy
        from Busy
        set load = to

      action Scrap by keeper from Idle, Busy to Gone
"""
NAMES = ("ann", "bob")
STRINGS = ("a", "b", "prod")
WHO = ["principal", "resource.owner", "resource.backup", 'temper::Principal::"ann"', "principal.acts_for"]
NUMBERS = ["resource.load", "resource.spare", "context.params.to", "0", "3", "7"]
TEXTS = ["resource.name", "resource.stage", "context.params.why", "context.params.stage", '"a"', '"prod"', '"alpha"']
EXACT = [
    *[f"resource.state == {state}" for state in ('"Idle"', '"Busy"', '"new"', '"Nowhere"')],
    *[f"resource has {name}" for name in ("name", "spare", "backup", "load", "other")],
    *[f"context.params has {name}" for name in ("to", "why")],
    *[f'principal in temper::Role::"{role}"' for role in ("builder", "operator", "keeper")],
    'principal in [temper::Role::"builder", temper::Role::"keeper"]',
    "principal.agent", "principal has acts_for", "resource.up",
    'resource.tags.contains("a")', 'resource.tags.containsAll(["a", "b"])', 'resource.tags.containsAny(["a", "prod"])',
    "resource.tags.isEmpty()", '["a", "prod"].contains(resource.name)', "resource.friends.contains(principal)",
    'resource.cost.lessThan(decimal("1.5"))', 'resource.cost.greaterThanOrEqual(decimal("0.25"))',
    'resource.site.state == "Open"', "resource.site.owner == principal", 'resource.other.state == "Shut"',
    'resource.lasts > duration("1h")', 'resource.lasts == duration("1d")', 'duration("59m60s") <= resource.lasts',
    'resource.due < datetime("2026-01-01")', 'resource.due == datetime("2026-01-01T01:00:00.000+0100")',
    "true", "false",
]  # fmt: skip
INEXACT = [
    'principal in temper::Team::"core"', 'principal.hasTag("site")', 'context.via == "http"',
    'resource.name like "pr*"', 'principal == temper::Principal::"ann"', "resource.owner.agent",
    'context.now < datetime("2030-01-01")', "resource.load + 1 == 4",
]  # fmt: skip


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from([NUMBERS, TEXTS, [each for each in WHO if "::" not in each]]))
    op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="] if kind is NUMBERS else ["==", "!="]))
    return f"{draw(st.sampled_from(kind))} {op} {draw(st.sampled_from(kind))}"


def conditions(atoms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            inner.map(lambda each: f"!({each})"),
            st.tuples(inner, inner, inner).map(lambda p: f"(if {p[0]} then {p[1]} else {p[2]})"),
        ),
        max_leaves=5,
    )


EXACT_ONES = conditions(st.one_of(st.sampled_from(EXACT), comparisons()))
ALL = conditions(st.one_of(st.sampled_from(EXACT), comparisons(), st.sampled_from(INEXACT)))
SCOPES = st.tuples(
    st.sampled_from(["principal", 'principal in temper::Role::"operator"', "principal is temper::Principal"]),
    st.sampled_from(["action", 'action == yard::Action::"Crane.Move"', 'action in yard::Action::"write"']),
    st.sampled_from(["resource", "resource is yard::Crane", "resource is yard::Site"]),
).map(", ".join)
PEOPLE = st.builds(
    Caller, st.sampled_from(NAMES), st.sets(st.sampled_from(("builder", "operator", "keeper"))).map(frozenset),
    st.one_of(st.none(), st.just("cat")),
)  # fmt: skip
FACTS = st.builds(Facts, st.sets(st.just("core")).map(frozenset), st.sampled_from([{}, {"site": "x"}]))


@st.composite
def requests(draw: st.DrawFn) -> tuple[Snapshot | None, Act]:
    caller = draw(PEOPLE)
    optional = st.sampled_from((None, *NAMES))
    who = st.sampled_from(NAMES)
    texts = st.frozensets(st.sampled_from(STRINGS))
    fields: dict[str, Any] = {
        "name": draw(st.sampled_from(STRINGS)), "stage": draw(st.sampled_from(("alpha", "beta"))),
        "load": draw(st.integers(-1, 8)), "spare": draw(st.one_of(st.none(), st.integers(0, 8))),
        "cost": draw(st.sampled_from([Decimal("0.25"), Decimal("1.5"), Decimal(2)])), "up": draw(st.booleans()),
        "lasts": draw(st.sampled_from((0, 3_600_000, 86_400_000))),
        "due": draw(st.sampled_from((None, 0, 1_767_225_600_000))),
        "owner": draw(who), "backup": draw(optional), "tags": draw(texts), "friends": draw(st.frozensets(who)),
        "site": "s1", "other": draw(st.sampled_from((None, "s2"))),
    }  # fmt: skip
    if draw(st.booleans()):
        params = {name: fields[name] for name in ("name", "stage", "load", "cost", "up", "site")}
        return None, Act("e", 5, "Build", params, caller, "Crane", "c")
    now = Snapshot("Crane", "c", draw(st.sampled_from(("Idle", "Busy"))), fields, 1, 1, 0, 0)
    params = {"to": draw(st.integers(0, 8)), "stage": draw(st.sampled_from(("alpha", "beta")))}
    if draw(st.booleans()):
        params["why"] = draw(st.sampled_from(STRINGS))
    return now, Act("e", 5, "Move", params, caller, "Crane", "c")


class Sites:
    """Two sites, one of each owner: all that may be read of others."""

    SITES: Mapping[str, Snapshot] = {
        "s1": Snapshot("Site", "s1", "Open", {"owner": "ann"}, 1, 1, 0, 0),
        "s2": Snapshot("Site", "s2", "Shut", {"owner": "bob"}, 1, 1, 0, 0),
    }

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return self.SITES.get(id) if entity == "Site" else None

    def referrers(self, entity: str, field: str, id: str, limit: int) -> tuple[str, ...]:
        return ()


def both_say(table: Table, now: Snapshot | None, event: Act, facts: Facts) -> tuple[bool, bool] | None:
    """Return whether the table, as its policies leave it, and Cedar forbid a request that the table lets through."""
    if not isinstance(step(table, now, event, Sites()), Accepted):
        return None
    answer = step(narrowed(table).table, now, event, Sites())
    here = isinstance(answer, Refused) and by_policy(answer.site)
    assert here or isinstance(answer, Accepted), answer
    return here, Gate().rule(table, now, event, facts, Sites()) is not None


@given(EXACT_ONES, SCOPES, st.sampled_from(["when", "unless"]), requests(), FACTS)
@settings(max_examples=300)
def test_what_the_table_can_tell_is_forbidden_here_as_cedar_forbids_it(
    condition: str, scope: str, kind: str, request: tuple[Snapshot | None, Act], facts: Facts
) -> None:
    table = guarded(TEXT, f"forbid ({scope}) {kind} {{ {condition} }};")
    said = both_say(table, *request, facts)
    assert said is None or said[0] is said[1]


@given(ALL, SCOPES, st.sampled_from(["when", "unless"]), requests(), FACTS)
@settings(max_examples=300)
def test_no_more_is_forbidden_here_than_cedar_forbids(
    condition: str, scope: str, kind: str, request: tuple[Snapshot | None, Act], facts: Facts
) -> None:
    table = guarded(TEXT, f"forbid ({scope}) {kind} {{ {condition} }};")
    said = both_say(table, *request, facts)
    assert said is None or said[1] or not said[0]
