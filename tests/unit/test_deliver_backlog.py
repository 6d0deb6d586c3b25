"""A backlog: what was held back while an endpoint was away goes out at the endpoint's pace once it is there."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.destination import Endpoint, Message, Tried
from gateway.store import DeliveryState
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap

MANY = 2500


async def quick_only(end: Endpoint, _messages: Sequence[Message]) -> Tried:
    """An endpoint that answers at once, and one beside it that never does."""
    await asyncio.sleep(0 if end.name == "quick" else 3600)
    return OK


def test_a_long_backlog_of_a_quick_endpoint_does_not_wait_beside_one_that_hangs(tmp_path: Path) -> None:
    """More than the memory's share of one endpoint is due: the rest follows as that goes out, not in steps of seconds."""

    async def run() -> None:
        ends = [endpoint("quick", concurrency=4), endpoint("hung", concurrency=4)]
        rig = Rig(tmp_path, ends, Far(quick_only), hold=400)
        await rig.publish(events(range(MANY), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, MANY, seconds=20.0)

    leap(run())
