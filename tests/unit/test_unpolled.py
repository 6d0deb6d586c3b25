"""Endpoints that somebody should poll: who does not is told of, and in the end disabled; time in which they could not is not held against them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from gateway.clock import SECOND, TurnedClock, text
from gateway.destination import Endpoint, Kind
from gateway.pipeline.operators import Operators
from gateway.pipeline.route import Router
from gateway.pipeline.vigil import Vigil
from gateway.store import Batch
from gateway.stores.sqlite import SqliteStore, open_store
from tests.unit.deliver_kit import endpoint, events

HOUR = 3600
ERP = endpoint("erp", kind=Kind.POLL, disable_after=4.0 * HOUR)


async def _settled() -> None:
    """Nothing is tried where somebody polls."""


class House:
    """A store, a router and somebody who watches; hours pass at once."""

    def __init__(self, folder: Path, end: Endpoint = ERP) -> None:
        self.clock = TurnedClock()
        self.end = end
        self.records: SqliteStore = open_store(folder / "store.db", clock=self.clock)
        self.router = Router([end, endpoint("ops", events=("operator.*",))])
        self.stopped: list[str] = []
        self.begin()

    def begin(self) -> None:
        """A worker starts."""
        operators = Operators(records=self.records, router=self.router, clock=self.clock)
        self.vigil = Vigil(
            records=self.records, clock=self.clock, operators=operators, stopped=self.stopped.append, resumed=lambda _: None,
            settled=_settled,
        )  # fmt: skip
        self.vigil.adopt(self.end)

    async def publish(self, number: int) -> None:
        """Something for whoever polls."""
        given = events([number], self.clock)
        made = [one for event in given for one in self.router.deliveries(event, now=self.clock.now())]
        await self.records.apply(Batch(events=given, deliveries=made))

    async def fetch(self) -> None:
        """Somebody polls, and acknowledges."""
        page = await self.records.serve("erp", page="pge_1", limit=100, until=self.clock.now())
        await self.records.acknowledge("erp", page.page, now=self.clock.now())

    async def hours(self, count: float) -> None:
        """They pass, watched."""
        for _ in range(int(count * 30)):
            self.clock.turn(120)
            await self.vigil.round()

    async def told(self) -> list[tuple[str, int | None]]:
        """What operators heard: kinds, with percents."""
        rows = [one for one in await self.records.events(limit=100) if one.type.startswith("operator.")]
        return [(one.type, msgspec.json.decode(one.body)["data"].get("percent")) for one in rows]


def run(folder: Path, story: Callable[[House], Awaitable[None]], end: Endpoint = ERP) -> None:
    """Tell it."""

    async def whole() -> None:
        house = House(folder, end)
        await story(house)
        await house.records.close()

    asyncio.run(whole())


def test_endpoint_that_nobody_polls_is_told_of_on_the_way_and_disabled(tmp_path: Path) -> None:
    """At 50, 70, 90 and 100 % of its patience; what waited is disabled with it, and the disk has an end."""

    async def story(house: House) -> None:
        await house.publish(1)
        began = house.clock.now()
        await house.publish(2)
        await house.hours(3)
        found = house.vigil.unpolled["erp"]
        assert (found.since, found.waiting, found.oldest) == (began, 2, began)
        assert await house.told() == [("operator.endpoint_failing", 50), ("operator.endpoint_failing", 70)]
        await house.hours(1.2)
        kinds = [percent for kind, percent in await house.told() if kind == "operator.endpoint_failing"]
        assert kinds == [50, 70, 90, 100]
        assert (await house.told())[-1][0] == "operator.endpoint_disabled"
        cause = (await house.records.disabled())["erp"]
        assert cause.startswith("nobody fetched for") and f"since {text(began)}: 2 wait" in cause
        assert (await house.records.waiting("erp")).count == 0
        assert "erp" in house.stopped and not house.vigil.unpolled

    run(tmp_path, story)


def test_somebody_who_fetches_now_and_then_is_never_told_of(tmp_path: Path) -> None:
    """However much waits: only that nothing is acknowledged counts."""

    async def story(house: House) -> None:
        for number in range(8):
            await house.publish(2 * number)
            await house.hours(1.5)
            page = await house.records.serve("erp", page=f"pge_{number}", limit=1, until=house.clock.now())
            await house.publish(2 * number + 1)
            await house.records.acknowledge("erp", page.page, now=house.clock.now())
        assert (await house.records.waiting("erp")).count == 8
        await house.hours(0.1)
        assert not house.vigil.unpolled and await house.told() == []

    run(tmp_path, story)


def test_fetching_begins_anew(tmp_path: Path) -> None:
    """Who was told of and then fetched is told of again only after as long."""

    async def story(house: House) -> None:
        await house.publish(1)
        await house.hours(2.5)
        await house.fetch()
        await house.hours(0.1)
        assert not house.vigil.unpolled
        await house.publish(2)
        await house.hours(1.5)
        assert await house.told() == [("operator.endpoint_failing", 50)]
        await house.hours(1)
        assert await house.told() == [("operator.endpoint_failing", 50)] * 2

    run(tmp_path, story)


def test_time_in_which_the_gateway_was_away_does_not_count(tmp_path: Path) -> None:
    """Nobody could fetch: a restart goes on where it was, as far as that was kept."""

    async def story(house: House) -> None:
        await house.publish(1)
        await house.hours(2.5)
        house.clock.turn(100 * HOUR)
        house.begin()
        await house.hours(0.1)
        assert await house.told() == [("operator.endpoint_failing", 50)]
        assert (await house.records.disabled()) == {}
        await house.hours(2)
        assert "erp" in await house.records.disabled()

    run(tmp_path, story)


def test_paused_endpoint_and_one_that_is_never_to_be_disabled_stay(tmp_path: Path) -> None:
    """The first cannot be fetched from; of the second an alert tells."""

    async def paused(house: House) -> None:
        await house.publish(1)
        await house.hours(6)
        assert not house.vigil.unpolled and await house.told() == []

    async def patient(house: House) -> None:
        await house.publish(1)
        await house.hours(6)
        assert house.vigil.unpolled["erp"].since == house.clock.now() - 6 * HOUR * SECOND
        assert await house.records.disabled() == {} and await house.told() == []

    run(tmp_path, paused, msgspec.structs.replace(ERP, paused=True))
    (tmp_path / "other").mkdir()
    run(tmp_path / "other", patient, msgspec.structs.replace(ERP, disable_after=0.0))
