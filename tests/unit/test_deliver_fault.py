"""A fault of ours in the middle of an attempt."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.clock import SystemClock
from gateway.meters import Meters
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.pipeline.deliver import Deliverer
from gateway.pipeline.post import Poster
from gateway.pipeline.route import Endpoint, Router
from gateway.store import Batch, DeliveryState, EventRow
from gateway.stores.sqlite import open_store
from gateway.vaults.file import open_vault


class Faulty:
    """A poster with a fault in it."""

    async def post(self, *_: Any) -> Any:
        raise RuntimeError("a fault")


@pytest.mark.parametrize("count", [1, 3])
def test_a_fault_of_ours_is_an_attempt_with_an_outcome_and_ends_in_the_schedule(tmp_path: Path, count: int) -> None:
    """It is recorded, tried again as often as any failure, and then dead; the deliveries behind it go on."""

    async def run() -> None:
        clock = SystemClock()
        records = open_store(tmp_path / "store.db", clock=clock)
        end = Endpoint(
            name="crm", url="https://crm.example", events=("*",), secrets=(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),),
            grants=dict.fromkeys(Sensitivity, "clear"), schedule=(0.0, 0.0), concurrency=1,
        )  # fmt: skip
        events = [
            EventRow(
                id=f"evt_{number}",
                type="order.paid",
                subject=f"ord_{number}",
                sequence=1,
                at=clock.now(),
                account="a",
                entry="e",
                unit=None,
                body=b"{}",
            )
            for number in range(count)
        ]
        deliveries = [one for event in events for one in Router([end]).deliveries(event, now=clock.now())]
        await records.apply(Batch(events=events, deliveries=deliveries))
        deliverer = Deliverer(
            endpoints=[end], records=records, vault=open_vault(tmp_path / "keys.json"), clock=clock, meters=Meters(),
            poster=cast(Poster, Faulty()), claim="clm_1",
        )  # fmt: skip
        running = asyncio.create_task(deliverer.run())
        async with asyncio.timeout(10):
            while len(dead := await records.deliveries(state=DeliveryState.DEAD)) < count:
                await asyncio.sleep(0.02)
        assert {(one.tries, one.cause) for one in dead} == {(2, "fault")}
        assert [one.error for one in await records.attempts(dead[0].id)] == ["fault", "fault"]
        running.cancel()
        await asyncio.wait([running])
        await records.close()

    asyncio.run(run())
