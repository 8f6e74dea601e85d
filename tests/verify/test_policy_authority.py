"""Who gets where under policies: rows in which a verifier that reads them wrongly would say that all is well."""

from __future__ import annotations

import pytest

from temper.verify import Limits, Verdict, verify
from tests.verify.policies import guarded
from tests.verify.texts import result_of, run_of

SHIP = """
    blueprint gate
    role builder, manager
    EXCLUDES
    entity Ship
      states Draft, Held, Live
      final Live
      note: string?
      author: principal
      reviewers: set of principal max 2 = {}
      yes: set of principal max 2 = {}
      action Write(reviewers, note) by anyone from new to Draft
        set reviewers, note
        set author = caller.acts_for
      action Hold by anyone from Draft to Held
      action Approve by manager from Draft
        when caller.acts_for not in yes and size(yes) < 2
        set yes += caller.acts_for
      action Release(force: bool = false) by WHO from Draft, Held to Live
        WHEN
      TIMER
      PROPERTY
"""
NEVER = "never builder enters Live"
NEEDS = "Live needs 2 of manager by Approve besides author"
BUILDER, MANAGER = (f'principal in temper::Role::"{role}"' for role in ("builder", "manager"))
APART = "role builder excludes manager"
FINE = (Verdict.HOLDS, Verdict.PROVED)
ENDS_BY_BUILDER, ENDS_BY_BOTH = "builder: Release -> Live", "builder, who is manager too,: Release -> Live"


def release(condition: str) -> str:
    """Return a policy against releasing."""
    return f'forbid (principal, action == gate::Action::"Ship.Release", resource) {condition};'


def approve(condition: str) -> str:
    """Return a policy against approving."""
    return f'forbid (principal, action == gate::Action::"Ship.Approve", resource) when {{ {condition} }};'


# Who may release by the blueprint, what else it says, the policies, and how the shortest run ends, if there is one.
NEVERS = [
    # Whoever holds both is let through by the one, and is the other still (9).
    ("anyone", {}, release(f"unless {{ {MANAGER} }}"), ENDS_BY_BOTH),
    ("anyone", {"EXCLUDES": APART}, release(f"unless {{ {MANAGER} }}"), None),
    # The other state is left out.
    ("anyone", {}, release(f'when {{ resource.state == "Draft" && {BUILDER} }}'), ENDS_BY_BUILDER),
    ("anyone", {}, release(f'when {{ ["Draft", "Held"].contains(resource.state) && {BUILDER} }}'), None),
    # So is what the caller may choose.
    ("anyone", {}, release(f"when {{ !context.params.force && {BUILDER} }}"), ENDS_BY_BUILDER),
    # Whom a field names may hold any role.
    ("reviewers", {}, release(f"when {{ resource.reviewers.contains(principal) && {BUILDER} }}"), None),
    ("reviewers", {}, release(f"when {{ !resource.reviewers.contains(principal) && {BUILDER} }}"), ENDS_BY_BUILDER),
    # Agents are kept out, and people are not; and the other way round.
    ("anyone", {}, release(f"when {{ principal.agent && {BUILDER} }}"), ENDS_BY_BUILDER),
    ("anyone", {}, release(f"when {{ !principal.agent && {BUILDER} }}"), ENDS_BY_BUILDER),
    ("anyone", {}, release(f"when {{ (principal.agent || !(principal has acts_for)) && {BUILDER} }}"), None),
    # The clock acts for a builder, and no policy is asked (11).
    ("manager, system", {"TIMER": "in Draft after 1h do Release"}, release(f"when {{ {BUILDER} }}"),
     "the clock: Release -> Live"),
    # Somebody may lift it, for a builder too.
    ("anyone", {}, release(f"when {{ {BUILDER} }}")
     + f'permit ({MANAGER}, action == gate::Action::"Ship.Release.approve", resource);', ENDS_BY_BUILDER),
    ("anyone", {}, f'forbid ({BUILDER}, action in gate::Action::"write", resource);', None),
    # It can't be evaluated without a note, and forbids then; with another note it lets through.
    ("anyone", {}, release(f'when {{ resource.note == "x" && {BUILDER} }}'), ENDS_BY_BUILDER),
    ("anyone", {}, release(f'when {{ (resource.note == "x" || true) && {BUILDER} }}'), None),
    # Whichever team it is, builders are kept out.
    ("anyone", {}, release(f'when {{ principal in temper::Team::"core" || {BUILDER} }}'), None),
    ("anyone", {}, release(f'when {{ {BUILDER} || principal in temper::Team::"core" }}'), None),
    ("anyone", {}, release(f'unless {{ principal in temper::Team::"core" && {MANAGER} }}'), "unknown"),
    ("anyone", {"EXCLUDES": APART}, release(f'unless {{ principal in temper::Team::"core" && {MANAGER} }}'), None),
]  # fmt: skip


@pytest.mark.parametrize(("who", "more", "cedar", "ends"), NEVERS)
def test_a_role_gets_where_a_policy_lets_it(who: str, more: dict[str, str], cedar: str, ends: str | None) -> None:
    """The shortest run, where there is one; *unknown* only where it rests on what the table does not know."""
    _holds(_text(who, NEVER, more), cedar, NEVER, ends)


# Against approving, and how long the shortest run is (none: it holds). An author's agent is another principal.
NEEDED = [
    (approve("principal == resource.author"), 4),
    (approve("principal == resource.author || (principal.agent && principal.acts_for == resource.author)"), None),
    (approve("principal.agent || principal == resource.author"), None),
    # Whoever acts for nobody can't be compared, and is kept out; an author who is somebody's agent is not.
    (approve("principal.acts_for == resource.author"), 4),
]


@pytest.mark.parametrize(("cedar", "length"), NEEDED)
def test_people_are_counted_as_policies_let_them(cedar: str, length: int | None) -> None:
    text = _text("manager", NEEDS, {"WHEN": "when size(yes) == 2"})
    result = result_of(verify(guarded(text, cedar), levels=("search",), limits=Limits()), NEEDS)
    assert result.verdict in (FINE if length is None else (Verdict.BROKEN,)), result
    assert len(result.trace) == (length or 0)


def test_an_agent_has_somebody_behind_it_though_nothing_keeps_who_they_are() -> None:
    """One principal was all that the search had where no field holds any: nobody was anybody's agent."""
    text = """
        blueprint bots
        role worker
        entity Job
          states Open, Done
          action Open by worker from new to Open
          action Finish by worker from Open to Done
            when caller != caller.acts_for
          always not state is Done
    """
    result = result_of(verify(guarded(text, ""), levels=("search",)), "always not state is Done")
    assert run_of(result) == ["worker: Open -> Open", "worker: Finish -> Done"]


def test_whom_parameters_name_is_told_from_whom_fields_hold() -> None:
    """Nobody asks who acts: there are as many as one request can name beside the one that is kept."""
    text = """
        blueprint hand
        role worker
        entity Item
          states Kept, Given
          owner: principal
          action Keep(owner) by worker from new to Kept
            set owner
          action Give(to: principal, witness: principal) by worker from Kept to Given
            when to != owner and witness != owner and witness != to
          always not state is Given
    """
    result = result_of(verify(guarded(text, ""), levels=("search",)), "always not state is Given")
    assert run_of(result) == ["worker: Keep -> Kept", "worker: Give -> Given"]


def _text(who: str, property_: str, more: dict[str, str]) -> str:
    words = {"EXCLUDES": "", "WHEN": "", "TIMER": "", "WHO": who, "PROPERTY": property_, **more}
    text = SHIP
    for word, meant in words.items():
        text = text.replace(word, meant)
    return "\n".join(line for line in text.split("\n") if line.strip())


def _holds(text: str, cedar: str, name: str, ends: str | None) -> None:
    """Hold that the search finds the run, and that neither the solver nor the simulator says the opposite."""
    table = guarded(text, cedar)
    search, algebra, simulated = (
        result_of(verify(table, levels=(level,), limits=Limits()), name)
        for level in ("search", "algebra", "simulation")
    )
    if ends is None:
        assert search.verdict in FINE, search
        assert simulated.verdict is not Verdict.BROKEN
    elif ends == "unknown":
        assert search.verdict is Verdict.UNKNOWN
    else:
        assert search.verdict is Verdict.BROKEN, search
        assert run_of(search)[-1] == ends
    assert (algebra.verdict is Verdict.PROVED) <= (ends is None)
