"""What a client that ends leaves behind."""

from pathlib import Path

import msgspec

from gateway import access, settings
from gateway.clock import SECOND, TurnedClock
from gateway.desk.belongings import Belongings
from tests.api.kit import ALL, House, member, told

HOOK = {"url": "https://erp.example/hooks", "events": ["customer.*"]}


async def _disabled(house: House) -> dict[str, str]:
    return await house.ground.records.disabled()


async def _causes(house: House) -> list[str]:
    rows = [one for one in await house.ground.records.events(limit=50) if one.type == "operator.endpoint_disabled"]
    return [msgspec.json.decode(one.body)["data"]["cause"] for one in rows]


def test_endpoints_of_a_revoked_client_are_disabled_once_with_the_reason(tmp_path: Path) -> None:
    """Those that it made; another client's and the house's go on. Who enables one again is not overruled."""

    async def story(house: House) -> None:
        made = await house.make("erp")
        async with house.anybody() as client, house.caller(name="bi") as other:
            client.headers["authorization"] = f"Bearer {made.key}"
            assert (await client.post("/api/v1/endpoints", json={"name": "erp-1", **HOOK})).status_code == 201
            assert (await other.post("/api/v1/endpoints", json={"name": "bi-1", **HOOK})).status_code == 201
        assert (await house.desk.belongings.of_all())[made.client.id] == ["erp-1"]
        await house.desk.belongings.round()
        assert await _disabled(house) == {}
        await house.say("members", member("C1"))
        await house.desk.clients.revoke(made.client.id)
        for _ in range(2):
            await house.desk.belongings.round()
            assert await _disabled(house) == {"erp-1": f"its client {made.client.id} was revoked"}
        assert await _causes(house) == [f"its client {made.client.id} was revoked"]
        assert (await house.ground.records.waiting("erp-1")).count == 0
        await house.ground.records.enable("erp-1", now=house.ground.clock.now())
        await house.desk.belongings.round()
        assert await _disabled(house) == {}

    told(tmp_path, story)


def test_endpoint_that_only_a_client_may_fetch_from_ends_when_the_client_does(tmp_path: Path) -> None:
    """By itself, at the instant that was set; also one of the config."""
    clock = TurnedClock()

    async def story(house: House) -> None:
        made = await house.make("erp")
        entry = await house.ground.book.entry("erp")
        named = msgspec.structs.replace(entry.settings, client=made.client.id)
        await house.ground.book.make("line", named)
        (_, version) = next(one for one in await house.desk.clients.all() if one[0].id == made.client.id)
        until = clock.now() + 60 * SECOND
        await house.desk.clients.change(msgspec.structs.replace(made.client, until=until), before=version)
        await house.desk.belongings.round()
        assert await _disabled(house) == {}
        clock.turn(60.0)
        await house.desk.belongings.round()
        assert list(await _disabled(house)) == ["line"]
        assert (await _causes(house))[0].startswith(f"its client {made.client.id} ended at 2")

    told(tmp_path, story, clock=clock, endpoints={"erp": settings.Endpoint(kind="poll")})


def test_who_made_an_endpoint_last_is_whose_it_is(tmp_path: Path) -> None:
    """A name that was freed and taken by somebody else."""

    async def story(house: House) -> None:
        first, second = await house.make("a"), await house.make("b")
        belongings: Belongings = house.desk.belongings
        for made in (first, second):
            await belongings.keep("erp-1", made.client.id)
        await house.ground.book.make("erp-1", settings.Endpoint(kind="poll"))
        assert await belongings.of_all() == {second.client.id: ["erp-1"]}
        assert access.in_force(first.client, 0) and set(first.client.scopes) == set(ALL)

    told(tmp_path, story)
