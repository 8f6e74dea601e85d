"""Laws of `step`, over drawn snapshots and events: it always answers, always the same; `possible` agrees."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.table import (
    Accepted,
    Act,
    Armed,
    Caller,
    Clause,
    Commit,
    Deferred,
    Deliver,
    Ending,
    Event,
    Fire,
    How,
    Offer,
    Outcome,
    Pending,
    Refused,
    Snapshot,
    Table,
    Why,
    digest,
    due,
    dump,
    encode,
    fits,
    load,
    next_due,
    possible,
    shape,
    step,
    why,
)
from temper.table.commit import _alone, _Together
from tests.table import draw as drawing
from tests.table.build import compiled, helix
from tests.table.test_commit import Entities
from tests.table.test_rulings import CALLS, DEFERS, ITEM, ROUTED, TIMERS

GOLDEN = Path(__file__).parent / "golden" / "table-1.json"


@cache
def tables() -> tuple[Table, ...]:
    """Tables with every kind of clause between them; the golden one has all that the language has."""
    return (helix(), *(compiled(text) for text in (CALLS, DEFERS, ITEM, ROUTED, TIMERS)), load(GOLDEN.read_bytes()))


principals = st.sampled_from(["ann", "bob", "cat"])
callers = st.builds(
    Caller,
    principals,
    st.sampled_from([
        frozenset({"operator"}), frozenset({"operator", "builder"}), frozenset({"operator", "release_manager"}),
        frozenset(), frozenset({"builder", "release_manager"}),
    ]),
    st.none() | st.just("ann"),
)  # fmt: skip
times = st.integers(0, 10**13)

# Each is quick, and there is much to meet.
MORE = settings(max_examples=max(400, settings().max_examples))


def values_of(table: Table, type_: Any) -> st.SearchStrategy[Any]:
    if type_[0] == "record":
        return st.tuples(*(values_of(table, part.type) for part in table.records[type_[1]]))
    if type_[0] in {"list", "set"} and type_[1][0] == "record":
        return st.lists(values_of(table, type_[1]), max_size=2).map(tuple)
    if type_ == ("principal",):
        return principals
    return drawing.values(type_)


def given_for(table: Table, params: tuple[shape.Param, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters that fit, mostly; some are left out, and some are anything."""
    fitting = st.fixed_dictionaries({}, optional={one.name: values_of(table, one.type) for one in params})
    whole = st.fixed_dictionaries({one.name: values_of(table, one.type) for one in params})
    bad = st.dictionaries(st.sampled_from([*(one.name for one in params), "other"]), drawing.anything, max_size=2)
    return st.one_of(whole, whole, whole, whole, fitting, bad)


def snapshots(table: Table, entity: shape.Entity) -> st.SearchStrategy[Snapshot]:
    """Any state, any values of the fields' types, calls, timers and deferred ones: reachable or not."""
    clauses = [clause for place in entity.places for clause in place.entry]
    clauses += [clause for action in entity.actions.values() for clause in action.body]
    calls = [clause for clause in clauses if isinstance(clause, shape.Call)]
    timers_of = [timer for place in entity.places for timer in place.timers]

    def pending(number: int, clause: shape.Call, visit: int, caller: Caller, ended: bool) -> Pending:
        def closed(handler: shape.Handler | None) -> shape.Handler | None:
            if handler is None:
                return None
            kept = [arg for arg in handler.args if arg[1][0] in {"result", "error", "lit"}]
            return shape.Handler(handler.action, tuple(kept))

        then, otherwise, unknown = closed(clause.then), closed(clause.otherwise), closed(clause.unknown)
        return Pending(
            f"o{number}", clause.site, clause.tool, {}, visit, then, otherwise, unknown, clause.unknown_is_failure,
            caller, ended,
        )  # fmt: skip

    @st.composite
    def one(draw: st.DrawFn) -> Snapshot:
        visit = draw(st.integers(1, 3))
        made = tuple(
            pending(
                index, draw(st.sampled_from(calls)), draw(st.sampled_from([visit, visit, 1])), draw(callers),
                draw(st.sampled_from([False, False, True])),
            )
            for index in range(draw(st.integers(1, 2)) if calls else 0)
        )  # fmt: skip
        timers = tuple(
            Armed(timer.site, draw(st.none() | times), draw(st.integers(1, 3)), draw(callers),
                  draw(st.integers(1, 10**6)) if timer.kind == "every" else None)
            for timer in timers_of
            if draw(st.booleans())
        )  # fmt: skip
        held = tuple(
            Deferred(f"d{index}", name, draw(given_for(table, entity.actions[name].params)), draw(callers), place)
            for index in range(draw(st.integers(0, 1)))
            for name in [draw(st.sampled_from(sorted(entity.actions)))]
            for place in [draw(st.sampled_from(["", *(place.site for place in entity.places)]))]
        )
        fields = {field.name: draw(values_of(table, field.type)) for field in entity.fields}
        at = draw(times)
        state = draw(st.sampled_from(entity.states))
        return Snapshot(entity.name, "x1", state, fields, draw(st.integers(1, 3)), visit, at, at, made, timers, held)

    return one()


@st.composite
def situations(draw: st.DrawFn) -> tuple[Table, Snapshot | None, Event]:
    """A table, an entity (or none yet), and an event of any kind, that may have nothing to do with it."""
    table = draw(st.sampled_from(tables()))
    entity = table.entities[draw(st.sampled_from(sorted(table.entities)))]
    now = draw(st.none() | st.one_of([snapshots(table, entity)] * 4))
    at = draw(times)
    name = draw(st.sampled_from([*sorted(entity.actions) * 3, "Nothing"]))
    params = entity.actions[name].params if name in entity.actions else ()
    froms = [state for case in entity.actions[name].cases for state in case.froms] if name in entity.actions else []
    kinds = ["act", "act", "deliver"]
    if now is not None:
        if any(state != "new" for state in froms) and draw(st.booleans()):
            # Where the action may be taken, more often than chance has it.
            now = replace(now, state=draw(st.sampled_from([state for state in froms if state != "new"])))
        kinds += ["outcome", "outcome"] * bool(now.calls) + ["fire"] * bool(now.timers) + ["offer"] * bool(now.deferred)
    kind = draw(st.sampled_from([*kinds, *(["offer", "outcome", "fire"] if draw(st.integers(0, 9)) == 0 else [])]))
    if kind == "outcome":
        called = draw(st.sampled_from(now.calls)) if now is not None and now.calls else None
        results = given_for(table, table.tools[called.tool].results if called else ())
        order = draw(st.sampled_from([called.order, called.order, "o9"])) if called else "o9"
        return table, now, Outcome("e", at, order, draw(st.sampled_from(Ending)), draw(results), "broke", "it broke")
    if kind == "fire":
        none = Armed("none", 0, 1, Caller("ann"))
        timer = draw(st.sampled_from(now.timers)) if now is not None and now.timers else none
        return table, now, Fire("e", at, timer.timer, draw(st.sampled_from([timer.stamp, timer.stamp, 9])))
    if kind == "offer":
        return table, now, Offer("e", at, draw(st.sampled_from(["d0", "d1"])))
    given, caller = draw(given_for(table, params)), draw(callers)
    if kind == "deliver":
        return table, now, Deliver("e", at, "s1", name, given, caller, entity.name, "x1")
    return table, now, Act("e", at, name, given, caller, entity.name, "x1", draw(st.integers(0, 3)) == 0)


@given(situations())
@MORE
def test_step_is_total_and_deterministic(situation: tuple[Table, Snapshot | None, Event]) -> None:
    """One of two answers, the same each time, from a table read anew too; and what it was given is as it was."""
    table, now, event = situation
    kept = copy.deepcopy((now, event))
    result = step(table, now, event)
    seen(result.how.value if isinstance(result, Accepted) else result.why.value)
    assert isinstance(result, Accepted | Refused)
    assert step(table, now, event) == result
    assert step(load(dump(table)), now, event) == result
    assert (now, event) == kept


@given(situations())
@MORE
def test_an_action_of_one_by_itself_is_the_whole_commit(situation: tuple[Table, Snapshot | None, Event]) -> None:
    """What is asked most goes a short way: where it has an answer, that is the long one's, with what it rests on."""
    table, now, event = situation
    if now is None or not isinstance(event, Act):
        return
    world = Entities(table)
    world.living[now.entity, now.id] = now
    for judged in (True, False):
        alone = _alone(table, now, event, world, judged)
        seen("short" if alone is not None else "long")
        if alone is not None:
            assert alone == _Together(table, world, judged).all(now, event, ())


def test_the_short_way_is_taken() -> None:
    """Else the law before would be a law about nothing."""
    table = compiled(ITEM)
    free = Snapshot("Item", "x1", "Free", {"holder": None, "watchers": frozenset()}, 1, 1, 0, 0)
    ann = Caller("ann")
    asked = [Act("e", 1, "Take", {"holder": "bob"}, ann, "Item", "x1"), Act("e", 1, "Peek", {}, ann, "Item", "x1")]
    taken = [_alone(table, free, event, Entities(table), True) for event in asked]
    assert [type(each) for each in taken] == [Commit, Refused]


@given(situations())
@MORE
def test_what_is_accepted_is_a_snapshot_of_the_table(situation: tuple[Table, Snapshot | None, Event]) -> None:
    """Every field is of its type and in its place, the version is the next, and moves are links of the table."""
    table, now, event = situation
    result = step(table, now, event)
    if isinstance(result, Refused):
        assert result.text
        return
    after = result.after
    entity = table.entities[after.entity]
    assert after.state in entity.states
    assert list(after.fields) == [field.name for field in entity.fields]
    for field in entity.fields:
        assert fits(field.type, after.fields[field.name], table.records)
        encode(field.type, after.fields[field.name], table.records)
    assert after.version == (now.version if now else 0) + 1
    assert after.visit == (now.visit if now else 0) + sum(move.entered for move in result.moves)
    assert after.updated_at == event.at
    assert bool(result.moves) == (result.how in {How.TAKEN, How.LATE})
    here = now.state if now else "new"
    for move in result.moves:
        case = next(case for case in entity.actions[move.action].cases if case.site == move.case)
        assert (move.before, move.after) == (here, case.to or here)
        assert here in case.froms
        here = move.after
    assert here == after.state
    armed_sites = {timer.site for place in entity.places if after.state in place.states for timer in place.timers}
    if result.moves and result.moves[-1].entered and now is None:
        assert {armed.timer for armed in after.timers} == armed_sites
    events = due(after, None)
    assert (next_due(after) is None) == (not events)


@given(situations())
@MORE
def test_possible_agrees_with_step(situation: tuple[Table, Snapshot | None, Event]) -> None:
    """Without parameters exactly; with them, a "no" is a refusal whatever they are, and a "yes" is no guard's."""
    table, now, event = situation
    if not isinstance(event, Act) or event.by_system or event.action == "Nothing":
        return
    found = {one.action: one for one in possible(table, event.entity, now, event.caller, event.at)}
    assert list(found) == list(table.entities[event.entity].actions)
    one, result = found[event.action], step(table, now, event)
    seen(one.status)
    if not one.params and not event.params:
        assert (one.status == "yes") == isinstance(result, Accepted)
        if now is not None:
            assert one.refused == (result if isinstance(result, Refused) else None)
    elif one.status == "no":
        assert isinstance(result, Refused)
        assert one.refused is not None
        assert result.why in {one.refused.why, Why.BAD_PARAMS}
    elif isinstance(result, Refused):
        allowed = {Why.BAD_PARAMS, Why.OUT_OF_TYPE, Why.DIVISION, Why.TWICE, Why.CREATE_REFUSED}
        # A route that follows is another action, which is not asked.
        assert result.action != event.action or result.why in (allowed | {Why.GUARD} if one.on else allowed)


@given(situations())
@MORE
def test_why_agrees_with_step(situation: tuple[Table, Snapshot | None, Event]) -> None:
    """An action that is taken has its `by`, its own guards and all of one case answered with yes."""
    table, now, event = situation
    if not isinstance(event, Act) or event.action == "Nothing":
        return
    clauses = why(table, now, event)
    assert all(isinstance(clause, Clause) for clause in clauses)
    result = step(table, now, event)
    if isinstance(result, Accepted):
        taken = result.moves[0].case
        asked = [clause for clause in clauses if clause.case in {None, taken}]
        assert all(clause.holds or (clause.kind == "by" and clause.case is None) for clause in asked)
    elif result.why is Why.GUARD and result.action == event.action:
        assert next(clause for clause in clauses if clause.site == result.site).holds is False


def test_the_golden_table_is_as_it_was() -> None:
    """The laws run over it: it should be what its digest says."""
    assert digest(tables()[-1]) == GOLDEN.with_suffix(".sha256").read_text().strip()
