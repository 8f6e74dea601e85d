"""What goes over the wire, the fourth of our five formats: JSON-able structs, made by hand of the domain's types.

Names are stable: scripts and agents read them. A member is added, never renamed or removed, within `/v1`.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A JSON object."""


# --- problems ---------------------------------------------------------------------------------------------------------


class Place(Wire, frozen=True):
    """A place in a blueprint: lines and columns from 1; `text` is the source line."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str = ""


class Finding(Wire, frozen=True):
    """A diagnostic. `rendered` is the same as text with the source beside it."""

    code: str
    severity: str
    message: str
    place: Place | None = None
    label: str = ""
    help: str | None = None
    fix: str | None = None
    rendered: str = ""
    docs: str = ""


class Next(Wire, frozen=True):
    """An action that is possible now, for problems and `actions`."""

    action: str
    params: dict[str, Any] = {}
    href: str = ""


class Problem(Wire, frozen=True):
    """Why it was not done: RFC 9457's members, and ours.

    `type` is a stable name below `/problems/`: "refused", "denied", "unauthenticated", "not-found", "bad-request",
    "out-of-scope", "conflict", "stale", "busy", "contended", "unavailable", "broken-blueprint", "stranded",
    "unverified", "too-large".
    """

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    why: str = ""
    """For a refusal: which kind of clause refused ("guard", "no case", "denied", ...)."""
    clause: Place | None = None
    clause_text: str = ""
    policies: tuple[str, ...] = ()
    """For a refusal by policies: which of them."""
    next: tuple[Next, ...] = ()
    help: str = ""
    findings: tuple[Finding, ...] = ()
    errors: tuple[FieldError, ...] = ()
    stranded: tuple[StrandedEntity, ...] = ()
    report: dict[str, Any] = {}
    """The verifier's, for "unverified"."""
    retry_after_ms: int | None = None
    decision: str = ""
    """For "needs-approval": the id of the decision that the request has become."""


class FieldError(Wire, frozen=True):
    """What is wrong with one member of a body or of a query; `path` is a JSON pointer or a parameter's name."""

    path: str
    message: str


class StrandedEntity(Wire, frozen=True):
    """A live entity that has no place in a candidate."""

    entity: str
    id: str
    state: str
    reasons: tuple[str, ...]


# --- entities ---------------------------------------------------------------------------------------------------------


class OpenCall(Wire, frozen=True):
    """A call that has not ended."""

    order: str
    tool: str
    args: dict[str, Any]
    state: str = "waiting"
    attempts: int = 0
    last_error: str = ""
    next_attempt_at: str | None = None


class RunningTimer(Wire, frozen=True):
    """A timer that runs: what it will do, and when."""

    timer: str
    action: str
    due: str | None


class EntityView(Wire, frozen=True):
    """An entity. `fields` are encoded as `decode` reads them."""

    entity: str
    id: str
    state: str
    version: int
    fields: dict[str, Any]
    created_at: str
    updated_at: str
    final: bool = False
    archived: bool = False
    """It is final for long, and has been put away: it is read from the archive."""
    calls: tuple[OpenCall, ...] = ()
    timers: tuple[RunningTimer, ...] = ()


class PastEntity(Wire, frozen=True):
    """An entity as it was after the entry `seq`, its fields as the blueprint of then had them.

    What waited then (calls, timers) is not told. `table_version` is the version that decided that entry.
    """

    entity: str
    id: str
    state: str
    version: int
    fields: dict[str, Any]
    created_at: str
    updated_at: str
    seq: int
    table_version: int | None = None


class Page(Wire, frozen=True, omit_defaults=False):
    """A page of a list. `cursor` goes on from here; `None` at the end. `count` is given when asked for."""

    items: tuple[EntityView, ...]
    cursor: str | None = None
    count: int | None = None


class PastPage(Wire, frozen=True, omit_defaults=False):
    """A page of a list of what was. `cursor` and `count` are those of a `Page`."""

    items: tuple[PastEntity, ...]
    cursor: str | None = None
    count: int | None = None


class Acted(Wire, frozen=True):
    """An action was taken (or, in a dry run, would be). `moves` are "Planned -> Rolling by Start" as data."""

    entity: EntityView
    action: str
    before: str
    after: str
    changed: dict[str, tuple[Any, Any]] = {}
    orders: tuple[str, ...] = ()
    emitted: tuple[dict[str, Any], ...] = ()
    created: tuple[dict[str, str], ...] = ()
    seq: int = 0
    dry_run: bool = False
    replayed: bool = False


class HistoryEntry(Wire, frozen=True):
    """One entry of a history: who, when, as which role, by which table, from what to what, or why it was refused."""

    seq: int
    at: str
    entity: str
    id: str
    version: int
    cause: str
    how: str
    action: str | None
    params: dict[str, Any] = {}
    actor: str = ""
    principal: str = ""
    roles: tuple[str, ...] = ()
    acts_for: str | None = None
    before: str = ""
    after: str = ""
    changed: dict[str, tuple[Any, Any]] = {}
    dropped: dict[str, Any] = {}
    """What was in fields that another version of the blueprint, to which it was carried over, has no more."""
    orders: tuple[dict[str, Any], ...] = ()
    emitted: tuple[dict[str, Any], ...] = ()
    ended: dict[str, Any] | None = None
    timer: str | None = None
    late: str | None = None
    refused: dict[str, Any] | None = None
    operated: dict[str, Any] | None = None
    """The `order` that an operator had tried again or gave up: its `kind`, `to` whom it goes, `text` is what had gone
    wrong, and `note` why it was done."""
    consent: dict[str, Any] | None = None
    """Who asked and who has said yes, in which `decision`, where somebody had to; the principal is one of the two."""
    table: str = ""
    """The first 12 digits of the digest that decided it."""
    table_version: int | None = None
    text: str = ""
    """The entry as one line for people."""
    place: str = ""
    """Where a stream goes on after it, where that is another's number than `seq`: several servers write."""


class Possible(Wire, frozen=True):
    """An action, seen from here and now by this caller: `status` is "yes", "depends" (on its parameters) or "no"."""

    action: str
    status: str
    to: tuple[str, ...] = ()
    params: tuple[dict[str, Any], ...] = ()
    description: str = ""
    why: str = ""
    text: str = ""
    clause: Place | None = None


class Clause(Wire, frozen=True):
    """A clause that was asked, and its answer: `holds` is `None` where it was not asked."""

    kind: str
    text: str
    holds: bool | None
    values: dict[str, Any] = {}
    place: Place | None = None


class PolicyView(Wire, frozen=True):
    """A policy: `origin` is "blueprint" where it is what the blueprint comes to, and "file" where a file says it."""

    id: str
    effect: str
    origin: str
    text: str
    """In Cedar's own syntax; empty where Cedar has no words for it, and `note` says what it is."""
    actions: tuple[str, ...] = ()
    """What it speaks of: `Entity.Action`, `Entity.read`, `Entity.Action.approve`."""
    otherwise: str = ""
    """What a caller is told where it forbids."""
    note: str = ""
    place: Place | None = None


class PoliciesView(Wire, frozen=True):
    """All of who may: as one text of Cedar, policy by policy, and the schema that the files are held against."""

    blueprint: str
    text: str
    policies: tuple[PolicyView, ...]
    schema_text: str
    schema: dict[str, Any]
    version: int | None = None


class CouldRow(Wire, frozen=True):
    """Whether somebody with these roles, and no others, could do that: "yes", "no", or it "depends" on what else is so.

    `action` is "read" for reading, and ends in ".approve" for saying yes to an action that another may not take.
    `because` is "by", or the policies that decide.
    """

    entity: str
    action: str
    state: str
    """"new" for a creation."""
    could: str
    roles: tuple[str, ...] = ()
    agent: bool = False
    because: tuple[str, ...] = ()


class CouldChange(Wire, frozen=True):
    """A row that a candidate answers otherwise."""

    row: CouldRow
    was: str
    was_because: tuple[str, ...] = ()


class CouldLiving(Wire, frozen=True):
    """For how many of the `of` newest entities of a kind somebody `could` take an action, and `would` by a candidate.

    State, guards, `by` and policies are asked, of a caller of whom only the roles are known.
    """

    entity: str
    action: str
    of: int
    could: int
    roles: tuple[str, ...] = ()
    agent: bool = False
    would: int | None = None
    """`None` where there is no candidate, or where its fields are others."""


class WhatIf(Wire, frozen=True):
    """Who could do what, and what a candidate would newly allow or deny."""

    blueprint: str
    version: int
    rows: tuple[CouldRow, ...] = ()
    """Those that could, as it is."""
    changes: tuple[CouldChange, ...] = ()
    lines: tuple[str, ...] = ()
    """The changes for people, those of one role by itself."""
    living: tuple[CouldLiving, ...] = ()
    left_out: int = 0
    """Rows and changes past the bound of an answer."""
    sampled_max: int = 0
    """Of each kind so many living entities are asked about, the newest."""


class WhyNot(Wire, frozen=True):
    """What would happen, and which clause decides it."""

    action: str
    would: str
    """"take" or "refuse"."""
    text: str = ""
    why: str = ""
    clauses: tuple[Clause, ...] = ()
    result: Acted | None = None
    may_be_approved: bool = False
    """Whether there is somebody who may say yes to it: to take the action asks them."""


class Waited(Wire, frozen=True, omit_defaults=False):
    """The end of a wait: `met` says whether the condition holds."""

    met: bool
    entity: EntityView


# --- versions ---------------------------------------------------------------------------------------------------------


class Version(Wire, frozen=True, kw_only=True):
    """A push. `blueprint` is named where versions of several are listed together."""

    blueprint: str = ""
    number: int
    digest: str
    at: str
    by: str
    note: str = ""
    current: bool = False


class ChangeLine(Wire, frozen=True):
    """One thing that a candidate changes, in words. `strength` of a guard: "stronger", "weaker", "different", ..."""

    kind: str
    text: str
    strength: str | None = None


class PlanStrength(Wire, frozen=True):
    """How much the candidate's properties and scenarios notice, against those that are in force.

    `asked` are the questions that the version in force does not raise; `answered` those that only it does. `why` says
    what is not known, and why: then there is no score, or none before.
    """

    score: float | None = None
    killed: int = 0
    counted: int = 0
    before: float | None = None
    asked: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    why: str = ""


class Touched(Wire, frozen=True):
    """Those in one state who live and are others in a candidate, or may have no place there.

    `calls`, `timers` and `deferred` are what they wait for. `stranded` of them have no place: something of theirs is
    refused. The others are carried over to `becomes`; where they are not `rewritten`, they are as before.
    """

    entity: str
    state: str
    becomes: str
    rewritten: bool
    entities: int = 0
    calls: int = 0
    timers: int = 0
    deferred: int = 0
    stranded: int = 0


class NewlyReached(Wire, frozen=True):
    """A state that a role can bring about with a candidate, itself or by what it causes, and can't now.

    `by` is the action that a holder of it takes. `sure` is false where it could not be told whether it can now.
    """

    role: str
    entity: str
    state: str
    by: str
    sure: bool = True


class Placed(Wire, frozen=True):
    """Something that is asked of the version in force, for all that it can reach to have a place in the candidate.

    `verdict` is "proved", "holds within bounds", "broken" or "unknown".
    """

    entity: str
    text: str
    verdict: str


class Plan(Wire, frozen=True):
    """What a candidate would change, and whether it could be pushed."""

    blueprint: str
    digest: str
    from_version: int | None
    from_digest: str | None
    changes: tuple[ChangeLine, ...]
    stranded: tuple[StrandedEntity, ...]
    report: dict[str, Any]
    pushable: bool
    entities: dict[str, int] = {}
    touched: tuple[Touched, ...] = ()
    upgrade: tuple[str, ...] = ()
    """What is wrong with an `upgrade`: it speaks of what the version in force does not have."""
    strength: PlanStrength | None = None
    """Where it was asked for: it takes longer than the rest."""
    places: tuple[Placed, ...] | None = None
    """What is asked of all that the version in force can reach; all of it is proved where nothing is, and `None` where
    no version is left."""
    newly: tuple[NewlyReached, ...] = ()
    """What roles can reach with it, by its actions and policies, that they can't now."""


class ShadowDifference(Wire, frozen=True):
    """A request that a candidate would have answered otherwise.

    `kind` is "refused" or "taken" (now), "state", "fields", "orders", "events", "others", or "gone" where the candidate
    has no such action, or no place for the entity. `sure` is false where it read what a journal does not tell whole.
    """

    seq: int
    entity: str
    id: str
    action: str
    kind: str
    text: str
    sure: bool = True


class Shadow(Wire, frozen=True):
    """How a candidate would have answered the last `requests` of a journal: `differ` of them otherwise, newest first.

    Each is asked on what there was when it came; nothing of the candidate's own doing is carried on.
    """

    blueprint: str
    digest: str
    requests: int
    differ: int
    differences: tuple[ShadowDifference, ...] = ()


class Pushed(Wire, frozen=True):
    """A version is live. `unchanged` when that digest was live already."""

    blueprint: str
    version: int
    digest: str
    unchanged: bool = False
    changes: tuple[ChangeLine, ...] = ()
    carried: int = 0
    report: dict[str, Any] = {}


class AuditDifference(Wire, frozen=True):
    """The first thing that is not as it has to be: the entry, or the entity, where it is one.

    `table` and `row` say where it stands in the store; a row is named by what it is known by.
    """

    text: str
    help: str
    part: int = 0
    seq: int | None = None
    entity: str | None = None
    table: str | None = None
    row: str | None = None


class Audited(Wire, frozen=True):
    """What an audit found. `anchors` are to be kept where nobody can write who can write to the store."""

    passes: bool
    entries: int
    entities: int
    versions: int
    anchors: tuple[str, ...] = ()
    difference: AuditDifference | None = None


class Canary(Wire, frozen=True):
    """Some of the entities created since then live by a candidate, beside the version `beside`.

    `share` of them, from 0 to 1, and the `named`; of the `kinds` that the candidate changes. `entities` says how many
    of them live, by "Entity.State"; all that there are where it is `whole`.
    """

    blueprint: str
    version: int
    beside: int
    digest: str
    since: str
    share: float
    named: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    entities: dict[str, int] = {}
    whole: bool = True


class Token(Wire, frozen=True):
    """A token without its secret."""

    id: str
    principal: str
    roles: tuple[str, ...]
    admin: bool = False
    acts_for: str | None = None
    created_at: str = ""
    expires_at: str | None = None
    revoked: bool = False
    teams: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    scope: tuple[str, ...] | None = None
    """How far it reaches: `BLUEPRINT`, `BLUEPRINT/ENTITY` or `BLUEPRINT/ENTITY/ID`; without it, no bound."""
    read_only: bool = False
    session: str | None = None
    """The name of the session that it is the credential of."""
    parent: str | None = None
    """The id of the token that the session was started with."""
    rotated_at: str | None = None
    last_used_at: str | None = None
    """To the minute."""
    decisions: tuple[str, ...] = ()
    """The decisions that were waiting for whoever bore it, and its sessions, and have ended as it was revoked."""
    grants: tuple[str, ...] = ()
    """The grants to or by whoever bore it, and its sessions, that have ended as it was revoked."""


class Me(Wire, frozen=True):
    """Who asks, as the credential says."""

    principal: str
    acts_for: str | None = None
    """The person behind an agent."""
    roles: tuple[str, ...] = ()
    admin: bool = False
    teams: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    session: str | None = None
    scope: tuple[str, ...] | None = None
    """How far it reaches; without it, no bound."""
    read_only: bool = False
    expires_at: str | None = None
    token: str | None = None
    """The token's id; not there where an identity provider or a proxy says who it is."""
    parent: str | None = None


class Letter(Wire, frozen=True):
    """An order that has not ended, or a dead letter: one that nobody has a place for.

    `state` is "waiting", "started", "dead", or "ended" where what came of an order is all that is left of it. `kind` is
    "call" (of `tool`, with `args`), "send" (`to` an entity), or "" where the order has ended. `at` is when it died; of
    one that has not, when it was made. `entity` and `id` are those of who ordered it, or had no place for what came.
    """

    order: str
    entity: str
    id: str
    at: str
    state: str
    text: str = ""
    kind: str = ""
    tool: str = ""
    args: dict[str, Any] = {}
    to: str = ""
    dead: bool = False
    attempts: int = 0
    last_error: str = ""
    next_attempt_at: str | None = None


class ToolState(Wire, frozen=True, omit_defaults=False):
    """How this server calls a tool now.

    `circuit` is "closed", "open" or "half-open"; `failed` counts the failures in a row. `waiting` counts calls in the
    outbox, up to 1000. `why` says what holds them back, and `until` when that ends, where time ends it.
    """

    tool: str
    bound: bool
    circuit: str
    failed: int
    running: int
    waiting: int
    next_attempt_at: str | None = None
    why: str = ""
    until: str | None = None
    last_error: str = ""


class Decision(Wire, frozen=True):
    """A request that was refused, and that somebody may approve: exactly this one.

    `state` is "Pending", "Granted" (it is being carried out), "CarriedOut", "Failed", "Denied", "Stale", "Expired" or
    "Withdrawn". `version` is that of the entity, 0 where it is to be created; `digest` the blueprint's. `refused_by` is
    "policy" or "by", `refused` its text. `would` is what would happen, where that can be told; `allows` says for each
    scope of a grant what it would newly allow. `may_answer` says whether whoever reads this may.
    """

    id: str
    state: str
    blueprint: str
    entity: str
    entity_id: str
    action: str
    params: dict[str, Any]
    version: int
    digest: str
    asked_by: str
    acts_for: str | None = None
    roles: tuple[str, ...] = ()
    session: str | None = None
    asked_at: str = ""
    expires_at: str = ""
    refused_by: str = ""
    refused: str = ""
    policies: tuple[str, ...] = ()
    would: dict[str, Any] = {}
    allows: dict[str, str] = {}
    may_answer: bool = False
    answered_by: str | None = None
    answered_for: str | None = None
    answered_at: str | None = None
    reason: str | None = None
    outcome: str | None = None
    grant: str | None = None
    """The id of the grant that came of it, where it was for more than this call."""


class Decisions(Wire, frozen=True, omit_defaults=False):
    """A page of decisions, newest first. `cursor` goes on from here; `None` at the end."""

    items: tuple[Decision, ...]
    cursor: str | None = None


class Grant(Wire, frozen=True):
    """So many more requests like one that was approved. `state` is "Active", "Spent", "Expired", "Revoked" or
    "Outdated" (another version of the blueprint is in force)."""

    id: str
    state: str
    decision: str
    to: str
    acts_for: str | None
    blueprint: str
    entity: str
    about: str | None
    """One entity; `None` for all of its kind."""
    action: str
    by: str
    limit: int
    uses: int
    left: int
    at: str
    until: str
    across_versions: bool = False
    """Whether it outlives the version of the blueprint that it was given for."""
    given_for: str | None = None
    """The person for whom an agent gave it."""
    ended_by: str | None = None
    reason: str | None = None


class Pause(Wire, frozen=True):
    """Who or what is paused. `state` is "Active", "Lifted" or "Expired"; `blueprint` is "" where it is for all."""

    id: str
    state: str
    kind: str
    name: str
    blueprint: str
    reason: str
    by: str
    at: str
    until: str | None = None
    lifted_by: str | None = None


class NewToken(Wire, frozen=True):
    """A token with its secret, which is shown once."""

    token: str
    info: Token


# --- what a blueprint offers, for OpenAPI, pages and tools ------------------------------------------------------------


class ActionShape(Wire, frozen=True, omit_defaults=False):
    name: str
    description: str
    creates: bool
    acts: bool
    """Whether it has a case from a state (an action may do both)."""
    by: tuple[str, ...]
    """"operator", "system", "anyone", or an expression."""
    callable: bool
    """Whether anyone but `system` may ask for it."""
    params: dict[str, Any]
    """A closed JSON Schema of the body."""
    froms: tuple[str, ...]
    to: tuple[str, ...]
    place: Place | None


class EntityShape(Wire, frozen=True, omit_defaults=False):
    name: str
    description: str
    states: tuple[str, ...]
    final: tuple[str, ...]
    fields: dict[str, Any]
    """A JSON Schema of `EntityView.fields`."""
    actions: tuple[ActionShape, ...]


class BlueprintShape(Wire, frozen=True, omit_defaults=False):
    name: str
    version: int
    digest: str
    description: str
    roles: tuple[str, ...]
    entities: tuple[EntityShape, ...]
    events: dict[str, Any]
    tools: tuple[str, ...]
    records: dict[str, Any]


def as_json(value: Wire) -> dict[str, Any]:
    """Return a struct as plain JSON-able data."""
    data: dict[str, Any] = msgspec.to_builtins(value)
    return data
