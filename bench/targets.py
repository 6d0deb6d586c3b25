"""Servers to measure against. ``python -m bench.targets bare|granian|page|sink|echo|plain|mllp|peer PORT``.

``bare`` is the server of the gateway's door with an ASGI application that only reads the body, and ``granian`` that application on granian. ``echo`` sends MLLP blocks back over asyncio streams, on
the gateway's event loop, and ``plain`` on asyncio's own; ``mllp`` is an asyncio protocol that answers every frame with the same acknowledgment; ``peer`` is the
MLLP server of python-hl7, which parses and acknowledges and keeps nothing. ``sink`` takes webhooks: see ``Sink``. ``page`` answers a ready page of JSON from a Litestar handler, on the server and through the bridge that the
gateway uses.
"""

import asyncio
import math
import sys
import time
from collections.abc import Callable
from typing import cast

import hl7.mllp
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar, Response, get

from gateway.clock import SystemClock
from gateway.doors.bridge import Bridge
from gateway.doors.server import HttpServer

_ACK = b"\x0bMSH|^~\\&|GW|SCRM|HIS|SHDYYY|20260111120000||ACK^A08^ACK|1|P|2.5\rMSA|AA|1\r\x1c\r"
_PAGE = (
    b'{"items":['
    + b",".join([b'{"id":"cus_01a2023efc127ba69a1e4f937edeb8ba","name":"x","kind":"person","state":"active"}'] * 8)
    + b'],"next":null}'
)
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


async def bare(scope, receive, send):  # type: ignore[no-untyped-def]
    """Read the body, answer 200."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@get("/page", sync_to_thread=False)
def page() -> Response[bytes]:
    """About what twenty customers come to."""
    return Response(_PAGE, media_type="application/json")


class Acknowledger(asyncio.Protocol):
    """Answers every frame end with the same acknowledgment."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._got = b""

    def data_received(self, data: bytes) -> None:
        """One write per read."""
        frames = (self._got + data if self._got else data).split(b"\x1c\r")
        self._got = frames.pop()
        if frames:
            self._transport.write(_ACK * len(frames))


async def echo(reader, writer):  # type: ignore[no-untyped-def]
    """A bare asyncio MLLP echo as one writes it: read to the end of a block, send it back."""
    try:
        while block := await reader.readuntil(b"\x1c\r"):
            writer.write(block)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def peer(reader, writer):  # type: ignore[no-untyped-def]
    """As the library's documentation shows it: read, acknowledge."""
    while not writer.is_closing():
        try:
            message = await reader.readmessage()
        except asyncio.IncompleteReadError:
            break
        writer.writemessage(message.create_ack())
        await writer.drain()
    writer.close()


class Sink:
    """A webhook receiver as cheap as asyncio allows: answers 204, and hands each body and its instant (``time.perf_counter``) on.

    ``GET /`` answers how many came, ``GET /N`` when that many have come.
    """

    def __init__(self, arrived: Callable[[bytes, float], None] | None = None) -> None:
        self.count = 0
        self._arrived = arrived
        self._asked: list[tuple[int, Callable[[int], None]]] = []
        self._mark = math.inf
        self._server: asyncio.Server | None = None

    async def open(self, port: int) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Inlet(self), "127.0.0.1", port, backlog=4096
        )

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def take(self, body: bytes) -> None:
        """One webhook."""
        self.count += 1
        if self._arrived is not None:
            self._arrived(body, time.perf_counter())
        if self.count >= self._mark:
            self._tell()

    def ask(self, count: int, answer: Callable[[int], None]) -> None:
        """Call ``answer`` with how many came as soon as it is ``count``."""
        self._asked.append((count, answer))
        self._tell()

    def _tell(self) -> None:
        ready = [answer for count, answer in self._asked if self.count >= count]
        self._asked = [one for one in self._asked if self.count < one[0]]
        self._mark = min((count for count, _ in self._asked), default=math.inf)
        for answer in ready:
            answer(self.count)


class _Inlet(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        while self._got and self._one():
            pass

    def _one(self) -> bool:
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._got[:end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].partition(b"\r")[0]) if at >= 0 else 0
        if len(self._got) < end + 4 + size:
            return False
        body, self._got = self._got[end + 4 : end + 4 + size], self._got[end + 4 + size :]
        if head.startswith(b"get "):
            self._sink.ask(int(head[5:].partition(b" ")[0] or 0), self._answer)
        else:
            self._transport.write(_NO_CONTENT)
            self._sink.take(body)
        return True

    def _answer(self, count: int) -> None:
        told = str(count).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))


async def _serve(kind: str, port: int) -> None:
    if kind == "granian":
        server = Server(
            bare, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, log_enabled=False, websockets=False, backlog=1024
        )  # fmt: skip
        await server.serve()
        return
    if kind in ("page", "bare"):
        # As the gateway serves its own.
        inner = bare if kind == "bare" else Litestar([page], openapi_config=None, logging_config=None)
        await HttpServer(Bridge(inner), clock=SystemClock(), host="127.0.0.1", port=port).run()  # type: ignore[arg-type]
        return
    if kind == "sink":
        await Sink().open(port)
    elif kind in ("echo", "plain"):
        await asyncio.start_server(echo, "127.0.0.1", port, backlog=1024)
    elif kind == "peer":
        await hl7.mllp.start_hl7_server(peer, "127.0.0.1", port, encoding="utf-8")
    else:
        await asyncio.get_running_loop().create_server(Acknowledger, "127.0.0.1", port)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run = asyncio.run if sys.argv[1] == "plain" else uvloop.run
    try:
        run(_serve(sys.argv[1], int(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(0)
