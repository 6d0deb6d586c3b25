"""What every request is held against before its handler sees it: nothing is taken that is not read, and nothing is read that is not what it says."""

from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway import settings
from gateway.api import callers
from gateway.api.problems import Problem
from gateway.api.signature import ALSO, JSON, TAKES, signature

MOST = 1024 * 1024
"""Bytes of a body, where a handler does not say otherwise."""


def uncut(receive: Receive) -> Receive:
    """As ``receive``, for who takes a body whole or not at all: Problem 408 where the sender is gone, or silent for too long, before its end."""
    ended = False

    async def received() -> Any:
        nonlocal ended
        message = await receive()
        if message["type"] == "http.disconnect" and not ended:
            raise Problem(
                408, "request.cut_off", "the body did not come to its end", place="body", remedy="send all of it again"
            )
        ended = not message.get("more_body", False)
        return message

    return received


class Fit(callers.Layer):
    """The caller has the scope that the handler's ``opt`` names, every query parameter is known and said once, and the body is of a type that is
    read. Problem 403, 400 or 415.

    A layer and no guard: for each guard the framework copies the handler, at every request.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request."""
        handler = scope["route_handler"]
        if isinstance(handler, HTTPRouteHandler) and scope.get("method") != "OPTIONS":
            for wanted in (handler.opt.get("scope", ""), *handler.opt.get(ALSO, ())):
                callers.need_scope(scope["state"]["viewer"], wanted)
            if scope["query_string"]:
                _need_known(scope, handler)
            if scope.get("method") in ("POST", "PUT", "PATCH"):
                _need_type(scope, handler)
        await next_app(scope, receive, send)


def _need_known(scope: Scope, handler: HTTPRouteHandler) -> None:
    known = signature(handler).query
    seen: set[str] = set()
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name not in known:
            fault = settings.unknown_key(name[:100], known, place=f"query.{name[:100]}")
            raise Problem(
                400, "request.invalid", "there is no such query parameter", place=fault.place, remedy=fault.remedy
            )
        if name in seen:
            raise Problem(400, "request.invalid", "this query parameter is said twice", place=f"query.{name}")
        seen.add(name)
        _need_typed(name, value, known[name][1])


def _need_typed(name: str, value: str, kind: Any) -> None:
    """The framework takes ``null`` for a parameter that was left out, so that the condition finds everything, and a number for a time."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    try:
        msgspec.convert(value, kind, strict=plain not in (int, float, bool))
    except msgspec.ValidationError as error:
        raise Problem(400, "request.invalid", str(error), place=f"query.{name}") from error


def _need_type(scope: Scope, handler: HTTPRouteHandler) -> None:
    given = callers.header(scope, b"content-type")
    # Without one, an empty body is meant or JSON is: whoever sends something else says so.
    if not given:
        return
    takes = handler.opt.get(TAKES, JSON)
    kind = given.partition(";")[0].strip().lower()
    if kind not in takes and not (takes == JSON and kind.endswith("+json") and kind.startswith("application/")):
        raise Problem(
            415,
            "request.unsupported_media_type",
            "the body is not of a type that is read here",
            place="header.content-type",
            remedy=f"send content-type: {' or '.join(takes)}",
        )
