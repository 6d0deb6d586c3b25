"""Relationships: which colleague looks after which customer, on which channel."""

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
from gateway.model.relationship import Relationship, State

_SCOPE = {"scope": "records:read"}


class RelationshipSeen(Relationship, frozen=True, kw_only=True):
    """A relationship as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/relationships", opt=_SCOPE)
async def relationships(
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
    staff: Annotated[str | None, records.only("of this colleague, by the partner's own id")] = None,
    standing: Annotated[State | None, QueryParameter(name="state", description="Only in this state.")] = None,
) -> Page[RelationshipSeen]:
    """Relationships, by when they were first seen; ended ones stay, with `state` and `until`.

    400 for a cursor of another list or a time without its zone.
    """
    sought = Sought(
        customer=customer, account=account, unit=unit, updated_since=answers.since(updated_since),
        fields=records.conditions(external_id=external_id, staff=staff, state=standing),
    )  # fmt: skip
    return await answers.listed(reading, viewer, "relationship", sought, after=after, limit=limit, fields=fields)


@get("/relationships/{name:str}", opt=_SCOPE)
async def relationship(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[RelationshipSeen]:
    """One relationship by our id (`rel_…`). 404 where it is not there or lies outside of your domain."""
    return await records.one(request, viewer, reading, kind="relationship", name=name)


ROUTES = (relationships, relationship)
"""Every handler of this resource."""
