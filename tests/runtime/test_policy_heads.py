"""Of many policies about one action those are asked whose heads can apply, and the answer is that of all."""

from __future__ import annotations

import msgspec
import pytest

from temper.kernel import NO_FACTS, Facts
from temper.runtime import Gate, read_policies
from temper.runtime.cedar.scopes import Heads
from temper.table import Act, Caller, Refused, Snapshot, Table, cedar
from temper.text import Code, Source
from tests.runtime.desk import FINISH, with_policies

CLERK = Caller("ann", frozenset({"clerk"}))
AGENT = Caller("bot", frozenset({"clerk", "chief"}), "ann")
NIGHT = Facts(frozenset({"night"}))
ASKED = [(CLERK, NO_FACTS), (AGENT, NO_FACTS), (CLERK, NIGHT)]
# A head, and whether it can apply to each of these, on `t1`.
HEADS = [
    ("principal, {}, resource", (True, True, True)),
    ("principal is temper::Principal, {}, resource", (True, True, True)),
    ('principal == temper::Principal::"ann", {}, resource', (True, False, True)),
    ('principal in temper::Principal::"ann", {}, resource', (True, False, True)),
    ('principal in temper::Role::"clerk", {}, resource', (True, True, True)),
    ('principal in temper::Role::"chief", {}, resource', (False, True, False)),
    ('principal is temper::Principal in temper::Role::"chief", {}, resource', (False, True, False)),
    ('principal in temper::Team::"night", {}, resource', (False, False, True)),
    ('principal, {}, resource == desk::Ticket::"t1"', (True, True, True)),
    ('principal, {}, resource in desk::Ticket::"t1"', (True, True, True)),
    ('principal, {}, resource == desk::Ticket::"t2"', (False, False, False)),
    # The principal is looked for first; what else the head asks for Cedar finds.
    ('principal == temper::Principal::"ann", {}, resource == desk::Ticket::"t2"', (True, False, True)),
]


@pytest.mark.parametrize(("head", "applies"), HEADS)
def test_a_head_says_whom_a_policy_can_be_about(head: str, applies: tuple[bool, ...]) -> None:
    table = with_policies(f"forbid ({head.format(FINISH)});")
    heads = Heads([form for _, form in cedar.forms(table)], cedar.entity_type(table, "Ticket"))
    assert tuple(heads.numbers(heads.met(*each, "t1")) == (0,) for each in ASKED) == applies


@pytest.mark.parametrize("number", range(len(ASKED)))
def test_all_who_forbid_are_named_and_nobody_else(number: int) -> None:
    """Beside hundreds that are about others. The last head can apply and does not: that is Cedar's to find."""
    head = 'principal == temper::Principal::"other{}", {}, resource'
    others = [f'@id("other{n}") forbid ({head.format(n, FINISH)});' for n in range(300)]
    ours = [f'@id("{n}") forbid ({head.format(FINISH)});' for n, (head, _) in enumerate(HEADS)]
    table = with_policies("")
    read = read_policies([Source("desk.cedar", "\n".join([*others[:150], *ours, *others[150:]]))], table)
    assert {problem.code for problem in read.problems} == {Code.B816}  # The first head covers all the others.
    refused = _asked(msgspec.structs.replace(table, policies=read.policies), *ASKED[number], 1)
    assert isinstance(refused, Refused)
    expected = [str(n) for n, (_, applies) in enumerate(HEADS[:-1]) if applies[number]]
    assert list(refused.policies) == expected


def test_what_cedar_cannot_hold_counts_against_those_alone_whom_a_policy_that_reads_it_is_about() -> None:
    table = with_policies(
        f'forbid (principal in temper::Role::"chief", {FINISH}, resource) when {{ resource.weight > 5 }};'
    )
    assert isinstance(_asked(table, AGENT, NO_FACTS, 1 << 63), Refused)
    assert _asked(table, CLERK, NO_FACTS, 1 << 63) is None


def _asked(table: Table, caller: Caller, facts: Facts, weight: int) -> Refused | None:
    fields = {each.name: None for each in table.entities["Ticket"].fields} | {"weight": weight}
    now = Snapshot("Ticket", "t1", "Filed", fields, 1, 1, 0, 0)
    event = Act("e", 1, "Finish", {}, caller, "Ticket", "t1")

    class Nobody:
        def snapshot(self, entity: str, id: str) -> None:
            raise AssertionError("nothing refers to anybody")

        def referrers(self, entity: str, field: str, id: str, limit: int) -> tuple[str, ...]:
            raise AssertionError("nothing refers to anybody")

    return Gate().rule(table, now, event, facts, Nobody())
