"""The other servers of a cluster: what they have paused, pushed, granted and revoked, heard and done here."""

from __future__ import annotations

import asyncio
import logging

from temper.runtime import Cluster
from temper.service.decisions import Decisions
from temper.service.office import NAME as OFFICE
from temper.service.waking import Waking

# Between two looks for what is granted of this server's share.
CARRY_S = 0.5

_log = logging.getLogger("temper.service")


class Others:
    """Listens to the other servers, from when it is made until `close`. Made on the loop of the spaces."""

    def __init__(self, cluster: Cluster, waking: Waking, decisions: Decisions) -> None:
        self._cluster = cluster
        self._waking = waking
        self._decisions = decisions
        cluster.keep(waking.wake, self._news)
        decisions.pauses.everywhere = cluster.tell
        self._carrying = asyncio.get_running_loop().create_task(self._carry_for_others(), name="temper decisions")

    async def close(self) -> None:
        """Do nothing for others any more."""
        self._carrying.cancel()
        await asyncio.gather(self._carrying, return_exceptions=True)

    async def _news(self) -> None:
        """Take in what other servers have paused, and return once this one stands still."""
        if self._decisions.office.space is not None:
            await self._decisions.office.look()
        elif OFFICE in self._cluster.spaces():
            await self._waking.wake(OFFICE)
        await self._decisions.pauses.settled_here()

    async def _carry_for_others(self) -> None:
        """Do what is granted of this server's share, where another keeps the decision.

        And end what is over of the decisions and grants that it keeps, once another has pushed or revoked.
        """
        tidied: object = None
        while True:
            await asyncio.sleep(CARRY_S)
            try:
                await self._decisions.carrying.for_others()
                heard = self._heard()
                if heard != tidied:
                    await self._decisions.tidy()
                    tidied = heard
            except Exception as problem:  # noqa: BLE001 - whatever it is, the next round is another
                _log.warning("decisions can't be carried out just now: %s", problem)

    def _heard(self) -> tuple[object, ...]:
        pushed = tuple((name, space.version.number) for name, space in sorted(self._waking.spaces.items()))
        return self._cluster.tokens.known, pushed, self._decisions.office.space is None
