"""Cedar: who may, in policies beside the blueprint.

In:    a bundle's `*.cedar` files and its table; a request that `by` has let in, with its snapshot and its facts.
Out:   `Policy`s and what is wrong with them; a `Ruling`: whether it is let, and by which policies.
Never: lets a caller do what `by` does not let them; asks about `system`.
"""

from temper.runtime.cedar.gate import Gate
from temper.runtime.cedar.read import POLICIES_MAX, Policies, is_policies, read_policies
from temper.runtime.cedar.schema import schema
from temper.runtime.cedar.slices import Ruling

__all__ = ["POLICIES_MAX", "Gate", "Policies", "Ruling", "is_policies", "read_policies", "schema"]
