"""Endpoints that only fail: operators hear, and in the end they are disabled; whoever is enabled starts afresh."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.destination import Endpoint, Message, Tried
from gateway.store import DeliveryState, EventRow, Health
from tests.unit.deliver_kit import OK, Far, Rig, endpoint, events
from tests.unit.leaping import leap

DAY = 86_400


def facts(event: EventRow) -> dict[str, Any]:
    """What an operator event says."""
    found: dict[str, Any] = msgspec.json.decode(event.body)["data"]
    return found


class Fickle:
    """Answers what it is set to."""

    def __init__(self, tried: Tried) -> None:
        self.tried = tried

    async def __call__(self, _end: Endpoint, _messages: Sequence[Message]) -> Tried:
        await asyncio.sleep(0)
        return self.tried


DOWN, GONE = Tried(status=500), Tried(status=410)
OPS = endpoint("ops", events=("operator.*",))


def failing_for(days: float, rig: Rig, **more: Any) -> Health:
    """Health of an endpoint that has failed for so long."""
    now = rig.clock.now()
    since = now - int(days * DAY * 1_000_000)
    return Health(endpoint="crm", failing_since=since, last_failure=since, **more)


async def ops_has(rig: Rig, count: int) -> None:
    """The operators' endpoint got so many."""

    def enough() -> bool:
        return sum(len(sent) for end, sent in rig.far.sent if end.name == "ops") >= count

    await rig.until(enough)


class Mixed(Fickle):
    """As above for ``crm``; operators are always there."""

    async def __call__(self, end: Endpoint, messages: Sequence[Message]) -> Tried:
        return OK if end.name == "ops" else await super().__call__(end, messages)


def test_patience_that_ends_is_told_on_the_way_and_disables(tmp_path: Path) -> None:
    """50 % was told before a restart; the next failure is past 100 %: told, disabled, and nothing is sent any more."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,), concurrency=1), OPS], Far(Mixed(DOWN)))
        await rig.records.note([failing_for(5.1, rig, warned=50, sequence=4)])
        async with rig.running():
            await asyncio.sleep(0.2)
            await rig.publish(events([1], rig.clock))
            await ops_has(rig, 2)
            told = await rig.told()
            assert [(one.type, one.subject, one.sequence) for one in told] == [
                ("operator.endpoint_failing", "endpoint/crm", 5), ("operator.endpoint_disabled", "endpoint/crm", 6),
            ]  # fmt: skip
            assert facts(told[0])["percent"] == 100
            assert {facts(one)["endpoint"] for one in told} == {"crm"}
            assert list(await rig.records.disabled()) == ["crm"]
            await rig.publish(events([2], rig.clock))
            await rig.until_count(DeliveryState.DISABLED, 1)
            assert rig.far.ids("crm") == ["evt_1"]
            assert rig.deliverer.parts()["crm"]["state"] == "disabled"

    leap(run())


def test_a_step_is_told_once_also_across_a_restart(tmp_path: Path) -> None:
    """Failing on at 72 %: one event, however many failures, and none after the next start."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,))], Far(Fickle(DOWN)))
        await rig.records.note([failing_for(3.6, rig)])
        async with rig.running():
            await asyncio.sleep(0.2)
            await rig.publish(events(range(3), rig.clock))
            await rig.until(rig.told)
            await asyncio.sleep(1.2)
        again = Rig(tmp_path, [endpoint(schedule=(0.0,))], Far(Fickle(DOWN)))
        async with again.running():
            await again.publish(events(range(3, 5), again.clock))
            await again.until_count(DeliveryState.DEAD, 5)
            await asyncio.sleep(1.2)
            assert [facts(one)["percent"] for one in await again.told()] == [70]
            kept = (await again.records.health())["crm"]
            assert (kept.warned, kept.sequence, kept.cause) == (70, 1, "http 500")

    leap(run())


def test_a_success_forgets_the_failures(tmp_path: Path) -> None:
    """The next spell begins at nought."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint()], Far())
        await rig.records.note([failing_for(4.9, rig, warned=90, sequence=3)])
        async with rig.running():
            await asyncio.sleep(0.2)
            await rig.publish(events([1], rig.clock))
            await rig.until_count(DeliveryState.DONE, 1)
        again = Rig(tmp_path, [], Far())
        kept = (await again.records.health())["crm"]
        assert (kept.failing_since, kept.warned, kept.sequence) == (None, 0, 3)
        await again.records.close()

    leap(run())


def test_health_is_not_written_for_every_delivery(tmp_path: Path) -> None:
    """A flapping endpoint costs a write in seconds, not one for each turn."""

    async def run() -> None:
        far = Fickle(DOWN)
        rig = Rig(tmp_path, [endpoint(schedule=(0.0,), concurrency=1)], Far(far))
        notes: list[Sequence[Health]] = []
        real = rig.records.note

        async def noted(health: Sequence[Health]) -> None:
            notes.append(health)
            await real(health)

        rig.records.note = noted  # type: ignore[method-assign]
        async with rig.running():
            for number in range(40):
                far.tried = OK if number % 2 else DOWN
                await rig.publish(events([number], rig.clock))
                await asyncio.sleep(0.05)
            assert len(notes) <= 1

    leap(run())


def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once_and_told_of(tmp_path: Path) -> None:
    """410: one attempt, its delivery dead, the others disabled."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint(concurrency=1), OPS], Far(Mixed(GONE)))
        await rig.publish(events(range(5), rig.clock))
        async with rig.running():
            await rig.until_count(DeliveryState.DISABLED, 4)
            await rig.until_count(DeliveryState.DEAD, 1)
            assert rig.far.ids("crm") == ["evt_0"]
            await ops_has(rig, 1)
            (told,) = await rig.told()
            assert (told.type, facts(told)["cause"]) == ("operator.endpoint_disabled", "the endpoint answered 410 Gone")

    leap(run())


def test_an_endpoint_that_was_enabled_again_starts_afresh_and_is_told_of(tmp_path: Path) -> None:
    """By a command, in another process, while the worker runs."""

    async def run() -> None:
        far = Mixed(GONE)
        rig = Rig(tmp_path, [endpoint(concurrency=1), OPS], Far(far))
        await rig.publish(events([0], rig.clock))
        async with rig.running():
            await ops_has(rig, 1)
            await rig.until(rig.records.disabled)
            far.tried = OK
            await rig.records.enable("crm", now=rig.clock.now())
            await ops_has(rig, 2)
            await rig.publish(events([1], rig.clock))
            await rig.until(lambda: "evt_1" in rig.far.ids("crm"))
            assert [(one.type, one.sequence) for one in await rig.told()] == [
                ("operator.endpoint_disabled", 1), ("operator.endpoint_enabled", 2),
            ]  # fmt: skip

    leap(run())


def test_an_endpoint_that_was_enabled_while_nobody_ran_is_told_of_at_the_start(tmp_path: Path) -> None:
    """Health remembers that it was disabled."""

    async def run() -> None:
        rig = Rig(tmp_path, [endpoint()], Far())
        await rig.records.note([failing_for(5.1, rig, warned=100, sequence=6)])
        async with rig.running():
            await rig.until(rig.told)
            (told,) = await rig.told()
            assert (told.type, told.sequence) == ("operator.endpoint_enabled", 7)

    leap(run())
