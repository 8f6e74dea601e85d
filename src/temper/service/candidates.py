"""Candidates for a version: files as a table, what a judge says of it, and whether that lets it in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.kernel import TableVersion
from temper.service import whatif, wire
from temper.service.bundle import BYTES_MAX, FILES_MAX, check_texts, is_blueprint, too_large
from temper.service.declined import Declined, broken
from temper.service.judge_process import GuardPair, Judged
from temper.service.judgements import Judgements
from temper.service.modules import LETTERS_MAX, is_module
from temper.service.pauses import Pauses
from temper.service.people import Person
from temper.table import Change, Table, change, digest, dump

BLUEPRINT = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Words that stand where a blueprint's name stands in a path.
RESERVED_BLUEPRINTS = frozenset({"decisions", "grants", "me", "pauses", "sessions", "temper", "tokens"})


@dataclass(frozen=True, slots=True)
class Candidates:
    """Makes candidates, and has them judged. With `allow_unknown`, what nobody could prove lets them in as well."""

    judgements: Judgements
    pauses: Pauses
    now: Callable[[], int]
    allow_unknown: bool

    async def compiled(self, blueprint: str, files: Mapping[str, str]) -> Table:
        """Return the files of a blueprint as a table, or decline."""
        # A module is compiled to be looked into, and policies may be many: nobody else waits for that.
        if not all(is_blueprint(name) for name in files):
            return await asyncio.to_thread(_compile, blueprint, files)
        return _compile(blueprint, files)

    async def judged(
        self, old: Table | None, new: Table, *, newly: bool = False
    ) -> tuple[tuple[wire.ChangeLine, ...], Judged]:
        """Return what changes from `old` to `new`, and what is judged of `new`."""
        changes = change(old, new) if old is not None else ()
        pairs = [_pair(each) for each in changes if each.old is not None and each.new is not None]
        judged = await self.judgements.of(new, pairs, old, newly=newly)
        strengths = iter(judged.strengths)
        lines = []
        for each in changes:
            paired = each.old is not None and each.new is not None
            lines.append(
                wire.ChangeLine(kind=each.kind, text=each.text, strength=next(strengths, "unknown") if paired else None)
            )
        if old is not None:
            said = await asyncio.to_thread(whatif.newly, old, new)
            lines += [wire.ChangeLine(kind="who", text=text) for text in said]
        return tuple(lines), judged

    def passes(self, report: Mapping[str, Any]) -> bool:
        """Say whether a report lets its table in, as the settings are now."""
        if report["passed"]:
            return True
        if not self.allow_unknown or report.get("stopped"):
            return False
        return (
            not any(each["severity"] == "error" for each in report["findings"])
            and all(each["passed"] for each in report["scenarios"])
            and not any(each["verdict"] == "broken" for each in report["properties"])
        )

    def must_pass(self, judged: Judged) -> None:
        """Decline with "unverified" what has not passed."""
        if self.passes(judged.report):
            return
        bad = _not_passed(judged.report["properties"])
        if judged.report.get("stopped"):
            bad = list(judged.report["stopped"])
        bad += [f"scenario failed: {each['title']}" for each in judged.report["scenarios"] if not each["passed"]]
        named = {each["name"] for each in judged.report["properties"]}
        bad += [
            each["message"]
            for each in judged.report["findings"]
            if each["severity"] == "error" and not any(f"`{name}`" in each["message"] for name in named)
        ]
        raise Declined(
            wire.Problem(
                type="unverified",
                title="the blueprint did not pass the verifier, and nothing was changed",
                status=422,
                detail="; ".join(bad),
                help="`temper verify` tells the whole story",
                report=judged.report,
            )
        )

    def version(self, person: Person, table: Table, judged: Judged, number: int, note: str) -> TableVersion:
        """Return a candidate that has passed as a version. Declines where the person has been paused meanwhile."""
        self.pauses.must_be_free(person.caller, table.blueprint)  # It was judged meanwhile, and that takes a while.
        return TableVersion(
            number=number,
            digest=digest(table),
            table=dump(table),
            report=msgspec.json.encode(judged.report),
            at=self.now(),
            by=person.principal,
            note=note,
        )


def _compile(blueprint: str, files: Mapping[str, str]) -> Table:
    if not BLUEPRINT.fullmatch(blueprint) or blueprint in RESERVED_BLUEPRINTS:
        raise Declined(wire.Problem(type="bad-request", title=f"`{blueprint}` is no name for a blueprint", status=422))
    letters = sum(len(text) for name, text in files.items() if is_module(name))
    size = sum(map(len, files.values())) - letters
    if letters > LETTERS_MAX:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title=f"a bundle's modules have at most {LETTERS_MAX:,} characters in all, as they travel",
                status=422,
                detail=f"these have {letters:,}",
                help="`temper push` packs them; leave out of a module what its tool does not need",
            )
        )
    if not files or len(files) > FILES_MAX or size > BYTES_MAX:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title=f"a bundle has from 1 to {FILES_MAX} files of {BYTES_MAX:,} characters in all",
                status=422,
                detail=f"this one has {len(files)} files of {size:,} characters",
            )
        )
    checked = check_texts(files)
    if checked.table is None:
        raise Declined(broken(checked))
    large = too_large(checked.table)
    if large is not None:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title="the blueprint is too large",
                status=422,
                detail=large,
                help="part it into several blueprints",
            )
        )
    if checked.table.blueprint != blueprint:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title=f"these files are the blueprint `{checked.table.blueprint}`, not `{blueprint}`",
                status=422,
                help=f"push them to `/v1/{checked.table.blueprint}`",
            )
        )
    return checked.table


def _pair(each: Change) -> GuardPair:
    entity, _, rest = each.site.partition(".")
    return GuardPair(entity, rest.partition("/")[0], each.old, each.new)


def _not_passed(properties: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is broken, then what nobody knows: each entity's properties by its name, once each."""
    bad: dict[tuple[str, str], list[str]] = {}
    for verdict in ("broken", "unknown", "not checked"):
        for each in properties:
            if each["verdict"] == verdict:
                names = bad.setdefault((verdict, each.get("entity") or ""), [])
                names += [each["name"]] if each["name"] not in names else []
    return [
        f"{verdict}: {f'{entity}: ' if entity else ''}{', '.join(names)}" for (verdict, entity), names in bad.items()
    ]
