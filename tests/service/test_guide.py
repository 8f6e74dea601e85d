"""`temper guide`: the whole language for a prompt, and nothing in it that is not so."""

from __future__ import annotations

import importlib
import importlib.util
import re

from temper.service import check_texts, format_text, guide_text, verify_table
from temper.service.levels import LEVELS

TOKENS_MAX = 2_000
# Prose in English has four characters a token and more, code three to four: so that this is more than any model counts.
CHARACTERS_A_TOKEN = 3.5

BLUEPRINTS = re.findall(r"^```blueprint\n(.*?)^```$", guide_text(), re.MULTILINE | re.DOTALL)


def test_the_guide_is_short() -> None:
    """Under 2,000 tokens by a cautious estimate, and by a real count where a counter is installed."""
    text = guide_text()
    assert len(text) / CHARACTERS_A_TOKEN < TOKENS_MAX
    if importlib.util.find_spec("tiktoken"):
        assert len(importlib.import_module("tiktoken").get_encoding("o200k_base").encode(text)) < TOKENS_MAX


def test_the_guide_shows_a_blueprint_that_passes() -> None:
    """It compiles without a warning, is laid out as `temper fmt` would, and its properties and scenarios hold."""
    (text,) = BLUEPRINTS
    checked = check_texts({"guide.blueprint": text})
    assert checked.problems == ()
    assert format_text("guide.blueprint", text) == text
    assert checked.table is not None
    report = verify_table(checked.table, levels=LEVELS, states=100_000, seconds=60.0).report
    assert report["passed"]
    assert [each["title"] for each in report["scenarios"] if each["passed"]] == ["a refused card can be tried again"]
    assert not {each["verdict"] for each in report["properties"]} & {"broken", "unknown"}
