"""Pairs that a person decides over the API: seen under grants and domains, merged, kept apart, parted again."""

from pathlib import Path
from typing import Any

import httpx

from gateway import store
from tests.api.kit import CLEAR, House, member, order, told

PAIR = "mtc_0123456789abcdef"


async def a_pair(house: House, other: str = "members") -> store.Candidate:
    """Two members who may be one, and the question whether they are."""
    await house.say("members", member("C1"))
    await house.say(other, member("C2", phone="13800138001"))
    a, b = sorted(row.id for row in await house.ground.records.rows("customer", limit=9))
    pair = store.Candidate(id=PAIR, a=a, b=b, reason="weak phone", at=house.ground.clock.now())
    await house.ground.records.apply(store.Batch(candidates=[pair]))
    return pair


async def listed(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    """Match candidates."""
    answer = await client.get("/api/v1/match-candidates", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return [one for one in found if one["id"] == PAIR]


def test_pair_is_merged_and_parted_again(tmp_path: Path) -> None:
    """The older id stays, the other answers with it; undone, each has what was theirs; twice is a conflict; each act is on the trail."""

    async def story(house: House) -> None:
        pair = await a_pair(house)
        await house.say("orders", order("A1", "C2"))
        async with house.caller() as client:
            (seen,) = await listed(client)
            assert (seen["reason"], seen["a"]["record"]["name"], seen["shared"]) == ("weak phone", "会*", ["phone"])
            merged = await client.post(f"/api/v1/match-candidates/{PAIR}/merge")
            assert merged.json() == {"survivor": pair.a}
            assert (await client.get(f"/api/v1/customers/{pair.b}")).json()["id"] == pair.a
            assert await listed(client) == [] and len(await listed(client, state="merged")) in (0, 1)
            assert (await client.post(f"/api/v1/match-candidates/{PAIR}/merge")).status_code == 404
            (merge,) = (await client.get(f"/api/v1/customers/{pair.a}/merges")).json()["items"]
            assert (merge["survivor"], merge["loser"], merge["undone_at"]) == (pair.a, pair.b, None)
            undo = f"/api/v1/customers/{pair.a}/merges/{merge['id']}/undo"
            assert (await client.post(undo)).status_code == 204
            assert (await client.get(f"/api/v1/customers/{pair.b}")).json()["id"] == pair.b
            assert (await client.post(undo)).status_code == 409
            assert (await client.post(f"/api/v1/customers/{pair.a}/merges/mrg_none/undo")).status_code == 404
            acts = [link.act.verb for link in await house.ground.trail.acts()]
            assert [verb for verb in acts if verb in ("merge", "unmerge")][:2] == ["merge", "unmerge"]
        async with house.caller(scopes=("ops:read", "customers:read")) as client:
            assert (await client.post(undo)).status_code == 403
            assert (await client.post(f"/api/v1/match-candidates/{PAIR}/reject")).status_code == 403

    told(tmp_path, story)


def test_pair_that_was_rejected_is_kept_apart(tmp_path: Path) -> None:
    """And asked about no more."""

    async def story(house: House) -> None:
        await a_pair(house)
        async with house.caller() as client:
            assert (await client.post(f"/api/v1/match-candidates/{PAIR}/reject")).status_code == 204
            assert await listed(client) == []
            assert len(await listed(client, state="rejected")) == 1
            assert (await client.post(f"/api/v1/match-candidates/{PAIR}/reject")).status_code == 404

    told(tmp_path, story)


def test_pair_of_which_one_side_is_somebody_elses_is_neither_seen_nor_decided(tmp_path: Path) -> None:
    """Both customers have to be within the domain; and each side is shown as granted."""

    async def story(house: House) -> None:
        await a_pair(house, "east")
        async with house.caller(unit="east", grants=CLEAR) as client:
            assert await listed(client) == []
            assert (await client.post(f"/api/v1/match-candidates/{PAIR}/merge")).status_code == 404
        async with house.caller(grants=CLEAR) as client:
            (seen,) = await listed(client)
            assert {seen["a"]["record"]["name"], seen["b"]["record"]["name"]} == {"会员C1", "会员C2"}

    told(tmp_path, story)
