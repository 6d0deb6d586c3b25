"""A backlog: what was held back while an endpoint was away goes out at the endpoint's pace once it is there."""

import asyncio
from pathlib import Path
from typing import Any, cast

from gateway.clock import SystemClock
from gateway.destination import Endpoint, Tried
from gateway.destinations.webhook import Poster
from gateway.meters import Meters
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.pipeline.deliver import Deliverer
from gateway.pipeline.route import Router
from gateway.store import Batch, EventRow
from gateway.stores.sqlite import open_store
from gateway.vaults.file import open_vault

MANY = 2500


class Quick:
    """An endpoint that answers at once, and one beside it that never does."""

    async def post(self, end: Endpoint, *_: Any) -> Tried:
        await asyncio.sleep(0 if end.name == "quick" else 3600)
        return Tried(status=204)


def endpoint(name: str) -> Endpoint:
    """A subscriber."""
    return Endpoint(
        name=name, url="https://crm.example", events=("*",), secrets=(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),),
        grants=dict.fromkeys(Sensitivity, "clear"), schedule=(0.0,), concurrency=4,
    )  # fmt: skip


def test_a_long_backlog_of_a_quick_endpoint_does_not_wait_beside_one_that_hangs(tmp_path: Path) -> None:
    """More than the memory's share of one endpoint is due: the rest follows as that goes out, not in steps of seconds."""

    async def run() -> None:
        clock = SystemClock()
        records = open_store(tmp_path / "store.db", clock=clock)
        ends = [endpoint("quick"), endpoint("hung")]
        events = [
            EventRow(
                id=f"evt_{number}", type="order.paid", subject=f"ord_{number}", sequence=1, at=clock.now(), account="a", entry="e",
                unit=None, body=b"{}",
            )
            for number in range(MANY)
        ]  # fmt: skip
        router = Router(ends)
        deliveries = [one for event in events for one in router.deliveries(event, now=clock.now())]
        await records.apply(Batch(events=events, deliveries=deliveries))
        deliverer = Deliverer(
            endpoints=ends, records=records, vault=open_vault(tmp_path / "keys.json"), clock=clock, meters=Meters(),
            poster=cast(Poster, Quick()), claim="clm_1", hold=400,
        )  # fmt: skip
        running = asyncio.create_task(deliverer.run())
        async with asyncio.timeout(20):
            while (await records.counts())["deliveries.done"] < MANY:
                await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait([running])
        await deliverer.drain(0.0)
        await records.close()

    asyncio.run(run())
