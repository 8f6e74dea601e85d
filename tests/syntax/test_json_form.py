"""The JSON form: one to one with the text, described by its schema, and read with problems, never with exceptions."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.syntax import format_file, from_json, json_schema, parse, to_json, tree
from temper.text import Code, Source
from tests import blueprints

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@cache
def validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json_schema())


def faults(value: object) -> list[str]:
    """What the schema has against `value`."""
    return [f"{error.instance_path}: {error.message}" for error in validator().iter_errors(value)]


# --- laws -------------------------------------------------------------------------------------------------------------


@given(blueprints.files())
def test_text_becomes_json_and_the_same_text_again(drawn: tree.File) -> None:
    text = format_file(drawn)
    file, _ = parse(Source(drawn.path, text))
    form = json.loads(json.dumps(to_json(file)))
    again, problems = from_json(form, drawn.path)
    assert not problems, form
    assert again == file, form
    assert format_file(again) == text, form
    assert to_json(again) == form


@given(blueprints.files())
def test_the_schema_describes_what_is_written(file: tree.File) -> None:
    assert not faults(to_json(file))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({key for one in (json_schema(), *json_schema()["$defs"].values()) for key in one["properties"]})


@given(st.data())
def test_whatever_is_sent_is_read_with_problems_at_most(data: st.DataObject) -> None:
    """A form in which any one value was replaced, renamed, dropped or doubled, gives a file or problems with places."""
    form = to_json(data.draw(blueprints.files()))
    _spoil(form, data)
    file, problems = from_json(form)
    for problem in problems:
        assert re.match(r"`(/[^`]*)+`: .|the value: .", problem.message), problem
        assert problem.help
        assert problem.code.name.startswith("B09")
    if not problems:
        text = format_file(file)
        assert parse(Source("", text)) == (file, ()), text


def _spoil(form: Any, data: st.DataObject) -> None:
    places = list(_places(form))
    holder, key = data.draw(st.sampled_from(places))
    kind = data.draw(st.sampled_from(["replace", "rename", "drop", "double", "borrow"]))
    if kind == "replace":
        holder[key] = data.draw(JSON)
    elif kind == "borrow":
        other, other_key = data.draw(st.sampled_from(places))
        holder[key] = json.loads(json.dumps(other[other_key]))
    elif kind == "rename" and isinstance(holder, dict):
        holder[data.draw(st.sampled_from(KEYS))] = holder.pop(key)
    elif kind == "double" and isinstance(holder, list):
        holder.append(holder[key])
    else:
        del holder[key]


def _places(value: Any) -> Any:
    """Each key of each object and each index of each array."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


@given(JSON)
def test_any_json_is_read(value: object) -> None:
    file, problems = from_json(value, "x")
    assert problems
    assert file.path == "x"


# --- rows -------------------------------------------------------------------------------------------------------------


def entity(*body: object) -> dict[str, object]:
    return {"blueprint": "x", "declarations": [{"entity": "E", "body": list(body)}]}


DEEP: dict[str, Any] = {"emit": "E"}
for _ in range(40):
    DEEP = {"if": "x", "body": [DEEP]}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (None, [("B090", "the value: expected an object, found null")]),
        ([], [("B090", "the value: expected an object, found an array")]),
        ({}, [("B092", "the value: missing key `blueprint`")]),
        ({"blueprint": 1}, [("B090", "`/blueprint`: expected a name in lower_snake in a string, found a number")]),
        ({"blueprint": "Helix"}, [("B094", "`/blueprint`: `Helix` is not a name in lower_snake")]),
        ({"blueprint": "x", "roles": []}, [("B091", "the value: unknown key `roles`")]),
        (
            {"blueprint": "x", "declarations": [{"rolls": ["a"]}, {"role": "a"}]},
            [
                ("B093", "`/declarations/0`: no key says what this is (a declaration)"),
                ("B092", "`/declarations/1`: missing key `excludes`"),
            ],
        ),
        (entity({"states": []}), [("B095", "`/declarations/0/body/0/states`: the array is empty")]),
        (
            entity({"field": "a", "type": "int 0..", "default": "1 +"}),
            [("B094", "`/declarations/0/body/0/default`: `1 +` is not an expression: expected an expression, found")],
        ),
        (
            entity({"always": "a == 1\n  always b == 2"}),
            [
                (
                    "B094",
                    "`/declarations/0/body/0/always`: `a == 1 always b == 2` is not an expression: it has more",
                )
            ],
        ),
        (
            entity({"always": "a # b"}),
            [("B094", "`/declarations/0/body/0/always`: `a # b` is not an expression: a comment")],
        ),
        (entity({"always": 10**2000}), [("B094", "`/declarations/0/body/0/always`: `9999")]),
        (
            entity({"always": 1.5}),
            [("B090", "`/declarations/0/body/0/always`: expected an expression in a string, found")],
        ),
        (
            entity({"action": "Go", "to": "A"}),
            [("B095", "`/declarations/0/body/0`: `to`, `when` and `else` belong to a `from`, which is missing")],
        ),
        (
            entity({"action": "Go", "from": ["A"], "else": "no"}),
            [("B095", "`/declarations/0/body/0`: `else` belongs to a `when`, which is missing")],
        ),
        (entity({"late": ["A"]}), [("B095", "`/declarations/0/body/0`: a `late` either has `ignore` or says what")]),
        (
            entity({"action": "Go", "body": [DEEP]}),
            [("B095", "`/declarations/0/body/0" + "/body/0" * 31 + "`: more than 32 blocks stand one in another")],
        ),
        # What has a place in JSON but none in text is found by reading the text.
        (entity({"field": "state", "type": "bool"}), [("B094", "`/declarations/0/body/0`: `state` is reserved")]),
        (
            {"blueprint": "x", "declarations": [{"scenario": "s", "steps": [{"act": "r.Go", "as": ["given"]}]}]},
            [("B094", "`/declarations/0`: expected")],
        ),
        (
            {
                "blueprint": "x",
                "declarations": [{"scenario": "s", "steps": [{"act": "r.Go", "as": ["agent"], "acts_for": "ann"}]}],
            },
            [("B095", "`/declarations/0/steps/0`: `acts_for` says for whom a `principal` acts, which is missing")],
        ),
        (
            {"blueprint": "x", "description": "\ud800", "declarations": [{"scenario": "\ud800"}]},
            [
                ("B094", "`/description`: `\ud800` is not a text: half of a surrogate pair"),
                ("B094", "`/declarations/0/scenario`: `\ud800` is not a text: half of a surrogate pair"),
            ],
        ),
    ],
)
def test_each_problem_has_a_code_and_a_place(form: object, expected: list[tuple[str, str]]) -> None:
    """One row, one form: the codes and how the messages begin."""
    _, problems = from_json(form)
    assert [
        (problem.code.name, problem.message[: len(text)]) for problem, (_, text) in zip(problems, expected, strict=True)
    ] == expected


@pytest.mark.parametrize(
    ("plain", "canonical"),
    [
        # Numbers and booleans may stand as JSON has them.
        ({"field": "a", "type": "int", "default": 3}, {"field": "a", "type": "int", "default": "3"}),
        ({"field": "a", "type": "bool", "default": False}, {"field": "a", "type": "bool", "default": "false"}),
        # What may stand on the action's line does, in text as in JSON.
        (
            {"action": "Go", "body": [{"by": ["a"]}, {"from": ["A"], "body": [{"when": "x"}]}]},
            {"action": "Go", "by": ["a"], "from": ["A"], "when": "x"},
        ),
        ({"always": " a  ==(b) "}, {"always": "a == b"}),
        (
            {"action": "Go", "body": [{"call": "t.op", "then": "_"}]},
            {"action": "Go", "body": [{"call": "t.op()", "then": "_"}]},
        ),
    ],
)
def test_what_may_be_written_otherwise_is_written_one_way(plain: object, canonical: object) -> None:
    assert not faults(entity(plain))
    file, problems = from_json(entity(plain))
    assert not problems
    assert to_json(file) == entity(canonical)


def test_blank_lines_are_said_only_where_they_are_not_as_usual() -> None:
    text = "blueprint x\n\nentity E\n  a: int\n\n  b: int\n  action Go\n\n  action Come\n"
    file, _ = parse(Source("x", text))
    form = to_json(file)
    assert [part.get("blank_line") for part in form["declarations"][0]["body"]] == [None, True, False, None]
    assert format_file(from_json(form)[0]) == text


def test_a_bundle_is_its_files_by_their_paths() -> None:
    one, two = (parse(Source(path, "blueprint x\n"))[0] for path in ("a.blueprint", "b.blueprint"))
    assert to_json(tree.Tree((one, two))) == {
        "files": {"a.blueprint": {"blueprint": "x"}, "b.blueprint": {"blueprint": "x"}}
    }


# --- what is published ------------------------------------------------------------------------------------------------


def test_the_published_schema_is_the_one_that_is_used() -> None:
    """`./run python -m tests.syntax.test_json_form` writes it anew, and prints the table for the page."""
    assert (REFERENCE / "blueprint.schema.json").read_text() == spread(json_schema()) + "\n"


def test_the_schema_is_one_and_closed() -> None:
    schema = json_schema()
    assert jsonschema_rs.meta.is_valid(schema)
    for one in (schema, *schema["$defs"].values()):
        assert one["additionalProperties"] is False
        assert one["description"]
        for key, form in one["properties"].items():
            assert form.get("description") or form.get("anyOf") or "$ref" in form, key


def fenced(page: str, language: str) -> list[str]:
    text = (REFERENCE / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_page_says_the_same_twice() -> None:
    """The blueprint on the page about the JSON form, and the JSON below it."""
    (text,), (form,) = fenced("json.md", "blueprint"), fenced("json.md", "json")
    file, problems = parse(Source("x", text))
    assert not problems
    assert format_file(file) == text
    assert json.loads(form) == to_json(file)
    assert from_json(json.loads(form), "x") == (file, [])


def test_the_page_has_every_key() -> None:
    assert table() in (REFERENCE / "json.md").read_text()


def table() -> str:
    """A row for each object of the schema: the key that tells it, the keys that it needs, the others, what it is."""
    everywhere = {"description", "comments", "blank_line"}
    rows = ["| told by | with | and maybe | is |", "|---|---|---|---|"]
    for one in json_schema()["$defs"].values():
        tag, *others = one["properties"]
        needed = [key for key in others if key in one["required"]]
        maybe = [key for key in others if key not in one["required"] and key not in everywhere]
        if tag not in {"name", "value", "detached"}:
            rows.append(f"| `{tag}` | {listed(needed)} | {listed(maybe)} | {one['description']} |")
    return "\n".join(rows) + "\n"


def listed(keys: list[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


CODES = [code.name for code in Code if code.name.startswith("B09")]


@pytest.mark.parametrize("code", CODES)
def test_the_page_of_a_code_has_a_form_that_earns_it_and_the_mended_one(code: str) -> None:
    page = f"diagnostics/{code}.md"
    assert (REFERENCE / page).read_text().startswith(f"# {code}: {Code[code].value}\n")
    earning, mended = map(json.loads, fenced(page, "json"))
    (told,) = fenced(page, "text")
    _, problems = from_json(earning)
    assert code in {problem.code.name for problem in problems}
    assert len(problems) == len(told.splitlines())
    for problem, line in zip(problems, told.splitlines(), strict=True):
        assert problem.message.startswith(line)
    assert faults(earning) or code == "B094"  # No schema knows the blueprint's syntax.
    assert from_json(mended)[1] == []
    assert not faults(mended)


def spread(value: Any, indent: int = 0, width: int = 110) -> str:
    """JSON as people write it: what fits on a line stands on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if indent + len(flat) <= width or not isinstance(value, dict | list):
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, list):
        lines = [f"{inner}{spread(item, indent + 2, width)}" for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{' ' * indent}]"
    lines = [f"{inner}{json.dumps(key)}: {spread(item, indent + 2, width)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{' ' * indent}}}"


if __name__ == "__main__":
    (REFERENCE / "blueprint.schema.json").write_text(spread(json_schema()) + "\n")
    sys.stdout.write(table())
