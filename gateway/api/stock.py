"""Stock levels: what lies where."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.records import OfAccount, OfNumber, OfUnit, Since
from gateway.desk.reading import Reading, Sought
from gateway.model.stock import StockLevel

_SCOPE = {"scope": "records:read"}


class StockLevelSeen(StockLevel, frozen=True, kw_only=True):
    """A stock level as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/stock", opt=_SCOPE)
async def stock(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    account: OfAccount = None,
    external_id: OfNumber = None,
    unit: OfUnit = None,
    updated_since: Since = None,
    sku: Annotated[str | None, records.only("of this SKU")] = None,
    location: Annotated[str | None, records.only("at this location")] = None,
) -> Page[StockLevelSeen]:
    """Stock levels, by when they were first seen; one per account, SKU and location, as of the newest `as_of`.

    400 for a cursor of another list or a time without its zone.
    """
    sought = Sought(
        account=account, unit=unit, updated_since=answers.since(updated_since),
        fields=records.conditions(external_id=external_id, sku=sku, location=location),
    )  # fmt: skip
    return await answers.listed(reading, viewer, "stock", sought, after=after, limit=limit, fields=fields)


@get("/stock/{name:str}", opt=_SCOPE)
async def stock_level(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[StockLevelSeen]:
    """One stock level by our id (`stk_…`). 404 where it is not there or lies outside of your domain."""
    return await records.one(request, viewer, reading, kind="stock", name=name)


ROUTES = (stock, stock_level)
"""Every handler of this resource."""
