"""Endpoints that come, change and go while deliveries are under way."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.clock import SECOND
from gateway.destination import Endpoint, Kind, Message, Tried
from gateway.model.secret import Secret
from gateway.store import DeliveryState
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap

NEW = Secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")


async def takes_a_moment(_end: Endpoint, _messages: Sequence[Message]) -> Tried:
    """An endpoint over a network."""
    await asyncio.sleep(0.005)
    return OK


def test_an_endpoint_that_is_added_gets_what_comes_from_then_on(tmp_path: Path) -> None:
    """Without a restart, and beside one that was there."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("crm")], Far())
        async with rig.running():
            await rig.publish(events([1], rig.clock))
            await rig.until_count(DeliveryState.DONE, 1)
            rig.replace(endpoint("crm"), endpoint("erp"))
            await rig.publish(events([2], rig.clock))
            await rig.until_count(DeliveryState.DONE, 3)
        assert (rig.far.ids("crm"), rig.far.ids("erp")) == (["evt_1", "evt_2"], ["evt_2"])
        # Who did not change keeps its connection.
        assert [end.name for end in rig.far.opened] == ["crm", "erp"]

    leap(run())


def test_an_endpoint_that_another_process_has_just_added_loses_nothing(tmp_path: Path) -> None:
    """A delivery for somebody unknown waits a little before it counts as nobody's."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("crm"), endpoint("erp")], Far())
        rig.deliverer.replace([endpoint("crm")])
        await rig.publish(events([1], rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 1)
            await asyncio.sleep(0.3)
            rig.replace(endpoint("crm"), endpoint("erp"))
            await rig.until_count(DeliveryState.DONE, 2)
            assert await rig.count(DeliveryState.CANCELLED) == 0

    leap(run())


def test_an_endpoint_that_is_removed_has_its_deliveries_cancelled(tmp_path: Path) -> None:
    """Those that are held, and those that are found due later; what is under way ends as it began."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("crm", concurrency=1)], Far(takes_a_moment))
        await rig.publish(events(range(50), rig.clock))
        async with rig.running():
            await rig.until(lambda: len(rig.far.sent) > 3)
            await rig.publish(events(range(50, 60), rig.clock))
            rig.replace()
            await rig.until_count(DeliveryState.CANCELLED, 60 - len(rig.far.sent))
            await rig.until_count(DeliveryState.DONE, len(rig.far.sent))
            await rig.until(lambda: rig.far.closed)
            gone = await rig.records.deliveries(state=DeliveryState.CANCELLED)
            assert {one.cause for one in gone} == {"endpoint removed"}

    leap(run())


def test_a_changed_secret_is_used_by_the_next_attempt_and_nothing_is_lost(tmp_path: Path) -> None:
    """Rotated under load: every event arrives once, each send under one state, and the old connection is closed when it is idle."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("crm", concurrency=4, version=1)], Far(takes_a_moment))
        await rig.publish(events(range(200), rig.clock))
        async with rig.running():
            await rig.until(lambda: len(rig.far.sent) > 20)
            rig.replace(endpoint("crm", concurrency=4, secrets=(NEW,), version=2))
            before = len(rig.far.sent)
            await rig.until_count(DeliveryState.DONE, 200)
            assert all(end.secrets == (NEW,) for end, _ in rig.far.sent[before + 4 :])
            assert [end.version for end in rig.far.closed] == [1]
        assert sorted(rig.far.ids()) == sorted(f"evt_{number}" for number in range(200))

    leap(run())


def test_a_paused_endpoint_is_not_tried_and_gets_everything_once_it_is_resumed(tmp_path: Path) -> None:
    """What is held is handed back due later, without a try; nothing is lost and nothing doubled."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("crm", concurrency=4, version=1)], Far(takes_a_moment))
        await rig.publish(events(range(100), rig.clock))
        async with rig.running():
            await rig.until(lambda: len(rig.far.sent) > 10)
            rig.replace(endpoint("crm", concurrency=4, version=2, paused=True))
            sent = len(rig.far.sent)
            await rig.publish(events(range(100, 120), rig.clock))
            await asyncio.sleep(1.0)
            assert len(rig.far.sent) == sent
            waiting = await rig.records.deliveries(state=DeliveryState.DUE, limit=1000)
            assert len(waiting) == 120 - sent
            assert {one.tries for one in waiting} == {0}
            assert rig.deliverer.parts()["crm"]["state"] == "paused"
            rig.replace(endpoint("crm", concurrency=4, version=3))
            await rig.until_count(DeliveryState.DONE, 120)
        assert sorted(rig.far.ids()) == sorted(f"evt_{number}" for number in range(120))

    leap(run())


def test_what_a_pause_put_off_is_due_at_once_when_it_ends(tmp_path: Path) -> None:
    """After a long pause it was put off for a minute; nobody who resumes waits for that."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("crm", paused=True)], Far(takes_a_moment))
        await rig.publish(events(range(20), rig.clock))
        async with rig.running():
            await rig.until(lambda: rig.deliverer.parts()["crm"]["state"] == "paused")

            async def put_off() -> bool:
                waiting = await rig.records.deliveries(state=DeliveryState.DUE, limit=100)
                return len(waiting) == 20 and all(one.due > rig.clock.now() + SECOND for one in waiting)

            await rig.until(put_off)
            began = rig.clock.monotonic()
            rig.replace(endpoint("crm", version=2))
            await rig.until_count(DeliveryState.DONE, 20)
            assert rig.clock.monotonic() - began < 0.2

    leap(run())


def test_a_polled_endpoint_is_never_sent_to(tmp_path: Path) -> None:
    """Its deliveries stay due, far enough ahead that nobody is busy with them."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint("bi", kind=Kind.POLL, url="")], Far())
        await rig.publish(events(range(10), rig.clock))
        async with rig.running():
            await asyncio.sleep(0.5)
            waiting = await rig.records.deliveries(state=DeliveryState.DUE, endpoint="bi")
            assert len(waiting) == 10
            assert all(one.due > rig.clock.now() + 3500 * SECOND for one in waiting)
        assert not rig.far.opened

    leap(run())
