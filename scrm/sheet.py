"""Rows of one table, read ahead, changed in memory and written back once: a batch costs the same few statements whatever its size."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite


class Keyed(Protocol):
    """A row with a key."""

    @property
    def id(self) -> str:
        """Its primary key."""
        ...


class Subject(msgspec.Struct, frozen=True):
    """A row of ``subjects``."""

    id: str
    first: int
    last: int
    heard: int

    @property
    def gaps(self) -> int:
        """How many sequences between the first and the last one we never got."""
        return self.last - self.first + 1 - self.heard


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``customers``."""

    id: str
    state: str = "active"
    merged_into: str | None = None
    survivor: str | None = None
    parted_at: int = 0
    sequence: int = 0
    updated: int = 0
    seen: int = 0
    search: str = ""
    body: bytes = b"{}"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A row of any record table."""

    id: str
    customer: str | None = None
    account: str = ""
    external_id: str = ""
    sequence: int = 0
    at: int = 0
    updated: int = 0
    body: bytes = b"{}"


class KeptOrder(Kept, frozen=True, kw_only=True):
    """A row of ``orders``. Amounts are minor units."""

    currency: str | None = None
    paid: int | None = None
    refunded: int | None = None


R = TypeVar("R", Subject, Person, Kept, KeptOrder)


class Sheet(Generic[R]):
    """``rows`` by id. What ``put`` changed is inserted or replaced by ``write``."""

    def __init__(self, table: sa.Table, kind: type[R]) -> None:
        self._table = table
        self._kind: type[R] = kind
        self._changed: set[str] = set()
        self.rows: dict[str, R] = {}

    def load(self, connection: sa.Connection, where: sa.ColumnElement[bool]) -> None:
        """Rows that are ``where``; those already here stay as they are."""
        for row in connection.execute(sa.select(self._table).where(where)):
            self.rows.setdefault(row.id, self._kind(**row._mapping))

    def load_ids(self, connection: sa.Connection, ids: Iterable[str]) -> None:
        """Rows with these ids, as far as they exist."""
        wanted = sorted(set(ids) - set(self.rows))
        if wanted:
            self.load(connection, self._table.c.id.in_(wanted))

    def put(self, row: R) -> None:
        """Change or add a row."""
        self.rows[row.id] = row
        self._changed.add(row.id)

    def write(self, connection: sa.Connection) -> None:
        """One statement for all that changed."""
        if self._changed:
            changed = [msgspec.structs.asdict(self.rows[name]) for name in sorted(self._changed)]
            connection.execute(replacing(self._table), changed)


def replacing(table: sa.Table) -> sqlite.Insert:
    """Insert rows, or replace those with the same primary key."""
    statement = sqlite.insert(table)
    others = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others)
