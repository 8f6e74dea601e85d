"""The rules of the language: what each refuses, and what it lets through."""

from __future__ import annotations

import pytest

from temper.model import check
from temper.syntax import tree as t
from tests.model.texts import checked, machine, order, told

Found = list[tuple[str, str]]


def test_the_shop_of_these_tests_is_sound() -> None:
    assert told(order("")) == []


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "found"),
    [
        ("role clerk\n", [("B110", "clerk")]),
        ("role clerk excludes chief\n", [("B103", "chief")]),
        ("const clerk = 1\n", [("B110", "clerk")]),
        ("record Order(a: int)\n", [("B110", "Order")]),
        ("event Order(a: int)\n", [("B110", "Order")]),
        ("type Paid = int\n", [("B110", "Paid")]),
        ("tool pay.capture()\n", [("B110", "pay.capture")]),
        ("event Sent(a: int, a: int)\n", [("B110", "a")]),
        ("event Sent(a: Levell)\n", [("B105", "Levell")]),
        ("event Sent(a)\n", [("B215", "a")]),
        ("type Grade = one of (a, a)\n", [("B110", "a")]),
        ("type A = B\ntype B = A\n", [("B114", "A")]),
        ("record A(b: B?)\nrecord B(a: set of A max 2)\n", [("B114", "A")]),
        ("const a = b\nconst b = a\n", [("B114", "a")]),
        ("const n = 1\n", [("B111", "n")]),
        ("type A = int a..9\n", [("B106", "a")]),
        ("const a = size([1])\ntype A = int a..9\n", [("B210", "a")]),
        ("type A = set of set of int max 2 max 3\n", []),
        ("type A = map of Line to int max 3\n", [("B213", "Line")]),
        ("type Maybe = int?\nevent Sent(a: Maybe?)\n", [("B213", "Maybe?")]),
        ("tool a.b(x: int = 1.5)\n", [("B201", "1.5")]),
        ("tool a.b()\n  timeout 5\n", [("B201", "5")]),
        ("tool a.b()\n  timeout 0s\n", [("B206", "0s")]),
        ("tool a.b()\n  retry 0 every 1s\n", [("B206", "0")]),
        ("tool a.b()\n  timeout 1s\n  timeout 2s\n", [("B340", "timeout 2s")]),
        (
            "upgrade from 1\n  Order\n    drop k\nupgrade from 1\n  Order\n    drop j\n",
            [("B340", "upgrade from 1")],
        ),
        ("upgrade from 1\n  Order\n    drop k\n    drop k\n", [("B340", "k")]),
        ("upgrade from 1\n  Order\n    drop n\n", [("B113", "n")]),
        ("upgrade from 1\n  Order\n    drop k\n  Order\n    drop j\n", [("B340", "Order")]),
        ("upgrade from 1\n  Order\n    Old becomes Busy\n    Old becomes Draft\n", [("B340", "Old")]),
        ("upgrade from 1\n  Order\n    Old becomes Bsy\n", [("B101", "Bsy")]),
        ("upgrade from 1\n  Order\n    set n = 1\n    set n = 2\n", [("B312", "n = 2")]),
        ("upgrade from 1\n  Order\n    set n = true\n", [("B201", "true")]),
        ("upgrade from 1\n  Order\n    set n = old_n\n    drop old_n\n", []),
        ("upgrade from 1\n  Order\n    set n = old_n\n", [("B106", "old_n")]),
        ("scope Order 0\n", [("B206", "0")]),
        ("scope Ordr 1\n", [("B108", "Ordr")]),
        ("scope Order.n 3..1\n", [("B209", "Order.n 3..1")]),
        ("scope Order.name 0..1\n", [("B201", "name")]),
        ("scope Order.nn 0..1\n", [("B113", "nn")]),
        ("can reach Draft\n", [("B108", "Draft")]),
        ("always all o in Order: o.n >= 0\n", []),
    ],
)
def test_the_top(top: str, found: Found) -> None:
    """One row, some lines at the top: the codes that they earn, each with the words that it points at."""
    assert told(order("", top=top)) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("states Draft\n", [("B110", "Draft")]),
        ("group Draft = Busy\n", [("B110", "Draft")]),
        ("group A = B\ngroup B = A\n", [("B114", "A")]),
        ("group A = Open, Lost\naction Go by clerk from A to Busy\n", []),
        ("group A = Opn\n", [("B101", "Opn")]),
        ("final Dne\n", [("B101", "Dne")]),
        ("n: int = 1\n", [("B110", "n")]),
        ("let n = 1\n", [("B110", "n")]),
        ("clerk: string = ''\n".replace("''", '""'), [("B112", "clerk")]),
        ("most: int = 1\n", [("B111", "most")]),
        ("k: int = n\n", [("B211", "n")]),
        ("k: time = now\n", [("B211", "now")]),
        ("k: principal = caller\n", [("B211", "caller")]),
        ("let who = caller\n", [("B211", "caller")]),
        ("k: Level = medium\n", [("B106", "medium")]),
        ("unique nn\n", [("B113", "nn")]),
        ("unique (m, owner)\n", []),
        ("unique tags\n", [("B213", "tags")]),
        ("key (n, level)\n", []),
        ("key m\n", [("B213", "m")]),
        ("unique (n, n)\n", [("B110", "n")]),
        ("key nn\n", [("B113", "nn")]),
        ("key n\nkey m\n", [("B340", "key m")]),
        ("by chief\n", [("B103", "chief")]),
        ("by clerk\nby boss\n", [("B340", "by boss")]),
        ("action New by clerk from new to Draft\n", [("B110", "New")]),
        ("action A(clerk: int) by clerk from Draft\n", [("B112", "clerk")]),
        ("clerk: int = 1\naction A(clerk) by clerk from Draft\n", [("B112", "clerk")]),
        ("action A(most: int) by clerk from Draft\n", [("B111", "most")]),
        ("action A(n, n) by clerk from Draft\n", [("B110", "n")]),
        ("let k = 1\naction A(k: int) by clerk from Draft\n", [("B111", "k")]),
        ("action A by clerk from Draft\n  let n = 1\n", [("B111", "n")]),
        ("action A by clerk from Draft\n  for n in tags: emit Paid(1)\n", [("B111", "n")]),
        ("action A by clerk from Draft\n  create Order.New as n\n", [("B111", "n")]),
    ],
)
def test_names_of_an_entity(lines: str, found: Found) -> None:
    assert told(order(lines)) == found


# --- states and cases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("action A by clerk from Done\n", []),
        ("action A by clerk from Done to Done\n", [("B302", "Done")]),
        ("action A by clerk from all to Draft\n", [("B302", "all")]),
        ("action A by clerk from all\n", []),
        ("action A by clerk from any to Draft\n", []),
        ("group Any = Open, Done\naction A by clerk from Any to Lost\n", [("B302", "Any")]),
        ("action A by clerk from new, Draft to Busy\n", []),
        ("action A by clerk from new\n", [("B304", "from new")]),
        ("action A by clerk from Draft to Open\n", [("B303", "Open")]),
        ("action A by clerk from Draft to Bussy\n", [("B101", "Bussy")]),
        ("action A by clerk\n", [("B305", "A")]),
        ("action A from Draft\n", [("B306", "A")]),
        ("action A\n  from Draft by clerk\n  from Busy\n", [("B306", "A")]),
        ("action A\n  from Draft\n    by clerk\n  from Busy\n    by boss\n", []),
    ],
)
def test_cases(lines: str, found: Found) -> None:
    assert told(order(lines)) == found


def test_ruling_21_groups_any_and_all_are_states_in_the_machine() -> None:
    actions = machine(
        order(
            """
            action A by clerk from Open to Lost
            action B by clerk from any
            action C by clerk from all
            """
        )
    )
    froms = {action.name: action.cases[0].froms for action in actions.entities[0].actions}
    assert froms["A"] == ("Draft", "Busy")
    assert froms["B"] == ("Draft", "Busy", "Lost")
    assert froms["C"] == ("Draft", "Busy", "Done", "Lost")


# --- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("action A by clerk, boss, system, anyone, owner, team from Draft to Busy\nin Draft after 1h do A\n", []),
        ("let who = owner\naction A by who from Draft\n", []),
        ("action A by n from Draft\n", [("B308", "n")]),
        ("action A by caller from Draft\n", [("B308", "caller")]),
        ("action A by other.owner from Draft\n", [("B202", "other")]),
        ("action A by clrk from Draft\n", [("B103", "clrk")]),
        ("action A by ownr from Draft\n", [("B103", "ownr")]),
    ],
)
def test_who_may(lines: str, found: Found) -> None:
    assert told(order(lines)) == found


def test_ruling_07_by_means_the_field_even_where_a_parameter_has_its_name() -> None:
    entity = machine(order("action A(owner: int) by owner from Draft\n")).entities[0]
    (by,) = entity.actions[1].by
    assert by.who is not None
    assert by.who.op == "field"


def test_ruling_07_by_a_field_with_from_new_is_an_error() -> None:
    assert told(order("action A by owner from new to Draft\n")) == [("B307", "owner")]
    assert told(order("action A by clerk\n  from new to Draft\n    by team\n")) == [("B307", "team")]
    assert told(order("action A by owner\n  from new to Draft\n    by clerk\n  from Busy\n")) == []


def test_ruling_07_an_own_by_replaces_that_of_the_entity() -> None:
    entity = machine(order("by boss\naction A from Draft\naction B by clerk from Draft\n")).entities[0]
    assert [[by.role for by in action.by] for action in entity.actions[1:]] == [["boss"], ["clerk"]]


def test_ruling_09_excludes_holds_both_ways() -> None:
    roles = machine(order("", top="role clerk excludes boss\n")).roles
    assert {role.name: role.excludes for role in roles} == {"clerk": ("boss",), "boss": ("clerk",)}


# --- fields -----------------------------------------------------------------------------------------------------------

NEEDY = "k: int 0..9\nj: string\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # `New` of the shop leaves both of `NEEDY` out; `Make` is about what each row says.
        ("action Make(k, j) by clerk from new to Busy\n  set k, j\n", []),
        ("action Make(k, j) by clerk from new to Busy\n  set k\n", [("B310", "Make")]),
        ("action Make(k, j) by clerk\n  from new to Busy\n    set k\n  set j\n", []),
        (
            "action Make(k, j) by clerk\n  from new to Busy when k > 1\n    set k\n  from new to Draft\n  set j\n",
            [("B310", "from new to Draft")],
        ),
        ("action Make(k, j) by clerk from new to Busy\n  if k > 1: set k\n  set j\n", [("B310", "Make")]),
        ("action Make(j) by clerk from new to Lost\n  set j\nin Lost on entry set k = 3\n", []),
        ("group G = Lost\naction Make(j) by clerk from new to Lost\n  set j\nin G on entry set k = 3\n", []),
        ("action Make(j) by clerk from new to Lost\n  set j\n  set k = size(j2)\nlet j2 = [k]\n", [("B311", "j2")]),
        ("action Make(j) by clerk from new to Lost when k > 1\n  set j\n  set k = 1\n", [("B311", "k")]),
        ("action Make(j) by clerk from new to Lost when n > 1\n  set j\n  set k = 1\n", []),
        ("action Make(j) by clerk from new to Lost\n  set j\n  set k += 1\n", [("B311", "k")]),
    ],
)
def test_a_creating_action_gives_each_field_a_value(lines: str, found: Found) -> None:
    text = order(NEEDY + lines).replace(
        "from new to Draft\n", "from new to Draft\n    set k = 1\n    set j = name\n", 1
    )
    assert told(text) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("action A by clerk from Draft\n  set n = 1\n  set n = 2\n", [("B312", "n = 2")]),
        ("action A by clerk from Draft\n  set n = 1, m = 2\n", []),
        ("action A by clerk\n  from Draft\n    set n = 1\n  from Busy\n    set n = 2\n", []),
        ("action A by clerk from Draft\n  set n = 1\n  if m != none: set n = 2\n", []),
        ("action A by clerk from Draft to Busy\n  set n = 1\nin Busy on entry set n = 2\n", [("B312", "n = 2")]),
        ("action A by clerk from Draft to Busy\n  set n = 1\nin Lost on entry set n = 2\n", []),
        ("action A by clerk from Draft to Busy\n  set n = 1\nin Draft on exit set n = 2\n", [("B312", "n = 2")]),
        ("in Draft, Open on entry set n = 2\n", [("B312", "n = 2")]),
        ("action A by clerk from Draft\n  set n = 1\nin Draft on exit set n = 2\n", []),
        # A group is entered from outside only.
        ("action A by clerk from Draft to Busy\n  set n = 1\nin Open on entry set n = 2\n", []),
        ("action A by clerk from Lost to Busy\n  set n = 1\nin Open on entry set n = 2\n", [("B312", "n = 2")]),
    ],
)
def test_ruling_02_two_sets_of_one_field_are_an_error(lines: str, found: Found) -> None:
    """Where it is certain; whether an `if` holds is seen when the action is taken."""
    assert told(order(lines)) == found


@pytest.mark.parametrize(
    ("clause", "found"),
    [
        ("set n = 3", []),
        ("set n = 10", [("B206", "10")]),
        ("set n = -1", [("B206", "-1")]),
        ("set n = 1.5", [("B201", "1.5")]),
        ("set n = m", [("B202", "m")]),
        ("set n = none", [("B201", "none")]),
        ("set m = n", []),
        ("set m += 1", [("B202", "m")]),
        ("set nn = 1", [("B313", "nn")]),
        ("set x = 1", [("B313", "x")]),
        ("set x", [("B313", "x")]),
        ("set most = 1", [("B313", "most")]),
        ("set n", [("B106", "n")]),
        ("set price = 1", []),
        ("set price += n", []),
        ("set n += price", [("B201", "n += price")]),
        ("set tags += low", []),
        ("set tags += {low}", []),
        ("set tags += {x for x in tags}", [("B111", "x")]),
        ("set tags += {k in tags: k == low}", []),
        ("set tags -= low", []),
        ("set tags += 1", [("B204", "tags += 1")]),
        ('set lines += Line("a", 1)', []),
        ('set lines += [Line("a", 1)]', []),
        ('set lines -= Line("a", 1)', [("B204", 'lines -= Line("a", 1)')]),
        ('set name += "x"', []),
        ("set name += 1", [("B204", "name += 1")]),
        ("set gap += 1h", []),
        ("set at_most = now + gap", []),
        ('set counts["a"] = 1', []),
        ("set counts[1] = 1", [("B201", "1")]),
        ('set counts["a"] += 1', [("B204", 'counts["a"] += 1')]),
        ("set lines[0] = 1", [("B204", "lines")]),
        ("for k in tags: set n = 1", [("B315", "n = 1")]),
        ("for k in n: emit Paid(1)", [("B201", "n")]),
        ("if n: emit Paid(1)", [("B201", "n")]),
        ("do New", [("B330", "do New")]),
    ],
)  # fmt: skip
def test_set(clause: str, found: Found) -> None:
    assert told(order(f"action A(x: int) by clerk from Draft\n  {clause}\n")) == found


def test_ruling_22_a_key_is_set_when_the_entity_is_created_and_never_again() -> None:
    key = "k: int = 0\nkey k\n"
    assert told(order(f"{key}action A by clerk from new to Draft\n  set k = 1\n")) == []
    assert told(order(f"{key}action A by clerk from Draft\n  set k = 1\n")) == [("B314", "k")]
    assert told(order(f"{key}in Busy on entry set k = 1\n")) == [("B314", "k")]
    both = "action A by clerk\n  from new to Draft\n    set k = 1\n  from Busy\n"
    assert told(order(key + both)) == []
    assert told(order(f"{key}action A by clerk\n  set k = 1\n  from new to Draft\n  from Busy\n")) == [("B314", "k")]


# --- orders -----------------------------------------------------------------------------------------------------------

HANDLERS = """
action Good(text: string) by system from Busy to Done
action Bad(text: string) by system, clerk from Busy to Lost
action Human by clerk from Busy to Lost
"""


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("then Good(result.receipt) else Bad(error.text)", []),
        ("then Good(result.receipt) else Bad(error.kind) unknown Bad(error.text)", []),
        ("then Good(text: name) else Bad(name) unknown _", []),
        ("then Good(result.reciept) else Bad(name)", [("B116", "reciept")]),
        ("then Good(result.fee) else Bad(name)", [("B201", "result.fee")]),
        ("then Good(receipt) else Bad(name)", [("B106", "receipt")]),
        ("then Good(error.text) else Bad(name)", [("B211", "error")]),
        ("then Good(name) else Bad(result.receipt)", [("B211", "result")]),
        ("then Good(name) else Bad(error.code)", [("B116", "code")]),
        ("then Good else Bad(name)", [("B208", "Good")]),
        ("then Good(name, name) else Bad(name)", [("B208", "name")]),
        ("then Goood(name) else Bad(name) unknown Good(name)", [("B102", "Goood")]),
        ("then New else Bad(name) unknown Good(name)", [("B322", "New")]),
        ("then Human else Bad(name) unknown Good(name)", [("B321", "Human")]),
        ("then Good(name) unknown Bad(name)", [("B320", "pay.capture")]),
        ("else Bad(name) unknown Good(name)", [("B320", "pay.capture")]),
        ("unknown Good(name)", [("B320", "pay.capture")]),
    ],
)
def test_outcomes(call: str, found: Found) -> None:
    assert (
        told(order(f"{HANDLERS}in Busy on entry call pay.capture(n) {call}\nin Draft after 1h do Good(name)\n"))
        == found
    )


@pytest.mark.parametrize(
    ("clause", "found"),
    [
        ("call pay.capture(n) then _ else _", []),
        ("call pay.capture(name) then _ else _", [("B201", "name")]),
        ("call pay.capture() then _ else _", [("B208", "pay.capture")]),
        ("call pay.captur(n) then _ else _", [("B104", "pay.captur")]),
        ("send this.Go", []),
        ("send other.Go", [("B202", "other")]),
        ("if other != none: send other.Go", []),
        ("send n.Go", [("B201", "n")]),
        ("send this.New", [("B322", "New")]),
        ("send this.Human", [("B321", "Human")]),
        ("send this.Gone", [("B102", "Gone")]),
        ("with this.Go", [("B327", "with this.Go")]),
        ("with other.Go", [("B202", "other")]),
        ("if other != none: with other.Go", []),
        ("create Order.New as made", []),
        ("create Order.New as made\n  send made.Go", []),
        ("send made.Go\n  create Order.New as made", [("B106", "made")]),
        ("create Order.Go", [("B323", "Go")]),
        ("create Order.Make", [("B321", "Make")]),
        ("create Ordr.New", [("B108", "Ordr")]),
        ("emit Paid(n)", []),
        ("emit Paid(amount: n)", []),
        ("emit Paid(name)", [("B201", "name")]),
        ("emit Paid", [("B208", "Paid")]),
        ("emit Moved(n, who: caller)", []),
        ("emit Moved(1)", [("B326", "1")]),
        ("emit Moved(level: low)", [("B207", "low")]),
        ("emit Moved(n)\n  emit Moved(n: 3)", []),
        ("emit Moved(n)\n  emit Moved(n: name)", [("B201", "name")]),
        ("emit Moved(n)\n  emit Moved(m: 3)", [("B326", "Moved")]),
    ],
)
def test_orders(clause: str, found: Found) -> None:
    lines = f"""
action Go by system from Draft to Busy
in Draft after 1h do Go
action Human by clerk from Busy to Lost
action Make by clerk from new to Draft
action A by clerk from Draft
  {clause}
"""
    assert told(order(lines)) == found


@pytest.mark.parametrize(
    ("lines", "alone"),
    [
        ("", True),
        ("in Draft after 1h do Go\n", False),
        ("in Draft every 1h do Go\n", False),
        ("in Draft at at_most do Go\n", False),
        ("in Draft on entry do Go\n", False),
        ("action A by clerk from Draft\n  send this.Go\n", False),
        ("in Busy on entry call pay.capture(1) then Go else _\n", False),
        ("in Busy on entry call pay.capture(1) then _ else Go\n", False),
        ("in Busy on entry call pay.capture(1) then _ else _ unknown Go\n", False),
        ("in Busy on entry call pay.capture(1) then A else A\naction A by system from Draft\nlate A do Go\n", False),
    ],
)
def test_an_action_of_the_system_alone_is_led_to(lines: str, alone: bool) -> None:
    found = told(order(f"action Go by system from Draft to Busy\n{lines}"))
    assert found == ([("B324", "Go")] if alone else [])


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("in Draft after 1h do Go\n", []),
        ("in Draft after gap * 2 do Go\n", []),
        ("in Draft after n do Go\n", [("B201", "n")]),
        ("in Draft after 0s do Go\n", [("B206", "0s")]),
        ("in Draft every 5 do Go\n", [("B201", "5")]),
        ("in Draft at at_most do Go\n", []),
        ("in Draft at gap do Go\n", [("B201", "gap")]),
        ("in Draft at whenn do Go\n", [("B113", "whenn")]),
        ("in Draft after 1h do New\nin Draft after 1h do Go\n", [("B322", "New")]),
        ("in Drft after 1h do Go\n", [("B101", "Drft")]),
        ("in Draft, Draft after 1h do Go\n", [("B110", "Draft")]),
        ("in Draft after 1h do A\nin Draft after 1h do Go\naction A from Draft\n", [("B306", "A")]),
        ("in Draft after 1h do Go\nlate Go ignore\n", [("B325", "Go")]),
        ("in Draft after 1h do Go\nin Busy defer Go\n", [("B325", "Go")]),
        ("in Draft after 1h do Go\nlate Gone ignore\n", [("B102", "Gone")]),
        ("in Draft after 1h do Go\ndefer Go\n", [("B325", "defer Go")]),
        ("in Draft whenever n > 1 do Go\n", []),
        ("in Draft whenever n > 1 and caller is clerk do Go\n", [("B211", "caller")]),
        ("in Draft after 1h do Go\nall_of: every Order.other max 3\n", []),
    ],
)
def test_what_belongs_to_states(lines: str, found: Found) -> None:
    assert told(order(f"action Go by system from Draft to Busy\n{lines}")) == found


def test_ruling_15_a_late_line_reads_the_parameters_of_the_late_one() -> None:
    lines = HANDLERS + "in Busy on entry call pay.capture(n) then Good(name) else Bad(name)\n"
    assert told(order(f"{lines}late Good, Bad do Note(text)\naction Note(text: string) by system from any\n")) == []
    assert told(order(f"{lines}late Good do Note(txt)\naction Note(text: string) by system from any\n")) == [
        ("B106", "txt")
    ]


ROUTING = """
action Go by system
  from Draft to Busy
  from Busy to Lost
"""


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("in Busy on entry do Go\n", []),
        ("in Draft on entry do Go\nin Busy on entry do Go\n", []),
        ("in Busy\n  on entry set n = 1\n  on entry do Go\n", []),
        ("in Busy\n  on entry do Go\n  on entry set n = 1\n", [("B330", "on entry set n = 1")]),
        ("in Busy on entry do Go\nin Busy on entry set n = 1\n", [("B330", "n = 1")]),
        ("in Busy on entry do Go\nin Open on entry do Go\n", [("B330", "on entry do Go")]),
        ("in Busy\n  on entry do Go\n  on entry do Go\n", [("B330", "on entry do Go")]),
        ("in Busy on exit do Go\nin Draft after 1h do Go\n", [("B330", "do Go")]),
        ("in Busy\n  after 1h do Go\n  on entry do Go\n", [("B331", "after 1h do Go")]),
        (
            "in Busy\n  on entry call pay.capture(1) then _ else _\n  on entry do Go\n",
            [("B331", "call pay.capture(1) then _ else _")],
        ),
        (
            "in Busy on entry do Go\naction A by clerk from Lost to Busy\n  call pay.capture(1) then _ else _\n",
            [("B331", "call pay.capture(1) then _ else _")],
        ),
        ("in Lost on entry do Go\n", [("B333", "Go")]),
        ("in Busy on entry do Back\naction Back by system from Busy to Busy\nin Draft after 1h do Go\n",
         [("B332", "on entry do Back")]),
        ("in Lost on entry do Back\nin Busy on entry do Go\naction Back by system from Lost to Busy when n > 1\n",
         [("B332", "on entry do Back")]),
        ("in Busy on entry do Stay\naction Stay by system from Busy\nin Draft after 1h do Go\n", []),
    ],
)  # fmt: skip
def test_ruling_03_routing_states_are_passed_through(lines: str, found: Found) -> None:
    assert told(order(ROUTING + lines)) == found


# --- properties -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("always n >= 0", []),
        ("always n", [("B201", "n")]),
        ("always before.n <= n", []),
        ("always before(n + 1) > n or before.state is Draft", []),
        ("always before.nn <= n", [("B106", "nn")]),
        ("always before.m > 1", [("B202", "before.m")]),
        ("always before.m != none implies before.m > 1", []),
        ("always m != none implies before.m > 1", [("B202", "before.m")]),
        ("always action is New implies n == 0", []),
        ("always action is Order.New implies n == 0", []),
        ("always action in (New, Neww) implies n == 0", [("B102", "Neww")]),
        ("always caller is boss", [("B211", "caller")]),
        ("eventually Draft leads to Done", []),
        ("eventually Draft leads to Dome", [("B101", "Dome")]),
        ("eventually Open leads to Order.Done\n  assume boss responds\n  assume pay.capture succeeds", []),
        ("eventually Open leads to Done\n  assume chief responds", [("B103", "chief")]),
        ("eventually Open leads to Done\n  assume pay.refund succeeds", [("B104", "pay.refund")]),
        ("never boss enters Open", []),
        ("never chief enters Open", [("B103", "chief")]),
        ("never boss enters Opn", [("B101", "Opn")]),
        ("Done needs 2", []),
        ("Done needs 2 of boss by New besides owner since New", []),
        ("Done needs 0", [("B206", "0")]),
        ("Done needs 2 of chief", [("B103", "chief")]),
        ("Done needs 2 by Neww", [("B102", "Neww")]),
        ("Done needs 2 besides n", [("B201", "n")]),
        ("Done needs 2 besides nn", [("B113", "nn")]),
        ("Done needs 2 since Neww", [("B102", "Neww")]),
        ("can reach Done, Open", []),
        ("can reach Dome", [("B101", "Dome")]),
        ('always "a": n >= 0\nalways "a": n >= 1', [("B110", 'always "a": n >= 1')]),
    ],
)
def test_properties(line: str, found: Found) -> None:
    assert told(order(line + "\n")) == found


def test_a_property_is_called_by_its_title_or_by_its_text() -> None:
    lines = """
    always   n>=0
    always "title": n <= 9
    eventually Open leads to Done, Lost
      assume boss responds
    never boss enters Done
    Done needs 2 of boss by New besides owner since New
    can reach Open, Done
    """
    found = machine(order(lines, top="can reach Order.Lost\n"))
    assert [prop.name for prop in found.properties] == [
        "can reach Order.Lost",
        "always n >= 0",
        "title",
        "eventually Open leads to Done, Lost",
        "never boss enters Done",
        "Done needs 2 of boss by New besides owner since New",
        "can reach Open",
        "can reach Done",
    ]


# --- scenarios --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("clerk(ann) o = Order.New -> Draft\no.n == 0\no is Draft\no.state in (Draft, Busy)", []),
        ("clerk(ann) Order.New -> o\no.n == 0", []),
        ("clerk(ann) o = Order.New -> Draft, o.n == 0\nwait 1h -> Draft", []),
        ("chief(ann) o = Order.New", [("B103", "chief")]),
        ("clerk(ann) o = Ordr.New\no.n == 1\nclerk(ann) o.Go", [("B106", "Ordr")]),
        ("clerk(ann) o = Order.Neww\no.n == 0", [("B102", "Neww")]),
        ("clerk(ann) o = Order.New(1)", [("B208", "1")]),
        ("clerk(ann) o = Order.Go", [("B323", "Go")]),
        ("clerk(ann) o = Order.New -> Drft", [("B101", "Drft")]),
        ("clerk(ann) o = Order.New\nclerk(ann) o.New", [("B322", "New")]),
        ("clerk(ann) o = Order.New\nclerk(ann) o.New -> refused", []),
        ("clerk(ann) o = Order.New\nclerk(ann) o = Order.New", [("B111", "o")]),
        ("clerk(ann) o = Order.New\nclerk(ann) p.Go", [("B106", "p")]),
        ("clerk(ann) o = Order.New\no.n == name", [("B106", "name")]),
        ("clerk(ann) o = Order.New\no.nn == 1", [("B116", "nn")]),
        ('given Order o(state: Busy, n: 3, owner: "ann", at_most: "2026-01-01T00:00:00Z")\no.owner == "ann"', []),
        ("given Order o(n: 3)", [("B208", "given Order o(n: 3)")]),
        ("given Order o(state: Open)", [("B303", "Open")]),
        ("given Order o(state: Busy, nn: 3)", [("B107", "nn")]),
        ("given Order o(state: Busy, n: 30)", [("B206", "30")]),
        ("given Order o(state: Busy)\nclerk(ann) o.Go -> Lost", []),
        ('given Order o(state: Busy)\npay.capture fails "no" -> o is Lost', []),
        ('given Order o(state: Busy)\npay.capture answers (receipt: "r") -> Lost', []),
        ("given Order o(state: Busy)\npay.capture answers (fee: 1) -> Lost", [("B208", "pay.capture")]),
        ("given Order o(state: Busy)\npay.refund times out", [("B104", "pay.refund")]),
        ("given Order o(state: Busy)\nwait 5", [("B201", "5")]),
        ("wait 5m -> Lost", [("B342", "Lost")]),
        ("given Order o(state: Busy)\nclerk(ann) o.Go -> p", [("B342", "p")]),
        ("emitted Paid", []),
        ("emitted Paid(amount: 3)", []),
        ("emitted Paid(total: 3)", [("B107", "total")]),
        ("emitted Payed", [("B109", "Payed")]),
        ("given Order o(state: Busy, owner: ann)", [("B106", "ann")]),
        ("now > created_at", [("B211", "now"), ("B211", "created_at")]),
    ],
)  # fmt: skip
def test_scenarios(steps: str, found: Found) -> None:
    indented = steps.replace("\n", "\n  ")
    lines = "action Go by clerk from Draft, Busy to Lost\n  call pay.capture(1) then _ else _\n"
    assert told(f'{order(lines)}\nscenario "s"\n  {indented}\n') == found


# --- joint actions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("action Go(a: Order) by system, clerk from Draft\n  with a.Ping\n", []),
        ("action Go(a: Order, b: Order) by clerk from Draft\n  with a.Ping\n  with b.Ping\n", []),
        ("action Go(a: Order) by clerk from Draft\n  with a.Ping\n  if n > 1: with a.Ping\n", []),
        ("action Go(a: Order) by clerk\n  from Draft\n    with a.Ping\n  from Busy\n    with a.Ping\n", []),
        ("action Go(a: Order) by clerk from Draft\n  with a.Ping\n  with a.Ping\n", [("B327", "with a.Ping")]),
        ("action Go(a: Order) by clerk\n  with a.Ping\n  from Draft\n    with a.Ping\n", [("B327", "with a.Ping")]),
        # In a circle, whoever it goes through: in every case, or not.
        ("action Go(a: Order) by system from Draft\n  with a.Go(a)\n", [("B327", "with a.Go(a)")]),
        (
            ("action Go(a: Order) by system from Draft\n  with a.Come(a)\n"
            "action Come(a: Order) by system from Draft\n  with a.Go(a)\n"),
            [("B327", "with a.Come(a)")],
        ),
        (
            ("action Go(a: Order) by system from Draft\n  with a.Come(a)\n"
            "action Come(a: Order) by system\n  from Draft\n    with a.Go(a)\n  from Busy\n"),
            [],
        ),
    ],
)  # fmt: skip
def test_joint_actions_that_can_never_be_taken(lines: str, found: Found) -> None:
    """In one commit an entity takes one action: what is sure to break that is told, what only may is not."""
    assert told(order(f"action Ping by system, clerk from Draft\n{lines}")) == found


# --- the whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rules.wasm", "rules.wat", "2.rules_of-ours.wasm"])
def test_a_tool_may_be_carried_out_by_a_module(name: str) -> None:
    assert told(order("", top=f'tool a.b()\n  from wasm "{name}"\n')) == []


@pytest.mark.parametrize("name", ["rules", "rules.py", "../rules.wasm", "/etc/rules.wasm", ".wasm", "a/b.wat", ""])
def test_a_module_lies_beside_the_blueprint(name: str) -> None:
    assert told(order("", top=f'tool a.b()\n  from wasm "{name}"\n')) == [("B350", f'from wasm "{name}"')]


def test_problems_stand_in_the_order_of_the_text() -> None:
    _, problems = checked(order("k: Nope\naction A by nobody from Nowhere to Draft when x > y\n", top="role clerk\n"))
    assert [problem.code.name for problem in problems] == ["B110", "B105", "B103", "B101", "B106", "B106"]
    assert list(problems) == sorted(problems, key=lambda problem: problem.primary.span)


def test_an_empty_bundle_is_a_machine() -> None:
    found, problems = check(t.Tree(()))
    assert (found.name, found.entities, problems) == ("", (), ())
