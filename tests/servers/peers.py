"""The door's server with an application of a test, and peers who talk to it in raw bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from gateway.clock import TurnedClock
from gateway.doors.exchange import Cut, Exchange
from gateway.doors.http1 import App
from gateway.doors.server import MOST, HttpServer

PATIENCE = 60.0
CLOSE = b"GET /end HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
"""A last request."""


def get(path: str) -> bytes:
    """A request without a body."""
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    """A request's head with more headers, and what comes behind it."""
    return "\r\n".join((f"POST {path} HTTP/1.1", "host: x", *lines, "", "")).encode() + body


class Answer(msgspec.Struct, frozen=True):
    """What a peer heard. ``whole`` is False when it ended before its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True


class Echo:
    """Reads each request whole and says it back; remembers them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.cut = 0

    async def __call__(self, exchange: Exchange) -> None:
        try:
            body = await whole(exchange)
        except Cut:
            self.cut += 1
            raise
        self.seen.append((exchange.method, exchange.path, body))
        self.headers.append(dict(exchange.headers))
        exchange.respond(200, [("x-path", exchange.path)], body)


async def whole(exchange: Exchange) -> bytes:
    """The body, taken part by part."""
    parts = []
    while part := await exchange.part():
        parts.append(part)
    return b"".join(parts)


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        """Send it, and let it be read."""
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)

    async def answer(self, *, bodyless: bool = False) -> Answer:
        """The next answer. ``bodyless``: whatever its head says of a body."""
        start = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in start[1:] if line)
        status = int(start[0].split(" ")[1])
        if bodyless or status in {100, 204, 304}:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body, complete = await self._chunks()
        elif "content-length" in headers:
            body, complete = await self.reader.readexactly(int(headers["content-length"])), True
        else:
            body, complete = await self.reader.read(), True
        return Answer(status, headers, body, complete)

    async def _chunks(self) -> tuple[bytes, bool]:
        parts = []
        while line := await self.reader.readline():
            size = int(line, 16)
            part = await self.reader.readexactly(size + 2)
            if size == 0:
                return b"".join(parts), True
            parts.append(part[:-2])
        return b"".join(parts), False

    async def rest(self) -> list[Answer]:
        """All answers until the connection ends."""
        heard = []
        while True:
            try:
                heard.append(await self.answer())
            except asyncio.IncompleteReadError as end:
                assert end.partial == b""
                return heard


class Place:
    """A running server, its clock, and its peers."""

    def __init__(self, server: HttpServer, clock: TurnedClock, port: int) -> None:
        self.server = server
        self.clock = clock
        self.port = port
        self._peers: list[Peer] = []

    async def peer(self, data: bytes = b"", *, most: int = 2**22) -> Peer:
        """A new connection, which begins with ``data`` and holds no more than about ``most`` bytes unread."""
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port, limit=most))
        self._peers.append(peer)
        await peer.say(data)
        return peer

    async def ask(self, data: bytes) -> list[Answer]:
        """What is answered to it until the connection ends."""
        return await (await self.peer(data)).rest()

    async def turn(self, seconds: float) -> None:
        """Let time pass, and the server see it, as it does each real second by itself."""
        self.clock.turn(seconds)
        self.server.now = int(self.clock.monotonic())
        for one in tuple(self.server.connections):
            one.look(self.server.now)
        await asyncio.sleep(0.02)

    def leave(self) -> None:
        """All peers go."""
        for peer in self._peers:
            peer.writer.transport.abort()


@asynccontextmanager
async def serving(app: App, *, most: int = MOST) -> AsyncIterator[Place]:
    """A server of ``app`` on a port of its own."""
    clock = TurnedClock()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = HttpServer(app, clock=clock, host="", port=0, sockets=[listening], most=most)
    place = Place(server, clock, port)
    run = asyncio.create_task(server.run())
    try:
        yield place
    finally:
        place.leave()
        server.stop()
        await run


def told(app: App, story: Callable[[Place], Awaitable[None]], *, most: int = MOST) -> None:
    """Run ``story`` against a server of ``app``."""
    asyncio.run(tale(app, story, most=most))


async def tale(app: App, story: Callable[[Place], Awaitable[None]], *, most: int = MOST) -> None:
    """As ``told``, in a loop that runs."""
    async with asyncio.timeout(PATIENCE), serving(app, most=most) as place:
        await story(place)
