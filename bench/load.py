"""A load generator that costs little: prepared requests over keep-alive connections, one asyncio protocol each."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import msgspec
import uvloop


class Tally(msgspec.Struct):
    """``took`` in seconds for ``done`` answers, ``failed`` of which were no 2xx; ``waits`` are seconds, one per answer."""

    done: int = 0
    failed: int = 0
    took: float = 0.0
    waits: list[float] = []

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.done / self.took if self.took else 0.0

    def percentile(self, share: float) -> float:
        """Seconds that ``share`` of the answers stayed under."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class _Caller(asyncio.Protocol):
    """Sends the next request when the last one is answered."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._tally = tally
        self._done = done
        self._got = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._tally.waits.append(time.perf_counter() - self._sent)
        self._tally.done += 1
        if not head.startswith(b"HTTP/1.1 2"):
            self._tally.failed += 1
        self._got = b""
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 : lower.find(b"\r", at) if b"\r" in lower[at:] else None]) if at >= 0 else 0


async def _drive(host: str, port: int, requests: Sequence[bytes], connections: int) -> Tally:
    loop = asyncio.get_running_loop()
    tally = Tally()
    feed = iter(requests)
    began = time.perf_counter()
    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: _Caller(feed, tally, end), host, port)
    await asyncio.gather(*ends)
    tally.took = time.perf_counter() - began
    return tally


def drive(host: str, port: int, requests: Sequence[bytes], *, connections: int = 64) -> Tally:
    """Send every request once over ``connections``, each waiting for its answer before the next."""
    return uvloop.run(_drive(host, port, requests, connections))


async def _paced(host: str, port: int, requests: Sequence[bytes], connections: int, rate: float) -> Tally:
    """Open loop: requests are due at a steady rate whatever the answers do."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    feed = iter(requests)
    gate: asyncio.Queue[bytes] = asyncio.Queue()
    began = time.perf_counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while (request := await gate.get()) != b"":
            sent = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            tally.waits.append(time.perf_counter() - sent)
            tally.done += 1
            tally.failed += not head.startswith(b"HTTP/1.1 2")
        writer.close()

    tasks = [loop.create_task(one()) for _ in range(connections)]
    for number, request in enumerate(feed):
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        gate.put_nowait(request)
    for _ in tasks:
        gate.put_nowait(b"")
    await asyncio.gather(*tasks)
    tally.took = time.perf_counter() - began
    return tally


def drive_paced(host: str, port: int, requests: Sequence[bytes], *, connections: int, rate: float) -> Tally:
    """Send every request at ``rate`` a second."""
    return uvloop.run(_paced(host, port, requests, connections, rate))
