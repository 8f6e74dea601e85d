"""Blueprint text and its tree.

In:    text (a file's, or a bundle's).
Out:   `parse`, `parse_bundle`, `parse_expression` -> (tree, problems), the classes of the `tree`; `format_file` and
       `format_expression` -> text;
       `to_json`, `from_json` and `json_schema`.
Never: raises on any input; knows what a name means.
"""

from typing import TYPE_CHECKING, Any

from temper.syntax import tree
from temper.syntax.format import format_expression, format_file
from temper.syntax.parser import parse, parse_bundle, parse_expression

if TYPE_CHECKING:
    from temper.syntax.json_form import from_json, json_schema, to_json

__all__ = [
    "format_expression",
    "format_file",
    "from_json",
    "json_schema",
    "parse",
    "parse_bundle",
    "parse_expression",
    "to_json",
    "tree",
]


def __getattr__(name: str) -> Any:
    # Most who read a text have no use for JSON.
    if name in {"from_json", "json_schema", "to_json"}:
        from temper.syntax import json_form

        return getattr(json_form, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
