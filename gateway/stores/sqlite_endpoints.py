"""What is known and decided about endpoints, and stopping them a step at a time, on SQLite."""

import sqlite3
from collections import Counter
from collections.abc import Sequence

import msgspec

from gateway.errors import Stale
from gateway.store import Booked, DeliveryState, Health
from gateway.stores import shapes, statements
from gateway.stores.sqlite_connection import transaction
from gateway.stores.sqlite_project import count_up

STEP = 500
"""Deliveries stopped in one transaction; a few milliseconds."""


def disable(connection: sqlite3.Connection, endpoint: str, *, cause: str, now: int) -> None:
    """Mark it. From now on its deliveries are born disabled; the open ones are for ``stop``."""
    with transaction(connection):
        statements.disable.run(connection, [(endpoint, cause, now)])


def enable(connection: sqlite3.Connection, endpoint: str) -> None:
    """See ``Store.enable``."""
    with transaction(connection):
        statements.enable.run(connection, name=endpoint)


def hasten(
    connection: sqlite3.Connection, endpoint: str, *, before: int, now: int, after: int
) -> tuple[int, int | None]:
    """Of the next ``STEP`` in line behind number ``after``; how many, and where to go on, None at the end."""
    line = statements.next_in_line.run(connection, name=endpoint, after=after, most=STEP)
    late = [number for number, due in line if now < due <= before]
    if late:
        with transaction(connection):
            # Somebody may have claimed one since.
            late = [number for (number,) in statements.hasten.run(connection, late, now=now)]
    return len(late), line[-1][0] if len(line) == STEP else None


def stop(connection: sqlite3.Connection, endpoint: str, *, to: DeliveryState, cause: str) -> tuple[int, bool]:
    """End what is leased and up to ``STEP`` of what is queued; how many, and whether there is more."""
    given = {"name": endpoint, "to": to.value, "why": cause}
    with transaction(connection):
        leased = statements.stop_leased.change(connection, **given)
        queued = statements.stop_queued.change(connection, **given, most=STEP)
        count_up(connection, Counter({f"deliveries.{to.value}": leased + queued}))
    return leased + queued, queued == STEP


def book(connection: sqlite3.Connection, entry: Booked, *, before: int) -> None:
    """See ``Store.book``."""
    kept = msgspec.structs.replace(entry, version=before + 1)
    with transaction(connection):
        if before == 0:
            done = statements.put_booked.change(connection, shapes.booked.pack_all([kept]))
        else:
            values = msgspec.structs.asdict(kept)
            done = statements.replace_booked.change(connection, of=values.pop("name"), before=before, **values)
        if not done:
            raise Stale("somebody else changed this endpoint since it was read", place=entry.name)


def unbook(connection: sqlite3.Connection, endpoint: str, *, before: int) -> None:
    """Forget it and how it was; its open deliveries are for ``stop``."""
    with transaction(connection):
        if not statements.drop_booked.change(connection, of=endpoint, before=before):
            raise Stale("somebody else changed this endpoint since it was read", place=endpoint)
        statements.forget_health.run(connection, name=endpoint)
        statements.enable.run(connection, name=endpoint)


def note(connection: sqlite3.Connection, health: Sequence[Health]) -> None:
    """See ``Store.note``."""
    if not health:
        return
    with transaction(connection):
        statements.note.run(connection, shapes.health.pack_all(health))
