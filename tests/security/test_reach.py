"""What a partner's program could reach beyond its units, its scopes and its grants."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway import access, settings, store
from gateway.clock import TurnedClock, new_id
from gateway.desk import flow, outbox
from gateway.desk.jobs import MOST_OPEN
from gateway.model.customer import Customer
from gateway.pipeline import filters
from gateway.pipeline.route import Router
from gateway.store import DeliveryState
from gateway.subscription import Proof, endpoint_of
from tests.api.kit import ALL, CLEAR, House, member, order, told

HOOK: dict[str, Any] = {"name": "bi", "url": "https://bi.example/hooks", "unit": "east"}
SECRET = "X-Api-Key-of-bi"


async def _known(house: House, name: str, *, unit: str | None) -> str:
    return await house.keep("customer", Customer(name=name), unit=unit)


def test_every_route_needs_a_scope_or_says_nothing_of_anybody(tmp_path: Path) -> None:
    """A handler that forgets to name its scope is open to every client."""

    async def story(house: House) -> None:
        open_to_all = {
            route.path
            for route in house.app.routes
            for handler in getattr(route, "route_handlers", ())
            if route.path.startswith("/api/v1") and handler.http_methods != {"OPTIONS"} and not handler.opt.get("scope")
        }
        assert open_to_all <= {
            "/api/v1/schemas", "/api/v1/schemas/{name:str}", "/api/v1/jobs", "/api/v1/jobs/{name:str}",
            "/api/v1/jobs/{name:str}/cancel", "/api/v1/jobs/{name:str}/rows",
        }  # fmt: skip

    told(tmp_path, story)


def test_pairs_of_customers_need_the_scope_that_customers_need(tmp_path: Path) -> None:
    """Operating is not reading people."""

    async def story(house: House) -> None:
        async with house.caller(scopes=("ops:read", "ops:write")) as client:
            assert (await client.get("/api/v1/match-candidates")).status_code == 403
        async with house.caller(scopes=("ops:read", "customers:read")) as client:
            assert (await client.get("/api/v1/match-candidates")).status_code == 200

    told(tmp_path, story)


def test_merge_across_units_is_not_undone_by_one_of_them(tmp_path: Path) -> None:
    """What was merged in comes from another unit: giving it back writes there."""

    async def story(house: House) -> None:
        ours, theirs = await _known(house, "张三", unit="east"), await _known(house, "李四", unit="west")
        now = house.ground.clock.now()
        merge = store.Merge(id=new_id("mrg", now), survivor=ours, loser=theirs, at=now, reason="test", before=b"{}")
        await house.ground.records.apply(store.Batch(merges=[merge]))
        async with house.caller(unit="east") as client:
            assert (await client.get(f"/api/v1/customers/{ours}")).status_code == 200
            undone = await client.post(f"/api/v1/customers/{ours}/merges/{merge.id}/undo")
            assert undone.status_code == 404

    told(tmp_path, story)


def test_counting_a_replay_tells_nothing_of_other_units(tmp_path: Path) -> None:
    """A dry run would count the events of any order whose id somebody guesses or was told."""

    async def story(house: House) -> None:
        await house.say("members", member("M1"))
        await house.say("orders", order("O1", "M1"))
        (found,) = await house.ground.records.rows("order", limit=1)
        async with house.caller(unit="east") as client:
            assert (await client.post("/api/v1/endpoints", json=HOOK)).status_code == 201
            for asked in ({"subject": found.id}, {"types": ["order.*"]}, {"account": "orders"}):
                answer = await client.post("/api/v1/replays", json={**asked, "endpoint": "bi"})
                assert (answer.json()["events"], answer.json()["sends"]) == (0, 0), asked

    told(tmp_path, story)


def test_flow_shows_nothing_of_endpoints_of_other_units(tmp_path: Path) -> None:
    """Whom an event of the house went to is not told to somebody of one unit."""

    async def story(house: House) -> None:
        await house.say("east", member("M2"))
        (event,) = await house.ground.records.span(store.Span(), limit=1)
        assert await house.ground.records.deliveries(event=event.id)
        for domain, told_of in ((None, 1), (frozenset(("east",)), 0)):
            viewer = access.Viewer(actor="console:op", scopes=frozenset(), grants=access.LEAST, domain=domain)
            journey = await flow.of_entry(house.desk, viewer, event.entry)
            assert journey is not None
            assert len(journey.sent) == told_of

    told(tmp_path, story)


@pytest.mark.parametrize("how", ["clear", "mask"])
def test_answer_of_an_endpoint_is_read_only_by_who_may_see_what_it_was_sent(tmp_path: Path, how: str) -> None:
    """An endpoint that repeats its request in its answer would show in the clear what the reader sees masked."""

    async def story(house: House) -> None:
        await house.say("members", member("M1", phone="13800138001"))
        async with house.caller(grants=CLEAR) as client:
            hook = {**HOOK, "unit": None, "grants": {"contact": "clear"}}
            assert (await client.post("/api/v1/endpoints", json=hook)).status_code == 201
        sent = await _answered(house, b'{"echo": "13800138001"}')
        async with house.caller(grants={"contact": access.Lent(how=how)}) as client:
            (tried,) = (await client.get(f"/api/v1/deliveries/{sent.id}/attempts")).json()["items"]
            assert ("13800138001" in str(tried)) is (how == "clear")
        viewer = access.Viewer(
            actor="console:op", scopes=frozenset(), grants={**access.LEAST, access.Sensitivity.CONTACT: how}
        )
        assert await outbox.readable(house.desk, viewer, sent) is (how == "clear")

    told(tmp_path, story)


async def _answered(house: House, said: bytes) -> store.Delivery:
    now = house.ground.clock.now()
    (event,) = await house.ground.records.span(store.Span(), limit=1)
    sent = store.Delivery(
        id=new_id("dlv", now),
        event=event.id,
        endpoint="bi",
        subject=None,
        due=now,
        created=now,
        state=DeliveryState.DONE,
    )
    name = f"{sent.id}/1"
    attempt = store.Attempt(
        id=name, delivery=sent.id, event=event.id, endpoint="bi", at=now, took=1000, status=200, error=None,
        response=house.ground.vault.seal(said, name.encode()),
    )  # fmt: skip
    house.ground.records.known = _one(sent)  # type: ignore[method-assign]
    house.ground.records.attempts = _many(attempt)  # type: ignore[method-assign]
    return sent


def _one(sent: store.Delivery) -> Any:
    async def known(_ids: Any) -> dict[str, store.Delivery]:
        return {sent.id: sent}

    return known


def _many(*attempts: store.Attempt) -> Any:
    async def tried(_name: str) -> list[store.Attempt]:
        return list(attempts)

    return tried


def test_export_is_not_read_by_a_token_that_could_not_have_asked_for_it(tmp_path: Path) -> None:
    """Tokens of one client share its jobs; what is in them they do not."""

    async def story(house: House) -> None:
        made = await house.make(grants=CLEAR)
        wide, narrow = (house.desk.clients.token(made.client, one) for one in (ALL, ("exports:read",)))
        async with house.anybody() as client:
            client.headers["authorization"] = f"Bearer {wide}"
            job = (await client.post("/api/v1/exports", json={"what": "customers"})).json()["id"]
            while await house.desk.labour.runner.round():
                pass
            path = f"/api/v1/exports/{job}/content"
            assert (await client.get(path)).status_code == 200
            assert (await client.get(path, headers={"authorization": f"Bearer {narrow}"})).status_code == 403

    told(tmp_path, story)


def test_jobs_of_one_client_have_an_end(tmp_path: Path) -> None:
    """Nobody fills the disk, or the line that others stand in."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            asked = [
                (await client.post("/api/v1/exports", json={"what": "units"})).status_code for _ in range(MOST_OPEN + 1)
            ]
            assert asked == [202] * MOST_OPEN + [429]

    told(tmp_path, story)


async def _made(client: httpx.AsyncClient, **more: Any) -> tuple[str, dict[str, Any]]:
    answer = await client.post("/api/v1/endpoints", json={"name": "bi", "url": "https://bi.example/hooks", **more})
    assert answer.status_code == 201, answer.text
    return answer.headers["etag"], answer.json()


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"x-key": SECRET}},
        {"auth": {"kind": "bearer", "password": SECRET}},
        {"auth": {"kind": "oauth2", "password": SECRET, "client_id": "a", "token_url": "https://bi.example/token"}},
    ],
)
def test_moving_an_endpoint_takes_no_secret_along_that_was_not_said_again(tmp_path: Path, more: dict[str, Any]) -> None:
    """Another client of the same units could read a colleague's key by sending the endpoint to a host of its own."""

    async def story(house: House) -> None:
        async with house.caller(grants=CLEAR) as client:
            tag, _ = await _made(client, **more)
            path, headers = "/api/v1/endpoints/bi", {"if-match": tag}
            moved = {"url": "https://evil.example/hooks"}
            answers = [await client.patch(path, json=moved, headers=headers)]
            kept = {"headers": {"x-key": "•••"}} if "headers" in more else {"auth": {**more["auth"], "password": None}}
            kept["auth"] = {name: value for name, value in kept.get("auth", {}).items() if value} or {"kind": "none"}
            answers.append(await client.put(path, json={**moved, **kept}, headers=headers))
            if more.get("auth", {}).get("kind") == "oauth2":
                token = {"auth": {"token_url": "https://evil.example/token"}}
                answers.append(await client.patch(path, json=token, headers=headers))
            assert [one.status_code for one in answers] == [400] * len(answers)
            assert all("given for" in one.text and SECRET not in one.text for one in answers)
            assert (await client.patch(path, json={**moved, **more}, headers=headers)).status_code == 200

    told(tmp_path, story)


def test_path_of_the_same_host_may_change_without_saying_secrets_again(tmp_path: Path) -> None:
    """Whoever answers there had them before."""

    async def story(house: House) -> None:
        async with house.caller(grants=CLEAR) as client:
            tag, _ = await _made(client, headers={"x-key": SECRET})
            there = {"url": "https://bi.example/v2/hooks"}
            assert (
                await client.patch("/api/v1/endpoints/bi", json=there, headers={"if-match": tag})
            ).status_code == 200

    told(tmp_path, story)


def test_grants_that_shrink_are_felt_by_whoever_touches_the_endpoint(tmp_path: Path) -> None:
    """What a client may no longer see it may no longer rotate, resume or move."""

    async def story(house: House) -> None:
        made = await house.make(grants=CLEAR)
        async with house.anybody() as client:
            client.headers["authorization"] = f"Bearer {made.key}"
            await _made(client, grants={"contact": "clear"})
            await house.desk.clients.change(msgspec.structs.replace(made.client, grants={}), before=1)
            for act in ("test", "pause", "resume", "enable", "secret:rotate"):
                assert (await client.post(f"/api/v1/endpoints/bi/{act}")).status_code == 403, act

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"secret": "env:PATH"}, "secret"),
        ({"auth": {"kind": "bearer", "password": "file:/etc/passwd"}}, "password"),
        ({"auth": {"kind": "mtls", "certificate": "/etc/passwd", "password": "x"}}, "certificate"),
        ({"auth": {"authority": "file:/etc/ssl/cert.pem"}}, "authority"),
        ({"grants": {"contact": "seal", "recipient": "file:/etc/passwd"}}, "recipient"),
        ({"headers": {"x-a": "sealed:k1.finance.xyz"}}, "x-a"),
        ({"allow_private": True}, "allow_private"),
        ({"retries": [0] * 101}, "retries"),
        ({"filter": "[" + ",".join(["0"] * 480) + "].map(x, data.order).size() > 0"}, "filter"),
        ({"filter": "data.order.lines.all(a, data.order.lines.all(b, a == b))"}, "filter"),
        ({"filter": "data.order.lines.all(a, (" + "+".join(["data.order.raw_status"] * 80) + ").contains('b') == false)"}, "filter"),
    ],
)  # fmt: skip
def test_endpoint_that_reads_this_machine_or_holds_up_others_is_refused(
    tmp_path: Path, wrong: dict[str, Any], place: str
) -> None:
    """References to our files, environment and sealed secrets; private addresses; retries without end; filters that take seconds."""

    async def story(house: House) -> None:
        async with house.caller(grants=CLEAR) as client:
            answer = await client.post("/api/v1/endpoints", json={"name": "bi", "url": "https://bi.example/", **wrong})
            assert answer.status_code in (400, 403), answer.text
            assert place in answer.json()["place"]
            assert "root:" not in answer.text

    told(tmp_path, story)


def test_guesses_at_secrets_do_not_hold_up_who_has_one(tmp_path: Path) -> None:
    """Behind a proxy all callers have one address: whoever guesses there is slowed, and nobody else."""

    async def story(house: House) -> None:
        made = await house.make(rate=0.001, burst=3.0)
        right = {"grant_type": "client_credentials", "client_id": made.client.id, "client_secret": made.secret}
        async with house.anybody() as client:
            wrong = [
                (await client.post("/oauth/token", data={**right, "client_secret": "x"})).status_code for _ in range(60)
            ]
            assert wrong[-1] == 429
            answers = [(await client.post("/oauth/token", data=right)).status_code for _ in range(4)]
            assert answers == [200, 200, 200, 429]

    told(tmp_path, story, clock=TurnedClock())


def test_guessed_keys_and_tokens_are_slowed_by_address_and_nobody_else_is(tmp_path: Path) -> None:
    """A problem with the time to wait; the same allowance as at the token door. Right keys, and tokens that ran out, are answered as ever."""

    async def story(house: House) -> None:
        made = await house.make()
        right = {"grant_type": "client_credentials", "client_id": made.client.id, "client_secret": made.secret}
        async with house.anybody() as client:

            async def ask(bearer: str) -> httpx.Response:
                return await client.get("/api/v1/customers", headers={"authorization": f"Bearer {bearer}"})

            ended = (await client.post("/oauth/token", data=right)).json()["access_token"]
            said = [await ask(f"gwk_{made.client.id}.gws_{number}") for number in range(15)]
            said += [await ask(f"ey.{number}.x") for number in range(15)]
            assert {one.status_code for one in said[:20]} == {401}
            last = said[-1]
            assert (last.status_code, last.json()["code"]) == (429, "client.guesses")
            assert int(last.headers["retry-after"]) >= 1
            wrong = await client.post("/oauth/token", data={**right, "client_secret": "x"})
            assert wrong.status_code == 429
            assert (await ask(made.key)).status_code == 200
            await house.desk.clients.revoke(made.client.id)
            assert (await ask(ended)).status_code == 401

    told(tmp_path, story, clock=TurnedClock())


def test_deep_body_is_a_bad_request(tmp_path: Path) -> None:
    """No fault of ours, and no trace in the log for each."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            for body in (b'{"phone":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b'{"a":' * 50_000 + b"1" + b"}" * 50_000):
                answer = await client.post("/api/v1/customers:lookup", content=body)
                assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")

    told(tmp_path, story)


def test_filter_that_keeps_holding_up_the_others_is_asked_no_more() -> None:
    """The trial of the API is known to whoever wants to pass it; what counts is the time that is taken."""
    work = iter(n * filters.SLOW * 1.1 for n in range(99))
    hook = settings.Endpoint(url="https://bi.example/", filter="data.order.payment == 'paid'")
    end = endpoint_of("bi", hook, Proof())
    router = Router([end], worked=lambda: next(work))
    body = msgspec.json.encode({"data": {"order": {"payment": "paid"}}})
    event = store.EventRow(
        id="evt_1", type="order.paid", subject="ord_1", sequence=1, at=0, account="a", entry="", unit=None, body=body
    )
    assert [len(router.deliveries(event, now=0)) for _ in range(5)] == [1, 1, 1, 0, 0]
    router.replace([end])
    assert len(router.deliveries(event, now=0)) == 1
