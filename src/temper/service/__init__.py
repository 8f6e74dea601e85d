"""The verbs: everything that a door can ask for, and the answers as plain data.

In:    blueprint texts, a caller's token, JSON values; settings.
Out:   `Workshop` (plan, push, act, read, why, history, ...) for a server; the verbs of a bundle on disk; wire structs
       in `wire`; every failure as a `wire.Problem`, raised as `Declined`.
Never: Starlette, MCP, terminals. Doors hold no rules: the rules are here or below.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temper.runtime import Elsewhere, KeysWanted
    from temper.service import wire
    from temper.service.answers import Answers
    from temper.service.beside import Team, team_for
    from temper.service.bundle import BundleUnreadable, Checked, check_texts, read_bundle
    from temper.service.canary import CanaryWanted
    from temper.service.credentials import TokenWanted, kept_token, token_problems, token_view
    from temper.service.declined import Declined
    from temper.service.findings import finding
    from temper.service.identity import LENT, principals_of_others
    from temper.service.judge_process import Judged, judge
    from temper.service.judgement import questions, verify_table
    from temper.service.learning import (
        BadJournal,
        Kept,
        Measured,
        NotKept,
        conform_table,
        each_entry,
        keep_history,
        keep_report,
        keep_seed,
        measure_table,
    )
    from temper.service.levels import LEVELS
    from temper.service.measured import Measurements
    from temper.service.opening import CannotOpen
    from temper.service.people import Peer, Person
    from temper.service.policies import policies_view
    from temper.service.remembered import Remembered, Verified, judgement_key
    from temper.service.sessions import SessionWanted
    from temper.service.settings import Loaded, SettingProblem, Settings, duration_ms, load_settings, rate_of
    from temper.service.texts import (
        explain_code,
        fixed,
        format_text,
        guide_text,
        known_codes,
        text_from_json,
        text_to_json,
    )
    from temper.service.workshop import Workshop

# A command must start at once: each thing is imported when it is asked for.
_LATE = {
    "LENT": "identity",
    "LEVELS": "levels",
    "Answers": "answers",
    "BadJournal": "learning",
    "BundleUnreadable": "bundle",
    "CanaryWanted": "canary",
    "CannotOpen": "opening",
    "Checked": "bundle",
    "Declined": "declined",
    "Elsewhere": "space",
    "Judged": "judge_process",
    "Kept": "learning",
    "KeysWanted": "identity",
    "Loaded": "settings",
    "Measured": "learning",
    "Measurements": "measured",
    "NotKept": "learning",
    "Peer": "people",
    "Person": "people",
    "Remembered": "remembered",
    "SessionWanted": "sessions",
    "SettingProblem": "settings",
    "Settings": "settings",
    "Team": "beside",
    "TokenWanted": "credentials",
    "Verified": "remembered",
    "Workshop": "workshop",
    "team_for": "beside",
    "check_texts": "bundle",
    "conform_table": "learning",
    "duration_ms": "settings",
    "rate_of": "settings",
    "each_entry": "learning",
    "explain_code": "texts",
    "finding": "findings",
    "fixed": "texts",
    "format_text": "texts",
    "guide_text": "texts",
    "judge": "judge_process",
    "judgement_key": "remembered",
    "keep_history": "learning",
    "keep_report": "learning",
    "keep_seed": "learning",
    "kept_token": "credentials",
    "known_codes": "texts",
    "load_settings": "settings",
    "measure_table": "learning",
    "policies_view": "policies",
    "principals_of_others": "identity",
    "questions": "judgement",
    "read_bundle": "bundle",
    "text_from_json": "texts",
    "text_to_json": "texts",
    "token_problems": "credentials",
    "token_view": "credentials",
    "verify_table": "judgement",
}


def __getattr__(name: str) -> Any:
    if name == "wire":
        return import_module("temper.service.wire")
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"temper.service.{_LATE[name]}"), name)
    # A module may have the name of what it gives out: from now on it is that.
    globals()[name] = found
    return found


__all__ = [
    "LENT",
    "LEVELS",
    "Answers",
    "BadJournal",
    "BundleUnreadable",
    "CanaryWanted",
    "CannotOpen",
    "Checked",
    "Declined",
    "Elsewhere",
    "Judged",
    "Kept",
    "KeysWanted",
    "Loaded",
    "Measured",
    "Measurements",
    "NotKept",
    "Peer",
    "Person",
    "Remembered",
    "SessionWanted",
    "SettingProblem",
    "Settings",
    "Team",
    "TokenWanted",
    "Verified",
    "Workshop",
    "check_texts",
    "conform_table",
    "duration_ms",
    "each_entry",
    "explain_code",
    "finding",
    "fixed",
    "format_text",
    "guide_text",
    "judge",
    "judgement_key",
    "keep_history",
    "keep_report",
    "keep_seed",
    "kept_token",
    "known_codes",
    "load_settings",
    "measure_table",
    "policies_view",
    "principals_of_others",
    "questions",
    "rate_of",
    "read_bundle",
    "team_for",
    "text_from_json",
    "text_to_json",
    "token_problems",
    "token_view",
    "verify_table",
    "wire",
]
