"""Statements of SQLAlchemy Core, compiled once and run on the driver.

A form has at most one place that repeats: the rows of its ``VALUES`` or the keys of its ``IN``. It is written out for powers of two only, so
that a handful of texts serves every number of rows, stays in the driver's statement cache, and never reaches the limit of variables.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

MOST = 128
"""Rows or keys in one statement."""

_DIALECT = sqlite.dialect(paramstyle="qmark")
_PLACE = re.compile(r"VALUES \((?P<row>\?(?:, \?)*)\)|IN \(__\[POSTCOMPILE_\w+\]\)")

Rows = list[tuple[Any, ...]]


class Form:
    """One statement. Auto-named values of it are constants; the named ones are given at every run."""

    def __init__(self, statement: sa.Executable) -> None:
        self._statement = statement
        self._written: dict[int, str] = {}

    def run(self, connection: sqlite3.Connection, items: Sequence[Any] | None = None, /, **values: Any) -> Rows:
        """What it returns. ``items`` are tuples for ``VALUES``, plain keys for ``IN``; none of them, no statement."""
        return [row for sql, given in self._calls(items, values) for row in connection.execute(sql, given)]

    def change(self, connection: sqlite3.Connection, items: Sequence[Any] | None = None, /, **values: Any) -> int:
        """How many rows it changed. Not for a statement that begins with WITH: the driver does not count those."""
        return sum(connection.execute(sql, given).rowcount for sql, given in self._calls(items, values))

    def sql(self, size: int = 1) -> str:
        """The text with ``size`` rows or keys."""
        if size not in self._written:
            self._written[size] = self._write(size)
        return self._written[size]

    @cached_property
    def _compiled(self) -> tuple[str, list[str], dict[str, Any], re.Match[str] | None]:
        compiled = self._statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        places = list(_PLACE.finditer(compiled.string))
        assert len(places) < 2, compiled.string
        return compiled.string, list(compiled.positiontup or ()), dict(compiled.params), places[0] if places else None

    @cached_property
    def _order(self) -> tuple[list[str], list[str], dict[str, Any]]:
        # Names before and after the place that repeats, and the constants.
        text, names, constants, place = self._compiled
        if place is None:
            return names, [], constants
        start = text.count("?", 0, place.start())
        width = (place["row"] or "?").count("?")
        return names[:start], names[start + width :], constants

    @cached_property
    def _pads(self) -> bool:
        # A key may stand twice in an IN and finds the same; a row may not stand twice in VALUES.
        place = self._compiled[3]
        return place is not None and not place["row"]

    def _write(self, size: int) -> str:
        text, _, _, place = self._compiled
        if place is None:
            return text
        group = "VALUES " + ", ".join([f"({place['row']})"] * size) if place["row"] else f"IN ({', '.join('?' * size)})"
        return text[: place.start()] + group + text[place.end() :]

    def _calls(self, items: Sequence[Any] | None, values: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        before, after, constants = self._order
        given = {**constants, **values} if constants else values
        lead, trail = tuple(given[name] for name in before), tuple(given[name] for name in after)
        if items is None:
            yield self.sql(), lead + trail
            return
        for part in _padded(items) if self._pads else _split(items):
            group = part if self._pads else chain.from_iterable(part)
            yield self.sql(len(part)), (*lead, *group, *trail)


def given(**columns: type[TypeEngine[Any]]) -> sa.CTE:
    """The rows of ``Form.run`` as a table."""
    names = [sa.column(name, kind) for name, kind in columns.items()]
    row = tuple(bindparam(f"{name}_", type_=kind()) for name, kind in columns.items())
    return sa.values(*names, name="given").data([row]).cte("given")


def same(table: sa.FromClause, rows: sa.CTE, *names: str) -> sa.ColumnElement[bool]:
    """Where ``table`` has what a row of ``given`` says."""
    return sa.and_(*(table.c[name] == rows.c[name] for name in names))


def _split(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    start = 0
    while start < len(items):
        size = min(MOST, 1 << (len(items) - start).bit_length() - 1)
        yield items[start : start + size]
        start += size


def _padded(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), MOST):
        part = list(items[start : start + MOST])
        yield part + part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
