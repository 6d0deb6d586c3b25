"""The HTTP door: ``/in/{account}`` takes things in; everything else goes to the inner application."""

from collections.abc import Awaitable, Callable

from gateway import VERSION
from gateway.clock import Clock
from gateway.connector import Reply, Request
from gateway.doors.bridge import App, Bridge
from gateway.doors.exchange import Exchange, known_head
from gateway.meters import Meters

Accept = Callable[[str, Request], Awaitable[Reply]]
Oversized = Callable[[str, Request, int], Reply]

_PREFIX = "/in/"
_METHODS = ("GET", "POST")
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
    """An application of the door's server. ``max_body`` in bytes; a larger body is read no further and answered by ``oversized``."""

    def __init__(
        self, *, accept: Accept, oversized: Oversized, inner: App, clock: Clock, meters: Meters, max_body: int
    ) -> None:
        self._accept = accept
        self._oversized = oversized
        self._inner = Bridge(inner)
        self._clock = clock
        self._meters = meters
        self._max_body = max_body

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request."""
        if exchange.path.startswith(_PREFIX):
            reply = await self._answer(exchange) if exchange.method in _METHODS else NOT_ALLOWED
        # Whoever asks whether we live must not wait until everything else is loaded.
        elif exchange.path == LIVE_PATH and exchange.method == "GET":
            reply = LIVE
        else:
            await self._inner(exchange)
            return
        start = known_head(reply.status, (("content-type", reply.content_type), *reply.headers))
        exchange.answer(reply.status, start, reply.body)

    async def _answer(self, exchange: Exchange) -> Reply:
        whole = exchange.ready()
        body = whole if whole is not None and len(whole) <= self._max_body else await self._body(exchange)
        began = self._clock.now()
        path = exchange.path
        request = Request(
            method=exchange.method,
            path=path,
            query=exchange.query,
            headers=exchange.headers,
            body=body if isinstance(body, bytes) else b"",
            peer=exchange.peer[0],
            received_at=began,
        )
        name = path[len(_PREFIX) :]
        reply = await self._accept(name, request) if isinstance(body, bytes) else self._oversized(name, request, body)
        self._meters.ack.observe((self._clock.now() - began) / 1e6)
        return reply

    async def _body(self, exchange: Exchange) -> bytes | int:
        """The body; or, when it is larger than allowed, how many bytes it has or had come by then."""
        if (exchange.length or 0) > self._max_body:
            return exchange.length or 0
        parts, size = [], 0
        while part := await exchange.part():
            size += len(part)
            if size > self._max_body:
                return size
            parts.append(part)
        return b"".join(parts)
