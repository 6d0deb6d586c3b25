"""Runs an ASGI application on the RSGI server, so that the hot door and everything else share one port.

RSGI is granian's own interface (github.com/emmett-framework/granian, docs/spec/RSGI.md); it spares the door a dictionary and three calls a
request.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


_SMALL = 64 * 1024


class Later:
    """An ASGI application that is made in a thread, from the first request on it or ``begin``; requests wait for it."""

    def __init__(self, make: Callable[[], App]) -> None:
        self._make = make
        self._made: asyncio.Task[App] | None = None

    def begin(self) -> "asyncio.Task[App]":
        """Have it made."""
        if self._made is None:
            self._made = asyncio.get_running_loop().create_task(asyncio.to_thread(self._make))
        return self._made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        # A caller who goes away must not take the others' application with them.
        app = await asyncio.shield(self.begin())
        await app(scope, receive, send)


class Bridge:
    """An RSGI application made of an ASGI one. HTTP only; a body is read when the application asks for it, and no faster; an answer in parts is
    streamed."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, protocol: Any) -> None:
        """Serve one request."""
        # A request that says neither how long its body is nor that it comes in chunks has none (RFC 9112 §6.3).
        length = scope.headers.get("content-length", "" if "transfer-encoding" in scope.headers else "0")
        exchange = _Exchange(protocol, length=int(length) if length.isdigit() else None)
        await self._app(_asgi_scope(scope), exchange.receive, exchange.send)


class _Exchange:
    """One request's body and answer."""

    def __init__(self, protocol: Any, *, length: int | None) -> None:
        self._protocol = protocol
        self._small = length is not None and length <= _SMALL
        self._left = length
        self._parts: AsyncIterator[bytes] | None = None
        self._asked = False
        self._status = 500
        self._headers: list[tuple[str, str]] = []
        self._stream: Any = None
        self._answered = asyncio.Event()

    async def receive(self) -> Message:
        """A small body at once, any other in parts, so that whoever takes no more than so much can stop; asked again, the end of the connection."""
        if self._asked:
            await self._over()
            return {"type": "http.disconnect"}
        if self._small:
            self._asked = True
            try:
                return {"type": "http.request", "body": await self._protocol(), "more_body": False}
            except RuntimeError:
                # The server's own way of saying that it was cut off.
                return {"type": "http.disconnect"}
        if self._parts is None:
            self._parts = aiter(self._protocol)
        try:
            # Not anext(…, None): its own way of awaiting ends the process on the server's awaitables (granian 2.8.7, Python 3.11).
            part: bytes | None = await self._parts.__anext__()
        except StopAsyncIteration:
            part = None
        self._asked = part is None
        if self._left is not None:
            self._left -= len(part or b"")
            if part is None and self._left > 0:
                # The server (granian 2.8.7) hands over what was cut off as if that had been all.
                return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bytes(part or b""), "more_body": part is not None}

    async def _over(self) -> None:
        """The answer is whole, or nobody is there to hear it: whoever streams waits for the one or the other."""
        answered = asyncio.ensure_future(self._answered.wait())
        # The server dies (granian 2.8.7) of whoever waits for the end of a connection whose body was read in parts.
        gone = [asyncio.ensure_future(self._protocol.client_disconnect())] if self._parts is None else []
        try:
            await asyncio.wait([answered, *gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (answered, *gone):
                one.cancel()

    async def send(self, message: Message) -> None:
        """Status and headers, then the body in one part or in many."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())
            ]
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._stream is None and not more:
            self._protocol.response_bytes(self._status, self._headers, bytes(body))
            self._answered.set()
            return
        if self._stream is None:
            self._stream = self._protocol.response_stream(self._status, self._headers)
        if body:
            await self._stream.send_bytes(bytes(body))
        if not more:
            self._answered.set()
            return
        # Lets the server write each part before the next is made.
        await asyncio.sleep(0)


def _asgi_scope(scope: Any) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": unquote(scope.path),
        "raw_path": scope.path.encode(),
        "query_string": scope.query_string.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        "client": address(scope.client),
        "server": address(scope.server),
        "state": {},
        "extensions": {},
    }


def address(text: str) -> tuple[str, int] | None:
    """``host:port`` or ``[host]:port`` as a pair; None for what is neither."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None
