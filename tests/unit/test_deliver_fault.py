"""Faults of ours in the middle of an attempt, and an attempt that lasts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND
from gateway.destination import Endpoint, Message, Tried
from gateway.errors import KeyMissing, Tampered, VaultDown, VaultError
from gateway.pipeline.render import Renderer
from gateway.store import DeliveryState
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap


async def faulty(*_: Any) -> Tried:
    """A destination with a fault in it."""
    raise RuntimeError("a fault")


async def slow(_end: Endpoint, _messages: Sequence[Message]) -> Tried:
    """A slow endpoint."""
    await asyncio.sleep(1.5)
    return OK


def test_an_attempt_that_outlasts_the_lease_is_not_made_twice(tmp_path: Path) -> None:
    """An endpoint may use up its time-out: nobody takes the delivery over meanwhile."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,), timeout=3.0)], Far(slow), lease=0.5)
        await rig.publish(events([1], rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DONE, 1)
        assert rig.far.ids() == ["evt_1"]

    leap(run())


@pytest.mark.parametrize("count", [1, 3])
def test_a_fault_of_ours_is_an_attempt_with_an_outcome_and_ends_in_the_schedule(tmp_path: Path, count: int) -> None:
    """It is recorded, tried again as often as any failure, and then dead; the deliveries behind it go on."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0, 0.0), concurrency=1)], Far(faulty))
        await rig.publish(events(range(count), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DEAD, count)
            dead = await rig.records.deliveries(state=DeliveryState.DEAD)
            assert {(one.tries, one.cause) for one in dead} == {(2, "fault")}
            assert [one.error for one in await rig.records.attempts(dead[0].id)] == ["fault", "fault"]

    leap(run())


def test_an_egress_fault_costs_no_try_and_leaves_no_attempt(tmp_path: Path) -> None:
    """No resolver, no route: the delivery waits a second, the fault is counted, and the endpoint's health says nothing of it."""
    left = [1]

    async def without_resolver(_end: Endpoint, _messages: Sequence[Message]) -> Tried:
        left[0] -= 1
        return Tried(error="dns", ours=True) if left[0] >= 0 else OK

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,), concurrency=3)], Far(without_resolver))
        await rig.publish(events(range(3), rig.clock))
        async with rig.running():
            began = rig.clock.monotonic()
            await rig.until_count(DeliveryState.DONE, 3)
            assert rig.clock.monotonic() - began >= 1.0
            done = await rig.records.deliveries(state=DeliveryState.DONE)
            assert [one.tries for one in done] == [1, 1, 1]
            assert [len(await rig.records.attempts(one.id)) for one in done] == [1, 1, 1]
            assert (await rig.records.health()).get("crm") is None
        assert (
            rig.meters.registry.get_sample_value("gateway_delivery_faults_total", {"endpoint": "crm", "cause": "dns"})
            == 1
        )

    leap(run())


def test_an_egress_fault_that_lasts_is_asked_about_less_and_less(tmp_path: Path) -> None:
    """1, 2, 4 … seconds, by which everything that the endpoint holds is handed back."""

    async def run() -> None:
        async def never(_end: Endpoint, _messages: Sequence[Message]) -> Tried:
            return Tried(error="network", ours=True)

        rig = Rig(tmp_path, [endpoint(concurrency=1)], Far(never))
        await rig.publish(events(range(5), rig.clock))
        async with rig.running():
            await rig.until(lambda: len(rig.far.sent) == 3, seconds=8.0)
            await asyncio.sleep(0.1)
            waiting = await rig.records.deliveries(state=DeliveryState.DUE)
            assert len(waiting) == 5
            assert all(one.due > rig.clock.now() + 3 * SECOND for one in waiting)

    leap(run())


def render_raising(monkeypatch: pytest.MonkeyPatch, errors: dict[str, VaultError]) -> None:
    """The renderer raises these, by event."""
    real = Renderer.render

    def render(self: Renderer, event: Any, end: Endpoint) -> bytes:
        if event.id in errors:
            raise errors[event.id]
        return real(self, event, end)

    monkeypatch.setattr(Renderer, "render", render)


def test_an_altered_value_is_a_dead_delivery_and_one_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many endpoints the event was for; a key that is gone is a dead delivery without alarm; others go on."""
    render_raising(monkeypatch, {"evt_1": Tampered("altered"), "evt_2": KeyMissing("key k9 is gone")})

    async def run() -> None:
        operators = endpoint("ops", events=("operator.*",))
        rig = Rig(tmp_path, [endpoint("crm"), endpoint("erp"), operators], Far())
        await rig.publish(events(range(4), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DEAD, 4)
            await rig.until_count(DeliveryState.DONE, 5)
            assert {one.cause for one in await rig.records.deliveries(state=DeliveryState.DEAD)} == {
                "vault.tampered: altered", "vault.key_missing: key k9 is gone",
            }  # fmt: skip
            (alarm,) = await rig.told()
        assert (alarm.type, alarm.subject, alarm.sequence) == ("operator.value_tampered", "vault", 1)
        assert b'"where":"evt_1"' in alarm.body
        assert rig.far.ids("ops") == [alarm.id]

    leap(run())


def test_a_vault_that_is_down_costs_no_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delivery waits for the keys; nothing is dead."""
    errors: dict[str, VaultError] = {"evt_0": VaultDown("no answer")}
    render_raising(monkeypatch, errors)

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,))], Far())
        await rig.publish(events([0], rig.clock))
        async with rig.running():
            await asyncio.sleep(0.3)
            assert not rig.far.sent
            errors.clear()
            await rig.until_count(DeliveryState.DONE, 1)
            (done,) = await rig.records.deliveries(state=DeliveryState.DONE)
            assert done.tries == 1

    leap(run())
