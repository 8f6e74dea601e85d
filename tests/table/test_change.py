"""What changes between two tables, in words."""

from __future__ import annotations

import pytest

from temper.table import change, describe_expr
from tests.table.build import HELIX, compiled, helix


def told(old: str, new: str) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in change(compiled(old), compiled(new))]


TOOL = "tool `kubernetes.set_partition`: timeout 3m; it was 2m; "
MOVED = "`Rollout.Moved` from `Rolling` to `Verifying` "
CALLED = (
    "Rollout: in `Rolling`, on entry: `call kubernetes.set_partition(name: cluster, partition: brokers - moved - 1) "
)


@pytest.mark.parametrize(
    ("was", "becomes", "changes"),
    [
        ("# Rolls a build out", "# Brings it out", []),
        ("when moved + 1 == brokers", "when moved + 1 >= brokers", [
            ("guard changed", MOVED + "needs `moved + 1 >= brokers`; it was `moved + 1 == brokers`"),
        ]),
        ("  action Promote by release_manager from Verifying to Live",
         '  action Promote by release_manager from Verifying to Live when moved > 1 else "no"', [
            ("guard added", "`Rollout.Promote` from `Verifying` to `Live` needs `moved > 1`"),
        ]),
        ("Promote by release_manager from", "Promote by release_manager, operator from", [
            ("by added", "`Rollout.Promote` is by `operator` too"),
        ]),
        ("Promote by release_manager from", "Promote by operator from", [
            ("by added", "`Rollout.Promote` is by `operator` too"),
            ("by removed", "`Rollout.Promote` is not by `release_manager` any more"),
        ]),
        ("from Rolling, Verifying to Halted", "from Rolling to Halted", [
            ("case changed",
             "`Rollout.Halt` from `Rolling` to `Halted`; it was from `Rolling`, `Verifying` to `Halted`"),
        ]),
        ("  action RollBack by", "  action Resume by operator from Halted to Rolling\n\n  action RollBack by", [
            ("action added", "Rollout: `Resume`, from `Halted` to `Rolling`"),
        ]),
        ("  action Start by operator from Planned to Rolling\n",
         "  action Start by operator\n    from Planned to Rolling\n    from Halted to Rolling when moved < 9\n", [
            ("case added", "`Rollout.Start` from `Halted` to `Rolling` when moved < 9"),
        ]),
        ("halted_because: string?", "halted_because: string?\n  retries: int 0..3 = 0", [
            ("field added", "Rollout: `retries: int 0..3`"),
        ]),
        ("moved: int 0..64 = 0", "moved: int 0..100 = 1", [
            ("field changed", "Rollout: `moved` is `int 0..100`; it was `int 0..64`"),
        ]),
        ("moved: int 0..64 = 0", "moved: int 0..64 = 1", [
            ("field changed", "Rollout: `moved` begins as `1`; it was `0`"),
        ]),
        ("after 30m", "after 1h", [
            ("timer added", 'Rollout: in `Rolling`: `after 1h do Halt(reason: "no progress for 30 minutes")`'),
            ("timer removed", 'Rollout: in `Rolling`: `after 30m do Halt(reason: "no progress for 30 minutes")`'),
        ]),
        ("set moved += 1", "set moved += 2", [
            ("clause added", "`Rollout.Moved`: `set moved = moved + 2`"),
            ("clause removed", "`Rollout.Moved`: `set moved = moved + 1`"),
        ]),
        ("else Halt(error.text)", "else Halt(error.kind) unknown _", [
            ("clause added", CALLED + "then Moved else Halt(reason: error.kind) unknown _`"),
            ("clause removed", CALLED + "then Moved else Halt(reason: error.text)`"),
        ]),
        ("in Halted, RolledBack late Moved, Halt ignore", "in Halted, RolledBack late Halt, Moved ignore", []),
        ("  in Halted, RolledBack late Moved, Halt ignore", "  late Moved, Halt ignore", [
            ("late removed", "Rollout: in `Halted`: `late Moved ignore`"),
            ("late removed", "Rollout: in `Halted`: `late Halt ignore`"),
            ("late removed", "Rollout: in `RolledBack`: `late Moved ignore`"),
            ("late removed", "Rollout: in `RolledBack`: `late Halt ignore`"),
            ("late added", "Rollout: everywhere: `late Moved ignore`"),
            ("late added", "Rollout: everywhere: `late Halt ignore`"),
        ]),
        ("  always moved <= brokers\n", "", [("property removed", "`always moved <= brokers`")]),
        ("  always moved <= brokers\n", "  always moved <= brokers\n  always moved < 65\n", [
            ("property added", "`always moved < 65`"),
        ]),
        ("timeout 2m\n  retry 5 every 10s\n  idempotent", "timeout 3m\n  retry 5 every 10s up to 1m", [
            ("tool changed", TOOL + "retry 5 every 10s up to 1m; it was retry 5 every 10s; idempotent no more"),
        ]),
        ("action Halt(reason: string) by", "action Halt(reason: string, code: int = 0) by", [
            ("parameter added", "`Rollout.Halt`: parameter `code`"),
        ]),
    ],
)  # fmt: skip
def test_a_change_in_words(was: str, becomes: str, changes: list[tuple[str, str]]) -> None:
    """One row, one edit of the rollout, and all that is said of it."""
    assert was in HELIX
    assert told(HELIX, HELIX.replace(was, becomes)) == changes


def test_a_state_and_a_tool_more() -> None:
    actions = "  action Pause by operator from Rolling to Paused\n  action Go by operator from Paused to Rolling\n"
    more = HELIX.replace("Halted, RolledBack\n  final", "Halted, Paused, RolledBack\n  final")
    more = more.replace("  in Halted, R", actions + "  in Halted, R")
    tool = "tool chat.say(text: string)\n  timeout 1m\n"
    assert told(HELIX, tool + more) == [
        ("tool added", "tool `chat.say`"),
        ("state added", "Rollout can be `Paused`"),
        ("action added", "Rollout: `Pause`, from `Rolling` to `Paused`"),
        ("action added", "Rollout: `Go`, from `Paused` to `Rolling`"),
    ]
    ended = more.replace("final Live", "final Shelved, Live").replace("Halted, Paused", "Halted, Shelved, Paused")
    ended = ended.replace("  in Halted, R", "  action Shelve by operator from Paused to Shelved\n  in Halted, R")
    assert ("state added", "Rollout can be `Shelved`, which is final") in told(more, ended)
    assert [kind for kind, _ in told(tool + more, HELIX)] == [
        "tool removed", "state removed", "action removed", "action removed",
    ]  # fmt: skip


def test_guards_come_with_what_had_to_hold_and_what_has_to() -> None:
    """So that a solver can say which is stronger; a guard that is new was `true` before."""
    new = compiled(HELIX.replace("from Planned to Rolling", "from Planned to Rolling when brokers > 1"))
    (one,) = change(helix(), new)
    assert one.old == ("lit", ("bool",), True)
    assert one.new is not None
    assert describe_expr(one.new) == "brokers > 1"
    assert one.site == "Rollout.Start/from/0"
    (back,) = change(new, helix())
    assert (back.kind, back.old, back.new) == ("guard removed", one.new, one.old)


def test_no_change() -> None:
    assert change(helix(), helix()) == ()
