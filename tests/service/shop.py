"""A workshop for tests: real files, the real verifier, the flagship pushed once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from temper.service import Person, Workshop, load_settings, read_bundle
from temper.service.settings import IdentitySection, PushSection

ROOT = Path(__file__).parents[2]
HELIX = read_bundle(ROOT / "apps" / "helix")
# The version before it had a way back.
BEFORE = {"helix.blueprint": (ROOT / "src/temper/cli/demo/before.blueprint").read_text("utf-8")}

ADMIN = Person("root", admin=True)
ANN = Person("ann", frozenset({"operator"}))
BOB = Person("bob", frozenset({"builder"}))
CAT = Person("cat", frozenset({"release_manager"}))
PLAN = {"cluster": "orders", "build": "v2", "previous": "v1", "brokers": 3}


@dataclass
class Prepared:
    """A data folder with the flagship's first version in force, to be copied."""

    folder: Path
    token: str


@asynccontextmanager
async def opened(
    folder: Path, *, push: PushSection | None = None, identity: IdentitySection | None = None, **limits: object
) -> AsyncIterator[Workshop]:
    """Open a workshop on a data folder, and close it in the end."""
    loaded = load_settings(None, {})
    settings = msgspec.structs.replace(
        loaded.settings,
        server=msgspec.structs.replace(loaded.settings.server, data=str(folder), drain="100ms"),
        limits=msgspec.structs.replace(loaded.settings.limits, **limits),
        push=push or loaded.settings.push,
        identity=identity or loaded.settings.identity,
    )
    workshop = await Workshop.open(replace(loaded, settings=settings))
    try:
        yield workshop
    finally:
        await workshop.close()


async def prepare(folder: Path) -> Prepared:
    """Push the flagship's earlier version into a new data folder."""
    async with opened(folder) as workshop:
        token = workshop.first_token
        assert token is not None
        await workshop.push(ADMIN, "helix", BEFORE)
    return Prepared(folder, token)


def copied(prepared: Prepared, to: Path) -> Path:
    """Return a copy of a prepared data folder."""
    return Path(shutil.copytree(prepared.folder, to))
