"""How many requests of the API one process works on at once, so that a push at the same door never stands behind all of them."""

import asyncio
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api import callers

WAITS = "waits"
"""A handler's ``opt``: it mostly waits, for an event or for somebody else's server, and takes no turn."""


class Turns(callers.Layer):
    """``most`` requests have a turn; the others wait for one in the order in which they came.

    A turn is for working: whoever waits for the rest of a body has none meanwhile, and it ends when the answer begins.
    """

    def __init__(self, most: int = 8) -> None:
        self._room = asyncio.Semaphore(most)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request."""
        handler: Any = scope["route_handler"]
        if handler.opt.get(WAITS):
            await next_app(scope, receive, send)
            return
        turn = _Turn(self._room, receive, send)
        await self._room.acquire()
        try:
            await next_app(scope, turn.receive, turn.send)
        finally:
            turn.end()


class _Turn:
    """One request's."""

    def __init__(self, room: asyncio.Semaphore, receive: Receive, send: Send) -> None:
        self._room = room
        self._receive = receive
        self._send = send
        self._mine = True

    async def receive(self) -> Any:
        """The next part of the body."""
        if not self._mine:
            return await self._receive()
        self.end()
        message = await self._receive()
        await self._room.acquire()
        self._mine = True
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        self.end()
        await self._send(message)

    def end(self) -> None:
        """Somebody else's turn; only once."""
        if self._mine:
            self._mine = False
            self._room.release()
