"""A fault of ours in the middle of an attempt, and an attempt that lasts."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.clock import SystemClock
from gateway.destination import Endpoint, Tried
from gateway.destinations.webhook import Poster
from gateway.meters import Meters
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.pipeline.deliver import Deliverer
from gateway.pipeline.route import Router
from gateway.store import Batch, DeliveryState, EventRow
from gateway.stores.sqlite import open_store
from gateway.vaults.file import open_vault


class Faulty:
    """A poster with a fault in it."""

    async def post(self, *_: Any) -> Any:
        raise RuntimeError("a fault")


class Slow:
    """A poster of a slow endpoint. ``posted`` are the ids, in order."""

    def __init__(self) -> None:
        self.posted: list[str] = []

    async def post(self, _end: Endpoint, _body: bytes, headers: dict[str, str]) -> Tried:
        self.posted.append(headers["webhook-id"])
        await asyncio.sleep(1.5)
        return Tried(status=204)


def endpoint(**more: Any) -> Endpoint:
    """A subscriber."""
    secrets = (Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),)
    grants = dict.fromkeys(Sensitivity, "clear")
    return Endpoint(name="crm", url="https://crm.example", events=("*",), secrets=secrets, grants=grants, **more)


def test_an_attempt_that_outlasts_the_lease_is_not_made_twice(tmp_path: Path) -> None:
    """An endpoint may use up its time-out: nobody takes the delivery over meanwhile."""

    async def run() -> None:
        clock, poster = SystemClock(), Slow()
        records = open_store(tmp_path / "store.db", clock=clock)
        end = endpoint(schedule=(0.0,), timeout=3.0)
        event = EventRow(
            id="evt_1",
            type="order.paid",
            subject="ord_1",
            sequence=1,
            at=clock.now(),
            account="a",
            entry="e",
            unit=None,
            body=b"{}",
        )
        await records.apply(Batch(events=[event], deliveries=Router([end]).deliveries(event, now=clock.now())))
        deliverer = Deliverer(
            endpoints=[end], records=records, vault=open_vault(tmp_path / "keys.json"), clock=clock, meters=Meters(),
            poster=cast(Poster, poster), claim="clm_1", lease=0.5,
        )  # fmt: skip
        running = asyncio.create_task(deliverer.run())
        async with asyncio.timeout(10):
            while not await records.deliveries(state=DeliveryState.DONE):
                await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])
        assert poster.posted == ["evt_1"]
        await records.close()

    asyncio.run(run())


@pytest.mark.parametrize("count", [1, 3])
def test_a_fault_of_ours_is_an_attempt_with_an_outcome_and_ends_in_the_schedule(tmp_path: Path, count: int) -> None:
    """It is recorded, tried again as often as any failure, and then dead; the deliveries behind it go on."""

    async def run() -> None:
        clock = SystemClock()
        records = open_store(tmp_path / "store.db", clock=clock)
        end = endpoint(schedule=(0.0, 0.0), concurrency=1)
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
