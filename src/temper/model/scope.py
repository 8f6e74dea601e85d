"""What an expression can see from where it stands."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from temper.model import world
from temper.model.typed import NO_FACTS, Facts
from temper.model.types import Type
from temper.text import Span


class Setting(Struct, frozen=True):
    """What may be read in one kind of place; `where` names it in messages."""

    where: str
    fields: bool = True
    now: bool = True
    caller: bool = True
    step: bool = False
    """`before` and `action is`."""
    every: bool = False
    """All entities of a kind."""
    outside: bool = False
    """A principal or a reference may be written as text, since it comes from outside the blueprint."""


CONSTANT = Setting("a constant", fields=False, now=False, caller=False)
DEFAULT = Setting("a default", fields=False, now=False, caller=False)
LET = Setting("a `let` of an entity", now=False, caller=False)
ACTION_LET = Setting("a `let`", now=False)
ACTION = Setting("an action")
STAY = Setting("what belongs to a state")
WHENEVER = Setting("`whenever`", now=False, caller=False)
PROPERTY = Setting("a property", now=False, caller=False, step=True, every=True)
SCENARIO = Setting("a scenario", fields=False, now=False, caller=False, outside=True)
FILTER = Setting("a filter", outside=True)
UPGRADE = Setting("an upgrade", now=False, caller=False)


class Local(Struct, frozen=True):
    """A name that is known in one place only; `op` is what reads it (`param`, `let`, `var`, `created`)."""

    op: str
    type: Type
    span: Span


class Scope(Struct, frozen=True):
    setting: Setting
    entity: world.Entity | None = None
    locals: Mapping[str, Local] = field(default_factory=dict)
    known: Facts = NO_FACTS
    """What is surely not `none` here."""
    result: world.Tool | None = None
    """The tool whose results can be read: in the arguments of `then`."""
    error: bool = False
    """Whether `error` can be read: in the arguments of `else` and `unknown`."""

    def knowing(self, facts: Facts) -> Scope:
        """Return the scope where these are known too."""
        return replace(self, known=self.known | facts) if facts else self

    def naming(self, name: str, local: Local) -> Scope:
        """Return the scope with one name more."""
        return replace(self, locals={**self.locals, name: local})

    def without_facts(self) -> Scope:
        return replace(self, known=NO_FACTS) if self.known else self
