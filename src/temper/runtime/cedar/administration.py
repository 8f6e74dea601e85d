"""Who may administer a server: policies of the server's own, since whoever writes a blueprint does not decide that.

A principal is what it is in a bundle's policies. Actions are `temper::Action::"push"` and the like, all of them in the
group `"administration"`; what they are done to is `temper::Blueprint::"NAME"` or `temper::Server::"server"`. Without a
file, and beside what a file says, an administrator's credential may do all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, TypeAlias

from temper.kernel import Facts
from temper.runtime.cedar.engine import Checker, Policies
from temper.runtime.cedar.read import read_policies
from temper.runtime.cedar.schema import people
from temper.runtime.cedar.slices import Ruling
from temper.runtime.cedar.told import told_of_caller
from temper.runtime.cedar.values import moment
from temper.table import Caller, Policy, cedar
from temper.text import Source

Json: TypeAlias = Any

BLUEPRINT = "temper::Blueprint"
SERVER = "temper::Server"
ACTION = "temper::Action"
GROUP = "administration"
THE_SERVER = "server"

# What holds without a file, and beside what one says.
DEFAULT = "permit (principal, action, resource) when { principal.admin };"


class Administers(Enum):
    """What an administrator does; the values are the ids of the actions."""

    PLAN = "plan"
    PUSH = "push"
    ROLLBACK = "rollback"
    CANARY = "canary"
    SHADOW = "shadow"
    AUDIT = "audit"
    EXPORT = "export"
    LETTERS = "letters"
    DECISIONS = "decisions"
    POLICIES = "policies"
    TOKENS = "tokens"
    PAUSE = "pause"


_OF_BLUEPRINTS = (
    Administers.PLAN, Administers.PUSH, Administers.ROLLBACK, Administers.CANARY, Administers.SHADOW,
    Administers.LETTERS, Administers.DECISIONS, Administers.POLICIES, Administers.AUDIT, Administers.EXPORT,
)  # fmt: skip


class Administration:
    """A server's own policies, parsed."""

    def __init__(self, policies: tuple[Policy, ...] = ()) -> None:
        self.policies = policies
        self._parsed = Policies([*(policy.text for policy in policies), DEFAULT]) if policies else None

    def rule(self, caller: Caller, facts: Facts, action: Administers, blueprint: str | None, at: int) -> Ruling:
        """Return whether somebody may do that, to a blueprint or to the server as a whole."""
        if self._parsed is None:
            return Ruling(allowed=facts.admin)
        kind, id = (BLUEPRINT, blueprint) if blueprint is not None else (SERVER, THE_SERVER)
        context: dict[str, Json] = {"via": facts.via, "now": moment(at)}
        if facts.session is not None:
            context["session"] = facts.session
        request = {
            "principal": {"type": cedar.PRINCIPAL, "id": caller.principal},
            "action": {"type": ACTION, "id": action.value},
            "resource": {"type": kind, "id": id},
            "context": context,
        }
        name = {"name": blueprint} if blueprint is not None else {}
        entities = [
            told_of_caller(caller, facts),
            {"uid": request["action"], "attrs": {}, "parents": [{"type": ACTION, "id": GROUP}]},
            {"uid": request["resource"], "attrs": name, "parents": []},
        ]
        if caller.acts_for is not None and caller.acts_for != caller.principal:
            uid = {"type": cedar.PRINCIPAL, "id": caller.acts_for}
            entities.append({"uid": uid, "attrs": {"name": caller.acts_for}, "parents": []})
        try:
            allowed, reasons, erring = self._parsed.decide(request, entities)
        except ValueError as problem:
            return Ruling(allowed=False, erring=tuple((each, str(problem)) for each in self.policies))
        known = self.policies
        wrong = tuple((known[number], text) for number, text in erring.items() if number < len(known))
        forbidden = any(each.effect == "forbid" for each, _ in wrong)
        return Ruling(allowed and not forbidden, tuple(known[one] for one in reasons if one < len(known)), wrong)


def read_administration(sources: Iterable[Source]) -> tuple[Administration | None, tuple[str, ...]]:
    """Return a server's policies, or what is wrong with them, each with its place."""
    listed = tuple(sources)
    found = read_policies(listed, None)
    by_name = {source.name: source for source in listed}
    problems = [(each.primary.span.file, each.primary.span.start, each.message) for each in found.problems]
    policies = found.policies
    if policies and not problems:
        places = found.places
        for number, text in Checker(administration_schema()).findings([policy.text for policy in policies]):
            file, start, _ = places[policies[number].site]
            problems.append((file, start, text))
    told = []
    for file, start, text in sorted(set(problems)):
        at = by_name[file].position(start)
        told.append(f"{file}:{at.line}:{at.column}: {text}")
    return (None, tuple(told)) if told else (Administration(policies), ())


def administration_schema() -> Json:
    """Return the schema that a server's policies are held against, in Cedar's JSON form."""
    text: Json = {"type": "EntityOrCommon", "name": "__cedar::String"}
    context = {
        "type": "Record",
        "attributes": {
            "via": text,
            "session": {**text, "required": False},
            "now": {"type": "EntityOrCommon", "name": "__cedar::datetime"},
        },
    }
    actions: Json = {GROUP: {}}
    for each in Administers:
        actions[each.value] = {
            "memberOf": [{"id": GROUP, "type": ACTION}],
            "appliesTo": {
                "principalTypes": [cedar.PRINCIPAL],
                "resourceTypes": [BLUEPRINT if each in _OF_BLUEPRINTS else SERVER],
                "context": context,
            },
        }
    named: Json = {"shape": {"type": "Record", "attributes": {"name": text}}}
    return {"temper": {"entityTypes": {**people(()), "Blueprint": named, "Server": {}}, "actions": actions}}
