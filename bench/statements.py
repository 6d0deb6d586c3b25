"""SQL statements per event at load: journal and store together, BEGIN and COMMIT included, counted by SQLite itself.

In process: 64 senders, the projector following the journal and the deliverer at work, one delivery an order. What the processes do once a
second whatever comes in (measuring the backlog, health) is not in it; the deliverer's sweeps are.
"""

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import uvloop

from bench import figure, inside, made, report, running
from bench.figure import Figure, Scale


def measure(scale: Scale) -> Sequence[Figure]:
    """Statements an order."""
    count = scale.count(6000)
    rounds, kinds = [], Counter[str]()
    with running.target("sink") as (port, _):
        for number in range(scale.rounds):
            figure.say(f"statements: round {number + 1}")
            with running.folder() as data, _counted() as counts:
                uvloop.run(_load(data, port, count, counts))
            rounds.append(sum(counts.values()) / count)
            kinds += counts
    shown = ", ".join(f"{name} {amount / count / scale.rounds:.3f}" for name, amount in kinds.most_common(8))
    return [
        figure.plain(
            "SQL per event", "Statements of journal and store per order at load, its delivery and their transactions included.", "",
            rounds, floor=1.0, aim=0.3, best="low", notes=[f"most of it: {shown}"],
        )
    ]  # fmt: skip


@contextlib.contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Every statement of every connection that is opened inside, by what it begins with."""
    counts: Counter[str] = Counter()
    connect = sqlite3.connect

    def traced(*args: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **named)
        connection.set_trace_callback(lambda sql: counts.update([_kind(sql)]))
        return connection

    with mock.patch.object(sqlite3, "connect", traced):
        yield counts


def _kind(sql: str) -> str:
    words = sql.replace("(", " ").split(None, 60)
    verb = words[0].upper()
    marks = {"FROM", "INTO", "UPDATE"} if verb != "WITH" else {"FROM", "INTO", "UPDATE", "JOIN"}
    table = next((words[at + 1] for at, word in enumerate(words[:-1]) if word in marks and words[at + 1].islower()), "")
    return f"{verb} {table}".strip()


async def _load(data: Path, port: int, count: int, counts: Counter[str]) -> None:
    house = inside.open_inside(data, running.config(data, sinks=(f"http://127.0.0.1:{port}/hook",)), leasing=True)
    orders = made.Orders()
    projecting = asyncio.get_running_loop().create_task(house.projector.run(house.wake))
    async with house.delivering():
        taken = await inside.count_at(port)
        await house.accept(orders.bodies(500), run="warm")
        await inside.until_taken(port, taken + 500)
        counts.clear()
        await house.accept(orders.bodies(count), run="load")
        await inside.until_taken(port, taken + 500 + count)
    await house.projector.stop()
    await asyncio.wait([projecting])
    await house.close()


if __name__ == "__main__":
    report.main(measure)
