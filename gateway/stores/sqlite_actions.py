"""What partners are asked to do, on SQLite."""

import sqlite3
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert

from gateway.action import Action, State, Taken, Wanted, step
from gateway.errors import Stale
from gateway.stores import tables_actions as tables
from gateway.stores.forms import Form
from gateway.stores.shapes import Shape
from gateway.stores.sqlite_connection import Line, transaction

_shape = Shape(Action, tables.actions, enums={"state": State}, flags=("harmless",))
_table = tables.actions
_most: sa.BindParameter[int] = bindparam("most")
_FIXED = ("id", "account", "action", "client", "customer", "key", "subject", "harmless", "created")
_put = Form(insert(_table).values(dict.fromkeys(column.name for column in _shape.written)))
_save = Form(
    sa.update(_table)
    .where(_table.c.id == bindparam("of"), _table.c.version == bindparam("before"))
    .values({column.name: bindparam(f"{column.name}_") for column in _shape.written if column.name not in _FIXED})
)
_by_key = Form(sa.select(*_shape.columns).where(_table.c.key == bindparam("of")))
_by_id = Form(sa.select(*_shape.columns).where(_table.c.id.in_(bindparam("keys", expanding=True))))
_earlier = _table.alias("earlier")
_due = Form(
    sa.select(*_shape.columns)
    .where(
        tables.standing(_table),
        _table.c.account == bindparam("whose"),
        _table.c.due <= bindparam("now"),
        _table.c.expires > bindparam("now"),
        ~sa.exists().where(
            tables.under_way(_earlier), _earlier.c.subject == _table.c.subject, _earlier.c.number < _table.c.number
        ),
    )
    .order_by(_table.c.due, _table.c.number)
    .limit(_most)
)
_owed: sa.Select[Any] = (
    sa.select(sa.literal_column("1"))
    .where(tables.unsettled(_table), _table.c.client == bindparam("whose"))
    .limit(_most)
)
_count = Form(sa.select(sa.func.count()).select_from(_owed.subquery("counted")))


@cache
def _listed(*names: str, newest: bool) -> Form:
    conditions: dict[str, Any] = {
        "account": _table.c.account == bindparam("account_"),
        "client": _table.c.client == bindparam("client_"),
        "state": _table.c.state == bindparam("state_"),
        "open": tables.unsettled(_table),
        "late": sa.and_(tables.standing(_table), _table.c.expires <= bindparam("late_")),
    }
    column = _table.c.id
    after = column < bindparam("after") if newest else column > bindparam("after")
    order = column.desc() if newest else column
    # The few that are late stand in an index of their own, which sorting them by id would not use.
    query = sa.select(*_shape.columns).where(
        *(conditions[name] for name in names), *(() if "late" in names else (after,))
    )
    return Form(query.order_by(_table.c.expires if "late" in names else order).limit(_most))


_NAMES = [column.name for column in _shape.written]


def save(connection: sqlite3.Connection, actions: Sequence[Action]) -> None:
    """Each as its next version. Stale where the one that is kept is another than the version before."""
    for one in actions:
        values = {f"{name}_": value for name, value in zip(_NAMES, _shape.pack(one), strict=True) if name not in _FIXED}
        if not _save.change(connection, of=one.id, before=one.version - 1, **values):
            raise Stale("somebody else changed this action since it was read", place=one.id)


class SqliteActions:
    """See ``gateway.action.Actions``."""

    _writer: Line
    _desk: Line

    async def commission(self, action: Action) -> Action:
        """See ``Actions.commission``."""
        return await self._writer.run(partial(_commission, action=action))

    async def take_actions(self, account: str, *, now: int, limit: int) -> Sequence[Action]:
        """See ``Actions.take_actions``."""
        return await self._writer.run(partial(_take, account=account, now=now, limit=limit))

    async def actions(
        self, wanted: Wanted, *, limit: int = 100, after: str = "", newest: bool = False
    ) -> Sequence[Action]:
        """See ``Actions.actions``."""
        asked = {"account_": wanted.account, "client_": wanted.client, "late_": wanted.late}
        asked["state_"] = wanted.state.value if wanted.state else None
        given = {name: value for name, value in asked.items() if value is not None}
        names = [name.rstrip("_") for name in given]
        if wanted.state is not None and wanted.state in (State.WAITING, State.RUNNING, State.UNKNOWN):
            names.append("open")
        if wanted.late is None:
            given["after"] = after or ("~" if newest else "")
        form = _listed(*names, newest=newest)
        return await self._desk.run(lambda connection: _shape.unpack_all(form.run(connection, most=limit, **given)))

    async def known_actions(self, ids: Sequence[str]) -> dict[str, Action]:
        """See ``Actions.known_actions``."""
        found = await self._desk.run(lambda connection: _shape.unpack_all(_by_id.run(connection, ids)))
        return {one.id: one for one in found}

    async def open_actions(self, client: str, *, most: int) -> int:
        """See ``Actions.open_actions``."""
        rows = await self._desk.run(lambda connection: _count.run(connection, whose=client, most=most))
        return int(rows[0][0])


def _commission(connection: sqlite3.Connection, *, action: Action) -> Action:
    with transaction(connection):
        found = _by_key.run(connection, of=action.key) if action.key is not None else []
        if found:
            return _shape.unpack(found[0])
        _put.run(connection, _shape.pack_all([action]))
    return action


def _take(connection: sqlite3.Connection, *, account: str, now: int, limit: int) -> Sequence[Action]:
    # The lock is not taken to learn that there is nothing to do.
    if limit < 1 or not _due.run(connection, whose=account, now=now, most=1):
        return ()
    with transaction(connection):
        found = _shape.unpack_all(_due.run(connection, whose=account, now=now, most=limit))
        taken = [moved for one in found if (moved := step(one, Taken(), now)) is not None]
        save(connection, taken)
    return taken
