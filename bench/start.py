"""Start: from exec of ``gateway serve`` to the first signed request accepted; on an empty folder, and on one that was used before."""

import asyncio
import time
from collections.abc import Sequence

from bench import figure, load, made, report, running
from bench.figure import Figure, Scale

_PATIENCE = 30.0


def measure(scale: Scale) -> Sequence[Figure]:
    """Seconds of a first start (keys and tables are made) and of a restart."""
    first, again = [], []
    orders = made.Orders()
    for number in range(max(scale.rounds, 3)):
        figure.say(f"start: round {number + 1}")
        with running.folder() as data:
            first.append(_start(data, orders))
            again.append(_start(data, orders))
    return [
        figure.plain("start", "From exec of a restart to the first accepted request.", "s", again, floor=2, aim=1, best="low"),
        figure.plain(
            "start, empty folder", "The same with keys and tables still to be made.", "s", first, floor=2, aim=1, best="low"
        ),
    ]  # fmt: skip


def _start(data, orders: made.Orders) -> float:  # type: ignore[no-untyped-def]
    port = running.free_port()
    text = running.config(data, port=port)
    request = orders.requests(1)[0]
    began = time.perf_counter()
    house = running.start(data, text)
    try:
        asyncio.run(_until_accepted(port, request))
        return time.perf_counter() - began
    finally:
        running.stop(house)


async def _until_accepted(port: int, request: bytes) -> None:
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.005)
                continue
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert load.http(answer + await reader.read(1024)), answer
            writer.close()
            return


if __name__ == "__main__":
    report.main(measure)
