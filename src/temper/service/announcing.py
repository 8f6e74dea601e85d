"""Telling of new decisions: a signed webhook out, so that a chat tool can carry them to those who may answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from temper.runtime import Adapter, Vault, load_tools
from temper.service.settings import ApprovalsSection, SettingProblem

TOOL = "office.tell"
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def announcing(section: ApprovalsSection, vault: Vault) -> tuple[Mapping[str, Adapter], tuple[SettingProblem, ...]]:
    """Return what tells of new decisions, and what is wrong with how the settings ask for it.

    It is the `http` adapter, with its way of signing, of trying again and of going nowhere but where it is sent.
    """
    if not section.webhook:
        lost = (SettingProblem("approvals.secret", "signs nothing", "name a `webhook`, too"),) if section.secret else ()
        return {}, lost
    if _SECRET.fullmatch(section.secret) is None:
        text = "is missing" if not section.secret else "is no name of a secret"
        return {}, (SettingProblem("approvals.secret", text, "what is posted is signed: name a secret"),)
    parts = urlsplit(section.webhook)
    near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme not in ("https", "http") or not parts.hostname or (parts.scheme == "http" and not near):
        return {}, (SettingProblem("approvals.webhook", "is no `https` address", "plain `http` on this machine alone"),)
    bound: dict[str, Any] = {
        "adapter": "http",
        "method": "POST",
        "url": section.webhook.replace("{", "%7B").replace("}", "%7D"),
        "json": {
            "type": "decision",
            "decision": "{decision}",
            "href": "/v1/decisions/{decision}",
            "asked_by": "{asked_by}",
            "asked_for": "{asked_for}",
            "text": "{text}",
        },
        "sign": section.secret,
    }
    if near:
        bound["egress"] = [f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"]
    adapters, problems = load_tools({"tools": {TOOL: bound}}, {}, vault)
    return adapters, tuple(SettingProblem("approvals", each.text, each.help) for each in problems)
