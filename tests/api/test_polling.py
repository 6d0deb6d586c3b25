"""Endpoints that are polled: handed over until acknowledged, in order, under the endpoint's grants, and to nobody else."""

import random
from pathlib import Path
from typing import Any

import httpx

from gateway import settings
from tests.api.kit import CLEAR, House, member, order, told, until

POLLED = {"erp": settings.Endpoint(kind="poll")}
PATH = "/api/v1/endpoints/erp/events"


async def fetch(client: httpx.AsyncClient, after: str | None = None, **params: Any) -> dict[str, Any]:
    """What is handed over."""
    answer = await client.get(PATH, params={**params, **({"after": after} if after else {})})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_was_fetched_comes_again_until_the_next_cursor_acknowledges_it(tmp_path: Path) -> None:
    """Then it is done, with an attempt; what came meanwhile is next."""

    async def story(house: House) -> None:
        for number in range(3):
            await house.say("members", member(f"C{number}"))
        async with house.caller() as client:
            first = await fetch(client, limit=2)
            assert (len(first["items"]), first["more"]) == (2, True)
            assert await fetch(client, limit=2) == first
            await house.say("members", member("C0", name="改名", updated_at="2026-11-12 00:00:00"))
            rest = await fetch(client, first["next"])
            assert [one["type"] for one in rest["items"]] == ["customer.created", "customer.updated"]
            assert await fetch(client, first["next"]) == rest
            last = await fetch(client, rest["next"])
            assert last == {"items": [], "next": rest["next"], "more": False}
            counts = await house.ground.records.counts()
            assert (counts["deliveries.done"], counts["deliveries.due"], counts["deliveries.waiting"]) == (4, 0, 0)
            done = await house.ground.records.deliveries(endpoint="erp")
            assert [len(await house.ground.records.attempts(one.id)) for one in done] == [1] * 4

    told(tmp_path, story, endpoints=POLLED)


def test_endpoints_types_unit_filter_and_grants_hold(tmp_path: Path) -> None:
    """Only what it asked for comes, and each field as the endpoint was granted, whatever more the client may see."""
    endpoints = {
        "erp": settings.Endpoint(
            kind="poll", events=("customer.*",), unit="east", filter="data.customer.unit == 'east'"
        )
    }

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        await house.say("east", member("C2"))
        await house.say("orders", order("A1", "C1"))
        async with house.caller(grants=CLEAR) as client:
            (one,) = (await fetch(client))["items"]
            assert (one["type"], one["data"]["customer"]["name"]) == ("customer.created", "会*")

    told(tmp_path, story, endpoints=endpoints)


def test_whoever_waits_is_handed_what_comes(tmp_path: Path) -> None:
    """The wait ends with it."""

    async def story(house: House) -> None:
        clock = house.ground.clock
        async with house.caller() as client:
            began = clock.monotonic()
            waiting = house.start(fetch(client, wait=20))
            await until(lambda: house.desk.watch.waiting)
            await house.say("members", member("C1"))
            assert len((await waiting)["items"]) == 1
            assert clock.monotonic() - began < 15

    told(tmp_path, story, endpoints=POLLED)


def test_only_whoever_may_have_it_fetches(tmp_path: Path) -> None:
    """The client that the endpoint names; without one, whoever could also remove it; never somebody who may see less than the endpoint."""
    clear = settings.Endpoint(kind="poll", grants=settings.Grants(contact="clear"))

    async def story(house: House) -> None:
        made = await house.make()
        await house.desk.book.make("own", settings.Endpoint(kind="poll", client=made.client.id))

        async def status(client: httpx.AsyncClient, name: str) -> int:
            return (await client.get(f"/api/v1/endpoints/{name}/events")).status_code

        async with house.anybody() as owner, house.caller() as other:
            owner.headers["authorization"] = f"Bearer {made.key}"
            assert await status(owner, "own") == 200
            assert await status(other, "own") == 403
            assert await status(other, "erp") == 200
            assert await status(other, "clear") == 403
            assert await status(other, "crm") == 403
            assert await status(other, "nobody") == 404
        async with house.caller(grants=CLEAR) as client:
            assert await status(client, "clear") == 200
        async with house.caller(scopes=("events:read",)) as client:
            assert await status(client, "erp") == 403
        async with house.caller(scopes=("endpoints:write",)) as client:
            assert await status(client, "erp") == 403
        async with house.caller(unit="east") as client:
            assert await status(client, "erp") == 404

    told(tmp_path, story, endpoints={**POLLED, "clear": clear, "crm": settings.Endpoint(url="http://127.0.0.1:9/")})


def test_paused_or_disabled_endpoint_hands_over_nothing(tmp_path: Path) -> None:
    """And says what would; what waited is there afterwards."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        async with house.caller() as client:
            await house.desk.book.pause("erp")
            refused = await client.get(PATH)
            assert (refused.status_code, refused.json()["code"]) == (409, "endpoint.silent")
            await house.desk.book.resume("erp")
            assert len((await fetch(client))["items"]) == 1
            await house.ground.records.disable("erp", cause="by hand", now=house.ground.clock.now())
            assert (await client.get(PATH)).status_code == 409

    told(tmp_path, story, endpoints=POLLED)


def test_everything_arrives_in_order_whatever_gets_lost_and_whenever_it_restarts(tmp_path: Path) -> None:
    """Answers are lost, cursors forgotten, processes started anew, events replayed: each event comes at least once, and of one record the
    first time in order."""
    dice = random.Random(7)
    place: str | None = None
    seen: dict[str, list[int]] = {}
    said = 0

    async def visit(house: House) -> None:
        nonlocal place, said
        async with house.caller() as client:
            for _ in range(12):
                said += 1
                code = f"C{said % 4}"
                await house.say("members", member(code, name=f"名{said}", updated_at=f"2026-11-11 00:00:{said:02d}"))
                answer = await fetch(client, place if dice.random() < 0.8 else None, limit=dice.choice((1, 2, 5)))
                if dice.random() < 0.6:
                    place = answer["next"]
                    for one in answer["items"]:
                        known = seen.setdefault(one["subject"], [])
                        known += [one["sequence"]] if one["sequence"] not in known else []

    async def finish(house: House) -> None:
        nonlocal place
        async with house.caller() as client:
            while (answer := await fetch(client, place))["items"]:
                place = answer["next"]
                for one in answer["items"]:
                    known = seen.setdefault(one["subject"], [])
                    known += [one["sequence"]] if one["sequence"] not in known else []

    for _ in range(4):
        told(tmp_path, visit, endpoints=POLLED)
    told(tmp_path, finish, endpoints=POLLED)
    assert sum(len(known) for known in seen.values()) == 48
    assert all(known == list(range(1, len(known) + 1)) for known in seen.values())
