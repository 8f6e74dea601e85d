"""The kill switch: who and what is paused, and that nothing of theirs is done until it is lifted.

A pause is told to every space before it is answered: what was being decided then has been committed by the answer, and
what is decided after it knows of the pause. Reads go on, and so does what the paused have set in motion before, but for
a tool, whose calls wait, and a blueprint, whose timers and calls do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from temper.kernel import Conflict, Done, Facts, No, PolicyGate, StoreFault
from temper.runtime import Administers, Live
from temper.service import scope, wire
from temper.service.credentials import OF_SESSION
from temper.service.declined import Declined, unavailable
from temper.service.office import Office, Paused
from temper.service.people import PRINCIPAL_MAX, ROLE, TTL_MAX_MS, Person, must_be_administrator
from temper.service.space import Space
from temper.service.views import moment
from temper.table import Act, Caller, Look, Possible, Refused, Snapshot, Table, Why

KINDS = ("principal", "role", "tool", "bundle")
REASON_MAX = 500
ACTIVE_MAX = 10_000


@dataclass
class Pauses:
    """What is paused, for whoever decides. It is a `kernel.PolicyGate` around another."""

    office: Office
    spaces: Mapping[str, Space]
    inner: PolicyGate | None = None
    everywhere: Callable[[], Awaitable[None]] | None = None
    """Tells the other servers, and returns once they stand still, too."""

    def __post_init__(self) -> None:
        """Hold back what is paused from the moment that it is known."""
        self.office.changed.append(self.hold)

    # --- who decides asks ---

    def rule(self, table: Table, now: Snapshot | None, event: Act, facts: Facts, world: Look) -> Refused | None:
        """Return why not: a pause first, then whatever the policies say."""
        if self.office.pauses:
            callers = [event.caller]
            if event.consent is not None:
                callers += [event.consent.asked, event.consent.by]
            for caller in callers:
                paused = self.of(caller, table.blueprint)
                if paused is not None:
                    return _refused(paused, event.action)
        return None if self.inner is None else self.inner.rule(table, now, event, facts, world)

    def of(self, caller: Caller, blueprint: str | None) -> Paused | None:
        """Return what keeps the caller from acting in a blueprint, or at all, if anything does."""
        return next((each for each in self.active() if _stops(each, caller, blueprint)), None)

    def possibly(self, caller: Caller, blueprint: str, each: Iterable[Possible]) -> tuple[Possible, ...]:
        """Return actions as they are possible while what is paused is: for who is stopped, none is."""
        paused = self.of(caller, blueprint)
        if paused is None:
            return tuple(each)
        return tuple(
            one if one.status == "no" else replace(one, status="no", refused=_refused(paused, one.action), on=())
            for one in each
        )

    def active(self) -> Iterator[Paused]:
        """Return what is paused now. One that has come to its end is over, whether or not its timer has fired."""
        pauses = self.office.pauses
        if pauses:
            now = self.office.ground.clock.now()
            yield from [each for each in pauses.values() if each.until is None or each.until > now]

    def must_not_be_paused(self, caller: Caller, blueprint: str | None = None) -> None:
        """Decline with "paused" what would be refused for it: of the caller alone, where it is no one blueprint's."""
        if self.office.pauses:
            paused = self.of(caller, blueprint)
            if paused is not None:
                raise Declined(problem(paused))

    def must_be_free(self, caller: Caller, blueprint: str) -> None:
        """Decline what a caller who is paused asks of a blueprint. A blueprint that is itself paused may be mended."""
        if self.office.pauses:
            for each in self.active():
                if each.kind != "bundle" and _stops(each, caller, blueprint):
                    raise Declined(problem(each))

    # --- timers and calls ---

    def hold(self) -> None:
        """Have every space hold back, and let go, what the pauses say."""
        for space in list(self.spaces.values()):
            self.hold_back(space.live)

    def hold_back(self, live: Live) -> None:
        """Have one space hold back what the pauses say."""
        name = live.table.blueprint
        active = [each for each in self.active() if each.kind in ("tool", "bundle")]
        tools = {each.name: told(each) for each in active if each.kind == "tool" and each.within in ("", name)}
        whole = [told(each) for each in active if each.kind == "bundle" and each.name == name]
        live.hold(tools, whole=", ".join(whole))

    async def settled(self) -> None:
        """Return once everything that was being decided is committed, in every space and by every server."""
        await self.settled_here()
        if self.everywhere is not None:
            try:
                await self.everywhere()
            except StoreFault as fault:
                raise unavailable(
                    f"it is noted, and whether every server knows it is not known: {fault.text}"
                ) from fault

    async def settled_here(self) -> None:
        """Return once everything that was being decided by this server is committed."""
        await asyncio.gather(*(_settled(space) for space in list(self.spaces.values())))

    # --- verbs ---

    async def pause(
        self, person: Person, kind: str, name: str, *, within: str = "", reason: str, for_ms: int | None = None
    ) -> wire.Pause:
        """Pause, and return once nothing of what is paused is committed any more."""
        _must_look_after(person, "pause anything")
        self.must_not_be_paused(person.caller)
        self._must_fit(kind, name, within, reason, for_ms)
        if len(self.office.pauses) >= ACTIVE_MAX:
            raise Declined(
                wire.Problem(type="busy", title="too much is paused already", status=503, help="resume some of it")
            )
        until = None if for_ms is None else self.office.ground.clock.now() + for_ms
        answer = await self.office.take(
            "administrator",
            person.caller,
            "Pause",
            "Begin",
            {"kind": kind, "name": name, "within": within, "reason": reason, "until": moment(until) if until else None},
        )
        match answer:
            case Done(snapshot=snapshot):
                await self.settled()
                return self._view(snapshot)
            case No(refused=refused) if refused.why is Why.NOT_UNIQUE:
                raise Declined(
                    wire.Problem(
                        type="conflict",
                        title=f"the {kind} `{name}` is paused already",
                        status=409,
                        help="`temper pauses` lists what is paused",
                    )
                )
            case No(refused=refused):
                raise Declined(wire.Problem(type="refused", title=refused.text, status=409))
            case _:
                raise unavailable("the pause could not be noted: nothing is paused")

    async def resume(self, person: Person, id: str) -> wire.Pause:
        """Lift a pause. Whoever is paused: an administrator always may."""
        _must_look_after(person, "lift a pause")
        if await self.office.read("Pause", id) is None:
            raise Declined(
                wire.Problem(
                    type="not-found",
                    title=f"there is no pause `{id[:80]}`",
                    status=404,
                    help="`temper pauses` lists what is paused",
                )
            )
        answer = await self.office.take("administrator", person.caller, "Pause", "Lift", {}, id=id)
        match answer:
            case Done(snapshot=snapshot):
                return self._view(snapshot)
            case No(snapshot=snapshot) if snapshot is not None:
                raise Declined(
                    wire.Problem(
                        type="conflict", title="it is over already", status=409, detail=f"it is {snapshot.state}"
                    )
                )
            case No() | Conflict():
                raise unavailable("the pause could not be lifted")
            case _:
                raise unavailable("the pause could not be lifted: try again")

    async def listed(self, person: Person) -> tuple[wire.Pause, ...]:
        """Return what is paused, the oldest first. Needs an administrator: whoever is stopped is told of their own."""
        _must_look_after(person, "list what is paused")
        active = sorted(self.active(), key=lambda each: each.id)
        found = [await self.office.read("Pause", each.id) for each in active]
        views = [self._view(each) for each in found if each is not None]
        return tuple(sorted(views, key=lambda each: each.at))

    def _view(self, now: Snapshot) -> wire.Pause:
        fields = self.office.fields(now)
        return wire.Pause(
            id=now.id,
            state=now.state,
            kind=fields["kind"],
            name=fields["name"],
            blueprint=fields["within"],
            reason=fields["reason"],
            by=fields["paused_by"],
            at=moment(now.created_at),
            until=fields["until"],
            lifted_by=fields["lifted_by"],
        )

    def _must_fit(self, kind: str, name: str, within: str, reason: str, for_ms: int | None) -> None:
        wrong: list[tuple[str, str]] = []
        if kind not in KINDS:
            wrong.append(("kind", f"is one of {', '.join(KINDS)}"))
        if not name or len(name) > PRINCIPAL_MAX or not name.isprintable():
            wrong.append(("name", f"is not from 1 to {PRINCIPAL_MAX} printable characters"))
        elif kind == "role" and not ROLE.fullmatch(name):
            wrong.append(("name", "is no role's name: lower_snake, as in the blueprint"))
        elif kind == "bundle" and name not in self.spaces:
            wrong.append(("name", "is no blueprint's name"))
        elif kind == "tool":
            wrong.extend(self._no_tool(name, within))
        if within and (kind == "bundle" or within not in self.spaces):
            wrong.append(("blueprint", "is not asked for: `name` is one" if kind == "bundle" else "is not there"))
        if not reason.strip() or len(reason) > REASON_MAX:
            wrong.append(("reason", f"is not from 1 to {REASON_MAX} characters: those who are stopped read it"))
        if for_ms is not None and not 0 < for_ms <= TTL_MAX_MS:
            wrong.append(("for", "is not above 0, and 100 years at most"))
        if wrong:
            raise Declined(
                wire.Problem(
                    type="bad-request",
                    title="this can't be paused",
                    status=422,
                    detail="; ".join(f"{path} {message}" for path, message in wrong),
                    errors=tuple(wire.FieldError(path=f"/{path}", message=message) for path, message in wrong),
                )
            )

    def _no_tool(self, name: str, within: str) -> Iterator[tuple[str, str]]:
        spaces = [self.spaces[within]] if within in self.spaces else list(self.spaces.values())
        if not any(name in space.table.tools for space in spaces):
            yield "name", "is no tool of a blueprint"


def _stops(paused: Paused, caller: Caller, blueprint: str | None) -> bool:
    match paused.kind:
        case "bundle":
            return paused.name == blueprint
        case "principal":
            return paused.within in ("", blueprint) and _is_of(paused.name, caller)
        case "role":
            return paused.within in ("", blueprint) and paused.name in caller.roles
        case _:
            return False


def _refused(paused: Paused, action: str) -> Refused:
    return Refused(Why.PAUSED, told(paused), None, action, (paused.id,))


def _is_of(name: str, caller: Caller) -> bool:
    """Say whether a caller is the one of that name, acts for them, or is of a session that they have started.

    Sessions of an agent act for whom the agent acts for: that they are the agent's, their names say.
    """
    return any(
        each == name or each.startswith(f"{name}{OF_SESSION}")
        for each in (caller.principal, caller.acts_for)
        if each is not None
    )


def _must_look_after(person: Person, verb: str) -> None:
    must_be_administrator(person, verb, Administers.PAUSE)
    scope.must_be_unbounded(person)


def told(paused: Paused) -> str:
    """Return what is said to whoever is stopped: what is paused, by whom, why, and until when."""
    what = f"{'blueprint' if paused.kind == 'bundle' else paused.kind} `{paused.name}`"
    where = f" in `{paused.within}`" if paused.within else ""
    until = f", until {moment(paused.until)}" if paused.until is not None else ""
    return f"the {what} is paused{where} by `{paused.by}`{until}: {paused.reason}"


def problem(paused: Paused) -> wire.Problem:
    """Return the problem that is said to whoever is stopped."""
    return wire.Problem(
        type="paused",
        title="it is paused, and nothing was done",
        status=403,
        detail=told(paused),
        why=Why.PAUSED.value,
        help=f"an administrator lifts it with `temper resume {paused.id}`",
    )


async def _settled(space: Space) -> None:
    try:
        await space.live.beside(_nothing)
    except StoreFault as fault:
        raise unavailable(f"whether `{space.name}` stands still is not known: {fault.text}") from fault


def _nothing() -> None:
    """What is done between two appends, once the one under way is."""
