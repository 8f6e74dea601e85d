"""OpenAPI 3.1 of what is live: each path of each blueprint written out.

Ordinary clients and fuzzers need nothing else.

A document is made of the shapes that the workshop tells, and kept for as long as their digests stay the same.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec

from temper import __version__
from temper.service import Person, Workshop, wire
from temper.web.ask import DURATION, Parameter
from temper.web.bodies import (
    Bundle,
    CanaryBundle,
    DecisionAnswer,
    Note,
    PauseWanted,
    Revocation,
    Rollback,
    Rotation,
    Session,
    Simulation,
    TokenWanted,
)
from temper.web.limits import Limits
from temper.web.paths import Resource
from temper.web.problems import KINDS

Json = dict[str, Any]
Queries = Mapping[Resource, Mapping[str, Mapping[str, Parameter]]]

PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{name}"
# How many documents are kept: one for all, and one for each blueprint that is asked for.
_KEPT_MAX: Final = 64


@dataclass(slots=True)
class Documents:
    """The documents, as bytes with their tags."""

    limits: Limits
    queries: Queries
    _kept: dict[tuple[str, ...], tuple[bytes, str]] = field(default_factory=dict)

    def of(self, workshop: Workshop, person: Person, blueprint: str | None) -> tuple[bytes, str]:
        """Return the document of everything, or of one blueprint, and its tag."""
        names = [blueprint] if blueprint is not None else [each.blueprint for each in workshop.blueprints(person)]
        shapes = [workshop.shape(person, name) for name in names]
        key = ("one" if blueprint is not None else "all", *(f"{each.name}:{each.version}" for each in shapes))
        kept = self._kept.get(key)
        if kept is None:
            writer = Writer(self.limits, self.queries, alone=blueprint is not None)
            body = msgspec.json.encode(writer.document(shapes))
            kept = body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            self._kept[key] = kept
        return kept


# --- what each operation answers --------------------------------------------------------------------------------------

_BODY: Final = (408, 413, 415, 422)
_DECIDED: Final = (403, 404, 409)

# Beyond what every operation may answer: 400, 401, 429, 500, 503, 414 where it takes a query, and, where it takes a
# body, what becomes of that.
_ANSWERS: Final[dict[tuple[Resource, str], tuple[int, ...]]] = {
    (Resource.OPENAPI, "GET"): (304,),
    (Resource.BLUEPRINT_OPENAPI, "GET"): (304, 404),
    (Resource.BLUEPRINTS, "GET"): (),
    (Resource.BLUEPRINT, "GET"): (304, 404),
    (Resource.BLUEPRINT, "PUT"): (412, *_DECIDED),
    (Resource.PLAN, "POST"): (403, 404),
    (Resource.SHADOW, "POST"): (403, 404),
    (Resource.VERSIONS, "GET"): (404,),
    (Resource.SOURCES, "GET"): (404, 422),
    (Resource.POLICIES, "GET"): (404, 422),
    (Resource.SIMULATE_POLICY, "POST"): (403, 404),
    (Resource.ROLLBACK, "POST"): _DECIDED,
    (Resource.CANARY, "GET"): (404,),
    (Resource.AUDIT, "GET"): (403, 404, 422),
    (Resource.EXPORT, "GET"): (403, 404),
    (Resource.CANARY, "POST"): _DECIDED,
    (Resource.PROMOTE, "POST"): _DECIDED,
    (Resource.WITHDRAW, "POST"): _DECIDED,
    (Resource.BLUEPRINT_EVENTS, "GET"): (404, 422),
    (Resource.ENTITIES, "GET"): (404, 422),
    (Resource.ENTITIES, "POST"): _DECIDED,
    (Resource.ENTITIES_ACTIONS, "GET"): (404,),
    (Resource.ENTITIES_EVENTS, "GET"): (404, 422),
    (Resource.ENTITY, "GET"): (304, 404, 422),
    (Resource.HISTORY, "GET"): (404, 422),
    (Resource.ACTIONS, "GET"): (404,),
    (Resource.EVENTS, "GET"): (404, 422),
    (Resource.WAIT, "GET"): (404, 422),
    (Resource.ACT, "POST"): (412, *_DECIDED),
    (Resource.LETTERS, "GET"): (403, 404, 422),
    (Resource.LETTER, "GET"): (403, 404),
    (Resource.RETRY, "POST"): (403, 404, 409),
    (Resource.DISCARD, "POST"): (403, 404, 409),
    (Resource.TOOLS, "GET"): (403, 404),
    (Resource.TOKENS, "GET"): (403,),
    (Resource.TOKENS, "POST"): (403,),
    (Resource.TOKEN, "DELETE"): (403, 404),
    (Resource.ROTATE, "POST"): (403, 404, 409),
    (Resource.SESSIONS, "GET"): (),
    (Resource.SESSIONS, "POST"): (403, 409),
    (Resource.SESSION, "DELETE"): (404,),
    (Resource.ME, "GET"): (),
    (Resource.DECISIONS, "GET"): (422,),
    (Resource.DECISIONS_EVENTS, "GET"): (422,),
    (Resource.DECISION, "GET"): (404, 422),
    (Resource.DECISION, "POST"): (412, *_DECIDED),
    (Resource.DECISION, "DELETE"): (403, 404, 409),
    (Resource.GRANTS, "GET"): (422,),
    (Resource.GRANT, "DELETE"): (403, 404, 409),
    (Resource.PAUSES, "GET"): (403,),
    (Resource.PAUSES, "POST"): (403, 409),
    (Resource.PAUSE, "DELETE"): (403, 404, 409),
}

_PROBLEMS: Final = {
    400: "What was sent can't be read, or holds something that is not known here.",
    401: "There is no valid token.",
    403: "Who calls may not do this.",
    404: "There is nothing at this path.",
    408: "The body did not arrive in time.",
    409: "It was refused as things are: `detail` says why, `next` what is possible.",
    412: "It has another version than `If-Match` names.",
    413: "The body is too large.",
    414: "The path and the query are too long.",
    415: "The body's media type is not read here.",
    422: "It could be read, but does not fit: `errors` or `findings` say where.",
    429: "Who calls asks too often, or more is open, waits for approval, or is granted, than one principal may have.",
    500: "The server failed. Its log says more under the problem's `instance`.",
    503: "The server has no room for it now, or is being stopped.",
}

_RETRY: Final = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds to wait."}}
_ETAG: Final = {"ETag": {"schema": {"type": "string"}, "description": "The version, in quotes."}}

_IF_NONE_MATCH: Final[Json] = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The `ETag` of what the caller has; while it is the same, the answer is 304.",
}
_IF_MATCH: Final[Json] = {
    "name": "If-Match",
    "in": "header",
    "schema": {"anyOf": [{"const": "*"}, {"type": "string", "pattern": '^"[0-9]{1,18}"$'}]},
    "description": 'Do it only while the version is this one, such as `"3"`, else answer 412. `*` means any.',
}
_LAST_EVENT_ID: Final[Json] = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "description": "The id of the last event that was seen: the stream goes on after it.",
}


class Writer:
    """Writes one document."""

    def __init__(self, limits: Limits, queries: Queries, *, alone: bool) -> None:
        self._limits = limits
        self._queries = queries
        # A document of one blueprint names an operation `Rollout_Start`; that of all, `helix_Rollout_Start`.
        self._alone = alone
        self._paths: dict[str, Json] = {}
        self._schemas = _components()
        self._tags: list[Json] = []

    def document(self, shapes: Iterable[wire.BlueprintShape]) -> Json:
        """Return the document of these blueprints."""
        shapes = list(shapes)
        if not self._alone:
            self._general()
        for shape in shapes:
            self._blueprint(shape)
        title = f"Temper: {shapes[0].name}" if self._alone else "Temper"
        described = shapes[0].description if self._alone else ""
        return {
            "openapi": "3.1.0",
            "info": {
                "title": title,
                "version": str(shapes[0].version) if self._alone else __version__,
                "description": described or "The blueprints that are live on this server.",
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}],
            "tags": self._tags,
            "paths": self._paths,
            "components": {
                "schemas": self._schemas,
                "securitySchemes": {
                    "bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "A token of `temper token make` or `POST /v1/tokens`. It alone says who calls.",
                    }
                },
            },
        }

    # --- the server ---

    def _general(self) -> None:
        self._tags.append({"name": "server", "description": "The server itself: blueprints, tokens, health."})
        self._paths[Resource.HEALTH.value] = {
            "get": {
                "operationId": "health",
                "summary": "Say whether the server answers",
                "tags": ["server"],
                "security": [],
                "responses": {
                    "200": _json("It does.", {"type": "object", "properties": {"status": {"const": "ok"}}}),
                    "503": self._problem(503),
                },
            }
        }
        self._add(
            Resource.OPENAPI,
            "GET",
            "openapi",
            "Describe every path of what is live",
            ok=("This document.", {"type": "object"}),
        )
        self._add(
            Resource.BLUEPRINTS,
            "GET",
            "blueprints",
            "List the live blueprints",
            ok=("Their current versions.", _items("Version")),
        )
        named = _path_parameter("blueprint", {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"})
        self._shape(Resource.BLUEPRINT.value, "blueprint_shape", "server", [named])
        self._pushes(Resource.BLUEPRINT.value, "blueprint", "server", [named | {"example": "lamp"}], example=_EXAMPLE)
        self._add(
            Resource.TOKENS,
            "GET",
            "tokens_list",
            "List all tokens, without their secrets",
            ok=("All tokens.", _items("Token")),
        )
        self._add(
            Resource.TOKENS,
            "POST",
            "tokens_make",
            "Make a token",
            ok=("The token. Its secret is in this answer and nowhere else.", _ref("NewToken")),
            status=201,
            body=_body(_ref("TokenWanted"), {"principal": "ann", "roles": ["operator"], "ttl": "12h"}),
            links={"revoke": _link("tokens_revoke", {"token": "$response.body#/info/id"})},
        )
        self._add(
            Resource.TOKEN,
            "DELETE",
            "tokens_revoke",
            "Revoke a token at once, and the sessions that were started with it",
            ok=("The token, revoked.", _ref("Token")),
            parameters=[_path_parameter("token", {"type": "string", "minLength": 1})],
        )
        self._add(
            Resource.ROTATE,
            "POST",
            "tokens_rotate",
            "Give a token another secret",
            ok=("The token. Its new secret is in this answer and nowhere else.", _ref("NewToken")),
            body=_body(_ref("Rotation"), {"grace": "10m"}, required=False),
            parameters=[_path_parameter("token", {"type": "string", "minLength": 1})],
        )
        self._identity()
        self._office()

    def _identity(self) -> None:
        self._add(
            Resource.ME, "GET", "me", "Say who calls, for whom, and how far the credential reaches",
            ok=("Who calls.", _ref("Me")),
        )  # fmt: skip
        self._add(
            Resource.SESSIONS,
            "GET",
            "sessions_list",
            "List the caller's sessions that have not ended",
            ok=("Its sessions.", _items("Token")),
        )
        self._add(
            Resource.SESSIONS,
            "POST",
            "sessions_start",
            "Start a session: a credential for an agent that acts for the caller, and has no more than the caller has",
            ok=("The session. Its token is in this answer and nowhere else.", _ref("NewToken")),
            status=201,
            body=_body(_ref("Session"), {"name": "deploy", "ttl": "1h"}),
            links={"end": _link("sessions_end", {"session": "$response.body#/info/id"})},
        )
        self._add(
            Resource.SESSION,
            "DELETE",
            "sessions_end",
            "End a session at once, and those that it has started",
            ok=("The session, ended.", _ref("Token")),
            parameters=[_path_parameter("session", {"type": "string", "minLength": 1})],
        )

    def _office(self) -> None:
        """Add what people decide: decisions, grants and pauses."""
        self._tags.append({"name": "office", "description": "What people decide: decisions, grants and pauses."})
        decision, grant, pause = (_path_parameter(name, _ID) for name in ("decision", "grant", "pause"))
        add = partial(self._add, tag="office")
        add(
            Resource.DECISIONS, "GET", "decisions_list", "List the decisions that the caller may see, newest first",
            ok=("A page of them.", _ref("Decisions")),
        )  # fmt: skip
        self._stream(
            Resource.DECISIONS_EVENTS, "decisions_events", "Follow the decisions that the caller may see",
            Resource.DECISIONS_EVENTS.value, "office", [],
        )  # fmt: skip
        add(
            Resource.DECISION, "GET", "decisions_show", "Show a decision, or wait for its end",
            ok=("It, as it is then.", _ref("Decision")), parameters=[decision],
        )  # fmt: skip
        add(
            Resource.DECISION, "POST", "decisions_answer", "Grant or deny a request that waits",
            ok=("The decision. What was granted has been carried out, if that took no longer than some seconds.",
                _ref("Decision")),
            parameters=[decision],
            body=_body(_ref("DecisionAnswer"), {"answer": "grant", "reason": "checked with the owner"}),
        )  # fmt: skip
        add(
            Resource.DECISION, "DELETE", "decisions_withdraw", "Take back what the caller has asked for",
            ok=("The decision, withdrawn.", _ref("Decision")), parameters=[decision],
        )  # fmt: skip
        add(
            Resource.GRANTS, "GET", "grants_list", "List the grants in force that the caller may see",
            ok=("They, the oldest first.", _items("Grant")),
        )  # fmt: skip
        add(
            Resource.GRANT, "DELETE", "grants_revoke", "End a grant at once",
            ok=("The grant, revoked.", _ref("Grant")), parameters=[grant],
            body=_body(_ref("Revocation"), {"reason": "no longer needed"}, required=False),
        )  # fmt: skip
        add(
            Resource.PAUSES, "GET", "pauses_list", "List what is paused", ok=("It, the oldest first.", _items("Pause")),
        )  # fmt: skip
        add(
            Resource.PAUSES, "POST", "pauses_begin", "Pause a principal, a role, a tool or a blueprint, at once",
            ok=("The pause. Nothing of what is paused is committed any more.", _ref("Pause")), status=201,
            body=_body(_ref("PauseWanted"), {"kind": "principal", "name": "bot", "reason": "it loops", "for": "1h"}),
            links={"resume": _link("pauses_end", {"pause": "$response.body#/id"})},
        )  # fmt: skip
        add(
            Resource.PAUSE, "DELETE", "pauses_end", "Lift a pause", ok=("The pause, lifted.", _ref("Pause")),
            parameters=[pause],
        )  # fmt: skip

    def _shape(self, at: str, name: str, tag: str, parameters: list[Json]) -> None:
        self._add(
            Resource.BLUEPRINT, "GET", name, "Say what the blueprint offers", at=at, tag=tag,
            ok=("What it offers.", _ref("BlueprintShape")), parameters=[*parameters, _IF_NONE_MATCH], headers=_ETAG,
        )  # fmt: skip

    def _pushes(self, at: str, prefix: str, tag: str, parameters: list[Json], *, example: str | None = None) -> None:
        """Add the push and the plan of a blueprint, live or not yet.

        What is live gets no example: whoever tries one out would replace it.
        """
        media: Json = {
            "application/json": {"schema": _ref("Bundle")},
            "text/x-blueprint": {"schema": {"type": "string"}},
            "text/plain": {"schema": {"type": "string"}},
        }
        if example is not None:
            files = {"files": {"lamp.blueprint": example}, "note": "the first version"}
            media["application/json"]["example"] = files
            media["text/x-blueprint"]["example"] = example
        body = {"required": True, "content": media}
        self._add(
            Resource.BLUEPRINT,
            "PUT",
            f"{prefix}_push",
            "Push a bundle: judge it, then swap it in, in one step",
            ok=("It is live.", _ref("Pushed")),
            also={201: ("It is live, as the first version.", _ref("Pushed"))},
            at=at,
            tag=tag,
            parameters=[*parameters, _IF_MATCH],
            body=body,
            headers=_ETAG,
        )
        self._add(
            Resource.PLAN,
            "POST",
            f"{prefix}_plan",
            "Say what a push would change, and which live entities would be in its way",
            ok=("What it would change.", _ref("Plan")),
            at=f"{at}/plan",
            tag=tag,
            parameters=parameters,
            body=body,
        )

    # --- a blueprint ---

    def _blueprint(self, shape: wire.BlueprintShape) -> None:
        name, at = shape.name, f"/v1/{shape.name}"
        self._tags.append({"name": name, "description": shape.description or f"The blueprint `{name}`."})
        base = "" if self._alone else f"{name}_"
        self._shape(at, f"{base}shape", name, [])
        self._pushes(at, base.rstrip("_") or "blueprint", name, [])
        self._add(
            Resource.VERSIONS, "GET", f"{base}versions", "List its versions, newest first",
            at=f"{at}/versions", tag=name,
            ok=("All versions.", _items("Version")),
        )  # fmt: skip
        files = {
            "type": "object",
            "properties": {"files": {"type": "object", "additionalProperties": {"type": "string"}}},
        }
        self._add(
            Resource.SOURCES, "GET", f"{base}sources", "Return a version's files, as a push takes them",
            at=f"{at}/sources", tag=name,
            ok=("Its files, by name.", files | {"required": ["files"]}),
        )  # fmt: skip
        self._add(
            Resource.POLICIES, "GET", f"{base}policies", "Return all of who may, as Cedar, and the schema of that",
            at=f"{at}/policies", tag=name,
            ok=("What the blueprint says, and its files.", _ref("PoliciesView")),
        )  # fmt: skip
        self._add(
            Resource.SIMULATE_POLICY, "POST", f"{base}simulate_policy",
            "Say who could do what, and what a candidate would newly allow or deny",
            at=f"{at}/simulate-policy", tag=name,
            ok=("Who could, and what would change.", _ref("WhatIf")),
            body=_body(_ref("Simulation"), {}, required=False),
        )  # fmt: skip
        self._add(
            Resource.SHADOW, "POST", f"{base}shadow", "Say which requests a candidate would answer otherwise",
            at=f"{at}/shadow", tag=name,
            ok=("What differs.", _ref("Shadow")),
            body={"required": True, "content": {"application/json": {"schema": _ref("Bundle")}}},
        )  # fmt: skip
        self._add(
            Resource.ROLLBACK, "POST", f"{base}rollback", "Push an earlier version again",
            at=f"{at}/rollback", tag=name,
            ok=("It is live.", _ref("Pushed")), body=_body(_ref("Rollback"), {"to": 1}, required=False), headers=_ETAG,
        )  # fmt: skip
        self._canary(name, at, base)
        self._whole(name, at, base)
        self._stream(
            Resource.BLUEPRINT_EVENTS, f"{base}events", f"Follow all that happens in `{name}`", f"{at}/events", name, []
        )
        self._add(
            Resource.BLUEPRINT_OPENAPI, "GET", f"{base}openapi", "Describe this blueprint alone",
            at=f"{at}/openapi.json", tag=name,
            ok=("An OpenAPI document.", {"type": "object"}), parameters=[_IF_NONE_MATCH],
        )  # fmt: skip
        self._outbox(name, at, base)
        for entity in shape.entities:
            self._entity(shape, entity)

    def _whole(self, name: str, at: str, base: str) -> None:
        self._add(
            Resource.AUDIT, "GET", f"{base}audit", "Say the first thing that is not what was written",
            at=f"{at}/audit", tag=name,
            ok=("What was found.", _ref("Audited")),
        )  # fmt: skip
        self._add(
            Resource.EXPORT, "GET", f"{base}export", "Return all that is kept, as it is now",
            at=f"{at}/export", tag=name,
            ok=("A JSON object a line, of which the last says that it is whole.", {"type": "string"}),
            media="application/x-ndjson",
        )  # fmt: skip

    def _canary(self, name: str, at: str, base: str) -> None:
        self._add(
            Resource.CANARY, "GET", f"{base}canary", "Say which new entities live by a candidate",
            at=f"{at}/canary", tag=name,
            ok=("The canary.", _ref("Canary")),
        )  # fmt: skip
        self._add(
            Resource.CANARY, "POST", f"{base}start_canary", "Have some new entities live by a candidate",
            at=f"{at}/canary", tag=name,
            ok=("They do, from now on.", _ref("Pushed")), status=201, headers=_ETAG,
            body={"required": True, "content": {"application/json": {"schema": _ref("CanaryBundle")}}},
        )  # fmt: skip
        for resource, verb, does, done in (
            (Resource.PROMOTE, "promote", "Have all live by the candidate", "It is in force."),
            (Resource.WITHDRAW, "withdraw", "Have nobody live by the candidate", "It is withdrawn."),
        ):
            self._add(
                resource, "POST", f"{base}{verb}", does,
                at=f"{at}/canary/{verb}", tag=name,
                ok=(done, _ref("Pushed")), body=_body(_ref("Note"), {}, required=False), headers=_ETAG,
            )  # fmt: skip

    def _outbox(self, name: str, at: str, base: str) -> None:
        order = [_path_parameter("order", {"type": "string", "minLength": 1})]
        self._add(
            Resource.TOOLS, "GET", f"{base}tools", "Say how each tool is being called, and what waits for it",
            at=f"{at}/tools", tag=name,
            ok=("Its tools.", _items("ToolState")),
        )  # fmt: skip
        self._add(
            Resource.LETTERS, "GET", f"{base}letters", "List dead letters, oldest first",
            at=f"{at}/letters", tag=name,
            ok=("Orders, and what came of orders, that nobody has a place for.", _items("Letter")),
        )  # fmt: skip
        for resource, verb, method, summary, said in (
            (Resource.LETTER, "letter", "GET", "Show an order that has not ended, or a dead letter", "It."),
            (Resource.RETRY, "retry", "POST", "Have an order tried now", "It waits for its next attempt."),
            (Resource.DISCARD, "discard", "POST", "Give an order up, and put its letter away", "It has ended."),
        ):
            self._add(
                resource, method, f"{base}{verb}", summary,
                at=resource.value.replace("/v1/{blueprint}", at), tag=name, parameters=order,
                body=_body(_ref("Note"), {}, required=False) if method == "POST" else None,
                ok=(said, _ref("Letter")),
            )  # fmt: skip

    def _entity(self, shape: wire.BlueprintShape, entity: wire.EntityShape) -> None:
        kind, at, tag = entity.name, f"/v1/{shape.name}/{entity.name}", shape.name
        base = kind if self._alone else f"{shape.name}_{kind}"
        view, schemas = f"{shape.name}.{kind}", self._schemas
        schemas[view] = _refined(
            schemas["EntityView"],
            entity={"const": kind},
            state={"type": "string", "enum": list(entity.states)},
            fields=entity.fields,
        )
        if entity.description:
            schemas[view]["description"] = entity.description
        schemas[f"{view}.Acted"] = _refined(schemas["Acted"], entity=_ref(view))
        schemas[f"{view}.WhyNot"] = _refined(
            schemas["WhyNot"], result={"anyOf": [_ref(f"{view}.Acted"), {"type": "null"}]}
        )
        schemas[f"{view}.Page"] = _refined(schemas["Page"], items={"type": "array", "items": _ref(view)})
        schemas[f"{view}.Waited"] = _refined(schemas["Waited"], entity=_ref(view))
        self._add(
            Resource.ENTITIES, "GET", f"{base}_list", f"List, filter, sort and count every {kind}", at=at, tag=tag,
            ok=("A page.", {"anyOf": [_ref(f"{view}.Page"), _ref("PastPage")]}), description=entity.description,
            enums={"sort": _sorts(entity)},
        )  # fmt: skip
        self._create(shape, entity, base, at, view)
        self._add(
            Resource.ENTITIES_ACTIONS, "GET", f"{base}_new_actions", f"Say how the caller can create a {kind} now",
            at=f"{at}/actions", tag=tag, ok=("What creates it.", _items("Possible")),
        )  # fmt: skip
        self._stream(
            Resource.ENTITIES_EVENTS,
            f"{base}_all_events",
            f"Follow all that happens to every {kind}",
            f"{at}/events",
            tag,
            [],
        )
        id, one = _path_parameter("id", _ID), f"{at}/{{id}}"
        self._add(
            Resource.ENTITY, "GET", f"{base}_read", f"Return a {kind} as it is, or as it was", at=one, tag=tag,
            ok=("The entity.", {"anyOf": [_ref(view), _ref("PastEntity")]}), parameters=[id, _IF_NONE_MATCH],
            headers=_ETAG,
        )  # fmt: skip
        self._add(
            Resource.HISTORY, "GET", f"{base}_history", "Say what happened to it, oldest first, refusals included",
            at=f"{one}/history", tag=tag, ok=("What happened.", _items("HistoryEntry")), parameters=[id],
        )  # fmt: skip
        self._add(
            Resource.ACTIONS, "GET", f"{base}_actions", "Say what the caller can do now, and why not the rest",
            at=f"{one}/actions", tag=tag, ok=("Each action.", _items("Possible")), parameters=[id],
        )  # fmt: skip
        self._stream(Resource.EVENTS, f"{base}_events", "Follow what happens to it", f"{one}/events", tag, [id])
        self._add(
            Resource.WAIT, "GET", f"{base}_wait", "Wait until a condition holds of it", at=f"{one}/wait", tag=tag,
            ok=("It as it is then, and whether the condition holds.", _ref(f"{view}.Waited")), parameters=[id],
            required={"until"},
        )  # fmt: skip
        for action in entity.actions:
            if action.acts and action.callable:
                self._act(action, base, f"{one}/{action.name}", tag, view, id)

    def _create(self, shape: wire.BlueprintShape, entity: wire.EntityShape, base: str, at: str, view: str) -> None:
        creating = [action for action in entity.actions if action.creates and action.callable]
        if not creating:
            return
        bodies = [_with_id(action.params) for action in creating]
        links = {
            action.name: _link(f"{base}_{action.name}", {"id": "$response.body#/entity/id"})
            for action in entity.actions
            if action.acts and action.callable
        } | {
            word: _link(f"{base}_{word}", {"id": "$response.body#/entity/id"})
            for word in ("read", "history", "actions", "wait")
        }
        self._add(
            Resource.ENTITIES,
            "POST",
            f"{base}_create",
            f"Create a {entity.name}",
            at=at,
            tag=shape.name,
            description="\n\n".join(_story(action) for action in creating),
            ok=(
                "What would happen, in a dry run; or what happened, when the key's first request did it.",
                _either(view),
            ),
            also={201: ("It is created.", _ref(f"{view}.Acted"))},
            headers={},
            created=True,
            parameters=[self._key()],
            body=_body(
                bodies[0] if len(bodies) == 1 else {"anyOf": bodies},
                sample(creating[0].params),
                required=any(action.params.get("required") for action in creating),
            ),
            enums={"action": [action.name for action in creating]},
            required={"action"} if len(creating) > 1 else set(),
            links=links,
        )

    def _act(self, action: wire.ActionShape, base: str, at: str, tag: str, view: str, id: Json) -> None:
        self._add(
            Resource.ACT,
            "POST",
            f"{base}_{action.name}",
            f"Take {action.name}, or explain it in a dry run",
            at=at,
            tag=tag,
            description=_story(action),
            ok=("What happened; in a dry run, what would happen and why.", _either(view)),
            parameters=[id, self._key(), _IF_MATCH],
            body=_body(action.params, sample(action.params), required=bool(action.params.get("required"))),
        )

    def _key(self) -> Json:
        return {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": self._limits.key_max, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            "description": "Made up by the caller for one request: sent again, it is answered, not done again.",
        }

    def _stream(self, resource: Resource, name: str, summary: str, at: str, tag: str, parameters: list[Json]) -> None:
        self._add(
            resource,
            "GET",
            name,
            summary,
            at=at,
            tag=tag,
            description="Server-sent events. Each has a history entry as its data, and the entry's `seq` as its id.",
            ok=("Events, as they are committed.", _EVENT),
            media="text/event-stream",
            parameters=[*parameters, _LAST_EVENT_ID],
        )

    # --- pieces ---

    def _add(
        self,
        resource: Resource,
        method: str,
        name: str,
        summary: str,
        *,
        ok: tuple[str, Json],
        status: int = 200,
        also: Mapping[int, tuple[str, Json]] | None = None,
        at: str = "",
        tag: str = "server",
        description: str = "",
        parameters: Iterable[Json] = (),
        body: Json | None = None,
        headers: Json | None = None,
        media: str = "application/json",
        enums: Mapping[str, list[str]] | None = None,
        required: set[str] | None = None,
        links: Json | None = None,
        created: bool = False,
    ) -> None:
        answers = {status: ok, **(also or {})}
        responses: dict[str, Json] = {}
        for number, (said, schema) in answers.items():
            response = _json(said, schema, media)
            if headers:
                response["headers"] = headers
            if number == 201:
                if created:
                    location = {"schema": {"type": "string"}, "description": "Where it is."}
                    response["headers"] = {"Location": location, **_ETAG}
                if links:
                    response["links"] = links
            responses[str(number)] = response
        known = self._queries[resource][method]
        usual = {400, 401, 429, 500, 503, *({414} if known else ()), *(_BODY if body is not None else ())}
        for number in sorted({*usual, *_ANSWERS[resource, method]}):
            responses[str(number)] = (
                {"description": "The caller has it already."} if number == 304 else self._problem(number)
            )
        query = [
            self._query(parameter, (enums or {}).get(parameter.name), parameter.name in (required or set()))
            for parameter in known.values()
        ]
        operation: Json = {"operationId": name, "summary": summary, "tags": [tag]}
        if description:
            operation["description"] = description
        if listed := [*parameters, *query]:
            operation["parameters"] = listed
        if body is not None:
            operation["requestBody"] = body
        operation["responses"] = dict(sorted(responses.items()))
        self._paths.setdefault(at or resource.value, {})[method.lower()] = operation

    def _query(self, parameter: Parameter, enum: list[str] | None, required: bool) -> Json:
        schema = parameter.schema(self._limits) if enum is None else {"type": "string", "enum": enum}
        found: Json = {"name": parameter.name, "in": "query", "schema": schema, "description": parameter.description}
        if required:
            found["required"] = True
        if parameter.example is not None and enum is None:
            found["example"] = parameter.example
        return found

    def _problem(self, status: int) -> Json:
        response = _json(_PROBLEMS[status], _ref("Problem"), PROBLEM)
        if status == 401:
            response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
        if status in (429, 503):
            response["headers"] = _RETRY
        return response


_ID: Final[Json] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$"}
# What an event of a stream is, once a client has taken it apart.
_EVENT: Final[Json] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": ["message", "problem"], "description": "A `problem` ends the stream: its data says why."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/HistoryEntry"},
        },
    },
    "required": ["data"],
}

_EXAMPLE: Final = """\
blueprint lamp

role owner

entity Lamp
  states Off, On

  action Hang by owner from new to Off
  action Switch by owner
    from Off to On
    from On to Off
"""


def _components() -> dict[str, Json]:
    """Return the schemas of the wire's structs, by name."""
    structs = (
        wire.PoliciesView, wire.WhatIf, Simulation,
        wire.Audited, wire.Canary,
        wire.Acted, wire.BlueprintShape, wire.HistoryEntry, wire.Letter, wire.NewToken, wire.Page, wire.PastEntity,
        wire.PastPage, wire.Plan, wire.Possible, wire.Problem, wire.Pushed, wire.Shadow, wire.Token, wire.ToolState,
        wire.Version,
        wire.Waited, wire.WhyNot, wire.Me, wire.Decision, wire.Decisions, wire.Grant, wire.Pause,
        Bundle, CanaryBundle, Note, Rollback, Rotation, Session, TokenWanted,
        DecisionAnswer, PauseWanted, Revocation,
    )  # fmt: skip
    _, found = msgspec.json.schema_components(structs, ref_template=_REF)
    schemas = {name: copy.deepcopy(schema) for name, schema in sorted(found.items())}
    problem = schemas["Problem"]
    problem["description"] = "Why it was not done: RFC 9457's members, and ours."
    problem["properties"]["type"] = {
        "type": "string",
        "format": "uri-reference",
        "enum": [f"/problems/{kind}" for kind in KINDS],
        "description": "\n".join(f"* `/problems/{kind}`: {said}" for kind, said in KINDS.items()),
    }
    schemas["Bundle"]["properties"]["files"]["minProperties"] = 1
    wanted = schemas["TokenWanted"]["properties"]
    principal = {"type": "string", "minLength": 1, "maxLength": 200}
    wanted["principal"] = principal
    wanted["acts_for"] = {"anyOf": [principal, {"type": "null"}], "default": None}
    wanted["roles"]["items"] = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"}
    lasts = {"type": "string", "pattern": "^[1-9][0-9]{0,8}(ms|s|m|h|d)$"}
    wanted["ttl"] = {"anyOf": [lasts, {"type": "null"}], "default": None}
    wanted["attributes"] |= {
        "maxProperties": 32, "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 200},
    }  # fmt: skip
    wanted["teams"] |= {"maxItems": 64, "items": principal}
    wanted["scope"] = _SCOPE
    schemas["Rotation"]["properties"]["grace"] = {"type": "string", "pattern": f"^{DURATION.pattern}$", "default": "0s"}
    schemas["Session"]["properties"] |= {
        "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        "entities": _SCOPE,
        "ttl": lasts | {"default": "1h"},
    }
    answer = schemas["DecisionAnswer"]["properties"]
    answer["answer"] = {"enum": ["grant", "deny"]}
    answer["scope"] = {"enum": ["call", "entity", "action"], "default": "call"}
    answer["expires"] = {"anyOf": [lasts, {"type": "null"}], "default": None}
    answer["uses"] = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1000}, {"type": "null"}], "default": None}
    reason = {"anyOf": [{"type": "string", "maxLength": 500}, {"type": "null"}], "default": None}
    answer["reason"] = schemas["Revocation"]["properties"]["reason"] = reason
    schemas["PauseWanted"]["properties"] |= {
        "kind": {"enum": ["principal", "role", "tool", "bundle"]},
        "name": principal,
        "reason": {"type": "string", "minLength": 1, "maxLength": 500},
        "for": {"anyOf": [lasts, {"type": "null"}], "default": None},
    }
    return schemas


_SCOPE: Final[Json] = {
    "anyOf": [
        {
            "type": "array",
            "minItems": 1,
            "maxItems": 256,
            "items": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]{0,63}(/[A-Z][A-Za-z0-9]{0,63}(/[A-Za-z0-9][A-Za-z0-9._~-]{0,63})?)?$",
            },
        },
        {"type": "null"},
    ],
    "default": None,
}


def _refined(schema: Json, **properties: Json) -> Json:
    """Return the schema with some of its properties told more closely."""
    found = copy.deepcopy(schema)
    found.pop("title", None)
    found["properties"] |= properties
    return found


def _with_id(params: Json) -> Json:
    """Return the schema of a creating action's body: its parameters, and the id that the caller may choose."""
    described = {
        **_ID,
        "not": {"enum": ["actions", "events"]},
        "description": "The id of the new entity. One is made up where it is left out.",
    }
    return {**params, "properties": {"id": described, **params.get("properties", {})}}


def _sorts(entity: wire.EntityShape) -> list[str]:
    """Return what a list can be sorted by."""
    names = ("created_at", "updated_at", "id", "state", *entity.fields.get("properties", {}))
    return [way + name for name in names for way in ("", "-")]


def _story(action: wire.ActionShape) -> str:
    froms = ", ".join(f"`{state}`" for state in action.froms)
    to = " to " + " or ".join(f"`{state}`" for state in action.to) if action.to else ""
    who = ", ".join(f"`{who}`" for who in action.by)
    return "\n\n".join(filter(None, (action.description, f"`{action.name}`: from {froms}{to}, by {who}.")))


def _either(view: str) -> Json:
    return {"anyOf": [_ref(f"{view}.Acted"), _ref(f"{view}.WhyNot")]}


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}


def _items(name: str) -> Json:
    return {"type": "object", "properties": {"items": {"type": "array", "items": _ref(name)}}, "required": ["items"]}


def _json(description: str, schema: Json, media: str = "application/json") -> Json:
    return {"description": description, "content": {media: {"schema": schema}}}


def _body(schema: Json, example: Any, *, required: bool = True) -> Json:
    return {"required": required, "content": {"application/json": {"schema": schema, "example": example}}}


def _path_parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _link(operation: str, parameters: dict[str, str]) -> Json:
    return {"operationId": operation, "parameters": parameters}


def sample(schema: Json) -> Any:
    """Return a plain value of a schema, for an example."""
    match schema:
        case {"const": value} | {"enum": [value, *_]} | {"default": value}:
            return value
        case {"anyOf": [first, *_]}:
            return sample(first)
        case {"type": "object"}:
            properties = schema.get("properties", {})
            return {name: sample(properties[name]) for name in schema.get("required", ())}
        case {"type": "array", "prefixItems": items}:
            return [sample(item) for item in items]
        case {"type": "array"}:
            return []
        case {"type": "integer"}:
            low, high = schema.get("minimum"), schema.get("maximum")
            return low if low is not None else min(high, 0) if high is not None else 0
        case {"type": "boolean"}:
            return False
        case {"type": "null"}:
            return None
        case {"format": "date-time"}:
            return "2030-01-01T00:00:00Z"
        case {"description": described} if "duration" in described:
            return "30s"
        case {"pattern": _}:
            return "1"
        case _:
            return "text"
