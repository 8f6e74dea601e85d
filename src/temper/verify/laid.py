"""What the units of a judgement came to, laid together.

A verdict for each written property (`written.py`), one for each unwritten question (`unwritten.py`), what the runs add
to them, and what each level did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Table, digest, shape
from temper.text import Code, Diagnostic, Severity
from temper.verify.explore.search import Explored
from temper.verify.narrowed import Narrowed, doubted, overruled
from temper.verify.places import place_of
from temper.verify.properties import asked_alone
from temper.verify.report import Level, PropertyResult, Report, ScenarioResult, Verdict
from temper.verify.symbolic.algebra import Algebra, LeftOpen
from temper.verify.symbolic.opened import in_words as opened_in_words
from temper.verify.system.found import Searches
from temper.verify.system.led import Eventual
from temper.verify.telling import Known
from temper.verify.tested import Shown, judged, promises, unkept
from temper.verify.units import (
    Done,
    Kind,
    Lost,
    Outcome,
    Runs,
    Unit,
    algebra_of,
    explored_of,
)
from temper.verify.unwritten import Unwritten
from temper.verify.written import Written

# Unwritten questions that a table has to be sound on. The others are about its use: a reader may answer them.
SAFETY = frozenset({"no assignment leaves its type", "nothing divides by zero", "every outcome has a home"})


def report_of(
    table: Table, levels: Sequence[str], outcomes: Sequence[tuple[Unit, Outcome]], inside: Narrowed
) -> Report:
    """Return what is known of a table after these levels, which have judged it as its policies leave it."""
    return _Judgement(inside.table, levels, outcomes, digest(table), inside).report()


class _Judgement(Struct):
    """Lays together what the units came to."""

    table: Table
    asked: Sequence[str]
    outcomes: Sequence[tuple[Unit, Outcome]]
    digest: str
    inside: Narrowed
    levels: list[Level] = field(default_factory=list)
    results: list[PropertyResult] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)

    def report(self) -> Report:
        found = {name: Known() for name in self.table.entities}
        if "algebra" in self.asked:
            self._algebra(found)
        several = self._search(found) if "search" in self.asked else {}
        together = self._together(found)
        written = Written(
            self.table, found=found, several=several, eventual=self._eventual(), together=together,
            left_out=self.inside.left_out, lifted=self.inside.lifted,
        )  # fmt: skip
        written.tell()
        unwritten = Unwritten(self.table)
        for name, known in found.items():
            unwritten.tell(self.table.entities[name], known)
        self.results = [*written.results, *unwritten.results]
        self.findings = [*written.findings, *unwritten.findings]
        for kind in (Kind.SIMULATION, Kind.PROPERTIES):
            if kind.level in self.asked:
                self._runs(kind, written)
        scenarios = self._scenarios() if "scenarios" in self.asked else ()
        stopped = tuple(f"{unit.name}: {each.why}" for unit, each in self.outcomes if isinstance(each, Lost))
        passed = (
            not stopped
            and not any(each.severity is Severity.ERROR for each in self.findings)
            and all(each.passed for each in scenarios)
            and all(self._known(each) for each in self.results)
        )
        return Report(
            self.digest, self.table.blueprint, passed, tuple(self.levels), tuple(self.results),
            tuple(self.findings), scenarios, stopped=stopped,
        )  # fmt: skip

    def _known(self, each: PropertyResult) -> bool:
        """Say whether a verdict lets a report pass: it is not broken, and is known if it is asked for."""
        if each.verdict is Verdict.BROKEN:
            return False
        if each.verdict not in {Verdict.UNKNOWN, Verdict.NOT_CHECKED}:
            return True
        return each.name not in SAFETY and each.site not in {one.site for one in self.table.properties}

    def _of(self, kind: Kind) -> Iterator[tuple[Unit, Outcome]]:
        return ((unit, outcome) for unit, outcome in self.outcomes if unit.kind is kind)

    def _level(
        self,
        name: str,
        covered: Sequence[str],
        not_covered: Sequence[str] = (),
        states: int | None = None,
        transitions: int | None = None,
    ) -> None:
        """Add what a level did. What was looked up took no time."""
        mine = [(unit, outcome) for unit, outcome in self.outcomes if unit.kind.level == name]
        done = [outcome for _, outcome in mine if isinstance(outcome, Done)]
        lost = [f"{unit.name}: {outcome.why}" for unit, outcome in mine if isinstance(outcome, Lost)]
        seconds = sum(each.seconds for each in done if not each.looked_up)
        looked_up = sum(each.looked_up for each in done)
        policies = self.inside.words() if name == ("search" if "search" in self.asked else "algebra") else ()
        left_out = (*not_covered, *policies, *lost)
        self.levels.append(
            Level(name, seconds, tuple(covered), left_out, states, transitions, units=len(mine), looked_up=looked_up)
        )

    # --- levels -------------------------------------------------------------------------------------------------------

    def _algebra(self, found: Mapping[str, Known]) -> None:
        opened: dict[LeftOpen, None] = {}
        for unit, outcome in self._of(Kind.ALGEBRA):
            known = found[unit.entities[0]]
            if isinstance(outcome, Lost):
                known.lost = outcome.why
                continue
            assert isinstance(outcome.answer, Algebra), "level 1 answers so"
            known.algebra = algebra_of(unit, outcome.answer)
            opened |= dict.fromkeys(known.algebra.left_open)
        told = opened_in_words(self.table, opened)
        left_open = (told,) if told else ()
        self._level(
            "algebra",
            ("guards, cases, assignments, divisions and invariants, for every value of the types",),
            left_open,
        )

    def _together(self, found: Mapping[str, Known]) -> Algebra | None:
        """Return what level 1 found of several entities at once; what that says of one alone is added to its own."""
        alone = asked_alone(self.table)
        together: Algebra | None = None
        for unit, outcome in self._of(Kind.TOGETHER):
            if isinstance(outcome, Lost):
                continue
            assert isinstance(outcome.answer, Algebra), "level 1 answers so"
            here = algebra_of(unit, outcome.answer)
            together = together or Algebra("")
            together.proofs |= here.proofs
            together.open_why |= here.open_why
            together.left_open += here.left_open
            for index, proof in here.proofs.items():
                known = found[alone[index].entity].algebra if index in alone else None
                if known is not None:
                    known.proofs.setdefault(index, proof)
        return together

    def _search(self, found: Mapping[str, Known]) -> dict[int, str]:
        """Note what the searches found; return the properties about several that were asked, with one who knows."""
        several: dict[int, str] = {}
        covered: list[str] = []
        not_covered: list[str] = []
        states, transitions = 0, 0
        for unit, outcome in self._of(Kind.SEARCH):
            if isinstance(outcome, Lost):
                for name in unit.entities:
                    found[name].explored = Explored(name, stopped=outcome.why)
                several |= {number: unit.entities[0] for number in unit.numbers if number not in several}
                continue
            searches = outcome.answer
            assert isinstance(searches, Searches), "level 2 answers so"
            for name, explored in searches.explored.items():
                found[name].explored = explored_of(unit, explored)
            several |= {unit.numbers[number]: name for number, name in searches.asked.items()}
            covered += searches.covered
            not_covered += searches.not_covered
            states, transitions = states + searches.states, transitions + searches.transitions
        self._level("search", covered, not_covered, states, transitions)
        return several

    def _eventual(self) -> dict[int, Eventual]:
        eventual: dict[int, Eventual] = {}
        for unit, outcome in self._of(Kind.FAIR):
            if isinstance(outcome, Lost):
                for number in unit.numbers:
                    if isinstance(self.table.properties[number], shape.Eventually):
                        eventual[number] = Eventual(0, open=outcome.why)
                continue
            assert isinstance(outcome.answer, dict), "fair runs answer so"
            eventual |= {unit.numbers[number]: each for number, each in outcome.answer.items()}
        return eventual

    def _runs(self, kind: Kind, written: Written) -> None:
        """Add what the runs of a level say of each property, part by part."""
        parts = list(self._of(kind))
        covered: list[str] = []
        not_covered: list[str] = []
        shown: list[Shown] = []
        how_much: list[str] = []
        lost = ""
        for unit, outcome in parts:
            of = f"{' and '.join(unit.entities)}: " if len(parts) > 1 else ""
            if isinstance(outcome, Lost):
                lost = lost or outcome.why
                continue
            runs = outcome.answer
            assert isinstance(runs, Runs), "what runs answers so"
            told = [self._placed(each) for each in runs.shown]
            covered += [of + each for each in runs.level.covered]
            not_covered += [of + each for each in runs.level.not_covered]
            how_much.append(of + runs.how_much)
            shown += told
            self._add(unit, kind, told, runs.how_much, written)
        self._level(kind.value, covered, list(dict.fromkeys(not_covered)))
        if kind is Kind.SIMULATION:
            kept = promises(shown, kind.value, "; ".join(how_much))
            self.results.extend(unkept(kept, kind.value, lost) if lost else kept)

    def _add(self, unit: Unit, kind: Kind, shown: Sequence[Shown], how_much: str, written: Written) -> None:
        sites = {self.table.properties[number].site for number in unit.numbers}
        mine = [n for n, each in enumerate(self.results) if each.entity in unit.entities or each.site in sites]
        after, broken = judged(self.table, [self.results[n] for n in mine], shown, kind.value, how_much)
        after = [overruled(doubted(each, self.inside.left_out), self.inside.lifted) for each in after]
        for place, result in zip(mine, after, strict=False):
            self.results[place] = result
        self.results.extend(after[len(mine) :])
        sure = [(code, each) for code, each in broken if each in after]
        self.findings.extend(written.broken(code, _headline(code, each), each) for code, each in sure)

    def _placed(self, shown: Shown) -> Shown:
        """Return a run with the places of its steps: whoever told it did not know the texts."""
        return replace(shown, story=tuple(replace(step, place=place_of(self.table, step.site)) for step in shown.story))

    def _scenarios(self) -> tuple[ScenarioResult, ...]:
        results: tuple[ScenarioResult, ...] = ()
        covered: list[str] = []
        for _, outcome in self._of(Kind.SCENARIOS):
            if isinstance(outcome, Done):
                assert isinstance(outcome.answer, tuple), "scenarios answer so"
                results = outcome.answer
                self.findings.extend(each.problem for each in results if each.problem is not None)
                covered.append(f"{sum(each.passed for each in results)} of {len(results)} come out as written")
        self._level("scenarios", covered)
        return results


def _headline(code: Code, broken: PropertyResult) -> str:
    return f"a run breaks `{broken.name}`" if code is Code.B501 else broken.why
