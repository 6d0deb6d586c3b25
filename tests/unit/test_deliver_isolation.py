"""A slow or dead neighbour is its own problem."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.destination import Endpoint, Message, Tried
from gateway.store import DeliveryState
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap

HUNG = 6


async def some_hang(end: Endpoint, _messages: Sequence[Message]) -> Tried:
    """Endpoints called ``hung…`` never answer."""
    await asyncio.sleep(3600 if end.name.startswith("hung") else 0)
    return OK


def test_endpoints_that_hang_together_do_not_fill_the_memory_of_the_others(tmp_path: Path) -> None:
    """Each of six that hang has more due than the whole memory: what comes then for their neighbour goes out in a moment."""

    async def run() -> None:
        hung = [endpoint(f"hung{number}", concurrency=2, timeout=30.0) for number in range(HUNG)]
        rig = Rig(tmp_path, hung, Far(some_hang), hold=240)
        await rig.publish(events(range(400), rig.clock))
        async with rig.running():
            await rig.until(lambda: len(rig.far.sent) == 2 * HUNG)
            rig.replace(*hung, endpoint("well", events=("order.*",)))
            waits = []
            for number in range(1000, 1020):
                began = rig.clock.monotonic()
                await rig.publish(events([number], rig.clock))
                await rig.until(lambda number=number: f"evt_{number}" in rig.far.ids("well"))
                waits.append(rig.clock.monotonic() - began)
            # The first claim may have to pass the backlog of those that hang; it does not wait for any of them.
            assert waits[0] < 2.0, waits
            assert max(waits[1:]) < 0.1, waits
            await rig.until_count(DeliveryState.DONE, 20)

    leap(run())


def test_a_dead_endpoints_backlog_is_not_claimed_over_and_over(tmp_path: Path) -> None:
    """What cannot be tried is handed back for seconds: the store is not asked for it again meanwhile."""

    async def run() -> None:
        ends = [endpoint("hung", concurrency=2, timeout=30.0), endpoint("well", events=("customer.*",))]
        rig = Rig(tmp_path, ends, Far(some_hang), hold=240)
        await rig.publish(events(range(2000), rig.clock))
        claims = [0]
        real = rig.records.claim

        async def counted(**given: object) -> object:
            found = await real(**given)  # type: ignore[arg-type]
            claims[0] += len(found)
            return found

        rig.records.claim = counted  # type: ignore[method-assign,assignment]
        async with rig.running():
            await asyncio.sleep(4.0)
        # Each once or twice.
        assert 2000 <= claims[0] < 4000

    leap(run())
