"""Which events somebody means, found in small steps, on SQLite."""

import sqlite3
from collections.abc import Sequence

from gateway.store import EventRow, Span
from gateway.stores import inquiries, shapes
from gateway.stores.forms import Rows

STEP = 5000
"""Events passed in one step, so that no listing waits long behind another."""

LAST = 2**63 - 1
"""A number that no event has."""


def start(connection: sqlite3.Connection, span: Span) -> int:
    """After which number the events of its time begin."""
    if span.since is None and span.until is None:
        return 0
    since = -LAST if span.since is None else span.since
    found = inquiries.first_between.run(connection, since=since, until=LAST if span.until is None else span.until)
    return LAST if found[0][0] is None else found[0][0] - 1


def by_id(connection: sqlite3.Connection, span: Span, *, after: int, limit: int) -> Sequence[EventRow]:
    """Those that are named; all other conditions hold too."""
    rows = shapes.event.unpack_all(inquiries.events_by_id.run(connection, list(dict.fromkeys(span.ids))))
    meant = [row for row in rows if row.number > after and _meant(row, span)]
    return sorted(meant, key=lambda row: row.number)[:limit]


def _meant(row: EventRow, span: Span) -> bool:
    return (
        (span.since is None or row.at >= span.since)
        and (span.until is None or row.at < span.until)
        and (span.subject is None or row.subject == span.subject)
        and (span.account is None or row.account == span.account)
        and (not span.types or row.type in span.types)
    )


def of_subject(connection: sqlite3.Connection, span: Span, *, after: int, limit: int) -> Sequence[EventRow]:
    """One subject's events: an index holds them together."""
    return _page(connection, span, after=after, end=LAST, limit=limit)


def step(
    connection: sqlite3.Connection, span: Span, *, after: int, limit: int
) -> tuple[Sequence[EventRow], int | None]:
    """The next of them among ``STEP`` numbers, and after which number to go on: None at the end."""
    first = inquiries.next_number.run(connection, after=after)[0][0]
    if first is None:
        return [], None
    end = first + STEP - 1
    return _page(connection, span, after=after, end=end, limit=limit), end


def _page(connection: sqlite3.Connection, span: Span, *, after: int, end: int, limit: int) -> Sequence[EventRow]:
    asked = {"since": span.since, "until": span.until, "of": span.subject, "whose": span.account}
    given = {name: value for name, value in asked.items() if value is not None}
    form = inquiries.span(*given, types=bool(span.types))
    types = list(dict.fromkeys(span.types)) or None
    rows: Rows = form.run(connection, types, after=after, end=end, most=limit, **given)
    # More types than one statement takes come in several parts.
    return sorted(shapes.event.unpack_all(rows), key=lambda row: row.number)[:limit]
