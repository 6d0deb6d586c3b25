"""Several events in one send."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.clock import SECOND
from gateway.destination import Endpoint, Message, Tried
from gateway.store import DeliveryState
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap


def sizes(rig: Rig) -> list[int]:
    """How many events each send had."""
    return [len(sent) for _, sent in rig.far.sent]


def test_a_backlog_goes_out_in_full_batches_with_one_attempt_each(tmp_path: Path) -> None:
    """No send has more than the endpoint's batch; each delivery has its own attempt and outcome."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(batch=10, linger=0.2, concurrency=1)], Far())
        await rig.publish(events(range(45), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 45)
            done = await rig.records.deliveries(state=DeliveryState.DONE)
            assert [len(await rig.records.attempts(one.id)) for one in done] == [1] * 45
        assert sizes(rig) == [10, 10, 10, 10, 5]

    leap(run())


def test_a_batch_that_does_not_fill_leaves_after_its_linger(tmp_path: Path) -> None:
    """Not before, for company may come; and not later."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(batch=10, linger=1.0)], Far())
        async with rig.running():
            began = rig.clock.monotonic()
            await rig.publish(events([0, 1], rig.clock))
            await asyncio.sleep(0.4)
            await rig.publish(events([2], rig.clock))
            await rig.until_count(DeliveryState.DONE, 3)
            assert 1.0 <= rig.clock.monotonic() - began < 1.1
        assert sizes(rig) == [3]

    leap(run())


def test_a_digest_gathers_in_the_store(tmp_path: Path) -> None:
    """A linger longer than a lease: what comes is handed back until one and the same instant."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(batch=100, linger=900.0, ordered=False)], Far())
        async with rig.running():
            await rig.publish(events([0, 1], rig.clock))
            await asyncio.sleep(0.7)
            await rig.publish(events([2], rig.clock))
            await asyncio.sleep(0.7)
            waiting = await rig.records.deliveries(state=DeliveryState.DUE)
            assert len({one.due for one in waiting}) == 1
            assert len(waiting) == 3
            assert waiting[0].due > rig.clock.now() + 890 * SECOND
        assert not rig.far.sent

    leap(run())


def test_what_was_gathered_leaves_together_when_it_is_due(tmp_path: Path) -> None:
    """Claimed after its wait it waits no second time, but for those claimed beside it."""

    async def run() -> None:
        end = endpoint(batch=100, linger=6.0, ordered=False)
        rig = Rig(tmp_path, [end], Far())
        async with rig.running():
            await rig.publish(events([0, 1], rig.clock))
            await asyncio.sleep(3.0)
            await rig.publish(events([2], rig.clock))
            await rig.until_count(DeliveryState.DONE, 3)
        assert sizes(rig) == [3]

    leap(run())


def test_one_bad_event_is_told_from_the_good_ones_beside_it(tmp_path: Path) -> None:
    """A batch that was refused is tried again one by one: only what is refused alone dies."""

    async def picky(_end: Endpoint, messages: Sequence[Message]) -> Tried:
        return Tried(status=400) if any(one.id == "evt_3" for one in messages) else OK

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(batch=10, linger=0.1, schedule=(0.0, 0.0, 0.0))], Far(picky))
        await rig.publish(events(range(10), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 9)
            await rig.until_count(DeliveryState.DEAD, 1)
            (dead,) = await rig.records.deliveries(state=DeliveryState.DEAD)
            assert (dead.event, dead.cause) == ("evt_3", "http 400")

    leap(run())


def test_events_of_one_subject_never_share_a_batch_and_keep_their_order(tmp_path: Path) -> None:
    """Of an ordered subject one delivery is under way."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(batch=10, linger=0.05)], Far())
        await rig.publish(events(range(5), rig.clock, subject="ord_1"))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 5)
        assert rig.far.ids() == [f"evt_{number}" for number in range(5)]
        assert sizes(rig) == [1] * 5

    leap(run())
