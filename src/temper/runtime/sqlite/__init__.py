"""A space in a file of SQLite's, for the one process that has it."""

from temper.runtime.sqlite.file import archive_of, founded, reading
from temper.runtime.sqlite.indexing import scratch_index
from temper.runtime.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "archive_of", "founded", "reading", "scratch_index"]
