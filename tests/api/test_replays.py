"""Sending again over the API: counted first, done by a job, within the client's domain."""

from pathlib import Path
from typing import Any

import httpx

from gateway import settings
from gateway.store import DeliveryState
from tests.api.kit import House, member, order, told


async def replay(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """What was counted, and the job."""
    answer = await client.post("/api/v1/replays", json=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def done(house: House) -> None:
    """Everything that is due arrives."""
    now = house.ground.clock.now()
    while taken := await house.ground.records.claim(now=now, lease=now + 60, claim="test", limit=50, retries=False):
        results = [house.outcome(one, DeliveryState.DONE) for one in taken]
        await house.ground.records.finish(results)


def test_dry_run_counts_and_changes_nothing_and_a_job_does_what_was_counted(tmp_path: Path) -> None:
    """Only those who lack it get it; asked to, those who had it too; each act is on the trail, a count is not."""

    async def story(house: House) -> None:
        for number in range(3):
            await house.say("members", member(f"C{number}"))
        await done(house)
        await house.say("orders", order("A1", "C1"))
        async with house.caller() as client:
            counted = await replay(client, types=["customer.*"], again=True)
            assert (counted["events"], counted["sends"], counted["job"]) == (3, 3, None)
            (crm,) = counted["endpoints"]
            assert (crm["endpoint"], crm["done"], crm["sends"], crm["held"]) == ("crm", 3, 3, "")
            assert (await replay(client, types=["customer.*"]))["sends"] == 0
            assert (await house.ground.records.counts())["deliveries.done"] == 3
            begun = await replay(client, types=["customer.*"], again=True, dry_run=False)
            await house.work()
            job = (await client.get(f"/api/v1/jobs/{begun['job']['id']}")).json()
            assert (job["state"], job["done"], job["result"]) == ("done", 3, {"deliveries": 3})
            assert (await house.ground.records.counts())["deliveries.done"] == 0
            acts = [link.act for link in await house.ground.trail.acts() if link.act.verb == "replay"]
            assert [act.detail["deliveries"] for act in acts] == [3]

    told(tmp_path, story)


def test_replay_without_a_condition_or_beyond_the_domain_is_refused(tmp_path: Path) -> None:
    """Everything by mistake is nobody's wish; a client of a unit names an endpoint of its own."""
    endpoints = {
        "crm": settings.Endpoint(url="http://127.0.0.1:9/"), "branch": settings.Endpoint(url="http://127.0.0.1:9/", unit="east")
    }  # fmt: skip

    async def story(house: House) -> None:
        await house.say("east", member("C1"))

        async def status(client: httpx.AsyncClient, **asked: Any) -> int:
            return (await client.post("/api/v1/replays", json=asked)).status_code

        async with house.caller() as client:
            assert await status(client) == 400
            assert await status(client, types=["nope"]) == 400
            assert await status(client, since="2026-11-11T00:00:00") == 400
            assert await status(client, subject="cus_1", endpoint="nobody") == 404
            assert (await replay(client, account="east", endpoint="crm"))["events"] == 1
        async with house.caller(unit="east") as client:
            assert await status(client, account="east") == 403
            assert await status(client, account="east", endpoint="crm") == 404
            assert await status(client, account="east", endpoint="branch") == 200
        async with house.caller(scopes=("ops:read",)) as client:
            assert await status(client, account="east") == 403

    told(tmp_path, story, endpoints=endpoints)
