"""Who is calling: a bearer token or an API key comes down to a viewer, within the client's pace; every answer carries its request's id."""

import math
from typing import Any, Self

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway import access, limiter
from gateway.api.problems import Problem
from gateway.clock import Clock, new_id
from gateway.desk.clients import Clients

_log = structlog.get_logger()


class Layer(ASGIMiddleware):
    """A middleware of ours. Routers copy what they are given deeply; what holds connections must stay the one there is."""

    scopes = (ScopeType.HTTP,)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self


class Numbering(Layer):
    """Gives each request an id, taken from ``x-request-id`` where the caller sent a fit one, and says it in the answer and in the log."""

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
                if "client" in state and "cache-control" not in headers:
                    # What one caller may see is nobody else's.
                    headers["cache-control"] = "no-store"
            await send(message)

        await next_app(scope, receive, numbered)


def _asked(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    fit = 0 < len(given) <= 64 and given.replace("-", "").replace("_", "").isalnum() and given.isascii()
    return given if fit else ""


class Recognising(Layer):
    """The ``authorization`` header comes down to a viewer, and one request is taken from the client's bucket.

    Sets ``viewer`` and ``client`` in the state. Problem 401 or 429.
    """

    def __init__(self, clients: Clients, limits: limiter.Limiter, guesses: limiter.Rate) -> None:
        self._clients = clients
        self._limits = limits
        self._guesses = guesses

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request."""
        bearer = _bearer(scope)
        found = await self._clients.recognise(bearer)
        if found is None:
            # A token that ran out is no guess: whoever has one must learn that it ended, whoever guesses beside them.
            if not self._clients.issued(bearer) and (wait := await guess(scope, self._limits, self._guesses)):
                raise Problem(
                    429, "client.guesses", "too many unknown tokens or keys from this address", remedy=f"wait {wait} s",
                    headers={"retry-after": str(wait)},
                )  # fmt: skip
            raise Problem(
                401,
                "client.unknown",
                "the token or key is not known, or no longer",
                remedy="POST /oauth/token for a new one",
                headers={"www-authenticate": 'Bearer error="invalid_token"'},
            )
        client, viewer = found
        scope["state"].update(viewer=viewer, client=client)
        await _pace(client, self._limits, scope["state"])
        await next_app(scope, receive, send)


def need_scope(viewer: access.Viewer, wanted: str) -> None:
    """Problem 403 where the viewer lacks a scope; an empty one is everybody's."""
    if wanted and not viewer.may(wanted):
        raise Problem(
            403,
            "client.scope",
            f"this needs the scope {wanted}",
            remedy="ask the gateway's operator for it",
            headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{wanted}"'},
        )


async def guess(scope: Scope, limits: limiter.Limiter, rate: limiter.Rate) -> int:
    """Take one from what an address may guess; seconds to wait where that is used up, else 0.

    A key has 192 random bits: this is to keep what guessing costs us, and the log, small. To be asked after the secret was looked at: a proxy has
    one address for all, and who has a right one is not held up by who guesses there.
    """
    if rate.burst <= 0:
        return 0
    peer = scope.get("client")
    answer = await limits.take(f"guesses:{peer[0] if peer else ''}", rate)
    return max(1, math.ceil(answer.wait)) if isinstance(answer, limiter.Refused) else 0


async def _pace(client: access.Client, limits: limiter.Limiter, state: dict[str, Any]) -> None:
    answer = await limits.take(f"client:{client.id}", limiter.Rate(client.rate, client.burst))
    # draft-ietf-httpapi-ratelimit-headers-10: quota and window in the policy; what remains, and when all of it is there again.
    window = max(1, math.ceil(client.burst / client.rate))
    pace = state["pace"] = {"ratelimit-policy": f'"client";q={int(client.burst)};w={window}'}
    if isinstance(answer, limiter.Granted):
        full = math.ceil((client.burst - answer.left) / client.rate)
        pace["ratelimit"] = f'"client";r={int(answer.left)};t={full}'
    else:
        wait = max(1, math.ceil(answer.wait))
        pace["ratelimit"] = f'"client";r=0;t={wait}'
        raise Problem(
            429,
            "client.pace",
            f"more than {client.rate:g} requests a second",
            remedy=f"wait {wait} s",
            headers={"retry-after": str(wait)},
        )


def _bearer(scope: Scope) -> str:
    scheme, _, token = header(scope, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(
            401,
            "client.none",
            "no bearer token or API key",
            remedy="send authorization: Bearer …; POST /oauth/token gives one",
            headers={"www-authenticate": "Bearer"},
        )
    return token.strip()


def header(scope: Scope, name: bytes) -> str:
    """A request header's text; empty when it is not there."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
