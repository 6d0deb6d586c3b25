"""The SCRM's JSON API: what it knows, read only. Lists go on at ``?after=`` with the ``next`` of the page before (null at the end)."""

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway import clock
from gateway.model.order import Order
from scrm import lookup
from scrm.book import Book
from scrm.lookup import Dossier, Moment, Row, Slice

MOST = 200
Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


class Page(msgspec.Struct, frozen=True):
    """One page of a list."""

    items: list[dict[str, Any]]
    next: str | None


class KnownOrder(msgspec.Struct, frozen=True):
    """An order, its customer's id of today, and the sequence it is as of."""

    id: str
    customer: str | None
    sequence: int
    order: Order


@get("/api/customers")
async def customers(
    book: NamedDependency[Book],
    words: Annotated[str, QueryParameter(name="query", max_length=100)] = "",
    limit: Limit = 50,
    after: FromQuery[str | None] = None,
) -> Page:
    """Customers, whoever was active last first. ``query`` looks in names, contacts and tags, and for an id or order number."""
    return _page(await _cut(book, words, limit, after), _row)


@get("/api/customers/{name:str}")
async def customer(book: NamedDependency[Book], name: FromPath[str]) -> dict[str, Any]:
    """One customer as a whole. An id that merged into another answers with that one; ``merged`` lists such ids."""
    found = await book.read(lookup.dossier, name)
    if found is None:
        raise NotFoundException("no event mentioned this customer")
    return _dossier(found)


@get("/api/customers/{name:str}/timeline")
async def timeline(
    book: NamedDependency[Book], name: FromPath[str], limit: Limit = 50, after: FromQuery[str | None] = None
) -> Page:
    """What happened, newest first. ``data`` is the event's own, null once erased."""
    try:
        found = await book.read(lookup.timeline, name, limit, after)
    except ValueError as problem:
        raise ValidationException("`after` is not a cursor of this list") from problem
    if found is None:
        raise NotFoundException("no event mentioned this customer")
    return _page(found, _moment)


@get("/api/orders/{name:str}")
async def order(book: NamedDependency[Book], name: FromPath[str]) -> KnownOrder:
    """One order by our id."""
    found = await book.read(lookup.order, name)
    if found is None:
        raise NotFoundException("no event mentioned this order")
    record, sequence, whose = found
    return KnownOrder(name, whose, sequence, record)


@get("/api/stats")
async def stats(book: NamedDependency[Book]) -> dict[str, int]:
    """Running totals: how many customers, orders, events; duplicates, late ones, and gaps in sequences not yet closed."""
    return await book.read(lookup.totals)


async def _cut(book: Book, words: str, limit: int, after: str | None) -> Slice:
    try:
        return await book.read(lookup.customers, words, limit, after)
    except ValueError as problem:
        raise ValidationException("`after` is not a cursor of this list") from problem


def _page(found: Slice, shape: Any) -> Page:
    return Page([shape(item) for item in found.items], found.next)


def _row(row: Row) -> dict[str, Any]:
    return {**_plain(row), "seen": clock.text(row.seen)}


def _dossier(found: Dossier) -> dict[str, Any]:
    accounts = [_dated(known) for known in found.accounts]
    identities = [_dated(proof) for proof in found.identities]
    return {**_plain(found), "seen": clock.text(found.seen), "accounts": accounts, "identities": identities}


def _dated(known: msgspec.Struct) -> dict[str, Any]:
    return {name: clock.text(value) if name in ("first", "last") else value for name, value in _plain(known).items()}


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "event": moment.id,
        "type": moment.type,
        "at": clock.text(moment.at),
        "received": clock.text(moment.received),
        "account": moment.account,
        "connector": moment.connector,
        "subject": moment.subject,
        "late": moment.fate == "late",
        "data": moment.told.event.data if moment.told else None,
    }


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    return {name: msgspec.to_builtins(part) for name, part in msgspec.structs.asdict(value).items()}
