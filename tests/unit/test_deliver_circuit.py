"""Pace and circuit of one endpoint."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.breaker import Policy
from gateway.destination import Endpoint, Message, Tried
from gateway.store import DeliveryState
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap

QUICK = Policy(trip=3, rest=0.6, longest=2.0, probes=1)
LONG = tuple([0.0] * 20)


class Switch:
    """An endpoint that is down until it is switched on; it notes how many it had at once."""

    def __init__(self, down: Tried) -> None:
        self.down = down
        self.up = False

    async def __call__(self, _end: Endpoint, _messages: Sequence[Message]) -> Tried:
        await asyncio.sleep(0.001)
        return OK if self.up else self.down


def test_an_open_circuit_costs_no_try_and_closes_by_a_probe(tmp_path: Path) -> None:
    """After three failures nothing is tried but one probe at a time; when one succeeds the rest follows."""

    async def run() -> None:
        far = Switch(Tried(error="connect"))
        rig = Rig(tmp_path, [endpoint(schedule=LONG, concurrency=1)], Far(far), circuit=QUICK)
        await rig.publish(events(range(100), rig.clock))
        async with rig.running():
            await rig.until(lambda: len(rig.far.sent) == 3)
            await asyncio.sleep(0.3)
            assert len(rig.far.sent) == 3
            waiting = await rig.records.deliveries(state=DeliveryState.DUE, limit=1000)
            assert sum(one.tries for one in waiting) == 3
            assert len(waiting) == 100
            await rig.until(lambda: rig.deliverer.parts()["crm"]["circuit"] == "open")
            gauge = "gateway_endpoint_circuit"
            assert rig.meters.registry.get_sample_value(gauge, {"endpoint": "crm"}) == 2
            await rig.until(lambda: len(rig.far.sent) == 4)
            far.up = True
            await rig.until_count(DeliveryState.DONE, 100)
            done = await rig.records.deliveries(state=DeliveryState.DONE, limit=1000)
            # Three to trip it, at most a few probes in vain, and one success each.
            assert 103 <= sum(one.tries for one in done) <= 106
            assert len(await rig.records.attempts(done[0].id)) == done[0].tries
            assert rig.meters.registry.get_sample_value(gauge, {"endpoint": "crm"}) == 0

    leap(run())


def test_refusals_of_single_events_do_not_open_the_circuit(tmp_path: Path) -> None:
    """A 4xx is the answer of somebody who is there."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,), concurrency=1)], Far(Switch(Tried(status=422))), circuit=QUICK)
        await rig.publish(events(range(20), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DEAD, 20)

    leap(run())


def test_a_circuit_is_forgotten_when_the_endpoint_is_changed(tmp_path: Path) -> None:
    """Whoever mends an address need not wait until the old one would have been tried again."""

    async def run() -> None:
        far = Switch(Tried(error="connect"))
        slow = Policy(trip=3, rest=600.0, longest=600.0)
        rig = Rig(tmp_path, [endpoint(schedule=LONG, concurrency=1, version=1)], Far(far), circuit=slow)
        await rig.publish(events(range(3), rig.clock))
        async with rig.running():
            await rig.until(lambda: rig.deliverer.parts()["crm"]["circuit"] == "open")
            far.up = True
            rig.replace(endpoint(schedule=LONG, concurrency=1, version=2))
            await rig.publish(events([7], rig.clock))
            await rig.until(lambda: "evt_7" in rig.far.ids())

    leap(run())


def test_an_endpoint_is_sent_to_at_its_pace(tmp_path: Path) -> None:
    """A burst, then so many a second; what is due stays in the store and is not held beyond its lease."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(rate=20.0, burst=5.0)], Far())
        await rig.publish(events(range(1000), rig.clock))
        async with rig.running():
            began = rig.clock.monotonic()
            await rig.until(lambda: len(rig.far.sent) >= 25)
            took = rig.clock.monotonic() - began
            assert 0.99 < took < 1.1
            assert rig.deliverer.parts()["crm"]["held"] <= 400
            assert len(rig.far.sent) <= 27

    leap(run())
