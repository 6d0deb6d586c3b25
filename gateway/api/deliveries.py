"""Deliveries: what became of each event at each endpoint, and every attempt of it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.problems import not_found
from gateway.desk import outbox
from gateway.desk.resources import Desk
from gateway.store import DeliveryState

_SCOPE = {"scope": "endpoints:read"}


class DeliverySeen(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one endpoint. `ordered` ones wait for what is before them of the same record (`waiting`); `tries` counts finished attempts;
    `due` is when the next one may be; `cause` says why the last one failed, or why it ended."""

    id: str
    event: str
    endpoint: str
    ordered: bool
    state: DeliveryState
    tries: int
    due: str
    created: str
    cause: str | None


class AttemptSeen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt. `status` is the endpoint's answer, else `error` a stable word (timeout, connect, tls, address …). `response`, the beginning of
    what came back, is there for clients with the scope ops:read that may see all that the endpoint is sent: it may repeat it."""

    id: str
    at: str
    took_ms: float
    status: int | None
    error: str | None
    response: str | None = None


@get("/deliveries", opt=_SCOPE)
async def deliveries(
    viewer: NamedDependency[Viewer],
    desk: NamedDependency[Desk],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    endpoint: Annotated[str | None, records.only("to this endpoint")] = None,
    standing: Annotated[DeliveryState | None, QueryParameter(name="state", description="Only in this state.")] = None,
    event: Annotated[str | None, records.only("of this event (`evt_…`)")] = None,
) -> Page[DeliverySeen]:
    """Deliveries to the endpoints within your domain, by when their events happened.

    `state=dead` are those that need a person: see dead-letters. 400 for a cursor of another list or a state that there is not.
    """
    place = answers.place(after, str)
    items, more = await outbox.page(
        desk, viewer, endpoint=endpoint, state=standing, event=event, after=place[0] if place else "", limit=limit
    )
    return answers.page([answers.sparse(one, fields) for one in items], answers.cursor(more) if more else None)


@get("/deliveries/{name:str}", opt=_SCOPE)
async def delivery(
    request: Request[Any, Any, Any], viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]
) -> Response[DeliverySeen]:
    """One delivery (`dlv_…`). 404 where it is not there or its endpoint lies outside of your domain."""
    found = await outbox.one(desk, viewer, name)
    if found is None:
        raise not_found("delivery")
    return answers.tagged(request, outbox.shown(found))


@get("/deliveries/{name:str}/attempts", opt=_SCOPE)
async def attempts(
    viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]
) -> Page[AttemptSeen]:
    """Every attempt of a delivery, oldest first. 404 as for the delivery itself."""
    found = await outbox.one(desk, viewer, name)
    if found is None:
        raise not_found("delivery")
    return answers.page(await outbox.attempts(desk, viewer, found), None)


ROUTES = (deliveries, delivery, attempts)
"""Every handler of this resource."""
