"""Claiming, finishing and sweeping deliveries, on SQLite."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from gateway.store import OPEN, Attempt, Claimed, Delivery, DeliveryState, Result
from gateway.stores import inquiries, shapes, statements
from gateway.stores.forms import Rows
from gateway.stores.sqlite_connection import transaction
from gateway.stores.sqlite_project import count_up

_OPEN = {state.value for state in OPEN}


def claim(
    connection: sqlite3.Connection, *, now: int, lease: int, claim: str, limit: int, retries: bool
) -> Sequence[Claimed]:
    """See ``Store.claim``."""
    some, take = (
        (statements.some_again, statements.claim_again) if retries else (statements.some_first, statements.claim_first)
    )
    # An idle worker asks often: it must not take the lock to learn that there is nothing.
    if limit < 1 or not some.run(connection, now=now):
        return ()
    with transaction(connection):
        taken = take.run(connection, now=now, until=lease, holder=claim, most=limit)
    return _with_events(connection, taken)


def _with_events(connection: sqlite3.Connection, taken: Rows) -> Sequence[Claimed]:
    numbered = sorted(((row[0], shapes.delivery.unpack(row[1:])) for row in taken), key=_age)
    wanted = list({delivery.event for _, delivery in numbered})
    events = {event.id: event for event in shapes.event.unpack_all(statements.events_by_id.run(connection, wanted))}
    return [Claimed(delivery=delivery, event=events[delivery.event]) for _, delivery in numbered]


def _age(numbered: tuple[int, Delivery]) -> tuple[int, int]:
    return numbered[1].due, numbered[0]


def finish(connection: sqlite3.Connection, results: Sequence[Result]) -> int:
    """See ``Store.finish``."""
    # A delivery has one holder, so the first word on it is the only one.
    said: dict[str, Result] = {}
    for result in results:
        said.setdefault(result.delivery, result)
    if not said:
        return 0
    given = [(one.delivery, one.claim, one.state.value, one.due, one.tries, one.cause) for one in said.values()]
    with transaction(connection):
        held = statements.finish.run(connection, given)
        attempts = (said[row[0]].attempt for row in held)
        statements.put_attempts.run(connection, shapes.attempt.pack_all(_present(attempts)))
        final = [row for row in held if row[3] not in _OPEN]
        count_up(connection, Counter(f"deliveries.{state}" for *_, state in final))
        return wake(connection, ((endpoint, subject) for _, endpoint, subject, _ in final))


def _present(attempts: Iterable[Attempt | None]) -> Iterable[Attempt]:
    return (attempt for attempt in attempts if attempt is not None)


def wake(connection: sqlite3.Connection, subjects: Iterable[tuple[str, str | None]]) -> int:
    """Make the oldest that waits due, for each (endpoint, subject) of which nothing is under way. How many."""
    waited_for = list(dict.fromkeys(pair for pair in subjects if pair[1] is not None))
    return len(statements.promote.run(connection, waited_for))


def strays(connection: sqlite3.Connection) -> tuple[Rows, Rows]:
    """Subjects of which something waits and nothing is under way; disabled endpoints, with the cause, of which something is queued.

    Reads only, for it passes all that waits.
    """
    return statements.stranded.run(connection), statements.half_disabled.run(connection)


def release(connection: sqlite3.Connection, alone: Rows, *, now: int) -> int:
    """See ``Store.release``; ``alone`` are subjects that ``strays`` found, which is tried again here."""
    if not alone and not statements.some_expired.run(connection, now=now):
        return 0
    with transaction(connection):
        return statements.expire.change(connection, now=now) + len(statements.promote.run(connection, alone))


def counts(connection: sqlite3.Connection) -> dict[str, int | None]:
    """The deliveries' part of ``Store.counts``: open ones by their small indexes, the rest from the tallies."""
    figures: dict[str, int | None] = {f"deliveries.{state.value}": 0 for state in DeliveryState}
    figures.update(inquiries.tallies.run(connection))
    figures.pop(inquiries.FORGOTTEN, None)
    figures.update({f"deliveries.{state}": amount for state, amount in inquiries.open_deliveries.run(connection)})
    dues = [form.run(connection)[0][0] for form in (inquiries.oldest_first, inquiries.oldest_again)]
    figures["oldest_due"] = min((due for due in dues if due is not None), default=None)
    return figures
