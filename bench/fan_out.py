"""Fan-out: one event for fifty endpoints, and for five hundred, per delivery, against one event for one. In process, projected and delivered for real."""

import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import figure, inside, made, report, running
from bench.figure import Figure, Scale

_MANY, _MOST = 50, 500


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds a delivery of each."""
    rounds = []
    with running.folder() as data, running.target("sink") as (port, _):
        houses = {number: _House(data / str(number), port, number) for number in (1, _MANY, _MOST)}
        for number in range(-1, scale.rounds):
            figure.say(f"fan-out: round {number + 1}")
            counts = _counts(scale if number >= 0 else Scale(size=0.1))
            order = houses if number % 2 else reversed(houses)
            rounds.append({many: uvloop.run(houses[many].round(counts[many])) for many in order})
    return [
        figure.ratio(
            f"fan-out to {many}", f"Microseconds per delivery from entry to recorded outcome, each event for {many} endpoints.", "µs",
            [(one[many], one[1]) for one in rounds[1:]], against="the same with one endpoint", floor=1.0, aim=0.7, best="low",
        )
        for many in (_MANY, _MOST)
    ]  # fmt: skip


def _counts(scale: Scale) -> dict[int, int]:
    """Events a round by number of endpoints."""
    return {1: scale.count(2500), _MANY: scale.count(120, least=8), _MOST: scale.count(12, least=2)}


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
        """Every endpoint has been reached once, and the orders are in the journal, when the clock starts."""
        house = inside.open_inside(self._data, self._text, leasing=True)
        run = f"r{self._orders.number}"
        taken = await inside.count_at(self._port)
        async with house.delivering():
            await house.accept(self._orders.bodies(1), run=f"{run}w")
            await house.project()
            await inside.until_taken(self._port, taken + self._endpoints)
            await house.accept(self._orders.bodies(count), run=run)
            began = time.perf_counter()
            await house.project()
            await inside.until_taken(self._port, taken + (1 + count) * self._endpoints)
        took = time.perf_counter() - began
        await house.close()
        return took / (count * self._endpoints) * 1e6


if __name__ == "__main__":
    report.main(measure)
