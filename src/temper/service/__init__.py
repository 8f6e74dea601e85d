"""The verbs: everything that a door can ask for, and the answers as plain data.

In:    blueprint texts, a caller's token, JSON values; settings.
Out:   `Workshop` (plan, push, act, read, why, history, ...) for a server; the verbs of a bundle on disk; wire structs in
       `wire`; every failure as a `wire.Problem`, raised as `Declined`.
Never: Starlette, MCP, terminals. Doors hold no rules: the rules are here or below.
"""

from temper.service import wire
from temper.service.bundle import BundleUnreadable, Checked, check_texts, read_bundle
from temper.service.findings import finding
from temper.service.judge import Judged, judge
from temper.service.settings import Loaded, SettingProblem, Settings, duration_ms, load_settings
from temper.service.workshop import CannotOpen, Declined, Person, Workshop, token_problems, token_view

__all__ = [
    "BundleUnreadable",
    "CannotOpen",
    "Checked",
    "Declined",
    "Judged",
    "Loaded",
    "Person",
    "SettingProblem",
    "Settings",
    "Workshop",
    "check_texts",
    "duration_ms",
    "finding",
    "judge",
    "load_settings",
    "read_bundle",
    "token_problems",
    "token_view",
    "wire",
]
