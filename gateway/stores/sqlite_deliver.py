"""Claiming, finishing and sweeping deliveries, on SQLite."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from gateway.store import OPEN, Claimed, Delivery, DeliveryState, EventRow, Result
from gateway.stores import claiming, inquiries, shapes, statements
from gateway.stores.forms import Rows
from gateway.stores.sqlite_connection import transaction
from gateway.stores.sqlite_project import count_up


def claim(
    connection: sqlite3.Connection, *, now: int, lease: int, claim: str, limit: int, retries: bool
) -> Sequence[Claimed]:
    """See ``Store.claim``."""
    some, choose = (claiming.some_again, claiming.due_again) if retries else (claiming.some_first, claiming.due_first)
    # An idle worker asks often: it must not take the lock to learn that there is nothing.
    if limit < 1 or not some.run(connection, now=now):
        return ()
    with transaction(connection):
        chosen = claiming.due_of(choose.run(connection, now=now, most=limit)[0][0])
        # The database promises no order of what it gathers into one row.
        chosen.sort(key=_age)
        claiming.lease.run(connection, [row[0] for row in chosen], holder=claim, until=lease)
    events = _events(connection, list({row[2] for row in chosen}))
    return [Claimed(delivery=_leased(row, claim, lease), event=events[row[2]]) for row in chosen]


def _age(row: claiming.Due) -> tuple[int, int]:
    return row[5], row[0]


def _leased(row: claiming.Due, claim: str, lease: int) -> Delivery:
    _, name, event, endpoint, subject, due, tries, created, cause = row
    return Delivery(
        id=name, event=event, endpoint=endpoint, subject=subject, due=due, state=DeliveryState.LEASED, tries=tries,
        claim=claim, lease=lease, created=created, cause=cause,
    )  # fmt: skip


def _events(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, EventRow]:
    found: dict[str, EventRow] = {}
    for told, bodies in claiming.events.run(connection, names):
        at = 0
        for number, name, kind, subject, sequence, instant, account, entry, unit, size in claiming.told_of(told):
            found[name] = EventRow(
                number=number, id=name, type=kind, subject=subject, sequence=sequence, at=instant, account=account,
                entry=entry, unit=unit, body=bodies[at : at + size],
            )  # fmt: skip
            at += size
    return found


def finish(connection: sqlite3.Connection, results: Sequence[Result]) -> int:
    """See ``Store.finish``."""
    # A delivery has one holder, so the first word on it is the only one.
    said: dict[str, Result] = {}
    for result in results:
        said.setdefault(result.delivery, result)
    if not said:
        return 0
    with transaction(connection):
        asked = claiming.held.run(connection, [(one.delivery, one.claim) for one in said.values()])
        held = [
            (said[name], number, endpoint, subject)
            for (told,) in asked
            for name, number, endpoint, subject in claiming.held_of(told)
        ]
        given = [(number, one.state.value, one.due, one.tries, one.cause) for one, number, _, _ in held]
        claiming.finish.run(connection, given)
        attempts = [one.attempt for one, _, _, _ in held if one.attempt is not None]
        statements.put_attempts.run(connection, shapes.attempt.pack_all(attempts))
        final = [row for row in held if row[0].state not in OPEN]
        count_up(connection, Counter(f"deliveries.{one.state.value}" for one, _, _, _ in final))
        return wake(connection, [(endpoint, subject) for _, _, endpoint, subject in final])


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
