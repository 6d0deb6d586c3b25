"""Interactions: what happened between customers and us."""

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
from gateway.model.interaction import Direction, Interaction, Type

_SCOPE = {"scope": "records:read"}


class InteractionSeen(Interaction, frozen=True, kw_only=True):
    """An interaction as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/interactions", opt=_SCOPE)
async def interactions(
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
    kind: Annotated[Type | None, QueryParameter(name="type", description="Only of this type.")] = None,
    direction: Annotated[Direction | None, QueryParameter(description="Only in this direction.")] = None,
    channel: Annotated[str | None, records.only("on this channel")] = None,
) -> Page[InteractionSeen]:
    """Interactions, by when they were first seen: follows, messages, calls, visits, forms, reviews, payments. They never change.

    `body` is what was said (contact data), `clinical` what a hospital said (health data): each comes as it was granted.
    400 for a cursor of another list or a time without its zone.
    """
    sought = Sought(
        customer=customer, account=account, unit=unit, updated_since=answers.since(updated_since),
        fields=records.conditions(external_id=external_id, type=kind, direction=direction, channel=channel),
    )  # fmt: skip
    return await answers.listed(reading, viewer, "interaction", sought, after=after, limit=limit, fields=fields)


@get("/interactions/{name:str}", opt=_SCOPE)
async def interaction(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[InteractionSeen]:
    """One interaction by our id (`int_…`). 404 where it is not there or lies outside of your domain."""
    return await records.one(request, viewer, reading, kind="interaction", name=name)


ROUTES = (interactions, interaction)
"""Every handler of this resource."""
