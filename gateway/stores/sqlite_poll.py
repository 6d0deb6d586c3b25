"""Endpoints that are polled: what is handed over, and what was acknowledged, on SQLite.

A page is a mark on the deliveries themselves, so that acknowledging names exactly what was handed over, whatever was made, revived or moved
since. It ends with the number of its last delivery: acknowledging walks the line up to there and no further.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from gateway.clock import derived_id
from gateway.store import Attempt, Claimed, Delivery, DeliveryState, Served, Waiting
from gateway.stores import shapes, statements
from gateway.stores.sqlite_connection import transaction
from gateway.stores.sqlite_deliver import wake
from gateway.stores.sqlite_project import count_up

_Place = tuple[int, Delivery]
_NOTHING = Served(page="", items=())


def serve(connection: sqlite3.Connection, *, endpoint: str, page: str, limit: int, until: int) -> Served:
    """See ``Store.serve``."""
    # Whoever polls asks often: the lock is not taken to learn that there is nothing new.
    line = _line(connection, endpoint, limit + 1)
    if not line:
        return _NOTHING
    mark = _mark(line[0])
    run = _run(line, mark)
    if mark is not None and len(run) <= limit:
        return _served(connection, mark, run)
    with transaction(connection):
        line = _line(connection, endpoint, limit)
        if not line:
            return _NOTHING
        run = _run(line, _mark(line[0]))
        name = f"{page}.{run[-1][0]}"
        statements.mark.run(connection, [number for number, _ in run], page=name, until=until)
    return _served(connection, name, run)


def acknowledge(connection: sqlite3.Connection, *, endpoint: str, page: str, now: int) -> int:
    """See ``Store.acknowledge``."""
    last = _last(page)
    if last is None:
        return 0
    with transaction(connection):
        done = statements.acknowledge.run(connection, name=endpoint, page=page, last=last)
        attempts = [
            Attempt(
                id=derived_id("att", now, name, page), delivery=name, endpoint=endpoint, event=event, at=now, took=0, status=200,
                error=None, response=None,
            )
            for name, event, _ in done
        ]  # fmt: skip
        statements.put_attempts.run(connection, shapes.attempt.pack_all(attempts))
        count_up(connection, Counter({f"deliveries.{DeliveryState.DONE.value}": len(done)}))
        wake(connection, ((endpoint, subject) for *_, subject in done))
        if done:
            statements.fetched.run(connection, name=endpoint, now=now)
    return len(done)


def waiting(connection: sqlite3.Connection, *, endpoint: str) -> Waiting:
    """See ``Store.waiting``."""
    count: int = statements.in_line_count.run(connection, name=endpoint)[0][0]
    first = statements.in_line.run(connection, name=endpoint, most=1)
    return Waiting(count=count, oldest=shapes.delivery.unpack(first[0][1:]).created if first else None)


def spoil(connection: sqlite3.Connection, *, endpoint: str, page: str, deliveries: Sequence[str], cause: str) -> int:
    """See ``Store.spoil``."""
    with transaction(connection):
        gone = statements.spoil.run(connection, deliveries, name=endpoint, page=page, why=cause)
        count_up(connection, Counter({f"deliveries.{DeliveryState.DEAD.value}": len(gone)}))
        wake(connection, ((endpoint, subject) for (subject,) in gone))
    return len(gone)


def _line(connection: sqlite3.Connection, endpoint: str, most: int) -> list[_Place]:
    rows = statements.in_line.run(connection, name=endpoint, most=most)
    rows += statements.held_in_line.run(connection, name=endpoint)
    return [(row[0], shapes.delivery.unpack(row[1:])) for row in sorted(rows)[:most]]


def _mark(place: _Place) -> str | None:
    """The page it was served under, if that still reaches it: a replay may have moved it up the line since. What is leased is in the hands of a
    deliverer who has nowhere to send it."""
    number, one = place
    if one.claim is None or one.state is DeliveryState.LEASED:
        return None
    last = _last(one.claim)
    return one.claim if last is not None and number <= last else None


def _last(page: str) -> int | None:
    text = page.rpartition(".")[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _run(line: Sequence[_Place], mark: str | None) -> list[_Place]:
    """The head of the line that was served together, or that was not served yet."""
    return list(takewhile(lambda place: _mark(place) == mark, line))


def _served(connection: sqlite3.Connection, page: str, run: Sequence[_Place]) -> Served:
    names = list(dict.fromkeys(one.event for _, one in run))
    events = {one.id: one for one in shapes.event.unpack_all(statements.events_by_id.run(connection, names))}
    return Served(page=page, items=[Claimed(delivery=one, event=events[one.event]) for _, one in run])
