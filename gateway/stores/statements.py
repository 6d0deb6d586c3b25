"""Every statement that a worker runs, as SQLAlchemy Core. What a person asks for stands in ``inquiries``.

The rule for all of them: they walk an index from where the answer begins, so that their cost does not grow with what is kept.
A pair is looked up by joining ``VALUES``, since SQLite scans the table for ``(a, b) IN (…)``.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Integer, LargeBinary, Text, bindparam
from sqlalchemy.dialects.sqlite import Insert, insert

from gateway.stores import shapes, tables
from gateway.stores.forms import Form, given, same
from gateway.stores.shapes import Shape
from gateway.stores.tables import word

_records, _edges, _deliveries, _errands = tables.records, tables.edges, tables.deliveries, tables.errands


def _insert(shape: Shape[Any]) -> Insert:
    return insert(shape.table).values(dict.fromkeys(column.name for column in shape.written))


def _upsert(shape: Shape[Any], *keys: str, fixed: Sequence[str] = ()) -> Form:
    statement = _insert(shape)
    held = {*keys, *fixed}
    fresh = {column.name: statement.excluded[column.name] for column in shape.written if column.name not in held}
    return Form(statement.on_conflict_do_update(index_elements=keys, set_=fresh))


def _among(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return column.in_(bindparam("keys", expanding=True))


def _columns(shape: Shape[Any], of: sa.FromClause | None = None) -> Sequence[sa.ColumnElement[Any]]:
    return [(of if of is not None else shape.table).c[column.name] for column in shape.columns]


# ---------------------------------------------------------------------- look
seen_among = Form(sa.select(tables.seen.c.account, tables.seen.c.dedupe).where(_among(tables.seen.c.dedupe)))
edges_by_key = Form(sa.select(*_columns(shapes.edge)).where(_among(_edges.c.key)))
edges_by_customer = Form(sa.select(*_columns(shapes.edge)).where(_among(_edges.c.customer)))
rows_by_key = Form(sa.select(*_columns(shapes.row)).where(_among(_records.c.key)))
rows_by_id = Form(sa.select(*_columns(shapes.row)).where(_among(_records.c.id)))

# ---------------------------------------------------------------------- apply
_place = sa.and_(tables.cursors.c.lane == bindparam("in_lane"), tables.cursors.c.shard == bindparam("in_shard"))
cursor_at = Form(sa.select(tables.cursors.c.position).where(_place))
cursors = Form(sa.select(tables.cursors.c.lane, tables.cursors.c.shard, tables.cursors.c.position))
_moved = insert(tables.cursors).values(lane=bindparam("lane_"), shard=bindparam("shard_"), position=bindparam("to"))
move_cursor = Form(
    _moved.on_conflict_do_update(index_elements=["lane", "shard"], set_={"position": _moved.excluded.position})
)

mark_seen = Form(_insert(shapes.seen).on_conflict_do_nothing())
# An id keeps its kind and key for good. Setting them to what they are would dirty two index pages for every update.
put_rows = _upsert(shapes.row, "id", fixed=("kind", "key"))
stamps = Form(sa.select(_records.c.id, _records.c.sequence, _records.c.updated).where(_among(_records.c.id)))
newest_row = Form(sa.select(sa.func.coalesce(sa.func.max(_records.c.number), 0)))
# Counted by the caller: for a GROUP BY the database would walk the whole index of kinds.
new_kinds = Form(sa.select(_records.c.kind).where(_records.c.number > bindparam("after")))
put_edges = _upsert(shapes.edge, "key", "customer")
_gone = given(key=LargeBinary, customer=Text)
drop_edges = Form(
    sa.delete(_edges).where(
        _edges.c.key.in_(sa.select(_gone.c.key)),
        sa.exists().where(same(_edges, _gone, "key", "customer")),
    )
)
twice_held = Form(
    sa.select(_edges.c.key)
    .where(_among(_edges.c.key), _edges.c.strength == word("strong"), _edges.c.live == sa.literal_column("1"))
    .group_by(_edges.c.key)
    .having(sa.func.count() > sa.literal_column("1"))
    .limit(1)
)

_moves = given(loser=Text, survivor=Text)
move_records = Form(sa.update(_records).values(customer=_moves.c.survivor).where(_records.c.customer == _moves.c.loser))

put_merges = Form(_insert(shapes.merge))
undo_merge = Form(
    sa.update(tables.merges)
    .values(undone_at=bindparam("at_"))
    .where(tables.merges.c.id == bindparam("id_"), tables.merges.c.undone_at.is_(None))
)
note_moved = Form(
    insert(tables.moved).from_select(
        ["merge", "record"],
        sa.select(bindparam("merge_", type_=Text()), _records.c.id).where(_records.c.customer == bindparam("loser_")),
    )
)
give_back = Form(
    sa.update(_records)
    .values(customer=bindparam("loser_"))
    .where(
        _records.c.id.in_(sa.select(tables.moved.c.record).where(tables.moved.c.merge == bindparam("merge_"))),
        _records.c.customer == bindparam("survivor_"),
    )
)
put_superseded = Form(_insert(shapes.superseded))
put_events = Form(_insert(shapes.event))
put_dead_letters = _upsert(shapes.dead_letter, "id")
_letter = _insert(shapes.dead_letter)
# A copy that was written on retry may be dead before its letter is settled: it is another entry, and stays open.
bury_dead_letters = Form(
    _letter.on_conflict_do_update(
        index_elements=["id"],
        set_={
            column.name: _letter.excluded[column.name] for column in shapes.dead_letter.written if column.name != "id"
        },
        where=sa.or_(_letter.excluded.state == word("open"), tables.dead_letters.c.entry == _letter.excluded.entry),
    )
)

rejected_pairs = Form(
    sa.select(tables.candidates.c.a, tables.candidates.c.b).where(
        _among(tables.candidates.c.a), tables.candidates.c.state == word("rejected")
    )
)
_pair = _insert(shapes.candidate)
# An open one never overwrites: it may have been settled by a person. A settled one always does: that is the settling.
put_candidates = Form(
    _pair.on_conflict_do_update(
        index_elements=["a", "b", "reason"],
        set_={"state": _pair.excluded.state},
        where=_pair.excluded.state != word("open"),
    )
)

_errand = _insert(shapes.errand)
_earlier = sa.case(
    (_errands.c.due == _errands.c.lease, _errands.c.due),
    else_=sa.func.min(_errands.c.due, _errand.excluded.due),
)
ask = Form(
    _errand.on_conflict_do_update(
        index_elements=["account", "topic", "hash"],
        set_={"asked": _errands.c.asked + _errand.excluded.asked, "due": _earlier},
    )
)

_tally = insert(tables.tallies).values(name=None, amount=None)
count_up = Form(
    _tally.on_conflict_do_update(
        index_elements=["name"], set_={"amount": tables.tallies.c.amount + _tally.excluded.amount}
    )
)

_most = insert(tables.tallies).values(name=None, amount=None)
note_most = Form(
    _most.on_conflict_do_update(
        index_elements=["name"], set_={"amount": sa.func.max(tables.tallies.c.amount, _most.excluded.amount)}
    )
)

# ---------------------------------------------------------------------- deliveries
_head, _behind = _deliveries.alias("head"), _deliveries.alias("behind")
_subjects = given(endpoint=Text, subject=Text)
_headed = sa.exists().where(same(_head, _subjects, "endpoint", "subject"), tables.head(_head))
_next = (
    sa.select(_behind.c.number)
    .where(same(_behind, _subjects, "endpoint", "subject"), tables.waiting(_behind))
    .order_by(_behind.c.number)
    .limit(1)
    .scalar_subquery()
)

put_deliveries = Form(_insert(shapes.delivery))
endpoints = Form(sa.select(tables.endpoints.c.endpoint, tables.endpoints.c.cause))
# Which of the given subjects have something open.
busy_subjects = Form(sa.select(_subjects.c.endpoint, _subjects.c.subject).where(sa.or_(_headed, _next.is_not(None))))
# Where nothing is under way, the oldest that waits becomes due.
promote = Form(
    sa.update(_deliveries)
    .where(_deliveries.c.number.in_(sa.select(_next).select_from(_subjects).where(~_headed)))
    .values(state=word("due"))
    .returning(_deliveries.c.number)
)


events_by_id = Form(sa.select(*_columns(shapes.event)).where(_among(tables.events.c.id)))

put_attempts = Form(_insert(shapes.attempt))

_expired = sa.and_(
    tables.undone(_deliveries), _deliveries.c.state == word("leased"), _deliveries.c.lease < bindparam("now")
)
some_expired = Form(sa.select(sa.literal_column("1")).where(_expired).limit(sa.literal_column("1")))
expire = Form(
    sa.update(_deliveries).where(_expired).values(state=word("due"), claim=sa.null(), lease=sa.literal_column("0"))
)
_under_way = sa.exists().where(
    _head.c.endpoint == _behind.c.endpoint, _head.c.subject == _behind.c.subject, tables.head(_head)
)
stranded = Form(sa.select(_behind.c.endpoint, _behind.c.subject).distinct().where(tables.waiting(_behind), ~_under_way))

_off = insert(tables.endpoints).values(endpoint=bindparam("name"), cause=bindparam("why"), at=bindparam("since"))
disable = Form(
    _off.on_conflict_do_update(index_elements=["endpoint"], set_={"cause": _off.excluded.cause, "at": _off.excluded.at})
)
_mine = _deliveries.c.endpoint == bindparam("name")


def _stop(*conditions: sa.ColumnElement[bool]) -> Form:
    stopped = {"state": bindparam("to"), "claim": sa.null(), "lease": sa.literal_column("0"), "cause": bindparam("why")}
    return Form(sa.update(_deliveries).where(*conditions).values(stopped))


stop_queued = _stop(
    _deliveries.c.number.in_(
        sa.select(_deliveries.c.number)
        .where(tables.queued(_deliveries), _mine)
        .order_by(_deliveries.c.number)
        .limit(bindparam("most"))
    )
)
next_in_line = Form(
    sa.select(_deliveries.c.number, _deliveries.c.due)
    .where(tables.queued(_deliveries), _mine, _deliveries.c.number > bindparam("after"))
    .order_by(_deliveries.c.number)
    .limit(bindparam("most"))
)
hasten = Form(
    sa.update(_deliveries)
    .where(_among(_deliveries.c.number), _deliveries.c.state == word("due"), _deliveries.c.due > bindparam("now"))
    .values(due=bindparam("now"))
    .returning(_deliveries.c.number)
)
# Few are leased at a time, so that they need no index by endpoint.
stop_leased = _stop(tables.undone(_deliveries), _deliveries.c.state == word("leased"), _mine)
# Disabled endpoints that have something queued all the same: a step was cut off.
half_disabled = Form(
    sa.select(tables.endpoints.c.endpoint, tables.endpoints.c.cause).where(
        sa.exists().where(tables.queued(_deliveries), _deliveries.c.endpoint == tables.endpoints.c.endpoint)
    )
)
enable = Form(sa.delete(tables.endpoints).where(tables.endpoints.c.endpoint == bindparam("name")))

# ---------------------------------------------------------------------- being polled
_line_of = sa.select(_deliveries.c.number, *_columns(shapes.delivery)).where(_mine)
in_line = Form(_line_of.where(tables.queued(_deliveries)).order_by(_deliveries.c.number).limit(bindparam("most")))
in_line_count = Form(sa.select(sa.func.count()).select_from(_deliveries).where(tables.queued(_deliveries), _mine))
# Few are leased at a time, and of one that is polled only until they are handed back.
held_in_line = Form(_line_of.where(tables.undone(_deliveries), _deliveries.c.state == word("leased")))
mark = Form(
    sa.update(_deliveries)
    .where(_among(_deliveries.c.number))
    .values(
        claim=bindparam("page"),
        state=sa.case((_deliveries.c.state == word("leased"), word("due")), else_=_deliveries.c.state),
        lease=sa.literal_column("0"),
        due=bindparam("until"),
    )
)
acknowledge = Form(
    sa.update(_deliveries)
    .where(
        tables.queued(_deliveries), _mine, _deliveries.c.number <= bindparam("last"), _deliveries.c.claim == bindparam("page")
    )
    .values(
        state=word("done"), tries=_deliveries.c.tries + sa.literal_column("1"), claim=sa.null(), cause=sa.null()
    )
    .returning(_deliveries.c.id, _deliveries.c.event, _deliveries.c.subject)
)  # fmt: skip
_fetched = insert(tables.health).values(
    endpoint=bindparam("name"), warned=sa.literal_column("0"), sequence=sa.literal_column("0"), last_ok=bindparam("now")
)
fetched = Form(_fetched.on_conflict_do_update(index_elements=["endpoint"], set_={"last_ok": _fetched.excluded.last_ok}))
spoil = Form(
    sa.update(_deliveries)
    .where(_among(_deliveries.c.id), _mine, _deliveries.c.claim == bindparam("page"), _deliveries.c.state.in_([word("due"), word("waiting")]))
    .values(state=word("dead"), claim=sa.null(), cause=bindparam("why"))
    .returning(_deliveries.c.subject)
)  # fmt: skip

# ---------------------------------------------------------------------- sending again
by_id = Form(
    sa.select(
        _deliveries.c.number, _deliveries.c.id, _deliveries.c.endpoint, _deliveries.c.subject, _deliveries.c.state
    ).where(_among(_deliveries.c.id))
)
_again = given(number=BigInteger, state=Text, subject=Text)
revive = Form(
    sa.update(_deliveries)
    .where(_deliveries.c.number == _again.c.number)
    .values(
        state=_again.c.state,
        subject=_again.c.subject,
        due=bindparam("now"),
        tries=sa.literal_column("0"),
        claim=sa.null(),
        lease=sa.literal_column("0"),
        cause=sa.null(),
    )
)
give_up = Form(
    sa.update(_deliveries).where(_among(_deliveries.c.number)).values(state=word("cancelled"), cause=bindparam("why"))
)
# A head that nobody has taken yet gives way; then the line is all that waits, each with its place and that of its event.
_event = tables.events
line = Form(
    sa.select(_behind.c.endpoint, _behind.c.subject, _behind.c.number, _event.c.number)
    .select_from(_subjects)
    .join(_behind, sa.and_(same(_behind, _subjects, "endpoint", "subject"), tables.waiting(_behind)))
    .join(_event, _event.c.id == _behind.c.event)
)
step_back = Form(
    sa.update(_deliveries)
    .where(
        same(_deliveries, _subjects, "endpoint", "subject"),
        tables.head(_deliveries),
        _deliveries.c.state == word("due"),
    )
    .values(state=word("waiting"))
)
newest_delivery = Form(sa.select(sa.func.coalesce(sa.func.max(_deliveries.c.number), 0)))
_places = given(number=BigInteger, place=BigInteger)
move_up = Form(sa.update(_deliveries).where(_deliveries.c.number == _places.c.number).values(number=_places.c.place))

# ---------------------------------------------------------------------- endpoints
booked = Form(sa.select(*_columns(shapes.booked)).order_by(tables.booked.c.name))
_entry = _insert(shapes.booked)
put_booked = Form(_entry.on_conflict_do_nothing())
replace_booked = Form(
    sa.update(tables.booked)
    .where(tables.booked.c.name == bindparam("of"), tables.booked.c.version == bindparam("before"))
    .values({column.name: bindparam(column.name) for column in shapes.booked.written if column.name != "name"})
)
drop_booked = Form(
    sa.delete(tables.booked).where(
        tables.booked.c.name == bindparam("of"), tables.booked.c.version == bindparam("before")
    )
)
health = Form(sa.select(*_columns(shapes.health)))
note = _upsert(shapes.health, "endpoint")
forget_health = Form(sa.delete(tables.health).where(tables.health.c.endpoint == bindparam("name")))

# ---------------------------------------------------------------------- errands and pulls
due_errands = Form(
    sa.select(_errands.c.number, *_columns(shapes.errand))
    .where(_errands.c.due <= bindparam("now"))
    .order_by(_errands.c.due, _errands.c.number)
    .limit(bindparam("most"))
)
lease_errands = Form(
    sa.update(_errands).where(_among(_errands.c.number)).values(due=bindparam("until"), lease=bindparam("until"))
)
_done = given(account=Text, topic=Text, hash=LargeBinary, asked=Integer)
_answer = _errands.alias("answer")
# Not "at most": an errand that was forgotten and asked for anew counts from one.
ask_again = Form(
    sa.update(_errands)
    .where(same(_errands, _done, "account", "topic", "hash"), _errands.c.asked != _done.c.asked)
    .values(due=bindparam("now"), lease=sa.literal_column("0"), tries=sa.literal_column("0"), cause=sa.null())
)
forget_errands = Form(
    sa.delete(_errands).where(
        _errands.c.number.in_(
            sa.select(_answer.c.number).where(
                same(_answer, _done, "account", "topic", "hash"), _answer.c.asked == _done.c.asked
            )
        )
    )
)
_later = given(account=Text, topic=Text, hash=LargeBinary, due=BigInteger, tries=Integer, cause=Text)
postpone_errands = Form(
    sa.update(_errands)
    .where(same(_errands, _later, "account", "topic", "hash"))
    .values(due=_later.c.due, tries=_later.c.tries, cause=_later.c.cause, lease=sa.literal_column("0"))
)
pulls = Form(sa.select(*_columns(shapes.pull)))
put_pulls = _upsert(shapes.pull, "account", "topic")

# ---------------------------------------------------------------------- rejects
put_rejects = Form(_insert(shapes.reject).on_conflict_do_nothing())
_surplus = sa.select(tables.rejects.c.id).order_by(tables.rejects.c.at.desc(), tables.rejects.c.id.desc())
drop_rejects = Form(sa.delete(tables.rejects).where(tables.rejects.c.id.in_(_surplus.offset(bindparam("keep")))))
