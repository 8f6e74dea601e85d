"""Level 2: counts worked out by hand, planted bugs found by their shortest runs, and clean twins that pass."""

from __future__ import annotations

from textwrap import dedent

import pytest

from temper.table import Table
from temper.verify import Limits, Verdict, verify
from temper.verify.explore.cone import cone_of
from temper.verify.explore.search import Explored, explore
from tests.verify.texts import HELIX, codes_of, lines_of, result_of, run_of, table_of


def search(table: Table, entity: str, **limits: int) -> Explored:
    return explore(table, entity, Limits(**limits))


# --- golden counts --------------------------------------------------------------------------------------------------

LEASE = """
    blueprint lease
    role holder
    entity Lease
      states Free, Held
      renewals: int 0..2 = 0
      action Open by holder from new to Free
      action Acquire by holder from Free to Held
      action Renew by holder from Held when renewals < 2
        set renewals += 1
      action Release by holder from Held to Free
        set renewals = 0
"""


def test_a_lease_has_four_states() -> None:
    """`Free`, and `Held` after 0, 1 and 2 renewals. Counted by hand: if this number moves, find out whether the search
    or the meaning of tables changed before changing it here.

    Steps: Open 1, Acquire 1, Renew 2, Release 3.
    """
    found = search(table_of(LEASE), "Lease")
    assert (found.states, found.transitions) == (4, 7)
    assert found.whole


ONE_CALL = """
    blueprint call
    role maker
    tool t.op() -> (n: int 0..2)
      timeout 1m
    entity Job
      states Busy, Done, Failed
      final Done, Failed
      n: int 0..2 = 0
      action Make by maker from new to Busy
      in Busy
        on entry call t.op() then Finish(result.n) else Fail unknown _
      action Finish(n: int 0..2) by system from Busy to Done
        set n = n
      action Fail by system from Busy to Failed
      late Finish ignore
      in Busy
        late Fail ignore
      in Done
        late Fail ignore
      always state is Failed implies n == 0
      always n >= 0
"""


def test_a_call_has_its_endings_one_late_correction_and_no_third() -> None:
    """Busy with the call open; Busy with it ended as unknown; Done with n 0, 1 and 2; Failed. That is 6, and one more:

    * open: answered with 0, 1 or 2 leads to Done (3 states), failed to Failed, unknown (`_`) to Busy, ended;
    * ended as unknown, its correction is late: answered (3 values) or failed: ignored in Busy, and leaves Busy with
      no call at all. In that 7th state nothing can happen any more, and the report says so.
    """
    table = table_of(ONE_CALL)
    found = search(table, "Job")
    assert found.states == 7
    # 1 creation; open: 3 answers, 1 failure, 1 unknown; ended: 3 answers and 1 failure.
    assert found.transitions == 1 + 5 + 4
    stuck = result_of(verify(table), "every state has a way out")
    assert stuck.verdict is Verdict.BROKEN
    assert run_of(stuck) == [
        "maker: Make -> Busy",
        "the tool t.op: None -> Busy",
        "the tool t.op: Finish -> Busy",
    ]


TIMERS = """
    blueprint timers
    role maker
    entity Order
      states Waiting, Warned, Expired
      final Expired
      in Waiting
        after 10m do Warn
        after 20m do Expire
      action Make by maker from new to Waiting
      action Warn by system from Waiting
        set warned = true
      action Expire by system from Waiting to Expired
      action Never by maker from Waiting to Warned when false
      action Leave by maker from Warned to Expired
      warned: bool = false
      always state is Expired implies warned
"""


def test_timers_that_are_armed_together_fire_in_due_order() -> None:
    """Waiting; Waiting, warned; Expired (warned). The warning never comes second, nor is it left out."""
    found = search(table_of(TIMERS), "Order")
    assert found.states == 3
    assert not found.breaks


def test_a_timer_that_is_refused_lets_the_next_one_go_first() -> None:
    """`Warn` asks for what is not so and stays due; the other fires, and the order has expired without a warning."""
    table = table_of(
        TIMERS.replace("action Warn by system from Waiting", "action Warn by system from Waiting when warned")
    )
    report = verify(table)
    broken = result_of(report, "always state is Expired implies warned")
    assert run_of(broken) == ["maker: Make -> Waiting", "the clock: Expire -> Expired"]


@pytest.mark.parametrize(("roles", "states"), [(1, 2), (3, 2)])
def test_callers_that_make_no_difference_make_no_states(roles: int, states: int) -> None:
    """However many roles may open it: `Open`, `Closed`."""
    names = ", ".join(f"role_{n}" for n in range(roles))
    table = table_of(f"""
        blueprint door
        role {names}
        entity Door
          states Open, Closed
          action Make by {names} from new to Open
          action Close by {names} from Open to Closed
          action Reopen by anyone from Closed to Open
    """)
    assert search(table, "Door").states == states


def test_what_only_passes_through_makes_no_states() -> None:
    """A text, a principal and a number that nothing looks at: one `Noted`, whatever they hold."""
    found = search(
        table_of("""
        blueprint notes
        role writer
        entity Note
          states Noted
          text: string
          size: int
          by_whom: principal
          action Write(text, size) by writer from new to Noted
            set text, size
            set by_whom = caller
          action Rewrite(text) by writer from Noted
            set text
            set size = size + 1
    """),
        "Note",
    )
    assert found.states == 1
    assert found.whole


# --- bounds are told ------------------------------------------------------------------------------------------------


def test_a_search_that_stops_says_unknown() -> None:
    """At a bound nothing holds: what was not seen is not known."""
    report = verify(table_of(HELIX), levels=("search",), limits=Limits(states_max=50))
    assert lines_of(report)["always moved <= brokers"] == "unknown"
    assert "stopped at 50 states" in result_of(report, "always moved <= brokers").why


def test_a_number_without_an_end_is_followed_so_far_and_the_report_says_how_far() -> None:
    """An open counter: what holds of it by search alone holds within the bound."""
    report = verify(
        table_of("""
        blueprint count
        role r
        entity Counter
          states Counting
          n: int = 0
          action Make by r from new to Counting
          action Add by r from Counting
            set n += 1
          always n != 1_000_000
          always n % 7 != 9
    """),
        levels=("search",),
    )
    told = result_of(report, "always n != 1_000_000")
    assert told.verdict is Verdict.HOLDS
    assert "`n` within" in told.why


def test_small_types_are_drawn_whole_and_then_a_search_proves() -> None:
    """Where every value of every type has been tried, and every state seen, it is a proof."""
    report = verify(table_of(LEASE + "      always renewals <= 2\n"), levels=("search",))
    assert result_of(report, "always renewals <= 2").verdict is Verdict.PROVED
    assert result_of(report, "always renewals <= 2").by == "search"


def test_pending_calls_are_bounded() -> None:
    """A loop that calls and never waits: the bound is met, and told."""
    table = table_of("""
        blueprint loop
        role r
        tool t.op()
          timeout 1m
        entity Loop
          states Idle, Busy
          n: int 0..9 = 0
          action Make by r from new to Idle
          action Go by r from Idle to Busy
            call t.op() then Back else Back
          action Back by r, system from Busy to Idle
          late Back do Count
          action Count by system from Idle, Busy
            set n = 0
          always n == 0
    """)
    found = search(table, "Loop")
    assert found.cut == {"calls": "at most 3 calls of one Loop pending"}
    assert lines_of(verify(table, levels=("search",)))["always n == 0"] == "holds within bounds"


# --- planted bugs ---------------------------------------------------------------------------------------------------


def test_the_flagship_is_clean() -> None:
    """Proved where it can be, and nothing broken: of 64 brokers' worth of runs the search draws four."""
    report = verify(table_of(HELIX), levels=("algebra", "search", "scenarios"))
    assert report.passed
    assert not report.findings
    assert {name: verdict for name, verdict in lines_of(report).items() if verdict != "proved"} == {
        "eventually Rolling leads to Verifying, Halted": "holds within bounds",
        "every state has a way out": "holds within bounds",
        "every outcome has a home": "holds within bounds",
    }


def test_the_flagship_has_so_many_states() -> None:
    """For brokers of 1, 2, 63 and 64, which are drawn: Planned 4; Rolling with `moved` below `brokers` 1 + 2 + 63 + 64,
    which is 130; Verifying 4; Live 4; Halted 130 from Rolling and 4 from Verifying; RolledBack the same 134: 410.

    Whether a builder started it makes no difference: nothing that its call or its timer lead to enters `Live`.
    """
    assert search(table_of(HELIX), "Rollout").states == 410


PLANTS = [
    # A guard that is dropped: a broker too many is asked for.
    (
        "from Rolling to Verifying when moved + 1 == brokers",
        "from Rolling to Verifying when moved + 1 == brokers + 64",
        "no assignment leaves its type",
        [
            "builder: Plan -> Planned",
            "operator: Start -> Rolling",
            "the tool kubernetes.set_partition: Moved -> Rolling",
        ],
        "B502",
    ),
    # An assignment that is dropped.
    (
        "set moved += 1",
        "set moved = moved",
        "always state is Live implies moved == brokers",
        [
            "builder: Plan -> Planned",
            "operator: Start -> Rolling",
            "the tool kubernetes.set_partition: Moved -> Verifying",
            "release_manager: Promote -> Live",
        ],
        "B501",
    ),
    # An assignment the wrong way round.
    (
        "set halted_because = reason",
        "set halted_because = reason\n    set moved = 0",
        "always before.moved <= moved",
        [
            "builder: Plan -> Planned",
            "operator: Start -> Rolling",
            "the tool kubernetes.set_partition: Moved -> Verifying",
            "operator: Halt -> Halted",
        ],
        "B501",
    ),
    # A target that is changed.
    (
        "from Halted to RolledBack",
        "from Halted to Verifying",
        "every outcome has a home",
        None,
        "B505",
    ),
    # A role that is widened.
    (
        "by release_manager from Verifying to Live",
        "by release_manager, operator from Verifying to Live",
        "never builder enters Live",
        [
            "builder: Plan -> Planned",
            "operator: Start -> Rolling",
            "the tool kubernetes.set_partition: Moved -> Verifying",
            "operator, who is builder too,: Promote -> Live",
        ],
        "B501",
    ),
    # A home that is taken away.
    (
        "in Halted, RolledBack late Moved, Halt ignore",
        "in RolledBack late Moved, Halt ignore",
        "every outcome has a home",
        [
            "builder: Plan -> Planned",
            "operator: Start -> Rolling",
            "operator: Halt -> Halted",
            "the tool kubernetes.set_partition: Moved -> Halted",
        ],
        "B505",
    ),
]


@pytest.mark.parametrize(("was", "instead", "name", "run", "code"), PLANTS)
def test_a_planted_bug_is_found_by_its_shortest_run(
    was: str, instead: str, name: str, run: list[str] | None, code: str
) -> None:
    """One row, one change to the flagship: what it breaks, and how."""
    text = dedent(HELIX)
    assert was in text
    report = verify(table_of(text.replace(was, instead)))
    broken = result_of(report, name)
    assert broken.verdict is Verdict.BROKEN
    assert not report.passed
    assert code in codes_of(report)
    if run is not None:
        assert run_of(broken) == run


def test_a_division_is_found_where_it_divides_by_zero() -> None:
    """And its twin, which asks first, is proved to be safe."""
    text = """
        blueprint share
        role r
        entity Pot
          states Open
          heads: int 0..3 = 1
          each: int 0..100 = 0
          action Make by r from new to Open
          action Leave by r from Open when heads > 0
            set heads -= 1
          action Share by r from Open GUARD
            set each = 100 // heads
          action Come by r from Open
            set heads = 1
    """
    careless = verify(table_of(text.replace("GUARD", "")))
    assert run_of(result_of(careless, "nothing divides by zero")) == [
        "r: Make -> Open",
        "r: Leave -> Open",
        "r: Share -> Open",
    ]
    assert "B503" in codes_of(careless)
    careful = verify(table_of(text.replace("GUARD", "when heads != 0")))
    assert result_of(careful, "nothing divides by zero").verdict is Verdict.PROVED
    assert careful.passed


# --- who ------------------------------------------------------------------------------------------------------------

APPROVAL = """
    blueprint review
    role writer, reviewer
    entity Change
      states Draft, Ready, Live
      final Live
      author: principal
      approvals: set of principal max 3 = {}
      action Write by writer from new to Draft
        set author = caller.acts_for
      action Approve by reviewer from Draft GUARD
        set approvals += {caller.acts_for}
      action Push by writer from Draft
        set approvals = {}
      action Release by writer from Draft to Ready when size(approvals) >= 2
      action Promote by reviewer from Ready to Live
      Ready needs 2 of reviewer by Approve besides author since Push
"""


def test_ruling_10_distinct_callers_are_counted_besides_the_author() -> None:
    """Whoever wrote it approves it too, and counts for the set but not for the rule."""
    few = Limits(states_max=500)
    careless = verify(table_of(APPROVAL.replace("GUARD", "")), levels=("search",), limits=few)
    broken = result_of(careless, "Ready needs 2 of reviewer by Approve besides author since Push")
    assert broken.verdict is Verdict.BROKEN
    assert [step.action for step in broken.trace] == ["Write", "Approve", "Approve", "Release"]
    name = "Ready needs 2 of reviewer by Approve besides author since Push"
    # Whoever acts for the author is the author, as far as this goes (ruling 28).
    agents = verify(table_of(APPROVAL.replace("GUARD", "when caller != author")), levels=("search",), limits=few)
    assert result_of(agents, name).verdict is Verdict.BROKEN
    careful = verify(
        table_of(APPROVAL.replace("GUARD", "when caller != author and caller.acts_for != author")), levels=("search",)
    )
    assert result_of(careful, name).verdict is Verdict.HOLDS


FOUR_EYES = """
    blueprint approval
    role writer, reviewer
    entity Change
      states Draft, Live
      final Live
      approvers: set of principal max 2 = {}
      action Write by writer from new to Draft
      action Approve by reviewer
        when WHO not in approvers
        from Draft to Live when size(approvers) == 1
        from Draft
        set approvers += WHO
      Live needs 2 of reviewer by Approve
"""


@pytest.mark.parametrize("levels", [("search",), ("algebra", "search", "simulation")])
def test_ruling_30_needs_counts_people(levels: tuple[str, ...]) -> None:
    """Somebody and their own agent are two principals and one person; a guard that keeps principals is too weak."""
    name = "Live needs 2 of reviewer by Approve"
    weak = result_of(verify(table_of(FOUR_EYES.replace("WHO", "caller")), levels=levels), name)
    assert weak.verdict is Verdict.BROKEN
    assert run_of(weak) == ["writer: Write -> Draft", "reviewer: Approve -> Draft", "reviewer: Approve -> Live"]
    voices = [(step.event["principal"], step.event["acts_for"]) for step in weak.trace[1:]]
    assert len({principal for principal, _ in voices}) == 2
    assert len({behind or principal for principal, behind in voices}) == 1
    assert weak.help is not None
    assert "`caller.acts_for`" in weak.help
    mended = result_of(verify(table_of(FOUR_EYES.replace("WHO", "caller.acts_for")), levels=levels), name)
    assert mended.verdict is Verdict.HOLDS


def test_where_only_people_are_told_apart_no_agent_is_looked_at() -> None:
    """An agent is as good there as the person behind it: the search has as many states as one of people alone."""
    people = table_of(FOUR_EYES.replace("WHO", "caller.acts_for"))
    entity = people.entities["Change"]
    assert cone_of(people, entity).caller.persons
    # Nobody, then a draft with none, one and two approvers, and what is live; of whom it is makes no difference.
    assert search(people, "Change").states == 3
    names = table_of(FOUR_EYES.replace("WHO", "caller"))
    told = cone_of(names, names.entities["Change"]).caller
    assert (told.principals, told.acts_for, told.persons) == (True, True, False)


def test_ruling_09_a_cause_carries_the_roles_held_when_acting() -> None:
    """The builder's timer ends in `Live`: nobody acts there but the clock."""
    text = """
        blueprint release
        role builder, checker
        role builder excludes checker
        entity Release
          states Built, Live
          final Live
          action Build by builder from new to Built
          in Built
            after 1h do GoLive
          action GoLive by system from Built to Live
          never builder enters Live
          never checker enters Live
    """
    report = verify(table_of(text))
    broken = result_of(report, "never builder enters Live")
    assert run_of(broken) == ["builder: Build -> Built", "the clock: GoLive -> Live"]
    assert result_of(report, "never checker enters Live").verdict is Verdict.PROVED


# --- time -----------------------------------------------------------------------------------------------------------

TIMED = """
    blueprint offer
    role seller, buyer
    entity Offer
      states Open, Sold, Expired
      final Sold, Expired
      until: time
      late_sale: bool = false
      action Make by seller from new to Open
        set until = now + 1h
      action Buy by buyer from Open to Sold GUARD
        set late_sale = now > until
      action Expire by seller from Open to Expired when now >= until
      always not late_sale
"""


def test_a_run_that_needs_the_clock_is_replayed_with_moments() -> None:
    """Buying after the hour is possible, and the run that is shown waits for it."""
    report = verify(table_of(TIMED.replace("GUARD", "")))
    broken = result_of(report, "always not late_sale")
    assert broken.verdict is Verdict.BROKEN
    assert [step.action for step in broken.trace] == ["Make", "Buy"]
    assert broken.trace[1].event["at"] - broken.trace[0].event["at"] == 3_600_001


def test_a_run_that_no_clock_allows_is_not_shown() -> None:
    """With the guard the search, which has no clock, still sees a way; no moments go through, so it says unknown."""
    report = verify(table_of(TIMED.replace("GUARD", "when now < until")), levels=("search",))
    told = result_of(report, "always not late_sale")
    assert told.verdict is Verdict.UNKNOWN
    assert "clock" in told.why
    # The solver knows that a moment is not both before and after another.
    assert result_of(verify(table_of(TIMED.replace("GUARD", "when now < until"))), told.name).verdict is Verdict.PROVED


# --- ways out -------------------------------------------------------------------------------------------------------


def test_what_others_send_is_searched_with_them() -> None:
    """A till gets what guests send it, and nothing else: within so many tills and guests, it holds or is broken."""
    text = """
        blueprint two
        role r
        entity Till
          states Open
          cash: int 0..5 = 0
          action Make by r from new to Open
          action Pay(n: int 0..5) by system from Open
            set cash = n
          always cash < 3
        entity Guest
          states In
          till: Till
          action Come(till) by r from new to In
            set till
          action Leave by r from In
            send till.Pay(2)
    """
    told = result_of(verify(table_of(text), levels=("search",)), "always cash < 3")
    assert told.verdict is Verdict.HOLDS
    assert "at most 2 Till and 2 Guest" in told.why
    report = verify(table_of(text.replace("Pay(2)", "Pay(3)")), levels=("search",))
    assert run_of(result_of(report, "always cash < 3")) == [
        "r: Make -> Open",
        "r: Come -> In",
        "r: Leave -> In",
        "another entity: Pay -> Open",
    ]


ROUTED = """
blueprint mail

role clerk

entity Letter
  states Received, Local, Abroad
  final Local, Abroad

  far: bool

  action Receive(far) by clerk from new to Received
    set far

  in Received on entry do Sort

  action Sort by system
    from Received to Abroad when far
    from Received to Local

  can reach Received, Abroad
"""


def test_ruling_03_a_state_that_is_passed_through_is_reached() -> None:
    """Nothing is ever at rest there: it is reached by the step that goes through it."""
    report = verify(table_of(ROUTED), levels=("algebra", "search", "scenarios"))
    assert report.passed
    assert not report.findings
    verdicts = {each.name: each.verdict for each in report.properties}
    assert verdicts["can reach Received"] is Verdict.PROVED
    assert verdicts["every state can be reached"] is Verdict.PROVED
