"""Endpoints over the API: made, changed, tried and removed, within what a client has itself."""

from pathlib import Path
from typing import Any

import pytest

from gateway import access, settings
from gateway.model.secret import Secret
from tests.api.kit import CLEAR, House, told
from tests.e2e.house import Receiver

URL = "/api/v1/endpoints"
HOOK = {"name": "bi", "url": "https://bi.example/hooks", "events": ["order.*"]}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def acts(house: House, verb: str) -> list[tuple[str, str]]:
    """Who did what of this verb, on the trail."""
    return [(link.act.actor, link.act.object) for link in await house.desk.trail.acts(verb=verb)]


def test_endpoint_that_is_made_shows_its_secret_once_and_is_what_was_asked_for(tmp_path: Path) -> None:
    """And stands in the list, in the book that the worker follows, and on the trail."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            made = await client.post(URL, json={**HOOK, "headers": {"x-key": "s3cret"}, "timeout": 5})
            assert made.status_code == 201, made.text
            assert made.headers["location"] == f"{URL}/bi"
            secret = made.json()["shown_once"]
            assert secret.startswith("whsec_")
            again = await client.get(f"{URL}/bi")
            assert again.headers["etag"] == '"1"'
            seen = again.json()
            assert "shown_once" not in seen
            assert secret not in again.text
            assert "s3cret" not in again.text
            assert (seen["url"], seen["timeout"], seen["secrets"], seen["made"]) == (HOOK["url"], 5, 1, True)
            assert [one["name"] for one in (await client.get(URL)).json()["items"]] == ["bi", "crm"]
            (end,) = [end for end in await house.desk.book.endpoints() if end.name == "bi"]
            assert (end.secrets[0].reveal(), end.headers) == (secret, (("x-key", "s3cret"),))
            ((actor, about),) = await acts(house, "make")
            assert (actor.startswith("client:"), about) == (True, "endpoint/bi")

    told(tmp_path, story)


def test_change_names_the_version_it_is_about(tmp_path: Path) -> None:
    """428 without one, 412 for another, and the new one in the answer; what was not said stays under PATCH and falls back under PUT."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            await client.post(URL, json={**HOOK, "headers": {"x-key": "s3cret"}, "batch": 5})
            assert (await client.patch(f"{URL}/bi", json={"batch": 7})).status_code == 428
            assert (await client.patch(f"{URL}/bi", json={"batch": 7}, headers={"if-match": '"9"'})).status_code == 412
            assert (
                await client.patch(f"{URL}/bi", json={"batch": 7}, headers={"if-match": "W/nope"})
            ).status_code == 412
            seen = (await client.get(f"{URL}/bi")).json()
            changed = await client.patch(
                f"{URL}/bi",
                json={"batch": 7, "headers": seen["headers"] | {"x-team": "a"}},
                headers={"if-match": '"1"'},
            )
            assert (changed.status_code, changed.headers["etag"]) == (200, '"2"'), changed.text
            (end,) = [end for end in await house.desk.book.endpoints() if end.name == "bi"]
            assert (end.batch, dict(end.headers)) == (7, {"x-key": "s3cret", "x-team": "a"})
            back = await client.patch(
                f"{URL}/bi", json={"batch": None, "grants": {"contact": None}}, headers={"if-match": '"2"'}
            )
            assert back.json()["batch"] == 1
            replaced = await client.put(f"{URL}/bi", json={"url": HOOK["url"]}, headers={"if-match": '"3"'})
            assert (replaced.json()["events"], replaced.json()["headers"], replaced.json()["secrets"]) == (["*"], {}, 1)
            assert len(await acts(house, "change")) == 3

    told(tmp_path, story)


def test_removed_endpoint_is_gone(tmp_path: Path) -> None:
    """With the version in hand; afterwards 404."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            await client.post(URL, json=HOOK)
            assert (await client.delete(f"{URL}/bi")).status_code == 428
            assert (await client.delete(f"{URL}/bi", headers={"if-match": '"2"'})).status_code == 412
            assert (await client.delete(f"{URL}/bi", headers={"if-match": '"1"'})).status_code == 204
            assert (await client.get(f"{URL}/bi")).status_code == 404
            assert await acts(house, "remove") != []

    told(tmp_path, story)


def test_endpoint_of_the_config_is_changed_there(tmp_path: Path) -> None:
    """409 with the remedy, for change and removal; pausing it is not changing it."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            for method in ("put", "patch", "delete"):
                body: dict[str, Any] = {} if method == "delete" else {"json": {"url": HOOK["url"]}}
                answer = await client.request(method, f"{URL}/crm", headers={"if-match": '"0"'}, **body)
                assert (answer.status_code, answer.json()["code"]) == (409, "endpoint.of_config"), method
                assert answer.json()["remedy"]
            taken = await client.post(URL, json={**HOOK, "name": "crm"})
            assert (taken.status_code, taken.json()["code"]) == (409, "endpoint.taken")
            assert (await client.post(f"{URL}/crm/pause")).json()["state"] == "paused"
            assert (await client.post(f"{URL}/crm/resume")).json()["state"] == "active"
            assert [len(await acts(house, verb)) for verb in ("pause", "resume")] == [1, 1]

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"url": "ftp://x"}, "body.url"),
        ({"url": ""}, "body.url"),
        ({"batch": 0}, "body.batch"),
        ({"batch": "5"}, "body.batch"),
        ({"events": ["order.eaten"]}, "body.events"),
        ({"filter": "1 +"}, "body.filter"),
        ({"secret": "env:PATH"}, "body.secret"),
        ({"auth": {"kind": "bearer", "password": "file:/etc/passwd"}}, "body.auth.password"),
        ({"grants": {"health": "clear"}}, "body.grants.reason"),
        ({"surprise": 1}, "body"),
        ({"name": "No Name"}, "body.name"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_their_place(
    tmp_path: Path, asked: dict[str, Any], place: str
) -> None:
    """400, nothing is kept, and nothing of it stands on the trail."""

    async def story(house: House) -> None:
        async with house.caller(grants=CLEAR) as client:
            answer = await client.post(URL, json={**HOOK, **asked})
            assert answer.status_code == 400, answer.text
            assert answer.json()["place"] == place, answer.text
            assert (await client.get(f"{URL}/bi")).status_code == 404
            assert await acts(house, "make") == []

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"grants": {}}, {"grants": {"contact": "clear"}}),
        ({"grants": {"contact": access.Lent(how="clear", until=2**62)}}, {"grants": {"contact": "clear"}}),
        ({"grants": {"contact": access.Lent(how="clear", until=1)}}, {"grants": {"contact": "clear"}}),
        ({"grants": {"identity": access.Lent(how="drop")}}, {"grants": {"identity": "mask"}}),
        ({"grants": {"identity": access.Lent(how="token")}}, {"grants": {"identity": "mask"}}),
        ({"unit": "east"}, {}),
        ({"unit": "east"}, {"unit": "west"}),
        ({"scopes": ("endpoints:read", "endpoints:write")}, {}),
        ({"scopes": ("endpoints:read", "endpoints:write", "events:read")}, {"events": ["operator.*"]}),
        ({"grants": CLEAR}, {"allow_private": True}),
    ],
)  # fmt: skip
def test_nobody_has_more_sent_than_they_may_see_themselves(
    tmp_path: Path, fields: dict[str, Any], asked: dict[str, Any]
) -> None:
    """Neither by making such an endpoint nor by taking over one that somebody else made; a grant for a time is not passed on for good."""

    async def story(house: House) -> None:
        async with house.caller(**fields) as client:
            answer = await client.post(URL, json={**HOOK, **asked})
            assert (answer.status_code, answer.json()["code"]) == (403, "client.overreach"), answer.text
        if "allow_private" in asked:
            return
        async with house.caller(grants=CLEAR) as owner, house.caller(**fields) as client:
            assert (await owner.post(URL, json={**HOOK, **asked})).status_code == 201
            for method, path in (
                ("patch", ""),
                ("delete", ""),
                ("post", "/secret:rotate"),
                ("post", "/test"),
                ("post", "/pause"),
                ("post", "/enable"),
            ):
                body: dict[str, Any] = {"json": {"url": "https://thief.example"}} if method == "patch" else {}
                answer = await client.request(method, f"{URL}/bi{path}", headers={"if-match": '"1"'}, **body)
                assert answer.status_code in (403, 404), (path, answer.text)

    told(tmp_path, story)


def test_client_of_a_unit_makes_and_sees_endpoints_of_that_unit(tmp_path: Path) -> None:
    """The headquarters' and other units' are as if they were not there."""

    async def story(house: House) -> None:
        async with house.caller(unit="east") as east, house.caller() as everybody:
            assert (await east.post(URL, json={**HOOK, "unit": "east"})).status_code == 201
            assert [one["name"] for one in (await east.get(URL)).json()["items"]] == ["bi"]
            assert (await east.get(f"{URL}/crm")).status_code == 404
            assert (await east.post(f"{URL}/crm/pause")).status_code == 404
            moved = await east.patch(f"{URL}/bi", json={"unit": None}, headers={"if-match": '"1"'})
            assert moved.status_code == 403
            assert len((await everybody.get(URL, params={"limit": 1})).json()["items"]) == 1

    told(tmp_path, story)


def test_secret_rotates_with_an_overlap_and_to_a_key_pair(tmp_path: Path) -> None:
    """Both sign meanwhile; of a pair only the public half is told; one that stands in the config is changed there."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            first = (await client.post(URL, json=HOOK)).json()["shown_once"]
            second = (await client.post(f"{URL}/bi/secret:rotate", json={"overlap": 60})).json()
            assert second["secret"] not in (None, first)
            assert second["old_sign_until"] is not None
            (end,) = [end for end in await house.desk.book.endpoints() if end.name == "bi"]
            assert [one.reveal() for one in end.secrets] == [second["secret"], first]
            ended = (await client.post(f"{URL}/bi/secret:rotate", json={"overlap": 0})).json()
            assert (await client.get(f"{URL}/bi")).json()["secrets"] == 1
            assert ended["old_sign_until"] is None
            pair = (await client.post(f"{URL}/bi/secret:rotate", json={"asymmetric": True})).json()
            assert (pair["secret"], pair["public_key"][:5]) == (None, "whpk_")
            assert (await client.get(f"{URL}/bi")).json()["public_keys"] == [pair["public_key"]]
            assert (await client.post(f"{URL}/bi/secret:rotate")).status_code == 200
            refused = await client.post(f"{URL}/given/secret:rotate")
            assert (refused.status_code, "previous_secret" in refused.json()["remedy"]) == (409, True)
            assert (await client.post(f"{URL}/bi/secret:rotate", json={"overlap": -1})).status_code == 400

    given = settings.Endpoint(url="https://crm.example/", secret=Secret(SECRET))
    told(tmp_path, story, endpoints={"given": given})


def test_test_sends_one_signed_event_now(tmp_path: Path) -> None:
    """And says what came back; to one that refuses, what it said; to one that polls there is nothing to send."""
    receiver = Receiver(SECRET)

    async def story(house: House) -> None:
        async with house.caller() as client:
            found = (await client.post(f"{URL}/here/test")).json()
            assert (found["ok"], found["status"], found["error"]) == (True, 204, None), found
            (got,) = receiver.got
            assert got.event["type"] == "operator.test"
            assert got.event["id"] == found["event"]
            away = (await client.post(f"{URL}/away/test")).json()
            assert (away["ok"], away["status"]) == (False, None)
            assert away["error"]
            assert (await client.post(f"{URL}/feed/test")).status_code == 409
            assert len(await acts(house, "test")) == 3

    try:
        told(
            tmp_path,
            story,
            endpoints={
                "here": settings.Endpoint(url=receiver.url, secret=Secret(SECRET), allow_private=True),
                "away": settings.Endpoint(url=receiver.url, secret=Secret(SECRET)),
                "feed": settings.Endpoint(kind="poll"),
            },
        )
    finally:
        receiver.close()


def test_disabled_endpoint_is_told_and_enabled(tmp_path: Path) -> None:
    """Its state with the cause, what waits, and active again afterwards."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            await house.desk.records.disable("crm", cause="410", now=house.ground.clock.now())
            seen = (await client.get(f"{URL}/crm/health")).json()
            assert (seen["state"], seen["disabled_because"], seen["backlog"], seen["circuit"]) == (
                "disabled",
                "410",
                0,
                None,
            )
            assert (await client.post(f"{URL}/crm/enable")).json()["state"] == "active"
            assert (await client.post(f"{URL}/crm/enable")).json()["state"] == "active"
            assert len(await acts(house, "enable")) == 1
            said = {"endpoints": {"crm": {"circuit": "open", "held": 3, "under_way": 1}}}
            house.desk.board.put("worker", house.ground.clock.now(), said, house.ground.meters.registry)
            assert (await client.get(f"{URL}/crm/health")).json()["circuit"] == "open"

    told(tmp_path, story)


def test_reading_scope_changes_nothing(tmp_path: Path) -> None:
    """403 that names the scope, for every way of writing."""

    async def story(house: House) -> None:
        async with house.caller(scopes=("endpoints:read", "events:read")) as client:
            assert (await client.get(URL)).status_code == 200
            for method, path in (
                ("post", ""),
                ("put", "/crm"),
                ("patch", "/crm"),
                ("delete", "/crm"),
                ("post", "/crm/test"),
                ("post", "/crm/pause"),
            ):
                answer = await client.request(method, URL + path, json={})
                assert (answer.status_code, "endpoints:write" in answer.json()["detail"]) == (403, True), path

    told(tmp_path, story)


def test_reason_of_a_health_grant_is_on_the_trail(tmp_path: Path) -> None:
    """When an endpoint that has it is made, and when it is changed."""

    async def story(house: House) -> None:
        lent = {**CLEAR, "health": access.Lent(how="clear", reason="随访")}
        asked = {"name": "his", "url": "https://his.example/hooks", "grants": {"health": "mask", "reason": "就诊提醒"}}
        async with house.caller(grants=lent) as client:
            made = await client.post("/api/v1/endpoints", json=asked)
            assert made.status_code == 201, made.text
            changed = await client.patch(
                "/api/v1/endpoints/his",
                json={"grants": {"reason": "随访计划"}},
                headers={"if-match": made.headers["etag"]},
            )
            assert changed.status_code == 200, changed.text
        acts = [link.act for link in await house.desk.trail.acts(object="endpoint/his")]
        assert [(one.verb, one.detail["reason"]) for one in acts] == [("make", "就诊提醒"), ("change", "随访计划")]

    told(tmp_path, story)
