"""What lists of records share: the conditions of a query."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response
from litestar.params import QueryParameter

from gateway.access import Viewer
from gateway.api import answers
from gateway.api.problems import not_found
from gateway.desk.reading import Reading


def only(what: str) -> QueryParameter:
    """A condition of a list, as the schema describes it."""
    return QueryParameter(description=f"Only {what}.", max_length=200)


OfCustomer = Annotated[str | None, only("of this customer (our id)")]
OfAccount = Annotated[str | None, only("of this account")]
OfNumber = Annotated[
    str | None, only("the one with this number of the partner's; at once where `account` is given too")
]
OfUnit = Annotated[str | None, only("of this org unit")]
Since = Annotated[
    datetime | None, QueryParameter(description="Changed at or after; an instant with its zone, as `seen_at` says it.")
]


async def one(
    request: Request[Any, Any, Any], viewer: Viewer, reading: Reading, *, kind: str, name: str
) -> Response[Any]:
    """A record with its entity tag. Problem 404 where it is not there or not the viewer's to see."""
    found = await reading.one(viewer, kind, name)
    if found is None:
        raise not_found(kind)
    return answers.tagged(request, found)


def conditions(**said: Any) -> dict[str, Any]:
    """Those public fields that a query names, as a record's body has them."""
    return {name: getattr(value, "value", value) for name, value in said.items() if value is not None}
