"""What a blueprint means: names resolved, expressions typed, the rules of the language held.

In:    a `Tree` (from `temper.syntax`); for one expression more, a `Machine` and the expression's tree.
Out:   `check` -> (machine, problems); `check_expression` -> (typed, problems). The classes of a machine are in
       `machine`, those of its types in `types`; `Typed` is an expression.
Never: raises on a tree, however wrong; runs anything.
"""

from temper.model import machine, types
from temper.model.check import check, check_expression
from temper.model.machine import Machine
from temper.model.typed import Typed
from temper.model.world import Param

__all__ = ["Machine", "Param", "Typed", "check", "check_expression", "machine", "types"]
