"""`*.cedar` files of a bundle: what they become, and what is told of them where."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service.bundle import Checked, check_texts, read_bundle
from temper.table import Table, digest, dump, load
from temper.text import Code, Source
from tests.pages import DIAGNOSTICS, read_page

CODES = [code.name for code in Code if "B811" <= code.name <= "B822"]
# Limits, whose examples would fill the page; they stand below.
WITHOUT_EXAMPLE = {"B812"}

LEASE = """\
blueprint lease

role worker, boss

entity Room
  states Open
  name: string
  guard: principal

  action Build(name, guard) by boss from new to Open
    set name, guard

entity Lease
  states Held, Free
  final Free

  room: Room
  holder: principal
  urgency: one of (low, high)
  units: int 0..

  action Take(room, urgency, units: int 0.. = 20) by worker from new to Held
    set room, urgency, units
    set holder = caller

  action Free(why: string?) by worker, boss from Held to Free
"""


def told(cedar: str, blueprint: str = LEASE) -> Checked:
    return check_texts({"lease.blueprint": blueprint, "lease.cedar": cedar})


def lines(cedar: str) -> list[str]:
    """Return each problem as its code, the text that it marks, its message and its help."""
    checked = told(cedar)
    return [
        f"{one.code.name} {checked.sources['lease.cedar'].slice(one.primary.span)!r} {one.message}; {one.help}"
        for one in checked.problems
    ]


def table_of(cedar: str) -> Table:
    checked = told(cedar)
    assert checked.table is not None, lines(cedar)
    return checked.table


@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_page_whose_examples_earn_it(code: str) -> None:
    page = read_page(DIAGNOSTICS / f"{code}.md")
    assert page.heading == f"{code}: {Code[code].value}"
    if code in WITHOUT_EXAMPLE:
        return
    earning, mended = page.blocks
    assert {one.code for one in earning.expected} == {code}
    for block in (earning, mended):
        assert block.mismatches(check_texts({one.name: one.text for one in block.sources}).problems) == []


WRITE = 'action in lease::Action::"write"'
APPROVE = 'action == lease::Action::"Lease.Free.approve"'
FREE = 'action == lease::Action::"Lease.Free"'


@pytest.mark.parametrize(
    ("cedar", "starts"),
    [
        # What can't be read, to the word.
        (f"forbid (principal, {FREE}, resource) when {{ resource.state == }};", "B811 '}' unexpected token `}`"),
        (f"forbid (principal, {FREE}, resource) when {{ # }};", "B811 '#' `#` stands for nothing in Cedar"),
        (f'forbid (principal, {FREE}, resource) when {{ "open }};', "B811 '\"' a text without its closing quote"),
        (f"forbid (principal, {FREE}, resource)", "B811 ')' the last policy has no end"),
        (f"forbid (principal, {FREE}, resource) when {{ nobody(3) }};", "B811 'nobody' `nobody` is not a valid"),
        (f'@id("a") @id("b") forbid (principal, {FREE}, resource);', "B811 'forbid' duplicate annotation"),
        ("é forbid (principal, action, resource);", "B811 'é' `é` stands for nothing"),
        # Names.
        ('forbid (principal, action == lease::Action::"Lease.Fre", resource);', "B813 'lease::Action::\"Lease.Fre\"'"),
        (f"forbid (principal, {FREE}, resource is lease::Leas);", "B813 'lease::Leas' unknown entity type"),
        (f'forbid (principal in temper::Role::"bos", {FREE}, resource);', "B813 'temper::Role::\"bos\"' unknown role"),
        (f"forbid (principal, {FREE}, resource) when {{ resource.unit > 3 }};", "B813 'unit' `lease::Lease` has no"),
        (f"forbid (principal, {FREE}, resource) when {{ principal.boss }};", "B813 'boss' `temper::Principal` has no"),
        (f"forbid (principal, {WRITE}, resource) when {{ context.params.units == 1 }};", "B813 'units' `params.units`"),
        (f'forbid (principal, {FREE}, resource) when {{ resource.urgency == "hi" }};', "B813 '\"hi\"' unknown value"),
        (f'forbid (principal, {FREE}, resource) when {{ ["Hold"].contains(resource.state) }};', "B813 '\"Hold\"'"),
        # Types, narrowed to the part that earns it.
        (
            f'forbid (principal, {FREE}, resource) when {{ principal.admin || (resource.units > "3") }};',
            "B814 'resource.units > \"3\"'",
        ),
        # What may not be there.
        (f'forbid (principal, {FREE}, resource) when {{ context.params.why == "" }};', "B822 'why'"),
        (f'forbid (principal, {FREE}, resource) when {{ principal.getTag("desk") == "a" }};', "B822 '\"desk\"'"),
        (f"forbid (principal, {WRITE}, resource is lease::Lease) when {{ resource.units > 3 }};", "B822 'units'"),
        # What never applies.
        (f"forbid (principal, {FREE}, resource is lease::Room);", "B815 'forbid' no action is about"),
        (
            f'forbid (principal, {FREE}, resource) when {{ resource.urgency == "low" && resource.urgency == "high" }};',
            "B815 'forbid' the conditions",
        ),
        (f"forbid (principal, {FREE}, resource) when {{ false && principal.agent }};", "B815 'forbid' the conditions"),
        (f"forbid (principal is lease::Room, {FREE}, resource);", "B815 'forbid' no action"),
        # Somebody else's roles.
        (
            f'forbid (principal, {FREE}, resource) when {{ resource.holder in [temper::Role::"boss"] }};',
            "B821 'in' roles and teams",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(cedar: str, starts: str) -> None:
    """One row, one policy: its code, the text that is marked, and how the message begins."""
    found = lines(cedar)
    assert len(found) == 1, found
    assert found[0].startswith(starts), found[0]


@pytest.mark.parametrize(
    "cedar",
    [
        f'forbid (principal, {FREE}, resource) when {{ resource.room.name like "lab*" }};',
        f"forbid (principal, {FREE}, resource) when {{ resource.room.guard.name == principal.name }};",
        f'forbid (principal, {FREE}, resource) when {{ context.params has why && context.params.why == "" }};',
        f'forbid (principal, {FREE}, resource) when {{ context.now > datetime("2026-01-01") }};',
        f"forbid (principal, {WRITE}, resource is lease::Lease) when {{ resource has units && resource.units > 3 }};",
        "forbid (principal, action, resource) when { principal has acts_for };",
        # Who is referred to is there, with all its fields, also where an entity is created.
        'forbid (principal, action == lease::Action::"Lease.Take", resource) when { context.params.room.name == "" };',
        'forbid (principal, action, resource) when { principal.hasTag("desk") && principal.getTag("desk") == "a" };',
        f"permit (principal, {APPROVE}, resource) unless {{ context.requester == principal }};",
        "// nothing but a comment\n",
    ],
)  # fmt: skip
def test_what_is_right_is_taken_without_a_word(cedar: str) -> None:
    assert lines(cedar) == []


@pytest.mark.parametrize("sign", ["(", "[", "!", "-", "if true then ", "{a: "])
@pytest.mark.parametrize("times", [200, 50_000])
def test_hostile_nesting_is_refused_before_cedar_sees_it(sign: str, times: int) -> None:
    """Cedar's parser recurses: it would end the process."""
    checked = told(f"forbid (principal, {FREE}, resource) when {{ {sign * times} true }};")
    assert [one.code for one in checked.problems] == [Code.B812]


@pytest.mark.parametrize("sign", [" && ", " || ", " + ", ".a"])
def test_hostile_chains_are_refused_before_cedar_sees_them(sign: str) -> None:
    checked = told(f"forbid (principal, {FREE}, resource) when {{ {sign.join(['resource'] * 50_000)} }};")
    assert [one.code for one in checked.problems] == [Code.B812]


def test_too_many_policies_are_refused() -> None:
    text = "".join(f'forbid (principal == temper::Principal::"p{n}", {FREE}, resource);\n' for n in range(2_001))
    assert [one.code for one in told(text).problems] == [Code.B812]


@pytest.mark.parametrize(
    "text", ["\0", "\ud800", ";", ";;;", "@", '"', "//", "permit", "}" * 500, "'", "\\", "\x7f" * 9]
)
def test_any_text_is_told_of_and_raises_nothing(text: str) -> None:
    told(text)


def test_a_table_keeps_its_policies_with_what_cedar_makes_of_them() -> None:
    table = table_of(
        f'// who cares\n@id("freeze") @else("frozen") forbid(principal,{FREE},resource)when{{principal.agent}};'
        f'\nforbid (principal in temper::Role::"boss", {FREE}, resource);'
    )
    named, unnamed = table.policies
    assert (named.id, named.site, named.effect, named.otherwise) == ("freeze", "policy/freeze", "forbid", "frozen")
    assert (unnamed.id, unnamed.otherwise) == ("lease.cedar/2", None)
    assert (
        Source("", table.notes.sources["lease.cedar"])
        .text[slice(*table.notes.places["policy/freeze"][1:])]
        .startswith("@id")
    )
    assert load(dump(table)).policies == table.policies


def test_layout_and_comments_of_policies_are_no_part_of_the_digest_and_what_they_say_is() -> None:
    plain = table_of(f"forbid (principal, {FREE}, resource) when {{ principal.agent }};")
    same = table_of(
        f"// why\nforbid (principal,\n  {FREE}, resource)\nwhen {{ principal.agent  /*/ 1;".replace("/*/ 1;", "};")
    )
    other = table_of(f"forbid (principal, {FREE}, resource) when {{ principal.admin }};")
    without = told("").table
    assert without is not None
    assert digest(plain) == digest(same)
    assert len({digest(plain), digest(other), digest(without)}) == 3


def test_a_blueprint_that_is_broken_has_its_policies_read_all_the_same() -> None:
    checked = told("forbid (principal action, resource);", LEASE.replace("from Held", "from Helt"))
    assert [one.code for one in checked.problems] == [Code.B101, Code.B811]


def test_policies_of_a_folder_travel_with_its_bundle(tmp_path: Path) -> None:
    (tmp_path / "lease.blueprint").write_text(LEASE, "utf-8")
    (tmp_path / "b.cedar").write_text(f"forbid (principal, {FREE}, resource) when {{ principal.agent }};", "utf-8")
    (tmp_path / "a.cedar").write_text("", "utf-8")
    files = read_bundle(tmp_path)
    assert list(files) == ["lease.blueprint", "a.cedar", "b.cedar"]
    assert list(read_bundle(tmp_path / "lease.blueprint")) == ["lease.blueprint"]
    table = check_texts(files).table
    assert table is not None
    assert [one.id for one in table.policies] == ["b.cedar/1"]


@pytest.mark.parametrize("name", ["like", "has", "permit", "principal", "template"])
def test_a_blueprint_may_be_called_as_a_word_of_cedars(name: str) -> None:
    """The namespace of one that is reserved there has a `_` behind it."""
    space = f"{name}_" if name in ("like", "has") else name
    policy = f'forbid (principal, action == {space}::Action::"Lease.Free", resource is {space}::Lease);'
    checked = check_texts({"x.blueprint": LEASE.replace("blueprint lease", f"blueprint {name}"), "x.cedar": policy})
    assert [one.message for one in checked.problems] == []


def test_an_entity_may_be_called_as_a_type_of_cedars() -> None:
    text = LEASE
    for old, new in (("Lease", "Action"), ("Room", "Set")):
        text = text.replace(f"entity {old}", f"entity {new}").replace(f": {old}", f": {new}")
    policy = """forbid (principal, action == lease::Action::"Action.Free", resource is lease::Action_)
        when { resource.room.name == "" };"""
    assert [one.message for one in told(policy, text).problems] == []


def test_a_policy_that_says_less_than_another_is_told_of() -> None:
    table = told(
        f"forbid (principal, {WRITE}, resource) when {{ principal.agent }};\n"
        f'forbid (principal == temper::Principal::"bot", {FREE}, resource) when {{ principal.agent }};\n'
    )
    assert [(one.code, one.secondary[0].text) for one in table.problems] == [(Code.B816, "this covers it")]
    assert table.table is not None
    assert table.errors == ()
