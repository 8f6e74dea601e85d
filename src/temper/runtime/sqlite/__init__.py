"""A space in a file of SQLite's, for the one process that has it."""

from temper.runtime.sqlite.store import SqliteStore, archive_of, founded, reading

__all__ = ["SqliteStore", "archive_of", "founded", "reading"]
