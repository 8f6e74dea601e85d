"""Cedar: who may, in policies beside the blueprint.

In:    a bundle's `*.cedar` files and its table; a request that `by` has let in, with its snapshot and its facts.
Out:   `Policy`s and what is wrong with them; a `Ruling`: whether it is let, and by which policies; all of who may, as
       one text, and the schema that policies are held against.
Never: lets a caller do what `by` does not let them; asks about `system`.
"""

from temper.runtime.cedar.administration import Administers, Administration, administration_schema, read_administration
from temper.runtime.cedar.gate import Gate
from temper.runtime.cedar.permits import Permit, generated, whole_text
from temper.runtime.cedar.read import POLICIES_MAX, Policies, read_policies
from temper.runtime.cedar.schema import schema, schema_text
from temper.runtime.cedar.slices import Ruling
from temper.runtime.cedar.whatif import Could, Somebody, could_act, could_approve, could_read

__all__ = [
    "POLICIES_MAX",
    "Administers",
    "Administration",
    "Could",
    "Gate",
    "Permit",
    "Policies",
    "Ruling",
    "Somebody",
    "administration_schema",
    "could_act",
    "could_approve",
    "could_read",
    "generated",
    "read_administration",
    "read_policies",
    "schema",
    "schema_text",
    "whole_text",
]
