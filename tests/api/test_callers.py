"""Who may call: tokens, keys, their ends, their pace; and what refusals look like."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway import access, app
from gateway.api.codes import CODES
from gateway.clock import SECOND, TurnedClock
from gateway.desk import tokens
from gateway.desk.clients import Made
from tests.api.kit import House, told

WANTED = {"grant_type": "client_credentials"}
LIST = "/api/v1/customers"


async def token(client: httpx.AsyncClient, made: Made, **more: str) -> httpx.Response:
    """A token as OAuth libraries ask for it."""
    return await client.post("/oauth/token", auth=(made.client.id, made.secret), data={**WANTED, **more})


async def status(client: httpx.AsyncClient, bearer: str) -> int:
    """What a read with this bearer is answered."""
    return (await client.get(LIST, headers={"authorization": f"Bearer {bearer}"})).status_code


@asynccontextmanager
async def another(house: House) -> AsyncIterator[House]:
    """Another door process of the same gateway."""
    ground = app.open_ground(house.ground.tree)
    try:
        yield House(ground)
    finally:
        await ground.close()


def test_token_opens_what_it_was_asked_for(tmp_path: Path) -> None:
    """All scopes of the client, or some of them; credentials by Basic or in the form; nobody's cache keeps it."""

    async def story(house: House) -> None:
        made = await house.make(scopes=("customers:read", "orders:read"))
        async with house.anybody() as client:
            whole = await token(client, made)
            assert whole.headers["cache-control"] == "no-store"
            said = whole.json()
            assert (said["token_type"], said["expires_in"], said["scope"]) == (
                "Bearer",
                3600,
                "customers:read orders:read",
            )
            assert await status(client, said["access_token"]) == 200
            form = {**WANTED, "client_id": made.client.id, "client_secret": made.secret, "scope": "orders:read"}
            narrow = (await client.post("/oauth/token", data=form)).json()
            assert narrow["scope"] == "orders:read"
            refused = await client.get(LIST, headers={"authorization": f"Bearer {narrow['access_token']}"})
            assert (refused.status_code, refused.json()["code"]) == (403, "client.scope")
            assert 'scope="customers:read"' in refused.headers["www-authenticate"]
            wide = await token(client, made, scope="orders:read ops:write")
            assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "unsupported_grant_type"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ["client_credentials", "client_credentials"]}, 400, "invalid_request"),
        (WANTED, 401, "invalid_client"),
        ({**WANTED, "client_id": "cli_nobody", "client_secret": "gws_x"}, 401, "invalid_client"),
    ],
)
def test_refusal_of_a_token_has_the_form_that_oauth_libraries_read(
    tmp_path: Path, form: dict[str, Any], status: int, error: str
) -> None:
    """RFC 6749 §5.2."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            answer = await client.post("/oauth/token", data=form)
            assert (answer.status_code, answer.json()["error"]) == (status, error)
            assert answer.json()["error_description"]
            assert answer.headers["cache-control"] == "no-store"

    told(tmp_path, story)


def test_token_ends_after_its_hour_and_none_can_be_made_up(tmp_path: Path) -> None:
    """401 with what to do, for one that ran out, one that was altered, and one that somebody else signed."""

    async def story(house: House) -> None:
        made = await house.make()
        now, own = house.ground.clock.now(), tokens.Tokens(house.ground.vault)
        fresh = own.issue(made.client, ("customers:read",), now=now)
        old = own.issue(made.client, ("customers:read",), now=now - (tokens.LIFE + 1) * SECOND)
        head, body, mark = fresh.split(".")
        async with house.anybody() as client:
            assert await status(client, fresh) == 200
            for bearer in (
                old,
                f"{head}.{body[:-2]}AA.{mark}",
                f"{head}.{body}.{mark[::-1]}",
                f"{head}.{body}.",
                "gwk_cli_1.gws_2",
                "x",
            ):
                assert await status(client, bearer) == 401, bearer
            answer = await client.get(LIST, headers={"authorization": f"Bearer {old}"})
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
            assert "/oauth/token" in answer.json()["remedy"]

    told(tmp_path, story)


def test_client_that_is_revoked_is_out_everywhere_within_two_seconds(tmp_path: Path) -> None:
    """Its tokens and its key, also at a door that has just seen them."""
    clock = TurnedClock()

    async def story(house: House) -> None:
        made = await house.make()
        async with another(house) as other, house.anybody() as here, other.anybody() as there:
            bearer = (await token(there, made)).json()["access_token"]
            assert [await status(there, one) for one in (bearer, made.key)] == [200, 200]
            await house.desk.clients.revoke(made.client.id)
            assert [await status(here, one) for one in (bearer, made.key)] == [401, 401]
            clock.turn(2.0)
            assert [await status(there, one) for one in (bearer, made.key)] == [401, 401]
            assert (await token(there, made)).status_code == 401

    told(tmp_path, story, clock=clock)


def test_rotated_secret_is_taken_for_the_overlap(tmp_path: Path) -> None:
    """Both meanwhile, the new one alone after it; tokens that were issued stay."""
    clock = TurnedClock()

    async def story(house: House) -> None:
        first = await house.make()
        async with house.anybody() as client:
            bearer = (await token(client, first)).json()["access_token"]
            second = await house.desk.clients.rotate(first.client.id, overlap=60.0)
            clock.turn(59.9)
            assert [(await token(client, one)).status_code for one in (first, second)] == [200, 200]
            clock.turn(0.1)
            assert [(await token(client, one)).status_code for one in (first, second)] == [401, 200]
            third = await house.desk.clients.rotate(first.client.id, overlap=0)
            assert [await status(client, one.key) for one in (first, second, third)] == [401, 401, 200]
            assert await status(client, bearer) == 200

    told(tmp_path, story, clock=clock)


def test_what_is_taken_from_a_client_is_taken_from_its_tokens(tmp_path: Path) -> None:
    """A scope, a grant, and the client itself once its time is over."""

    async def story(house: House) -> None:
        made = await house.make(scopes=("customers:read", "orders:read"))
        async with house.anybody() as client:
            bearer = (await token(client, made)).json()["access_token"]
            assert await status(client, bearer) == 200
            narrowed = msgspec.structs.replace(made.client, scopes=("orders:read",))
            version = await house.desk.clients.change(narrowed, before=1)
            assert await status(client, bearer) == 403
            ended = msgspec.structs.replace(made.client, until=house.ground.clock.now())
            version = await house.desk.clients.change(ended, before=version)
            assert await status(client, bearer) == 401
            another_epoch = msgspec.structs.replace(made.client, epoch=2)
            await house.desk.clients.change(another_epoch, before=version)
            assert [await status(client, one) for one in (bearer, made.key)] == [401, 200]

    told(tmp_path, story)


def test_wrong_secrets_slow_their_address_down(tmp_path: Path) -> None:
    """After a score of tries, with how long to wait."""

    async def story(house: House) -> None:
        made = await house.make()
        async with house.anybody() as client:
            wrong = {**WANTED, "client_id": made.client.id, "client_secret": "gws_guess"}
            answers = [await client.post("/oauth/token", data=wrong) for _ in range(22)]
            assert {one.status_code for one in answers[:20]} == {401}
            assert (answers[-1].status_code, answers[-1].json()["error"]) == (429, "slow_down")
            assert int(answers[-1].headers["retry-after"]) > 0

    told(tmp_path, story, clock=TurnedClock())


def test_pace_is_told_and_kept_for_each_client(tmp_path: Path) -> None:
    """How much remains, 429 with how long to wait, and nothing of it is another client's concern."""

    async def story(house: House) -> None:
        async with house.caller(rate=0.5, burst=3) as slow, house.caller() as quick:
            answers = [await slow.get(LIST) for _ in range(4)]
            assert {one.headers["cache-control"] for one in answers} == {"no-store"}
            assert [one.status_code for one in answers] == [200, 200, 200, 429]
            assert {one.headers["ratelimit-policy"] for one in answers} == {'"client";q=3;w=6'}
            assert [one.headers["ratelimit"] for one in answers[:3]] == [
                '"client";r=2;t=2',
                '"client";r=1;t=4',
                '"client";r=0;t=6',
            ]
            assert answers[3].headers["retry-after"] == "2"
            assert answers[3].headers["ratelimit"] == '"client";r=0;t=2'
            assert answers[3].json()["code"] == "client.pace"
            assert (await quick.get(LIST)).status_code == 200

    told(tmp_path, story, clock=TurnedClock())


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "request.not_found"),
        ("GET", "/api/v1/nothing", {}, 404, "request.not_found"),
        ("GET", "/api/v1/customers/cus_0", {}, 404, "request.not_found"),
        ("DELETE", LIST, {}, 405, "request.method_not_allowed"),
        ("GET", "/oauth/token", {}, 405, "request.method_not_allowed"),
        ("GET", LIST, {"headers": {"authorization": ""}}, 401, "client.none"),
        ("GET", LIST, {"headers": {"authorization": "Basic abc"}}, 401, "client.none"),
        ("GET", f"{LIST}?limit=0", {}, 400, "request.invalid"),
        ("GET", f"{LIST}?limit=1&limit=2", {}, 400, "request.invalid"),
        ("GET", f"{LIST}?limt=1", {}, 400, "request.invalid"),
        ("GET", f"{LIST}?updated_since=null", {}, 400, "request.invalid"),
        ("GET", f"{LIST}?updated_since=12", {}, 400, "request.invalid"),
        ("GET", f"{LIST}?updated_since=2026-11-11T00:00:00", {}, 400, "request.invalid"),
        ("GET", f"{LIST}?after=x", {}, 400, "request.cursor"),
        ("POST", f"{LIST}:lookup", {"content": b'{"phone', "headers": JSON}, 400, "request.invalid"),
        ("POST", f"{LIST}:lookup", {"content": b'{"phone": "\xff"}', "headers": JSON}, 400, "request.invalid"),
        ("POST", f"{LIST}:lookup", {"content": b"[]", "headers": JSON}, 400, "request.invalid"),
        ("POST", f"{LIST}:lookup", {}, 400, "request.invalid"),
        ("POST", f"{LIST}:lookup", {"json": {"phon": "1"}}, 400, "request.invalid"),
        ("POST", f"{LIST}:lookup", {"data": {"phone": "1"}}, 415, "request.unsupported_media_type"),
        ("POST", f"{LIST}:lookup", {"json": {"phone": "1" * 1_100_000}}, 413, "request.request_entity_too_large"),
        ("POST", "/api/v1/endpoints", {"json": {"name": "1" * 1_100_000}, "headers": {"idempotency-key": "k"}}, 413, "request.request_entity_too_large"),
        ("POST", "/api/v1/endpoints", {"json": {}, "headers": {"idempotency-key": ""}}, 400, "request.idempotency_key"),
        ("POST", "/api/v1/endpoints", {"json": {}, "headers": {"idempotency-key": "k" * 256}}, 400, "request.idempotency_key"),
    ],
)  # fmt: skip
def test_every_refusal_is_a_problem_with_a_code_and_a_request_id(
    tmp_path: Path, method: str, path: str, given: dict[str, Any], status: int, code: str
) -> None:
    """RFC 9457: of paths that nobody knows too; the code is one of the documented ones, and the id the caller's own where it is fit."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            headers = {"x-request-id": "mine-42", **given.get("headers", {})}
            answer = await client.request(method, path, **{**given, "headers": headers})
            said = answer.json()
            assert (answer.status_code, said["code"]) == (status, code), answer.text
            assert code in CODES
            assert answer.headers["content-type"] == "application/problem+json"
            assert (said["status"], said["type"], said["request"]) == (status, f"/docs#{code}", "mine-42")
            assert answer.headers["x-request-id"] == "mine-42"
            # Where the framework found it, nothing of what was sent is said again.
            assert "11111" not in answer.text

    told(tmp_path, story)


def test_request_id_that_could_harm_a_log_is_replaced(tmp_path: Path) -> None:
    """Too long, or with what is no letter or digit."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            for given in ("x" * 65, "a b", '{"a":1}', ""):
                answer = await client.get(LIST, headers={"x-request-id": given})
                assert answer.headers["x-request-id"].startswith("req_"), given

    told(tmp_path, story)


def test_grants_and_units_of_a_client_hold_for_keys_and_tokens_alike(tmp_path: Path) -> None:
    """What is seen does not depend on how one came in."""

    async def story(house: House) -> None:
        made = await house.make(grants={"contact": access.Lent(how="drop")}, unit="east")
        async with house.anybody() as client:
            bearer = (await token(client, made)).json()["access_token"]
            seen = [
                (await client.get(LIST, headers={"authorization": f"Bearer {one}"})).json()
                for one in (bearer, made.key)
            ]
            assert seen[0] == seen[1]

    told(tmp_path, story)
