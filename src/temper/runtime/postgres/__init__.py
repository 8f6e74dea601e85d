"""A space in PostgreSQL, for as many servers as write to it: entities fall into partitions, each leased by one."""

from temper.runtime.postgres.columns import Lost
from temper.runtime.postgres.leases import now_s
from temper.runtime.postgres.registry import Beat, Registry
from temper.runtime.postgres.store import PostgresStore
from temper.runtime.postgres.tokens import PostgresTokens

__all__ = ["Beat", "Lost", "PostgresStore", "PostgresTokens", "Registry", "now_s"]
