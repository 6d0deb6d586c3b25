"""Forgetting, a small transaction at a time, so that workers get their turn between."""

import sqlite3
from collections import Counter

import msgspec

from gateway.stores import inquiries, statements
from gateway.stores.forms import Form
from gateway.stores.sqlite_connection import transaction
from gateway.stores.sqlite_project import count_up

STEP = 500
"""Rows in one transaction; a few milliseconds."""


class Place(msgspec.Struct, frozen=True):
    """How far a purge of events has come: those that must stay are passed once, not in every step."""

    at: int = -(2**63)
    number: int = 0


def age(connection: sqlite3.Connection, forms: tuple[Form, Form], *, before: int) -> tuple[int, bool]:
    """Forget the oldest rows of one table; how many, and whether there is more. Rows of one instant go together."""
    end, drop = forms
    found = end.run(connection, before=before, most=STEP)
    with transaction(connection):
        gone = drop.change(connection, before=found[0][0] if found else before)
    return gone, bool(found)


def events(connection: sqlite3.Connection, place: Place, *, before: int) -> tuple[int, Place | None]:
    """Forget events from ``place`` on whose deliveries are all final, with these; how many rows, and where to go on."""
    with transaction(connection):
        old = inquiries.old_events.run(connection, before=before, from_at=place.at, from_number=place.number, most=STEP)
        kept = {event for (event,) in inquiries.still_open.run(connection, [event for *_, event in old])}
        settled = [event for *_, event in old if event not in kept]
        forgotten = max((number for _, number, event in old if event not in kept), default=0)
        statements.note_most.run(connection, [(inquiries.FORGOTTEN, forgotten)] if forgotten else [])
        dropped = inquiries.drop_deliveries.run(connection, settled)
        inquiries.drop_events.run(connection, settled)
        tally = Counter(f"deliveries.{state}" for (state,) in dropped)
        count_up(connection, Counter({name: -amount for name, amount in tally.items()}))
    more = Place(*old[-1][:2]) if len(old) == STEP else None
    return len(dropped) + len(settled), more
