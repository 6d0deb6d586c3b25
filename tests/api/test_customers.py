"""Customers over the API: paging, grants, domains, look-up, timeline."""

from pathlib import Path

from gateway import access
from tests.api.kit import CLEAR, House, member, order, told


def test_pages_go_on_where_the_last_ended_while_others_write(tmp_path: Path) -> None:
    """Nobody comes twice, and whoever was there when paging began is not missed."""

    async def story(house: House) -> None:
        for number in range(5):
            await house.say("members", member(f"C{number}"))
        async with house.caller() as client:
            first = (await client.get("/api/v1/customers", params={"limit": 3})).json()
            await house.say("members", member("C9"))
            await house.say("members", member("C0", name="改名", updated_at="2026-11-12 00:00:00"))
            rest = (await client.get("/api/v1/customers", params={"limit": 3, "after": first["next"]})).json()
        ids = [one["id"] for one in [*first["items"], *rest["items"]]]
        assert len(ids) == len(set(ids)) == 6
        assert rest["next"] is None

    told(tmp_path, story)


def test_fields_come_as_the_client_was_granted(tmp_path: Path) -> None:
    """Masked by default, in the clear where granted, gone where dropped, and a grant that ran out is no grant."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        async with house.caller() as client:
            (seen,) = (await client.get("/api/v1/customers")).json()["items"]
            assert seen["name"] == "会*"
            assert seen["contacts"][0]["value"] == "138****8001"
        async with house.caller(grants=CLEAR) as client:
            (seen,) = (await client.get("/api/v1/customers")).json()["items"]
            assert seen["name"] == "会员C1"
            assert seen["contacts"][0]["value"] == "+8613800138001"
        async with house.caller(grants={"contact": access.Lent(how="drop")}) as client:
            (seen,) = (await client.get("/api/v1/customers")).json()["items"]
            assert "value" not in seen["contacts"][0]
            assert seen["withheld"] == ["contact"]
        async with house.caller(grants={"contact": access.Lent(how="clear", until=1)}) as client:
            (seen,) = (await client.get("/api/v1/customers")).json()["items"]
            assert seen["contacts"][0]["value"] == "138****8001"

    told(tmp_path, story)


def test_what_lies_outside_of_the_domain_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """In lists, by id, and in look-ups."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        await house.say("east", member("C2"))
        async with house.caller() as client:
            everybody = (await client.get("/api/v1/customers")).json()["items"]
            assert len(everybody) == 2
        async with house.caller(unit="east") as client:
            (own,) = (await client.get("/api/v1/customers")).json()["items"]
            assert own["unit"] == "east"
            (other,) = [one["id"] for one in everybody if one["id"] != own["id"]]
            assert (await client.get(f"/api/v1/customers/{other}")).status_code == 404
            found = await client.post("/api/v1/customers:lookup", json={"phone": "13800138001"})
            assert found.json()["items"] == []

    told(tmp_path, story)


def test_customer_is_found_by_phone_and_by_the_systems_own_number(tmp_path: Path) -> None:
    """However the phone is written; and a question that asks two things, or none, is refused with the remedy."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        async with house.caller() as client:
            for asked in (
                {"phone": "+86 138 0013 8001"},
                {"namespace": "erp.customer_code", "scope": "erp", "value": "C1"},
            ):
                found = await client.post("/api/v1/customers:lookup", json=asked)
                assert [one["name"] for one in found.json()["items"]] == ["会*"], asked
            for asked in (
                {},
                {"phone": "13800138001", "email": "a@b.c"},
                {"value": "x"},
                {"namespace": "nope", "value": "x"},
            ):
                refused = await client.post("/api/v1/customers:lookup", json=asked)
                assert refused.status_code == 400, asked
                assert refused.json()["remedy"]

    told(tmp_path, story)


def test_timeline_holds_the_customers_orders_newest_first_in_pages(tmp_path: Path) -> None:
    """Each event once, however small the page."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        for number in range(3):
            await house.say("orders", order(f"A{number}", "C1"))
        async with house.caller() as client:
            (seen,) = (await client.get("/api/v1/customers")).json()["items"]
            moments, after = [], None
            while True:
                params = {"limit": 2, **({"after": after} if after else {})}
                page = (await client.get(f"/api/v1/customers/{seen['id']}/timeline", params=params)).json()
                moments += page["items"]
                after = page["next"]
                if after is None:
                    break
        assert [one["at"] for one in moments] == sorted((one["at"] for one in moments), reverse=True)
        assert len({one["id"] for one in moments}) == len(moments) >= 4
        assert sum(one["type"].startswith("order.") for one in moments) == 3

    told(tmp_path, story)


def test_unchanged_customer_is_not_sent_again(tmp_path: Path) -> None:
    """304 by entity tag; and the tag belongs to what this caller sees."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        async with house.caller() as masked, house.caller(grants=CLEAR) as clear:
            (seen,) = (await masked.get("/api/v1/customers")).json()["items"]
            path = f"/api/v1/customers/{seen['id']}"
            tag = (await masked.get(path)).headers["etag"]
            assert (await masked.get(path, headers={"if-none-match": tag})).status_code == 304
            assert (await clear.get(path, headers={"if-none-match": tag})).status_code == 200
            await house.say("members", member("C1", name="李四", updated_at="2026-11-12 00:00:00"))
            assert (await masked.get(path, headers={"if-none-match": tag})).status_code == 200

    told(tmp_path, story)
