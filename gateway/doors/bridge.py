"""Runs an ASGI application on the door's server, so that the hot door and everything else share one port."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from gateway.doors.exchange import Cut, Exchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long an answer is and when its connection ends is said by who writes it.
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date"})


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
    """An application of the door's server, made of an ASGI one. HTTP only; a large body is read when the application asks for it, and no faster; an answer in
    parts is streamed."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request."""
        talk = _Talk(exchange)
        await self._app(_asgi_scope(exchange), talk.receive, talk.send)


class _Talk:
    """One exchange in ASGI's words."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._asked = False
        self._status = 500
        self._headers: list[tuple[str, str]] = []

    async def receive(self) -> Message:
        """A small body at once, any other in parts, so that whoever takes no more than so much can stop; asked again, the end of the exchange."""
        exchange = self._exchange
        if self._asked:
            await exchange.over()
            return {"type": "http.disconnect"}
        try:
            part = await exchange.part()
        except Cut:
            self._asked = True
            return {"type": "http.disconnect"}
        self._asked = exchange.complete
        return {"type": "http.request", "body": part, "more_body": not exchange.complete}

    async def send(self, message: Message) -> None:
        """Status and headers, then the body in one part or in many."""
        exchange = self._exchange
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message.get("headers", ())
                if name.lower() not in _OURS
            ]
            return
        body, more = bytes(message.get("body", b"")), message.get("more_body", False)
        if not more and not exchange.begun:
            exchange.respond(self._status, self._headers, body)
            return
        exchange.begin(self._status, self._headers)
        await exchange.send(body)
        if not more:
            exchange.finish()
            return
        # Lets the server write each part before the next is made.
        await asyncio.sleep(0)


def _asgi_scope(exchange: Exchange) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": exchange.version,
        "method": exchange.method,
        "scheme": "http",
        "path": unquote(exchange.path),
        "raw_path": exchange.path.encode("latin-1"),
        "query_string": exchange.query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in exchange.headers.items()],
        "client": exchange.peer,
        "server": exchange.local,
        "state": {},
        "extensions": {},
    }
