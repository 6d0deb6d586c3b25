"""Webhooks as a way of sending: the shared suite over a real socket, and what only HTTP can do."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import msgspec

from gateway import destination, destinations
from gateway.clock import SystemClock
from gateway.destination import Endpoint, Kind
from gateway.destinations.address import Vetter
from tests.contract.destination import Arrived, DestinationContract, FarSide
from tests.servers.process import free_port


class Batch(msgspec.Struct):
    """What several events travel in."""

    type: str
    data: list[msgspec.Raw]


class Event(msgspec.Struct):
    """What every event says of itself."""

    id: str
    type: str
    subject: str


class Subscriber:
    """A webhook receiver: accepts with 204, or as told."""

    def __init__(self) -> None:
        self.url = ""
        self._status = 204
        self._hangs = False
        self._server: asyncio.Server | None = None
        self._port = free_port()
        self._open: set[asyncio.StreamWriter] = set()
        self._arrived: list[Arrived] = []

    async def start(self) -> "Subscriber":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=1 << 21)
        self.url = f"http://127.0.0.1:{self._port}/hooks"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, EOFError):
            while True:
                headers, body = await read_request(reader)
                if self._hangs:
                    await reader.read()
                    break
                if self._status == 204:
                    self._arrived += unpacked(headers, body)
                writer.write(f"HTTP/1.1 {self._status} Told\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()
        self._open.discard(writer)

    async def refuse(self) -> None:
        self._status = 503

    async def leave(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def hang(self) -> None:
        self._hangs = True

    async def recover(self) -> None:
        self._status, self._hangs = 204, False
        if self._server is None or not self._server.is_serving():
            await self.start()

    async def arrived(self) -> Sequence[Arrived]:
        return self._arrived

    async def close(self) -> None:
        await self.leave()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=1.0) if others else None


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """Headers in lower case, and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
    headers = {name.lower(): value for name, _, value in lines}
    return headers, await reader.readexactly(int(headers.get("content-length", "0")))


def unpacked(headers: Mapping[str, str], body: bytes) -> list[Arrived]:
    """As a subscriber does it: a batch is its events."""
    batch = msgspec.json.decode(body, type=Batch) if b'"type":"batch"' in body[:20] else None
    bodies = [bytes(one) for one in batch.data] if batch else [body]
    events = [msgspec.json.decode(one, type=Event) for one in bodies]
    return [
        Arrived(body=one, id=event.id, type=event.type, subject=event.subject, headers=headers)
        for one, event in zip(bodies, events, strict=True)
    ]


class TestWebhook(DestinationContract):
    """One request for each send."""

    kind = Kind.WEBHOOK
    word_refused = "http 503"

    async def far(self) -> FarSide:
        return await Subscriber().start()

    def way(self, end: Endpoint) -> destination.Destination:
        clock = SystemClock()
        return destinations.open_destination(end, clock=clock, vetter=Vetter(clock))
