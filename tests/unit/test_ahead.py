"""What is rendered before its turn, and outcomes that are being recorded."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import TurnedClock
from gateway.errors import Tampered
from gateway.pipeline.outcomes import Outcomes
from gateway.pipeline.outlet import Hold, Outlet
from gateway.pipeline.render import Renderer
from gateway.pipeline.vigil import Pulse
from gateway.store import Claimed, Delivery, DeliveryState, Result
from tests.unit.deliver_kit import Far, Rig, endpoint, events
from tests.unit.leaping import leap


def held(number: int, clock: TurnedClock) -> Claimed:
    """A leased delivery of its own event."""
    event = events([number], clock)[0]
    return Claimed(
        delivery=Delivery(id=f"dlv_{number}", event=event.id, endpoint="crm", subject=None, due=0), event=event
    )


def test_what_is_held_is_rendered_some_at_a_time_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is made before its turn, in the order in which it leaves, and not made again."""
    made: list[str] = []
    render = Renderer.render

    def noted(self: Renderer, event: Any, end: Any) -> bytes:
        made.append(event.id)
        return render(self, event, end)

    async def run() -> None:
        monkeypatch.setattr(Renderer, "render", noted)
        far = Far()
        rig = Rig(tmp_path, [endpoint(concurrency=1)], far)
        await rig.publish(events(range(10), rig.clock))

        async def answer(*_: Any) -> Any:
            seen.append(len(made))
            return await Far().answer(endpoint(), [])

        seen: list[int] = []
        far.answer = answer
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 10)
        assert seen[0] == 10, "all ten before the first is sent"
        assert made == far.ids() == [f"evt_{number}" for number in range(10)]

    leap(run())


def test_one_that_cannot_be_rendered_is_dead_and_its_neighbours_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is met while another's turn is: that one is none the worse for it."""
    render = Renderer.render

    def faulty(self: Renderer, event: Any, end: Any) -> bytes:
        if event.id == "evt_2":
            raise Tampered("a sealed value was altered")
        return render(self, event, end)

    async def run() -> None:
        monkeypatch.setattr(Renderer, "render", faulty)
        rig = Rig(tmp_path, [endpoint(concurrency=1)], Far())
        await rig.publish(events(range(5), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 4)
            await rig.until_count(DeliveryState.DEAD, 1)
        assert rig.far.ids() == ["evt_0", "evt_1", "evt_3", "evt_4"]

    leap(run())


def test_what_was_made_ahead_is_let_go_of_when_its_time_is_over_or_its_endpoint_another() -> None:
    """Neither text that was since erased nor grants that were since taken away leave with it."""
    clock = TurnedClock()
    outlet = Outlet(endpoint(), hold=Hold(100), pulse=Pulse("crm"), mono=0.0)
    one = held(1, clock)
    outlet.put(one, 0.0)
    assert outlet.upcoming(16) == [one]
    for meanwhile in (lambda: outlet.adopt(endpoint(version=2), 1.0), outlet.emptied, lambda: outlet.measure(2.5)):
        outlet.ready_with({"dlv_1": b"{}"}, 2.0)
        assert outlet.made(one, 1.9) == b"{}"
        outlet.ready_with({"dlv_1": b"{}"}, 2.0)
        meanwhile()
        assert outlet.made(one, 1.9) is None
    outlet.ready_with({"dlv_1": b"{}"}, 2.0)
    assert outlet.made(one, 2.0) is None


class Slow:
    """A store that records when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.recorded = 0

    async def finish(self, results: Sequence[Result]) -> int:
        """See ``Store.finish``."""
        await self.let.wait()
        self.recorded += len(results)
        return 0


def test_settling_returns_when_what_others_record_is_recorded_too() -> None:
    """Whoever disables an endpoint next must not find its last outcomes missing."""

    async def run() -> None:
        records = Slow()
        outcomes = Outcomes(records=records, clock=TurnedClock(), batch=8, woken=lambda: None)  # type: ignore[arg-type]
        outcomes.add(held(1, TurnedClock()), DeliveryState.DONE, tries=1)
        other = asyncio.create_task(outcomes.settle())
        await asyncio.sleep(0)
        mine = asyncio.create_task(outcomes.settle())
        await asyncio.sleep(0)
        assert not mine.done()
        records.let.set()
        await mine
        assert records.recorded == 1 and other.done()

    leap(run())
