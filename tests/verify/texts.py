"""Tables from texts, for tests of judgement."""

from __future__ import annotations

from textwrap import dedent

from temper.model import check
from temper.syntax import parse_bundle
from temper.table import Table, compile_machine
from temper.text import Severity, Source, render
from temper.verify import PropertyResult, Report


def table_of(text: str, name: str = "test.blueprint") -> Table:
    """Return the table of a blueprint that has no mistake."""
    source = Source(name, dedent(text).lstrip("\n"))
    tree, unread = parse_bundle([source])
    machine, unsound = check(tree)
    errors = [each for each in (*unread, *unsound) if each.severity is Severity.ERROR]
    assert not errors, "\n".join(render(each, {name: source}) for each in errors)
    return compile_machine(machine, [source])


def lines_of(report: Report) -> dict[str, str]:
    """Return the verdict of each property, in its word."""
    return {each.name: each.verdict.value for each in report.properties}


def result_of(report: Report, name: str) -> PropertyResult:
    """Return what the report says of one property."""
    return next(each for each in report.properties if each.name == name)


def codes_of(report: Report) -> list[str]:
    """Return the codes of the findings, in order."""
    return [each.code.name for each in report.findings]


def run_of(result: PropertyResult) -> list[str]:
    """Return a run's steps as "who: action -> state"."""
    return [f"{step.who}: {step.action} -> {step.after}" for step in result.trace]


HELIX = """
    blueprint helix

    role operator, builder, release_manager
    role builder excludes release_manager

    tool kubernetes.set_partition(name: string, partition: int 0..63)
      timeout 2m
      retry 5 every 10s
      idempotent

    # Rolls a build out through its StatefulSet, one broker at a time.
    entity Rollout
      states Planned, Rolling, Verifying, Live, Halted, RolledBack
      final Live, RolledBack

      cluster: string
      build: string
      brokers: int 1..64
      moved: int 0..64 = 0
      halted_because: string?

      action Plan(cluster, build, brokers) by builder, operator from new to Planned
        set cluster, build, brokers

      action Start by operator from Planned to Rolling

      in Rolling
        on entry call kubernetes.set_partition(cluster, brokers - moved - 1) then Moved else Halt(error.text)
        after 30m do Halt("no progress for 30 minutes")

      action Moved by system
        from Rolling to Verifying when moved + 1 == brokers
        from Rolling to Rolling
        set moved += 1

      action Promote by release_manager from Verifying to Live

      action Halt(reason: string) by operator, system from Rolling, Verifying to Halted
        set halted_because = reason

      action RollBack by operator from Halted to RolledBack

      in Halted, RolledBack late Moved, Halt ignore

      always moved <= brokers
      always state is Live implies moved == brokers
      always before.moved <= moved
      eventually Rolling leads to Verifying, Halted
      never builder enters Live
"""
"""The flagship of the language's page."""
