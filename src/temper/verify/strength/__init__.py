"""Who checks the properties? Mutants of a table, and what notices them.

In:    a `Table`; a journal's entries, for suggestions from what happened.
Out:   `measure` -> `Strength`: how many mutants are noticed, the others as questions, properties that say nothing, and
       properties worth having, each checked; `suggest_from` a journal.
Never: a change to a blueprint. What is suggested is the author's to add.
"""

from temper.verify.strength.journals import suggest_from
from temper.verify.strength.measure import Bounds, measure
from temper.verify.strength.show import render_strength

__all__ = ["Bounds", "measure", "render_strength", "suggest_from"]
