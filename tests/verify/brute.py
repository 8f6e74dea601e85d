"""Whether `never` and `needs` hold, by walking through all that a few people can do: `commit` and Cedar, nothing else.

Nothing is made equal, no people are exchanged for each other, and who counts is counted here anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from temper.kernel import NO_FACTS
from temper.runtime import Gate
from temper.table import Act, Caller, Commit, Deliver, Event, Fire, SendOrder, Snapshot, Table, cedar, commit, shape
from tests.verify.joint_search import World

AT = 5
Voice = tuple[str, str]


@dataclass(frozen=True)
class Moment:
    """All that there is, what is on its way, and who has agreed to what on the first kind's only entity."""

    world: World
    sent: tuple[SendOrder, ...] = ()
    agreed: frozenset[Voice] = frozenset()

    def key(self) -> Any:
        entities = [
            (who, now.state, sorted(now.fields.items()), [(t.timer, t.caller) for t in now.timers if t.due is not None])
            for who, now in sorted(self.world.entities.items())
        ]
        return repr(entities), tuple((each.action, each.entity_id, each.caller) for each in self.sent), self.agreed


@dataclass(frozen=True)
class Walk:
    """Walks through a table: `ids` are those of each kind, `first` those who may make the first entity."""

    table: Table
    asked: shape.Never | shape.Needs
    ids: Mapping[str, Sequence[str]]
    people: Sequence[Caller]
    first: Sequence[Caller]

    def breaks(self, moments_max: int) -> bool | None:
        """Say whether some run breaks what is asked; `None` if there are too many."""
        begin = Moment(World(self.table))
        seen, todo = {begin.key()}, deque([begin])
        while todo:
            moment = todo.popleft()
            for after in self.after(moment):
                if after is None:
                    return True
                if after.key() not in seen:
                    seen.add(after.key())
                    todo.append(after)
            if len(seen) > moments_max:
                return None
        return False

    def after(self, moment: Moment) -> Iterator[Moment | None]:
        """Every moment that may be the next, `None` for one that is broken."""
        for number, order in enumerate(moment.sent):
            rest = replace(moment, sent=moment.sent[:number] + moment.sent[number + 1 :])
            event = Deliver("e", AT, "e", order.action, order.params, order.caller, order.entity, order.entity_id)
            yield from self.done(rest, moment.world.snapshot(order.entity, order.entity_id), event)
        for now in moment.world.entities.values():
            for armed in now.timers:
                if armed.due is not None:
                    yield from self.done(moment, now, Fire("e", armed.due, armed.timer, armed.stamp))
        for act in self.acts(moment):
            there = moment.world.snapshot(act.entity, act.entity_id)
            if self.lets(moment.world, there, act):
                yield from self.done(moment, there, act)

    def acts(self, moment: Moment) -> Iterator[Act]:
        people = self.people if moment.world.entities else self.first
        for entity in self.table.entities.values():
            for id in self.ids[entity.name]:
                state = now.state if (now := moment.world.snapshot(entity.name, id)) else "new"
                for action in entity.actions.values():
                    if any(state in case.froms for case in action.cases):
                        params = {each.name: "p" for each in action.params}
                        for caller in people:
                            yield Act("e", AT, action.name, params, caller, entity.name, id)

    def lets(self, world: World, now: Snapshot | None, act: Act) -> bool:
        """Whether Cedar lets somebody, or whether somebody else may say yes to it."""
        approves = cedar.covering(self.table, cedar.approves(act.entity, act.action))
        if any(policy.effect == cedar.PERMIT for policy, _ in approves):
            return True
        return Gate().rule(self.table, now, act, NO_FACTS, world) is None

    def done(self, moment: Moment, now: Snapshot | None, event: Event) -> Iterator[Moment | None]:
        answer = commit(self.table, now, event, moment.world)
        if not isinstance(answer, Commit):
            return
        entities = dict(moment.world.entities)
        sent, agreed, broken = list(moment.sent), moment.agreed, False
        for part in answer.parts:
            accepted = part.accepted
            entities[accepted.after.entity, accepted.after.id] = accepted.after
            sent += [each for each in accepted.orders if isinstance(each, SendOrder)]
            if accepted.after.entity != self.asked.entity:
                continue
            agreed |= self.agrees(accepted)
            enters = any(each.entered and each.after in self.asked.states for each in accepted.moves)
            broken = broken or (enters and self.wrong(accepted, agreed))
        yield None if broken else Moment(World(self.table, entities), tuple(sent), agreed)

    def agrees(self, accepted: Any) -> frozenset[Voice]:
        asked, caller = self.asked, accepted.caller
        if isinstance(asked, shape.Never) or asked.role not in caller.roles:
            return frozenset()
        if not any(move.action in asked.by for move in accepted.moves):
            return frozenset()
        return frozenset({(caller.principal, caller.acts_for or caller.principal)})

    def wrong(self, accepted: Any, agreed: frozenset[Voice]) -> bool:
        asked = self.asked
        if isinstance(asked, shape.Never):
            return asked.role in accepted.caller.roles
        but = accepted.after.fields[asked.besides] if asked.besides else None
        return len({behind for principal, behind in agreed if but not in (principal, behind)}) < asked.count
