"""Questions to the tables. Every customer is asked for together with those who merged into it, so that nothing needs rewriting.

A cursor is opaque text: hand back ``next`` to go on. A cursor that is none raises ValueError.
"""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from gateway.errors import PayloadError
from gateway.model.appointment import Appointment
from gateway.model.customer import Customer
from gateway.model.order import Order
from gateway.model.record import Record
from gateway.model.relationship import Relationship
from scrm import reading, tables
from scrm.reading import Told

MOST_RECORDS = 100
_CURSOR = re.compile(r"(-?[0-9]{1,18})-(\w{1,128})", re.ASCII)
_C, _E = tables.customers.c, tables.events.c
_RECORD = TypeVar("_RECORD", bound=Record)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A customer in a list. ``seen`` is microseconds; ``orders`` counts, merged ones included."""

    id: str
    state: str
    seen: int
    customer: Customer
    orders: int
    accounts: tuple[str, ...]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An account through which a customer is known."""

    account: str
    connector: str
    first: int
    last: int
    events: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One key that names a customer, as far as the events carry it."""

    namespace: str
    scope: str
    value: str
    verified: bool
    first: int
    last: int


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer paid and got back in one currency, minor units, over ``orders`` orders."""

    currency: str
    paid: int
    refunded: int
    orders: int


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """One customer as a whole. ``merged`` are the ids that became this one. Records newest first, at most ``MOST_RECORDS`` a kind."""

    id: str
    state: str
    sequence: int
    seen: int
    customer: Customer
    merged: tuple[str, ...]
    accounts: tuple[Known, ...]
    identities: tuple[Proof, ...]
    orders: tuple[Order, ...]
    appointments: tuple[Appointment, ...]
    relationships: tuple[Relationship, ...]
    sums: tuple[Sum, ...]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a timeline. ``told`` is None when its content was erased. ``customer`` is the survivor's id."""

    number: int
    id: str
    type: str
    at: int
    received: int
    account: str
    connector: str
    subject: str
    customer: str | None
    fate: str
    told: Told | None


class Slice(msgspec.Struct, frozen=True):
    """One page of a list and where it goes on."""

    items: tuple[Any, ...]
    next: str | None


def survivor(connection: sa.Connection, name: str) -> str | None:
    """The id that ``name`` stands for today; None when nobody is known by it."""
    row = connection.execute(sa.select(_C.id, _C.survivor).where(_C.id == name)).one_or_none()
    return (row.survivor or row.id) if row else None


def customers(connection: sa.Connection, words: str, limit: int, after: str | None) -> Slice:
    """Customers, whoever was active last first. ``words`` is looked for in names, contacts and tags, and as an id or order number."""
    query = sa.select(_C.id, _C.state, _C.seen, _C.body).where(_C.survivor.is_(None))
    if words.strip():
        query = query.where(_C.id.in_(_matching(words.strip())))
    if after:
        query = query.where(sa.tuple_(_C.seen, _C.id) < sa.tuple_(*_cursor(after)))
    found = connection.execute(query.order_by(_C.seen.desc(), _C.id.desc()).limit(limit + 1)).all()
    counts, accounts = _around(connection, [row.id for row in found[:limit]])
    rows = tuple(
        Row(
            id=row.id,
            state=row.state,
            seen=row.seen,
            customer=_read(Customer, row.body),
            orders=counts.get(row.id, 0),
            accounts=tuple(accounts.get(row.id, ())),
        )
        for row in found[:limit]
    )
    return Slice(rows, f"{rows[-1].seen}-{rows[-1].id}" if len(found) > limit else None)


def dossier(connection: sa.Connection, name: str) -> Dossier | None:
    """Everything about a customer, found by its own id or by one that merged into it."""
    end = survivor(connection, name)
    if end is None:
        return None
    row = connection.execute(sa.select(tables.customers).where(_C.id == end)).one()
    merged = tuple(connection.scalars(sa.select(_C.id).where(_C.survivor == end).order_by(_C.id)))
    family = (end, *merged)
    return Dossier(
        id=end,
        state=row.state,
        sequence=row.sequence,
        seen=row.seen,
        customer=_read(Customer, row.body),
        merged=merged,
        accounts=_accounts(connection, family),
        identities=_identities(connection, family),
        orders=_records(connection, tables.orders, Order, family),
        appointments=_records(connection, tables.appointments, Appointment, family),
        relationships=_records(connection, tables.relationships, Relationship, family),
        sums=_sums(connection, family),
    )


def timeline(connection: sa.Connection, name: str, limit: int, after: str | None) -> Slice | None:
    """What happened to a customer, newest first; None when nobody is known by ``name``."""
    end = survivor(connection, name)
    if end is None:
        return None
    family = sa.select(_C.id).where(sa.or_(_C.id == end, _C.survivor == end))
    query = sa.select(tables.events, sa.literal(end).label("end")).where(
        _E.customer.in_(family), _E.happened.is_not(None)
    )
    if after:
        at, number = _cursor(after)
        if not number.isdigit():
            raise ValueError("not a cursor of a timeline")
        query = query.where(sa.tuple_(_E.happened, _E.number) < sa.tuple_(at, int(number)))
    found = connection.execute(query.order_by(_E.happened.desc(), _E.number.desc()).limit(limit + 1)).all()
    moments = tuple(_moment(row) for row in found[:limit])
    return Slice(moments, f"{moments[-1].at}-{moments[-1].number}" if len(found) > limit else None)


def latest(connection: sa.Connection, limit: int) -> Sequence[Moment]:
    """The events that came in last, of any kind, newest first."""
    end = sa.func.coalesce(_C.survivor, _E.customer).label("end")
    query = sa.select(tables.events, end).outerjoin(tables.customers, _C.id == _E.customer)
    return [_moment(row) for row in connection.execute(query.order_by(_E.number.desc()).limit(limit))]


def order(connection: sa.Connection, name: str) -> tuple[Order, int, str | None] | None:
    """An order, the sequence it is as of, and its customer's id of today."""
    row = connection.execute(sa.select(tables.orders).where(tables.orders.c.id == name)).one_or_none()
    if row is None:
        return None
    whose = survivor(connection, row.customer) if row.customer else None
    return _read(Order, row.body), row.sequence, whose


def totals(connection: sa.Connection) -> dict[str, int]:
    """Running totals by name, a missing one is 0; ``standing`` counts customers without those who merged into another."""
    found = {row.name: row.value for row in connection.execute(sa.select(tables.totals))}
    names = (
        "events",
        "duplicates",
        "late",
        "kept",
        "gaps",
        "unread",
        "orders",
        "appointments",
        "relationships",
        "interactions",
        "merged",
    )
    counted = {name: found.get(name, 0) for name in names}
    return {"customers": found.get("customers", 0) - counted["merged"], **counted}


def names_of_staff(connection: sa.Connection, account_ids: Sequence[str]) -> dict[str, str]:
    """What colleagues are called, by our id and by the partner's own id, as far as we were told."""
    table = tables.staff
    query = sa.select(table.c.id, table.c.external_id, table.c.body)
    wanted = query.where(sa.or_(table.c.id.in_(account_ids), table.c.external_id.in_(account_ids)))
    names: dict[str, str] = {}
    for row in connection.execute(wanted):
        name = msgspec.json.decode(row.body).get("name")
        names |= {row.id: name, row.external_id: name} if name else {}
    return names


def _matching(words: str) -> sa.Select[tuple[str]]:
    bare = "".join(mark for mark in words if mark not in " -()")
    digits = bare if bare.lstrip("+").isdigit() and len(bare) >= 4 else words
    like = "%" + digits.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    end = sa.func.coalesce(_C.survivor, _C.id)
    people = sa.select(end).where(sa.or_(_C.search.like(like, escape="\\"), _C.id == words))
    numbered = sa.or_(tables.orders.c.external_id == words, tables.orders.c.id == words)
    buyers = sa.select(end).join(tables.orders, tables.orders.c.customer == _C.id).where(numbered)
    return sa.select(people.union(buyers).subquery().c[0])


def _around(connection: sa.Connection, ids: Sequence[str]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Orders counted and connectors named, for each of a page of customers, in two statements."""
    end = sa.func.coalesce(_C.survivor, _C.id)
    family = sa.or_(_C.id.in_(ids), _C.survivor.in_(ids))
    joined = sa.select(end, sa.func.count()).join(tables.orders, tables.orders.c.customer == _C.id)
    counts = {row[0]: row[1] for row in connection.execute(joined.where(family).group_by(end))}
    known = tables.accounts.c
    through = sa.select(end, known.connector).join(tables.accounts, known.customer == _C.id).where(family).distinct()
    accounts: dict[str, list[str]] = {}
    for row in connection.execute(through.order_by(end, known.connector)):
        accounts.setdefault(row[0], []).append(row[1])
    return counts, accounts


def _accounts(connection: sa.Connection, family: Sequence[str]) -> tuple[Known, ...]:
    table = tables.accounts.c
    first, last, events = sa.func.min(table.first), sa.func.max(table["last"]), sa.func.sum(table.events)
    query = sa.select(table.account, table.connector, first, last, events).where(table.customer.in_(family))
    found = connection.execute(query.group_by(table.account, table.connector).order_by(first))
    return tuple(Known(account=a, connector=c, first=f, last=t, events=n) for a, c, f, t, n in found)


def _identities(connection: sa.Connection, family: Sequence[str]) -> tuple[Proof, ...]:
    table = tables.identities.c
    query = sa.select(table.namespace, table.scope, table.value, table.verified, table.first, table.last)
    found = connection.execute(
        query.where(table.customer.in_(family), table.live).order_by(table.first, table.namespace, table.value)
    )
    return tuple({(row.namespace, row.scope, row.value): Proof(**row._mapping) for row in found}.values())


def _records(
    connection: sa.Connection, table: sa.Table, kind: type[_RECORD], family: Sequence[str]
) -> tuple[_RECORD, ...]:
    query = sa.select(table.c.body).where(table.c.customer.in_(family)).order_by(table.c.at.desc(), table.c.id.desc())
    return tuple(_read(kind, body) for body in connection.scalars(query.limit(MOST_RECORDS)))


def _sums(connection: sa.Connection, family: Sequence[str]) -> tuple[Sum, ...]:
    table = tables.orders.c
    paid, refunded = sa.func.coalesce(sa.func.sum(table.paid), 0), sa.func.coalesce(sa.func.sum(table.refunded), 0)
    query = sa.select(table.currency, paid, refunded, sa.func.count()).where(table.customer.in_(family))
    found = connection.execute(query.where(table.currency.is_not(None)).group_by(table.currency).order_by(paid.desc()))
    return tuple(Sum(currency=c, paid=p, refunded=r, orders=n) for c, p, r, n in found)


def _moment(row: Any) -> Moment:
    try:
        told = reading.read(row.body) if row.body is not None else None
    except PayloadError:
        # Written by a later version of this program, perhaps: the page shows that something happened.
        told = None
    return Moment(
        number=row.number,
        id=row.id,
        type=row.type,
        at=row.at if row.happened is None else row.happened,
        received=row.received,
        account=row.account,
        connector=row.connector,
        subject=row.subject,
        customer=row.end,
        fate=row.fate,
        told=told,
    )


def _read(kind: type[_RECORD], body: bytes) -> _RECORD:
    record, _ = reading.lenient(kind, msgspec.json.decode(body))
    return record if record is not None else kind()


def _cursor(text: str) -> tuple[int, str]:
    found = _CURSOR.fullmatch(text)
    if not found:
        raise ValueError("not a cursor of this list")
    return int(found[1]), found[2]
