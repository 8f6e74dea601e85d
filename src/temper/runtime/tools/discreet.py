"""What an adapter answers, without any secret in it, whoever wrote the adapter."""

from __future__ import annotations

import logging

from temper.runtime.tools.adapter import Adapter, Answered, Attempt, Call, Failed, Unknown
from temper.runtime.vault import Vault

_log = logging.getLogger("temper.tools")


class Discreet:
    """An adapter whose answers go through the vault.

    Adapters hide secrets themselves before they cut a text, since half a secret is not known again. This is for what
    one forgets, and for what one raises: a traceback may quote a request.
    """

    def __init__(self, adapter: Adapter, vault: Vault) -> None:
        self.adapter = adapter
        self._vault = vault

    def __repr__(self) -> str:
        return f"Discreet({self.adapter!r})"

    async def call(self, call: Call) -> Attempt:
        """Make one attempt, as the adapter does."""
        hide = self._vault.hide
        try:
            match await self.adapter.call(call):
                case Answered(value):
                    return Answered({name: self._vault.hide_in(each) for name, each in value.items()})
                case Failed(kind, text, retry):
                    return Failed(hide(str(kind)), hide(text), retry)
                case Unknown(text):
                    return Unknown(hide(text))
        except Exception as problem:  # noqa: BLE001  # it may be a stranger's, and its text may hold anything
            _log.error("the adapter of %s raised %s: %s", call.tool, type(problem).__name__, hide(str(problem)))
            return Unknown(f"the adapter failed: {type(problem).__name__}")

    async def close(self) -> None:
        """Let go of connections."""
        await self.adapter.close()
