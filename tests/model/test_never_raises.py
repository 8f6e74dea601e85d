"""Whatever is written, the model answers: with problems, or with a machine that compiles."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from temper.model import check
from temper.syntax import parse_bundle
from temper.syntax import tree as t
from temper.table import compile_machine, dump, load
from temper.text import Source
from tests import blueprints
from tests.model.texts import order

SHOP = order(
    """
    let twice = n * 2
    unique (n, m) ever
    action Go(k: int, gap) by system, boss from Draft to Busy when m != none and m > k else "no"
      set n += k
      for who in team: emit Told(who: who)
      if twice > 1: call pay.capture(k) then Good(result.receipt) else Lose(error.text) unknown _
    action Good(text: string) by system from Busy to Done
      create Order.New as made
    action Lose(text: string) by system, owner from Open to Lost
    in Draft
      on entry do Go(1, 1h)
    in Busy
      after gap do Lose("slow")
      at at_most do Lose("over")
      late Good do Lose(text)
      defer Lose
    always "one": before.n <= n or action is Good
    always all l in lines: l.note != none implies l.units > size(lines)
    eventually Busy leads to Done, Lost
      assume boss responds
    never boss enters Done
    Done needs 2 of boss by Go besides owner since Go
    can reach Done
    """,
    top="""
    scope Order 2, Order.n 0..3
    scenario "s"
      clerk(ann) o = Order.New -> Busy
      pay.capture answers (receipt: "r") -> o is Done
      wait 1h
      emitted Told(who: "ann")
      o.n == 1
    """,
)
TOKENS = re.findall(r"\w+|\s+|[^\w\s]", SHOP)
WORDS = sorted({token for token in TOKENS if not token.isspace()})


@given(blueprints.files())
def test_drawn_trees_are_answered(file: t.File) -> None:
    """Trees without places too: those that were read from JSON."""
    machine, problems = check(t.Tree((file,)))
    if not problems:
        compile_machine(machine)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(TOKENS) - 1), st.sampled_from(["", *WORDS])), min_size=1, max_size=4))
def test_spoilt_blueprints_are_answered(edits: list[tuple[int, str]]) -> None:
    """Some of the words of a blueprint are left out, or stand where others belong."""
    tokens = list(TOKENS)
    for place, word in edits:
        tokens[place] = word
    source = Source("shop.blueprint", "".join(tokens))
    tree, unread = parse_bundle([source])
    machine, problems = check(tree)
    if not unread and not problems:
        table = compile_machine(machine, [source])
        assert load(dump(table)) == table


def test_the_blueprint_that_is_spoilt_is_sound() -> None:
    """Else nothing that is told of a spoilt one would be worth much."""
    tree, unread = parse_bundle([Source("shop.blueprint", SHOP)])
    assert [*unread, *check(tree)[1]] == []


@given(blueprints.sound_blueprints())
def test_what_is_sound_compiles(text: str) -> None:
    tree, _ = parse_bundle([Source("drawn.blueprint", text)])
    machine, problems = check(tree)
    assert problems == ()
    assert compile_machine(machine).blueprint == "drawn"


@given(blueprints.sound_blueprints())
def test_places_do_not_matter_to_the_meaning(text: str) -> None:
    """A tree that was read from JSON has no places; its table is the same."""
    tree, _ = parse_bundle([Source("drawn.blueprint", text)])
    placeless = _placeless(tree)
    with_places, without = compile_machine(check(tree)[0]), compile_machine(check(placeless)[0])
    assert dump(without, notes=False) == dump(with_places, notes=False)


def _placeless(part: Any) -> Any:
    if isinstance(part, tuple):
        return tuple(map(_placeless, part))
    if isinstance(part, Struct):
        changes = {name: _placeless(getattr(part, name)) for name in part.__struct_fields__ if name != "span"}
        return replace(part, **changes, **({"span": t.NOWHERE} if isinstance(part, t.Node) else {}))
    return part
