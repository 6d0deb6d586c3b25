"""The table of what partners are asked to do. See ``gateway.stores.tables`` for what all of them share."""

import sqlalchemy as sa
from sqlalchemy import ColumnElement, FromClause, Text

from gateway.stores.tables import Blob, Instant, Number, may, metadata, must, word

# In the order in which they were asked for: ``number``.
actions = sa.Table(
    "actions",
    metadata,
    sa.Column("number", Number, primary_key=True),
    must("id", Text),
    must("account", Text),
    must("action", Text),
    must("client", Text),
    may("customer", Text),
    may("key", Blob),
    must("subject", Blob),
    must("harmless", sa.Boolean),
    must("state", Text),
    must("due", Instant),
    must("expires", Instant),
    must("created", Instant),
    must("updated", Instant),
    may("ended", Instant),
    must("tries", sa.Integer),
    must("deaths", sa.Integer),
    must("version", Instant),
    may("cause", Text),
    must("body", Blob),
    sa.UniqueConstraint("id"),
    sa.UniqueConstraint("key"),
    sa.Index(None, "account", "id"),
    sa.Index(None, "client", "id"),
)


def standing(of: FromClause) -> ColumnElement[bool]:
    """Not yet begun."""
    return of.c.state == word("waiting")


def under_way(of: FromClause) -> ColumnElement[bool]:
    """In line: what holds up the next of its subject."""
    return of.c.state.in_([word("waiting"), word("running")])


def unsettled(of: FromClause) -> ColumnElement[bool]:
    """Not at its end."""
    return of.c.state.in_([word("waiting"), word("running"), word("unknown")])


def _indexed(name: str, where: ColumnElement[bool], *columns: str) -> None:
    sa.Index(f"ix_actions_{name}", *(actions.c[one] for one in columns), sqlite_where=where, postgresql_where=where)


_indexed("due", standing(actions), "account", "due", "number")
_indexed("late", standing(actions), "expires")
_indexed("line", under_way(actions), "subject", "number")
_indexed("open", unsettled(actions), "state", "id")
_indexed("owed", unsettled(actions), "client")
_indexed("ended", actions.c.ended.is_not(None), "ended")
