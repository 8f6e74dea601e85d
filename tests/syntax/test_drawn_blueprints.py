"""What `tests.blueprints` draws is what it says."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import Phase, given, settings

from temper.model import check
from temper.syntax import parse_bundle, tree
from temper.text import Source
from tests import blueprints

NOT_DRAWN = {tree.Node, tree.Line, tree.Tree, tree.BadExpr, tree.BadType}
KINDS = {kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, tree.Node)} - NOT_DRAWN


@given(blueprints.sound_blueprints())
def test_a_sound_blueprint_has_no_problem_of_names_types_or_rules(text: str) -> None:
    bundle, problems = parse_bundle([Source("drawn.blueprint", text)])
    assert not problems, text
    machine, problems = check(bundle)
    assert machine is not None
    assert not problems, text


def test_sound_blueprints_hold_what_judges_look_for() -> None:
    """Give every `always` a `sometimes`: without calls and timers the draws would please everybody."""
    sought = [
        "call box.work",
        "unknown Lost",
        "late Came",
        "after ",
        "every ",
        "always before.",
        "can reach",
        "emit",
        "final",
    ]

    @settings(max_examples=60, phases=[Phase.generate])
    @given(blueprints.sound_blueprints())
    def look(text: str) -> None:
        for words in [words for words in sought if words in text]:
            sought.remove(words)

    look()
    assert not sought


def test_drawn_files_hold_every_kind_of_node() -> None:
    missing = set(KINDS)

    @settings(max_examples=600, phases=[Phase.generate])
    @given(blueprints.files())
    def look(file: tree.File) -> None:
        missing.difference_update(map(type, nodes(file)))

    look()
    assert not missing


def nodes(node: object) -> Iterator[object]:
    """A tree's nodes, itself included."""
    if isinstance(node, tuple):
        for item in node:
            yield from nodes(item)
    elif isinstance(node, tree.Node):
        yield node
        for name in node.__struct_fields__:
            yield from nodes(getattr(node, name))
