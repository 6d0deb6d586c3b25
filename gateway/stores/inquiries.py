"""What a person, a metric or a purge asks for. Not in a worker's way: reads run on the desk's connection, purges in small steps."""

from enum import Enum
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from gateway.store import OPEN, DeliveryState
from gateway.stores import shapes, tables, tables_actions
from gateway.stores.forms import Form
from gateway.stores.shapes import Shape
from gateway.stores.tables import word

_records, _events, _deliveries = tables.records, tables.events, tables.deliveries
_most: sa.BindParameter[int] = bindparam("most")
_open = _deliveries.c.state.in_([word("due"), word("leased"), word("waiting")])


def _plain(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The column as a value that no index holds: an endpoint has very many deliveries, an event has few."""
    return column.concat(sa.literal_column("''"))


def _page(
    shape: Shape[Any], column: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool], back: bool = False
) -> Form:
    place: sa.BindParameter[Any] = bindparam("after")
    beyond, order = (column < place, column.desc()) if back else (column > place, column.asc())
    return Form(sa.select(*shape.columns).where(beyond, *conditions).order_by(order).limit(_most))


_of_kind = _records.c.kind == bindparam("of")
rows = _page(shapes.row, _records.c.id, _of_kind)
_whose = _records.c.customer == bindparam("whose")
rows_of = _page(shapes.row, _records.c.id, _of_kind, _whose)
rows_back = _page(shapes.row, _records.c.id, _of_kind, back=True)
rows_of_back = _page(shapes.row, _records.c.id, _of_kind, _whose, back=True)
live_edges = Form(
    sa.select(*shapes.edge.columns)
    .where(tables.edges.c.key == bindparam("of"), tables.edges.c.live == sa.literal_column("1"))
    .order_by(tables.edges.c.customer)
)
_merges = sa.select(*shapes.merge.columns)
merges = Form(
    sa.union(
        _merges.where(tables.merges.c.survivor == bindparam("of")),
        _merges.where(tables.merges.c.loser == bindparam("of")),
    ).order_by(sa.desc("at"), sa.desc("id"))
)
moved = Form(
    sa.select(tables.moved.c.record).where(tables.moved.c.merge == bindparam("of")).order_by(tables.moved.c.record)
)
candidates = _page(shapes.candidate, tables.candidates.c.id, tables.candidates.c.state == bindparam("in_state"))
events = _page(shapes.event, _events.c.number)
events_of = _page(shapes.event, _events.c.number, _events.c.subject == bindparam("of"))
events_by_id = Form(sa.select(*shapes.event.columns).where(_events.c.id.in_(bindparam("keys", expanding=True))))
next_number = Form(sa.select(sa.func.min(_events.c.number)).where(_events.c.number > bindparam("after")))
FORGOTTEN = "events.forgotten"
"""The tally of the highest number that was purged."""

_tally_of = sa.select(tables.tallies.c.amount).where(tables.tallies.c.name == word(FORGOTTEN)).scalar_subquery()
reach = Form(
    sa.select(
        sa.func.coalesce(sa.select(sa.func.max(_events.c.number)).scalar_subquery(), sa.literal_column("0")),
        sa.func.coalesce(_tally_of, sa.literal_column("0")),
    )
)
# All of it stands in the index of times.
first_between = Form(
    sa.select(sa.func.min(_events.c.number)).where(
        _events.c.at >= bindparam("since"), _events.c.at < bindparam("until")
    )
)
_subjects = sa.union(
    sa.select(bindparam("of", type_=sa.Text()).label("subject")),
    sa.select(_records.c.id).where(_records.c.customer == bindparam("of")),
    sa.select(tables.merges.c.loser).where(
        tables.merges.c.survivor == bindparam("of"), tables.merges.c.undone_at.is_(None)
    ),
)
# Sorted by number alone, within the index: a customer's events may be many, and their bodies are long.
_newest = (
    sa.select(_events.c.number)
    .where(_events.c.subject.in_(_subjects), _events.c.number < bindparam("before"))
    .order_by(_events.c.number.desc())
    .limit(_most)
)
timeline = Form(sa.select(*shapes.event.columns).where(_events.c.number.in_(_newest)).order_by(_events.c.number.desc()))
_SPANS = {
    "since": _events.c.at >= bindparam("since"),
    "until": _events.c.at < bindparam("until"),
    "of": _events.c.subject == bindparam("of"),
    "whose": _events.c.account == bindparam("whose"),
}
_types = _events.c.type.in_(bindparam("keys", expanding=True))


@cache
def span(*names: str, types: bool) -> Form:
    """Events by number up to ``end``, under the conditions that are named."""
    conditions = [_SPANS[name] for name in names] + [_types] * types
    if "of" not in names:
        # Bounded by number, the walk is short whatever the other conditions leave of it.
        conditions.append(_events.c.number <= bindparam("end"))
    return _page(shapes.event, _events.c.number, *conditions)


applied = Form(sa.select(*shapes.seen.columns).where(tables.seen.c.dedupe.in_(bindparam("keys", expanding=True))))
attempts = Form(
    sa.select(*shapes.attempt.columns)
    .where(tables.attempts.c.delivery == bindparam("of"))
    .order_by(tables.attempts.c.at, tables.attempts.c.id)
)
known = Form(sa.select(*shapes.delivery.columns).where(_deliveries.c.id.in_(bindparam("keys", expanding=True))))
superseded = Form(
    sa.select(*shapes.superseded.columns)
    .where(tables.superseded.c.record == bindparam("of"))
    .order_by(tables.superseded.c.number.desc())
    .limit(_most)
)
rejects = _page(shapes.reject, tables.rejects.c.id)
rejects_of = _page(shapes.reject, tables.rejects.c.id, tables.rejects.c.account == bindparam("whose"))
record = Form(sa.select(*shapes.row.columns).where(_records.c.id == bindparam("of")))
records_of = Form(
    sa.select(*shapes.row.columns)
    .where(_records.c.customer == bindparam("of"), _records.c.id != bindparam("of"))
    .order_by(_records.c.kind, _records.c.id)
)
dead_letters = _page(shapes.dead_letter, tables.dead_letters.c.id, tables.dead_letters.c.state == bindparam("in_state"))


class Group(Enum):
    """Of which states a listing is: each has an index of its own."""

    DONE = "done"
    OPEN = "open"
    ENDED = "ended"


_GROUPS = {DeliveryState.DONE: Group.DONE, **dict.fromkeys(OPEN, Group.OPEN)}


def group_of(state: DeliveryState | None) -> Group | None:
    """None where any state is meant."""
    return None if state is None else _GROUPS.get(state, Group.ENDED)


@cache
def deliveries(group: Group | None, *, endpoint: bool) -> Form:
    """By id, of one state of ``group``, of one endpoint, or of both."""
    conditions: list[sa.ColumnElement[bool]] = []
    if group is not None:
        conditions.append(_deliveries.c.state == bindparam("in_state"))
    if endpoint:
        conditions.append(_deliveries.c.endpoint == bindparam("to"))
    if group is Group.ENDED and endpoint:
        conditions.append(tables.ended(_deliveries))
    elif group in (Group.ENDED, Group.OPEN):
        conditions.append(tables.undone(_deliveries))
    return _page(shapes.delivery, _deliveries.c.id, *conditions)


@cache
def deliveries_of(*, state: bool, endpoint: bool) -> Form:
    """One event's, by id: few, so that every other condition is met by looking at them."""
    conditions = [_deliveries.c.event == bindparam("of")]
    if state:
        conditions.append(_plain(_deliveries.c.state) == bindparam("in_state"))
    if endpoint:
        conditions.append(_plain(_deliveries.c.endpoint) == bindparam("to"))
    return _page(shapes.delivery, _plain(_deliveries.c.id), *conditions)


# ---------------------------------------------------------------------- counts
tallies = Form(sa.select(tables.tallies.c.name, tables.tallies.c.amount))
open_deliveries = Form(
    sa.select(_deliveries.c.state, sa.func.count())
    .where(tables.undone(_deliveries), _open)
    .group_by(_deliveries.c.state)
)
oldest_first = Form(sa.select(sa.func.min(_deliveries.c.due)).where(tables.first(_deliveries)))
oldest_again = Form(sa.select(sa.func.min(_deliveries.c.due)).where(tables.again(_deliveries)))


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Form:
    return Form(sa.select(sa.func.count()).select_from(table).where(*conditions))


counts = {
    "dead_letters": _count(tables.dead_letters, tables.dead_letters.c.state == word("open")),
    "candidates": _count(tables.candidates, tables.candidates.c.state == word("open")),
    "rejects": _count(tables.rejects),
    "errands": _count(tables.errands),
    "actions": _count(tables_actions.actions, tables_actions.unsettled(tables_actions.actions)),
    "actions_unknown": _count(
        tables_actions.actions,
        tables_actions.unsettled(tables_actions.actions),
        tables_actions.actions.c.state == word("unknown"),
    ),
}


# ---------------------------------------------------------------------- purge
def _aged(column: sa.Column[Any]) -> tuple[Form, Form]:
    """Where a step of ``most`` rows ends, and the deletion up to there: both walk the index of times."""
    end = sa.select(column).where(column < bindparam("before")).order_by(column).limit(1).offset(_most)
    return Form(end), Form(sa.delete(column.table).where(column < bindparam("before")))


aged = [
    _aged(column)
    for column in (
        tables.seen.c.at,
        tables.attempts.c.at,
        tables.superseded.c.received,
        tables.rejects.c.at,
        tables_actions.actions.c.ended,
    )
]
old_events = Form(
    sa.select(_events.c.at, _events.c.number, _events.c.id)
    .where(
        _events.c.at < bindparam("before"),
        sa.tuple_(_events.c.at, _events.c.number) > sa.tuple_(bindparam("from_at"), bindparam("from_number")),
    )
    .order_by(_events.c.at, _events.c.number)
    .limit(_most)
)
_of_events = _deliveries.c.event.in_(bindparam("keys", expanding=True))
still_open = Form(sa.select(_deliveries.c.event).where(_of_events, _open))
drop_deliveries = Form(sa.delete(_deliveries).where(_of_events).returning(_deliveries.c.state))
drop_events = Form(sa.delete(_events).where(_events.c.id.in_(bindparam("keys", expanding=True))))
