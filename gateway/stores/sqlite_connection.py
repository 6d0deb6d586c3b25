"""A SQLite file: how it is opened, on which thread it is used, and what its errors mean."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.errors import Stale, StoreError

T = TypeVar("T")

OLDEST = (3, 35, 0)
"""The first SQLite with everything the statements use: RETURNING, upsert, UPDATE FROM."""

PAGE = 4096
"""Bytes. Look-up keys are hashes: nearly each one dirties a page of its own, and that page is what a commit writes."""

CHECKPOINT = 16 * 1024 * 1024
"""Bytes of write-ahead log after which a commit also writes back to the file. Larger is faster and makes that commit slower."""

_REMEDIES = {
    "SQLITE_BUSY": "another process holds the store; find out which one, or wait for it",
    "SQLITE_LOCKED": "another process holds the store; find out which one, or wait for it",
    "SQLITE_FULL": "make room on the disk",
    "SQLITE_READONLY": "give the gateway's user write access to the file and its folder",
    "SQLITE_CANTOPEN": "check that the folder exists and that the gateway's user may write to it",
    "SQLITE_CORRUPT": "restore the file from a backup",
    "SQLITE_NOTADB": "the file is not a store; give another path",
    "SQLITE_IOERR": "check the disk",
}
_TAKEN = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """The one door of the driver: whatever it raises inside leaves as StoreError, or Stale where another writer was first."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _translate(error, path) from error
    except OverflowError as error:
        raise StoreError("a number is too large for the store", place=str(path)) from error


def _translate(error: Exception, path: Path) -> StoreError:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name in _TAKEN:
        return Stale("another worker wrote this first", place=str(path))
    # The text of a constraint names columns, never values; that of other errors is SQLite's own.
    remedy = next((remedy for code, remedy in _REMEDIES.items() if name.startswith(code)), "")
    return StoreError(f"{name}: {error}", place=str(path), remedy=remedy)


def create(path: Path) -> None:
    """An empty file that only its owner can read, and its folder, unless it is there."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old", remedy="use 3.35 or newer")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(
            f"cannot open: {error.strerror}", place=str(path), remedy=_REMEDIES["SQLITE_CANTOPEN"]
        ) from error


def writer(path: Path, *, patience: float = 5.0) -> sqlite3.Connection:
    """A connection that commits durably: write-ahead log, ``fsync`` at every commit. Waits ``patience`` seconds for another writer."""
    connection = _connect(str(path), patience=patience)
    try:
        # The order matters: the size of a page is settled by the first thing that is written.
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # What is erased or purged would keep its bytes in the file otherwise. Many builds of SQLite do so by default, not all.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT // PAGE}")
        connection.execute(f"PRAGMA journal_size_limit = {CHECKPOINT * 4}")
        connection.execute("PRAGMA cache_size = -32768")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def reader(path: Path, *, patience: float = 5.0) -> sqlite3.Connection:
    """A connection that cannot write, and that no writer keeps waiting."""
    connection = _connect(f"{path.absolute().as_uri()}?mode=ro", patience=patience, uri=True)
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _connect(name: str, *, patience: float, uri: bool = False) -> sqlite3.Connection:
    # One thread at a time uses it: the one of its Line, after the opening one has let go.
    return sqlite3.connect(
        name, timeout=patience, isolation_level=None, check_same_thread=False, cached_statements=512, uri=uri
    )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. The lock is taken at the start, so that nothing read inside can be outdated at the commit."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads inside see the store at one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def truncate(connection: sqlite3.Connection) -> bool:
    """Write the log back and cut it to nothing. False when others read or wrote all through the connection's patience."""
    return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


class Line:
    """One connection on one thread of its own. Jobs run one after the other; the event loop never waits for the disk."""

    def __init__(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        self._connection = connection
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._closed = False

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """What ``job`` returns. StoreError when the line is closed. A caller that is cancelled does not stop a job that has begun."""
        if self._closed:
            raise StoreError("the store is closed", place=str(self._path))
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, job)

    async def close(self) -> None:
        """Let what was begun finish, then close. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    def _guarded(self, job: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self._path):
            return job(self._connection)
