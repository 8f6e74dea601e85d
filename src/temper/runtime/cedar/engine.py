"""Cedar itself: the one file that knows the library behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Any

# The library's first words of each finding; the policy is told by its place.
_PREFIX = re.compile(r"^for policy `policy[0-9]+`[,:] ")
_ERRING = re.compile(r"^error while evaluating policy `policy([0-9]+)`: (.*)$", re.DOTALL)
_NUMBER = re.compile(r"policy([0-9]+)")
UNFINISHED = "unexpected end of input"


class CannotParse(Exception):
    """A text that is no policy. `text` is Cedar's own word."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Policies:
    """Policies, parsed: numbered from 0 in the order of their texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Parse them. Raises `CannotParse`."""
        from cedarpy import PolicySet  # What asks nothing of policies need not load it.

        try:
            self._set = PolicySet.from_str("\n".join(texts), release_gil=True)
        except ValueError as problem:
            raise CannotParse(str(problem)) from problem

    def decide(self, request: Json, entities: Json) -> tuple[bool, tuple[int, ...], dict[int, str]]:
        """Return whether they allow it, the numbers of those that decided, and of those that can't be evaluated.

        `request` and `entities` are in Cedar's JSON forms; an entity's id may hold anything. Raises `ValueError` where
        they are none.
        """
        from cedarpy import is_authorized

        answer = is_authorized(request, self._set, json.dumps(entities))
        erring: dict[int, str] = {}
        for text in answer.diagnostics.errors:
            found = _ERRING.match(text)
            if found is None:  # It is no policy's: the request itself can't be asked.
                raise ValueError(text)
            erring[int(found[1])] = found[2]
        return answer.allowed, tuple(sorted(map(_number, answer.diagnostics.reasons))), erring


class Checker:
    """A schema, parsed, to check policies with."""

    def __init__(self, schema: Json) -> None:
        from cedarpy import Schema

        self._schema = Schema.from_json_str(json.dumps(schema))

    def findings(self, texts: Sequence[str]) -> list[tuple[int, str]]:
        """Return what is wrong with policies, each by its number from 0, in Cedar's own words."""
        from cedarpy import validate_policies

        found = validate_policies("\n".join(texts), self._schema, release_gil=True)
        return [(_number(each.policy_id), _PREFIX.sub("", each.error)) for each in found.errors if each.policy_id]

    @property
    def text(self) -> str:
        """Return the schema in Cedar's own syntax."""
        return str(self._schema)


def form_of(text: str) -> tuple[Json, bool]:
    """Return Cedar's JSON form of one policy, and whether it is a template. Raises `CannotParse`."""
    from cedarpy import policies_to_json_str

    try:
        both = json.loads(policies_to_json_str(text))
    except (ValueError, RecursionError) as problem:
        raise CannotParse(str(problem)) from problem
    for kind in ("staticPolicies", "templates"):
        for form in both[kind].values():
            return form, kind == "templates"
    raise CannotParse(UNFINISHED)


def text_of_form(form: Json) -> str:
    """Return the text of a policy, made of Cedar's JSON form of it."""
    from cedarpy import policies_from_json_str

    return policies_from_json_str(
        json.dumps({"templates": {}, "templateLinks": [], "staticPolicies": {"policy0": form}})
    )


def laid_out(text: str) -> str:
    """Return policies as Cedar lays them out, for people; as they are where it can't."""
    from cedarpy import format_policies

    try:
        return format_policies(text).strip()
    except ValueError:
        return text


def _number(id: str) -> int:
    found = _NUMBER.fullmatch(id)
    assert found is not None, f"policies are numbered, and {id!r} is no number"
    return int(found[1])
