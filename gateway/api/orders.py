"""Orders: list, read by our id or by the shop's own number."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, UnsetType

from gateway.access import Viewer
from gateway.api import answers
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.problems import not_found
from gateway.desk.reading import Reading, Sought
from gateway.model.order import Aftersale, Fulfilment, Lifecycle, Order, Payment

_SCOPE = {"scope": "orders:read"}


class OrderSeen(Order, frozen=True, kw_only=True):
    """An order as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


def _only(what: str) -> QueryParameter:
    return QueryParameter(description=f"Only {what}.", max_length=200)


@get("/orders", opt=_SCOPE)
async def orders(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    customer: Annotated[str | None, _only("of this customer")] = None,
    account: Annotated[str | None, _only("of this account")] = None,
    external_id: Annotated[str | None, _only("the one with this number; needs `account`")] = None,
    unit: Annotated[str | None, _only("of this org unit")] = None,
    updated_since: Annotated[datetime | None, QueryParameter(description="Changed at or after.")] = None,
    lifecycle: Annotated[Lifecycle | None, QueryParameter(description="Only with this lifecycle.")] = None,
    payment: Annotated[Payment | None, QueryParameter(description="Only with this payment state.")] = None,
    fulfilment: Annotated[Fulfilment | None, QueryParameter(description="Only with this fulfilment.")] = None,
    aftersale: Annotated[Aftersale | None, QueryParameter(description="Only with this after-sale state.")] = None,
) -> Page[OrderSeen]:
    """Orders, by when they were first seen."""
    if external_id is not None and account is not None:
        row = await reading.by_number(viewer, "order", account, external_id)
        return answers.page([answers.sparse(reading.shown(row, viewer), fields)] if row else [], None)
    axes = {"lifecycle": lifecycle, "payment": payment, "fulfilment": fulfilment, "aftersale": aftersale}
    wanted = {name: axis.value for name, axis in axes.items() if axis is not None}
    if external_id is not None:
        wanted["external_id"] = external_id
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
    found = await reading.one(viewer, "order", name)
    if found is None:
        raise not_found("order")
    return answers.tagged(request, found)
