"""The console's routes, in one place: every page, what changes on it by itself, and what its refusals look like."""

from typing import Any

from litestar import Request, Response, Router
from litestar.background_tasks import BackgroundTask
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.response import Redirect
from litestar.static_files import create_static_files_router

from gateway.console import (
    accounts,
    actions,
    alerts,
    audit,
    connectors,
    customers,
    dead,
    endpoints,
    entrance,
    flow,
    frame,
    house,
    live,
    mapping_acts,
    mappings,
    matches,
    overview,
)
from gateway.desk.resources import Desk
from gateway.errors import GatewayError, Tampered

PAGES = (
    overview.overview,
    matches.matches,
    matches.merge,
    matches.reject,
    matches.unmerge,
    mappings.mappings,
    mappings.one,
    *mapping_acts.ACTS,
    flow.flow,
    flow.raw,
    *endpoints.PAGES,
    *dead.PAGES,
    customers.customers,
    customers.customer,
    customers.orders,
    customers.order,
    *house.PAGES,
    audit.audit,
    audit.verify,
    connectors.connectors,
    connectors.account,
    connectors.examine,
    connectors.form,
    connectors.trying,
    connectors.new,
    connectors.trying_new,
    *accounts.PAGES,
    *actions.PAGES,
    alerts.alerts,
    alerts.silence,
    alerts.speak,
    alerts.test,
)
"""Every handler but signing in and the stream."""

LIVE: tuple[tuple[str, frame.Parts], ...] = (
    ("/console", overview.parts),
    ("/console/matches", matches.parts),
    ("/console/flow", flow.parts),
    *endpoints.LIVE,
    *dead.LIVE,
    ("/console/alerts", alerts.parts),
    ("/console/connectors", connectors.parts),
    *accounts.LIVES,
    ("/console/audit", audit.parts),
    ("/console/settings", house.key_parts),
    ("/console/connectors/[^/]+", connectors.account_parts),
    ("/console/mappings", mappings.list_parts),
    ("/console/mappings/[^/]+/[^/]+", mappings.parts),
)
"""Regular expressions of paths, and the parts of the page there."""


# A mapping of 200,000 characters, each of them nine bytes of a form.
_MOST = 2 * 1024 * 1024


def create_router(desk: Desk) -> Router:
    """Everything under ``/console``."""
    lives = live.Lives(LIVE, PAGES)
    guarded = Router(
        path="/",
        route_handlers=[
            entrance.enter,
            entrance.entering,
            entrance.second,
            entrance.showing,
            entrance.leave,
            entrance.ticket,
            live.live,
            *PAGES,
        ],
        guards=[frame.watch(desk.users)],
        request_max_body_size=_MOST,
        after_request=frame.dressed,
    )
    return Router(
        path="/console",
        route_handlers=[
            guarded,
            create_static_files_router(
                path="/static", directories=[frame.STATIC], cache_control=None, include_in_schema=False, after_request=frame.sniffless,
                exception_handlers={500: _nowhere, ValueError: _nowhere},
            ),
        ],
        dependencies={
            "desk": Provide(lambda: desk, sync_to_thread=False),
            "lives": Provide(lambda: lives, sync_to_thread=False),
        },
        exception_handlers={frame.SignIn: _to_the_door, HTTPException: _refused(desk), GatewayError: _failed(desk)},
        include_in_schema=False,
    )  # fmt: skip


def _to_the_door(request: Request[Any, Any, Any], error: frame.SignIn) -> Response[Any]:
    if request.method != "GET" or request.url.path == "/console/live":
        return Response("sign in first", status_code=401, media_type="text/plain", headers=frame.HEADERS)
    return Redirect(f"{error.step}?next={request.url.path}", headers=frame.HEADERS)


def _nowhere(_request: Request[Any, Any, Any], _error: Exception) -> Response[Any]:
    """A name that no file system takes is the name of nothing."""
    return Response(None, status_code=404, headers=frame.HEADERS)


def _refused(desk: Desk) -> Any:
    def answer(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        detail = error.detail if error.status_code < 500 else ""
        return frame.page(
            request, "sorry.html", now=desk.clock.now(), status=error.status_code, detail=detail, remedy="", here=""
        )

    return answer


def _failed(desk: Desk) -> Any:
    def answer(request: Request[Any, Any, Any], error: GatewayError) -> Response[Any]:
        if isinstance(error, Tampered):
            return _altered(desk, request, error)
        return frame.page(
            request, "sorry.html", now=desk.clock.now(), status=409, detail=error.detail, remedy=error.remedy, here=""
        )

    return answer


def _altered(desk: Desk, request: Request[Any, Any, Any], error: Tampered) -> Response[Any]:
    """What the page was to show cannot be read any more: operators are told, as when it was to be delivered."""
    seat = frame.seat_of(request)
    said = frame.page(
        request, "sorry.html", now=desk.clock.now(), status=409, detail=seat.t("altered", place=error.place),
        remedy=seat.t("altered_remedy"), here="",
    )  # fmt: skip
    said.background = BackgroundTask(desk.witness.altered, error, stage="console")
    return said
