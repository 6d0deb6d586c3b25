"""The partner API's routes, in one place: who may call, what refusals look like, and the schema that is made from them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, SecurityScheme
from litestar.types import ControllerRouterHandler

from gateway import VERSION, access
from gateway.api import (
    appointments,
    callers,
    customers,
    interactions,
    oauth,
    orders,
    organisation,
    relationships,
    stock,
)
from gateway.api.idempotency import Idempotent
from gateway.desk.people import People
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
)
"""Every handler under ``/api/v1``."""


def handlers(desk: Desk) -> list[ControllerRouterHandler]:
    """``/api/v1``, ``/oauth/token`` and ``/schema``."""
    reading = Reading(desk.records, desk.vault)
    people = People(desk.records, desk.vault, reading)
    given: dict[str, Any] = {
        "desk": desk, "clients": desk.clients, "limits": desk.limits, "reading": reading, "people": people
    }  # fmt: skip
    dependencies = {name: _provide(value) for name, value in given.items()}
    api = Router(
        path="/api/v1",
        route_handlers=list(RESOURCES),
        middleware=[callers.Recognising(desk.clients, desk.limits), Idempotent(desk.shelf, desk.vault, desk.clock)],
        guards=[callers.need_scope],
        dependencies={**dependencies, "viewer": Provide(_viewer, sync_to_thread=False)},
    )
    token = Router(path="/", route_handlers=[oauth.token], dependencies=dependencies)
    return [api, token, schema]


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _viewer(request: Request[Any, Any, Any]) -> access.Viewer:
    viewer: access.Viewer = request.scope["state"]["viewer"]
    return viewer


@get("/schema", include_in_schema=False, sync_to_thread=False)
def schema() -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(_document(), media_type="application/vnd.oai.openapi+json;version=3.1")


@cache
def _document() -> bytes:
    return msgspec.json.encode(described())


def described() -> dict[str, Any]:
    """The OpenAPI document as plain data. It is made from the handlers alone, once, and only when somebody asks."""
    names = ("desk", "clients", "limits", "reading", "people", "viewer")
    given = {name: Provide(_nobodies(), sync_to_thread=False) for name in names}
    described = Router(path="/api/v1", route_handlers=list(RESOURCES), dependencies=given)
    made = Litestar([described], openapi_config=_config(), logging_config=None)
    document: dict[str, Any] = made.openapi_schema.to_schema()
    return document


def _nobodies() -> Callable[[], None]:
    """A dependency of its own for each name, which is never asked for."""

    def nobody() -> None:
        raise NotImplementedError

    return nobody


def _config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="SCRM gateway: partner API",
        version=VERSION,
        use_handler_docstrings=True,
        security=[{"oauth": []}, {"key": []}],
        components=Components(
            security_schemes={
                "oauth": SecurityScheme(
                    type="oauth2",
                    flows=OAuthFlows(
                        client_credentials=OAuthFlow(scopes=dict(access.SCOPES), token_url="/oauth/token")  # noqa: S106 - an address
                    ),
                ),
                "key": SecurityScheme(
                    type="http", scheme="bearer", description="An API key, as `gateway clients make` shows it."
                ),
            }
        ),
    )
