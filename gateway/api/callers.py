"""Who is calling: a bearer token or an API key comes down to a viewer, within the client's pace; every answer carries its request's id."""

import math
from typing import Any

import structlog
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Guard, Message, Receive, Scope, Send

from gateway import access, limiter
from gateway.api.problems import Problem
from gateway.clock import Clock, new_id
from gateway.desk.clients import Clients

OPEN = "open"
"""A handler's ``opt`` that needs no caller."""

_log = structlog.get_logger()


class Numbering(ASGIMiddleware):
    """Gives each request an id, taken from ``x-request-id`` where the caller sent a fit one, and says it in the answer and in the log."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request."""
        state = scope["state"]
        state["request_id"] = _asked(scope) or new_id("req", self._clock.now())

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                headers["x-request-id"] = state["request_id"]
                for name, value in state.get("pace", {}).items():
                    headers[name] = value
            await send(message)

        await next_app(scope, receive, numbered)


def _asked(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    fit = 0 < len(given) <= 64 and given.replace("-", "").replace("_", "").isalnum() and given.isascii()
    return given if fit else ""


def recognised(clients: Clients, limits: limiter.Limiter) -> Guard:
    """The ``authorization`` header comes down to a viewer, and one request is taken from the client's bucket.

    Sets ``viewer`` and ``client`` in the state. Problem 401, 403 or 429.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if handler.opt.get(OPEN):
            return
        found = await clients.recognise(_bearer(connection))
        if found is None:
            raise Problem(
                401,
                "client.unknown",
                "the token or key is not known, or no longer",
                remedy="POST /oauth/token for a new one",
                headers={"www-authenticate": 'Bearer error="invalid_token"'},
            )
        client, viewer = found
        connection.scope["state"].update(viewer=viewer, client=client)
        await _pace(client, limits, connection.scope["state"])
        _need(viewer, handler.opt.get("scope", ""))

    return guard


def _need(viewer: access.Viewer, wanted: str) -> None:
    if wanted and not viewer.may(wanted):
        raise Problem(
            403,
            "client.scope",
            f"this needs the scope {wanted}",
            remedy="ask the gateway's operator for it",
            headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{wanted}"'},
        )


async def _pace(client: access.Client, limits: limiter.Limiter, state: dict[str, Any]) -> None:
    answer = await limits.take(f"client:{client.id}", limiter.Rate(client.rate, client.burst))
    # draft-ietf-httpapi-ratelimit-headers-10: quota and window in the policy, the wait where there is one.
    window = max(1, math.ceil(client.burst / client.rate))
    pace = state["pace"] = {"ratelimit-policy": f'"client";q={int(client.burst)};w={window}'}
    if isinstance(answer, limiter.Refused):
        wait = max(1, math.ceil(answer.wait))
        pace["ratelimit"] = f'"client";r=0;t={wait}'
        raise Problem(
            429,
            "client.pace",
            f"more than {client.rate:g} requests a second",
            remedy=f"wait {wait} s",
            headers={"retry-after": str(wait)},
        )


def _bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(
            401,
            "client.none",
            "no bearer token or API key",
            remedy="send authorization: Bearer …; POST /oauth/token gives one",
            headers={"www-authenticate": "Bearer"},
        )
    return token.strip()
