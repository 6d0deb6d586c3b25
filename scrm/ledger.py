"""What events do to the tables: a batch of them, in one transaction that the caller holds.

An event whose webhook-id is known changes nothing. A record is changed only by a higher sequence of its subject than the one that
last changed it; an event that comes late keeps its place in the timeline all the same. What an event says of a customer in passing
never overrules what that customer's own events said.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.dialects import sqlite

from gateway.model.customer import Customer
from gateway.model.order import Order
from gateway.model.values import Money
from scrm import erasing, tables
from scrm.reading import KINDS, Told, instant, patch
from scrm.sheet import Kept, KeptOrder, Person, Sheet, Subject

_BEGINS = {"order": "placed_at", "appointment": "start", "relationship": "since"}
_TOTAL = {
    "order": "orders",
    "appointment": "appointments",
    "relationship": "relationships",
    "staff": "staff",
    "unit": "units",
}
_MOST_AMOUNT = 2**53


class Fate(Enum):
    """What became of an event. ``kept``: of a type or shape that changes nothing here."""

    APPLIED = "applied"
    LATE = "late"
    KEPT = "kept"
    DUPLICATE = "duplicate"


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A verified delivery. ``id`` is its webhook-id, ``body`` its bytes, ``received`` microseconds."""

    id: str
    told: Told
    body: bytes
    received: int


def enter(connection: sa.Connection, batch: Sequence[Posted]) -> list[Fate]:
    """Apply a batch in its order. One fate for each."""
    ids = [posted.id for posted in batch]
    known = set(connection.scalars(sa.select(tables.events.c.id).where(tables.events.c.id.in_(ids))))
    page = _Page(connection, [posted.told for posted in batch if posted.id not in known])
    fates = []
    for posted in batch:
        fates.append(Fate.DUPLICATE if posted.id in known else page.enter(posted))
        known.add(posted.id)
    page.totals["duplicates"] += fates.count(Fate.DUPLICATE)
    page.write(connection)
    return fates


class _Page:
    """The rows a batch touches."""

    def __init__(self, connection: sa.Connection, batch: Sequence[Told]) -> None:
        self.totals: Counter[str] = Counter()
        self._events: list[dict[str, Any]] = []
        self._identities: dict[tuple[str, ...], dict[str, Any]] = {}
        self._accounts: dict[tuple[str, ...], dict[str, Any]] = {}
        self._erased: set[str] = set()
        self._subjects = Sheet(tables.subjects, Subject)
        self._subjects.load_ids(connection, (told.event.subject for told in batch))
        self._heard = _heard(connection, batch)
        self._people = _people(connection, batch)
        self._orders = Sheet(tables.orders, KeptOrder)
        self._orders.load_ids(connection, (told.key for told in batch if told.noun == "order"))
        self._records = {noun: Sheet(table, Kept) for noun, table in tables.RECORDS.items() if noun != "order"}
        for noun, sheet in self._records.items():
            sheet.load_ids(connection, (told.key for told in batch if told.noun == noun))

    def enter(self, posted: Posted) -> Fate:
        told = posted.told
        self._hear(told)
        self._meet(told.whose, told)
        fate = self._apply(told)
        self._link(told)
        self._assert(told)
        self._know(told)
        self._events.append(_event_row(posted, fate))
        self._forget(told.whose, erase=told.event.type == "customer.erased")
        self.totals.update({"events": 1, fate.value: 1, "unread": len(told.unread)})
        self.totals["interactions"] += told.noun == "interaction"
        return fate

    # ------------------------------------------------------------------ what was heard
    def _hear(self, told: Told) -> None:
        name, sequence = told.event.subject, told.event.sequence
        if (name, sequence) in self._heard:
            return
        self._heard.add((name, sequence))
        old = self._subjects.rows.get(name)
        new = Subject(name, sequence, sequence, 1)
        if old:
            new = Subject(name, min(old.first, sequence), max(old.last, sequence), old.heard + 1)
        self._subjects.put(new)
        self.totals["gaps"] += new.gaps - (old.gaps if old else 0)

    def _know(self, told: Told) -> None:
        source = told.event.source
        key = (told.whose or "", source.account, source.connector)
        old = self._accounts.get(key, {"first": told.at, "last": told.at, "events": 0})
        row = dict(zip(("customer", "account", "connector"), key, strict=True))
        span = {"first": min(old["first"], told.at), "last": max(old["last"], told.at), "events": old["events"] + 1}
        if told.whose:
            self._accounts[key] = row | span

    def _assert(self, told: Told) -> None:
        for claim in told.assertions if told.whose else ():
            key = (told.whose or "", claim.namespace, claim.scope, claim.value)
            row = dict(zip(("customer", "namespace", "scope", "value"), key, strict=True))
            state = {"verified": claim.verified, "live": not claim.retired}
            self._identities[key] = row | state | {"first": told.at, "last": told.at}

    # ------------------------------------------------------------------ records
    def _apply(self, told: Told) -> Fate:
        if told.customer and (told.noun != "customer" or told.key != told.event.subject):
            self._mention(told.customer, told)
        if told.record is None:
            return Fate.KEPT
        if isinstance(told.record, Customer):
            return self._tell(told.record, told)
        if isinstance(told.record, Order):
            return self._keep_order(told.record, told)
        if told.noun in self._records:
            return self._keep(self._records[told.noun], told)
        return Fate.APPLIED

    def _keep(self, sheet: Sheet[Kept], told: Told) -> Fate:
        old = sheet.rows.get(told.key) or Kept(id=told.key)
        if told.event.sequence <= old.sequence and old.updated:
            return Fate.LATE
        self.totals[_TOTAL[told.noun]] += not old.updated
        sheet.put(Kept(**_kept(old, told)))
        return Fate.APPLIED

    def _keep_order(self, order: Order, told: Told) -> Fate:
        old = self._orders.rows.get(told.key) or KeptOrder(id=told.key)
        if told.event.sequence <= old.sequence and old.updated:
            return Fate.LATE
        self.totals["orders"] += not old.updated
        new = KeptOrder(**_kept(old, told), currency=old.currency, paid=old.paid, refunded=old.refunded)
        if order.money is not msgspec.UNSET:
            paid, refunded = order.money.paid, order.money.refunded
            currency = next((money.currency for money in (paid, order.money.payable) if money), None)
            new = replace(new, currency=currency, paid=_amount(paid), refunded=_amount(refunded))
        self._orders.put(new)
        return Fate.APPLIED

    # ------------------------------------------------------------------ customers
    def _meet(self, name: str | None, told: Told) -> None:
        if name is None:
            return
        row = self._people.rows.get(name)
        if row is None:
            self.totals["customers"] += 1
            row = Person(id=name, seen=told.happened or told.at)
            self._people.put(row)
        for each in {name, row.survivor or name}:
            person = self._people.rows[each]
            if told.happened is not None and told.happened > person.seen:
                self._people.put(replace(person, seen=told.happened))

    def _tell(self, record: Customer, told: Told) -> Fate:
        row = self._people.rows[told.key]
        if told.key != told.event.subject:
            return Fate.APPLIED
        if row.state == "erased" or (told.event.sequence <= row.sequence and row.sequence):
            return Fate.LATE
        body = patch(Customer, msgspec.json.decode(row.body), record)
        self._people.put(_person(row, body, told.at, sequence=told.event.sequence, state=record.state.value))
        if record.merged_into:
            self._merge(told.key, record.merged_into, told)
        return Fate.APPLIED

    def _mention(self, said: Customer, told: Told) -> None:
        row = self._people.rows.get(said.id)
        if row is None or row.state == "erased":
            return
        old, new = msgspec.json.decode(row.body), msgspec.to_builtins(said)
        new.pop("state", None)
        new.pop("merged_into", None)
        latest = not row.sequence and told.at >= row.updated
        body = {**old, **new} if latest else {**new, **old}
        if body != old:
            self._people.put(_person(row, body, max(told.at, row.updated), sequence=row.sequence, state=row.state))

    # ------------------------------------------------------------------ merges
    def _link(self, told: Told) -> None:
        if told.joined and told.whose:
            self._merge(told.joined, told.whose, told)
        if told.parted:
            self._part(told.parted, told)

    def _merge(self, loser: str, survivor: str, told: Told) -> None:
        self._meet(loser, told)
        self._meet(survivor, told)
        row = self._people.rows[loser]
        if loser == survivor or row.parted_at > told.at:
            return
        # The newest word wins: a survivor that once went into this loser stands for itself again, so there is no cycle.
        if loser in (step.id for step in self._chain(survivor)):
            end = self._people.rows[survivor]
            self._people.put(replace(end, merged_into=None, parted_at=told.at, state="active"))
        state = row.state if row.state == "erased" else "merged"
        self._people.put(replace(row, merged_into=survivor, parted_at=told.at, state=state))
        self._settle()

    def _part(self, name: str, told: Told) -> None:
        self._meet(name, told)
        row = self._people.rows[name]
        if row.merged_into is None or row.parted_at > told.at:
            return
        self._people.put(replace(row, merged_into=None, parted_at=told.at, state="active"))
        self._settle()

    def _chain(self, name: str) -> list[Person]:
        steps = [self._people.rows[name]]
        while (following := steps[-1].merged_into) and len(steps) <= len(self._people.rows):
            steps.append(self._people.rows[following])
        return steps

    def _settle(self) -> None:
        for row in list(self._people.rows.values()):
            end = self._chain(row.id)[-1]
            survivor = None if end.id == row.id else end.id
            if survivor != row.survivor:
                self._people.put(replace(self._people.rows[row.id], survivor=survivor))
                self.totals["merged"] += (survivor is not None) - (row.survivor is not None)
            if end.seen < row.seen:
                self._people.put(replace(self._people.rows[end.id], seen=row.seen))

    # ------------------------------------------------------------------ erasure
    def _forget(self, name: str | None, *, erase: bool) -> None:
        if name is None:
            return
        end = self._people.rows[name].survivor or name
        if not erase and self._people.rows[end].state != "erased":
            return
        for row in list(self._people.rows.values()):
            if end in (row.id, row.survivor):
                bare = msgspec.json.encode({"id": row.id, "state": "erased"})
                self._people.put(replace(row, state="erased", search="", body=bare))
                self._erased.add(row.id)

    # ------------------------------------------------------------------ the end
    def write(self, connection: sa.Connection) -> None:
        self._subjects.write(connection)
        self._people.write(connection)
        self._orders.write(connection)
        for sheet in self._records.values():
            sheet.write(connection)
        if self._events:
            connection.execute(sa.insert(tables.events), self._events)
        if self._identities:
            connection.execute(_sighting(), list(self._identities.values()))
        if self._accounts:
            connection.execute(_counting(), list(self._accounts.values()))
        if self._erased:
            _erase(connection, sorted(self._erased))
        moved = [{"name": name, "value": value} for name, value in self.totals.items() if value]
        if moved:
            connection.execute(_growing(), moved)


def _heard(connection: sa.Connection, batch: Sequence[Told]) -> set[tuple[str, int]]:
    pairs = {(told.event.subject, told.event.sequence) for told in batch}
    if not pairs:
        return set()
    columns = (tables.events.c.subject, tables.events.c.sequence)
    return {
        (row.subject, row.sequence)
        for row in connection.execute(sa.select(*columns).where(sa.tuple_(*columns).in_(sorted(pairs))))
    }


def _people(connection: sa.Connection, batch: Sequence[Told]) -> Sheet[Person]:
    """Everybody the batch names, and everybody who is one with them."""
    people = Sheet(tables.customers, Person)
    people.load_ids(connection, _named(batch))
    ends = sorted({row.survivor or row.id for row in people.rows.values()})
    if ends:
        people.load_ids(connection, ends)
        people.load(connection, tables.customers.c.survivor.in_(ends))
    return people


def _named(batch: Sequence[Told]) -> Iterable[str]:
    for told in batch:
        said = (told.customer.id, told.customer.merged_into) if told.customer else ()
        yield from (name for name in (told.whose, told.joined, told.parted, *said) if name)


def _kept(old: Kept, told: Told) -> dict[str, Any]:
    record = told.record
    assert record is not None
    begins = instant(getattr(record, _BEGINS.get(told.noun, ""), None))
    return {
        "id": old.id,
        "customer": told.whose or old.customer,
        "account": getattr(record, "account", "") or told.event.source.account,
        "external_id": getattr(record, "external_id", "") or old.external_id,
        "sequence": told.event.sequence,
        "at": begins if begins is not None else old.at or told.at,
        "updated": told.at,
        "body": msgspec.json.encode(patch(KINDS[told.noun], msgspec.json.decode(old.body), record)),
    }


def _person(row: Person, body: dict[str, Any], at: int, *, sequence: int, state: str) -> Person:
    return replace(
        row, sequence=sequence, state=state, updated=at, search=_search(body), body=msgspec.json.encode(body)
    )


def _search(body: dict[str, Any]) -> str:
    contacts = [contact.get("value") for contact in body.get("contacts") or ()]
    words = [body.get("name"), body.get("nickname"), *contacts, *(body.get("tags") or ())]
    return "\n".join(word.lower() for word in words if word)


def _amount(money: Money | None) -> int | None:
    return money.amount if money and abs(money.amount) < _MOST_AMOUNT else None


def _event_row(posted: Posted, fate: Fate) -> dict[str, Any]:
    told, event = posted.told, posted.told.event
    return {
        "id": posted.id,
        "type": event.type,
        "subject": event.subject,
        "sequence": event.sequence,
        "at": told.at,
        "received": posted.received,
        "happened": told.happened,
        "account": event.source.account,
        "connector": event.source.connector,
        "customer": told.whose,
        "fate": fate.value,
        "body": posted.body,
    }


def _sighting() -> sqlite.Insert:
    statement = sqlite.insert(tables.identities)
    new = {"verified": statement.excluded.verified, "live": statement.excluded.live, "last": statement.excluded.last}
    return statement.on_conflict_do_update(index_elements=list(tables.identities.primary_key.columns), set_=new)


def _counting() -> sqlite.Insert:
    table, statement = tables.accounts, sqlite.insert(tables.accounts)
    new = {
        "first": sa.func.min(table.c.first, statement.excluded.first),
        "last": sa.func.max(table.c.last, statement.excluded["last"]),
        "events": table.c.events + statement.excluded.events,
    }
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=new)


def _growing() -> sqlite.Insert:
    statement = sqlite.insert(tables.totals)
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": tables.totals.c.value + statement.excluded.value}
    )


def _erase(connection: sa.Connection, people: Sequence[str]) -> None:
    events, identities = tables.events, tables.identities
    connection.execute(sa.update(events).where(events.c.customer.in_(people)).values(body=None))
    connection.execute(sa.delete(identities).where(identities.c.customer.in_(people)))
    for noun, table in tables.RECORDS.items():
        found = connection.execute(sa.select(table.c.id, table.c.body).where(table.c.customer.in_(people))).all()
        for name, body in found:
            left = erasing.public(KINDS[noun], msgspec.json.decode(body))
            # Partners make the name of a relationship out of the ids of both sides.
            unnamed = {"external_id": ""} if noun == "relationship" else {}
            change = {"body": msgspec.json.encode({**left, **unnamed}), **unnamed}
            connection.execute(sa.update(table).where(table.c.id == name).values(change))
