"""The readings agree: the solver's formulas with `step`, the search with runs of the real thing, and the levels with
each other."""

from __future__ import annotations

from itertools import product
from typing import Any

import z3
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.table import (
    Accepted,
    Act,
    Caller,
    Ending,
    Event,
    Fire,
    Offer,
    Outcome,
    Refused,
    Snapshot,
    Table,
    Why,
    due,
    evaluate,
    step,
)
from temper.verify import LEVELS, Limits, Verdict, verify
from temper.verify.clauses import NEW
from temper.verify.explore.search import Search
from temper.verify.explore.symmetry import renamed
from temper.verify.symbolic.judge import judge
from temper.verify.symbolic.paths import Path, paths
from temper.verify.symbolic.solve import Found, search
from temper.verify.symbolic.terms import Terms
from tests.verify.drawn import STATES, tables

RLIMIT = 2_000_000
LIMITS = Limits(states_max=500)

ENTITY = "E"


# --- the solver's formulas and `step`
# ----------------------------------------------------------------------------------

fields = st.fixed_dictionaries(
    {
        "n": st.integers(0, 5),
        "m": st.integers(0, 5),
        "flag": st.booleans(),
        "kind": st.sampled_from(["low", "high"]),
        "note": st.none() | st.sampled_from(["x", "other"]),
        "tags": st.frozensets(st.sampled_from(["red", "blue"])),
    }
)


def _snapshot(state: str, values: dict[str, Any]) -> Snapshot:
    return Snapshot(ENTITY, "e1", state, values, 1, 1, 0, 0)


def _params(draw_k: int, table: Table, action: str) -> dict[str, Any]:
    return {param.name: draw_k for param in table.entities[ENTITY].actions[action].params}


@settings(max_examples=25)
@given(tables(), st.lists(st.tuples(st.sampled_from(STATES), fields, st.integers(0, 3)), min_size=3, max_size=3))
def test_the_formulas_say_what_step_does(table: Table, moments: list[tuple[str, dict[str, Any], int]]) -> None:
    """For concrete fields and parameters exactly the path of the case that `step` takes has a model, with its
    values."""
    entity = table.entities[ENTITY]
    for state, values, k in moments:
        for action in entity.actions.values():
            params = _params(k, table, action.name)
            act = Act("e", 0, action.name, params, Caller("p", frozenset({"a", "b"})), ENTITY, "e1")
            act = replace(act, by_system=all(by.kind == "system" for by in action.by))
            answer = step(table, _snapshot(state, values), act)
            terms = Terms(table)
            for path in paths(terms, table, entity, action, (state,)):
                known = [
                    *(
                        path.scene.fields[each.name] == terms.constant(each.type, values[each.name])
                        for each in entity.fields
                    ),
                    *(path.scene.params[p.name] == terms.constant(p.type, params[p.name]) for p in action.params),
                ]
                inside = [terms.bounds(entity, path.fields)]
                given_fits = [terms.within(g.type, terms.term(g.expr, g.scene)) for g in path.given]
                facts = [path.condition, *known, *inside, *given_fits]
                taken = isinstance(answer, Accepted) and answer.moves[0].case == path.site
                found = search(terms, facts, RLIMIT)[0]
                assert found is (Found.SOME if taken else Found.NONE), (state, values, params, path.site, answer)
                if taken:
                    assert isinstance(answer, Accepted)
                    assert answer.after.state == path.after
                    same = [
                        path.fields[each.name] == terms.constant(each.type, answer.after.fields[each.name])
                        for each in entity.fields
                    ]
                    assert search(terms, [*facts, z3.Not(z3.And(*same))], RLIMIT)[0] is Found.NONE


@settings(max_examples=30)
@given(tables(), fields, st.sampled_from(STATES))
def test_a_property_is_worth_in_the_solver_what_evaluate_says(table: Table, values: dict[str, Any], state: str) -> None:
    """Every `always` of a state, over concrete fields."""
    entity = table.entities[ENTITY]
    now = _snapshot(state, values)
    terms = Terms(table)
    path = Path(ENTITY, "", "", state, state, _scene(terms, table, state), terms.true(), {}, frozenset())
    for each in table.properties:
        if type(each).__name__ != "Always" or each.step:  # type: ignore[union-attr]  # the name has just been asked
            continue
        condition = each.condition  # type: ignore[union-attr]  # it is an `Always`
        known = [path.scene.fields[f.name] == terms.constant(f.type, values[f.name]) for f in entity.fields]
        term = terms.term(condition, path.scene)
        holds = bool(evaluate(table, ENTITY, condition, now))
        assert search(terms, [*known, term], RLIMIT)[0] is (Found.SOME if holds else Found.NONE)


def _scene(terms: Terms, table: Table, state: str) -> Any:
    from temper.verify.expressions import names_in

    return terms.stranger(names_in(table, table.entities[ENTITY]), f"here/{state}", state)


# --- the search and the real thing ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(tables(times=True), st.data())
def test_no_run_leaves_the_states_of_the_search(table: Table, data: st.DataObject) -> None:
    """Runs with real ids and real moments, of whatever the search draws: each state of theirs is one that it has
    seen."""
    looking = Search(table, ENTITY, LIMITS, None)
    found = looking.run()
    assume(found.stopped is None and found.blind is None)
    seen = {node.key for node in looking.nodes}
    now: Snapshot | None = None
    at = 1_000_000
    for number in range(data.draw(st.integers(1, 12))):
        at += data.draw(st.sampled_from([0, 0, 1, 60_000, 1_800_000, 1_800_001, 3_600_000, 90_000_000]))
        events = list(_possible(looking, now, at, f"e{number}"))
        if not events:
            return
        answer = step(table, now, data.draw(st.sampled_from(events)))
        if isinstance(answer, Refused):
            continue
        key, same = looking.canon.of(answer.after)
        if looking._outside(answer.after, same):
            return
        if looking.symmetry is not None:
            key = renamed(key, looking.symmetry.order((key, ()))[0] or {})
        assert key in seen, (answer.after, key)
        now = answer.after


def _possible(looking: Search, now: Snapshot | None, at: int, id: str) -> list[Event]:
    """What may happen to a real snapshot now: what people may ask, what is due, how calls may end."""
    acts: list[Event] = [replace(act, id=id, at=at) for act in looking.moves.acts(NEW if now is None else now.state)]
    if now is None:
        return acts
    for call in now.calls:
        acts += [Outcome(id, at, call.order, Ending.ANSWERED, {"r": r}) for r in range(4)]
        acts.append(Outcome(id, at, call.order, Ending.FAILED, {}, "failed", "no"))
        acts.append(Outcome(id, at, call.order, Ending.UNKNOWN))
    ready = due(now, at)
    if ready:
        first = ready[0]
        acts.append(replace(first, id=id, at=at))
        # One that is refused stays due, and lets the next one have its turn.
        for other in ready[1:]:
            if isinstance(first, Fire) and isinstance(step(looking.table, now, replace(first, id=id, at=at)), Refused):
                acts.append(replace(other, id=id, at=at))
                first = other
    acts += [Offer(id, at, held.id) for held in now.deferred if not held.place]
    return acts


# --- the levels -------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(tables(times=True))
def test_what_level_1_proves_level_2_never_refutes(table: Table) -> None:
    """A disagreement is a bug in us."""
    algebra = judge(table, ENTITY, RLIMIT)
    found = Search(table, ENTITY, LIMITS, None).run()
    broken = {key[1] for key in found.breaks if key[0] == "always"}
    assert not broken & algebra.proved
    # What only a search without a clock knows a run to is no run.
    real = {key for key, each in found.reached.items() if each.run is not None}
    assert not {key[1] for key in real if key[0] == "state"} & set(algebra.unreachable)
    taken = {key[1] for key in real if key[0] == "case"}
    assert not taken & set(algebra.never_taken)
    assert not taken & {site for site, _ in algebra.shadowed}
    faults = {(key[1], key[2]) for key in found.breaks if key[0] == "fault"}
    open_sites = {each.site for each in algebra.may_leave}
    assert {site for why, site in faults if why is Why.OUT_OF_TYPE} <= open_sites
    assert {site for why, site in faults if why is Why.DIVISION} <= set(algebra.may_divide)


@settings(max_examples=15)
@given(tables(times=True))
def test_every_run_that_is_shown_happens(table: Table) -> None:
    """Each step of a broken property's run, taken by `step` again with its real ids and moments, goes as it is told."""
    found = Search(table, ENTITY, LIMITS, None).run()
    for each in found.breaks.values():
        assert each.run is not None
        now: Snapshot | None = None
        at = 0
        for stage in each.run.stages:
            assert stage.event.at >= at, "time does not go back"
            at = stage.event.at
            answer = step(table, now, stage.event)
            assert answer == (stage.accepted or stage.refused)
            if isinstance(stage.event, Fire):
                assert now is not None
                earlier = [
                    fire for fire in due(now, at)
                    if isinstance(fire, Fire) and _due(now, fire.timer) < _due(now, stage.event.timer)
                ]  # fmt: skip
                assert all(isinstance(step(table, now, replace(f, id="f")), Refused) for f in earlier), "out of turn"
            if isinstance(answer, Accepted):
                now = answer.after


def _due(now: Snapshot, timer: str) -> int:
    return next(armed.due or 0 for armed in now.timers if armed.timer == timer)


@settings(max_examples=8)
@given(tables(times=True))
def test_a_report_contradicts_itself_nowhere(table: Table) -> None:
    """One verdict for each question, a run with each broken one that was searched, and the same again the second
    time."""
    # The level that draws by Hypothesis can't be drawn inside a test that does.
    levels = tuple(level for level in LEVELS if level != "properties")
    first = verify(table, levels=levels, limits=LIMITS)
    again = verify(table, levels=levels, limits=LIMITS)
    assert [(each.name, each.verdict, each.why) for each in first.properties] == [
        (each.name, each.verdict, each.why) for each in again.properties
    ]
    for each in first.properties:
        if each.verdict is Verdict.BROKEN and each.by == "search" and "reached" not in each.name:
            assert each.trace or "taken" in each.name
    broken = any(each.verdict is Verdict.BROKEN for each in first.properties)
    assert not (broken and first.passed)


def test_the_pairs_of_limits_only_widen() -> None:
    """More states allowed never makes a verdict weaker: from *unknown* to what is known, on the flagship."""
    from tests.verify.texts import HELIX, lines_of, table_of

    table = table_of(HELIX)
    small, large = (verify(table, levels=("search",), limits=Limits(states_max=n)) for n in (50, 5_000))
    for name, verdict in lines_of(small).items():
        assert (verdict, lines_of(large)[name]) in {
            *product(["unknown"], ["unknown", "holds within bounds", "proved"]),
            ("proved", "proved"),
            ("not checked", "not checked"),
        }
