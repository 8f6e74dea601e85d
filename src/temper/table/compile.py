"""From a checked machine to its table: total, and without any decision of its own.

Sites are paths of names and indexes (`Rollout.Moved/from/0/set/0`). An index counts the parts of one kind, so that what
is added beside a part leaves the part's own site alone: live entities know their calls and timers by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from temper.model import Machine, Typed, machine, types
from temper.model import Param as ModelParam
from temper.table import table as shape
from temper.table.table import Args, Expr, Table, Type
from temper.table.values import decimal_text, encode
from temper.text import Source, Span


def compile_machine(
    checked: Machine, sources: Iterable[Source] = (), modules: Mapping[str, str] | None = None
) -> Table:
    """Return the table of a machine that `check` found no error in.

    `sources` are kept in its notes, for people; `modules` are the digests of what else belongs to the bundle.
    """
    return _Compiler(checked).table(tuple(sources), dict(modules or {}))


def compile_expression(typed: Typed) -> Expr:
    """Return the table's form of an expression."""
    if typed.op == "lit":
        kind, value = typed.parts
        type_ = compile_type(kind)
        return ("lit", type_, encode(type_, value))
    return (typed.op, *map(_part, typed.parts))


def compile_type(type_: types.Type) -> Type:
    """Return the table's form of a type."""
    match type_:
        case types.BoolT():
            return ("bool",)
        case types.IntT(low, high):
            return ("int", low, high)
        case types.DecimalT(low, high):
            return ("decimal", None if low is None else decimal_text(low), None if high is None else decimal_text(high))
        case types.StringT():
            return ("string",)
        case types.TimeT():
            return ("time",)
        case types.DurationT():
            return ("duration",)
        case types.PrincipalT():
            return ("principal",)
        case types.EnumT(values):
            return ("one_of", values)
        case types.RefT(entity):
            return ("ref", entity)
        case types.RecordT(name):
            return ("record", name)
        case types.SetT(element, bound):
            return ("set", compile_type(element), bound)
        case types.ListT(element, bound):
            return ("list", compile_type(element), bound)
        case types.MapT(key, value, bound):
            return ("map", compile_type(key), compile_type(value), bound)
        case types.OptionalT(inner):
            return ("optional", compile_type(inner))
        case types.UnknownT():
            raise AssertionError("a machine with errors is not compiled")


_TYPES = (
    types.BoolT, types.IntT, types.DecimalT, types.StringT, types.TimeT, types.DurationT, types.PrincipalT, types.EnumT,
    types.RefT, types.RecordT, types.SetT, types.ListT, types.MapT, types.OptionalT, types.UnknownT,
)  # fmt: skip


def _part(part: Any) -> Any:
    if isinstance(part, Typed):
        return compile_expression(part)
    if isinstance(part, tuple):
        return tuple(map(_part, part))
    if isinstance(part, _TYPES):
        return compile_type(part)
    return part


def _maybe(typed: Typed | None) -> Expr | None:
    return None if typed is None else compile_expression(typed)


def _args(args: Iterable[tuple[str, Typed]]) -> Args:
    return tuple((name, compile_expression(value)) for name, value in args)


def _params(params: Iterable[ModelParam]) -> tuple[shape.Param, ...]:
    return tuple(shape.Param(param.name, compile_type(param.type), _maybe(param.default)) for param in params)


def _handler(handler: machine.Handler | None) -> shape.Handler | None:
    return None if handler is None else shape.Handler(handler.action, _args(handler.args))


def _by(by: tuple[machine.By, ...]) -> tuple[shape.By, ...]:
    return tuple(shape.By(who.kind, who.role, _maybe(who.who)) for who in by)


class _Compiler:
    def __init__(self, checked: Machine) -> None:
        self.machine = checked
        self.places: dict[str, tuple[str, int, int]] = {}
        self.descriptions: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    def table(self, sources: tuple[Source, ...], modules: dict[str, str]) -> Table:
        checked = self.machine
        for record in checked.records:
            self.named(record.name, record.span, record.description)
        for role in checked.roles:
            self.named(f"role/{role.name}", role.span, role.description)
        for event in checked.events:
            self.named(f"event/{event.name}", event.span, event.description)
        return Table(
            format=shape.FORMAT,
            blueprint=checked.name,
            roles=tuple(shape.Role(role.name, role.excludes) for role in checked.roles),
            records={record.name: _params(record.fields) for record in checked.records},
            tools={tool.name: self.tool(tool) for tool in checked.tools},
            events={event.name: shape.Event(event.name, _params(event.params)) for event in checked.events},
            entities={entity.name: self.entity(entity) for entity in checked.entities},
            properties=tuple(self.property(prop) for prop in checked.properties),
            scope=tuple(
                shape.ScopeItem(item.entity, item.field, item.count, item.low, item.high) for item in checked.scope
            ),
            scenarios=tuple(self.scenario(scenario) for scenario in checked.scenarios),
            upgrades=tuple(self.upgrade(upgrade) for upgrade in checked.upgrades),
            modules=modules,
            notes=shape.Notes({source.name: source.text for source in sources}, self.places, self.descriptions),
        )

    # --- sites --------------------------------------------------------------------------------------------------------

    def named(self, site: str, span: Span, description: str = "") -> str:
        """Note where `site` stands, and what is said of it."""
        assert site not in self.places, f"two parts have the site {site!r}"
        self.places[site] = (span.file, span.start, span.end)
        if description:
            self.descriptions[site] = description
        return site

    def counted(self, above: str, kind: str, span: Span, description: str = "") -> str:
        """Return the site of the next part of one kind."""
        base = f"{above}/{kind}"
        index = self.counts.get(base, 0)
        self.counts[base] = index + 1
        return self.named(f"{base}/{index}", span, description)

    # --- tools and entities -------------------------------------------------------------------------------------------

    def tool(self, tool: machine.Tool) -> shape.Tool:
        retry = tool.retry
        return shape.Tool(
            name=tool.name,
            site=self.named(f"tool/{tool.name}", tool.span, tool.description),
            params=_params(tool.params),
            results=_params(tool.results),
            timeout_ms=tool.timeout_ms,
            retry=None if retry is None else shape.Retry(retry.count, retry.every_ms, retry.up_to_ms),
            idempotent=tool.idempotent,
            wasm=tool.wasm,
        )

    def entity(self, entity: machine.Entity) -> shape.Entity:
        name = entity.name
        site = self.named(name, entity.span, entity.description)
        for state in entity.states:
            self.named(f"{name}/state/{state.name}", state.span, state.description)
        for field in entity.fields:
            self.named(f"{name}.{field.name}", field.span, field.description)
        for let in entity.lets:
            self.named(f"{name}.{let.name}", let.span, let.description)
        for inverse in entity.inverses:
            self.named(f"{name}.{inverse.name}", inverse.span, inverse.description)
        return shape.Entity(
            name=name,
            site=site,
            states=tuple(state.name for state in entity.states),
            final=entity.final,
            groups=entity.groups,
            fields=tuple(
                shape.Field(field.name, compile_type(field.type), _maybe(field.default)) for field in entity.fields
            ),
            lets=_lets(entity.lets),
            inverses=tuple(
                shape.Inverse(inverse.name, inverse.entity, inverse.field, inverse.max) for inverse in entity.inverses
            ),
            uniques=tuple(
                shape.Unique(self.counted(name, "unique", unique.span), unique.fields, unique.ever)
                for unique in entity.uniques
            ),
            key=entity.key,
            actions={action.name: self.action(name, action) for action in entity.actions},
            places=tuple(self.place(name, place) for place in entity.places),
            late=tuple(self.late(name, late) for late in entity.late),
        )

    def action(self, entity: str, action: machine.Action) -> shape.Action:
        site = self.named(f"{entity}.{action.name}", action.span, action.description)
        return shape.Action(
            name=action.name,
            site=site,
            params=_params(action.params),
            by=_by(action.by),
            when=self.guards(site, action.when),
            lets=_lets(action.lets),
            body=self.clauses(site, action.body),
            cases=tuple(self.case(site, case) for case in action.cases),
        )

    def case(self, above: str, case: machine.Case) -> shape.Case:
        site = self.counted(above, "from", case.span, case.description)
        return shape.Case(
            site=site,
            froms=case.froms,
            to=case.to,
            by=_by(case.by),
            when=self.guards(site, case.when),
            lets=_lets(case.lets),
            body=self.clauses(site, case.body),
        )

    def guards(self, above: str, guards: tuple[machine.Guard, ...]) -> tuple[shape.Guard, ...]:
        return tuple(
            shape.Guard(self.counted(above, "when", guard.span), compile_expression(guard.condition), guard.otherwise)
            for guard in guards
        )

    def place(self, entity: str, place: machine.Place) -> shape.Place:
        base = f"{entity}/in/{place.name}"
        # A second line about the same state has a site of its own; what stands in it is counted on.
        again = self.counts.get(base, 0)
        self.counts[base] = again + 1
        site = self.named(base if again == 0 else f"{base}/again/{again}", place.span, place.description)
        route: shape.Handler | None = None
        if place.route is not None:
            self.counted(base, "route", place.route.span)
            route = _handler(place.route.handler)
        return shape.Place(
            site=site,
            name=place.name,
            group=place.group,
            states=place.states,
            entry=self.clauses(f"{base}/entry", place.entry),
            exit=self.clauses(f"{base}/exit", place.exit),
            route=route,
            timers=tuple(self.timer(base, timer) for timer in place.timers),
            whenevers=tuple(
                shape.Whenever(
                    self.counted(base, f"whenever/{whenever.handler.action}", whenever.span),
                    compile_expression(whenever.condition),
                    _sure(whenever.handler),
                )
                for whenever in place.whenevers
            ),
            late=tuple(self.late(base, late) for late in place.late),
            defer=place.defer,
        )

    def timer(self, above: str, timer: machine.Timer) -> shape.Timer:
        # By what it does, so that what is armed is known again when a neighbour goes.
        site = self.counted(above, f"{timer.kind}/{timer.handler.action}", timer.span)
        return shape.Timer(site, timer.kind, _maybe(timer.duration), timer.field, _sure(timer.handler))

    def late(self, above: str, late: machine.Late) -> shape.Late:
        return shape.Late(self.counted(above, "late", late.span), late.actions, _handler(late.handler))

    # --- clauses ------------------------------------------------------------------------------------------------------

    def clauses(self, above: str, clauses: tuple[machine.Clause, ...]) -> tuple[shape.AnyClause, ...]:
        return tuple(self.clause(above, clause) for clause in clauses)

    def clause(self, above: str, clause: machine.Clause) -> shape.AnyClause:
        kind = type(clause).__name__.lower()
        site = self.counted(above, kind, clause.span)
        match clause:
            case machine.Set(field, value):
                return shape.Set(site, field, compile_expression(value))
            case machine.Call():
                return shape.Call(
                    site,
                    clause.tool,
                    _args(clause.args),
                    _handler(clause.then),
                    _handler(clause.otherwise),
                    _handler(clause.unknown),
                    clause.unknown_is_failure,
                )
            case machine.Send(target, entity, action, args):
                return shape.Send(site, compile_expression(target), entity, action, _args(args))
            case machine.With(target, entity, action, args):
                return shape.With(site, compile_expression(target), entity, action, _args(args))
            case machine.Create(entity, action, args, name):
                return shape.Create(site, entity, action, _args(args), name)
            case machine.Emit(event, args):
                return shape.Emit(site, event, _args(args))
            case machine.For(var, over, body):
                return shape.For(site, var, compile_expression(over), self.clauses(site, body))
            case machine.If(condition, body):
                return shape.If(site, compile_expression(condition), self.clauses(site, body))

    # --- properties, scenarios, upgrades ------------------------------------------------------------------------------

    def property(self, prop: machine.AnyProperty) -> shape.AnyProperty:
        kinds = {
            machine.Always: "always",
            machine.Eventually: "eventually",
            machine.Never: "never",
            machine.Needs: "needs",
            machine.CanReach: "can_reach",
        }
        kind = kinds[type(prop)]
        site = (
            self.counted(prop.entity, kind, prop.span, prop.description)
            if prop.entity is not None
            else self.counted("properties", kind, prop.span, prop.description)
        )
        match prop:
            case machine.Always():
                return shape.Always(
                    site, prop.name, prop.entity, compile_expression(prop.condition), prop.step, prop.reads_before
                )
            case machine.Eventually():
                return shape.Eventually(site, prop.name, prop.entity, prop.froms, prop.to, prop.responds, prop.succeeds)
            case machine.Never():
                return shape.Never(site, prop.name, prop.entity, prop.role, prop.states)
            case machine.Needs():
                return shape.Needs(
                    site,
                    prop.name,
                    prop.entity,
                    prop.states,
                    prop.count,
                    prop.role,
                    prop.by,
                    prop.besides,
                    prop.since,
                )
            case machine.CanReach():
                return shape.CanReach(site, prop.name, prop.entity, prop.states)

    def scenario(self, scenario: machine.Scenario) -> shape.Scenario:
        index = self.counts.get("scenario", 0)
        self.counts["scenario"] = index + 1
        site = self.named(f"scenario/{index}", scenario.span, scenario.description)
        return shape.Scenario(site, scenario.title, tuple(self.step(site, step) for step in scenario.steps))

    def step(self, above: str, step: machine.Step) -> shape.AnyStep:
        site = self.counted(above, "step", step.span)
        match step:
            case machine.ActStep():
                return shape.ActStep(
                    site,
                    step.roles,
                    step.principal,
                    step.entity,
                    step.target,
                    step.creates,
                    step.action,
                    _args(step.args),
                    _expect(step.expect),
                    step.acts_for,
                )
            case machine.GivenStep(entity, name, state, fields):
                return shape.GivenStep(site, entity, name, state, _args(fields))
            case machine.ToolStep(tool, verb, text, args, expect):
                return shape.ToolStep(site, tool, verb, text, _args(args), _expect(expect))
            case machine.WaitStep(ms, expect):
                return shape.WaitStep(site, ms, _expect(expect))
            case machine.CheckStep(condition):
                return shape.CheckStep(site, compile_expression(condition))
            case machine.EmittedStep(event, args):
                return shape.EmittedStep(site, event, _args(args))

    def upgrade(self, upgrade: machine.Upgrade) -> shape.Upgrade:
        above = self.named(f"upgrade/{upgrade.from_version}", upgrade.span)
        return shape.Upgrade(
            upgrade.from_version,
            tuple(
                shape.UpgradeEntity(
                    entity.entity,
                    dict(entity.becomes),
                    tuple(
                        shape.Set(
                            self.counted(f"{above}/{entity.entity}", "set", clause.span),
                            clause.field,
                            compile_expression(clause.value),
                        )
                        for clause in entity.sets
                    ),
                    entity.drops,
                )
                for entity in upgrade.entities
            ),
        )


def _sure(handler: machine.Handler) -> shape.Handler:
    return shape.Handler(handler.action, _args(handler.args))


def _lets(lets: tuple[machine.Let, ...]) -> tuple[shape.Let, ...]:
    return tuple(shape.Let(let.name, compile_type(let.value.type), compile_expression(let.value)) for let in lets)


def _expect(expect: tuple[machine.Expect, ...]) -> tuple[shape.Expect, ...]:
    return tuple(shape.Expect(one.kind, one.text, _maybe(one.condition)) for one in expect)
