"""Tables with policies, for tests of judgement."""

from __future__ import annotations

import json

import cedarpy
import msgspec

from temper.table import Table, shape
from tests.verify.texts import table_of


def guarded(text: str, cedar: str) -> Table:
    """Return the table of a blueprint with the policies of a file."""
    found = json.loads(cedarpy.policies_to_json_str(cedar))["staticPolicies"]
    policies = []
    for number, form in enumerate(found.values(), 1):
        annotations = form.get("annotations", {})
        id = annotations.get("id", f"test.cedar/{number}")
        told = annotations.get("else")
        plain = json.dumps(form, sort_keys=True)
        policies.append(shape.Policy(id, f"policy/{id}", form["effect"], "", plain, told))
    return msgspec.structs.replace(table_of(text), policies=tuple(policies))
