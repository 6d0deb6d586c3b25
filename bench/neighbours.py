"""Neighbours: fifty endpoints of which one accepts connections and never answers, against the same without it. ``gateway serve``, an open loop.

What is told are the waits of the others: from the instant an order was due to be sent to the arrival of each of its forty-nine deliveries.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvloop

from bench import figure, load, made, report, running, targets
from bench.figure import Figure, Scale

_LIVE = 49
_RATE = 12.0
_LATE = 30.0


def measure(scale: Scale) -> Sequence[Figure]:
    """Milliseconds of the others' p99, and its ratio to that without the dead one."""
    with running.folder() as data:
        quiet, loud = _Side(hangs=False), _Side(hangs=True)
        with (
            running.gateway(quiet.config(data / "quiet"), data / "quiet"),
            running.gateway(loud.config(data / "loud"), data / "loud"),
        ):
            pairs = uvloop.run(_rounds(scale, quiet, loud))
    return [
        figure.ratio(
            "one dead of fifty", f"p99 of the {_LIVE} others' waits while one endpoint hangs, {_RATE * _LIVE:.0f} deliveries a second.", "ms",
            pairs, against="the same without the one that hangs", floor=1.5, aim=1.1, best="low",
        )
    ]  # fmt: skip


async def _rounds(scale: Scale, quiet: "_Side", loud: "_Side") -> list[tuple[float, float]]:
    # Subscribers stay up from round to round: a connection that ends between two would cost a delivery its first try.
    pairs = []
    async with quiet.subscribers(), loud.subscribers():
        for number in range(-1, scale.rounds):
            figure.say(f"neighbours: round {number + 1}")
            # The waits of one order's deliveries go together: the p99 of few orders would be that of the worst of them.
            took = scale.seconds(18.0) if number >= 0 else 1.0
            p99 = {side: await side.round(took) for side in ((quiet, loud) if number % 2 else (loud, quiet))}
            pairs.append((p99[loud], p99[quiet]))
    return pairs[1:]


class _Side:
    """One gateway with its own subscribers."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self._port, self._sink, self._hole = (running.free_port() for _ in range(3))
        self._orders = made.Orders()
        self._arrivals: list[tuple[int, float]] = []

    def config(self, data: Path) -> str:
        """Forty-nine that answer, and the one that does not."""
        live = tuple(f"http://127.0.0.1:{self._sink}/{number}" for number in range(_LIVE))
        dead = (f"http://127.0.0.1:{self._hole}/",) if self._hangs else ()
        return running.config(data, port=self._port, sinks=live + dead)

    @contextlib.asynccontextmanager
    async def subscribers(self) -> AsyncIterator[None]:
        """Listening inside."""
        sink, hole = targets.Sink(self._arrived), _Hole()
        await sink.open(self._sink)
        await hole.open(self._hole)
        yield
        await hole.close()
        await sink.close()

    def _arrived(self, body: bytes, at: float) -> None:
        self._arrivals.append((made.number_of(body), at))

    async def round(self, seconds: float) -> float:
        """p99 in milliseconds."""
        first, requests = self._orders.number, self._orders.requests(int(seconds * _RATE))
        self._arrivals.clear()
        paced = load.Paced(requests, rate=_RATE)
        tally = await paced.run("127.0.0.1", self._port, 4)
        assert not tally.failed, f"{tally.failed} of {tally.done} requests failed"
        expected = len(requests) * _LIVE
        until = time.perf_counter() + _LATE
        while len(self._arrivals) < expected and time.perf_counter() < until:
            await asyncio.sleep(0.01)
        assert len(self._arrivals) == expected, f"{len(self._arrivals)} of {expected} deliveries came"
        return load.percentile([at - paced.due[number - first] for number, at in self._arrivals], 0.99)


class _Hole:
    """Takes connections and whatever is sent, and says nothing until it is closed."""

    def __init__(self) -> None:
        self._held: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self, port: int) -> None:
        self._server = await asyncio.start_server(self._hold, "127.0.0.1", port, backlog=1024)

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held.add(writer)
        while await reader.read(65536):
            pass
        self._held.discard(writer)
        writer.close()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._held):
            writer.transport.abort()
        await asyncio.sleep(0)


if __name__ == "__main__":
    report.main(measure)
