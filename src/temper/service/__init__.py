"""The verbs: everything that a door can ask for, and the answers as plain data.

In:    blueprint texts, a caller's token, JSON values; settings.
Out:   `Workshop` (plan, push, act, read, why, history, ...) for a server; the verbs of a bundle on disk; wire structs in
       `wire`; every failure as a `wire.Problem`, raised as `Declined`.
Never: Starlette, MCP, terminals. Doors hold no rules: the rules are here or below.
"""

from temper.service import wire
from temper.service.workshop import Declined, Person, Workshop

__all__ = ["Declined", "Person", "Workshop", "wire"]
