"""Customers and orders as a role may see them: a list, one customer with identities and timeline, one order with its four axes."""

import math
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath

from gateway.console import export, frame
from gateway.desk import probes
from gateway.desk.matching import Matching
from gateway.desk.people import People
from gateway.desk.reading import Reading, Sought
from gateway.desk.resources import Desk
from gateway.errors import PayloadError

_PAGE = 50
_TIMELINE = 40
_AXES = ("lifecycle", "payment", "fulfilment", "aftersale")
_COLUMNS = {
    "customer": ("id", "name", "contacts", "tags", "unit", "state", "seen_at"),
    "order": ("id", "account", "external_id", "lifecycle", "payment", "fulfilment", "aftersale", "customer", "seen_at"),
}


@get("/customers")
async def customers(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Customers, or those who carry what was asked for: a phone, an e-mail, an id."""
    seat = frame.seat_of(request)
    reading = Reading(desk.records, desk.vault, desk.witness)
    asked = seat.query.get("q", "").strip()
    if asked:
        items, after = await _search(seat, desk, reading, asked), None
    else:
        cut = await reading.page(
            seat.viewer, "customer", Sought(), after=seat.query.get("after", ""), limit=_PAGE, newest=True
        )
        items, after = cut.items, cut.next
    if seat.query.get("format") == "csv":
        await desk.did(seat.viewer, "export", "customers", rows=len(items))
        return export.csv("customers", _COLUMNS["customer"], items)
    return frame.page(
        request, "customers.html", now=desk.clock.now(), here="customers", items=items, after=after, asked=asked
    )


async def _search(seat: frame.Seat, desk: Desk, reading: Reading, asked: str) -> list[dict[str, Any]]:
    viewer = seat.viewer
    people = People(desk.records, desk.vault, reading)
    if asked.startswith("cus_"):
        row = await reading.row(viewer, "customer", asked)
        return [reading.shown(row, viewer)] if row else []
    likely = probes.looks_like(asked)
    if wait := await probes.wait(desk, viewer, likely) if likely else 0.0:
        never = math.isinf(wait)
        raise HTTPException(
            seat.t("cu_never" if never else "cu_often", n=0 if never else math.ceil(wait)),
            status_code=403 if never else 429,
        )
    try:
        rows = await people.find(viewer, likely or "phone", "", asked)
    except PayloadError:
        return []
    return [await reading.listed(row, viewer) for row in rows]


@get("/customers/{name:str}")
async def customer(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """One customer: who, in which systems, what happened, merges that can be undone."""
    seat = frame.seat_of(request)
    reading = Reading(desk.records, desk.vault, desk.witness)
    row = await reading.row(seat.viewer, "customer", name)
    if row is None:
        raise NotFoundException(seat.t("cu_none"))
    people = People(desk.records, desk.vault, reading)
    before = seat.query.get("before", "")
    moments, more = await people.timeline(
        seat.viewer, row.id, before=int(before) if before.isascii() and before.isdigit() else None, limit=_TIMELINE
    )
    owned = await reading.page(seat.viewer, "order", Sought(customer=row.id), after="", limit=_PAGE, newest=True)
    return frame.page(
        request,
        "customer.html",
        now=desk.clock.now(),
        here="customers",
        one=reading.shown(row, seat.viewer),
        identities=await reading.identities(seat.viewer, row),
        moments=moments,
        more=more,
        orders=owned.items,
        older=owned.next,
        merges=[one for one in await Matching(desk).merges(row.id) if one.undone_at is None],
        asked_for=name,
        settled=seat.query.get("settled", ""),
    )


@get("/orders")
async def orders(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Orders, the newest first, narrowed by account, customer and axes."""
    seat = frame.seat_of(request)
    reading = Reading(desk.records, desk.vault, desk.witness)
    wanted = {name: seat.query[name] for name in ("account", "customer", *_AXES) if seat.query.get(name)}
    sought = Sought(
        account=wanted.get("account"),
        customer=wanted.get("customer"),
        fields={axis: said for axis, said in wanted.items() if axis in _AXES},
    )
    cut = await reading.page(seat.viewer, "order", sought, after=seat.query.get("after", ""), limit=_PAGE, newest=True)
    if seat.query.get("format") == "csv":
        await desk.did(seat.viewer, "export", "orders", rows=len(cut.items))
        return export.csv("orders", _COLUMNS["order"], cut.items)
    return frame.page(
        request, "orders.html", now=desk.clock.now(), here="customers", items=cut.items, after=cut.next, wanted=wanted
    )


@get("/orders/{name:str}")
async def order(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """One order: money, lines, the four axes, and its history."""
    seat = frame.seat_of(request)
    reading = Reading(desk.records, desk.vault, desk.witness)
    row = await reading.row(seat.viewer, "order", name)
    if row is None:
        raise NotFoundException(seat.t("or_none"))
    told = await desk.records.events(subject=row.id, limit=200)
    return frame.page(
        request,
        "order.html",
        now=desk.clock.now(),
        here="customers",
        one=reading.shown(row, seat.viewer),
        events=list(reversed(told)),
        late=await desk.records.superseded(row.id, limit=20),
    )
