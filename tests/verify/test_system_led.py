"""`eventually` through the whole verifier: what holds on every fair run, and the loop where it does not."""

from __future__ import annotations

from temper.verify import PropertyResult, Verdict, verify
from tests.verify.texts import result_of, run_of, table_of

JOB = """
    blueprint job
    role worker, boss
    tool t.op() -> ()
      timeout 1m
    entity Job
      states Waiting, Working, Done
      final Done
      action Make by boss from new to Waiting
      action Take by worker from Waiting to Working
      action Drop by worker from Working to Waiting
      in Working
        on entry call t.op() then Finish else Retry
      action Finish by system from Working to Done
      action Retry by system from Working to Working
      late Finish, Retry ignore
      eventually FROM leads to Done
        ASSUME
"""


def asked(start: str, assume: str) -> PropertyResult:
    """Return what is known of a job that is in `start`."""
    text = JOB.replace("FROM", start).replace("ASSUME", assume or "assume boss responds")
    report = verify(table_of(text), levels=("search",))
    return result_of(report, f"eventually {start} leads to Done")


def test_nobody_is_made_to_act() -> None:
    """A job that waits for a worker waits for ever."""
    text = JOB.replace("FROM", "Waiting").replace("ASSUME", "assume boss responds")
    text = text.replace("      action Drop by worker from Working to Waiting\n", "")
    told = result_of(verify(table_of(text), levels=("search",)), "eventually Waiting leads to Done")
    assert told.verdict is Verdict.BROKEN
    assert run_of(told) == ["boss: Make -> Waiting"]
    assert "nothing has to happen any more" in told.why


def test_a_tool_that_fails_again_and_again_is_a_loop() -> None:
    """Weak fairness brings an outcome, and not the one that is hoped for."""
    told = asked("Working", "")
    assert told.verdict is Verdict.BROKEN
    assert "again and again" in told.why


def test_a_tool_that_succeeds_does_not_help_where_people_may_drop_it() -> None:
    """Taken, dropped and taken again, for ever."""
    told = asked("Working", "assume t.op succeeds")
    assert told.verdict is Verdict.BROKEN
    assert run_of(told)[:3] == ["boss: Make -> Waiting", "worker: Take -> Working", "worker: Drop -> Waiting"]
    assert "again and again" in told.why


def test_with_what_it_rests_on_it_holds_and_says_so() -> None:
    """Without the way back, a tool that succeeds is all that it takes."""
    text = JOB.replace("FROM", "Working").replace("ASSUME", "assume t.op succeeds")
    text = text.replace("      action Drop by worker from Working to Waiting\n", "")
    told = result_of(verify(table_of(text), levels=("search",)), "eventually Working leads to Done")
    assert told.verdict is Verdict.PROVED
    assert told.why.startswith("if t.op succeeds; on every fair run")
