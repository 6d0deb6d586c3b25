"""Many rows at once: each with its own result, through the journal like a push, once however often they are brought."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.model.lane import Lane
from tests.api.kit import CLEAR, House, member, order, told

NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}
MAY = ("members", "orders")


def lines(*rows: Any) -> bytes:
    """Rows, one a line."""
    return msgspec.json.Encoder().encode_lines(rows)


async def bring(house: House, client: httpx.AsyncClient, account: str, body: bytes, **headers: str) -> dict[str, Any]:
    """The job, once it is over and what it wrote down is projected."""
    begun = await client.post("/api/v1/imports", params={"account": account}, content=body, headers=headers or NDJSON)
    assert begun.status_code == 202, begun.text
    await house.work()
    found: dict[str, Any] = (await client.get(begun.headers["location"])).json()
    return found


async def refused(client: httpx.AsyncClient, job: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Rows that were not taken in."""
    answer = await client.get(job["rows"])
    assert answer.status_code == 200, answer.text
    return [(one["row"], one["outcome"], one["field"]) for one in answer.json()["items"]]


def test_good_rows_arrive_and_bad_ones_say_why(tmp_path: Path) -> None:
    """A row without its name, one that is no JSON, and one that the mapping cannot read: none hides a good one, none becomes a dead letter."""

    async def story(house: House) -> None:
        async with house.caller(accounts=MAY, grants=CLEAR) as client:
            body = (
                lines(member("C1"), {"name": "ohne"})
                + b"{broken\n"
                + lines(member("C4", updated_at="gestern"), member("C5"))
            )
            job = await bring(house, client, "members", body)
            assert (job["state"], job["done"], job["total"]) == ("done", 5, 5)
            assert job["result"] == {"accepted": 2, "duplicate": 0, "refused": 3}
            assert await refused(client, job) == [
                (2, "refused", "customer_code"),
                (3, "refused", ""),
                (4, "refused", ""),
            ]
            assert "gestern" not in (await client.get(job["rows"])).text
            names = [one["name"] for one in (await client.get("/api/v1/customers")).json()["items"]]
            assert sorted(names) == ["会员C1", "会员C5"]
            assert (await client.get("/api/v1/dead-letters")).json()["items"] == []
            entries = await house.ground.log.read(Lane.BULK, 0, 0, 10)
            assert len(entries) == 2
            (act,) = [link.act for link in await house.ground.trail.acts() if link.act.verb == "import"]
            assert act.detail == {"account": "members", "rows": 5}

    told(tmp_path, story)


def test_rows_that_are_brought_again_change_nothing(tmp_path: Path) -> None:
    """Told as known, whether they were brought or pushed before; a changed one is new."""

    async def story(house: House) -> None:
        await house.say("members", member("C1"))
        async with house.caller(accounts=MAY) as client:
            body = lines(member("C1"), member("C2"))
            first = await bring(house, client, "members", body)
            assert first["result"] == {"accepted": 1, "duplicate": 1, "refused": 0}
            again = await bring(
                house, client, "members", body + lines(member("C2", name="改名", updated_at="2026-11-12 00:00:00"))
            )
            assert again["result"] == {"accepted": 1, "duplicate": 2, "refused": 0}
            assert await refused(client, again) == [(1, "duplicate", ""), (2, "duplicate", "")]

    told(tmp_path, story)


def test_table_is_brought_with_lists_as_json(tmp_path: Path) -> None:
    """CSV with the headings that the mapping knows."""

    async def story(house: House) -> None:
        table = 'order_no,customer_code,status,total,paid,updated_at,lines:json\r\nA1,C1,paid,10.00,10.00,2026-11-11 08:00:00,"[{""sku"":""x"",""quantity"":""2""}]"\r\n'
        async with house.caller(accounts=MAY) as client:
            job = await bring(house, client, "orders", table.encode(), **CSV)
            assert job["result"]["accepted"] == 1
            (seen,) = (await client.get("/api/v1/orders")).json()["items"]
            assert (seen["external_id"], seen["lines"][0]["sku"]) == ("A1", "x")

    told(tmp_path, story)


def test_only_an_account_that_was_given_takes_what_a_client_brings(tmp_path: Path) -> None:
    """Neither one it was not given, nor one that there is not, nor anything without the scope; what cannot be read at all is refused at once."""

    async def story(house: House) -> None:
        async def status(
            client: httpx.AsyncClient, account: str, body: bytes = b"{}", kind: str = "application/json"
        ) -> tuple[int, str]:
            answer = await client.post(
                "/api/v1/imports",
                params={"account": account} if account else {},
                content=body,
                headers={"content-type": kind},
            )
            return answer.status_code, answer.json()["code"]

        async with house.caller(accounts=("orders", "gone")) as client:
            for account in ("members", "gone", ""):
                assert await status(client, account) == (403, "import.account"), account
            assert await status(client, "orders", b"") == (400, "import.unreadable")
            assert await status(client, "orders", b"[{", "application/json") == (400, "import.unreadable")
            assert await status(client, "orders", lines(*[{}] * 10_001), "application/x-ndjson") == (
                413,
                "import.unreadable",
            )
            assert (await status(client, "orders", b"<a/>", "application/xml"))[0] == 415
        async with house.caller(scopes=("orders:read",), accounts=MAY) as client:
            assert await status(client, "orders") == (403, "client.scope")

    told(tmp_path, story)


def test_import_goes_on_after_the_process_that_began_it_ended(tmp_path: Path) -> None:
    """Every row once, and the results of all of them."""
    body = lines(*(order(f"A{number}", "C1") for number in range(250)), {"customer_code": "C1"})
    key, path = "", ""

    async def begin(house: House) -> None:
        nonlocal key, path
        made = await house.make(accounts=MAY)
        key = made.key
        async with house.anybody() as client:
            client.headers["authorization"] = f"Bearer {key}"
            begun = await client.post("/api/v1/imports", params={"account": "orders"}, content=body, headers=NDJSON)
            path = begun.headers["location"]
            await house.desk.labour.runner.round()
            assert (await client.get(path)).json()["done"] == 100
            await house.desk.labour.runner.let_go()

    async def finish(house: House) -> None:
        async with house.anybody() as client:
            client.headers["authorization"] = f"Bearer {key}"
            await house.work()
            job = (await client.get(path)).json()
            assert (job["state"], job["done"]) == ("done", 251)
            assert job["result"] == {"accepted": 250, "duplicate": 0, "refused": 1}
            assert await refused(client, job) == [(251, "refused", "order_no")]
            assert len(await house.ground.records.rows("order", limit=999)) == 250

    told(tmp_path, begin)
    told(tmp_path, finish)


def test_request_that_is_repeated_with_its_key_begins_one_job(tmp_path: Path) -> None:
    """The same answer, and nothing twice."""

    async def story(house: House) -> None:
        async with house.caller(accounts=MAY) as client:
            asked = {
                "params": {"account": "members"},
                "content": lines(member("C1")),
                "headers": {**NDJSON, "idempotency-key": "k1"},
            }
            first, second = [await client.post("/api/v1/imports", **asked) for _ in range(2)]
            assert first.json() == second.json() and second.headers["idempotent-replayed"] == "true"
            assert len((await client.get("/api/v1/jobs")).json()["items"]) == 1

    told(tmp_path, story)


def cutting(app: Any, size: int) -> Any:
    """An application whose callers are gone when so many bytes of their body have come."""

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        parts = [(await receive())["body"][:size]]

        async def some() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(), "more_body": True}

        await app(scope, some, send)

    return cut


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "k1"}], ids=["no key", "key"])
def test_rows_that_do_not_all_come_are_taken_by_nobody(tmp_path: Path, key: dict[str, str]) -> None:
    """Who is there still hears so and may send them again, with the same key too."""
    rows = lines(member("C1"), member("C2"))

    async def story(house: House) -> None:
        async with house.caller(accounts=MAY) as client:
            cut = httpx.ASGITransport(app=cutting(house.app, len(lines(member("C1")))))
            async with httpx.AsyncClient(transport=cut, base_url="http://gateway", headers=client.headers) as other:
                asked = {"params": {"account": "members"}, "content": rows, "headers": {**NDJSON, **key}}
                answer = await other.post("/api/v1/imports", **asked)
                assert (answer.status_code, answer.json()["code"]) == (408, "request.cut_off")
            assert (await client.get("/api/v1/jobs")).json()["items"] == []
            job = await bring(house, client, "members", rows, **asked["headers"])
            assert job["result"] == {"accepted": 2, "duplicate": 0, "refused": 0}

    told(tmp_path, story)
