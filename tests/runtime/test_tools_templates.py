"""Templates, paths and conditions: rows of data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.runtime.tools import Call
from temper.runtime.tools.condition import parse_condition, unmet
from temper.runtime.tools.path import Absent, look_up, parse_path
from temper.runtime.tools.template import CannotFill, fill, fill_text, parse
from temper.runtime.vault import Vault


def call(**args: Any) -> Call:
    return Call(order="o-1", tool="pager.page", args=args, attempt=1, timeout_ms=1000)


def vault(**secrets: str) -> Vault:
    found = Vault(secrets)
    assert all(found.has(name) for name in secrets)
    return found


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("plain", {}, "plain"),
        ("", {}, ""),
        ("hello {who}", {"who": "ann"}, "hello ann"),
        ("{who}", {"who": "ann"}, "ann"),
        # Exactly one argument: its own type.
        ("{n}", {"n": 3}, 3),
        ("{n}", {"n": True}, True),
        ("{n}", {"n": None}, None),
        ("{n}", {"n": [1, {"a": "b"}]}, [1, {"a": "b"}]),
        # Within a text: as JSON, `none` as nothing.
        ("n={n}", {"n": 3}, "n=3"),
        ("n={n}", {"n": True}, "n=true"),
        ("n={n}", {"n": None}, "n="),
        ("n={n}", {"n": [1, "a"]}, 'n=[1,"a"]'),
        ("{order}/{n}", {"n": 3}, "o-1/3"),
        ("{order}", {}, "o-1"),
        ("Bearer {secret:TOKEN}", {}, "Bearer s3cret"),
        ("{{n}} {n} {{{n}}}", {"n": 3}, "{n} 3 {3}"),
        # What is put in is not read again.
        ("x{n}", {"n": "{secret:TOKEN}{order}"}, "x{secret:TOKEN}{order}"),
    ],
)
def test_fill(text: str, args: dict[str, Any], expected: Any) -> None:
    template, problem = parse(text)
    assert problem is None
    filled = fill(template, call(**args), vault(TOKEN="s3cret"))
    assert (filled, type(filled)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    ["{", "}", "a{b", "{}", "{ n }", "{n.m}", "{n[0]}", "{N}", "{secret:}", "{env:X}", "{secret:a-b}", "{order }"],
)
def test_nothing_else_is_a_template(text: str) -> None:
    _, problem = parse(text)
    assert problem is not None


def test_a_missing_argument_can_not_be_filled() -> None:
    template, _ = parse("{n}")
    with pytest.raises(CannotFill, match="no argument `n`"):
        fill(template, call(), vault())


@given(st.text())
def test_a_text_with_its_braces_doubled_stands_for_itself(text: str) -> None:
    template, problem = parse(text.replace("{", "{{").replace("}", "}}"))
    assert problem is None
    assert fill_text(template, call(), vault()) == text


@given(st.text())
def test_any_text_is_a_template_or_has_a_problem(text: str) -> None:
    template, problem = parse(text)
    if problem is None:
        assert set(template.secrets()) <= set(text.replace("{", " ").replace("}", " ").replace(":", " ").split())


# --- the vault --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        ("hunter2", "got hunter2, hunter2!", "got {secret:S}, {secret:S}!"),
        ("a/b c", "x a%2Fb%20c x a/b%20c x a%2Fb+c x a/b c", " ".join(["x {secret:S}"] * 4)),
        ('q"q', r'in JSON: "q\"q"', 'in JSON: "{secret:S}"'),
        ("schön", r"in JSON: sch\u00f6n", "in JSON: {secret:S}"),
    ],
)
def test_a_secret_is_hidden_in_each_form(secret: str, text: str, expected: str) -> None:
    assert vault(S=secret).hide(text) == expected


def test_a_secret_within_another_does_not_show_the_rest() -> None:
    assert vault(A="abc", B="abcdef").hide("abcdef abc") == "{secret:B} {secret:A}"


def test_a_secret_is_hidden_in_every_corner_of_a_value() -> None:
    value = {"abc": ["x abc", {"k": "abc"}], "n": 1}
    assert vault(A="abc").hide_in(value) == {"{secret:A}": ["x {secret:A}", {"k": "{secret:A}"}], "n": 1}


def test_a_vault_shows_names_only() -> None:
    assert "hunter2" not in repr(vault(S="hunter2"))
    assert not Vault({"EMPTY": ""}).has("EMPTY")


# --- paths ------------------------------------------------------------------------------------------------------------

THING = {"id": 7, "items": [{"id": "a"}, {"id": "b"}], "labels": {"app.kubernetes.io/name": "x"}, "none": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("id", 7),
        ("items[1].id", "b"),
        ('labels["app.kubernetes.io/name"]', "x"),
        ("none", None),
        ("nobody?", None),
        ("items[9].id?", None),
        ("id.deeper?", None),
    ],
)
def test_look_up(path: str, expected: Any) -> None:
    parsed = parse_path(path)
    assert parsed is not None
    assert look_up(parsed, THING) == expected


@pytest.mark.parametrize("path", ["nobody", "items[9]", "id.deeper", "items.id", "labels[0]"])
def test_a_path_that_leads_nowhere(path: str) -> None:
    parsed = parse_path(path)
    assert parsed is not None
    with pytest.raises(Absent):
        look_up(parsed, THING)


def test_a_path_may_begin_with_a_place_in_a_list() -> None:
    parsed = parse_path("[0].id")
    assert parsed is not None
    assert look_up(parsed, [{"id": 1}]) == 1


@pytest.mark.parametrize("path", ["", "?", ".a", "a.", "a..b", "a[b]", "a[", "a b", "a.[0]", "a[0]b", "9a"])
def test_what_is_no_path(path: str) -> None:
    assert parse_path(path) is None


# --- conditions -------------------------------------------------------------------------------------------------------

HELIX = {"metadata": {"generation": 3}, "spec": {"replicas": 5, "image": "v2"}, "status": {"updated": 2, "ok": True}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("status.updated == 2", True),
        ("status.updated >= spec.replicas - {partition}", True),
        ("status.updated > spec.replicas - {partition}", False),
        ("status.updated + 1 + 2 == spec.replicas", True),
        ('spec.image == "v2"', True),
        ("spec.image == {image}", True),
        ("spec.image != {image}", False),
        ("status.ok == true", True),
        # Absent: 0 beside a number, else nothing.
        ("status.ready == 0", True),
        ("status.ready < spec.replicas", True),
        ("status.ready == spec.replicas", False),
        ('status.phase == "Running"', False),
        ('status.phase != "Running"', True),
        # Not numbers: no order.
        ("spec.image < 3", False),
        ("spec.image + 1 == 3", False),
        ("status.ok == 1 + 0", False),
    ],
)
def test_condition(condition: str, holds: bool) -> None:
    parsed = parse_condition(condition)
    assert parsed is not None
    why = unmet(parsed, HELIX, call(partition=3, image="v2"))
    assert (why is None) == holds, why


def test_a_condition_that_does_not_hold_shows_both_sides() -> None:
    parsed = parse_condition("status.updated >= spec.replicas - {partition}")
    assert parsed is not None
    assert unmet(parsed, HELIX, call(partition=1)) == "`status.updated >= spec.replicas - {partition}` is `2 >= 4`"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a ==", "== a", "a == b == c", "a = b", "a + == b", "a * 2 == b", "a == {B}", "a b == c", 'a == "b'],
)
def test_what_is_no_condition(text: str) -> None:
    assert parse_condition(text) is None
