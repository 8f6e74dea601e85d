"""Systems whose numbers are known from elsewhere, written by hand: what every engine and the bench are held to."""

from __future__ import annotations

from temper.verify.system.codes import both, const, either, eq, no, op
from temper.verify.system.ir import Code, Orbit, Question, Rule, System, Var


def var(index: int) -> Code:
    """Return what a variable is."""
    return ("var", index)


def is_(index: int, value: int) -> Code:
    """Return that a variable has a value."""
    return eq(var(index), const(value))


def two_phase_commit(managers: int) -> System:
    """Return two-phase commit: 3 managers 288 states and 1,145 steps; 5: 8,832 and 58,145; 7: 296,448."""
    rm, tp, mp = (range(start, start + managers) for start in (0, managers + 1, 2 * managers + 1))
    tm, commit, abort = managers, 3 * managers + 1, 3 * managers + 2
    names = [f"rm{i}" for i in range(managers)] + ["tm"]
    names += [f"{name}{i}" for name in ("tp", "mp") for i in range(managers)] + ["commit", "abort"]
    sizes = [4] * managers + [3] + [2] * (2 * managers + 2)
    rules = [
        Rule("commit", both(is_(tm, 0), *(is_(each, 1) for each in tp)), ((tm, const(1)), (commit, const(1)))),
        Rule("abort", is_(tm, 0), ((tm, const(2)), (abort, const(1)))),
    ]
    for i in range(managers):
        rules += [
            Rule(f"receive prepared {i}", both(is_(tm, 0), is_(mp[i], 1)), ((tp[i], const(1)),)),
            Rule(f"prepare {i}", is_(rm[i], 0), ((rm[i], const(1)), (mp[i], const(1)))),
            Rule(f"choose to abort {i}", is_(rm[i], 0), ((rm[i], const(3)),)),
            Rule(f"receive commit {i}", is_(commit, 1), ((rm[i], const(2)),)),
            Rule(f"receive abort {i}", is_(abort, 1), ((rm[i], const(3)),)),
        ]
    disagree = both(either(*(is_(each, 2) for each in rm)), either(*(is_(each, 3) for each in rm)))
    return System(
        tuple(Var(name, size) for name, size in zip(names, sizes, strict=True)),
        ((0,) * len(names),),
        tuple(rules),
        (Question("agree", "always", disagree),),
        orbits=(Orbit(tuple(zip(rm, tp, mp, strict=True))),),
    )


def philosophers(number: int) -> System:
    """Return philosophers who take the left fork, then the right, and put them down in the other order.

    8 of them: 14,158 states and 81,848 steps, and one deadlock: all hold the left fork. 12: 1,684,801.
    """
    rules = []
    for i in range(number):
        me, left, right = 2 * i, 2 * i + 1, 2 * ((i + 1) % number) + 1
        rules += [
            Rule(f"left {i}", both(is_(me, 0), is_(left, 0)), ((me, const(1)), (left, const(1)))),
            Rule(f"right {i}", both(is_(me, 1), is_(right, 0)), ((me, const(2)), (right, const(1)))),
            Rule(f"put right {i}", is_(me, 2), ((me, const(3)), (right, const(0)))),
            Rule(f"put left {i}", is_(me, 3), ((me, const(0)), (left, const(0)))),
        ]
    names = [f"{name}{i}" for i in range(number) for name in ("philosopher", "fork")]
    neighbours = either(*(both(is_(2 * i, 2), is_(2 * ((i + 1) % number), 2)) for i in range(number)))
    return System(
        tuple(Var(name, 2 if name.startswith("fork") else 4) for name in names),
        ((0,) * len(names),),
        tuple(rules),
        (Question("neighbours do not eat together", "never", neighbours),),
    )


def filter_lock(number: int, first: int = 1) -> System:
    """Return Peterson's lock for many: through `number - 1` levels, at each of which the last to come waits.

    3: 288 states and 651 steps; 4: 4,752 and 13,080; 5: 88,560 and 286,985. `first` is who was the last to come before
    anybody did: 0 for nobody, which makes all processes alike.
    """
    places = 2 * number
    """Of a process: 0 away, 2l - 1 at level l before it is the last to come, 2l waiting there, the last inside."""
    rules = []
    for i in range(number):
        rules.append(Rule(f"come {i}", is_(i, 0), ((i, const(1)),)))
        for level in range(1, number):
            last, higher = number + level - 1, level + 1
            rules.append(
                Rule(f"last {i} {level}", is_(i, 2 * level - 1), ((i, const(2 * level)), (last, const(i + 1))))
            )
            alone = both(*(op("<", var(k), const(2 * level - 1)) for k in range(number) if k != i))
            goes = both(is_(i, 2 * level), either(no(is_(last, i + 1)), alone))
            rules.append(Rule(f"pass {i} {level}", goes, ((i, const(2 * higher - 1)),)))
        rules.append(Rule(f"leave {i}", is_(i, 2 * number - 1), ((i, const(0)),)))
    inside = [is_(i, places - 1) for i in range(number)]
    two = either(*(both(a, b) for n, a in enumerate(inside) for b in inside[:n]))
    return System(
        (
            *(Var(f"process {i}", places) for i in range(number)),
            *(Var(f"last at {level}", number + 1) for level in range(1, number)),
        ),
        ((*(0,) * number, *(first,) * (number - 1)),),
        tuple(rules),
        (Question("one at a time", "always", two),),
        orbits=(
            Orbit(tuple((i,) for i in range(number)), tuple((number + level - 1, 1) for level in range(1, number))),
        ),
    )


def order(most: int) -> System:
    """Return an order whose three counters go up to `most` while it is in one of four states after another.

    Counted by hand, with `k = most + 1`: `k` drafts and `most * k` at the till; `most * k * k` in parts, and as many
    done; of the cancelled `k + most * k - most`, for what was not tried to pay may come from both.
    """

    def up(index: int) -> tuple[tuple[int, Code], ...]:
        return ((index, op("+", var(index), const(1))),)

    rules = (
        Rule("add", both(is_(0, 0), op("<", var(1), const(most))), up(1)),
        Rule("submit", both(is_(0, 0), op(">", var(1), const(0))), ((0, const(1)),)),
        Rule("try to pay", both(is_(0, 1), op("<", var(2), const(most))), up(2)),
        Rule("pay", is_(0, 1), ((0, const(2)),)),
        Rule("ship a part", both(is_(0, 2), op("<", var(3), const(most))), up(3)),
        Rule("done", is_(0, 2), ((0, const(3)),)),
        Rule("cancel", either(is_(0, 0), is_(0, 1)), ((0, const(4)),)),
    )
    early = both(is_(0, 0), op(">", var(3), const(0)))
    names = ("items", "tries", "parts")
    return System(
        (Var("status", 5), *(Var(name, most + 1) for name in names)),
        ((0, 0, 0, 0),),
        rules,
        (Question("nothing is shipped early", "never", early),),
    )
