"""The partner API's routes, in one place: who may call, what refusals look like, and the schema that is made from them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.types import ControllerRouterHandler

from gateway import access
from gateway.api import (
    accounts,
    actions,
    appointments,
    callers,
    customers,
    dead,
    deliveries,
    endpoints,
    events,
    exports,
    imports,
    interactions,
    jobs,
    mappings,
    matches,
    oauth,
    offers,
    orders,
    organisation,
    page,
    problems,
    published,
    rejects,
    relationships,
    replays,
    requests,
    stock,
    turns,
)
from gateway.api import schema as schemas
from gateway.api.idempotency import Idempotent
from gateway.connector import Card
from gateway.desk.feed import Feed
from gateway.desk.people import People
from gateway.desk.polling import Polling
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk

RESOURCES = (
    *customers.ROUTES,
    *orders.ROUTES,
    *appointments.ROUTES,
    *interactions.ROUTES,
    *relationships.ROUTES,
    *organisation.ROUTES,
    *stock.ROUTES,
    *endpoints.ROUTES,
    *events.ROUTES,
    *deliveries.ROUTES,
    *dead.ROUTES,
    *rejects.ROUTES,
    *accounts.ROUTES,
    *mappings.ROUTES,
    *matches.ROUTES,
    *published.ROUTES,
    *replays.ROUTES,
    *imports.ROUTES,
    *exports.ROUTES,
    *jobs.ROUTES,
    *actions.ROUTES,
)
"""Every handler under ``/api/v1``."""


def handlers(desk: Desk) -> list[ControllerRouterHandler]:
    """``/api/v1``, ``/oauth/token`` and ``/schema``."""
    reading = Reading(desk.records, desk.vault, desk.witness)
    people = People(desk.records, desk.vault, reading)
    given: dict[str, Any] = {
        "desk": desk, "clients": desk.clients, "limits": desk.limits, "reading": reading, "people": people, "labour": desk.labour,
        "feed": Feed(desk.records, reading, desk.watch), "handing": Polling(desk.records, desk.vault, desk.clock, desk.watch, desk.witness),
    }  # fmt: skip
    dependencies = {name: _provide(value) for name, value in given.items()}
    api = Router(
        path="/api/v1",
        route_handlers=list(RESOURCES),
        middleware=[
            callers.Recognising(desk.clients, desk.limits, desk.guesses),
            requests.Fit(),
            turns.Turns(),
            Idempotent(desk.shelf, desk.vault, desk.clock),
        ],
        request_max_body_size=requests.MOST,
        exception_handlers={UnicodeDecodeError: problems.of_text, RecursionError: problems.of_depth},
        dependencies={
            **dependencies,
            "viewer": Provide(_viewer, sync_to_thread=False),
            "client": Provide(_client, sync_to_thread=False),
        },
    )
    told = cache(lambda: described(tuple(desk.premises.cards.values())))
    token = Router(path="/", route_handlers=[oauth.token], dependencies=dependencies)
    said = Router(path="/", route_handlers=[schema, docs], dependencies={"told": _provide(told)})
    return [api, token, said, page.style]


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _viewer(request: Request[Any, Any, Any]) -> access.Viewer:
    viewer: access.Viewer = request.scope["state"]["viewer"]
    return viewer


def _client(request: Request[Any, Any, Any]) -> access.Client:
    client: access.Client = request.scope["state"]["client"]
    return client


Told = Callable[[], dict[str, Any]]


@get("/schema", include_in_schema=False, sync_to_thread=False)
def schema(told: NamedDependency[Told]) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(msgspec.json.encode(told()), media_type="application/vnd.oai.openapi+json;version=3.1")


@get("/docs", include_in_schema=False, sync_to_thread=False)
def docs(told: NamedDependency[Told]) -> Response[str]:
    """The same for people."""
    return page.answer(told())


def described(cards: Sequence[Card] = ()) -> dict[str, Any]:
    """The OpenAPI document as plain data, made from the handlers and from what these connectors can be asked to do. It takes a moment, and is made
    only when somebody asks."""
    return offers.told(schemas.document(RESOURCES), cards)
