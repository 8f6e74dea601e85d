"""From a checked machine to its table.

After a change that is meant, `python -m tests.table.test_compile` writes the golden table anew; read its diff.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.model import check
from temper.syntax import format_file, parse_bundle
from temper.table import Table, compile_machine, digest, dump, load, shape
from temper.text import Source
from tests.blueprints import sound_blueprints
from tests.model.texts import order
from tests.pages import ROOT, read_page

GOLDEN = Path(__file__).parent / "golden" / "helix.json"
HELIX = read_page(ROOT / "docs" / "reference" / "language.md").blocks[0].sources[0].text


def compiled(*texts: str) -> Table:
    """The table of a bundle of files `0.blueprint`, `1.blueprint`, ..., in which nothing is wrong."""
    sources = [Source(f"{number}.blueprint", text) for number, text in enumerate(texts)]
    tree, unread = parse_bundle(sources)
    machine, problems = check(tree)
    assert (unread, problems) == ((), ())
    return compile_machine(machine, sources)


def order_of(lines: str, *, top: str = "") -> shape.Entity:
    return compiled(order(lines, top=top)).entities["Order"]


def test_the_table_of_helix() -> None:
    """The language's example, whole. What is in the golden file was read part by part against the blueprint."""
    assert json.loads(dump(compiled(HELIX), notes=False)) == json.loads(GOLDEN.read_text())


def test_a_compiled_table_survives_its_bytes() -> None:
    table = compiled(HELIX)
    assert load(dump(table)) == table


# --- the digest -------------------------------------------------------------------------------------------------------


@given(sound_blueprints(), st.data())
def test_the_digest_depends_on_no_comment_and_no_spacing(text: str, data: st.DataObject) -> None:
    lines = []
    for line in text.split("\n"):
        if data.draw(st.booleans()):
            lines.append(data.draw(st.sampled_from(["", "# a comment", "  # a comment"])))
        deeper = len(line) - len(line.lstrip())
        spaced = " " * deeper + line + data.draw(st.sampled_from(["", "  # a comment", "   "]))
        lines.append(spaced if line else line)
    assert digest(compiled("\n".join(lines) + "\n")) == digest(compiled(text))


@given(sound_blueprints())
def test_the_formatter_keeps_the_digest(text: str) -> None:
    tree, _ = parse_bundle([Source("a", text)])
    assert digest(compiled(format_file(tree.files[0]))) == digest(compiled(text))


def test_the_digest_does_not_depend_on_where_a_bundle_is_parted() -> None:
    head, rest = HELIX.split("# Rolls a build out")
    assert digest(compiled(head, f"blueprint helix\n# Rolls a build out{rest}")) == digest(compiled(HELIX))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("after 30m", "after 31m"),
        ("moved + 1 == brokers", "moved == brokers"),
        ("set moved += 1", "set moved += 2"),
        ("by release_manager from", "by operator from"),
        ('"no progress for 30 minutes"', '"no progress"'),
        ("brokers: int 1..64", "brokers: int 1..65"),
        ("late Moved, Halt ignore", "late Moved ignore"),
        ("always moved <= brokers", "always moved < brokers"),
        ("timeout 2m", "timeout 3m"),
        ("  idempotent\n", ""),
        ("role builder excludes release_manager\n", ""),
    ],
)
def test_the_digest_depends_on_what_is_said(old: str, new: str) -> None:
    assert old in HELIX
    assert digest(compiled(HELIX.replace(old, new))) != digest(compiled(HELIX))


def test_ways_to_write_one_decimal_are_one_table() -> None:
    assert digest(compiled(order("d: decimal 0.50..9 = 1.0\n"))) == digest(
        compiled(order("d: decimal 0.5..9.00 = 1.00\n"))
    )


# --- sites and notes --------------------------------------------------------------------------------------------------

EVERYTHING = order(
    """
    # How many.
    k: int 0..9 = 0
    let twice = k * 2
    unique k
    action Make(k) by clerk, system from new to Draft
      set k
      create Order.New as made
      emit Made(made)
    # Goes on.
    action Go by system, clerk
      when n < 9 else "full"
      # The usual way.
      from Draft to Busy when twice > 1 else "too few"
        set n += 1
        if k > 1: call pay.capture(1) then _ else _
      from Busy to Lost
        set n = 1
        if k > 1: call pay.capture(2) then _ else _
        if k > 2: call pay.capture(3) then _ else _
        for t in tags: send this.Go
    in Draft, Busy
      on entry set m = 1
      on exit set price = 2
      after 1h do Go
    in Draft
      after 2h do Go
      every 1h do Go
      late Go ignore
    always n <= 9
    eventually Draft leads to Lost
    can reach Busy, Lost
    """,
    top='always 1 < 2\nscenario "s"\n  clerk(ann) o = Order.New\n  o.n == 0\n',
)


def sites(part: Any) -> list[str]:
    """Every site in a table, in some order."""
    if isinstance(part, shape.Plain):
        return [
            *([part.site] if hasattr(part, "site") else []),
            *(site for field in part.__struct_fields__ if field != "notes" for site in sites(getattr(part, field))),
        ]
    if isinstance(part, dict):
        return [site for value in part.values() for site in sites(value)]
    if isinstance(part, tuple):
        return [site for value in part for site in sites(value)]
    return []


@pytest.mark.parametrize("text", [HELIX, EVERYTHING], ids=["helix", "everything"])
def test_sites_are_unique_and_each_has_a_place(text: str) -> None:
    table = compiled(text)
    found = sites(table)
    assert len(found) == len(set(found)) > 25
    assert set(found) <= set(table.notes.places)


@given(sound_blueprints())
def test_sites_of_drawn_tables_are_unique(text: str) -> None:
    found = sites(compiled(text))
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("Order", "Order"),
        ("Order.k", "k"),
        ("Order/state/Lost", "Lost"),
        ("Order.Go", "Go"),
        ("Order.Go/when/0", 'when n < 9 else "full"'),
        ("Order.Go/from/0/when/0", 'when twice > 1 else "too few"'),
        ("Order.Go/from/0/if/0/call/0", "call pay.capture(1) then _ else _"),
        ("Order.Go/from/1/if/1/call/0", "call pay.capture(3) then _ else _"),
        ("Order.Go/from/1/for/0/send/0", "send this.Go"),
        ("Order.Make/create/0", "create Order.New as made"),
        ("Order/in/Draft/entry/set/0", "m = 1"),
        ("Order/in/Busy/exit/set/0", "price = 2"),
        ("Order/in/Draft/after/Go/0", "after 1h do Go"),
        ("Order/in/Draft/after/Go/1", "after 2h do Go"),
        ("Order/in/Draft/every/Go/0", "every 1h do Go"),
        ("Order/in/Draft/late/0", "late Go ignore"),
        ("Order/unique/0", "unique k"),
        ("Order/always/0", "always n <= 9"),
        ("Order/can_reach/1", "Lost"),
        ("properties/always/0", "always 1 < 2"),
        ("tool/pay.capture", "pay.capture"),
        ("role/clerk", "clerk"),
        ("event/Made", "Made"),
        ("scenario/0/step/1", "o.n == 0"),
    ],
)
def test_a_place_is_where_its_site_stands(site: str, words: str) -> None:
    table = compiled(EVERYTHING)
    file, start, end = table.notes.places[site]
    assert table.notes.sources[file][start:end] == words


def test_a_part_more_leaves_the_sites_of_other_kinds_alone() -> None:
    """Live entities know their calls and timers by their sites."""
    before = {site for site in sites(compiled(EVERYTHING)) if "/call/" in site or "/after/" in site}
    first = "if k > 1: call pay.capture(1)"
    more = EVERYTHING.replace(first, f"emit Paid(1)\n      {first}")
    assert more != EVERYTHING
    assert before <= set(sites(compiled(more)))


def test_descriptions_are_the_comments_directly_above() -> None:
    notes = compiled(EVERYTHING).notes
    assert notes.descriptions == {"Order.k": "How many.", "Order.Go": "Goes on.", "Order.Go/from/0": "The usual way."}
    assert compiled(HELIX).notes.descriptions == {
        "Rollout": "Rolls a build out through its StatefulSet, one broker at a time."
    }


# --- how it is laid out -----------------------------------------------------------------------------------------------


def test_an_in_line_that_names_several_makes_a_place_of_each() -> None:
    places = order_of("in Lost, Open\n  on entry set n = 1\n  late Go ignore\n" + GO).places
    assert [(place.name, place.group, place.states) for place in places] == [
        ("Lost", False, ("Lost",)),
        ("Open", True, ("Draft", "Busy")),
    ]
    assert [place.site for place in places] == ["Order/in/Lost", "Order/in/Open"]


GO = "action Go by system from Draft to Busy\naction A by clerk from Draft\n  send this.Go\n"


def test_a_second_line_about_a_state_is_a_place_of_its_own() -> None:
    places = order_of("in Draft defer Go\nin Draft on exit set n = 1\n" + GO).places
    assert [place.site for place in places] == ["Order/in/Draft", "Order/in/Draft/again/1"]


def test_the_lets_of_an_entity_stand_after_those_they_read() -> None:
    lets = order_of("let a = b + 1\nlet b = c + 1\nlet c = n\n").lets
    assert [let.name for let in lets] == ["c", "b", "a"]
    assert lets[2].value == ("+", ("let", "b"), ("lit", ("int", None, None), 1))


def test_constants_are_inlined() -> None:
    (guard,) = order_of("action A by clerk from Draft when n < most\n").actions["A"].cases[0].when
    assert guard.condition == ("<", ("field", "n"), ("lit", ("int", None, None), 4))


@pytest.mark.parametrize(
    ("clause", "lowered"),
    [
        ("set n += 2", ("+", ("field", "n"), ("lit", ("int", None, None), 2))),
        ("set n -= x", ("-", ("field", "n"), ("param", "x"))),
        ("set m = x", ("some", ("param", "x"))),
        ("set m = none", ("none", ("int", None, None))),
        ("set price = x", ("to_decimal", ("param", "x"))),
        ("set tags -= low", ("minus", ("field", "tags"), ("set", ("one_of", ("low", "high")),
                             (("lit", ("one_of", ("low", "high")), "low"),)))),
        ('set counts["a"] = x', ("put", ("field", "counts"), ("lit", ("string",), "a"), ("param", "x"))),
    ],
)  # fmt: skip
def test_a_set_is_spelt_out(clause: str, lowered: object) -> None:
    (clause_,) = order_of(f"action A(x: int) by clerk from Draft\n  {clause}\n").actions["A"].body
    assert isinstance(clause_, shape.Set)
    assert clause_.value == lowered


def test_a_call_without_unknown_is_a_failure_where_nobody_knows() -> None:
    lines = "action A by clerk from Draft\n  call pay.capture(1) then _ else _{}\n"
    (without,) = order_of(lines.format("")).actions["A"].body
    (with_,) = order_of(lines.format(" unknown _")).actions["A"].body
    assert isinstance(without, shape.Call)
    assert isinstance(with_, shape.Call)
    assert (without.unknown_is_failure, with_.unknown_is_failure) == (True, False)


def test_properties_at_the_top_belong_to_the_entity_that_they_speak_of() -> None:
    table = compiled(order("", top="can reach Order.Busy\nnever boss enters Order.Open\n"))
    assert [(prop.site, prop.entity) for prop in table.properties] == [
        ("Order/can_reach/0", "Order"),
        ("Order/never/0", "Order"),
    ]


@pytest.mark.parametrize(
    ("condition", "step", "reads_before"),
    [
        ("n <= 9", False, False),
        ("before.n <= n", True, True),
        ("action is New implies n == 0", True, False),
        ("action is New implies before(n) == 0", True, True),
    ],
)
def test_an_always_says_whether_it_speaks_of_a_step(condition: str, step: bool, reads_before: bool) -> None:
    (prop,) = compiled(order(f"always {condition}\n")).properties
    assert isinstance(prop, shape.Always)
    assert (prop.step, prop.reads_before) == (step, reads_before)


def test_what_concerns_several_entities_is_lowered_with_its_kinds() -> None:
    entity = order_of(
        """
        orders: every Order.other max 3
        action Go by system from Draft to Busy when other == none or other.state is Busy
          if other != none: with other.Go
        in Draft whenever size(orders) > 1 do Go
        """
    )
    (clause,) = entity.actions["Go"].body
    assert isinstance(clause, shape.If)
    assert isinstance(clause.body[0], shape.With)
    assert clause.body[0].target == ("value", ("field", "other"))
    assert entity.inverses == (shape.Inverse("orders", "Order", "other", 3),)
    assert entity.places[0].whenevers[0].condition[:2] == (">", ("size", ("inverse", "orders")))


def test_msgspec_takes_every_part() -> None:
    """A struct's types are not checked when it is made: what was compiled is read back under them."""
    table = compiled(EVERYTHING)
    assert msgspec.convert(msgspec.to_builtins(table), Table) == table


if __name__ == "__main__":
    written = json.loads(dump(compiled(HELIX), notes=False))
    GOLDEN.write_text(json.dumps(written, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
