"""What a decision by policies costs: 10, 100 and 1,000 of them, about the action that is asked for or spread over ten;
each about a principal or a role of its own, or all about anybody.

    ./run python bench/policy.py

Beside it stands cedarpy as one would call it first: the text of all policies and the entities, in every call. Prints
microseconds of CPU time, the best of many rounds, and what they are to that.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count

import cedarpy
import msgspec

from temper.kernel import NO_FACTS
from temper.model import check
from temper.runtime import Gate, read_policies
from temper.syntax import parse_bundle
from temper.table import Act, Caller, Snapshot, Table, Value, compile_machine
from temper.text import Source

ACTIONS = tuple(f"Do{letter}" for letter in "ABCDEFGHIJ")
DESK = """blueprint desk
role clerk, ROLES
entity Ticket
  states Filed, Done
  final Done
  title: string
  cost: decimal 0..
  weight: int 0..
  action File(title, cost, weight) by clerk from new to Filed
    set title, cost, weight
""" + "\n".join(f"  action {name} by clerk from Filed to Done" for name in ACTIONS)
ROLES = tuple(f"role{number}" for number in range(10))
SIZES = (10, 100, 1_000)
# Whom policies are about: each somebody else, one of ten roles of which the caller holds one, anybody; and anybody,
# where a tenth is about the action that is asked for.
HEADS = {
    "principals": 'principal == temper::Principal::"banned{0}"',
    "roles": 'principal in temper::Role::"role{1}"',
    "anybody": "principal",
    "spread": "principal",
}
CALLER = Caller("ann", frozenset({"clerk", ROLES[0]}))


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds of a decision: as the server makes it, made before, and by the library told everything each time."""

    heads: str
    policies: int
    covering: int
    made: float
    remembered: float
    text: float
    handles: float


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="what a decision by policies costs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    nothing = best_us(asking(table_of(()), lambda _: 1), args.rounds)
    rows = [row(size, heads, args.rounds) for heads in HEADS for size in SIZES]
    if args.json:
        print(json.dumps({"no policies": nothing, "rows": [msgspec.to_builtins(each) for each in rows]}))
        return
    heads = f"{'about':>10} {'policies':>8} {'asked':>6} {'made':>8} {'remembered':>11} {'handles':>8} {'text':>9}"
    print(f"{heads}   made, remembered to text")
    print(f"{'nothing':>10} {0:>8} {0:>6} {nothing:>8.2f}")
    for each in rows:
        print(
            f"{each.heads:>10} {each.policies:>8} {each.covering:>6} {each.made:>8.1f} {each.remembered:>11.1f} "
            f"{each.handles:>8.0f} {each.text:>9.0f}   "
            f"1/{each.text / each.made:.0f}, 1/{each.text / each.remembered:.0f}"
        )


def row(size: int, heads: str, rounds: int) -> Row:
    """Return what decisions of one size cost."""
    texts = tuple(policies(size, heads))
    table = table_of(texts)
    numbers = count()
    made = best_us(asking(table, lambda _: next(numbers)), rounds, 200)
    remembered = best_us(asking(table, lambda _: 1), rounds)
    whole = "\n".join(texts) + "\npermit (principal, action, resource);"
    parsed = cedarpy.PolicySet.from_str(whole)
    request, entities = as_cedar()
    handles = best_us(lambda: cedarpy.is_authorized(request, parsed, entities), rounds, 50)
    text = best_us(lambda: cedarpy.is_authorized(request, whole, entities), rounds, 20)
    return Row(heads, size, len(Gate().asked(table, "Ticket", "DoA")), made, remembered, text, handles)


def policies(size: int, heads: str) -> Iterator[str]:
    """Yield policies none of which forbids what is asked: about one action, or in turn about each of ten."""
    for number in range(size):
        action = ACTIONS[number % len(ACTIONS)] if heads == "spread" else ACTIONS[0]
        about = HEADS[heads].format(number, number % len(ROLES))
        yield (
            f'forbid ({about}, action == desk::Action::"Ticket.{action}", resource) '
            f'when {{ resource.weight > {number} && resource.title like "secret*" }};'
        )


def asking(table: Table, weight: Callable[[None], int]) -> Callable[[], object]:
    """Return one decision, about a ticket of that weight."""
    gate, event = Gate(), Act("e", 1, "DoA", {}, CALLER, "Ticket", "t1")

    class Nobody:
        def snapshot(self, entity: str, id: str) -> None:
            raise AssertionError("nothing refers to anybody")

        def referrers(self, entity: str, field: str, id: str, limit: int) -> tuple[str, ...]:
            raise AssertionError("nothing refers to anybody")

    def ask() -> object:
        fields: dict[str, Value] = {"title": "lamp", "cost": Decimal(1), "weight": weight(None)}
        return gate.rule(table, Snapshot("Ticket", "t1", "Filed", fields, 1, 1, 0, 0), event, NO_FACTS, Nobody())

    return ask


def as_cedar() -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return the request and all that is known, as Cedar takes it."""
    request = {
        "principal": {"type": "temper::Principal", "id": "ann"},
        "action": {"type": "desk::Action", "id": "Ticket.DoA"},
        "resource": {"type": "desk::Ticket", "id": "t1"},
        "context": {"via": "http", "params": {}},
    }
    ann = {"name": "ann", "agent": False, "admin": False}
    cost = {"__extn": {"fn": "decimal", "arg": "1.0"}}
    ticket = {"id": "t1", "state": "Filed", "title": "lamp", "cost": cost, "weight": 1}
    clerk = [{"type": "temper::Role", "id": role} for role in sorted(CALLER.roles)]
    return request, [
        {"uid": request["principal"], "attrs": ann, "parents": clerk},
        {"uid": request["resource"], "attrs": ticket, "parents": []},
        {"uid": request["action"], "attrs": {}, "parents": [{"type": "desk::Action", "id": "write"}]},
    ]


def table_of(texts: tuple[str, ...]) -> Table:
    """Return the desk's table with these policies."""
    tree, _ = parse_bundle([Source("bench.blueprint", DESK.replace("ROLES", ", ".join(ROLES)))])
    machine, problems = check(tree)
    assert not problems, "it checks"
    table = compile_machine(machine)
    read = read_policies([Source("bench.cedar", "\n".join(texts))], table)
    assert not read.problems, "they fit"
    return msgspec.structs.replace(table, policies=read.policies)


def best_us(run: Callable[[], object], rounds: int, times: int = 1_000) -> float:
    """Return the best microseconds of one `run`, over some rounds; the first call is not in it."""
    run()
    found = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(times):
            run()
        found = min(found, (time.thread_time() - began) / times * 1_000_000)
    return found


if __name__ == "__main__":
    main()
