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
    """A state as a literal in the statement's text; only for words that stand in the code."""
    return sa.literal_column(f"'{text}'")


def must(name: str, kind: Any, **rest: Any) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, nullable=False, **rest)


def may(name: str, kind: Any) -> sa.Column[Any]:
    """A column that may be null."""
    return sa.Column(name, kind, nullable=True)


def _number() -> sa.Column[Any]:
    return sa.Column("number", Number, primary_key=True)


cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("lane", Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    must("position", Instant),
)

# The hash leads: it is as good as unique, and a look-up then needs no pairs.
seen = sa.Table(
    "seen",
    metadata,
    sa.Column("dedupe", Blob, primary_key=True),
    sa.Column("account", Text, primary_key=True),
    must("entry", Text),
    must("at", Instant),
    sa.Index(None, "at"),
    sqlite_with_rowid=False,
)

records = sa.Table(
    "records",
    metadata,
    _number(),
    must("id", Text),
    must("kind", Text),
    must("key", Blob),
    must("account", Text),
    may("customer", Text),
    may("unit", Text),
    must("at", Instant),
    may("version", Instant),
    must("sequence", Instant),
    must("created", Instant),
    must("updated", Instant),
    must("body", Blob),
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
    must("namespace", Text),
    must("scope", Text),
    must("strength", Text),
    must("verified", sa.Boolean),
    must("live", sa.Boolean),
    must("value", Text),
    must("first_seen", Instant),
    must("last_seen", Instant),
    sa.Index(None, "customer"),
    sqlite_with_rowid=False,
)

merges = sa.Table(
    "merges",
    metadata,
    sa.Column("id", Text, primary_key=True),
    must("survivor", Text),
    must("loser", Text),
    must("at", Instant),
    must("reason", Text),
    must("before", Blob),
    may("undone_at", Instant),
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
    must("a", Text),
    must("b", Text),
    must("reason", Text),
    must("at", Instant),
    must("state", Text),
    sa.UniqueConstraint("a", "b", "reason"),
    sa.Index(None, "state", "id"),
)

superseded = sa.Table(
    "superseded",
    metadata,
    _number(),
    must("record", Text),
    must("entry", Text),
    must("at", Instant),
    must("received", Instant),
    must("body", Blob),
    sa.Index(None, "received"),
    sa.Index(None, "record", "number"),
)

# Autoincrement: a number that was purged must not come again, or a reader of the feed would miss what carries it.
events = sa.Table(
    "events",
    metadata,
    _number(),
    must("id", Text),
    must("type", Text),
    must("subject", Text),
    must("sequence", Instant),
    must("at", Instant),
    must("account", Text),
    must("entry", Text),
    may("unit", Text),
    must("body", Blob),
    sa.UniqueConstraint("id"),
    sa.Index(None, "subject", "number"),
    sa.Index(None, "at"),
    sqlite_autoincrement=True,
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    _number(),
    must("id", Text),
    must("event", Text),
    must("endpoint", Text),
    may("subject", Text),
    must("due", Instant),
    must("state", Text),
    must("tries", sa.Integer),
    may("claim", Text),
    must("lease", Instant),
    must("created", Instant),
    may("cause", Text),
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
    must("endpoint", Text),
    must("event", Text),
    must("took", Instant),
    may("status", sa.Integer),
    may("error", Text),
    may("response", Blob),
    sa.Index(None, "at"),
    sqlite_with_rowid=False,
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("endpoint", Text, primary_key=True),
    must("cause", Text),
    must("at", Instant),
)

# What was decided at run time. ``version`` starts with one.
booked = sa.Table(
    "booked",
    metadata,
    sa.Column("name", Text, primary_key=True),
    must("version", Instant),
    must("paused", sa.Boolean),
    must("updated", Instant),
    must("document", Blob),
    must("secrets", Blob),
)

health = sa.Table(
    "health",
    metadata,
    sa.Column("endpoint", Text, primary_key=True),
    may("failing_since", Instant),
    must("warned", sa.Integer),
    must("sequence", Instant),
    may("last_ok", Instant),
    may("last_failure", Instant),
    may("cause", Text),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", Text, primary_key=True),
    must("entry", Text),
    must("account", Text),
    must("topic", Text),
    must("stage", Text),
    must("cause", Text),
    must("detail", Text),
    must("at", Instant),
    must("tries", sa.Integer),
    must("state", Text),
    sa.Index(None, "state", "id"),
)

rejects = sa.Table(
    "rejects",
    metadata,
    sa.Column("id", Text, primary_key=True),
    must("account", Text),
    must("reason", Text),
    must("detail", Text),
    must("peer", Text),
    must("size", Instant),
    must("at", Instant),
    may("body", Blob),
    sa.Index(None, "at", "id"),
)

# An errand is under way while its due time is its lease; asking for it then must not make it due.
errands = sa.Table(
    "errands",
    metadata,
    _number(),
    must("account", Text),
    must("topic", Text),
    must("hash", Blob),
    must("key", Text),
    must("due", Instant),
    must("tries", sa.Integer),
    must("asked", sa.Integer),
    must("entry", Text),
    may("cause", Text),
    must("lease", Instant, server_default="0"),
    sa.UniqueConstraint("account", "topic", "hash"),
    sa.Index(None, "due", "number"),
)

pulls = sa.Table(
    "pulls",
    metadata,
    sa.Column("account", Text, primary_key=True),
    sa.Column("topic", Text, primary_key=True),
    must("done", Instant),
    may("until", Instant),
    may("cursor", Text),
)

# How many records there are of each kind and deliveries in each final state: counted as they come, because counting them is a scan.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("name", Text, primary_key=True),
    must("amount", Instant),
)
