"""The statements of claiming and finishing, which every delivery passes.

Each row that a statement answers with costs two hand-overs of the interpreter's lock while other threads are at work. What a batch reads comes as
one row, therefore: JSON of all of them.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import BigInteger, ColumnElement, Integer, LargeBinary, Text, bindparam

from gateway.stores import tables
from gateway.stores.forms import Form, given, same
from gateway.stores.tables import word

_deliveries, _events = tables.deliveries, tables.events

Due = tuple[int, str, str, str, str | None, int, int, int, str | None]
Told = tuple[int, str, str, str, int, int, str, str, str | None, int]
Held = tuple[str, int, str, str | None]

due_of = msgspec.json.Decoder(list[Due]).decode
"""Number, id, event, endpoint, subject, due, tries, created, cause: what ``due_first`` and ``due_again`` say."""
told_of = msgspec.json.Decoder(list[Told]).decode
"""Number, id, type, subject, sequence, at, account, entry, unit and the body's size in bytes: what ``events`` says first."""
held_of = msgspec.json.Decoder(list[Held]).decode
"""Id, number, endpoint, subject: what ``held`` says."""


def _one_row(*columns: ColumnElement[Any]) -> ColumnElement[str]:
    return sa.func.json_group_array(sa.func.json_array(*columns))


def _due(condition: ColumnElement[bool]) -> tuple[Form, Form]:
    due, of = sa.and_(condition, _deliveries.c.due <= bindparam("now")), _deliveries.c
    columns = (of.number, of.id, of.event, of.endpoint, of.subject, of.due, of.tries, of.created, of.cause)
    chosen = sa.select(*columns).where(due).order_by(of.due, of.number).limit(bindparam("most")).subquery("chosen")
    some: sa.Select[Any] = sa.select(sa.literal_column("1")).where(due).limit(sa.literal_column("1"))
    return Form(some), Form(sa.select(_one_row(*chosen.c)))


some_first, due_first = _due(tables.first(_deliveries))
some_again, due_again = _due(tables.again(_deliveries))
lease = Form(
    sa.update(_deliveries)
    .where(_deliveries.c.number.in_(bindparam("keys", expanding=True)))
    .values(state=word("leased"), claim=bindparam("holder"), lease=bindparam("until"))
)

_e = _events.c
# The bodies stand one behind the other in a blob of their own: within JSON each quote of theirs would be escaped, and read again.
events = Form(
    sa.select(
        _one_row(
            _e.number, _e.id, _e.type, _e.subject, _e.sequence, _e.at, _e.account, _e.entry, _e.unit, sa.func.length(_e.body)
        ),
        sa.cast(sa.func.group_concat(_e.body, word("")), LargeBinary),
    ).where(_e.id.in_(bindparam("keys", expanding=True)))
)  # fmt: skip

_finished = given(id=Text, claim=Text)
_mine = sa.and_(same(_deliveries, _finished, "id", "claim"), _deliveries.c.state == word("leased"))
_d = _deliveries.c
held = Form(
    sa.select(_one_row(_d.id, _d.number, _d.endpoint, _d.subject)).select_from(_finished.join(_deliveries, _mine))
)

_results = given(number=BigInteger, state=Text, due=BigInteger, tries=Integer, cause=Text)
finish = Form(
    sa.update(_deliveries)
    .where(_deliveries.c.number == _results.c.number)
    .values(
        state=_results.c.state,
        due=_results.c.due,
        tries=_results.c.tries,
        cause=_results.c.cause,
        claim=sa.null(),
        lease=sa.literal_column("0"),
    )
)
