"""What each path does: a request to a verb of the workshop, and its answer.

`OPERATIONS` is read by the door, which dispatches by it, and by OpenAPI, which describes it: neither can say what the
other does not do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

import msgspec

from temper.service import CanaryWanted, Declined, SessionWanted, Workshop, wire
from temper.web import answer, office
from temper.web.answer import Answer
from temper.web.ask import Ask, Parameter, Unfit, duration, flag, moment, number, place, span, text, unsupported
from temper.web.bodies import Bundle, CanaryBundle, Note, Rollback, Rotation, Session, Simulation, TokenWanted
from temper.web.limits import Limits
from temper.web.openapi import Documents
from temper.web.paths import Resource, path
from temper.web.problems import decline
from temper.web.streams import Download, Stream, begin, download, undisturbed


@dataclass(slots=True)
class Desk:
    """what a verb has at hand: the workshop, the bounds, and whether the server is being stopped."""

    workshop: Workshop
    limits: Limits
    documents: Documents
    closing: asyncio.Event = field(default_factory=asyncio.Event)


Verb = Callable[[Desk, Ask], Awaitable[Answer | Stream | Download]]
Then = Callable[[Answer | BaseException], None]
Begin = Callable[[Desk, Ask, bytes, Then], None]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path. Its parameters are all that its query may hold."""

    verb: Verb
    query: Mapping[str, Parameter]


_WAIT_MS: Final = 30_000
_BUNDLE: Final = msgspec.json.Decoder(Bundle)
_SIMULATION: Final = msgspec.json.Decoder(Simulation)
_ROLLBACK: Final = msgspec.json.Decoder(Rollback)
_CANARY: Final = msgspec.json.Decoder(CanaryBundle)
_NOTE: Final = msgspec.json.Decoder(Note)
_TOKEN: Final = msgspec.json.Decoder(TokenWanted)
_ROTATION: Final = msgspec.json.Decoder(Rotation)
_SESSION: Final = msgspec.json.Decoder(Session)

# --- entities ---------------------------------------------------------------------------------------------------------


async def act(desk: Desk, ask: Ask) -> Answer:
    """Take an action, or explain it in a dry run."""
    route, wanted = ask.route, ask.if_match()
    key = ask.key()
    body = await ask.json()
    if ask.query.get("dry_run"):
        if wanted is not None and wanted != "*":
            view = await desk.workshop.read(ask.person, route.blueprint, route.entity, route.id)
            if view.version != wanted:
                _stale(view.version)
        why = await desk.workshop.why(ask.person, route.blueprint, route.entity, route.id, route.action, body)
        return answer.json(why)
    done = await desk.workshop.act(
        ask.person,
        route.blueprint,
        route.entity,
        route.id,
        route.action,
        body,
        key=key,
        if_version=wanted if isinstance(wanted, int) else None,
    )
    return answer.json(done)


def begin_act(desk: Desk, ask: Ask, body: bytes, then: Then) -> None:
    """Begin what `act` does with this body, and return."""
    route, wanted = ask.route, ask.if_match()
    key = ask.key()

    def done(found: wire.Acted | BaseException) -> None:
        then(found if isinstance(found, BaseException) else answer.json(found))

    desk.workshop.begin_act(
        ask.person,
        route.blueprint,
        route.entity,
        route.id,
        route.action,
        ask.as_json(body),
        key=key,
        if_version=wanted if isinstance(wanted, int) else None,
        then=done,
    )


async def create(desk: Desk, ask: Ask) -> Answer:
    """Create an entity, or explain that in a dry run."""
    route, key = ask.route, ask.key()
    action: str | None = ask.query.get("action")
    body = await ask.json()
    if ask.query.get("dry_run"):
        named = action or _only_creating(desk, ask)
        if named is not None:
            why = await desk.workshop.why(ask.person, route.blueprint, route.entity, None, named, body)
            return answer.json(why)
    done = await desk.workshop.create(
        ask.person,
        route.blueprint,
        route.entity,
        action,
        body,
        key=key,
        dry_run=bool(ask.query.get("dry_run")),
    )
    return answer.json(done) if done.dry_run else _created(route.blueprint, done)


def begin_create(desk: Desk, ask: Ask, body: bytes, then: Then) -> None:
    """Begin what `create` does with this body, and return."""
    route, key = ask.route, ask.key()

    def done(found: wire.Acted | BaseException) -> None:
        then(found if isinstance(found, BaseException) else _created(route.blueprint, found))

    parsed = ask.as_json(body)
    desk.workshop.begin_create(ask.person, route.blueprint, route.entity, None, parsed, key=key, then=done)


def _created(blueprint: str, done: wire.Acted) -> Answer:
    made = done.entity
    location = (b"location", path(blueprint, made.entity, made.id).encode())
    if done.replayed:
        return answer.json(done, 200, [location])
    return answer.json(done, 201, [location, (b"etag", _tag(made.version).encode())])


def _only_creating(desk: Desk, ask: Ask) -> str | None:
    """Return the creating action's name where there is but one; else the workshop says what to name."""
    shape = desk.workshop.shape(ask.person, ask.route.blueprint)
    names = [
        action.name
        for entity in shape.entities
        if entity.name == ask.route.entity
        for action in entity.actions
        if action.creates and action.callable
    ]
    return names[0] if len(names) == 1 else None


async def read(desk: Desk, ask: Ask) -> Answer:
    """Return the entity, or as it was; its tag is its version."""
    route, at = ask.route, ask.query.get("at")
    if at is not None:
        was = await desk.workshop.past(ask.person, route.blueprint, route.entity, route.id, at)
        tag = _tag(was.version)
        return answer.unchanged(tag) if ask.none_match(tag) else answer.tagged(was, tag)
    view = await desk.workshop.read(ask.person, route.blueprint, route.entity, route.id)
    tag = _tag(view.version)
    return answer.unchanged(tag) if ask.none_match(tag) else answer.tagged(view, tag)


async def list_(desk: Desk, ask: Ask) -> Answer:
    """Return a page of entities."""
    asked, route = dict(ask.query), ask.route
    at = asked.pop("at", None)
    if at is not None:
        return answer.json(await desk.workshop.list_past(ask.person, route.blueprint, route.entity, at, **asked))
    return answer.json(await desk.workshop.list(ask.person, route.blueprint, route.entity, **asked))


async def history(desk: Desk, ask: Ask) -> Answer:
    """Return what happened to the entity, oldest first."""
    route = ask.route
    entries = await desk.workshop.history(ask.person, route.blueprint, route.entity, route.id, **ask.query)
    return _items(entries)


async def possible(desk: Desk, ask: Ask) -> Answer:
    """Return what the caller can do with the entity now, or with a new one."""
    route = ask.route
    return _items(await desk.workshop.possible(ask.person, route.blueprint, route.entity, route.id or None))


async def wait(desk: Desk, ask: Ask) -> Answer:
    """Return the entity once the condition holds, or as it is when the time is up."""
    route = ask.route
    until = ask.query.get("until")
    if until is None:
        decline("bad-request", 422, "what to wait for is not said", errors=[("until", "is required")])
    timeout_ms = min(ask.query.get("timeout", _WAIT_MS), round(desk.limits.wait_max * 1000))
    waiting = desk.workshop.wait(ask.person, route.blueprint, route.entity, route.id, until, timeout_ms=timeout_ms)
    return answer.json(await undisturbed(waiting, ask, desk.closing))


async def events(desk: Desk, ask: Ask) -> Stream:
    """Return the stream of what is committed from now on, or after an event that was seen before."""
    route, after = ask.route, ask.after()
    entries: AsyncIterator[wire.HistoryEntry] = desk.workshop.watch(
        ask.person, route.blueprint, route.entity or None, route.id or None, after=after
    )
    return await begin(entries, ask)


# --- bundles ----------------------------------------------------------------------------------------------------------


async def blueprints(desk: Desk, ask: Ask) -> Answer:
    """Return the current version of each blueprint."""
    return _items(desk.workshop.blueprints(ask.person))


async def shape(desk: Desk, ask: Ask) -> Answer:
    """Return what the blueprint offers; its tag is its version."""
    found = desk.workshop.shape(ask.person, ask.route.blueprint)
    tag = _tag(found.version)
    return answer.unchanged(tag) if ask.none_match(tag) else answer.tagged(found, tag)


async def push(desk: Desk, ask: Ask) -> Answer:
    """Judge the files, then swap the whole bundle."""
    blueprint, wanted = ask.route.blueprint, ask.if_match()
    bundle = await _bundle(ask)
    if wanted == "*":
        _expect_any(desk, ask)
    pushed = await desk.workshop.push(
        ask.person,
        blueprint,
        bundle.files,
        note=bundle.note,
        if_version=wanted if isinstance(wanted, int) else None,
    )
    new = pushed.version == 1 and not pushed.unchanged
    return answer.json(pushed, 201 if new else 200, [(b"etag", _tag(pushed.version).encode())])


async def plan(desk: Desk, ask: Ask) -> Answer:
    """Say what a push would change."""
    bundle = await _bundle(ask)
    strength = bool(ask.query.get("strength"))
    return answer.json(await desk.workshop.plan(ask.person, ask.route.blueprint, bundle.files, strength=strength))


async def shadow(desk: Desk, ask: Ask) -> Answer:
    """Say what a candidate would have answered otherwise."""
    bundle = await _bundle(ask)
    last: int = ask.query.get("last", 1_000)
    return answer.json(await desk.workshop.shadow(ask.person, ask.route.blueprint, bundle.files, last=last))


async def _bundle(ask: Ask) -> Bundle:
    kind = ask.media_type()
    if kind in {"text/plain", "text/x-blueprint"}:
        body = await ask.body(ask.limits.bundle_max)
        try:
            return Bundle({f"{ask.route.blueprint}.blueprint": body.decode()})
        except UnicodeDecodeError as error:
            decline(
                "bad-request",
                400,
                "the blueprint is not UTF-8",
                errors=[("", f"{error.reason} at byte {error.start}")],
            )
    if kind and kind != "application/json":
        unsupported(kind, "application/json", "text/x-blueprint", "text/plain")
    return await ask.json_as(_BUNDLE, ask.limits.bundle_max)


def _expect_any(desk: Desk, ask: Ask) -> None:
    try:
        desk.workshop.shape(ask.person, ask.route.blueprint)
    except Declined as declined:
        if declined.problem.type != "not-found":
            raise
        _stale(None)


async def versions(desk: Desk, ask: Ask) -> Answer:
    """Return all versions, newest first."""
    return _items(desk.workshop.versions(ask.person, ask.route.blueprint))


async def sources(desk: Desk, ask: Ask) -> Answer:
    """Return a version's files, as a push takes them."""
    files = desk.workshop.sources(ask.person, ask.route.blueprint, ask.query.get("version"))
    return answer.json({"files": files})


async def policies(desk: Desk, ask: Ask) -> Answer:
    """Return all of who may, by a version."""
    return answer.json(desk.workshop.policies(ask.person, ask.route.blueprint, ask.query.get("version")))


async def simulate_policy(desk: Desk, ask: Ask) -> Answer:
    """Say who could do what, and what a candidate would newly allow or deny."""
    wanted = await ask.json_as(_SIMULATION, ask.limits.bundle_max)
    found = await desk.workshop.simulate_policy(
        ask.person, ask.route.blueprint, wanted.files, entity=wanted.entity, action=wanted.action, id=wanted.id
    )
    return answer.json(found)


async def rollback(desk: Desk, ask: Ask) -> Answer:
    """Push an earlier version again."""
    wanted = await ask.json_as(_ROLLBACK, ask.limits.body_max)
    pushed = await desk.workshop.rollback(ask.person, ask.route.blueprint, wanted.to, note=wanted.note)
    return answer.json(pushed, 200, [(b"etag", _tag(pushed.version).encode())])


async def start_canary(desk: Desk, ask: Ask) -> Answer:
    """Have some new entities live by a bundle."""
    given = await ask.json_as(_CANARY, ask.limits.bundle_max)
    wanted = CanaryWanted(given.share, given.named)
    pushed = await desk.workshop.start_canary(ask.person, ask.route.blueprint, given.files, wanted, note=given.note)
    return answer.json(pushed, 201, [(b"etag", _tag(pushed.version).encode())])


async def canary(desk: Desk, ask: Ask) -> Answer:
    """Return the canary that is under way."""
    return answer.json(await desk.workshop.canary(ask.person, ask.route.blueprint))


async def promote(desk: Desk, ask: Ask) -> Answer:
    """Push the candidate of the canary."""
    given = await ask.json_as(_NOTE, ask.limits.body_max)
    pushed = await desk.workshop.promote(ask.person, ask.route.blueprint, note=given.note)
    return answer.json(pushed, 200, [(b"etag", _tag(pushed.version).encode())])


async def withdraw(desk: Desk, ask: Ask) -> Answer:
    """Push the version beside which the canary is."""
    given = await ask.json_as(_NOTE, ask.limits.body_max)
    pushed = await desk.workshop.withdraw(ask.person, ask.route.blueprint, note=given.note)
    return answer.json(pushed, 200, [(b"etag", _tag(pushed.version).encode())])


async def audit(desk: Desk, ask: Ask) -> Answer:
    """Walk all that is kept of a blueprint."""
    found = desk.workshop.audit(ask.person, ask.route.blueprint, ask.query.get("expect"))
    return answer.json(await undisturbed(found, ask, desk.closing))


async def export(desk: Desk, ask: Ask) -> Download:
    """Return all that is kept of a blueprint, as it is now."""
    blueprint = ask.route.blueprint
    return await download(f"{blueprint}.jsonl", desk.workshop.export(ask.person, blueprint), ask)


async def document(desk: Desk, ask: Ask) -> Answer:
    """Return the OpenAPI document of what is live: of all, or of one blueprint."""
    body, tag = desk.documents.of(desk.workshop, ask.person, ask.route.blueprint or None)
    if ask.none_match(tag):
        return answer.unchanged(tag)
    return answer.tagged(msgspec.Raw(body), tag)


# --- the outbox -------------------------------------------------------------------------------------------------------


async def letters(desk: Desk, ask: Ask) -> Answer:
    """Return dead letters, oldest first."""
    return _items(await desk.workshop.letters(ask.person, ask.route.blueprint, **ask.query))


async def letter(desk: Desk, ask: Ask) -> Answer:
    """Return an order that has not ended, or a dead letter."""
    return answer.json(await desk.workshop.letter(ask.person, ask.route.blueprint, ask.route.id))


async def retry(desk: Desk, ask: Ask) -> Answer:
    """Have an order tried now."""
    given = await ask.json_as(_NOTE, ask.limits.body_max)
    return answer.json(await desk.workshop.retry(ask.person, ask.route.blueprint, ask.route.id, note=given.note))


async def discard(desk: Desk, ask: Ask) -> Answer:
    """Give an order up."""
    given = await ask.json_as(_NOTE, ask.limits.body_max)
    return answer.json(await desk.workshop.discard(ask.person, ask.route.blueprint, ask.route.id, note=given.note))


async def tools(desk: Desk, ask: Ask) -> Answer:
    """Return how each tool is being called, and what waits."""
    return _items(await desk.workshop.tools(ask.person, ask.route.blueprint))


# --- tokens and sessions ----------------------------------------------------------------------------------------------


async def me(desk: Desk, ask: Ask) -> Answer:
    """Return who asks."""
    return answer.json(desk.workshop.me(ask.person))


async def make_token(desk: Desk, ask: Ask) -> Answer:
    """Make a token; this answer alone holds its secret."""
    wanted = await ask.json_as(_TOKEN, ask.limits.body_max)
    made = desk.workshop.make_token(
        ask.person,
        wanted.principal,
        wanted.roles,
        admin=wanted.admin,
        acts_for=wanted.acts_for,
        ttl_ms=_duration("ttl", wanted.ttl) if wanted.ttl is not None else None,
        teams=wanted.teams,
        attributes=wanted.attributes,
        scope=wanted.scope,
        read_only=wanted.read_only,
    )
    return answer.json(made, 201)


async def tokens(desk: Desk, ask: Ask) -> Answer:
    """Return all tokens without their secrets."""
    return _items(desk.workshop.tokens(ask.person))


async def revoke_token(desk: Desk, ask: Ask) -> Answer:
    """Revoke a token at once."""
    return answer.json(await desk.workshop.revoke_token(ask.person, ask.route.id))


async def rotate_token(desk: Desk, ask: Ask) -> Answer:
    """Give a token another secret."""
    wanted = await ask.json_as(_ROTATION, ask.limits.body_max)
    grace_ms = _duration("grace", wanted.grace)
    return answer.json(await desk.workshop.rotate_token(ask.person, ask.route.id, grace_ms=grace_ms))


async def start_session(desk: Desk, ask: Ask) -> Answer:
    """Start a session; this answer alone holds its token."""
    wanted = await ask.json_as(_SESSION, ask.limits.body_max)
    session = SessionWanted(
        wanted.name,
        wanted.roles,
        wanted.entities,
        read_only=wanted.read_only,
        admin=wanted.admin,
        ttl_ms=_duration("ttl", wanted.ttl),
    )
    return answer.json(await desk.workshop.start_session(ask.person, session), 201)


async def sessions(desk: Desk, ask: Ask) -> Answer:
    """Return the caller's sessions."""
    return _items(await desk.workshop.sessions(ask.person))


async def end_session(desk: Desk, ask: Ask) -> Answer:
    """End a session at once."""
    return answer.json(await desk.workshop.end_session(ask.person, ask.route.id))


def _duration(name: str, text: str) -> int:
    try:
        return duration(text)
    except Unfit as unfit:
        decline("bad-request", 422, "the body is not of the right shape", errors=[(f"/{name}", str(unfit))])


def _items(items: tuple[wire.Wire, ...]) -> Answer:
    return answer.json({"items": items})


def _tag(version: int) -> str:
    return f'"{version}"'


def _stale(version: int | None) -> NoReturn:
    detail = f"it has version {version}" if version is not None else "there is no version of it"
    decline("stale", 412, "it has another version than `If-Match` names", detail=detail)


# --- the table --------------------------------------------------------------------------------------------------------


def _takes(verb: Verb, *parameters: Parameter) -> Operation:
    return Operation(verb, {parameter.name: parameter for parameter in parameters})


_STRENGTH: Final = flag("Whether to measure how much its properties notice, which takes longer.", "strength")
_LAST: Final = number("How many requests to ask again, the last ones.", "last", low=1, high="shadow_max", default=1_000)
_DRY_RUN: Final = flag("Change nothing: say what would happen, or which clause would refuse it and why.", "dry_run")
_AT: Final = moment(
    "As it was after the entry with this `seq`, or at this time; the answer is a `PastEntity` then.", "at"
)
_AFTER: Final = place(
    number(
        "Go on after the entry with this `seq`, or from the beginning with 0. Entries that have a `place` are gone on "
        "from by that. A client that reconnects sends `Last-Event-ID` by itself.",
        "after",
        low=0,
        high=None,
    )
)

OPERATIONS: Final[dict[Resource, dict[str, Operation]]] = {
    Resource.OPENAPI: {"GET": _takes(document)},
    Resource.BLUEPRINT_OPENAPI: {"GET": _takes(document)},
    Resource.BLUEPRINTS: {"GET": _takes(blueprints)},
    Resource.BLUEPRINT: {"GET": _takes(shape), "PUT": _takes(push)},
    Resource.PLAN: {"POST": _takes(plan, _STRENGTH)},
    Resource.SHADOW: {"POST": _takes(shadow, _LAST)},
    Resource.VERSIONS: {"GET": _takes(versions)},
    Resource.SOURCES: {
        "GET": _takes(sources, number("Of which version; the current one's by default.", "version", low=1, high=None)),
    },
    Resource.POLICIES: {
        "GET": _takes(policies, number("Of which version; the current one's by default.", "version", low=1, high=None)),
    },
    Resource.SIMULATE_POLICY: {"POST": _takes(simulate_policy)},
    Resource.ROLLBACK: {"POST": _takes(rollback)},
    Resource.AUDIT: {
        "GET": _takes(
            audit,
            text(
                "Anchors that have to be in the log, as an audit gives them; several with commas.",
                "expect",
                most="expression_max",
            ),
        ),
    },
    Resource.EXPORT: {"GET": _takes(export)},
    Resource.CANARY: {"GET": _takes(canary), "POST": _takes(start_canary)},
    Resource.PROMOTE: {"POST": _takes(promote)},
    Resource.WITHDRAW: {"POST": _takes(withdraw)},
    Resource.BLUEPRINT_EVENTS: {"GET": _takes(events, _AFTER)},
    Resource.ENTITIES: {
        "GET": _takes(
            list_,
            text(
                "An expression of the language over the entity, such as `state is Halted and moved > 2`.",
                "filter",
                most="expression_max",
            ),
            text(
                "A field, `created_at`, `updated_at` or `id`; with `-` before it, downwards.",
                "sort",
                example="-created_at",
            ),
            number("How many at the most.", "limit", low=1, high="page_max", default=50),
            text("The `cursor` of the page before.", "cursor", most="expression_max"),
            flag("Whether to count all that the filter lets through.", "count"),
            moment(
                "As they were after the entry with this `seq`, or at this time, in the order of their creation; the "
                "answer is a `PastPage` then.",
                "at",
            ),
        ),
        "POST": _takes(
            create, text("Which action creates it; needed only where there are several.", "action"), _DRY_RUN
        ),
    },
    Resource.ENTITIES_ACTIONS: {"GET": _takes(possible)},
    Resource.ENTITIES_EVENTS: {"GET": _takes(events, _AFTER)},
    Resource.ENTITY: {"GET": _takes(read, _AT)},
    Resource.HISTORY: {
        "GET": _takes(
            history,
            number("Entries after the one with this `seq`.", "after", low=0, high=None, default=0),
            number("How many at the most.", "limit", low=1, high="history_max", default=200),
        ),
    },
    Resource.ACTIONS: {"GET": _takes(possible)},
    Resource.EVENTS: {"GET": _takes(events, _AFTER)},
    Resource.WAIT: {
        "GET": _takes(
            wait,
            text(
                "An expression over the entity, such as `state is Live`.",
                "until",
                example="state is Live",
                most="expression_max",
            ),
            span("How long to wait; the server's own bound is kept.", "timeout", default="30s"),
        ),
    },
    Resource.ACT: {"POST": _takes(act, _DRY_RUN)},
    Resource.LETTERS: {
        "GET": _takes(
            letters,
            text("Letters after the one of this order.", "after", most="expression_max"),
            number("How many at the most.", "limit", low=1, high="history_max", default=50),
        )
    },
    Resource.LETTER: {"GET": _takes(letter)},
    Resource.RETRY: {"POST": _takes(retry)},
    Resource.DISCARD: {"POST": _takes(discard)},
    Resource.TOOLS: {"GET": _takes(tools)},
    Resource.DECISIONS: {
        "GET": _takes(
            office.decisions,
            text("Those in this state.", "state", example="Pending"),
            number("How many at the most.", "limit", low=1, high="page_max", default=50),
            text("The `cursor` of the page before.", "cursor", most="expression_max"),
        )
    },
    Resource.DECISIONS_EVENTS: {"GET": _takes(office.decision_events, _AFTER)},
    Resource.DECISION: {
        "GET": _takes(
            office.decision,
            span("How long to wait for its end; the server's own bound is kept.", "wait", default="0s"),
        ),
        "POST": _takes(office.answer_decision),
        "DELETE": _takes(office.withdraw_decision),
    },
    Resource.GRANTS: {"GET": _takes(office.grants, text("Those to this principal.", "principal"))},
    Resource.GRANT: {"DELETE": _takes(office.revoke_grant)},
    Resource.PAUSES: {"GET": _takes(office.pauses), "POST": _takes(office.pause)},
    Resource.PAUSE: {"DELETE": _takes(office.resume)},
    Resource.TOKENS: {"GET": _takes(tokens), "POST": _takes(make_token)},
    Resource.TOKEN: {"DELETE": _takes(revoke_token)},
    Resource.ROTATE: {"POST": _takes(rotate_token)},
    Resource.SESSIONS: {"GET": _takes(sessions), "POST": _takes(start_session)},
    Resource.SESSION: {"DELETE": _takes(end_session)},
    Resource.ME: {"GET": _takes(me)},
}

BEGUN: Final[dict[Resource | None, Begin]] = {Resource.ACT: begin_act, Resource.ENTITIES: begin_create}
"""Those whose POST, where it has no query, goes on without a task: what is asked most, and waits for a commit alone."""

QUERIES: Final = {
    resource: {method: each.query for method, each in methods.items()} for resource, methods in OPERATIONS.items()
}
