"""Deliver: deliveries that are due in a store signed, posted and recorded, against the same HTTP client posting the same bodies.

In process: the real deliverer claims, renders, signs, posts by its real poster and records attempts and outcomes; the bare loop has its
bodies and headers, as long as ours, ready. Both make a client first, keep 32 posts under way, and send to the same sink process.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from pyreqwest.client import Client, ClientBuilder

from bench import figure, inside, made, report, running
from bench.figure import Figure, Scale
from gateway.pipeline.render import Renderer
from gateway.store import EventRow

_AT_ONCE = 32


def measure(scale: Scale) -> Sequence[Figure]:
    """Deliveries a second and the ratio."""
    with running.folder() as data, running.target("sink") as (port, _):
        pairs = uvloop.run(_rounds(scale, data, port))
    return [
        figure.ratio(
            "deliver", f"Due deliveries claimed, rendered, signed, posted and recorded; {_AT_ONCE} at once.", "/s", pairs,
            against="a bare loop of the same HTTP client posting the same bodies", floor=0.40, aim=0.60,
        )
    ]  # fmt: skip


async def _rounds(scale: Scale, data: Path, port: int) -> list[tuple[float, float]]:
    count = scale.count(8000)
    house = inside.open_inside(data, running.config(data, sinks=(f"http://127.0.0.1:{port}/hook",)))
    orders, pairs = made.Orders(), []
    try:
        for number in range(-1, scale.rounds):
            some = count if number >= 0 else 300
            await house.accept(orders.bodies(some), run=f"r{number}")
            await house.project()
            bodies = await _bodies(house, some)
            figure.say(f"deliver: round {number + 1}")
            theirs = await _bare(port, bodies) if number % 2 else 0.0
            ours = await _ours(house, port, some)
            theirs = theirs or await _bare(port, bodies)
            pairs.append((ours, theirs))
    finally:
        await house.close()
    return pairs[1:]


async def _bodies(house: inside.Inside, count: int) -> list[bytes]:
    """What those deliveries will carry."""
    events: list[EventRow] = []
    after = 0
    while page := await house.ground.records.events(after=after, limit=1000):
        events += page
        after = page[-1].number
    renderer, end = Renderer(house.ground.vault), house.endpoints[0]
    return [renderer.render(event, end) for event in events if event.type.startswith("order.")][-count:]


async def _ours(house: inside.Inside, port: int, count: int) -> float:
    taken = await inside.count_at(port)
    began = time.perf_counter()
    async with house.delivering():
        await inside.until_taken(port, taken + count)
    # The block ends when the last outcome is recorded.
    took = time.perf_counter() - began
    done = (await house.ground.records.counts())["deliveries.done"]
    assert await inside.count_at(port) == taken + count and done >= count
    return count / took


async def _bare(port: int, bodies: Sequence[bytes]) -> float:
    feed = iter(bodies)
    headers = {
        "content-type": "application/json",
        "webhook-id": "evt_" + "0" * 32,
        "webhook-timestamp": "1760000000",
        "webhook-signature": "v1," + "a" * 44,
    }
    url = f"http://127.0.0.1:{port}/hook"
    began = time.perf_counter()
    builder = ClientBuilder().follow_redirects(False).no_proxy().user_agent("scrm-gateway")
    client = builder.pool_max_idle_per_host(_AT_ONCE).build()
    await asyncio.gather(*(_post(client, url, headers, feed) for _ in range(_AT_ONCE)))
    took = time.perf_counter() - began
    await client.close()
    return len(bodies) / took


async def _post(client: Client, url: str, headers: dict[str, str], feed) -> None:  # type: ignore[no-untyped-def]
    for body in feed:
        response = await client.post(url).headers(headers).body_bytes(body).build().send()
        assert response.status == 204


if __name__ == "__main__":
    report.main(measure)
