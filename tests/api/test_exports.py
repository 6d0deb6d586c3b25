"""Records and events as a file: what the list would show, in its order, to whoever asked and nobody else, and not for long."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway import access
from gateway.desk.clients import Clients
from gateway.model.appointment import Appointment, Status
from tests.api.kit import ALL, CLEAR, House, member, order, told


async def export(house: House, client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """The job, once it is over."""
    begun = await client.post("/api/v1/exports", json=asked)
    assert begun.status_code == 202, begun.text
    await house.work()
    found: dict[str, Any] = (await client.get(begun.headers["location"])).json()
    return found


async def content(client: httpx.AsyncClient, job: dict[str, Any]) -> str:
    """What it made."""
    answer = await client.get(job["content"])
    assert answer.status_code == 200, answer.text
    return answer.text


async def many(house: House, count: int) -> None:
    """Members enough for several pieces."""
    await house.say("members", [member(f"C{number}") for number in range(count)])


def test_every_record_comes_once_as_the_list_shows_it(tmp_path: Path) -> None:
    """In several pieces, in the list's order, under the client's grants; the trail knows of the export and of the download."""

    async def story(house: House) -> None:
        await many(house, 450)
        async with house.caller() as client:
            job = await export(house, client, what="customers")
            assert (job["state"], job["done"], job["total"], job["kind"]) == ("done", 450, 450, "export")
            items = [msgspec.json.decode(line) for line in (await content(client, job)).splitlines()]
            first = (await client.get("/api/v1/customers", params={"limit": 200})).json()
            assert items[:200] == first["items"]
            assert len({one["id"] for one in items}) == 450
            assert "会员C1" not in str(items)
            acts = [(link.act.verb, link.act.object) for link in await house.ground.trail.acts()]
            assert acts == [("export", job["id"]), ("download", job["id"])]
        async with house.caller(grants=CLEAR) as client:
            job = await export(house, client, what="customers")
            assert "会员C1" in await content(client, job)

    told(tmp_path, story)


def test_table_has_a_column_for_each_field_and_runs_in_no_spreadsheet(tmp_path: Path) -> None:
    """What is no plain value is JSON under a heading that says so; a text that looks like a formula is made harmless, a phone is not touched."""

    async def story(house: House) -> None:
        await house.say("members", member("C1", name="=HYPERLINK(1)", tags=["a", "b"]))
        await house.say("orders", order("A1", "C1"))
        async with house.caller(grants=CLEAR) as client:
            text = await content(client, await export(house, client, what="customers", format="csv"))
            assert text.startswith("\ufeff")
            (row,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
            assert row["name"] == "'=HYPERLINK(1)" and msgspec.json.decode(row["tags:json"]) == ["a", "b"]
            assert msgspec.json.decode(row["contacts:json"])[0]["value"] == "+8613800138001"
            assert "provenance" not in text
            text = await content(client, await export(house, client, what="orders", format="csv"))
            (row,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
            assert (row["external_id"], row["payment"], msgspec.json.decode(row["money:json"])["paid"]["amount"]) == (
                "A1",
                "paid",
                1000,
            )
            empty = await content(client, await export(house, client, what="stock", format="csv"))
            assert empty.startswith("\ufeffid,") and empty.count("\n") == 1

    told(tmp_path, story)


def test_conditions_and_domain_hold(tmp_path: Path) -> None:
    """By account, unit and time; events by type and time; nothing of another unit."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        await house.say("east", member("C2"))
        await house.say("orders", order("A1", "C1"))
        async with house.caller() as client:

            async def count(**asked: Any) -> int:
                return int((await export(house, client, **asked))["done"])

            assert await count(what="customers", account="east") == 1
            assert await count(what="customers", unit="east") == 1
            assert await count(what="customers", updated_since="2999-01-01T00:00:00Z") == 0
            assert await count(what="events") == 3
            assert await count(what="events", types=["order.*"]) == 1
            assert await count(what="events", since="2999-01-01T00:00:00Z") == 0
            job = await export(house, client, what="events", format="csv")
            (_, row, *_) = csv.DictReader(io.StringIO((await content(client, job)).removeprefix("\ufeff")))
            assert msgspec.json.decode(row["source:json"])["account"] == "east"
            for wrong in (
                {"what": "events", "unit": "east"}, {"what": "orders", "types": ["*"]}, {"what": "events", "types": ["nope"]},
                {"what": "people"}, {"what": "orders", "updated_since": "2026-11-11T00:00:00"},
            ):  # fmt: skip
                assert (await client.post("/api/v1/exports", json=wrong)).status_code == 400, wrong
        async with house.caller(unit="east") as client:
            assert (await export(house, client, what="customers"))["done"] == 1
        async with house.caller(scopes=("exports:read", "orders:read")) as client:
            refused = await client.post("/api/v1/exports", json={"what": "customers"})
            assert (refused.status_code, refused.json()["code"]) == (403, "client.scope")
            refused = await client.post("/api/v1/exports", json={"what": "events", "types": ["operator.*"]})
            assert refused.status_code in (400, 403)

    told(tmp_path, story)


def test_what_was_made_is_for_the_same_client_with_the_same_grants_for_a_day(tmp_path: Path) -> None:
    """Neither for another, nor before it is done, nor after a grant was taken away; and sealed where it lies."""

    async def story(house: House) -> None:
        await house.say("members", member("C1", name="秘密姓名"))
        made = await house.make(grants=CLEAR)
        async with house.anybody() as client, house.caller(grants=CLEAR) as other:
            client.headers["authorization"] = f"Bearer {made.key}"
            begun = (await client.post("/api/v1/exports", json={"what": "customers"})).json()
            early = await client.get(f"/api/v1/exports/{begun['id']}/content")
            assert (early.status_code, early.json()["code"]) == (409, "export.not_done")
            await house.work()
            job = (await client.get(f"/api/v1/jobs/{begun['id']}")).json()
            assert "秘密姓名" in await content(client, job)
            assert (await other.get(job["content"])).status_code == 404
            await house.desk.clients.change(
                access.Client(id=made.client.id, name="erp", scopes=ALL, rate=99.0, burst=99.0), before=1
            )
            changed = await client.get(job["content"])
            assert (changed.status_code, changed.json()["code"]) == (409, "export.grants_changed")
        files = b"".join(path.read_bytes() for path in tmp_path.glob("jobs.db*"))
        assert "秘密姓名".encode() not in files and b"\\u79d8" not in files

    told(tmp_path, story)


def test_export_of_a_client_who_lost_a_grant_or_ended_fails_and_says_so(tmp_path: Path) -> None:
    """Each step looks anew: what was begun under a grant is not finished without it."""

    async def story(house: House) -> None:
        await many(house, 450)
        made = await house.make(grants=CLEAR)
        async with house.anybody() as client:
            client.headers["authorization"] = f"Bearer {made.key}"
            paths = [
                (await client.post("/api/v1/exports", json={"what": "customers"})).headers["location"] for _ in range(2)
            ]
            await house.desk.labour.runner.round()
            clients: Clients = house.desk.clients
            bare = access.Client(id=made.client.id, name="erp", scopes=ALL, rate=99.0, burst=99.0)
            await clients.change(bare, before=1)
            await house.work()
            failed = (await client.get(paths[0])).json()
            assert (failed["state"], failed["content"]) == ("failed", None)
            assert "changed" in failed["fault"]

    told(tmp_path, story)


def test_no_export_shows_more_than_the_list(tmp_path: Path) -> None:
    """Every kind, under the least grants: neither marked values nor what stands in their place at rest."""

    async def story(house: House) -> None:
        await house.say("members", member("C1", name="秘密姓名", phone="13911112222", email="leak@example.com"))
        await house.say("orders", order("A1", "C1", phone="13911112222"))
        await house.keep(
            "appointment", Appointment(account="his", external_id="P1", service="秘密科室", status=Status.BOOKED)
        )
        async with house.caller() as client:
            for what in (
                "customers",
                "orders",
                "appointments",
                "interactions",
                "relationships",
                "units",
                "staff",
                "stock",
                "events",
            ):
                for form in ("ndjson", "csv"):
                    text = await content(client, await export(house, client, what=what, format=form))
                    for secret in ("秘密", "13911112222", "leak@example.com", "$sealed"):
                        assert secret not in text, (what, form, secret)

    told(tmp_path, story)
