"""The door: from a request's bytes to an answer, by way of one table of operations.

A raw ASGI application. Acting, creating and reading are most of what a server does, and each layer between the socket
and the verb would cost a few microseconds of every request on one core (bench/door.py), so there is none: a path is
looked up as it was sent, the head is read once, the body once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, NoReturn

from temper.service import Declined, Elsewhere, KeysWanted, Peer, Person, Workshop, wire
from temper.web import answer, forward
from temper.web.answer import Answer
from temper.web.ask import READ, Ask, Gone, Message, Receive, Scope, Send, headers, query
from temper.web.cors import Cors
from temper.web.limits import Limits
from temper.web.openapi import Documents
from temper.web.pages import pages
from temper.web.paths import OF_BLUEPRINT, OF_ENTITY, TOP, Resource, Route, parse
from temper.web.places import Places
from temper.web.problems import KINDS, decline, nearest
from temper.web.rates import Rates, network_of
from temper.web.streams import Download, Stream, hand_over, let_go, pour
from temper.web.verbs import BEGUN, OPERATIONS, QUERIES, Desk, Verb

PEER: Final = "temper.peer"
"""The extension of a scope that says who is at the other end, where that is more than an address."""
NOBODY: Final = Peer(None)
_LOG: Final = logging.getLogger("temper.web")
# What needs no token, since it says nothing of any blueprint.
_PUBLIC: Final = frozenset({Resource.ROOT, Resource.PROBLEM, Resource.HEALTH})
# What a sender signs instead of bearing a token.
_HOOKS: Final = {b"content-length", *forward.SIGNED, forward.HANDED_ON}
_ALLOW: Final = {
    resource: ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}))
    for resource, methods in OPERATIONS.items()
} | {**dict.fromkeys(_PUBLIC, "GET, HEAD, OPTIONS"), Resource.HOOK: "OPTIONS, POST"}
# Between two looks for the server that decides.
_LOOK_S: Final = 0.1
_FEWER_REQUESTS: Final = "wait for some to end, and ask for one stream in place of many waits"
_FEWER_STREAMS: Final = "close one; a stream of the whole blueprint tells of each of its entities"
# A path longer than that is parsed each time: the cache holds short ones.
_PATH_KEPT: Final = 256


def app(
    workshop: Workshop,
    *,
    limits: Limits | None = None,
    origins: Iterable[str] = (),
    outgoing: ssl.SSLContext | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Door:
    """Return the ASGI application that serves `workshop`.

    Pages of `origins` may read its answers in browsers. `outgoing` is TLS to other servers, where they use it; the pace
    of each principal is counted by `now`, in seconds.
    """
    return Door(workshop, limits or Limits(), Cors(origins), forward.Courier(outgoing), now)


class Door:
    """The ASGI application. `close` ends streams and waits; requests in flight still finish."""

    def __init__(
        self, workshop: Workshop, limits: Limits, cors: Cors, courier: forward.Courier, now: Callable[[], float]
    ) -> None:
        self._desk = Desk(workshop, limits, Documents(limits, QUERIES))
        self._limits = limits
        self._pages = pages()
        self._routes: dict[bytes, Route] = {}
        self._requests = 0
        self._requests_of = Places(limits.requests_each, "requests", _FEWER_REQUESTS)
        self._streams_of = Places(limits.streams_each, "streams", _FEWER_STREAMS)
        self._people: dict[str, Person] = {}
        self.read = READ | workshop.identity.headers
        """The headers that are read."""
        self.shows_certificates = workshop.identity.shows_certificates
        """Whether a client's certificate is looked at."""
        self._courier = courier
        self._cors = cors
        self._rates = Rates(limits.rate_max, limits.rate_per, limits.rates_max, now) if limits.rate_max else None
        # Anybody may begin a delivery, so that it has to arrive sooner than what comes from somebody who is known.
        self._hook_limits = replace(limits, body_timeout=min(limits.hook_timeout, limits.body_timeout))
        self._hook_rates = (
            Rates(limits.hook_rate_max, limits.hook_rate_per, limits.rates_max, now) if limits.hook_rate_max else None
        )
        self._deliveries = 0
        self._handing: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End streams and waits: the server is being stopped."""
        self._desk.closing.set()

    async def end(self) -> None:
        """Let go of the connections to other servers, once no request is in flight any more."""
        await self._courier.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                self._requests += 1
                try:
                    origin = self._cors.origin(scope)
                    if origin is None:
                        await self._http(scope, receive, send)
                    else:
                        await self._from_page(origin, scope, receive, send)
                finally:
                    self._requests -= 1
            case "lifespan":
                await _lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            case _:
                raise ValueError(f"ASGI scopes of type {scope['type']!r} are not known here")

    async def _from_page(self, origin: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        send = self._cors.sending(origin, send)
        preflight = self._cors.preflight(scope)
        if preflight is not None:
            await answer.deliver(preflight, scope["method"], send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        places: list[str] = []
        try:
            found = await self._found(raw, method, places, scope, receive, send)
            if isinstance(found, Answer):
                await answer.deliver(found, method, send)
            elif isinstance(found, Download):
                await hand_over(found, self._desk.closing, send)
            elif found is not None:
                await self._poured(found, method, send)
        finally:
            # Also what is read slowly is open until then.
            for name in places:
                self._requests_of.give_back(name)

    async def _found(
        self, raw: bytes, method: str, places: list[str], scope: Scope, receive: Receive, send: Send
    ) -> Answer | Stream | Download | None:
        """Return what is to be sent, if it is not sent already; `places` is to hold whose request is counted."""
        try:
            route = self._routes.get(raw) or self._parse(raw)
            if self._requests > self._limits.requests_max:
                _too_many()
            if route.resource in _PUBLIC:
                return await self._public(route, method, scope, receive, send)
            if route.resource is Resource.HOOK:
                return await self._hook(route, method, scope, receive)
            return await self._answer(route, method, places, scope, receive)
        except Declined as declined:
            return _problem(declined.problem)
        except Gone:
            return None
        except Exception as problem:  # noqa: BLE001 - whatever it is, the caller gets an answer, and the log the rest
            return _bug(method, raw, problem)

    async def _poured(self, stream: Stream, method: str, send: Send) -> None:
        """Pour a stream, unless it is one too many of whoever asked."""
        try:
            name = self._streams_of.take(stream.ask.person)
        except Declined as declined:
            await let_go(stream)
            await answer.deliver(_problem(declined.problem), method, send)
            return
        try:
            await pour(stream, self._desk.workshop, self._desk.closing, send)
        finally:
            self._streams_of.give_back(name)

    def begin(
        self,
        target: bytes,
        head: dict[bytes, bytes],
        body: bytes,
        reply: Callable[[Answer], None],
        peer: Peer = NOBODY,
    ) -> bool:
        """Begin a POST without a task where it is an action's or a creation's; `reply` hears its answer.

        It is the answer that `__call__` would give. Where it is another's, or has to wait until it is known who calls,
        nothing has happened, and `__call__` it is.
        """
        route = self._routes.get(target) or self._parse(target)
        begin = BEGUN.get(route.resource)
        if begin is None or len(body) > self._limits.body_max or not self._desk.workshop.knows(route.blueprint):
            return False
        begun = _Begun(self, target, body, reply)
        self._requests += 1
        try:
            if self._requests > self._limits.requests_max:
                _too_many()
            token = _bearer(head)
            person = self._person(token, head, peer)
            self._paced(person)
            begun.place = self._requests_of.take(person)
            begun.ask = Ask(route, "POST", head, person, token or "", _nothing, self._limits)
            begin(self._desk, begun.ask, body, begun)
        except KeysWanted:
            self._requests -= 1
            return False
        except Exception as problem:  # noqa: BLE001 - as in `_http`
            begun(problem)
        return True

    def answered(self, begun: _Begun, found: Answer | BaseException) -> None:
        """Reply with what came of what was begun, or have another server do it."""
        if isinstance(found, Elsewhere) and begun.ask is not None:
            handing = asyncio.get_running_loop().create_task(self._later(found, begun))
            self._handing.add(handing)
            handing.add_done_callback(self._handing.discard)
            return
        self._requests -= 1
        if begun.place is not None:
            self._requests_of.give_back(begun.place)
        if isinstance(found, Answer):
            begun.reply(found)
        elif isinstance(found, Declined):
            begun.reply(_problem(found.problem))
        else:
            begun.reply(_bug("POST", begun.target, found))

    def _person(self, token: str | None, head: dict[bytes, bytes], peer: Peer) -> Person:
        """Return who bears the token; of requests that came at once it is asked once, whoever sent them.

        Without one it is whom the proxy says or whose certificate it is, by the connection; that is asked for each.
        """
        if token is None:
            return self._desk.workshop.by_connection(peer, head) or self._desk.workshop.authenticate(None)
        people = self._people
        person = people.get(token)
        if person is None:
            person = self._desk.workshop.authenticate(token)
            if not people:
                asyncio.get_running_loop().call_soon(people.clear)
            people[token] = person
        return person

    def _paced(self, person: Person) -> None:
        """Decline the request where it is one too many of this person, whose agents are counted with it.

        Whoever starts a session would else have another share for each.
        """
        wait = self._rates.take(person.behind) if self._rates is not None else None
        if wait is not None:
            decline(
                "too-fast",
                429,
                f"`{person.behind[:80]}` asks more often than a principal may",
                detail=f"{self._limits.rate_max} requests in {self._limits.rate_per:g} s",
                help="wait as `Retry-After` says, and ask for a stream or a wait where it is news that is looked for",
                retry_after_ms=math.ceil(wait * 1000),
            )

    def _paced_by_address(self, address: str) -> None:
        """Decline a delivery where it is one too many from there, whichever webhook it names and whoever has signed it.

        So one that floods a webhook takes nothing from whoever sends from elsewhere, and learns of no webhook.
        """
        wait = self._hook_rates.take(network_of(address)) if self._hook_rates is not None else None
        if wait is not None:
            decline(
                "too-fast",
                429,
                "more deliveries come from this address than may",
                detail=f"{self._limits.hook_rate_max} in {self._limits.hook_rate_per:g} s",
                help="send it again as `Retry-After` says; it counts once",
                retry_after_ms=math.ceil(wait * 1000),
            )

    def _parse(self, raw: bytes) -> Route:
        route = parse(raw)
        if len(raw) <= _PATH_KEPT:
            if len(self._routes) >= self._limits.routes_max:
                self._routes.clear()
            self._routes[raw] = route
        return route

    async def _answer(
        self, route: Route, method: str, places: list[str], scope: Scope, receive: Receive
    ) -> Answer | Stream | Download:
        head = headers(scope["headers"], self.read)
        token = _bearer(head)
        try:
            person = self._person(token, head, _peer_of(scope))
        except KeysWanted:
            person = await self._desk.workshop.who(token)
        if token is None:
            self._cors.must_not_be_foreign(scope)
        # What another server has handed on was counted there.
        if not self._desk.workshop.was_handed_on(head.get(forward.HANDED_ON)):
            self._paced(person)
            places.append(self._requests_of.take(person))
        if route.resource is None:
            self._lost(route, person)
        operations = OPERATIONS[route.resource]
        operation = operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            return _other_method(route.resource, method)
        ask = Ask(route, method, head, person, token or "", receive, self._limits)
        # What takes no query refuses one too: a name that was mistyped is never passed over.
        asked: bytes = scope["query_string"]
        if asked:
            ask.query = query(asked, operation.query, self._limits)
        workshop = self._desk.workshop
        if route.blueprint and not workshop.knows(route.blueprint):
            await workshop.look_around()
        try:
            return await operation.verb(self._desk, ask)
        except Elsewhere as elsewhere:
            raw: bytes = scope.get("raw_path") or scope["path"].encode()
            return await self._handed_on(elsewhere, ask, operation.verb, raw + b"?" + asked if asked else raw)

    async def _later(self, elsewhere: Elsewhere, begun: _Begun) -> None:
        """Have what was begun handed on."""
        ask = begun.ask
        assert ask is not None, "its caller is known"
        assert ask.route.resource is not None, "it was begun"
        ask.whole = begun.body
        found: Answer | Stream | Download | BaseException
        try:
            found = await self._handed_on(elsewhere, ask, OPERATIONS[ask.route.resource]["POST"].verb, begun.target)
        except Exception as problem:  # noqa: BLE001 - as in `_http`
            found = problem
        assert not isinstance(found, Stream | Download), "no action is one"
        begun(found)

    async def _handed_on(self, elsewhere: Elsewhere, ask: Ask, verb: Verb, target: bytes) -> Answer | Stream | Download:
        """Return what the server answers that decides there; who that is may change meanwhile, and be this one."""
        if forward.HANDED_ON in ask.headers:
            return forward.not_here()
        workshop, until = self._desk.workshop, asyncio.get_running_loop().time() + self._limits.handing_max
        while True:
            url = workshop.server_of(ask.route.blueprint, elsewhere)
            if url is not None:
                body = await ask.body(self._limits.bundle_max)
                lent = workshop.lent(ask.person) if not ask.token else None
                proof = workshop.handed_on()
                found = await self._courier.hand_on(url, ask.method, target, ask.headers, body, proof, lent)
                if found is not None:
                    return found
            if asyncio.get_running_loop().time() > until:
                return forward.nobody()
            await workshop.look_around()
            try:
                return await verb(self._desk, ask)
            except Elsewhere as again:
                elsewhere = again
            await asyncio.sleep(_LOOK_S)

    async def _public(self, route: Route, method: str, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        assert route.resource is not None, "what is public is there"
        if method not in {"GET", "HEAD"}:
            return _other_method(route.resource, method)
        if route.resource is Resource.HEALTH:
            if self._desk.closing.is_set():
                decline("unavailable", 503, "the server is being stopped", retry_after_ms=1000)
            return answer.json({"status": "ok"})
        if route.resource is Resource.PROBLEM and route.word not in KINDS:
            near = nearest(route.word, KINDS)
            decline(
                "not-found", 404, "there is no such kind of problem", help=f"did you mean `{near}`?" if near else ""
            )
        await self._pages(scope, receive, send)
        return None

    async def _hook(self, route: Route, method: str, scope: Scope, receive: Receive) -> Answer | Stream | Download:
        """Take a delivery: the workshop says who has signed it, if anybody has."""
        if method != "POST":
            return _other_method(Resource.HOOK, method)
        head: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _HOOKS:
                # Twice is never right: what the two say together is no signature.
                head[name] = value if name not in head else b""
        workshop = self._desk.workshop
        # Who sends it is not known before its body is here, so it is counted by where it comes from.
        if not workshop.was_handed_on(head.get(forward.HANDED_ON)):
            self._paced_by_address(_peer_of(scope).address or "")
        if self._deliveries >= self._limits.hooks_max:
            _too_many()
        blueprint = workshop.webhook_blueprint(route.id)
        ask = Ask(replace(route, blueprint=blueprint), method, head, _SENDER, "", receive, self._hook_limits)
        self._deliveries += 1
        try:
            await ask.body(self._limits.body_max)
        finally:
            self._deliveries -= 1
        if blueprint and not workshop.knows(blueprint):
            await workshop.look_around()
        try:
            return await _delivered(self._desk, ask)
        except Elsewhere as elsewhere:
            return await self._handed_on(elsewhere, ask, _delivered, scope.get("raw_path") or scope["path"].encode())

    def _lost(self, route: Route, person: Person) -> NoReturn:
        """Raise for a path that names nothing, with what was probably meant."""
        known: list[str] = []
        if not route.blueprint:
            known += [*TOP, "v1"]
        elif not route.entity:
            # A blueprint that is not there is the first thing to say.
            shape = self._desk.workshop.shape(person, route.blueprint)
            known += [*OF_BLUEPRINT, *(entity.name for entity in shape.entities)]
        elif route.id:
            shape = self._desk.workshop.shape(person, route.blueprint)
            actions = [action for entity in shape.entities if entity.name == route.entity for action in entity.actions]
            known += [*OF_ENTITY, *(action.name for action in actions if action.acts)]
        near = nearest(route.word, [word for word in known if word])
        decline(
            "not-found",
            404,
            "nothing is at this path",
            detail=f"`{route.word[:80]}` is not known here",
            help=f"did you mean `{near}`?" if near else "`/openapi.json` lists every path",
        )


class _Begun:
    """A POST on the short way, which hears what came of it: no function within the door's, which would hold itself."""

    __slots__ = ("ask", "body", "door", "place", "reply", "target")

    def __init__(self, door: Door, target: bytes, body: bytes, reply: Callable[[Answer], None]) -> None:
        self.door = door
        self.target = target
        self.body = body
        self.reply = reply
        self.ask: Ask | None = None
        self.place: str | None = None
        """For whom it is counted."""

    def __call__(self, found: Answer | BaseException) -> None:
        self.door.answered(self, found)


# Who sends a delivery is known once its signature is.
_SENDER: Final = Person("")


async def _delivered(desk: Desk, ask: Ask) -> Answer:
    body = await ask.body(ask.limits.body_max)
    return answer.json(await desk.workshop.webhook(ask.route.id, ask.headers, body))


def _too_many() -> NoReturn:
    decline("busy", 503, "the server has too many requests at once", retry_after_ms=1000)


async def _nothing() -> Message:
    """Receive for a request whose body is there already."""
    raise Gone


def _peer_of(scope: Scope) -> Peer:
    found: Peer | None = scope.get("extensions", {}).get(PEER)
    return found or Peer((scope.get("client") or (None,))[0])


def _bearer(head: dict[bytes, bytes]) -> str | None:
    sent = head.get(b"authorization")
    if sent is None:
        return None
    scheme, _, token = sent.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _other_method(resource: Resource, method: str) -> Answer:
    allow = (b"allow", _ALLOW[resource].encode())
    if method == "OPTIONS":
        return Answer(204, b"", (*answer.KEPT_BY_NOBODY, allow))
    return answer.problem(
        wire.Problem(
            type="method-not-allowed",
            title=f"`{method[:20]}` is not possible here",
            status=405,
            help=f"possible are {_ALLOW[resource]}",
        ),
        [allow],
    )


def _problem(of: wire.Problem) -> Answer:
    # Of these the body was not read to its end; the connection is not worth reading it.
    return answer.problem(of, [(b"connection", b"close")] if of.status in {408, 413} else ())


def _bug(method: str, raw: bytes, problem: BaseException) -> Answer:
    instance = f"urn:uuid:{uuid.uuid4()}"
    _LOG.error("%s: %s %s failed", instance, method, raw.decode("latin-1"), exc_info=problem)
    return answer.problem(
        wire.Problem(
            type="bug",
            title="the server failed",
            status=500,
            instance=instance,
            help="its log says more under this instance",
        )
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
