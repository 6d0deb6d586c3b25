"""The HTTP door: ``/in/{account}``, as a bare ASGI application because it is the hot path; everything else goes to the inner one."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from gateway.clock import Clock
from gateway.connector import Reply, Request
from gateway.meters import Meters

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Accept = Callable[[str, Request], Awaitable[Reply]]
Oversized = Callable[[str, Request, int], Reply]

_log = structlog.get_logger()
_PREFIX = "/in/"
FAULT = Reply(
    status=500,
    body=b'{"title":"a fault of the gateway, send it again","status":500}',
    content_type="application/problem+json",
)
NOT_ALLOWED = Reply(
    status=405,
    body=b'{"title":"GET or POST","status":405}',
    content_type="application/problem+json",
    headers=(("allow", "GET, POST"),),
)


class HttpDoor:
    """An ASGI application. ``max_body`` in bytes; a larger body is read no further and answered by ``oversized``."""

    def __init__(
        self, *, accept: Accept, oversized: Oversized, inner: App, clock: Clock, meters: Meters, max_body: int
    ) -> None:
        self._accept = accept
        self._oversized = oversized
        self._inner = inner
        self._clock = clock
        self._meters = meters
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._inner(scope, receive, send)
            return
        reply = await self._answer(scope, receive)
        headers = [(b"content-type", reply.content_type.encode()), (b"content-length", str(len(reply.body)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        if scope["method"] not in ("GET", "POST"):
            return NOT_ALLOWED
        body = await self._body(receive)
        began = self._clock.now()
        peer = scope.get("client")
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body if isinstance(body, bytes) else b"",
            peer=peer[0] if peer else "",
            received_at=began,
        )
        name = scope["path"][len(_PREFIX) :]
        try:
            reply = (
                await self._accept(name, request) if isinstance(body, bytes) else self._oversized(name, request, body)
            )
        except Exception:  # the HTTP edge: a fault of ours is a 500 that says nothing, and a log line that says all
            _log.exception("door.fault", path=scope["path"])
            return FAULT
        self._meters.ack.observe((self._clock.now() - began) / 1e6)
        return reply

    async def _body(self, receive: Receive) -> bytes | int:
        """The whole body; or, when it is larger than allowed, how many bytes had come by then."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body if len(body) <= self._max_body else len(body)
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body:
                return size
            parts.append(part)
            if message["type"] == "http.disconnect":
                return b""
        return b"".join(parts)
