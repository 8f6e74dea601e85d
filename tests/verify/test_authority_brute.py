"""`never` and `needs`, judged by the levels and by walking through all that a few people can do."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from temper.table import Caller, Table, shape
from temper.verify import Limits, Verdict, verify
from tests.verify.brute import Walk
from tests.verify.policies import guarded
from tests.verify.texts import result_of

PAPER = """\
blueprint votes

role writer, voter
{apart}
entity Paper
  states Draft, Passed
  final Passed

  author: principal
  voters: set of principal max 2 = {{}}

  action Write by writer from new to Draft
    set author = {author}

  action Vote by {may_vote}
    from Draft
    when size(voters) < 2
{votes}    set voters += {who}

  action Pass by {may_pass} from Draft to Passed
{passes}
{timer}"""
BALLOT = """
entity Ballot
  states Blank, Cast
  final Cast

  paper: Paper

  action Take(paper) by voter, writer from new to Blank
    set paper

  action Put by {may_put} from Blank to Cast
    {puts}
"""
ROLES = ["writer", "voter"]
VOTES = ["caller not in voters", "caller.acts_for not in voters", "caller != author", "caller.acts_for != author"]
PASSES = ["size(voters) == 2", "size(voters) >= 1", "author not in voters", "caller.acts_for not in voters"]
NEVERS = [f"never {role} enters Paper.Passed" for role in ROLES]
NEEDS = [
    *[f"Paper.Passed needs {count} of voter by Vote{but}" for count in (1, 2) for but in ("", " besides author")],
    "Paper.Passed needs 1 of writer by Pass", "Paper.Passed needs 1 of voter by Pass besides author",
]  # fmt: skip
AGENT = "principal.agent"
CONDITIONS = [
    AGENT, f"!{AGENT}", "principal == resource.author",
    "principal.agent && principal.acts_for == resource.author", "resource.voters.contains(principal)",
    'principal in temper::Role::"writer"', '!(principal in temper::Role::"voter")',
    f'{AGENT} && principal in temper::Role::"voter"', "principal == resource.author || principal.agent",
]  # fmt: skip


@st.composite
def bundles(draw: st.DrawFn) -> tuple[str, str, bool]:
    """Draw a blueprint, its policies, and whether there are ballots."""
    ballots = draw(st.booleans())
    roles = st.sampled_from(["writer", "voter", "voter", "writer, voter", "anyone"])
    by = {name: draw(roles) for name in ("may_vote", "may_pass", "may_put")}
    timer = draw(st.booleans()) and not ballots
    how = draw(st.sampled_from(["with paper.Vote", "send paper.Vote", "with paper.Pass", "send paper.Pass"]))
    if ballots:
        moved = "may_vote" if how.endswith("Vote") else "may_pass"
        by[moved] = draw(st.sampled_from(["system", f"{by[moved]}, system"]))
    if timer:
        by["may_pass"] = draw(st.sampled_from(["system", f"{by['may_pass']}, system"]))
    # Careful ones more often than not: of careless ones most are broken at once.
    votes = draw(st.one_of(st.just(VOTES), st.just(VOTES[1:]), st.lists(st.sampled_from(VOTES), unique=True)))
    passes = draw(st.one_of(st.just(PASSES[:1]), st.lists(st.sampled_from(PASSES), max_size=2, unique=True)))
    text = PAPER.format(
        apart=draw(st.sampled_from(["", "role writer excludes voter\n"])),
        author=draw(st.sampled_from(["caller", "caller.acts_for"])),
        votes="".join(f"    when {each}\n" for each in votes),
        passes="".join(f"    when {each}\n" for each in passes),
        who=draw(st.sampled_from(["caller", "caller.acts_for"])),
        timer="\n  in Draft after 1h do Pass\n" if timer else "",
        **by,
    )
    if ballots:
        text += BALLOT.format(puts=how, **by)
    text += f"\n{draw(st.sampled_from(NEVERS + NEEDS))}\n"
    text += "scope Paper 1, Ballot 2\n" if ballots else ""
    asked = [name for name, moved in (("Vote", "may_vote"), ("Pass", "may_pass")) if by[moved] != "system"]
    forbids = (
        draw(st.lists(st.tuples(st.sampled_from(asked), st.sampled_from(CONDITIONS)), max_size=2)) if asked else []
    )
    policies = [
        f'forbid (principal, action == votes::Action::"Paper.{action}", resource) when {{ {condition} }};'
        for action, condition in forbids
    ]
    if asked and draw(st.integers(0, 4)) == 0:
        policies.append(f'permit (principal, action == votes::Action::"Paper.{asked[0]}.approve", resource);')
    return text, "\n".join(policies), ballots


NAMES = ("ann", "bob", "cid")


def people(table: Table) -> list[Caller]:
    """Return whoever there is, in person and as each other's agents, with each role and with what roles may go with."""
    held = [frozenset({role}) for role in ROLES]
    if not any(role.excludes for role in table.roles):
        held.append(frozenset(ROLES))
    return [
        Caller(name, roles, behind) for name, behind, roles in product(NAMES, (None, *NAMES), held) if behind != name
    ]


def walk(table: Table, ballots: bool) -> Walk:
    asked: Any = table.properties[0]
    assert isinstance(asked, shape.Never | shape.Needs)
    every = people(table)
    # What one name may begin with, each may.
    first = [each for each in every if each.principal == "ann" and each.acts_for != "cid"]
    ids = {"Paper": ["p"], "Ballot": ["x", "y"]} if ballots else {"Paper": ["p"]}
    return Walk(table, asked, ids, every, first)


@given(bundles())
@settings(max_examples=15)
def test_the_levels_say_of_people_what_walking_through_all_they_do_says(bundle: tuple[str, str, bool]) -> None:
    text, policies, ballots = bundle
    table = guarded(text, policies)
    broken = walk(table, ballots).breaks(1_500)
    assume(broken is not None)
    note(f"{text}\n{policies}")
    name = table.properties[0].name
    report = verify(table, levels=("algebra", "search"), limits=Limits())
    verdict = result_of(report, name).verdict
    assert verdict in ((Verdict.BROKEN,) if broken else (Verdict.PROVED, Verdict.HOLDS)), report.properties
