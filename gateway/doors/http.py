"""The HTTP door: ``/in/{account}``, on the server's own interface because it is the hot path; everything else goes to the inner one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from gateway import VERSION
from gateway.clock import Clock
from gateway.connector import Reply, Request
from gateway.doors.bridge import App, Bridge
from gateway.doors.farewell import Farewell
from gateway.meters import Meters

Accept = Callable[[str, Request], Awaitable[Reply]]
Oversized = Callable[[str, Request, int], Reply]

_log = structlog.get_logger()
_PREFIX = "/in/"
_METHODS = ("GET", "POST")
FAULT = Reply(
    status=500,
    body=b'{"title":"a fault of the gateway, send it again","status":500}',
    content_type="application/problem+json",
)
LIVE_PATH = "/health/live"
LIVE = Reply(
    body=b'{"status":"ok","version":"%s"}' % VERSION.encode(),
    content_type="application/json",
)
NOT_ALLOWED = Reply(
    status=405,
    body=b'{"title":"GET or POST","status":405}',
    content_type="application/problem+json",
    headers=(("allow", "GET, POST"),),
)


class HttpDoor:
    """An RSGI application. ``max_body`` in bytes; a larger body is read no further and answered by ``oversized``."""

    def __init__(
        self, *, accept: Accept, oversized: Oversized, inner: App, clock: Clock, meters: Meters, max_body: int
    ) -> None:
        self._accept = accept
        self._oversized = oversized
        self._inner = Bridge(inner)
        self._clock = clock
        self._meters = meters
        self._max_body = max_body
        self.leaving = False
        """Whether each answer ends its connection."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Serve one request."""
        # HTTP/2 knows no such header, and is told by the server itself.
        if self.leaving and scope.http_version.startswith("1"):
            protocol = Farewell(protocol)
        path = scope.path
        if scope.proto != "http" or not path.startswith(_PREFIX):
            # Whoever asks whether we live must not wait until everything else is loaded.
            if path == LIVE_PATH and scope.method == "GET":
                protocol.response_bytes(LIVE.status, [("content-type", LIVE.content_type)], LIVE.body)
                return
            await self._inner(scope, protocol)
            return
        method = scope.method
        reply = await self._answer(scope, protocol, method, path) if method in _METHODS else NOT_ALLOWED
        protocol.response_bytes(reply.status, [("content-type", reply.content_type), *reply.headers], reply.body)

    async def _answer(self, scope: Any, protocol: Any, method: str, path: str) -> Reply:
        headers = dict(scope.headers.items())
        body = await self._body(headers, scope, protocol)
        began = self._clock.now()
        request = Request(
            method=method,
            path=path,
            query=scope.query_string,
            headers=headers,
            body=body if isinstance(body, bytes) else b"",
            peer=scope.client.rpartition(":")[0].strip("[]"),
            received_at=began,
            sized="content-length" in headers or not body,
        )
        name = path[len(_PREFIX) :]
        try:
            reply = (
                await self._accept(name, request) if isinstance(body, bytes) else self._oversized(name, request, body)
            )
        except Exception:  # the HTTP edge: a fault of ours is a 500 that says nothing, and a log line that says all
            _log.exception("door.fault", path=path)
            return FAULT
        self._meters.ack.observe((self._clock.now() - began) / 1e6)
        return reply

    async def _body(self, headers: Mapping[str, str], scope: Any, protocol: Any) -> bytes | int:
        """The body; or, when it is larger than allowed, how many bytes it has or had come by then."""
        length = headers.get("content-length", "")
        if length.isdigit():
            return bytes(await protocol()) if int(length) <= self._max_body else int(length)
        if "transfer-encoding" not in headers and not (scope.method == "POST" and scope.http_version.startswith("2")):
            return b""
        # Read in parts, and no further than allowed. The server (granian 2.8.7) hands over one that was cut off as if that had been all.
        parts, size = [], 0
        async for part in protocol:
            size += len(part)
            if size > self._max_body:
                return size
            parts.append(part)
        return b"".join(parts)
