"""The verbs: everything that a door can ask for, and the answers as plain data.

In:    blueprint texts, a caller's token, JSON values; settings.
Out:   `Workshop` (plan, push, act, read, why, history, ...) for a server; the verbs of a bundle on disk; wire structs
       in `wire`; every failure as a `wire.Problem`, raised as `Declined`.
Never: Starlette, MCP, terminals. Doors hold no rules: the rules are here or below.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from temper.service import wire
from temper.service.bundle import BundleUnreadable, Checked, check_texts, read_bundle
from temper.service.findings import finding
from temper.service.remembered import Remembered, Verified, judgement_key
from temper.service.settings import LEVELS, Loaded, SettingProblem, Settings, duration_ms, load_settings
from temper.service.texts import (
    explain_code,
    fixed,
    format_text,
    guide_text,
    known_codes,
    text_from_json,
    text_to_json,
)

if TYPE_CHECKING:
    from temper.service.declined import Declined
    from temper.service.judge_process import Judged, judge
    from temper.service.judgement import questions, verify_table
    from temper.service.learning import (
        BadJournal,
        Kept,
        Measured,
        NotKept,
        conform_table,
        entries_of,
        keep_history,
        keep_report,
        measure_table,
    )
    from temper.service.people import Person, token_problems, token_view
    from temper.service.workshop import CannotOpen, Workshop

# A check must start at once: what brings in the runtime or the verifier is imported when it is asked for.
_LATE = {
    "Judged": "judge_process",
    "judge": "judge_process",
    **dict.fromkeys(
        (
            "BadJournal",
            "Kept",
            "Measured",
            "NotKept",
            "conform_table",
            "entries_of",
            "keep_history",
            "keep_report",
            "measure_table",
        ),
        "learning",
    ),
    "questions": "judgement",
    "verify_table": "judgement",
    "CannotOpen": "workshop",
    "Declined": "declined",
    "Person": "people",
    "Workshop": "workshop",
    "token_problems": "people",
    "token_view": "people",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"temper.service.{_LATE[name]}"), name)


__all__ = [
    "LEVELS",
    "BadJournal",
    "BundleUnreadable",
    "CannotOpen",
    "Checked",
    "Declined",
    "Judged",
    "Kept",
    "Loaded",
    "Measured",
    "NotKept",
    "Person",
    "Remembered",
    "SettingProblem",
    "Settings",
    "Verified",
    "Workshop",
    "check_texts",
    "conform_table",
    "duration_ms",
    "entries_of",
    "explain_code",
    "finding",
    "fixed",
    "format_text",
    "guide_text",
    "judge",
    "judgement_key",
    "keep_history",
    "keep_report",
    "known_codes",
    "load_settings",
    "measure_table",
    "questions",
    "read_bundle",
    "text_from_json",
    "text_to_json",
    "token_problems",
    "token_view",
    "verify_table",
    "wire",
]
