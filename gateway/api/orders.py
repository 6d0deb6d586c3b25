"""Orders: list, read by our id or by the shop's own number."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, UnsetType

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.records import OfAccount, OfCustomer, OfNumber, OfUnit, Since
from gateway.desk.reading import Reading, Sought
from gateway.model.order import Aftersale, Fulfilment, Lifecycle, Order, Payment

_SCOPE = {"scope": "orders:read"}


class OrderSeen(Order, frozen=True, kw_only=True):
    """An order as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/orders", opt=_SCOPE)
async def orders(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    customer: OfCustomer = None,
    account: OfAccount = None,
    external_id: OfNumber = None,
    unit: OfUnit = None,
    updated_since: Since = None,
    lifecycle: Annotated[Lifecycle | None, QueryParameter(description="Only with this lifecycle.")] = None,
    payment: Annotated[Payment | None, QueryParameter(description="Only with this payment state.")] = None,
    fulfilment: Annotated[Fulfilment | None, QueryParameter(description="Only with this fulfilment.")] = None,
    aftersale: Annotated[Aftersale | None, QueryParameter(description="Only with this after-sale state.")] = None,
) -> Page[OrderSeen]:
    """Orders, by when they were first seen."""
    axes = {"lifecycle": lifecycle, "payment": payment, "fulfilment": fulfilment, "aftersale": aftersale}
    wanted = records.conditions(external_id=external_id, **axes)
    sought = Sought(
        customer=customer, account=account, unit=unit, updated_since=answers.since(updated_since), fields=wanted
    )
    return await answers.listed(reading, viewer, "order", sought, after=after, limit=limit, fields=fields)


@get("/orders/{name:str}", opt=_SCOPE)
async def order(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[OrderSeen]:
    """One order by our id."""
    return await records.one(request, viewer, reading, kind="order", name=name)


ROUTES = (orders, order)
"""Every handler of this resource."""
