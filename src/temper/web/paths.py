"""Paths that read like the domain: what each names.

Entities and actions are `UpperCamel`, our own words are not, so that they never clash. A path is read as it was sent,
before `%2F` would become `/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote_to_bytes


class Resource(Enum):
    """What a path can name. The values are templates, as OpenAPI writes them."""

    ROOT = "/"
    HEALTH = "/healthz"
    PROBLEM = "/problems/{type}"
    HOOK = "/hooks/{hook}"
    OPENAPI = "/openapi.json"
    BLUEPRINTS = "/v1"
    TOKENS = "/v1/tokens"
    TOKEN = "/v1/tokens/{token}"  # noqa: S105 - a template of a path, no secret
    ROTATE = "/v1/tokens/{token}/rotate"
    SESSIONS = "/v1/sessions"
    SESSION = "/v1/sessions/{session}"
    ME = "/v1/me"
    DECISIONS = "/v1/decisions"
    DECISIONS_EVENTS = "/v1/decisions/events"
    DECISION = "/v1/decisions/{decision}"
    GRANTS = "/v1/grants"
    GRANT = "/v1/grants/{grant}"
    PAUSES = "/v1/pauses"
    PAUSE = "/v1/pauses/{pause}"
    BLUEPRINT = "/v1/{blueprint}"
    BLUEPRINT_OPENAPI = "/v1/{blueprint}/openapi.json"
    PLAN = "/v1/{blueprint}/plan"
    SHADOW = "/v1/{blueprint}/shadow"
    VERSIONS = "/v1/{blueprint}/versions"
    SOURCES = "/v1/{blueprint}/sources"
    POLICIES = "/v1/{blueprint}/policies"
    SIMULATE_POLICY = "/v1/{blueprint}/simulate-policy"
    ROLLBACK = "/v1/{blueprint}/rollback"
    CANARY = "/v1/{blueprint}/canary"
    PROMOTE = "/v1/{blueprint}/canary/promote"
    WITHDRAW = "/v1/{blueprint}/canary/withdraw"
    AUDIT = "/v1/{blueprint}/audit"
    EXPORT = "/v1/{blueprint}/export"
    BLUEPRINT_EVENTS = "/v1/{blueprint}/events"
    LETTERS = "/v1/{blueprint}/letters"
    LETTER = "/v1/{blueprint}/letters/{order}"
    RETRY = "/v1/{blueprint}/letters/{order}/retry"
    DISCARD = "/v1/{blueprint}/letters/{order}/discard"
    TOOLS = "/v1/{blueprint}/tools"
    ENTITIES = "/v1/{blueprint}/{entity}"
    ENTITIES_ACTIONS = "/v1/{blueprint}/{entity}/actions"
    ENTITIES_EVENTS = "/v1/{blueprint}/{entity}/events"
    ENTITY = "/v1/{blueprint}/{entity}/{id}"
    HISTORY = "/v1/{blueprint}/{entity}/{id}/history"
    ACTIONS = "/v1/{blueprint}/{entity}/{id}/actions"
    EVENTS = "/v1/{blueprint}/{entity}/{id}/events"
    WAIT = "/v1/{blueprint}/{entity}/{id}/wait"
    ACT = "/v1/{blueprint}/{entity}/{id}/{action}"

    @property
    def word(self) -> str:
        """The last piece of the path."""
        return self.value.rsplit("/", 1)[1]


@dataclass(frozen=True, slots=True)
class Route:
    """A path, taken apart. `resource` is `None` where nothing is there; then `word` is the piece that nobody knows."""

    resource: Resource | None
    blueprint: str = ""
    entity: str = ""
    id: str = ""
    action: str = ""
    word: str = ""


def _by_word(*resources: Resource) -> dict[str, Resource]:
    return {resource.word: resource for resource in resources}


R = Resource
TOP: Final = _by_word(R.ROOT, R.HEALTH, R.OPENAPI, R.BLUEPRINTS)
OF_BLUEPRINT: Final = _by_word(
    R.BLUEPRINT_OPENAPI,
    R.PLAN,
    R.SHADOW,
    R.VERSIONS,
    R.SOURCES,
    R.POLICIES,
    R.SIMULATE_POLICY,
    R.ROLLBACK,
    R.CANARY,
    R.AUDIT,
    R.EXPORT,
    R.BLUEPRINT_EVENTS,
    R.LETTERS,
    R.TOOLS,
)
# What the office keeps is decided by a blueprint of the server's own, by whichever server has it.
OFFICE_BLUEPRINT: Final = "temper"
OFFICE: Final = _by_word(R.DECISIONS, R.GRANTS, R.PAUSES)
OF_OFFICE: Final = {"decisions": R.DECISION, "grants": R.GRANT, "pauses": R.PAUSE}
OF_CANARY: Final = _by_word(R.PROMOTE, R.WITHDRAW)
OF_LETTER: Final = _by_word(R.RETRY, R.DISCARD)
OF_ENTITIES: Final = _by_word(R.ENTITIES_ACTIONS, R.ENTITIES_EVENTS)
OF_ENTITY: Final = _by_word(R.HISTORY, R.ACTIONS, R.EVENTS, R.WAIT)


def parse(raw: bytes) -> Route:
    """Return what the path names. `raw` is the path as it was sent, without the query."""
    try:
        parts = [(unquote_to_bytes(part) if b"%" in part else part).decode() for part in raw.split(b"/")[1:]]
    except UnicodeDecodeError:
        return Route(None, word="a path that is not UTF-8")
    match parts:
        case [word] if word in TOP:
            return Route(TOP[word])
        case ["problems", word]:
            return Route(R.PROBLEM, word=word)
        case ["hooks", name] if name:
            return Route(R.HOOK, id=name)
        case ["v1", "tokens"]:
            return Route(R.TOKENS)
        case ["v1", "tokens", token] if token:
            return Route(R.TOKEN, id=token)
        case ["v1", "tokens", token, "rotate"] if token:
            return Route(R.ROTATE, id=token)
        case ["v1", "sessions"]:
            return Route(R.SESSIONS)
        case ["v1", "sessions", session] if session:
            return Route(R.SESSION, id=session)
        case ["v1", "me"]:
            return Route(R.ME)
        case ["v1", "decisions" | "grants" | "pauses" as word]:
            return Route(OFFICE[word], OFFICE_BLUEPRINT)
        case ["v1", "decisions", "events"]:
            return Route(R.DECISIONS_EVENTS, OFFICE_BLUEPRINT)
        case ["v1", "decisions" | "grants" | "pauses" as word, id] if id:
            return Route(OF_OFFICE[word], OFFICE_BLUEPRINT, id=id)
        case ["v1", blueprint] if blueprint:
            return Route(R.BLUEPRINT, blueprint)
        case ["v1", blueprint, word] if word in OF_BLUEPRINT:
            return Route(OF_BLUEPRINT[word], blueprint)
        case ["v1", blueprint, "canary", word] if word in OF_CANARY:
            return Route(OF_CANARY[word], blueprint)
        case ["v1", blueprint, "letters", order] if order:
            return Route(R.LETTER, blueprint, id=order)
        case ["v1", blueprint, "letters", order, word] if order and word in OF_LETTER:
            return Route(OF_LETTER[word], blueprint, id=order)
        case ["v1", blueprint, entity] if entity[:1].isupper():
            return Route(R.ENTITIES, blueprint, entity)
        case ["v1", blueprint, word]:
            return Route(None, blueprint, word=word)
        case ["v1", blueprint, entity, *_] if not entity[:1].isupper():
            return Route(None, blueprint, word=entity)
        case ["v1", blueprint, entity, word] if word in OF_ENTITIES:
            return Route(OF_ENTITIES[word], blueprint, entity)
        case ["v1", blueprint, entity, id] if id:
            return Route(R.ENTITY, blueprint, entity, id)
        case ["v1", blueprint, entity, id, word] if id and word in OF_ENTITY:
            return Route(OF_ENTITY[word], blueprint, entity, id)
        case ["v1", blueprint, entity, id, action] if id and action[:1].isupper():
            return Route(R.ACT, blueprint, entity, id, action)
        case ["v1", blueprint, entity, id, word]:
            return Route(None, blueprint, entity, id, word=word)
        case _:
            return Route(None, word=parts[-1] if parts else "")


def path(*pieces: str) -> str:
    """Return the path of these pieces below `/v1`, as it goes over the wire."""
    return "/v1/" + "/".join(quote(piece, safe="") for piece in pieces)
