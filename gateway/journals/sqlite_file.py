"""The journal's file: its tables, and how it is opened and waited for."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.model.lane import Lane

T = TypeVar("T")

# Bytes are written as they are. The driver knows that of other types; of bytes it asks, by attributes they do not have, which costs half of binding
# a row.
sqlite3.register_adapter(bytes, bytes)

PATIENCE = 10.0
"""Seconds for which another process is waited for."""
_VERSION = 1
COLUMNS = ("id", "account", "topic", "dedupe", "partition_key", "received_at", "payload")
NAMES = ", ".join(COLUMNS)
_SCHEMA = tuple(
    statement
    for lane in Lane
    for statement in (
        f"""CREATE TABLE {lane.value} (
            position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, account TEXT NOT NULL, topic TEXT NOT NULL,
            dedupe BLOB NOT NULL, partition_key BLOB NOT NULL, received_at INTEGER NOT NULL, payload BLOB NOT NULL)""",
        f"CREATE INDEX {lane.value}_id ON {lane.value} (id)",
    )
)


def connect(path: Path, clock: Clock) -> sqlite3.Connection:
    """Open it to write, making its tables where there are none. ConfigError for a file that cannot be a journal."""
    db = sqlite3.connect(path, timeout=0.25, isolation_level=None, check_same_thread=False, cached_statements=96)
    try:
        _prepare(db, path, clock)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, clock: Clock) -> None:
    mode = patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone()[0], clock)
    if mode != "wal":
        raise ConfigError("the journal's file system cannot share memory", place=str(path), remedy="use a local disk")
    db.execute("PRAGMA synchronous = FULL")
    # What is erased or purged would keep its bytes in the file otherwise. Many builds of SQLite do so by default, not all.
    db.execute("PRAGMA secure_delete = ON")
    # A checkpoint that a long read held up must not leave a log of gigabytes behind.
    db.execute(f"PRAGMA journal_size_limit = {64 << 20}")
    begin(db, clock)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _VERSION):
        raise ConfigError(f"the journal is of version {version}, this gateway knows {_VERSION}", place=str(path))
    if version == 0:
        for statement in (*_SCHEMA, f"PRAGMA user_version = {_VERSION}"):
            db.execute(statement)
    db.execute("COMMIT")


def begin(db: sqlite3.Connection, clock: Clock) -> None:
    """Take the lock at the start: nothing that is read afterwards can be outdated at the commit."""
    patiently(lambda: db.execute("BEGIN IMMEDIATE"), clock)


def patiently(work: Callable[[], T], clock: Clock) -> T:
    """Repeat what another process holds up. SQLite's own busy handler sleeps meanwhile, but is not asked in every such case."""
    until = clock.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or clock.monotonic() > until:
                raise
