"""Answers that are told again: never to somebody who may do or see less than whoever was answered first."""

from pathlib import Path

import httpx
import msgspec

from gateway import access
from gateway.api.idempotency import SHELF
from tests.api.kit import ALL, CLEAR, House, member, told

HOOK = {"name": "bi", "url": "https://bi.example/hooks"}


def _as(token: str, key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "idempotency-key": key}


async def _ask(client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    return await client.post("/api/v1/endpoints", json=HOOK, headers=headers)


def test_token_with_fewer_scopes_is_not_told_the_secret_that_another_was_shown_once(tmp_path: Path) -> None:
    """Same client, same key, same body: the narrower token would read a new endpoint's secret out of the kept answer."""

    async def story(house: House) -> None:
        made = await house.make(grants=CLEAR)
        few = ("endpoints:write", "endpoints:read", "events:read")
        wide, narrow, none = (house.desk.clients.token(made.client, one) for one in (ALL, few, ("customers:read",)))
        async with house.anybody() as client:
            first = await _ask(client, _as(wide, "k"))
            assert first.json()["shown_once"].startswith("whsec_")
            again = await _ask(client, _as(narrow, "k"))
            assert (again.status_code, again.json()["code"]) == (422, "request.idempotency_key")
            assert "whsec_" not in again.text
            assert (await _ask(client, _as(none, "k"))).status_code == 403
            assert (await _ask(client, _as(wide, "k"))).content == first.content

    told(tmp_path, story)


def test_answer_is_not_told_again_after_the_grants_behind_it_ended(tmp_path: Path) -> None:
    """Whatever a client was shown under a wider grant is not to be had from the answers that are kept."""

    async def story(house: House) -> None:
        made = await house.make(grants=CLEAR)
        token = house.desk.clients.token(made.client, ALL)
        async with house.anybody() as client:
            assert (await _ask(client, _as(token, "k"))).status_code == 201
            await house.desk.clients.change(msgspec.structs.replace(made.client, grants={}), before=1)
            assert (await _ask(client, _as(token, "k"))).status_code == 422

    told(tmp_path, story)


def test_lookup_with_a_key_is_asked_anew_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """It only reads: a kept answer would outlive the grant, and the customer's erasure."""

    async def story(house: House) -> None:
        await house.say("members", member("M1", phone="13800138001"))
        made = await house.make(grants=CLEAR)
        token = house.desk.clients.token(made.client, ALL)
        async with house.anybody() as client:
            for grants, seen in ((CLEAR, True), ({"contact": access.Lent(how="mask")}, False)):
                fresh = await house.desk.clients.get(made.client.id)
                assert fresh is not None
                version = 1 if seen else 2
                await house.desk.clients.change(msgspec.structs.replace(fresh, grants=grants), before=version)
                answer = await client.post(
                    "/api/v1/customers:lookup", json={"phone": "13800138001"}, headers=_as(token, "k")
                )
                assert ("13800138001" in answer.text) is seen
        assert not await house.desk.shelf.documents(SHELF)

    told(tmp_path, story)


def test_refusal_for_a_missing_scope_is_open_to_a_repetition(tmp_path: Path) -> None:
    """Nothing was done: once the scope is there, the same key does it."""

    async def story(house: House) -> None:
        made = await house.make(grants=CLEAR)
        narrow = house.desk.clients.token(made.client, ("endpoints:read",))
        async with house.anybody() as client:
            assert (await _ask(client, _as(narrow, "k"))).status_code == 403
            assert (await _ask(client, _as(house.desk.clients.token(made.client, ALL), "k"))).status_code == 201

    told(tmp_path, story)
