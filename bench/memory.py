"""Memory: what supervisor, door and worker hold together, idle and while orders are accepted, projected and delivered.

Judged by PSS, which shares out the pages that forked processes have in common; RSS counts those once per process and is told beside it.
"""

import asyncio
import time
from collections.abc import Sequence

import uvloop

from bench import end_to_end, figure, load, made, report, running
from bench.figure import Figure, Scale

_QUIET = 2.0


def measure(scale: Scale) -> Sequence[Figure]:
    """MiB idle and at load; a round is a gateway started anew."""
    idle, busy = [], []
    for number in range(scale.rounds):
        figure.say(f"memory: round {number + 1}")
        one, other = _round(scale.seconds(8, least=3))
        idle.append(one)
        busy.append(other)
    return [
        _figure("memory idle", "All processes of the gateway, two seconds after the first request.", idle, 200, 120),
        _figure("memory at load", "The same at its highest while orders run end to end.", busy, 400, 250),
    ]


def _round(seconds: float) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    port, sink_port = running.free_port(), running.free_port()
    orders = made.Orders()
    with running.folder() as data:
        text = running.config(data, port=port, sinks=(f"http://127.0.0.1:{sink_port}/hook",))
        with running.gateway(text, data) as house:
            assert load.drive(port, orders.requests(1), connections=1).rate
            time.sleep(_QUIET)
            idle = _all(house)
            meeting = end_to_end.Meeting(port, sink_port)
            return idle, uvloop.run(_highest(house, meeting, orders, seconds))


async def _highest(
    house: running.Gateway, meeting: end_to_end.Meeting, orders: made.Orders, seconds: float
) -> dict[str, tuple[float, float]]:
    samples = []
    until = time.perf_counter() + seconds

    async def watch() -> None:
        while True:
            samples.append(_all(house))
            await asyncio.sleep(0.5)

    watching = asyncio.get_running_loop().create_task(watch())
    while time.perf_counter() < until:
        await meeting.sustained(orders.requests(3000))
    watching.cancel()
    return max(samples, key=lambda sample: sum(pss for pss, _ in sample.values()))


def _all(house: running.Gateway) -> dict[str, tuple[float, float]]:
    return {role: running.resident(pid) for role, pid in house.pids().items()}


def _figure(name: str, says: str, rounds: Sequence[dict[str, tuple[float, float]]], floor: float, aim: float) -> Figure:
    sums = [sum(pss for pss, _ in sample.values()) for sample in rounds]
    middle = rounds[sums.index(sorted(sums)[len(sums) // 2])]
    shown = ", ".join(f"{role} {pss:.0f} / {rss:.0f}" for role, (pss, rss) in middle.items())
    resident = sum(rss for _, rss in middle.values())
    return figure.plain(
        name, says, "MiB", sums, floor=floor, aim=aim, best="low",
        notes=[f"PSS / RSS of a middling round: {shown}; RSS added up {resident:.0f}"],
    )  # fmt: skip


if __name__ == "__main__":
    report.main(measure)
