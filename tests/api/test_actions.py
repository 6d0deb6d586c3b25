"""Asking partners to do something, over the API: from the request to the made-up corp and back."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from connectors.wecom import simulate
from connectors.wecom.fake import Api
from gateway import access
from gateway.action import State, Wanted
from gateway.clock import SECOND, Clock, TurnedClock, new_id, text
from gateway.desk import actions as desks
from gateway.model.customer import Customer
from gateway.model.identity import Strength
from gateway.model.values import Sensitivity
from gateway.pipeline.act import Acting
from gateway.pipeline.act_end import Ends
from gateway.pipeline.route import Router
from gateway.store import Batch, Edge
from tests.api.kit import CLEAR, House, told, until
from tests.connectors.wecom_kit import CORP, KEY, TOKEN
from tests.servers.process import free_port

OPTIONS = {"corp_id": CORP, "token": TOKEN, "encoding_aes_key": KEY, "secret": "s3cret", "agent_id": "1000002"}
MARK = "祝您生日快乐-7301"
MESSAGE = {"account": "corp", "action": "message", "parameters": {"userid": "zhangsan", "content": MARK}}
MINE = {"accounts": ("corp", "east", "shop")}

Work = Callable[[House, Api, httpx.AsyncClient], Awaitable[None]]


def story(tmp_path: Path, work: Work, *, clock: Clock | None = None, **client: Any) -> None:
    """A corp, the same corp for a unit, a shop that nobody reaches, and a caller who may act through all of them."""
    port = free_port()

    async def with_corp(house: House) -> None:
        api = await simulate.serve_api(host="127.0.0.1", port=port, options=OPTIONS, seed=7)
        try:
            async with house.caller(**{**MINE, **client}) as caller:
                await work(house, api, caller)
        finally:
            await api.close()

    corp = {"connector": "wecom", **OPTIONS, "api_base": f"http://127.0.0.1:{port}"}
    shop = {"connector": "taobao", "app_key": "1", "app_secret": "s", "session": "s", "api_base": "http://127.0.0.1:9"}
    feed = {"connector": "feed", "auth": "none-on-loopback", "mapping": "feed/customer", "system": "erp"}
    told(
        tmp_path,
        with_corp,
        clock=clock,
        accounts={"corp": corp, "east": {**corp, "unit": "east"}, "shop": shop, "feed": feed},
    )


def acting(house: House) -> Acting:
    """What the worker does."""
    ground = house.ground
    ends = Ends(ground.accounts, Router(()))
    return Acting(
        accounts=ground.accounts, records=ground.records, vault=ground.vault, clock=ground.clock, meters=ground.meters, ends=ends
    )  # fmt: skip


async def done(house: House, account: str = "corp") -> None:
    """Everything that is due is asked of the partner."""
    hand, ground = acting(house), house.ground
    opened = ground.accounts.need(account)
    while taken := await ground.records.take_actions(account, now=ground.clock.now(), limit=9):
        for one in taken:
            await hand.act(one, opened)


async def person(house: House, value: str, *, unit: str | None = None, scope: str = CORP) -> str:
    """A customer of ours whom the corp knows."""
    name = await house.keep("customer", Customer(), unit=unit)
    now, vault = house.ground.clock.now(), house.ground.vault
    edge = Edge(
        key=vault.blind("identity", "wecom.external_userid", scope, value), customer=name, namespace="wecom.external_userid", scope=scope,
        strength=Strength.STRONG, verified=True, live=True, first_seen=now, last_seen=now,
        value=vault.seal_text(value, f"{name}/identities.value", Sensitivity.CONTACT),
    )  # fmt: skip
    vault.keep()
    await house.ground.records.apply(Batch(edges=[edge]))
    return name


def tag(who: str | None, **more: Any) -> dict[str, Any]:
    """A tag for a customer of ours."""
    return {
        "account": "corp",
        "action": "tag",
        "customer": who,
        "parameters": {"userid": "zhangsan", "add_tag": ["etVIP"]},
        **more,
    }


async def ask(caller: httpx.AsyncClient, body: dict[str, Any], key: str = "") -> httpx.Response:
    return await caller.post("/api/v1/actions", json=body, headers={"idempotency-key": key} if key else {})


# ---------------------------------------------------------------------- asking
def test_message_is_acknowledged_then_sent_then_told(tmp_path: Path) -> None:
    """A 202 that says where it stands; afterwards it is done, with the partner's own number and nothing of what was asked."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        answer = await ask(caller, MESSAGE)
        assert answer.status_code == 202, answer.text
        made = answer.json()
        assert answer.headers["location"] == f"/api/v1/actions/{made['id']}"
        assert (made["state"], made["tries"], made["result"], made["ended"]) == ("waiting", 0, {}, None)
        await done(house)
        found = (await caller.get(answer.headers["location"])).json()
        assert (found["state"], found["tries"], found["result"]) == ("done", 1, {"msgid": "msg00000001"})
        assert api.deeds.messages == [("zhangsan", MARK)]
        assert MARK not in (await caller.get("/api/v1/actions")).text
        (event,) = await house.ground.records.events(subject=made["id"])
        assert (event.type, event.account) == ("action.completed", "corp")

    story(tmp_path, work)


def test_customer_of_ours_is_named_to_the_partner_by_the_partners_own_id(tmp_path: Path) -> None:
    """Looked up in the account's scope, opened only when the partner is asked; the customer is re-read afterwards."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        external, member = api._corp.known[0], api._corp.member_of(api._corp.known[0])
        who = await person(house, external)
        made = (await ask(caller, tag(who, parameters={"userid": member, "add_tag": ["etVIP"]}))).json()
        assert made["customer"] == who
        await done(house)
        assert api.deeds.tags == {(member, external): {"etVIP"}}
        (again,) = await house.ground.records.errands(now=house.ground.clock.now(), lease=0, limit=9)
        assert (again.account, again.topic) == ("corp", "customer")

    story(tmp_path, work)


def test_one_customer_is_one_line_however_named(tmp_path: Path) -> None:
    """By our id or by the partner's: what was asked first is done first."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        who = await person(house, "wm0001")
        first = (await ask(caller, tag(who))).json()["id"]
        named = {"userid": "zhangsan", "external_userid": "wm0001", "add_tag": ["etOld"]}
        second = (await ask(caller, tag(None, parameters=named))).json()
        assert second["customer"] == who
        taken = await house.ground.records.take_actions("corp", now=house.ground.clock.now(), limit=9)
        assert [one.id for one in taken] == [first]

    story(tmp_path, work)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"action": "dance"}, "body.action"),
        ({"account": "shop"}, "body.action"),
        ({"parameters": {"userid": "zhangsan"}}, "body.parameters.content"),
        ({"parameters": {"userid": "zhangsan", "content": "x", "colour": "red"}}, "body.parameters.colour"),
        ({"parameters": {"userid": "@all", "content": "x"}}, "body.parameters.userid"),
        ({"parameters": {"userid": "zhangsan", "content": "x", "format": MARK}}, "body.parameters.format"),
        ({"parameters": {"userid": "zhangsan", "content": "长" * 700}}, "body.parameters"),
        ({"customer": "cus_1"}, "body.customer"),
        ({"expires": "2020-01-01T00:00:00Z"}, "body.expires"),
        ({"expires": "2999-01-01T00:00:00Z"}, "body.expires"),
        (
            {"action": "tag", "customer": "cus_1", "parameters": {"userid": "a", "external_userid": "wm1", "add_tag": ["x"]}},
            "body.customer",
        ),
        ({"action": "tag", "parameters": {"userid": "a", "add_tag": ["x"]}}, "body.parameters.external_userid"),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_does_not_fit_is_refused_at_once_by_its_member(tmp_path: Path, change: dict[str, Any], place: str) -> None:
    """Nothing is written down, and nothing of what was sent is quoted."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        answer = await ask(caller, {**MESSAGE, **change})
        assert (answer.status_code, answer.json()["code"]) == (422, "action.invalid"), answer.text
        assert answer.json()["place"] == place
        assert MARK not in answer.text
        assert not await house.ground.records.actions(Wanted())

    story(tmp_path, work)


@pytest.mark.parametrize(
    ("account", "client"),
    [("feed", {}), ("nowhere", {}), ("corp", {"accounts": ("east",)}), ("corp", {"unit": "east"}), ("corp", {"accounts": ()})],
    ids=range(5),
)  # fmt: skip
def test_account_that_is_not_the_clients_is_refused(tmp_path: Path, account: str, client: dict[str, Any]) -> None:
    """One that it was not given, that is not there, or that lies outside of its units: the same answer."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        answer = await ask(caller, {**MESSAGE, "account": account})
        assert (answer.status_code, answer.json()["code"]) == (403, "action.account")

    story(tmp_path, work, **client)


def test_scope_is_needed(tmp_path: Path) -> None:
    """Bringing records in does not allow to act."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        for answer in (await ask(caller, MESSAGE), await caller.get("/api/v1/actions")):
            assert (answer.status_code, answer.json()["code"]) == (403, "client.scope")

    story(tmp_path, work, scopes=tuple(one for one in access.SCOPES if one != "actions:write"))


def test_customer_beyond_the_callers_units_is_nobody(tmp_path: Path) -> None:
    """By our id and by the partner's own; who is within them is found."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        theirs = await person(house, "wm-theirs", unit="west")
        ours = await person(house, "wm-ours", unit="east")
        nobody = await person(house, "wm-elsewhere", unit="east", scope="another corp")
        named = {"userid": "zhangsan", "add_tag": ["etVIP"], "external_userid": "wm-theirs"}
        for body in (tag(theirs), tag(nobody), tag("cus_none"), tag(None, parameters=named)):
            answer = await ask(caller, {**body, "account": "east"})
            assert (answer.status_code, answer.json()["code"]) == (422, "action.customer"), answer.text
        assert (await ask(caller, {**tag(ours), "account": "east"})).status_code == 202

    story(tmp_path, work, unit="east")


# ---------------------------------------------------------------------- once
def test_repeated_request_is_one_action_also_after_a_crash_before_the_answer(tmp_path: Path) -> None:
    """The key is kept with the action: it holds even when what the first was answered is not."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        first = (await ask(caller, MESSAGE, "k1")).json()["id"]
        assert (await ask(caller, MESSAGE, "k1")).json()["id"] == first
        await _forget_answers(house)
        assert (await ask(caller, MESSAGE, "k1")).json()["id"] == first
        await _forget_answers(house)
        other = await ask(caller, {**MESSAGE, "account": "east"}, "k1")
        assert (other.status_code, other.json()["code"]) == (422, "request.idempotency_key")
        await done(house)
        assert len(api.deeds.messages) == 1

    story(tmp_path, work)


def test_key_holds_when_the_customer_becomes_known_meanwhile(tmp_path: Path) -> None:
    """It is the same request: refused, the caller would have it done twice."""

    async def work(house: House, _api: Api, caller: httpx.AsyncClient) -> None:
        named = {"userid": "zhangsan", "external_userid": "wm0001", "add_tag": ["etVIP"]}
        first = (await ask(caller, tag(None, parameters=named), "k1")).json()
        assert first["customer"] is None
        await person(house, "wm0001")
        await _forget_answers(house)
        again = await ask(caller, tag(None, parameters=named), "k1")
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
        await _forget_answers(house)
        other = await ask(caller, tag(None, parameters={**named, "external_userid": "wm0002"}), "k1")
        assert (other.status_code, other.json()["code"]) == (422, "request.idempotency_key")

    story(tmp_path, work)


def test_asking_waits_for_who_is_sealing_in_the_same_process(tmp_path: Path) -> None:
    """The vault's warning that something was sealed in vain is said once, and meant for them."""

    async def work(house: House, _api: Api, caller: httpx.AsyncClient) -> None:
        assert (await house.desk.settler())._sealing is house.desk.sealing
        async with house.desk.sealing:
            asking = house.start(ask(caller, MESSAGE))
            await until(lambda: house.desk.sealing._waiters)
            assert not asking.done()
        assert (await asking).status_code == 202

    story(tmp_path, work)


async def _forget_answers(house: House) -> None:
    for one in await house.desk.shelf.documents("idempotency"):
        await house.desk.shelf.unfile("idempotency", one.key, before=one.version)


def test_crash_between_the_platforms_yes_and_our_record(tmp_path: Path) -> None:
    """What may be repeated is; a message waits for a person, who sends it again or lets it be."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        external, member = api._corp.known[0], api._corp.member_of(api._corp.known[0])
        named = {"userid": member, "external_userid": external, "add_tag": ["etVIP"]}
        sure = (await ask(caller, tag(None, parameters=named))).json()["id"]
        sent = [
            (await ask(caller, {**MESSAGE, "parameters": {"userid": who, "content": "x"}})).json()["id"]
            for who in ("lisi", "wangwu")
        ]
        taken = await house.ground.records.take_actions("corp", now=house.ground.clock.now(), limit=9)
        assert {one.id for one in taken} == {sure, *sent}
        await acting(house).recover()
        states = {one.id: one.state for one in await house.ground.records.actions(Wanted())}
        assert states == {sure: State.WAITING, sent[0]: State.UNKNOWN, sent[1]: State.UNKNOWN}
        await done(house)
        assert api.deeds.messages == []
        assert len(api.deeds.tags) == 1
        assert (await caller.post(f"/api/v1/actions/{sent[0]}/cancel")).status_code == 409

    story(tmp_path, work)


@pytest.mark.parametrize(
    ("code", "state"), [(45009, "waiting"), (-1, "waiting"), (40096, "refused"), (60020, "refused")]
)
def test_what_the_platform_says_decides(tmp_path: Path, code: int, state: str) -> None:
    """Quota and a busy platform are waited for; a definite no is final, and told."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        api.fail("message/send", code, times=4)
        made = (await ask(caller, MESSAGE)).json()["id"]
        await done(house)
        found = (await caller.get(f"/api/v1/actions/{made}")).json()
        assert (found["state"], found["tries"]) == (state, 1)
        assert f"errcode {code}" in found["cause"]
        events = await house.ground.records.events(subject=made)
        assert [one.type for one in events] == (["action.failed"] if state == "refused" else [])

    story(tmp_path, work)


def test_partner_who_hangs_up_is_unsure_and_one_who_is_not_there_is_not(tmp_path: Path) -> None:
    """A message is not sent twice for a line that broke; what nobody heard is tried again."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        first = (await ask(caller, MESSAGE)).json()["id"]
        api._verbs = {**api._verbs, "message/send": _hang_up}
        await done(house)
        assert (await caller.get(f"/api/v1/actions/{first}")).json()["state"] == "unknown"
        memo = {"account": "shop", "action": "memo", "parameters": {"tid": "1", "memo": "x"}}
        second = (await ask(caller, memo)).json()["id"]
        await done(house, "shop")
        found = (await caller.get(f"/api/v1/actions/{second}")).json()
        assert (found["state"], found["cause"].partition(":")[0]) == ("waiting", "partner.down")

    story(tmp_path, work)


def _hang_up(_asked: Any) -> dict[str, Any]:
    raise EOFError


def test_what_is_too_late_expires_without_being_asked(tmp_path: Path) -> None:
    """The partner hears nothing of it, and whoever asked is told."""
    clock = TurnedClock()

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        soon = clock.now() + 60 * SECOND
        made = (await ask(caller, {**MESSAGE, "expires": text(soon)})).json()
        clock.turn(60.0)
        await done(house)
        await acting(house)._expire()
        found = (await caller.get(f"/api/v1/actions/{made['id']}")).json()
        assert (found["state"], found["tries"]) == ("expired", 0)
        assert [one.type for one in await house.ground.records.events(subject=made["id"])] == ["action.failed"]
        assert api.deeds.messages == []

    story(tmp_path, work, clock=clock)


# ---------------------------------------------------------------------- looking
def test_each_client_sees_its_own_page_by_page(tmp_path: Path) -> None:
    """By account and state; another client's are not there."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        made = [(await ask(caller, {**MESSAGE, "account": name})).json()["id"] for name in ("corp", "east", "corp")]
        async with house.caller(name="other", **MINE) as other:
            assert (await other.get("/api/v1/actions")).json() == {"items": [], "next": None}
            assert (await other.get(f"/api/v1/actions/{made[0]}")).status_code == 404
            assert (await other.post(f"/api/v1/actions/{made[0]}/cancel")).status_code == 404
        first = (await caller.get("/api/v1/actions", params={"limit": 2})).json()
        rest = (await caller.get("/api/v1/actions", params={"limit": 2, "after": first["next"]})).json()
        assert [one["id"] for one in first["items"] + rest["items"]] == made
        assert rest["next"] is None
        await done(house)
        for params, count in (
            ({"account": "east"}, 1),
            ({"state": "done"}, 2),
            ({"state": "waiting", "account": "corp"}, 0),
        ):
            assert len((await caller.get("/api/v1/actions", params=params)).json()["items"]) == count

    story(tmp_path, work)


def test_waiting_action_is_taken_back_once_and_a_done_one_is_not(tmp_path: Path) -> None:
    """It is told as failed, and the partner hears nothing."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        made = (await ask(caller, MESSAGE)).json()["id"]
        gone = (await caller.post(f"/api/v1/actions/{made}/cancel")).json()
        assert (gone["state"], gone["cause"]) == ("cancelled", None)
        assert (await caller.post(f"/api/v1/actions/{made}/cancel")).json()["code"] == "action.not_waiting"
        await done(house)
        assert api.deeds.messages == []
        (event,) = await house.ground.records.events(subject=made)
        assert event.type == "action.failed"

    story(tmp_path, work)


@pytest.mark.parametrize("clear", [True, False], ids=["granted", "masked"])
def test_what_the_partner_answered_about_people_is_shown_as_granted(tmp_path: Path, clear: bool) -> None:
    """Customers whom a message did not reach are contact data."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        external, member = api._corp.known[0], api._corp.member_of(api._corp.known[0])
        stranger = "wmnobody1111"
        given = {"sender": member, "external_userid": [external, stranger], "content": "x"}
        made = (await ask(caller, {"account": "corp", "action": "mass_message", "parameters": given})).json()["id"]
        await done(house)
        result = (await caller.get(f"/api/v1/actions/{made}")).json()["result"]
        assert result["msgid"] == "mass00000001"
        assert (result["fail_list"] == [stranger]) is clear

    story(tmp_path, work, grants=CLEAR if clear else {})


# ---------------------------------------------------------------------- privacy and trail
def test_nothing_of_what_was_asked_is_readable_in_any_file_or_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Waiting, refused and done; nor on the trail, which says who asked for what, about whom."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        who = await person(house, "wmsecret8899")
        api.fail("message/send", 40096)
        ids = [(await ask(caller, MESSAGE)).json()["id"], (await ask(caller, MESSAGE)).json()["id"]]
        await done(house)
        ids.append((await ask(caller, {**MESSAGE, "parameters": {"userid": "lisi", "content": MARK}})).json()["id"])
        named = {"userid": "zhangsan", "external_userid": "wmsecret8899", "remark": MARK}
        ids.append((await ask(caller, {"account": "corp", "action": "remark", "parameters": named})).json()["id"])
        trail = [link.act for link in await house.ground.trail.acts(after=0, limit=99) if link.act.verb == "act"]
        assert [one.object for one in trail] == ids
        assert trail[-1].detail == {"account": "corp", "action": "remark", "customer": who}
        assert all(one.actor.startswith("client:") for one in trail)

    story(tmp_path, work)
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    said = "".join(capfd.readouterr())
    for secret in (MARK, "wmsecret8899"):
        assert secret.encode() not in held
        assert secret not in said


def test_erased_customer_takes_what_was_asked_about_them_along(tmp_path: Path) -> None:
    """It cannot be opened by anybody: the action is refused."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        who = await person(house, "wm0001")
        made = (await ask(caller, tag(who))).json()["id"]
        house.ground.vault.forget([who])
        await done(house)
        found = (await caller.get(f"/api/v1/actions/{made}")).json()
        assert (found["state"], found["cause"].partition(":")[0]) == ("refused", "vault.erased")

    story(tmp_path, work)


def test_what_a_revoked_client_asked_for_and_nobody_began_is_not_done(tmp_path: Path) -> None:
    """Whoever has its key must not go on acting; another client's actions are done."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        made = await house.make("leaked", **MINE)
        async with house.anybody() as leaked:
            leaked.headers["authorization"] = f"Bearer {made.key}"
            name = (await ask(leaked, MESSAGE)).json()["id"]
        assert (await ask(caller, {**MESSAGE, "parameters": {"userid": "lisi", "content": "x"}})).status_code == 202
        await house.desk.clients.revoke(made.client.id)
        await house.desk.belongings.round()
        await done(house)
        assert api.deeds.messages == [("lisi", "x")]
        kept = (await house.ground.records.known_actions([name]))[name]
        assert (kept.state, kept.cause) == (State.CANCELLED, f"dropped: its client {made.client.id} was revoked")

    story(tmp_path, work)


def test_what_a_door_wrote_down_after_the_revocation_is_not_done_either(tmp_path: Path) -> None:
    """A door knows a client for two seconds longer than whoever revokes it."""

    async def work(house: House, api: Api, _caller: httpx.AsyncClient) -> None:
        made = await house.make("leaked", **MINE)
        async with house.anybody() as leaked:
            leaked.headers["authorization"] = f"Bearer {made.key}"
            name = (await ask(leaked, MESSAGE)).json()["id"]
        (late,) = (await house.ground.records.known_actions([name])).values()
        await house.desk.clients.revoke(made.client.id)
        await house.desk.belongings.round()
        late = msgspec.structs.replace(late, id=new_id("act", house.ground.clock.now()))
        await house.ground.records.commission(late)
        await house.desk.belongings.round()
        await done(house)
        assert api.deeds.messages == []
        assert (await house.ground.records.known_actions([late.id]))[late.id].state is State.CANCELLED

    story(tmp_path, work)


def test_one_client_cannot_fill_the_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not at their end are counted."""
    monkeypatch.setattr(desks, "MOST_OPEN", 2)

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        for _ in range(2):
            assert (await ask(caller, MESSAGE)).status_code == 202
        answer = await ask(caller, MESSAGE)
        assert (answer.status_code, answer.json()["code"]) == (429, "action.too_many")
        assert answer.headers["retry-after"] == "60"
        await done(house)
        assert (await ask(caller, MESSAGE)).status_code == 202

    story(tmp_path, work)


def test_every_action_of_a_card_stands_in_the_served_schema(tmp_path: Path) -> None:
    """With its sensitivity, and without the member that a customer of ours may stand for."""

    async def work(house: House, api: Api, caller: httpx.AsyncClient) -> None:
        made = (await caller.get("/schema")).json()["components"]["schemas"]
        refs = {one["$ref"].rpartition("/")[2] for one in made["ActionAsked"]["properties"]["parameters"]["anyOf"]}
        assert refs == {"WecomTagParameters", "WecomRemarkParameters", "WecomMessageParameters", "WecomMassMessageParameters",
                        "TaobaoMemoParameters", "TaobaoQuantityParameters"}  # fmt: skip
        assert made["WecomTagParameters"]["required"] == ["userid"]
        assert made["WecomTagParameters"]["properties"]["external_userid"]["x-sensitivity"] == "contact"
        assert "WecomMassMessageParameters" in (await caller.get("/docs")).text

    story(tmp_path, work)
