"""The file the tables live in: opened, read and written; the one place where the database's own errors are translated."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from gateway.errors import StoreError
from scrm import tables

SCHEMA = 1
_READERS = 4
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Book:
    """One SQLite file in WAL mode with ``synchronous=FULL``: what ``write`` returned from survives a power cut.

    Writes run one after the other on a thread of their own, reads beside them on others, each in a transaction, so that what one
    question answers fits together. StoreError when the file cannot be opened, locked, read or written; nothing is half done then.
    """

    def __init__(self, path: Path) -> None:
        self._engine = _engine(path)
        self._pen = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        self._writer = ThreadPoolExecutor(1, "scrm-write")
        self._readers = ThreadPoolExecutor(_READERS, "scrm-read")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _do(self._pen, _prepare)
        except OSError as problem:
            raise StoreError("the folder of the SCRM's file cannot be made", place=str(path)) from problem

    def read(
        self, question: Callable[Concatenate[sa.Connection, _P], _T], *a: _P.args, **k: _P.kwargs
    ) -> Awaitable[_T]:
        """``question`` asked of one snapshot."""
        return asyncio.get_running_loop().run_in_executor(self._readers, lambda: _do(self._engine, question, *a, **k))

    def write(
        self, change: Callable[Concatenate[sa.Connection, _P], _T], *a: _P.args, **k: _P.kwargs
    ) -> asyncio.Future[_T]:
        """``change`` made whole or not at all. It goes on to its end even when nobody waits for it any more."""
        return asyncio.get_running_loop().run_in_executor(self._writer, lambda: _do(self._pen, change, *a, **k))

    def scrub(self) -> asyncio.Future[bool]:
        """Empty the write-ahead log, in which what was deleted or replaced still stands. False when a reader held it for seconds."""
        return asyncio.get_running_loop().run_in_executor(self._writer, _truncate, self._engine)

    def close(self) -> None:
        """Let what is under way finish, and close the file. Do not read or write afterwards."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _do(engine: sa.Engine, work: Callable[Concatenate[sa.Connection, _P], _T], *a: _P.args, **k: _P.kwargs) -> _T:
    try:
        with engine.begin() as connection:
            return work(connection, *a, **k)
    except exc.SQLAlchemyError as problem:
        raise StoreError(
            "the SCRM's database refused", remedy="see that its disk has room and its file is ours"
        ) from problem


def _truncate(engine: sa.Engine) -> bool:
    raw = engine.raw_connection()
    try:
        return not raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error:
        return False
    finally:
        raw.close()


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite+pysqlite:///{path}", pool_size=_READERS + 1, max_overflow=0)
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    return engine


def _connected(raw: Any, _record: object) -> None:
    # The driver would begin a transaction only at the first write; then two reads of one question could see two states.
    raw.isolation_level = None
    # Without secure_delete, what is erased would keep its bytes in the file.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "busy_timeout=5000",
        "temp_store=MEMORY",
    ):
        raw.execute(f"PRAGMA {pragma}")


def _begun(connection: sa.Connection) -> None:
    connection.exec_driver_sql(str(connection.get_execution_options().get("begin", "BEGIN")))


def _prepare(connection: sa.Connection) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found not in (0, SCHEMA):
        raise StoreError(
            f"the SCRM's tables have version {found}, this program knows {SCHEMA}", remedy="start it on a fresh folder"
        )
    tables.metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
