"""What an operator's program sees and settles: deliveries, attempts, dead letters, rejects, accounts, mappings."""

from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway import store
from gateway.store import DeliveryState
from tests.api.kit import House, member, order, told

EAST = {
    "connector": "feed",
    "auth": "none-on-loopback",
    "mapping": "feed/customer",
    "unit": "east",
    "secret": "hunter2hunter2",
}


async def items(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    """Of a list."""
    answer = await client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def tried(house: House, state: DeliveryState) -> store.Delivery:
    """The oldest due delivery, after an attempt that answered with a name."""
    now, vault = house.ground.clock.now(), house.ground.vault
    (claimed,) = await house.ground.records.claim(now=now, lease=now + 60, claim="test", limit=1, retries=False)
    attempt = store.Attempt(
        id="att_1", delivery=claimed.delivery.id, endpoint="crm", event=claimed.event.id, at=now, took=1500, status=500, error=None,
        response=vault.seal("内部错误".encode(), b"att_1"),
    )  # fmt: skip
    result = store.Result(
        delivery=claimed.delivery.id, claim="test", state=state, due=now, tries=1, attempt=attempt, cause="http 500"
    )
    await house.ground.records.finish([result])
    return claimed.delivery


def test_delivery_is_found_by_endpoint_state_and_event_with_its_attempts(tmp_path: Path) -> None:
    """What the endpoint answered is shown to operators only."""

    async def story(house: House) -> None:
        for number in range(3):
            await house.say("members", member(f"C{number}"))
        dead = await tried(house, DeliveryState.DEAD)
        async with house.caller() as client:
            assert len(await items(client, "deliveries", endpoint="crm")) == 3
            assert await items(client, "deliveries", endpoint="bi") == []
            (found,) = await items(client, "deliveries", state="dead")
            assert found == (await items(client, "deliveries", event=dead.event))[0]
            assert (found["id"], found["tries"], found["cause"]) == (dead.id, 1, "http 500")
            first = (await client.get("/api/v1/deliveries", params={"limit": 2})).json()
            rest = await items(client, "deliveries", after=first["next"])
            assert len({one["id"] for one in [*first["items"], *rest]}) == 3
            (attempt,) = await items(client, f"deliveries/{dead.id}/attempts")
            assert (attempt["status"], attempt["took_ms"], attempt["response"]) == (500, 1.5, "内部错误")
            assert (await client.get(f"/api/v1/deliveries/{dead.id}")).json() == found
            assert (await client.get("/api/v1/deliveries/dlv_none/attempts")).status_code == 404
        async with house.caller(scopes=("endpoints:read",)) as client:
            (attempt,) = await items(client, f"deliveries/{dead.id}/attempts")
            assert "response" not in attempt
        async with house.caller(unit="east") as client:
            assert await items(client, "deliveries") == []
            assert (await client.get(f"/api/v1/deliveries/{dead.id}")).status_code == 404
        async with house.caller(scopes=("events:read",)) as client:
            assert (await client.get("/api/v1/deliveries")).status_code == 403

    told(tmp_path, story)


def test_dead_letters_are_tried_again_or_dropped_each_by_itself_and_on_the_trail(tmp_path: Path) -> None:
    """Entries and deliveries alike; what cannot be done says why and hinders no other."""

    async def story(house: House) -> None:
        await house.say("orders", order("A1", "C1", updated_at="gestern"))
        await house.say("orders", order("A2", "C2", updated_at="vorgestern"))
        await house.say("members", member("C1"))
        delivery = await tried(house, DeliveryState.DEAD)
        async with house.caller() as client:
            one, two = await items(client, "dead-letters")
            assert (one["stage"], one["account"], one["state"]) == ("map", "orders", "open")
            assert "gestern" not in str(one)
            assert len(await items(client, "dead-letters", account="orders", cause=one["cause"])) == 2
            assert await items(client, "dead-letters", account="members") == []
            asked = {"ids": [one["id"], delivery.id, "ded_none", "dlv_none"]}
            outcomes = (await client.post("/api/v1/dead-letters:retry", json=asked)).json()["items"]
            assert [(item["id"], item["done"]) for item in outcomes] == [
                (one["id"], True), (delivery.id, True), ("ded_none", False), ("dlv_none", False)
            ]  # fmt: skip
            assert [item["id"] for item in await items(client, "dead-letters", state="retried")] == [one["id"]]
            assert await items(client, "deliveries", state="dead") == []
            asked = {"ids": [two["id"]], "reason": "a test order"}
            assert (await client.post("/api/v1/dead-letters:drop", json=asked)).json()["items"][0]["done"]
            (dropped,) = await items(client, "dead-letters", state="dropped")
            assert dropped["detail"].endswith("dropped: a test order")
            assert (await client.post("/api/v1/dead-letters:drop", json={"ids": [two["id"]]})).status_code == 400
            acts = [link.act.verb for link in await house.ground.trail.acts()]
            assert acts[-2:] == ["retry", "drop"]
        async with house.caller(scopes=("ops:read",)) as client:
            assert (await client.post("/api/v1/dead-letters:retry", json={"ids": [one["id"]]})).status_code == 403

    told(tmp_path, story)


def test_dead_letter_of_another_unit_is_neither_seen_nor_settled(tmp_path: Path) -> None:
    """By the unit of the account that said it."""

    async def story(house: House) -> None:
        await house.say("orders", order("A1", "C1", updated_at="gestern"))
        await house.say("east", member("C1", updated_at="gestern"))
        async with house.caller() as client:
            both = await items(client, "dead-letters")
        async with house.caller(unit="east") as client:
            (own,) = await items(client, "dead-letters")
            (other,) = [one["id"] for one in both if one["id"] != own["id"]]
            refused = await client.post("/api/v1/dead-letters:drop", json={"ids": [other], "reason": "not mine"})
            assert not refused.json()["items"][0]["done"]

    told(tmp_path, story)


def test_rejects_are_listed_without_what_they_held(tmp_path: Path) -> None:
    """By account and from an instant on; of one's own units."""

    async def story(house: House) -> None:
        vault = house.ground.vault

        def reject(at: int, account: str) -> store.Reject:
            name = f"rej_{at:012x}7000"
            return store.Reject(
                id=name, account=account, reason="signature", detail="no signature matches", peer="192.0.2.1", size=9, at=at * 1000,
                body=vault.seal(b"13800138000", name.encode()),
            )  # fmt: skip

        await house.ground.records.reject([reject(1_000, "members"), reject(2_000, "east")], keep=9)
        async with house.caller() as client:
            both = await items(client, "rejects")
            assert [one["account"] for one in both] == ["members", "east"]
            assert set(both[0]) == {"id", "at", "account", "reason", "detail", "peer", "size"}
            assert [one["account"] for one in await items(client, "rejects", account="east")] == ["east"]
            assert [one["account"] for one in await items(client, "rejects", since="1970-01-01T00:00:02Z")] == ["east"]
            assert len(await items(client, "rejects", since="0001-01-01T00:00:00Z")) == 2
        async with house.caller(unit="east") as client:
            assert [one["account"] for one in await items(client, "rejects")] == ["east"]

    told(tmp_path, story)


def test_accounts_tell_what_they_can_and_how_they_were_and_never_their_secrets(tmp_path: Path) -> None:
    """Options are no part of an answer; figures are those of all processes."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        house.ground.board.put("door-0", house.ground.clock.now(), {}, house.ground.meters.registry)
        house.desk.figures.take()
        async with house.caller() as client:
            answer = await client.get("/api/v1/accounts")
            assert "hunter2" not in answer.text and "secret" not in answer.text
            known = {one["name"]: one for one in answer.json()["items"]}
            assert (known["members"]["connector"], known["members"]["accepted"]) == ("feed", 1)
            assert known["members"]["mappings"] == ["feed/customer@1"]
            assert known["members"]["can"] == ["import", "receive"]
            assert (await client.get("/api/v1/accounts/members")).json() == known["members"]
            assert (await client.get("/api/v1/accounts/nobody")).status_code == 404
            (line,) = [one for one in await items(client, "mappings") if one["id"] == "feed/order"]
            assert (line["live"], line["canary"], line["accounts"]) == ("feed/order@1", None, ["orders"])
        async with house.caller(unit="east") as client:
            assert [one["name"] for one in await items(client, "accounts")] == ["east"]
            assert [one["accounts"] for one in await items(client, "mappings")] == [["east"]]
        async with house.caller(scopes=("customers:read",)) as client:
            for path in ("accounts", "accounts/members", "mappings", "rejects", "dead-letters"):
                assert (await client.get(f"/api/v1/{path}")).status_code == 403, path

    accounts = {
        **{
            name: {"connector": "feed", "auth": "none-on-loopback", "mapping": f"feed/{stem}", "system": "erp"}
            for name, stem in (("members", "customer"), ("orders", "order"))
        },
        "east": EAST,
    }
    told(tmp_path, story, accounts=accounts)


def test_no_list_of_operators_shows_what_was_said(tmp_path: Path) -> None:
    """Marked values go in by a good and a bad row; no answer holds them."""

    async def story(house: House) -> None:
        await house.say("members", member("C1", name="秘密姓名", phone="13911112222", email="leak@example.com"))
        await house.say("members", member("C2", name="秘密姓名", phone="13911112222", updated_at="gestern"))
        await house.say("orders", order("A1", "C1", phone="13911112222", updated_at="秘密姓名"))
        async with house.caller() as client:
            for path in (
                "deliveries",
                "dead-letters",
                "rejects",
                "accounts",
                "mappings",
                "match-candidates",
                "events",
                "customers",
            ):
                text = (await client.get(f"/api/v1/{path}")).text
                for secret in ("秘密姓名", "13911112222", "leak@example.com", "$sealed"):
                    assert secret not in text, (path, secret)
                assert msgspec.json.encode("秘密姓名").decode() not in text

    told(tmp_path, story)
