"""Scenarios: who does what to which entity, and what is expected of it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from temper.model import machine as m
from temper.model import world
from temper.model.infer import Typer
from temper.model.problems import Problems, listed
from temper.model.scope import SCENARIO, Local, Scope
from temper.model.typed import Args, Typed, bad
from temper.model.types import BOOL, UNKNOWN, RefT, article
from temper.syntax import tree
from temper.text import Code, Span


class ScenarioReader:
    """Reads one scenario; its names come to be known step by step."""

    def __init__(self, typer: Typer, problems: Problems) -> None:
        self.typer = typer
        self.problems = problems
        self.scope = Scope(SCENARIO)
        self.latest: tuple[world.Entity, str | None] | None = None
        """The entity that the last step was about, and its name here, if it has one."""

    def read(self, node: tree.Scenario) -> m.Scenario:
        """Return the scenario; steps that can't be read are left out."""
        steps: list[m.Step] = []
        for step in node.steps:
            read = self._step(step)
            if read is not None:
                steps.append(read)
        return m.Scenario(node.title, tuple(steps), node.span, node.description)

    def _step(self, step: tree.ScenarioStep) -> m.Step | None:
        match step:
            case tree.Act():
                return self._act(step)
            case tree.Given():
                return self._given(step)
            case tree.ToolDoes():
                return self._tool_does(step)
            case tree.Wait(duration):
                ms = self.typer.duration(duration, "the time to wait")
                return m.WaitStep(ms or 1, self._expected(step.expect, None, (), step.span), step.span)
            case tree.Check(condition):
                return m.CheckStep(self.typer.condition(condition, self.scope), step.span)
            case tree.Emitted(event, args):
                return self._emitted(event, args, step.span)

    def _name(self, name: tree.Name, entity: world.Entity) -> str:
        self.typer.shadows(name, self.scope)
        self.scope = self.scope.naming(name.text, Local("var", RefT(entity.name), name.span))
        return name.text

    # --- acts ---------------------------------------------------------------------------------------------------------

    def _act(self, step: tree.Act) -> m.ActStep | None:
        roles = self._roles(step)
        entity, target = self._subject(step)
        if entity is None:
            if step.creates is not None:  # Later lines shall not be told that the name is unknown.
                self.scope = self.scope.naming(step.creates.text, Local("var", UNKNOWN, step.creates.span))
            return None
        action = self.typer.action(entity, step.invoke.action)
        args: Args = ()
        if action is not None:
            args = self.typer.arguments(
                step.invoke.args, action.params, self.scope, step.invoke.span, f"`{action.name}`"
            )
            self._kind_fits(step, entity, action, creating=target is None)
        creates = self._name(step.creates, entity) if step.creates is not None else None
        made = [] if action is None else self._made(action)
        self.latest = (entity, target or creates)
        expect: list[tree.Expectation] = []
        for expectation in step.expect:
            if isinstance(expectation, tree.Names) and target is None and creates is None:
                creates = self._name(expectation.name, entity)
                self.latest = (entity, creates)
            else:
                expect.append(expectation)
        found = self._expected(tuple(expect), entity, made, step.span)
        if action is None:
            return None
        principal = None if step.principal is None else step.principal.text
        acts_for = None if step.acts_for is None else step.acts_for.text
        return m.ActStep(roles, principal, entity.name, target, creates, action.name, args, found, step.span, acts_for)

    def _made(self, action: world.Action) -> list[world.Entity]:
        """Return what the action creates besides, in the order of the text."""
        names = [clause.entity.text for clause in _clauses(action.node) if isinstance(clause, tree.Create)]
        return [self.typer.world.entities[name] for name in names if name in self.typer.world.entities]

    def _roles(self, step: tree.Act) -> tuple[str, ...]:
        found: list[str] = []
        for name in step.roles:
            if name.text in {"system", "anyone"}:
                found.append(name.text)
                continue
            role = self.typer.role(name)
            if role is not None:
                found.append(role)
        return tuple(found)

    def _subject(self, step: tree.Act) -> tuple[world.Entity | None, str | None]:
        """Return the entity and the name of the one acted upon; no name where one is created."""
        text = step.target.text
        local = self.scope.locals.get(text)
        if local is not None:
            if isinstance(local.type, RefT):
                return self.typer.world.entities[local.type.entity], text
            return None, text
        entity = self.typer.world.entities.get(text)
        if entity is not None:
            return entity, None
        known: dict[str, Span | None] = {name: local.span for name, local in self.scope.locals.items()}
        known |= {entity.name: entity.node.name.span for entity in self.typer.world.entities.values()}
        self.problems.unknown(
            Code.B106,
            step.target.span,
            "name",
            text,
            known,
            help="name what a step creates: `-> r`, or `r = Entity.Action(...)`",
        )
        return None, None

    def _kind_fits(self, step: tree.Act, entity: world.Entity, action: world.Action, *, creating: bool) -> None:
        if creating and not action.creates:
            names = [other.name for other in entity.actions.values() if other.creates]
            self.problems.add(
                Code.B323,
                step.invoke.action.span,
                f"`{action.name}` has no case from `new`",
                help="act on one that is there: `r.Action`"
                + (f"; {article(entity.name)} is created by {listed(names)}" if names else ""),
                beside=((action.node.name.span, "declared here"),),
            )
        elif not creating and not action.moves and not any(isinstance(e, tree.RefusedWith) for e in step.expect):
            self.problems.add(
                Code.B322,
                step.invoke.action.span,
                f"`{action.name}` creates {article(entity.name)}, and `{step.target.text}` is there already",
                help=f"write `{entity.name}.{action.name}(...)`",
                beside=((action.node.name.span, "from `new` only"),),
            )

    # --- the other steps ----------------------------------------------------------------------------------------------

    def _given(self, step: tree.Given) -> m.GivenStep | None:
        entity = self.typer.entity(step.entity)
        if entity is None:
            self.scope = self.scope.naming(step.name.text, Local("var", UNKNOWN, step.name.span))
            return None
        state: str | None = None
        fields: list[tree.Arg] = []
        for arg in step.args:
            if arg.name is not None and arg.name.text == "state":
                if isinstance(arg.value, tree.Ref):
                    name = arg.value.name
                    if name.text in entity.groups:
                        self.problems.add(
                            Code.B303,
                            name.span,
                            f"`{name.text}` is a group, and an entity is in one state",
                            help=f"name one of {listed(entity.groups[name.text])}",
                        )
                    elif self.typer.states(entity, name):
                        state = name.text
                else:
                    self.problems.add(
                        Code.B201, arg.value.span, "a state is expected", help=f"one of {listed(entity.states)}"
                    )
            else:
                fields.append(arg)
        if not any(arg.name is not None and arg.name.text == "state" for arg in step.args):
            self.problems.add(
                Code.B208,
                step.span,
                f"`given {entity.name}` does not say in which state",
                help=f"write `given {entity.name} {step.name.text}(state: {next(iter(entity.states), 'State')}, ...)`",
            )
        params = tuple(
            world.Param(field.name, field.type, _THERE if field.has_default else None, field.span)
            for field in entity.fields.values()
        )
        args = self.typer.arguments(tuple(fields), params, self.scope, step.name.span, f"`given {entity.name}`")
        given = self._name(step.name, entity)
        self.latest = (entity, given)
        return None if state is None else m.GivenStep(entity.name, given, state, args, step.span)

    def _tool_does(self, step: tree.ToolDoes) -> m.ToolStep | None:
        tool = self.typer.tool(step.tool)
        if tool is None:
            return None
        args: Args = ()
        if step.verb == "answers":
            span = step.tool[0].span.to(step.tool[-1].span)
            args = self.typer.arguments(step.args, tool.results, self.scope, span, f"the answer of `{tool.name}`")
        found = self._expected(step.expect, self._caller_of(tool, step), (), step.span)
        return m.ToolStep(tool.name, step.verb, step.text, args, found, step.span)

    def _caller_of(self, tool: world.Tool, step: tree.ToolDoes) -> world.Entity | None:
        """Return the entity that calls this tool; where several do, the one that has the states that are expected."""
        callers = [entity for entity in self.typer.world.entities.values() if tool.name in _tools(entity)]
        wanted = [expected.state.text for expected in step.expect if isinstance(expected, tree.BecomesState)]
        fitting = [entity for entity in callers if all(name in entity.states for name in wanted)]
        return next(iter(fitting or callers), None)

    def _emitted(self, event: tree.Name, args: tuple[tree.Arg, ...], span: Span) -> m.EmittedStep | None:
        declared = self.typer.world.events.get(event.text)
        if declared is None:
            known = {other.name: other.span for other in self.typer.world.events.values()}
            self.problems.unknown(Code.B109, event.span, "event", event.text, known, help="nothing emits it")
            return None
        params = tuple(replace(param, default=_THERE) for param in declared.params)
        return m.EmittedStep(
            event.text, self.typer.arguments(args, params, self.scope, event.span, f"`{event.text}`"), span
        )

    # --- what is expected ---------------------------------------------------------------------------------------------

    def _expected(
        self,
        expectations: tuple[tree.Expectation, ...],
        entity: world.Entity | None,
        made: list[world.Entity] | tuple[()],
        span: Span,
    ) -> tuple[m.Expect, ...]:
        """Return the expectations of a step about `entity`; where that is `None`, about the last one spoken of."""
        found: list[m.Expect] = []
        for expectation in expectations:
            match expectation:
                case tree.Denied():
                    found.append(m.Expect("denied"))
                case tree.RefusedWith(text):
                    found.append(m.Expect("refused", text))
                case tree.Anything():
                    found.append(m.Expect("any"))
                case tree.Holds(condition):
                    found.append(m.Expect("holds", None, self.typer.condition(condition, self.scope)))
                case tree.BecomesState(state):
                    expect = self._becomes(state, entity)
                    if expect is not None:
                        found.append(expect)
                case tree.Names(name):
                    if not made:
                        self.problems.add(
                            Code.B342,
                            name.span,
                            f"this step creates nothing that could be named `{name.text}`",
                            help="a state begins with a capital letter; `-> r` names what an action creates",
                        )
                        self.scope = self.scope.naming(name.text, Local("var", UNKNOWN, name.span))
                        continue
                    found.append(m.Expect("names", self._name(name, made[0])))
                    made = made[1:]
        return tuple(found)

    def _becomes(self, state: tree.Name, entity: world.Entity | None) -> m.Expect | None:
        name: str | None = None
        if entity is None:
            if self.latest is None:
                self.problems.add(
                    Code.B342,
                    state.span,
                    f"nothing before this step could be `{state.text}`",
                    help="let a step create an entity first, or write `given Entity r(state: ...)`",
                )
                return None
            entity, name = self.latest
        states = self.typer.states(entity, state)
        if not states:
            return None
        if name is not None:
            subject = Typed("var", (name,), RefT(entity.name), state.span)
            return m.Expect("holds", None, Typed("read_in", (subject, entity.name, states), BOOL, state.span))
        if state.text in entity.groups:
            self.problems.add(
                Code.B303,
                state.span,
                f"`{state.text}` is a group",
                help=f"name one of {listed(states)}, or write `r is {state.text}`",
            )
            return None
        return m.Expect("state", state.text)


def _clauses(node: tree.Entity | tree.Action) -> Iterator[tree.Clause]:
    """Yield every clause written in it."""
    for part in node.parts:
        match part:
            case tree.Action():
                yield from _clauses(part)
            case tree.From(_, _, parts):
                yield from _inner(tuple(p for p in parts if not isinstance(p, tree.By | tree.When | tree.Let)))
            case tree.In(_, stays):
                yield from _inner(tuple(stay.clause for stay in stays if isinstance(stay, tree.OnEntry | tree.OnExit)))
            case (
                tree.Set() | tree.Call() | tree.Send() | tree.With() | tree.Create() | tree.Emit() | tree.For()
                | tree.If() | tree.Do()
            ):  # fmt: skip
                yield from _inner((part,))
            case _:
                pass


def _inner(clauses: tuple[tree.Clause, ...]) -> Iterator[tree.Clause]:
    for clause in clauses:
        yield clause
        if isinstance(clause, tree.For | tree.If):
            yield from _inner(clause.body)


def _tools(entity: world.Entity) -> set[str]:
    return {
        ".".join(part.text for part in clause.tool) for clause in _clauses(entity.node) if isinstance(clause, tree.Call)
    }


# A parameter that may be left out: only whether there is a default is asked.
_THERE = bad(Span("", 0, 0))
