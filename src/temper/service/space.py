"""One blueprint as the workshop keeps it: its living space, its versions, and what is remembered about its table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import msgspec

from temper.kernel import StoreFault, TableVersion
from temper.model import Machine, check, check_expression
from temper.runtime import Elsewhere, Live, Member, PostgresStore, Rank, SqliteStore, new_id
from temper.service.bundle import is_blueprint
from temper.service.declined import Declined, bad_query, unavailable
from temper.service.findings import finding
from temper.service.views import blueprint_shape
from temper.service.wire import BlueprintShape, Finding, Problem
from temper.syntax import parse_bundle, parse_expression
from temper.table import Expr, Look, NoValue, Snapshot, Table, compile_expression, evaluate, live_by, load, together
from temper.text import Diagnostic, Severity, Source

EXPRESSIONS_MAX = 256
# An id of a partition that is ours is found in as many tries as there are servers, on average.
IDS_TRIED_MAX = 10_000
# How often it is looked whether a database has made an order.
MADE_AGAIN_S = 0.05

T = TypeVar("T")


class BadExpression(Exception):
    """A filter that cannot be asked; `findings` say why."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("a filter cannot be asked")
        self.findings = findings


@dataclass
class Space:
    """A blueprint that is served. `lock` is held by whoever changes its version."""

    name: str
    store: SqliteStore | PostgresStore
    live: Live
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tables: dict[str, Compiled] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _making: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """Return the table that is in force."""
        return self.live.table

    def table_of(self, entity: str, id: str, now: Snapshot | None) -> Table:
        """Return the table by which an entity lives, or would live if it were created now: it may be in a canary."""
        table = self.live.table
        if table.canary is None:
            return table
        return live_by(table, entity, id, self.live.now() if now is None else now.created_at)

    @property
    def member(self) -> Member | None:
        """Return the space as one that other servers write to, too; `None` where it is this server's alone."""
        return Member.of(self.live)

    async def reading(self, work: Callable[[], T]) -> T:
        """Return what comes of `work`, which reads the space; where that goes over a network, beside the loop."""
        member = self.member
        try:
            return work() if member is None else await member.steady(work)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault

    def must_be_ours(self, entity: str, id: str) -> None:
        """Raise `Elsewhere` where another server decides for the entity."""
        member = self.member
        part = None if member is None else member.home(entity, id)
        if part is not None:
            raise Elsewhere(part)

    def fresh_id(self, entity: str) -> str:
        """Return an id for a new entity: one that this server decides for, if there is any."""
        id, member = new_id(), self.member
        if member is not None and member.database.leases.deciding():
            for _ in range(IDS_TRIED_MAX):
                if member.home(entity, id) is None:
                    break
                id = new_id()
        return id

    # --- lists ---

    def rank(self, kind: str, field: str) -> Rank | None:
        """Return the order by a field, whole or not."""
        return self.store.ranks.find(kind, field)

    def making(self, kind: str, field: str) -> asyncio.Task[None]:
        """Return the task that makes the order by a field, a piece at a time between two appends."""
        task = self._making.get((kind, field))
        if task is None:
            task = self._making[kind, field] = asyncio.create_task(self._make(kind, field), name=f"rank {kind}.{field}")
            task.add_done_callback(partial(self._made, (kind, field)))
        return task

    async def _make(self, kind: str, field: str) -> None:
        store = self.store
        if isinstance(store, PostgresStore):
            # The database makes it, beside the appends.
            while await asyncio.to_thread(store.make_rank, kind, field):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(MADE_AGAIN_S)
            return
        while await self.live.beside(partial(store.make_rank, kind, field)):
            pass

    def _made(self, name: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._making[name]
        if not task.cancelled():
            task.exception()  # Whoever waits has heard it, and who comes next tries again.

    @property
    def version(self) -> TableVersion:
        """Return the version that is in force."""
        return self.live.version

    @property
    def compiled(self) -> Compiled:
        """Return what is remembered about the table in force."""
        digest = self.version.digest
        known = self._tables.get(digest)
        if known is None or known.number != self.version.number:
            known = Compiled(self.table, self.version.number)
            # The last few are kept while requests that began under them end.
            self._tables = {**dict(list(self._tables.items())[-3:]), digest: known}
        return known

    def condition(self, entity: str, text: str, parameter: str) -> Expr:
        """Return a filter as an expression of the table in force, or decline: it is the query's `parameter`."""
        try:
            return self.compiled.condition(entity, text)
        except BadExpression as bad:
            raise bad_query(parameter, "cannot be asked", bad.findings) from bad

    def numbered(self, number: int) -> TableVersion:
        """Return one of the versions, by its number, or decline."""
        for version in self.store.versions():
            if version.number == number:
                return version
        raise Declined(
            Problem(
                type="not-found",
                title=f"there is no version {number} of `{self.name}`",
                status=404,
                help=f"versions go from 1 to {self.version.number}",
            )
        )

    def number_known(self, digest: str) -> int | None:
        """Return what `number_of` would, without a look into the store; `None` where that needs one."""
        return self._numbers.get(digest)

    def number_of(self, digest: str) -> int | None:
        """Return the latest version number under which a digest was pushed."""
        if digest not in self._numbers:
            self._numbers = {version.digest: version.number for version in self.store.versions()}
        return self._numbers.get(digest)


@dataclass
class Compiled:
    """A table with what doors and filters need of it, worked out once."""

    table: Table
    number: int
    _expressions: dict[tuple[str, str], Expr] = field(default_factory=dict)

    @cached_property
    def shape(self) -> BlueprintShape:
        """Return what the blueprint offers; where there is a canary, to those in it as well."""
        return blueprint_shape(together(self.table), self.number)

    @cached_property
    def machine(self) -> Machine:
        """Return the machine behind the table, read from the texts that the table carries."""
        texts = sorted(self.table.notes.sources.items())
        sources = [Source(name, text) for name, text in texts if is_blueprint(name)]
        tree, _ = parse_bundle(sources)
        machine, _ = check(tree)
        return machine

    def condition(self, entity: str, text: str) -> Expr:
        """Return a filter as an expression of the table. Raises `BadExpression`."""
        known = self._expressions.get((entity, text))
        if known is not None:
            return known
        source = Source("<filter>", text)
        expression, unread = parse_expression(text, source.name)
        sources: Mapping[str, Source] = {source.name: source}
        _raise(unread, sources)
        typed, unsound = check_expression(self.machine, entity, expression)
        _raise(unsound, sources)
        condition = compile_expression(typed)
        if len(self._expressions) >= EXPRESSIONS_MAX:
            self._expressions.clear()
        self._expressions[(entity, text)] = condition
        return condition

    def predicate(self, entity: str, condition: Expr, at: int, world: Look) -> Callable[[Snapshot], bool]:
        """Return a function that says whether a condition holds of an entity, with `now` being `at`.

        `world` is what it reads of others. A condition that has no value (it divides by zero) does not hold.
        """

        def holds(now: Snapshot) -> bool:
            try:
                return bool(evaluate(self.table, entity, condition, now, at=at, world=world))
            except NoValue:
                return False

        return holds


def _raise(problems: Sequence[Diagnostic], sources: Mapping[str, Source]) -> None:
    errors = tuple(finding(each, sources) for each in problems if each.severity is Severity.ERROR)
    if errors:
        raise BadExpression(errors)


def states_of(condition: Expr) -> Sequence[str]:
    """Return the states to which a condition confines an entity, or none where it does not."""
    if condition[0] == "in_state":
        return tuple(condition[1])
    if condition[0] == "and":
        return states_of(condition[1]) or states_of(condition[2])
    return ()


def version_table(version: TableVersion) -> Table:
    """Return the table of a stored version."""
    return load(version.table)


def version_report(version: TableVersion) -> dict[str, Any]:
    """Return the report with which a version was let in."""
    report: dict[str, Any] = msgspec.json.decode(version.report)
    return report
