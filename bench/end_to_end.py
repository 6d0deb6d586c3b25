"""End to end: a signed order in, one signed delivery out, by the three processes of ``gateway serve`` with SQLite.

Sustained: a closed loop that never lets more than ``_BEHIND`` accepted orders wait for their delivery; the rate is all deliveries over the
time from the first accept to the last delivery, the draining included. Latency: an open loop at half of that rate, from the instant a
request was due to the arrival of its delivery, told by the order's number.
"""

import asyncio
import time
from collections.abc import Sequence

import uvloop

from bench import figure, load, made, report, running, targets
from bench.figure import Figure, Scale

_BEHIND = 2000
_CONNECTIONS = 64
_LATE = 60.0


class Meeting:
    """The load generator and the sink in one process, so that accepted and delivered are told by one clock."""

    def __init__(self, port: int, sink_port: int) -> None:
        self._port = port
        self._sink_port = sink_port
        self._closed: load.Closed | None = None
        self.arrivals: dict[int, float] = {}

    def _arrived(self, body: bytes, at: float) -> None:
        self.arrivals.setdefault(made.number_of(body), at)
        if self._closed is not None:
            self._closed.kick()

    def _behind(self) -> bool:
        assert self._closed is not None
        return self._closed.tally.done - len(self.arrivals) >= _BEHIND

    async def sustained(self, requests: Sequence[bytes]) -> tuple[float, float]:
        """Deliveries a second, and the share of them that was still to come when the last order was accepted."""
        self.arrivals.clear()
        sink = targets.Sink(self._arrived)
        await sink.open(self._sink_port)
        began = time.perf_counter()
        self._closed = load.Closed(requests, hold=self._behind)
        tally = await self._closed.run("127.0.0.1", self._port, _CONNECTIONS)
        assert not tally.failed, f"{tally.failed} of {tally.done} requests failed"
        behind = 1 - len(self.arrivals) / len(requests)
        await self._all(len(requests))
        self._closed = None
        await sink.close()
        return len(requests) / (max(self.arrivals.values()) - began), behind

    async def steady(self, requests: Sequence[bytes], rate: float, first: int) -> list[float]:
        """Seconds from due to delivered, one per order."""
        self.arrivals.clear()
        sink = targets.Sink(self._arrived)
        await sink.open(self._sink_port)
        paced = load.Paced(requests, rate=rate)
        tally = await paced.run("127.0.0.1", self._port, _CONNECTIONS)
        assert not tally.failed, f"{tally.failed} of {tally.done} requests failed"
        await self._all(len(requests))
        await sink.close()
        return [self.arrivals[first + number] - due for number, due in enumerate(paced.due)]

    async def _all(self, count: int) -> None:
        async with asyncio.timeout(_LATE):
            while len(self.arrivals) < count:
                await asyncio.sleep(0.005)


def measure(scale: Scale) -> Sequence[Figure]:
    """The sustained rate, and p99 at half of it."""
    port, sink_port = running.free_port(), running.free_port()
    orders = made.Orders()
    with running.folder() as data:
        text = running.config(data, port=port, sinks=(f"http://127.0.0.1:{sink_port}/hook",))
        with running.gateway(text, data) as house:
            meeting = Meeting(port, sink_port)
            rounds = _Rounds(scale, house, meeting, orders)
            figures = rounds.sustained()
            figures += rounds.steady(figures[0].ours.median / 2)
    return figures


class _Rounds:
    def __init__(self, scale: Scale, house: running.Gateway, meeting: Meeting, orders: made.Orders) -> None:
        self._scale = scale
        self._house = house
        self._meeting = meeting
        self._orders = orders

    def sustained(self) -> list[Figure]:
        # Every person is met once, so that making customers is behind us.
        rate, _ = uvloop.run(self._meeting.sustained(self._orders.requests(max(made.PEOPLE, self._scale.count(8000)))))
        count = int(rate * self._scale.seconds(10.5))
        pairs, behind, costs = [], [], []
        for number in range(self._scale.rounds):
            figure.say(f"end to end: round {number + 1}, {count} orders")
            accepts = self._accept_alone()
            before = {role: self._house.cpu(role) for role in ("door-0", "worker")}
            rate, late = uvloop.run(self._meeting.sustained(self._orders.requests(count)))
            pairs.append((rate, accepts))
            behind.append(late)
            costs.append({role: (self._house.cpu(role) - was) / count * 1e6 for role, was in before.items()})
        door, worker = (figure.Spread(tuple(cost[role] for cost in costs)).median for role in ("door-0", "worker"))
        notes = [
            f"processor per order: door {door:.0f} µs, worker {worker:.0f} µs",
            f"{100 * max(behind):.1f} % of the deliveries at most came after the last accept; never more than {_BEHIND} were behind",
        ]
        says = f"Signed orders accepted, projected and delivered signed, one delivery each; {count / rate:.0f} s a round, closed loop."
        return [
            figure.plain("end to end", says, "/s", [ours for ours, _ in pairs], floor=1000, aim=2500, notes=notes),
            figure.ratio("end to end ÷ accept", says, "/s", pairs, against="accepting alone, with the worker stopped"),
        ]

    def _accept_alone(self) -> float:
        requests = self._orders.requests(self._scale.count(5000))

        async def drained() -> None:
            self._meeting.arrivals.clear()
            sink = targets.Sink(self._meeting._arrived)
            await sink.open(self._meeting._sink_port)
            await self._meeting._all(len(requests))
            await sink.close()

        with self._house.without("worker"):
            rate = load.drive(self._house.port, requests).rate
        uvloop.run(drained())
        return rate

    def steady(self, rate: float) -> list[Figure]:
        count = int(rate * self._scale.seconds(6, least=2))
        p99, p50 = [], []
        for number in range(self._scale.rounds):
            figure.say(f"end to end: round {number + 1}, {rate:.0f} orders a second")
            requests = self._orders.requests(count)
            waits = uvloop.run(self._meeting.steady(requests, rate, self._orders.number - count))
            p99.append(load.percentile(waits, 0.99))
            p50.append(load.percentile(waits, 0.5))
        return [
            figure.plain(
                "end to end p99", f"From an order's being due to its delivery's arrival, open loop at {rate:.0f} orders a second.", "ms",
                p99, floor=200, aim=80, best="low", notes=[f"the median is {figure.Spread(tuple(p50)).median:.1f} ms"],
            )
        ]  # fmt: skip


if __name__ == "__main__":
    report.main(measure)
