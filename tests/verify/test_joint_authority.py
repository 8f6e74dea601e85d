"""Who gets whom where: authority over entities that move each other, with several people in each role."""

from __future__ import annotations

import pytest

from temper.verify import Limits, Verdict, verify
from temper.verify.system.found import Together, search_together
from tests.verify.texts import result_of, run_of, table_of

RELEASE = """
    blueprint release
    role builder, manager
    role builder excludes manager
    entity Deploy
      states Waiting, Live
      final Live
      DEPLOY
      action Make by manager from new to Waiting
      action GoLive by manager, system from Waiting to Live
    entity Ticket
      states Open, Closed
      final Closed
      deploy: Deploy
      action Ask(deploy) by builder from new to Open
        set deploy
      action Close by CLOSES
        from Open to Closed
        CLOSE
    OTHERS
    never builder enters Deploy.Live
    scope Deploy 1, Ticket 1
"""
CHANGE = """
    entity Change
      states Begun
      deploy: Deploy
      action Begin(deploy) by system from new to Begun
        set deploy
        ACT
"""
MAKE, ASK = "manager: Make -> Waiting", "builder: Ask -> Open"


def release(close: str, by: str = "builder", deploy: str = "", others: str = "") -> str:
    """Return the text, with what closing a ticket does, by whom, and what else there is."""
    text = RELEASE.replace("CLOSES", by).replace("CLOSE", close).replace("OTHERS", others.strip())
    return "\n".join(line for line in text.replace("DEPLOY", deploy).split("\n") if line.strip())


def change(act: str) -> str:
    """Return another kind of entity, which acts as it is made."""
    return CHANGE.replace("ACT", act)


NEVER = "never builder enters Deploy.Live"
# What closing a ticket does, what else there is, and the run that gets a builder's doing there.
CHAINS = [
    ("with deploy.GoLive", "", "", ["builder: Close -> Closed", "another entity: GoLive -> Live"]),
    ("send deploy.GoLive", "", "", ["builder: Close -> Closed", "another entity: GoLive -> Live"]),
    # It made the deployment due: what happens then is its doing (8).
    ("", "tickets: every Ticket.deploy max 1\n      in Waiting whenever any t in tickets: t.state is Closed do GoLive",
     "", ["builder: Close -> Closed", "the clock: GoLive -> Live"]),
    # So it is where a derived value looks at the ticket.
    ("", ("tickets: every Ticket.deploy max 1\n      let due = any t in tickets: t.state is Closed\n"
          "      in Waiting whenever due do GoLive"),
     "", ["builder: Close -> Closed", "the clock: GoLive -> Live"]),
    # Through a third one, that is made on the way.
    ("create Change.Begin(deploy)", "", change("with deploy.GoLive"),
     ["builder: Close -> Closed", "another entity: Begin -> Begun", "another entity: GoLive -> Live"]),
    ("create Change.Begin(deploy)", "", change("send deploy.GoLive"),
     ["builder: Close -> Closed", "another entity: Begin -> Begun", "another entity: GoLive -> Live"]),
]  # fmt: skip


@pytest.mark.parametrize(("close", "deploy", "others", "chain"), CHAINS)
def test_who_moves_another_through_others_has_moved_it(close: str, deploy: str, others: str, chain: list[str]) -> None:
    """`system` acts, but on behalf of the builder who closed the ticket; the run tells the whole chain."""
    table = table_of(release(close, "builder", deploy, others))
    assert result_of(verify(table, levels=("algebra",)), NEVER).verdict is not Verdict.PROVED
    told = result_of(verify(table, levels=("search",)), NEVER)
    assert told.verdict is Verdict.BROKEN
    assert run_of(told) == [MAKE, ASK, *chain]


@pytest.mark.parametrize(("close", "deploy", "others"), [each[:3] for each in CHAINS])
def test_where_the_first_of_the_chain_is_allowed_to_nobody_else_holds_it(close: str, deploy: str, others: str) -> None:
    """The same chains, begun by a manager: that a builder asked for the ticket moves nothing, and no search says so."""
    table = table_of(release(close, "manager", deploy, others))
    assert result_of(verify(table, levels=("search",)), NEVER).verdict in {Verdict.PROVED, Verdict.HOLDS}
    found = search_together(table, table.entities, Limits())
    assert isinstance(found, Together)
    assert "never" not in {key[0] for key in found.explored["Deploy"].breaks}
    assert ("state", "Live") in found.explored["Deploy"].reached


VOTES = """
    blueprint votes
    role writer, voter
    entity Paper
      states Draft, Passed
      final Passed
      author: principal
      votes: int 0..3 = 0
      voters: set of principal max 3 = {}
      action Write by writer from new to Draft
        set author = caller.acts_for
      action Vote by voter, system
        from Draft to Passed when votes == 1
        from Draft when votes < 1
        WHEN
        set votes += 1
        set voters += WHO
    entity Ballot
      states Blank, Cast
      final Cast
      paper: Paper
      action Take(paper) by voter from new to Blank
        set paper
      action Put by voter from Blank to Cast
        HOW
    PROPERTY
    scope Paper 1, Ballot 2
"""
NEEDS = "Paper.Passed needs 2 of voter by Vote"
BESIDES = f"{NEEDS} besides author"
WRITE, TAKE, PUT = "writer: Write -> Draft", "voter: Take -> Blank", "voter: Put -> Cast"
FIRST, SECOND = "another entity: Vote -> Draft", "another entity: Vote -> Passed"


def votes(property_: str, when: str, how: str = "with paper.Vote") -> str:
    """Return the text: what is asked, who may not vote, and how a ballot counts. Who voted is kept as it is asked."""
    who = "caller" if TWICE in when else "caller.acts_for"
    text = VOTES.replace("PROPERTY", property_).replace("WHEN", when).replace("HOW", how).replace("WHO", who)
    return "\n".join(line for line in text.split("\n") if line.strip())


TWICE = 'when caller not in voters else "voted already"'
PEOPLE = 'when caller.acts_for not in voters else "voted already"'
OWN = 'when caller != author else "it is your own"'
BEHIND = 'when caller.acts_for != author else "it is your own"'


@pytest.mark.parametrize(
    ("property_", "when", "how", "expected"),
    [
        # The shortest way votes directly, twice the same.
        (NEEDS, "", "with paper.Vote", 3),
        (NEEDS, OWN, "with paper.Vote", 3),
        # Two principals, of whom one is the other's agent.
        (NEEDS, TWICE, "with paper.Vote", 3),
        (NEEDS, PEOPLE, "with paper.Vote", None),
        (NEEDS, PEOPLE, "send paper.Vote", None),
        # Two different people, of whom one is the author.
        (BESIDES, PEOPLE, "with paper.Vote", 3),
        # An agent of the author's is not the author, and does not count.
        (BESIDES, f"{PEOPLE}\n        {OWN}", "with paper.Vote", 3),
        # Nor does the author as an agent of another's.
        (BESIDES, f"{PEOPLE}\n        {BEHIND}", "with paper.Vote", 3),
        (BESIDES, f"{TWICE}\n        {OWN}\n        {BEHIND}", "with paper.Vote", 3),
        (BESIDES, f"{PEOPLE}\n        {OWN}\n        {BEHIND}", "with paper.Vote", None),
        (BESIDES, f"{PEOPLE}\n        {OWN}\n        {BEHIND}", "send paper.Vote", None),
    ],
)
def test_callers_behind_others_are_counted_once_each(property_: str, when: str, how: str, expected: int | None) -> None:
    """`needs` counts people, through ballots as directly, with as many principals as it takes to tell them apart."""
    told = result_of(verify(table_of(votes(property_, when, how)), levels=("search",)), property_)
    if expected is None:
        assert told.verdict is Verdict.HOLDS, told.why
    else:
        assert told.verdict is Verdict.BROKEN
        assert len(told.trace) == expected


def test_a_vote_that_only_ballots_cast_is_counted_for_who_cast_it() -> None:
    """With `Vote` for the system alone, one who takes two ballots passes a paper alone; two people need not."""
    careless = votes(NEEDS, "").replace("Vote by voter, system", "Vote by system")
    told = result_of(verify(table_of(careless), levels=("search",)), NEEDS)
    assert told.verdict is Verdict.BROKEN
    assert sorted(run_of(told)) == sorted([WRITE, TAKE, TAKE, PUT, FIRST, PUT, SECOND])
    careful = votes(NEEDS, PEOPLE).replace("Vote by voter, system", "Vote by system")
    assert result_of(verify(table_of(careful), levels=("search",)), NEEDS).verdict is Verdict.HOLDS
