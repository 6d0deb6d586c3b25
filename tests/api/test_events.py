"""The feed of events: followed without a gap, waited for cheaply, and honest about what it forgot."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from gateway import store
from gateway.desk.watch import Watch
from tests.api.kit import CLEAR, House, member, order, told, until


async def ask(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    """An answer of the feed."""
    answer = await client.get("/api/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def followed(
    client: httpx.AsyncClient, after: str | None = None, **params: Any
) -> tuple[list[dict[str, Any]], str]:
    """All there is, and where to go on."""
    items: list[dict[str, Any]] = []
    while True:
        page = await ask(client, **params, **({"after": after} if after else {}))
        items += page["items"]
        after = page["next"]
        if not page["more"]:
            return items, after


def test_feed_goes_on_where_it_ended_while_others_write(tmp_path: Path) -> None:
    """Everything once, in the order of writing, whatever the size of a page; each record's events are numbered without a gap."""

    async def story(house: House) -> None:
        for number in range(5):
            await house.say("members", member(f"C{number}"))
        async with house.caller() as client:
            first, place = await followed(client, limit=2)
            await house.say("members", member("C1", name="改名", updated_at="2026-11-12 00:00:00"))
            await house.say("orders", order("A1", "C2"))
            rest, place = await followed(client, place, limit=1)
            none, _ = await followed(client, place)
        assert (len(first), len(rest), none) == (5, 2, [])
        assert [one["type"] for one in rest] == ["customer.updated", "order.paid"]
        assert rest[0]["subject"] == first[1]["subject"] and rest[0]["sequence"] == 2
        assert len({one["id"] for one in first + rest}) == 7

    told(tmp_path, story)


def test_only_what_is_asked_for_comes_and_the_place_moves_past_the_rest(tmp_path: Path) -> None:
    """By type, by pattern and by record; ``now`` is what is yet to happen; a type that there is not is refused with those there are."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        await house.say("orders", order("A1", "C1"))
        async with house.caller() as client:
            assert [one["type"] for one in (await ask(client, types="order.*"))["items"]] == ["order.paid"]
            both = (await ask(client, types="order.paid, customer.created"))["items"]
            (of_one,) = (await ask(client, subject=both[0]["subject"]))["items"]
            assert of_one == both[0]
            none = await ask(client, types="stock.updated")
            assert none["items"] == [] and await ask(client, after=none["next"]) == none
            later = (await ask(client, after="now"))["next"]
            await house.say("orders", order("A2", "C1"))
            assert [one["type"] for one in (await ask(client, after=later))["items"]] == ["order.paid"]
            for wrong in ("order", "orders.*", "customer.created,nope"):
                refused = await client.get("/api/v1/events", params={"types": wrong})
                assert refused.status_code == 400 and "order.paid" in refused.json()["remedy"]
            assert (await client.get("/api/v1/events", params={"after": "WzFlOTldCg"})).status_code == 400

    told(tmp_path, story)


def test_event_shows_what_the_client_was_granted_within_its_units(tmp_path: Path) -> None:
    """Masked by default, clear where lent, and never one of another unit."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        await house.say("east", member("C2"))
        async with house.caller() as client:
            (one, two) = (await ask(client))["items"]
            assert (one["data"]["customer"]["name"], two["data"]["customer"]["unit"]) == ("会*", "east")
        async with house.caller(grants=CLEAR, unit="east") as client:
            page = await ask(client, limit=1)
            assert [one["data"]["customer"]["name"] for one in page["items"]] == ["会员C2"] and not page["more"]
        async with house.caller(unit="west") as client:
            assert (await followed(client))[0] == []
        async with house.caller(scopes=("customers:read",)) as client:
            assert (await client.get("/api/v1/events")).status_code == 403

    told(tmp_path, story)


def test_what_operators_hear_is_told_to_nobody_else(tmp_path: Path) -> None:
    """With the scope and by name; never as part of everything."""

    async def story(house: House) -> None:
        row = store.EventRow(
            id="evt_op", type="operator.endpoint_disabled", subject="endpoint/crm", sequence=1, at=1, account="", entry="", unit=None,
            body=b'{"id":"evt_op","type":"operator.endpoint_disabled","timestamp":"","schema":1,"subject":"endpoint/crm","sequence":1,'
            b'"source":{"account":"","connector":"","entry":"","mapping":""},"data":{}}',
        )  # fmt: skip
        await house.ground.records.apply(store.Batch(events=[row]))
        async with house.caller() as client:
            assert (await ask(client))["items"] == []
            assert [one["id"] for one in (await ask(client, types="operator.*"))["items"]] == ["evt_op"]
        async with house.caller(scopes=("events:read",)) as client:
            refused = await client.get("/api/v1/events", params={"types": "operator.*"})
            assert (refused.status_code, refused.json()["code"]) == (403, "client.scope")
        async with house.caller(unit="east") as client:
            assert (await ask(client, types="operator.*"))["items"] == []

    told(tmp_path, story)


def test_cursor_behind_which_something_was_forgotten_is_told_so(tmp_path: Path) -> None:
    """410 with what to do; whoever had read that far goes on; a fresh start is always possible."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        async with house.caller() as client:
            early = (await ask(client, limit=1))["next"]
            await house.say("members", member("C2"))
            late = (await ask(client))["next"]
            for one in await house.ground.records.deliveries():
                await house.ground.records.disable(one.endpoint, cause="a test", now=house.ground.clock.now())
            await house.ground.records.purge(before=house.ground.clock.now() + 1)
            await house.say("members", member("C3"))
            gone = await client.get("/api/v1/events", params={"after": early})
            assert (gone.status_code, gone.json()["code"]) == (410, "request.cursor_gone")
            assert "updated_since" in gone.json()["remedy"]
            assert len((await ask(client, after=late))["items"]) == 1
            assert len((await ask(client))["items"]) == 1

    told(tmp_path, story)


def test_whoever_waits_is_answered_when_it_comes(tmp_path: Path) -> None:
    """With the event itself, and soon; with nothing, when the wait is over, and with a place that has moved."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            place = (await ask(client, after="now"))["next"]
            began = house.ground.clock.monotonic()
            waiting = asyncio.create_task(ask(client, after=place, types="order.*", wait=20))
            watch = house.desk.watch
            await until(lambda: watch.waiting)
            await house.say("members", member("C1"))
            await until(lambda: watch._number)
            assert not waiting.done()
            await house.say("orders", order("A1", "C1"))
            page = await waiting
            assert [one["type"] for one in page["items"]] == ["order.paid"]
            assert house.ground.clock.monotonic() - began < 15
            assert (await ask(client, after=page["next"]))["items"] == []
            empty = await ask(client, after=page["next"], wait=1)
            assert (empty["items"], empty["more"]) == ([], False)
            await house.say("orders", order("A2", "C1"))
            assert len((await ask(client, after=empty["next"]))["items"]) == 1

    told(tmp_path, story)


class Counted:
    """A store that counts how often its events are asked for."""

    def __init__(self, records: store.Store) -> None:
        self._records = records
        self.asked = 0

    async def events(self, *, after: int = 0, limit: int = 100, subject: str | None = None) -> Sequence[store.EventRow]:
        """See ``Store.events``."""
        self.asked += 1
        return await self._records.events(after=after, limit=limit, subject=subject)


def test_hundreds_who_wait_cost_no_more_than_one(tmp_path: Path) -> None:
    """One look at the store a quarter of a second for all; each hears of its own alone; when the process ends nobody is kept."""

    async def story(house: House) -> None:
        clock = house.ground.clock
        counted = Counted(house.ground.records)
        watch = Watch(counted, clock)  # type: ignore[arg-type]
        began = clock.monotonic()

        async def wait(kind: str) -> int:
            heard = await watch.wait(0, lambda row: row.type == kind, seconds=20)
            assert heard is not None
            return len(heard.rows)

        some = [asyncio.create_task(wait("customer.created")) for _ in range(400)]
        others = [asyncio.create_task(wait("order.paid")) for _ in range(400)]
        await until(lambda: watch.waiting == 800 and counted.asked)
        await house.say("members", member("C1"))
        assert await asyncio.gather(*some) == [1] * 400
        assert watch.waiting == 400 and counted.asked < 4 * (clock.monotonic() - began) + 2
        watch.close()
        assert await asyncio.gather(*others) == [0] * 400
        assert await wait("order.paid") == 0

    told(tmp_path, story)


def test_whoever_comes_a_moment_late_hears_it_from_what_was_kept(tmp_path: Path) -> None:
    """Between reading the store and waiting somebody else's look may have passed the event."""

    async def story(house: House) -> None:
        watch = house.desk.watch
        first = asyncio.create_task(watch.wait(0, lambda row: row.type == "order.paid", seconds=20))
        await until(lambda: watch.waiting)
        await house.say("members", member("C1"))
        await until(lambda: watch._number)
        heard = await watch.wait(0, lambda row: row.type == "customer.created", seconds=20)
        assert heard is not None and len(heard.rows) == 1 and not first.done()
        watch.close()
        assert (await first) is not None

    told(tmp_path, story)
