"""The store's tables, for every database.

Times are microseconds, bodies sealed JSON. ``number`` is the order of writing, given by the database; ``id`` is ours and unique. Blobs stand
last, so that the narrow columns of a row are read without its overflow pages.

Most deliveries are done. Every index that a worker walks is therefore partial: it holds only what is still to do, and claiming costs the
same after a million finished deliveries as after none. Conditions are built from literals because a database uses a partial index
only for a query that states its condition word for word.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, FromClause, Text

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = sa.MetaData(naming_convention=NAMES)

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.BigInteger()
Blob = sa.LargeBinary()


def word(text: str) -> ColumnElement[Any]:
    """A state as a literal in the statement's text; only for words of this module."""
    return sa.literal_column(f"'{text}'")


def _must(name: str, kind: Any, **rest: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **rest)


def _may(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _number() -> sa.Column[Any]:
    return sa.Column("number", Number, primary_key=True)


cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("lane", Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    _must("position", Instant),
)

# The hash leads: it is as good as unique, and a look-up then needs no pairs.
seen = sa.Table(
    "seen",
    metadata,
    sa.Column("dedupe", Blob, primary_key=True),
    sa.Column("account", Text, primary_key=True),
    _must("entry", Text),
    _must("at", Instant),
    sa.Index(None, "at"),
    sqlite_with_rowid=False,
)

records = sa.Table(
    "records",
    metadata,
    _number(),
    _must("id", Text),
    _must("kind", Text),
    _must("key", Blob),
    _must("account", Text),
    _may("customer", Text),
    _may("unit", Text),
    _must("at", Instant),
    _may("version", Instant),
    _must("sequence", Instant),
    _must("created", Instant),
    _must("updated", Instant),
    _must("body", Blob),
    sa.UniqueConstraint("id"),
    sa.UniqueConstraint("key"),
    sa.Index(None, "kind", "id"),
    sa.Index(None, "customer", "kind", "id", sqlite_where=sa.text("customer IS NOT NULL"), postgresql_where=sa.text("customer IS NOT NULL")),
)  # fmt: skip

edges = sa.Table(
    "edges",
    metadata,
    sa.Column("key", Blob, primary_key=True),
    sa.Column("customer", Text, primary_key=True),
    _must("namespace", Text),
    _must("scope", Text),
    _must("strength", Text),
    _must("verified", sa.Boolean),
    _must("live", sa.Boolean),
    _must("value", Text),
    _must("first_seen", Instant),
    _must("last_seen", Instant),
    sa.Index(None, "customer"),
    sqlite_with_rowid=False,
)

merges = sa.Table(
    "merges",
    metadata,
    sa.Column("id", Text, primary_key=True),
    _must("survivor", Text),
    _must("loser", Text),
    _must("at", Instant),
    _must("reason", Text),
    _must("before", Blob),
    _may("undone_at", Instant),
    sa.Index(None, "survivor"),
    sa.Index(None, "loser"),
)

# Which records a merge took from the loser: what undoing it gives back.
moved = sa.Table(
    "moved",
    metadata,
    sa.Column("merge", Text, primary_key=True),
    sa.Column("record", Text, primary_key=True),
    sqlite_with_rowid=False,
)

candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("id", Text, primary_key=True),
    _must("a", Text),
    _must("b", Text),
    _must("reason", Text),
    _must("at", Instant),
    _must("state", Text),
    sa.UniqueConstraint("a", "b", "reason"),
    sa.Index(None, "state", "id"),
)

superseded = sa.Table(
    "superseded",
    metadata,
    _number(),
    _must("record", Text),
    _must("entry", Text),
    _must("at", Instant),
    _must("received", Instant),
    _must("body", Blob),
    sa.Index(None, "received"),
    sa.Index(None, "record", "number"),
)

# Autoincrement: a number that was purged must not come again, or a reader of the feed would miss what carries it.
events = sa.Table(
    "events",
    metadata,
    _number(),
    _must("id", Text),
    _must("type", Text),
    _must("subject", Text),
    _must("sequence", Instant),
    _must("at", Instant),
    _must("account", Text),
    _must("entry", Text),
    _may("unit", Text),
    _must("body", Blob),
    sa.UniqueConstraint("id"),
    sa.Index(None, "subject", "number"),
    sa.Index(None, "at"),
    sqlite_autoincrement=True,
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    _number(),
    _must("id", Text),
    _must("event", Text),
    _must("endpoint", Text),
    _may("subject", Text),
    _must("due", Instant),
    _must("state", Text),
    _must("tries", sa.Integer),
    _may("claim", Text),
    _must("lease", Instant),
    _must("created", Instant),
    _may("cause", Text),
    sa.UniqueConstraint("id"),
    sa.Index(None, "event"),
    sa.Index(None, "endpoint", "id"),
)


def first(of: FromClause) -> ColumnElement[bool]:
    """Due, and never tried."""
    return sa.and_(of.c.state == word("due"), of.c.tries == sa.literal_column("0"))


def again(of: FromClause) -> ColumnElement[bool]:
    """Due, and tried before."""
    return sa.and_(of.c.state == word("due"), of.c.tries > sa.literal_column("0"))


def head(of: FromClause) -> ColumnElement[bool]:
    """The one delivery of an ordered subject that may be under way."""
    return sa.and_(of.c.subject.is_not(None), of.c.state.in_([word("due"), word("leased")]))


def waiting(of: FromClause) -> ColumnElement[bool]:
    """Behind the head."""
    return of.c.state == word("waiting")


def queued(of: FromClause) -> ColumnElement[bool]:
    """Open, and in nobody's hands. What is leased at birth and then done never enters the index of these."""
    return of.c.state.in_([word("due"), word("waiting")])


def ended(of: FromClause) -> ColumnElement[bool]:
    """Final, and not done: what a person may want to send again."""
    return of.c.state.in_([word("dead"), word("disabled"), word("cancelled")])


def undone(of: FromClause) -> ColumnElement[bool]:
    """Everything but the many that are done."""
    return of.c.state != word("done")


def _partial(name: str, where: ColumnElement[bool], *columns: str, unique: bool = False) -> None:
    parts = [deliveries.c[column] for column in columns]
    sa.Index(f"ix_deliveries_{name}", *parts, unique=unique, sqlite_where=where, postgresql_where=where)


_partial("first", first(deliveries), "due", "number")
_partial("again", again(deliveries), "due", "number")
_partial("undone", undone(deliveries), "state", "id")
# Unique: the database itself refuses to have two deliveries of one ordered subject under way.
_partial("head", head(deliveries), "endpoint", "subject", unique=True)
_partial("waiting", waiting(deliveries), "endpoint", "subject", "number")
_partial("queued", queued(deliveries), "endpoint", "number")
_partial("ended", ended(deliveries), "endpoint", "state", "id")

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery", Text, primary_key=True),
    sa.Column("at", Instant, primary_key=True, autoincrement=False),
    sa.Column("id", Text, primary_key=True),
    _must("endpoint", Text),
    _must("event", Text),
    _must("took", Instant),
    _may("status", sa.Integer),
    _may("error", Text),
    _may("response", Blob),
    sa.Index(None, "at"),
    sqlite_with_rowid=False,
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("endpoint", Text, primary_key=True),
    _must("cause", Text),
    _must("at", Instant),
)

# What was decided at run time. ``version`` starts with one.
booked = sa.Table(
    "booked",
    metadata,
    sa.Column("name", Text, primary_key=True),
    _must("version", Instant),
    _must("paused", sa.Boolean),
    _must("updated", Instant),
    _must("document", Blob),
    _must("secrets", Blob),
)

health = sa.Table(
    "health",
    metadata,
    sa.Column("endpoint", Text, primary_key=True),
    _may("failing_since", Instant),
    _must("warned", sa.Integer),
    _must("sequence", Instant),
    _may("last_ok", Instant),
    _may("last_failure", Instant),
    _may("cause", Text),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", Text, primary_key=True),
    _must("entry", Text),
    _must("account", Text),
    _must("topic", Text),
    _must("stage", Text),
    _must("cause", Text),
    _must("detail", Text),
    _must("at", Instant),
    _must("tries", sa.Integer),
    _must("state", Text),
    sa.Index(None, "state", "id"),
)

rejects = sa.Table(
    "rejects",
    metadata,
    sa.Column("id", Text, primary_key=True),
    _must("account", Text),
    _must("reason", Text),
    _must("detail", Text),
    _must("peer", Text),
    _must("size", Instant),
    _must("at", Instant),
    _may("body", Blob),
    sa.Index(None, "at", "id"),
)

# An errand is under way while its due time is its lease; asking for it then must not make it due.
errands = sa.Table(
    "errands",
    metadata,
    _number(),
    _must("account", Text),
    _must("topic", Text),
    _must("hash", Blob),
    _must("key", Text),
    _must("due", Instant),
    _must("tries", sa.Integer),
    _must("asked", sa.Integer),
    _must("entry", Text),
    _may("cause", Text),
    _must("lease", Instant, server_default="0"),
    sa.UniqueConstraint("account", "topic", "hash"),
    sa.Index(None, "due", "number"),
)

pulls = sa.Table(
    "pulls",
    metadata,
    sa.Column("account", Text, primary_key=True),
    sa.Column("topic", Text, primary_key=True),
    _must("done", Instant),
    _may("until", Instant),
    _may("cursor", Text),
)

# How many records there are of each kind and deliveries in each final state: counted as they come, because counting them is a scan.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("name", Text, primary_key=True),
    _must("amount", Instant),
)
