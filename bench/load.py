"""A load generator that costs little: prepared requests over kept connections, one asyncio protocol each, one request under way on each.

Closed loop (``drive``): the next request goes out when the last is answered. Open loop (``Paced``): requests are due at a steady rate
whatever the answers do, and a request's wait counts from when it was due, so that a stall is not hidden by the requests it kept back.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import msgspec
import uvloop

Judge = Callable[[bytes], bool | None]


class Tally(msgspec.Struct):
    """``took`` in seconds for ``done`` answers, ``failed`` of which were refusals or breaks; ``waits`` are seconds, one per answer."""

    done: int = 0
    failed: int = 0
    took: float = 0.0
    waits: list[float] = []

    @property
    def rate(self) -> float:
        """Good answers per second. A run with a failure has none: RuntimeError."""
        if self.failed:
            raise RuntimeError(f"{self.failed} of {self.done} requests failed")
        return self.done / self.took if self.took else 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds that ``share`` of the answers stayed under."""
        return percentile(self.waits, share)


def percentile(waits: Sequence[float], share: float) -> float:
    """Milliseconds that ``share`` of ``waits`` (seconds) stayed under."""
    ordered = sorted(waits)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def http(answer: bytes) -> bool | None:
    """Whether a whole answer is a 2xx; None while it is not whole."""
    end = answer.find(b"\r\n\r\n")
    if end < 0 or len(answer) - end - 4 < _length(answer[:end]):
        return None
    return answer.startswith(b"HTTP/1.1 2")


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].partition(b"\r")[0]) if at >= 0 else 0


def mllp(answer: bytes) -> bool | None:
    """Whether a whole acknowledgment accepts; None while it is not whole."""
    if not answer.endswith(b"\x1c\r"):
        return None
    return b"\rMSA|AA|" in answer or b"\rMSA|CA|" in answer


def block(answer: bytes) -> bool | None:
    """Whether any whole MLLP block came back; None while it is not whole."""
    return True if answer.endswith(b"\x1c\r") else None


class Caller(asyncio.Protocol):
    """One connection. ``free`` is called when it may be given a request; it closes itself never."""

    def __init__(self, tally: Tally, judge: Judge, free: "Callable[[Caller], None]") -> None:
        self._tally = tally
        self._judge = judge
        self._free = free
        self._got = b""
        self._since = 0.0
        self._flying = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, since: float) -> None:
        """The wait counts from ``since``."""
        assert self._transport is not None
        self._since, self._flying = since, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask for more to do."""
        got = self._got = self._got + data if self._got else data
        good = self._judge(got)
        if good is None:
            return
        tally = self._tally
        tally.waits.append(time.perf_counter() - self._since)
        tally.done += 1
        tally.failed += not good
        self._got, self._flying = b"", False
        self._free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """A break with a request under way is a failure, and ends the wait for it."""
        if self._flying:
            self._tally.failed += 1
            self._flying = False
            self._free(self)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Closed:
    """A closed loop over ``requests``. ``hold`` may keep it back; ``kick`` then lets it look again."""

    def __init__(
        self, requests: Iterable[bytes], *, judge: Judge = http, hold: Callable[[], bool] | None = None
    ) -> None:
        self.tally = Tally()
        self._feed: Iterator[bytes] = iter(requests)
        self._judge = judge
        self._hold = hold
        self._parked: list[Caller] = []
        self._callers: list[Caller] = []
        self._left = 0
        self._over: asyncio.Future[None] | None = None

    async def run(self, host: str, port: int, connections: int) -> Tally:
        """Send everything; the tally's time begins when all connections stand."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._left = connections
        for _ in range(connections):
            _, caller = await loop.create_connection(lambda: Caller(self.tally, self._judge, self._next), host, port)
            self._callers.append(caller)
        began = time.perf_counter()
        for caller in self._callers:
            self._next(caller)
        await self._over
        self.tally.took = time.perf_counter() - began
        for caller in self._callers:
            caller.close()
        await asyncio.sleep(0)
        return self.tally

    def kick(self) -> None:
        """There may be room again."""
        while self._parked and not (self._hold is not None and self._hold()):
            self._next(self._parked.pop())

    def _next(self, caller: Caller) -> None:
        if self._hold is not None and self._hold():
            self._parked.append(caller)
            return
        request = next(self._feed, None)
        if request is not None and not self.tally.failed:
            caller.send(request, time.perf_counter())
            return
        self._left -= 1
        if self._left == 0 and self._over is not None and not self._over.done():
            self._over.set_result(None)


class Paced:
    """An open loop. ``due`` gets each request's number and the instant it was due (``time.perf_counter``)."""

    def __init__(self, requests: Sequence[bytes], *, rate: float, judge: Judge = http) -> None:
        self.tally = Tally()
        self.due: list[float] = []
        self._requests = requests
        self._rate = rate
        self._judge = judge
        self._idle: list[Caller] = []
        self._waiting: deque[tuple[bytes, float]] = deque()

    async def run(self, host: str, port: int, connections: int) -> Tally:
        """Send everything at the rate."""
        loop = asyncio.get_running_loop()
        callers = []
        for _ in range(connections):
            _, caller = await loop.create_connection(lambda: Caller(self.tally, self._judge, self._freed), host, port)
            callers.append(caller)
        self._idle = list(callers)
        began = time.perf_counter()
        for number, request in enumerate(self._requests):
            due = began + number / self._rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            self.due.append(due)
            if self._idle:
                self._idle.pop().send(request, due)
            else:
                self._waiting.append((request, due))
        while self.tally.done < len(self._requests) and not self.tally.failed:
            await asyncio.sleep(0.01)
        self.tally.took = time.perf_counter() - began
        for caller in callers:
            caller.close()
        await asyncio.sleep(0)
        return self.tally

    def _freed(self, caller: Caller) -> None:
        if self._waiting:
            request, due = self._waiting.popleft()
            caller.send(request, due)
        else:
            self._idle.append(caller)


def drive(port: int, requests: Sequence[bytes], *, connections: int = 64, judge: Judge = http) -> Tally:
    """Send every request once in a closed loop over ``connections``, in an event loop of its own."""
    return uvloop.run(Closed(requests, judge=judge).run("127.0.0.1", port, connections))
