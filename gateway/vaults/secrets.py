"""Records' own secrets, in a SQLite file beside the keys and outside of the store, so that destroying one makes every copy of the store
unreadable for its record.

A secret lies sealed in a **slot**: a row of fixed size that is appended once, never moves and is overwritten where it lies. Beside it ``place``
says which record (by blind index) has which slot, and stays without one when the secret was destroyed. Rows of an index move between pages as it grows, and SQLite's ``secure_delete`` clears what
is deleted, not what was left behind by a move; a slot leaves nothing behind.

``PRAGMA user_version`` counts the times that something was forgotten. Its value is repeated in ``<file>.forgotten``, eight bytes that each
process maps: to look whether another process forgot something costs less than a tenth of a microsecond.
"""

import fcntl
import mmap
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.errors import StoreError

_T = TypeVar("_T")

SIZE = 64
"""Bytes of a slot. Sealed secrets are shorter and are filled up."""

_MARK = 8
_TABLES = (
    "CREATE TABLE IF NOT EXISTS secret (slot INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS place (record BLOB PRIMARY KEY, slot INTEGER, forgotten INTEGER NOT NULL) WITHOUT ROWID",
)
_FIND = "SELECT sealed, forgotten FROM place LEFT JOIN secret USING (slot) WHERE record = ?"
_FIND_MANY = "SELECT record, sealed FROM place JOIN secret USING (slot) WHERE record IN ({})"
_TAKE = "INSERT INTO place VALUES {} ON CONFLICT DO UPDATE SET slot = excluded.slot WHERE slot IS NULL"
_TAKEN = "SELECT slot, sealed FROM place LEFT JOIN secret USING (slot) WHERE record = ?"
_SLOT = "SELECT slot FROM place WHERE record = ? AND slot IS NOT NULL"
_FORGET = "INSERT INTO place VALUES (?, NULL, 1) ON CONFLICT DO UPDATE SET slot = NULL, forgotten = 1"
_NEXT = "SELECT record, slot, sealed FROM place JOIN secret USING (slot) WHERE record > ? ORDER BY record LIMIT ?"
_TRIES = 5
# Rows of one statement: each statement is a turn at the interpreter's lock, and SQLite takes so many parameters at least.
_TOGETHER = 400


class Secrets:
    """The open file; it is made when it is not there. One thread at a time may use it. StoreError says what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translated(), self._alone() as descriptor:
            self.mark = mmap.mmap(descriptor, _MARK)
            # Only while nobody can have it open: closing a file drops all locks that this process holds on it.
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._connection = _connect(path)
            # A vault has no end of its own: the file is closed with the last reference to it.
            self.close = weakref.finalize(self, self._connection.close)
            for table in _TABLES:
                self._connection.execute(table)
            # Whoever forgot something last may have died before telling.
            self._tell(self._forgotten())

    def find(self, record: bytes) -> tuple[bytes | None, bool]:
        """What lies in the slot of ``record``, or None when it has none; and whether a secret of it was ever destroyed."""
        with self._translated():
            row = self._connection.execute(_FIND, (record,)).fetchone()
        return (row[0], bool(row[1])) if row else (None, False)

    def find_many(self, records: Sequence[bytes]) -> dict[bytes, bytes]:
        """What lies in the slots of those that have one."""
        found: dict[bytes, bytes] = {}
        with self._translated():
            for some in _parts(records):
                found.update(self._connection.execute(_FIND_MANY.format(", ".join("?" * len(some))), some).fetchall())
        return found

    def add(self, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Make slots durable, in one commit. A record that has one already keeps it: these come back with what lies in theirs."""
        theirs: dict[bytes, bytes] = {}
        with self._translated(), self._transaction():
            first = 1 + (self._connection.execute("SELECT max(slot) FROM secret").fetchone()[0] or 0)
            known = self._connection.total_changes
            self._write(_TAKE, "(?, ?, 0)", [(record, slot) for slot, record in enumerate(rows, first)])
            if self._connection.total_changes - known < len(rows):
                for record in rows:
                    slot, sealed = self._connection.execute(_TAKEN, (record,)).fetchone()
                    if slot < first:
                        theirs[record] = sealed
            fresh = [(slot, _filled(rows[record])) for slot, record in enumerate(rows, first) if record not in theirs]
            self._write("INSERT INTO secret VALUES {}", "(?, ?)", fresh)
        return theirs

    def _write(self, statement: str, row: str, rows: Sequence[tuple[object, ...]]) -> None:
        for some in _parts(rows):
            values = [value for one in some for value in one]
            self._connection.execute(statement.format(", ".join([row] * len(some))), values)

    def remove(self, records: Sequence[bytes]) -> int:
        """Overwrite the slots of ``records`` with zeros, in the file and in its write-ahead log, and tell every process. How many there were."""
        with self._translated(), self._alone():
            with self._transaction():
                slots = [row[0] for one in records if (row := self._connection.execute(_SLOT, (one,)).fetchone())]
                for slot in slots:
                    self._connection.execute("UPDATE secret SET sealed = zeroblob(?) WHERE slot = ?", (SIZE, slot))
                self._connection.executemany(_FORGET, [(one,) for one in records])
                forgotten = self._forgotten() + 1
                self._connection.execute(f"PRAGMA user_version = {forgotten}")
            self._tell(forgotten)
            self._truncate()
        return len(slots)

    def after(self, record: bytes, most: int) -> list[tuple[bytes, bytes]]:
        """Up to ``most`` records behind ``record``, with what lies in their slots."""
        with self._translated():
            rows = self._connection.execute(_NEXT, (record, most)).fetchall()
        return [(one, sealed) for one, _, sealed in rows]

    def replace(self, rows: Mapping[bytes, bytes]) -> None:
        """Overwrite slots where they lie. A record that was forgotten meanwhile stays so."""
        with self._translated(), self._transaction():
            self._connection.executemany(
                "UPDATE secret SET sealed = ? WHERE slot = (SELECT slot FROM place WHERE record = ?)",
                [(_filled(sealed), record) for record, sealed in rows.items()],
            )

    def _forgotten(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _tell(self, forgotten: int) -> None:
        self.mark[:_MARK] = forgotten.to_bytes(_MARK, "little")

    def _truncate(self) -> None:
        # A reader of an older state keeps the log alive; it lasts microseconds.
        for _ in range(_TRIES):
            if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                return
        raise StoreError(
            "the secrets are destroyed, but older pages still stand in the write-ahead log because somebody reads it",
            place=str(self._path),
            remedy="erase again",
        )

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """The file of the mark, and the lock under which it is written and the secrets' file made: SQLite does not wait for who turns on its
        write-ahead log, and of two that forget the later one must have the last word."""
        path = self._path.with_name(f"{self._path.name}.forgotten")
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, _MARK)
            yield descriptor
        finally:
            # A map made meanwhile holds a duplicate, and with it the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as fault:
            name = getattr(fault, "sqlite_errorname", None) or type(fault).__name__
            raise StoreError(
                f"the records' secrets cannot be used: {name}",
                place=str(self._path),
                remedy="make room on the disk, give the gateway's user the file, or restore it from a backup",
            ) from fault


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _parts(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for at in range(0, len(rows), _TOGETHER):
        yield rows[at : at + _TOGETHER]


def _filled(sealed: bytes) -> bytes:
    assert len(sealed) <= SIZE
    return sealed.ljust(SIZE, b"\0")
