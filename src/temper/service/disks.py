"""What simulated runs stand on."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temper.verify import Disks


def disks_for(levels: Collection[str]) -> AbstractContextManager[Disks | None]:
    """Return what simulated runs stand on: the store that serves, where a folder for it can be had."""
    if "simulation" not in levels:
        return nullcontext()
    # The runtime takes a while to import, and most judgements do not need it.
    from temper.service.rehearsal import sqlite_disks

    return sqlite_disks()
