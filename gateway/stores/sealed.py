"""The sealed columns of the tables, walked by their keys: what sealing anew reads and replaces."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import LargeBinary, Text, bindparam

from gateway.stores import tables, tables_actions
from gateway.stores.forms import Form, given


class Walk:
    """One sealed column in the order of the columns that name its row.

    A key is those columns as text, joined by slashes: bytes are hex, numbers decimal. Only a column between two others may hold a slash.
    """

    def __init__(self, sealed: sa.Column[Any], *order: sa.Column[Any]) -> None:
        self._order = order
        self._text = isinstance(sealed.type, Text)
        after = [bindparam(f"after_{column.name}", type_=column.type) for column in order]
        empty = sealed == sa.literal_column("''" if self._text else "x''")
        self.page = Form(
            sa.select(*order, sealed)
            .where(sa.tuple_(*order) > sa.tuple_(*after), sealed.is_not(None), ~empty)
            .order_by(*order)
            .limit(bindparam("most"))
        )
        kinds = {column.name: type(column.type) for column in order}
        rows = given(**kinds, old=type(sealed.type), new=type(sealed.type))
        of_row = [column == rows.c[column.name] for column in order]
        self.put = Form(
            sa.update(sealed.table)
            .values({sealed.name: rows.c.new})
            .where(*of_row, sealed == rows.c.old)
            .returning(order[0])
        )

    def after(self, key: str) -> dict[str, Any]:
        """Where ``page`` goes on."""
        values = self._split(key) if key else [_LEAST[_kind(column)] for column in self._order]
        return {f"after_{column.name}": value for column, value in zip(self._order, values, strict=True)}

    def read(self, row: Sequence[Any]) -> tuple[str, bytes]:
        """The key and the sealed bytes of a row of ``page``."""
        *parts, sealed = row
        return "/".join(map(_written, parts)), sealed.encode() if self._text else sealed

    def given(self, key: str, old: bytes, new: bytes) -> tuple[Any, ...]:
        """A row for ``put``."""
        return (*self._split(key), *((old.decode(), new.decode()) if self._text else (old, new)))

    def _split(self, key: str) -> list[Any]:
        parts = [key]
        if len(self._order) > 1:
            first, rest = key.split("/", 1)
            parts = [first, *rest.rsplit("/", len(self._order) - 2)]
        return [_read(column, part) for column, part in zip(self._order, parts, strict=True)]


_LEAST = {int: -(2**63), bytes: b"", str: ""}


def _kind(column: sa.Column[Any]) -> type:
    if isinstance(column.type, LargeBinary):
        return bytes
    return str if isinstance(column.type, Text) else int


def _written(part: Any) -> str:
    return part.hex() if isinstance(part, bytes) else str(part)


def _read(column: sa.Column[Any], part: str) -> Any:
    kind = _kind(column)
    return bytes.fromhex(part) if kind is bytes else kind(part)


walks = {
    "records": Walk(tables.records.c.body, tables.records.c.id),
    "events": Walk(tables.events.c.body, tables.events.c.id),
    "superseded": Walk(tables.superseded.c.body, tables.superseded.c.record, tables.superseded.c.number),
    "merges": Walk(tables.merges.c.before, tables.merges.c.id),
    "edges": Walk(tables.edges.c.value, tables.edges.c.customer, tables.edges.c.key),
    "attempts": Walk(tables.attempts.c.response, tables.attempts.c.delivery, tables.attempts.c.at, tables.attempts.c.id),
    "rejects": Walk(tables.rejects.c.body, tables.rejects.c.id),
    "errands": Walk(tables.errands.c.key, tables.errands.c.account, tables.errands.c.topic, tables.errands.c.hash),
    "booked": Walk(tables.booked.c.secrets, tables.booked.c.name),
    "actions": Walk(tables_actions.actions.c.body, tables_actions.actions.c.id),
}  # fmt: skip
