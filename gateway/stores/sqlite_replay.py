"""Sending again, each subject in the order of its events, on SQLite."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import msgspec

from gateway.store import OPEN, Delivery, DeliveryState
from gateway.stores import shapes, statements
from gateway.stores.sqlite_connection import transaction
from gateway.stores.sqlite_deliver import wake
from gateway.stores.sqlite_project import count_up

_OPEN = {state.value for state in OPEN}
_FAILED = {DeliveryState.DEAD.value, DeliveryState.DISABLED.value}
_DUE, _WAITING, _DONE = DeliveryState.DUE, DeliveryState.WAITING, DeliveryState.DONE.value


class _Known(msgspec.Struct, frozen=True):
    """A delivery that exists."""

    number: int
    id: str
    endpoint: str
    subject: str | None
    state: str


def revive(connection: sqlite3.Connection, deliveries: Sequence[str], *, now: int) -> int:
    """See ``Store.revive``."""
    with transaction(connection):
        off = _disabled(connection)
        final = [one for one in _known(connection, deliveries) if one.state not in _OPEN and one.endpoint not in off]
        _revive(connection, [(one, one.subject) for one in final], now)
        _line_up(connection, ((one.endpoint, one.subject) for one in final))
    return len(final)


def drop(connection: sqlite3.Connection, deliveries: Sequence[str], *, cause: str) -> int:
    """See ``Store.drop``."""
    with transaction(connection):
        given_up = [one for one in _known(connection, deliveries) if one.state in _FAILED]
        statements.give_up.run(connection, [one.number for one in given_up], why=cause)
        tally = Counter({f"deliveries.{DeliveryState.CANCELLED.value}": len(given_up)})
        tally.subtract(f"deliveries.{one.state}" for one in given_up)
        count_up(connection, tally)
    return len(given_up)


def replay(connection: sqlite3.Connection, deliveries: Sequence[Delivery], *, again: bool, now: int) -> int:
    """See ``Store.replay``."""
    with transaction(connection):
        off = _disabled(connection)
        asked = {one.id: one for one in deliveries if one.endpoint not in off}
        known = {one.id: one for one in _known(connection, list(asked))}
        stay = _OPEN if again else {*_OPEN, _DONE}
        chosen = [(one, asked[one.id].subject) for one in known.values() if one.state not in stay]
        fresh = [_born(one, now) for name, one in asked.items() if name not in known]
        _revive(connection, chosen, now)
        statements.put_deliveries.run(connection, shapes.delivery.pack_all(fresh))
        touched = [(one.endpoint, subject) for one, subject in chosen] + [(one.endpoint, one.subject) for one in fresh]
        _line_up(connection, touched)
    return len(chosen) + len(fresh)


def _disabled(connection: sqlite3.Connection) -> set[str]:
    return {name for name, _ in statements.endpoints.run(connection)}


def _known(connection: sqlite3.Connection, names: Sequence[str]) -> list[_Known]:
    found = statements.by_id.run(connection, list(dict.fromkeys(names)))
    return list({row[0]: _Known(*row) for row in found}.values())


def _state(subject: str | None) -> DeliveryState:
    return _DUE if subject is None else _WAITING


def _born(one: Delivery, now: int) -> Delivery:
    return msgspec.structs.replace(one, state=_state(one.subject), due=now, created=now)


def _revive(connection: sqlite3.Connection, chosen: Sequence[tuple[_Known, str | None]], now: int) -> None:
    rows = [(one.number, _state(subject).value, subject) for one, subject in chosen]
    statements.revive.run(connection, rows, now=now)
    gone = Counter(f"deliveries.{one.state}" for one, _ in chosen)
    count_up(connection, Counter({name: -amount for name, amount in gone.items()}))


def _line_up(connection: sqlite3.Connection, subjects: Iterable[tuple[str, str | None]]) -> None:
    """Put what waits of each subject in the order of its events, and let the first of it go."""
    touched = [pair for pair in dict.fromkeys(subjects) if pair[1] is not None]
    if not touched:
        return
    statements.step_back.run(connection, touched)
    line = statements.line.run(connection, touched)
    last: int = statements.newest_delivery.run(connection)[0][0]
    moves: list[tuple[int, int]] = []
    for _, one in groupby(sorted(line), key=itemgetter(0, 1)):
        moves += _moves([(place, event) for *_, place, event in one], last + len(moves))
    statements.move_up.run(connection, moves)
    wake(connection, touched)


def _moves(line: Sequence[tuple[int, int]], last: int) -> list[tuple[int, int]]:
    """New places behind ``last`` for a line of (place, event number), in the order of places; none where that is the events' order."""
    events = [event for _, event in line]
    if events == sorted(events):
        return []
    in_order = sorted(line, key=itemgetter(1, 0))
    return [(place, last + step) for step, (place, _) in enumerate(in_order, 1)]
