"""The SCRM's own tables. Instants are microseconds, UTC; ``body`` is JSON: as it arrived for events, as last told for records.

A record's ``sequence`` is that of the event which last changed it: only a higher one may change it again.
"""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

metadata = MetaData()

# Raw events in order of arrival, one row per webhook-id. ``customer`` is whom the event named then; merges do not rewrite it.
events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("at", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("happened", Integer),
    Column("account", Text, nullable=False),
    Column("connector", Text, nullable=False),
    Column("customer", Text),
    Column("fate", Text, nullable=False),
    Column("body", LargeBinary),
    Index("events_timeline", "customer", "happened", "number"),
    Index("events_subject", "subject", "sequence"),
)

# How much of each subject was heard: ``heard`` different sequences between ``first`` and ``last``; the rest are gaps.
subjects = Table(
    "subjects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("heard", Integer, nullable=False),
)

# ``merged_into`` is the neighbour a merge named, ``survivor`` the end of that chain (None: this one stands for itself),
# ``parted_at`` when either last changed. ``search`` is lower-case text to look in, ``seen`` the latest thing that happened.
customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("merged_into", Text),
    Column("survivor", Text),
    Column("parted_at", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("search", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("customers_survivor", "survivor"),
    Index("customers_standing", "seen", "id", sqlite_where=text("survivor IS NULL")),
)

identities = Table(
    "identities",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("verified", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
)

# Through which accounts a customer is known, counted as events come in: a list must not look through every event of everybody on it.
accounts = Table(
    "accounts",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("connector", Text, primary_key=True),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("events", Integer, nullable=False),
)


def _records(name: str, *more: Column[int] | Column[str]) -> Table:
    return Table(
        name,
        metadata,
        Column("id", Text, primary_key=True),
        Column("customer", Text),
        Column("account", Text, nullable=False),
        Column("external_id", Text, nullable=False),
        Column("sequence", Integer, nullable=False),
        Column("at", Integer, nullable=False),
        Column("updated", Integer, nullable=False),
        Column("body", LargeBinary, nullable=False),
        *more,
        Index(f"{name}_customer", "customer", "at"),
        Index(f"{name}_external", "external_id"),
    )


# Minor units, beside the body so that a customer's total is one statement.
orders = _records("orders", Column("currency", Text), Column("paid", Integer), Column("refunded", Integer))
appointments = _records("appointments")
relationships = _records("relationships")
staff = _records("staff")
units = _records("units")

# Running totals, kept in the transaction that changes them: a page must not count a million rows every few seconds.
totals = Table("totals", metadata, Column("name", Text, primary_key=True), Column("value", Integer, nullable=False))

RECORDS = {"order": orders, "appointment": appointments, "relationship": relationships, "staff": staff, "unit": units}
