"""What has been judged once is looked up: reports by the digest of their table, comparisons by the pair of guards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from temper.kernel import TableVersion
from temper.service.judge_process import GuardPair, Judged, NewlyReached, judge
from temper.service.settings import PushSection
from temper.service.space import version_report
from temper.table import Table, digest

KEPT_MAX = 64


class Judgements:
    """The reports that a server has asked for, the last ones of them.

    A report that was cut short is not kept: another try may get further.
    """

    def __init__(self, push: PushSection, folder: Path) -> None:
        self._push = push
        # What units of judgement came to outlives the server, and is shared by all of its blueprints.
        self._answers = folder / "judged"
        self._reports: OrderedDict[tuple[str, str | None], dict[str, Any]] = OrderedDict()
        self._newly: OrderedDict[tuple[str, str], tuple[NewlyReached, ...]] = OrderedDict()
        self._strengths: OrderedDict[tuple[GuardPair, ...], tuple[str, ...]] = OrderedDict()

    def remember(self, version: TableVersion) -> None:
        """Keep the report with which a version was let in, if it answers all that the settings ask for now.

        What was let in once can be gone back to without being judged anew, whatever is live by then.
        """
        report = version_report(version)
        levels = {level["name"] for level in report["levels"]}
        if levels >= set(self._push.levels):
            _keep(self._reports, (version.digest, None), report)

    async def of(
        self, table: Table, pairs: Sequence[GuardPair], before: Table | None = None, *, newly: bool = False
    ) -> Judged:
        """Return the report on a table that is to come after `before`, and how strong the second guard of each pair
        is; with `newly`, what roles can reach then that they could not before."""
        key = digest(table), None if before is None else digest(before)
        report = self._reports.get(key) or self._reports.get((key[0], None))
        asked = tuple(pairs)
        strengths = self._strengths.get(asked) if asked else ()
        change = (digest(before), key[0]) if newly and before is not None else None
        reached = self._newly.get(change) if change is not None else ()
        if report is not None and strengths is not None and reached is not None:
            return Judged(report, strengths, reached)
        levels = self._push.levels if report is None else ()
        judged = await judge(
            table, self._push, levels=levels, before=before, answers=self._answers, guards=asked,
            newly=reached is None,
        )  # fmt: skip
        if judged.report["stopped"]:
            return judged
        _keep(self._strengths, asked, judged.strengths)
        if change is not None and reached is None:
            _keep(self._newly, change, judged.newly)
        if report is not None:
            return Judged(report, judged.strengths, judged.newly if reached is None else reached)
        _keep(self._reports, key, judged.report)
        return judged


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT_MAX:
        kept.popitem(last=False)
