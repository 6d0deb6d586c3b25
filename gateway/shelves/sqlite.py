"""Documents in one SQLite file, apart from the store's, so that signing in never waits for a worker's commit."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from gateway.clock import Clock
from gateway.errors import Stale, StoreError
from gateway.shelf import Document

T = TypeVar("T")

_PATIENCE = 10.0
_SCHEMA = """CREATE TABLE IF NOT EXISTS documents (
    shelf TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER, body BLOB NOT NULL,
    PRIMARY KEY (shelf, key)) WITHOUT ROWID"""
_COLUMNS = "shelf, key, version, body, updated, expires"
_FRESH = "(expires IS NULL OR expires > :now)"
_ONE = f"SELECT {_COLUMNS} FROM documents WHERE shelf = :shelf AND key = :key AND {_FRESH}"  # noqa: S608 - names of ours only
_MANY = (
    f"""SELECT {_COLUMNS} FROM documents WHERE shelf = :shelf AND key > :after AND {_FRESH} ORDER BY key LIMIT :limit"""  # noqa: S608
)
# What has expired may be put anew: it is not there for anybody.
_PUT = f"""INSERT INTO documents ({_COLUMNS}) VALUES (:shelf, :key, :version, :body, :updated, :expires)
    ON CONFLICT (shelf, key) DO UPDATE SET version = excluded.version, body = excluded.body, updated = excluded.updated,
    expires = excluded.expires WHERE documents.expires IS NOT NULL AND documents.expires <= :now"""  # noqa: S608
_REPLACE = f"""UPDATE documents SET version = :version, body = :body, updated = :updated, expires = :expires
    WHERE shelf = :shelf AND key = :key AND version = :before AND {_FRESH}"""  # noqa: S608
_DROP = "DELETE FROM documents WHERE shelf = :shelf AND key = :key AND version = :before"
_SWEEP = "DELETE FROM documents WHERE expires IS NOT NULL AND expires <= :now"


class SqliteShelf:
    """See ``gateway.shelf.Shelf``. Nothing is opened before it is first used; one thread does everything, each call in its own turn."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "shelf")

    async def document(self, shelf: str, key: str) -> Document | None:
        """See ``Shelf.document``."""
        rows = await self._read(_ONE, shelf=shelf, key=key)
        return _document(rows[0]) if rows else None

    async def documents(self, shelf: str, *, after: str = "", limit: int = 10_000) -> Sequence[Document]:
        """See ``Shelf.documents``."""
        return [_document(row) for row in await self._read(_MANY, shelf=shelf, after=after, limit=limit)]

    async def file(self, document: Document, *, before: int) -> None:
        """See ``Shelf.file``."""
        given = {
            "shelf": document.shelf, "key": document.key, "version": before + 1, "body": document.body, "updated": document.updated,
            "expires": document.expires,
        }  # fmt: skip
        changed = await (self._write(_REPLACE, before=before, **given) if before else self._write(_PUT, **given))
        if not changed:
            raise Stale("somebody else changed this since it was read", place=f"{document.shelf}/{document.key}")

    async def unfile(self, shelf: str, key: str, *, before: int) -> None:
        """See ``Shelf.unfile``."""
        if not await self._write(_DROP, shelf=shelf, key=key, before=before):
            raise Stale("somebody else changed this since it was read", place=f"{shelf}/{key}")

    async def sweep(self) -> int:
        """See ``Shelf.sweep``."""
        return await self._write(_SWEEP)

    async def close(self) -> None:
        """See ``Shelf.close``."""
        if self._db is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
            self._db = None
        self._thread.shutdown()

    async def _read(self, sql: str, **given: Any) -> list[tuple[Any, ...]]:
        given["now"] = self._clock.now()
        return await self._run(lambda db: db.execute(sql, given).fetchall())

    async def _write(self, sql: str, **given: Any) -> int:
        given["now"] = self._clock.now()
        return await self._run(lambda db: db.execute(sql, given).rowcount)

    async def _run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        def work() -> T:
            try:
                return job(self._opened())
            except sqlite3.Error as error:
                raise StoreError(f"the documents cannot be used: {error}", place=str(self._path)) from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            # Autocommit: every write is one statement, and so one commit.
            db = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            # A password's hash or a session that is gone must not linger in free pages.
            db.execute("PRAGMA secure_delete=ON")
            with closing(db.execute(_SCHEMA)):
                self._db = db
            self._path.chmod(0o600)
        return self._db


def _document(row: tuple[Any, ...]) -> Document:
    shelf, key, version, body, updated, expires = row
    return Document(shelf=shelf, key=key, version=version, body=body, updated=updated, expires=expires)
