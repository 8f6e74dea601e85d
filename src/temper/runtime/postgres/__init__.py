"""A space in PostgreSQL, for as many servers as write to it: entities fall into partitions, each leased by one."""

from temper.runtime.postgres.columns import Lost
from temper.runtime.postgres.registry import Beat, PostgresTokens, Registry
from temper.runtime.postgres.store import PostgresStore, now_s

__all__ = ["Beat", "Lost", "PostgresStore", "PostgresTokens", "Registry", "now_s"]
