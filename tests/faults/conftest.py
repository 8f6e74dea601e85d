"""The flagship, pushed once, for the faults that a whole server is to answer."""

from __future__ import annotations

from tests.service.conftest import prepared, shop

__all__ = ["prepared", "shop"]
