"""Somebody who writes into the database: who looks gets a clear answer, what lies beside is shown, and operators hear of it once."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway import settings, store
from gateway.desk.users import Role
from tests.api.kit import CLEAR, House, member, told
from tests.console.test_entrance import signed_in

ENDPOINTS = {"ops": settings.Endpoint(url="http://127.0.0.1:9/", events=("operator.*",)), "erp": settings.Endpoint(kind="poll")}  # fmt: skip


async def _customers(house: House) -> list[str]:
    """Two customers; a sealed value of the first was altered in its record and in its event."""
    await house.say("members", member("C1"))
    await house.say("members", member("C2"))
    rows = await house.ground.records.rows("customer", limit=10)
    first = next(one for one in rows if one.sequence == 1)
    found = re.search(rb'"\$sealed":"([^"]+)"', first.body)
    assert found
    token = found[1]
    altered = token[:-8] + (b"A" if token[-8:-7] != b"A" else b"B") + token[-7:]
    with closing(sqlite3.connect(house.ground.tree.gateway.data_dir / "store.db")) as connection:
        connection.execute("UPDATE records SET body = ? WHERE id = ?", (first.body.replace(token, altered), first.id))
        (event,) = connection.execute("SELECT body FROM events WHERE subject = ?", (first.id,)).fetchone()
        assert token in event
        connection.execute("UPDATE events SET body = ? WHERE subject = ?", (event.replace(token, altered), first.id))
        connection.commit()
    return [first.id, next(one.id for one in rows if one.id != first.id)]


async def _told(house: House) -> list[store.EventRow]:
    return [one for one in await house.ground.records.events(limit=100) if one.type == "operator.value_tampered"]


def test_altered_record_is_a_problem_over_the_api_and_raises_the_alarm(tmp_path: Path) -> None:
    """Not a fault of the gateway: the answer says what happened, and whoever asked for operator events is told once."""

    async def story(house: House) -> None:
        (altered, _) = await _customers(house)
        async with house.caller(grants=CLEAR) as client:
            for _ in range(2):
                answer = await client.get(f"/api/v1/customers/{altered}")
                assert answer.status_code == 409, answer.text
                problem = answer.json()
                assert (problem["code"], problem["place"].partition("/")[0]) == ("vault.tampered", altered)
                assert problem["remedy"]
        (event,) = await _told(house)
        assert altered.encode() in event.body
        sent = await house.ground.records.deliveries(endpoint="ops")
        assert [one.event for one in sent] == [event.id]

    told(tmp_path, story, endpoints=ENDPOINTS)


def test_altered_record_does_not_hide_those_beside_it(tmp_path: Path) -> None:
    """In lists and in the feed it is shown as to somebody who may see nothing sealed."""

    async def story(house: House) -> None:
        altered, whole = await _customers(house)
        async with house.caller(grants=CLEAR) as client:
            items = {one["id"]: one for one in (await client.get("/api/v1/customers")).json()["items"]}
            assert "name" in items[whole] and "withheld" not in items[whole]
            assert "identity" in items[altered]["withheld"] and "name" not in items[altered]
            feed = await client.get("/api/v1/events", params={"types": "customer.*"})
            assert [one["subject"] for one in feed.json()["items"]] == [altered, whole]
        assert len(await _told(house)) == 1

    told(tmp_path, story, endpoints=ENDPOINTS)


def test_altered_event_does_not_hold_up_the_line_of_who_polls(tmp_path: Path) -> None:
    """Its delivery is dead, as one that is sent would be; the others are handed over."""

    async def story(house: House) -> None:
        _, whole = await _customers(house)
        async with house.caller(grants=CLEAR) as client:
            alone = await client.get("/api/v1/endpoints/erp/events", params={"limit": 1})
            assert [one["subject"] for one in alone.json()["items"]] == [whole]
        (dead,) = await house.ground.records.deliveries(endpoint="erp", state=store.DeliveryState.DEAD)
        assert (dead.cause or "").startswith("vault.tampered")
        assert len(await _told(house)) == 1

    told(
        tmp_path, story,
        endpoints={**ENDPOINTS, "erp": settings.Endpoint(kind="poll", grants=settings.Grants(identity="clear", contact="clear"))},
    )  # fmt: skip


def test_altered_record_is_a_page_that_says_so_and_raises_the_alarm(tmp_path: Path) -> None:
    """For whoever looks at the console."""

    async def story(house: House) -> None:
        altered, _ = await _customers(house)
        async with house.anybody() as client:
            await signed_in(house, client, Role.ADMIN)
            page = await client.get(f"/console/customers/{altered}")
            assert page.status_code == 409
            assert "altered since it was written" in page.text
            assert (await client.get("/console/customers")).status_code == 200
        assert len(await _told(house)) == 1

    told(tmp_path, story, endpoints=ENDPOINTS)
