"""Asks a space's file, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from temper.runtime.disk import fault_of
from temper.runtime.sqlite.file import asking


class Reader:
    """Asks the file `path`. Each thread has a connection of its own, which waits for no append."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self._threads = threading.local()
        self._connections: list[apsw.Connection] = []

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def cursor(self) -> apsw.Cursor:
        """Return a cursor of this thread's own connection."""
        connection: apsw.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = asking(self._path, self._vfs)
            self._connections.append(connection)
        return connection.cursor()

    def rows(self, sql: str, *given: Any) -> Sequence[Any]:
        """Return the rows that answer a question. Raises `StoreFault`."""
        try:
            return self.cursor().execute(sql, given).fetchall()
        except apsw.Error as problem:
            raise fault_of(self._path, problem) from problem

    def first(self, sql: str, *given: Any) -> Any:
        """Return the first row, or `None`."""
        try:
            return self.cursor().execute(sql, given).fetchone()
        except apsw.Error as problem:
            raise fault_of(self._path, problem) from problem

    def one(self, sql: str, *given: Any) -> Any:
        """Return the only value of the first row, or `None`."""
        try:
            return self.cursor().execute(sql, given).get
        except apsw.Error as problem:
            raise fault_of(self._path, problem) from problem
