"""Fan-out: one event for fifty endpoints, per delivery, against one event for one. In process, projected and delivered for real."""

import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import figure, inside, made, report, running
from bench.figure import Figure, Scale

_MANY = 50


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds a delivery of both."""
    pairs = []
    with running.folder() as data, running.target("sink") as (port, _):
        ones, many = _House(data / "one", port, 1), _House(data / "many", port, _MANY)
        for number in range(-1, scale.rounds):
            figure.say(f"fan-out: round {number + 1}")
            small = number < 0
            single = uvloop.run(ones.round(256 if small else scale.count(2500)))
            fan = uvloop.run(many.round(8 if small else scale.count(120, least=16)))
            pairs.append((fan, single))
    return [
        figure.ratio(
            "fan-out to 50", f"Microseconds per delivery from entry to recorded outcome, each event for {_MANY} endpoints.", "µs", pairs[1:],
            against="the same with one endpoint", floor=1.0, aim=0.7, best="low",
        )
    ]  # fmt: skip


class _House:
    def __init__(self, data: Path, port: int, endpoints: int) -> None:
        data.mkdir()
        self._data = data
        self._port = port
        self._endpoints = endpoints
        self._orders = made.Orders()
        self._text = running.config(
            data, sinks=tuple(f"http://127.0.0.1:{port}/{number}" for number in range(endpoints))
        )

    async def round(self, count: int) -> float:
        """Orders are in the journal when the clock starts."""
        house = inside.open_inside(self._data, self._text, leasing=True)
        bodies = self._orders.bodies(count)
        await house.accept(bodies, run=f"r{self._orders.number}")
        taken = await inside.count_at(self._port)
        expected = count * self._endpoints
        began = time.perf_counter()
        async with house.delivering():
            await house.project()
            await inside.until_taken(self._port, taken + expected)
        took = time.perf_counter() - began
        await house.close()
        return took / expected * 1e6


if __name__ == "__main__":
    report.main(measure)
