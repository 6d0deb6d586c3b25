"""WeCom's API as the client reads it: token, error table, paging, readings and pulls."""

import asyncio
from typing import Any

import pytest

from connectors.wecom import CARD
from connectors.wecom.client import BASE, DENIED, Client
from gateway.clock import SECOND
from gateway.connector import Lane, Page, Secret, Window
from gateway.errors import ConfigError, PartnerDenied, PartnerDown, PartnerError, PartnerQuota
from tests.connectors.wecom_kit import NOW, Api, account, opened, payloads

WINDOW = Window(since=0, until=NOW * SECOND)
OK = {"errcode": 0, "errmsg": "ok"}
CONTACT = {"external_userid": "wm1", "name": "李四", "type": 1, "gender": 1}


def get(api: Api, **options: Any) -> Any:
    return asyncio.run(Client(account(**options), api.tools).get("user/get", userid="u"))


# ---------------------------------------------------------------------- token
def test_many_at_once_obtain_one_token() -> None:
    """Everybody waits for the one who asks."""
    api = Api({"user/get": OK})
    client = Client(account(), api.tools)

    async def all_at_once() -> None:
        await asyncio.gather(*(client.get("user/get", userid=str(n)) for n in range(20)))

    asyncio.run(all_at_once())
    assert api.paths().count("gettoken") == 1
    assert {params["access_token"] for path, params, _ in api.asked if path == "user/get"} == {"t1"}


def test_two_accounts_share_a_token_exactly_when_corp_and_secret_are_theirs_both() -> None:
    """The platform keeps one token per corp and secret, and the name tells neither."""
    api = Api({"user/get": OK})
    for options in ({}, {"agent_id": "7"}, {"secret": Secret("another")}):
        asyncio.run(Client(account(**options), api.tools).get("user/get", userid="u"))
    assert api.obtained == 2
    assert not any("s3cret" in name or "another" in name for name in api.tokens)


@pytest.mark.parametrize("code", [40014, 42001])
def test_a_stale_token_is_replaced_once_and_the_call_repeated(code: int) -> None:
    """The second answer counts."""
    api = Api({"user/get": [{"errcode": code}, {**OK, "userid": "u"}]})
    assert get(api)["userid"] == "u"
    assert api.paths() == ["gettoken", "user/get", "gettoken", "user/get"]


def test_a_new_token_that_is_refused_too_ends_it() -> None:
    """No loop: the address could be banned."""
    api = Api({"user/get": {"errcode": 42001}})
    with pytest.raises(PartnerDenied):
        get(api)
    assert api.paths().count("gettoken") == 2


def test_a_wrong_secret_is_tried_once() -> None:
    """40001 is no case for a refresh on this platform."""
    api = Api({"gettoken": {"errcode": 40001, "errmsg": "invalid credential, from ip: 203.0.113.9"}})
    with pytest.raises(PartnerDenied, match=r"203\.0\.113\.9") as caught:
        get(api)
    assert api.paths() == ["gettoken"]
    assert "secret" in caught.value.remedy
    assert "s3cret" not in str(caught.value)


def test_a_token_answer_without_a_token_is_a_failure() -> None:
    """Fail closed when the envelope is incomplete."""
    with pytest.raises(PartnerError):
        get(Api({"gettoken": OK}))


def test_calls_go_to_the_platform_or_to_the_accounts_own_base() -> None:
    """``api_base`` replaces the address."""
    asked: list[str] = []
    api = Api({"user/get": OK})
    call = api.tools.call

    async def noted(method: str, url: str, **rest: Any) -> Any:
        asked.append(url)
        return await call(method, url, **rest)

    tools = type(api.tools)(clock=api.clock, call=noted, token=api.tools.token)
    for base in (None, "http://127.0.0.1:9/"):
        asyncio.run(Client(account(api_base=base), tools).get("user/get", userid="u"))
    assert asked[1:] == [f"{BASE}/cgi-bin/user/get", "http://127.0.0.1:9/cgi-bin/user/get"]


# ---------------------------------------------------------------------- the error table
@pytest.mark.parametrize("code", [-1, 41063, 45033, 45035, 301026, 301057])
def test_a_busy_platform_is_asked_again_and_then_reported_down(code: int) -> None:
    """Three more times, each later than the last."""
    api = Api({"user/get": {"errcode": code}})
    with pytest.raises(PartnerDown):
        get(api)
    assert api.paths().count("user/get") == 4
    assert api.clock.now() - NOW * SECOND == 1_400_000


def test_a_busy_platform_that_recovers_is_no_failure() -> None:
    """One busy answer costs a fifth of a second."""
    assert get(Api({"user/get": [{"errcode": -1}, {"userid": "u"}]})) == {"userid": "u"}


@pytest.mark.parametrize("code", [45009, 99110])
def test_over_the_limit_waits_for_the_window(code: int) -> None:
    """And is not asked again here."""
    api = Api({"user/get": {"errcode": code}})
    with pytest.raises(PartnerQuota) as caught:
        get(api)
    assert caught.value.wait == 60
    assert api.paths().count("user/get") == 1


@pytest.mark.parametrize("code", sorted(DENIED))
def test_a_denial_says_what_to_do(code: int) -> None:
    """Every code of the table, once."""
    api = Api({"user/get": {"errcode": code, "errmsg": "invalid userid: zhangsan"}})
    with pytest.raises(PartnerDenied) as caught:
        get(api)
    assert caught.value.remedy
    assert caught.value.place == "corp"
    assert "zhangsan" not in str(caught.value)
    assert api.paths().count("user/get") == 1


@pytest.mark.parametrize("code", [60111, 84061, 86003, 60123])
def test_what_is_gone_is_nothing_and_no_error(code: int) -> None:
    """A member who left, a relation that ended, a group that is no more."""
    assert get(Api({"user/get": {"errcode": code}})) is None


@pytest.mark.parametrize("code", [40003, 40035, 40096, 99999])
def test_any_other_code_stops(code: int) -> None:
    """What the table does not name is not repeated."""
    with pytest.raises(PartnerError) as caught:
        get(Api({"user/get": {"errcode": code}}))
    assert type(caught.value) is PartnerError


@pytest.mark.parametrize(
    ("answer", "error"), [(404, PartnerError), (502, PartnerDown), (b"<html>", PartnerDown), (b"[]", PartnerDown)]
)
def test_an_answer_that_is_not_the_platforms_is_not_taken_for_one(answer: Any, error: type[PartnerError]) -> None:
    """An unknown path, a proxy's page, another shape."""
    with pytest.raises(error):
        get(Api({"user/get": answer}))


# ---------------------------------------------------------------------- fetch
def fetch(api: Api, topic: str, key: str) -> Any:
    return asyncio.run(opened(api.tools).fetch(topic, key))


def test_a_customer_is_read_with_the_followers_of_every_page() -> None:
    """One event for the customer with everybody's tags and numbers, one for each follower."""
    one = {
        "userid": "a",
        "tags": [{"tag_name": "VIP"}, {"tag_name": "苏州"}],
        "remark_mobiles": ["13800138000", ""],
        "state": "s",
    }
    two = {"userid": "b", "tags": [{"tag_name": "VIP"}], "remark_mobiles": ["13800138000"]}
    api = Api(
        {
            "externalcontact/get": [
                {**OK, "external_contact": CONTACT, "follow_user": [one], "next_cursor": "c2"},
                {**OK, "external_contact": CONTACT, "follow_user": [two]},
            ]
        }
    )
    events = fetch(api, "customer", "wm1")
    assert [event.topic for event in events] == ["customer", "follow", "follow"]
    assert {event.partition_key for event in events} == {"customer:wm1"}
    assert payloads(events, "customer") == [
        {
            "external_contact": CONTACT,
            "mobiles": [{"value": "13800138000"}],
            "tags": ["VIP", "苏州"],
            "read_at": str(NOW),
        }
    ]
    assert payloads(events, "follow")[0] == {
        "external_userid": "wm1", "userid": "a", "remark_mobiles": ["13800138000", ""], "state": "s", "tags": ["VIP", "苏州"], "read_at": str(NOW),
    }  # fmt: skip
    assert api.asked[2][1]["cursor"] == "c2"


def test_a_reading_of_equal_content_later_is_another_event() -> None:
    """A remark that was changed and changed back must not stay wrong; the version rule sees that nothing moved."""
    api = Api({"user/get": {**OK, "userid": "u", "name": "王五"}})
    (first,) = fetch(api, "user", "u")
    api.clock.turn(60)
    (second,) = fetch(api, "user", "u")
    assert first.dedupe_key != second.dedupe_key


def test_an_unconfirmed_customer_is_read_without_relations() -> None:
    """Who it is, not yet whose."""
    api = Api({"externalcontact/get": {"external_contact": CONTACT, "follow_user": [{"userid": "a"}]}})
    assert [event.topic for event in fetch(api, "profile", "wm1")] == ["customer"]


@pytest.mark.parametrize(
    ("topic", "path", "code"),
    [
        ("customer", "externalcontact/get", 84061),
        ("user", "user/get", 60111),
        ("department", "department/get", 60123),
        ("chat", "externalcontact/groupchat/get", 86003),
    ],
)
def test_what_is_gone_reads_as_nothing(topic: str, path: str, code: int) -> None:
    """The callback has told who left; there is no more to say."""
    assert list(fetch(Api({path: {"errcode": code}}), topic, "x")) == []


def test_a_member_and_a_department_are_read_as_plain_data() -> None:
    """Department ids as text; the root has no parent; nothing of the envelope."""
    api = Api(
        {
            "user/get": {**OK, "userid": "u", "name": "王五", "department": [1, 2], "status": 1},
            "department/get": {**OK, "department": {"id": 1, "name": "总部", "parentid": 0, "order": 100000000}},
        }
    )
    (user,), (unit,) = fetch(api, "user", "u"), fetch(api, "department", "1")
    assert (user.partition_key, unit.partition_key) == ("staff:u", "unit:1")
    assert payloads([user], "user") == [
        {"userid": "u", "name": "王五", "department": ["1", "2"], "status": 1, "read_at": str(NOW)}
    ]
    assert payloads([unit], "department") == [{"id": 1, "name": "总部", "order": 100000000, "read_at": str(NOW)}]


def test_a_group_is_read_as_the_customers_in_it() -> None:
    """Colleagues are not customers, and joining once is one event however often the group is read."""
    chat = {"chat_id": "wr1", "name": "VIP群", "owner": "a", "member_list": [
        {"userid": "a", "type": 1, "join_time": 1}, {"userid": "wm1", "type": 2, "join_time": 2}]}  # fmt: skip
    api = Api({"externalcontact/groupchat/get": {**OK, "group_chat": chat}})
    first = fetch(api, "chat", "wr1")
    api.clock.turn(60)
    assert list(fetch(api, "chat", "wr1")) == list(first)
    assert [(event.dedupe_key, event.partition_key) for event in first] == [("wr1:wm1:2", "customer:wm1")]


def test_customer_service_messages_are_read_on_from_where_the_last_reading_came_to() -> None:
    """Except a reading that is repeated: it begins where it began, since nobody knows that its messages were kept."""
    pages = [
        {
            **OK,
            "next_cursor": "c1",
            "has_more": 1,
            "msg_list": [{"msgid": "m1", "open_kfid": "wk", "external_userid": "wm1"}],
        },
        {**OK, "next_cursor": "c2", "has_more": 0, "msg_list": [{"msgid": "m2", "open_kfid": "wk"}]},
        {**OK, "next_cursor": "c3", "has_more": 0, "msg_list": []},
    ]
    api = Api({"kf/sync_msg": pages})
    connector = opened(api.tools)
    events = asyncio.run(connector.fetch("kf_messages", "wk t1"))
    for key in ("wk t1", "wk t2"):
        asyncio.run(connector.fetch("kf_messages", key))
    asked = [(body["token"], body.get("cursor")) for path, _, body in api.asked if path == "kf/sync_msg"]
    assert asked == [("t1", None), ("t1", "c1"), ("t1", None), ("t2", "c3")]
    assert [(event.dedupe_key, event.partition_key) for event in events] == [("m1", "customer:wm1"), ("m2", "kf:wk")]


def test_a_topic_that_cannot_be_asked_for_is_a_fault_of_the_config() -> None:
    """Neither fetched nor pulled."""
    connector = opened()
    with pytest.raises(ConfigError):
        asyncio.run(connector.fetch("message", "1"))
    with pytest.raises(ConfigError):
        asyncio.run(connector.pull("message", WINDOW, None))


@pytest.mark.parametrize("answer", [{"department": [1]}, {"department": "text"}, {"department": [{"id": "x"}]}])
def test_an_answer_of_another_shape_is_the_partners_failure(answer: dict[str, Any]) -> None:
    """It becomes a dead letter and stops nothing else."""
    api = Api({"department/get": answer, "department/list": answer})
    for ask in (opened(api.tools).fetch("department", "1"), opened(api.tools).pull("user", WINDOW, None)):
        with pytest.raises(PartnerError, match="shape"):
            asyncio.run(ask)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- probe
def probe(api: Api, **options: Any) -> str:
    return asyncio.run(opened(api.tools, **options).probe())


def test_a_probe_proves_the_secret_and_the_app() -> None:
    """By app where one is named, else by the addresses that callbacks come from; silent without a secret."""
    api = Api({"agent/get": {**OK, "close": 0}, "getcallbackip": {**OK, "ip_list": ["192.0.2.1", "192.0.2.2"]}})
    assert "1000002" in probe(api, agent_id="1000002")
    assert "2 addresses" in probe(api)
    assert "only listens" in probe(Api({}), secret=Secret(""))


def test_a_probe_of_a_disabled_app_or_an_untrusted_address_says_what_to_do() -> None:
    """What an operator meets first."""
    for api in (Api({"agent/get": {**OK, "close": 1}}), Api({"agent/get": {"errcode": 60020}})):
        with pytest.raises(PartnerDenied) as caught:
            probe(api, agent_id="7")
        assert caught.value.remedy


# ---------------------------------------------------------------------- pull
def pull(api: Api, topic: str, **options: Any) -> list[Page]:
    """All pages."""
    connector = opened(api.tools, **options)

    async def pages() -> list[Page]:
        found, cursor = [], None
        while True:
            page = await connector.pull(topic, WINDOW, cursor)
            found.append(page)
            cursor = page.cursor
            if cursor is None:
                return found

    return asyncio.run(pages())


def batch(*rows: str, cursor: str = "", unlicensed: list[str] | None = None) -> dict[str, Any]:
    listed = [
        {"external_contact": {**CONTACT, "external_userid": one}, "follow_info": {"userid": "a", "tag_id": ["t"]}}
        for one in rows
    ]
    return {
        **OK,
        "external_contact_list": listed,
        "next_cursor": cursor,
        "fail_info": {"unlicensed_userid_list": unlicensed or []},
    }


def test_customers_are_pulled_over_all_members_a_hundred_at_a_time() -> None:
    """Both cursors, ours over members and the platform's within a batch; every member asked about once."""
    members = [f"m{n}" for n in range(150)]
    api = Api(
        {
            "externalcontact/get_follow_user_list": {**OK, "follow_user": members},
            "externalcontact/batch/get_by_user": [batch("wm1", cursor="x.1"), batch("wm2"), batch("wm3")],
        }
    )
    pages = pull(api, "customer")
    asked = [body for path, _, body in api.asked if path.endswith("get_by_user")]
    assert [(len(body["userid_list"]), body["cursor"]) for body in asked] == [(100, ""), (100, "x.1"), (50, "")]
    assert asked[0]["userid_list"] == asked[1]["userid_list"]
    assert sorted(asked[0]["userid_list"] + asked[2]["userid_list"]) == sorted(members)
    events = [event for page in pages for event in page.events]
    assert [event.topic for event in events] == ["customer", "follow"] * 3
    assert {event.lane for event in events} == {Lane.BULK}
    assert "tags" not in payloads(events, "follow")[0]
    assert "tags" not in payloads(events, "customer")[0]
    assert not any(member in str(page.cursor) for page in pages for member in members)


def test_a_page_pulled_again_is_the_same_page() -> None:
    """A crash between reading and remembering changes nothing."""
    api = Api(
        {
            "externalcontact/get_follow_user_list": {**OK, "follow_user": ["a"]},
            "externalcontact/batch/get_by_user": batch("wm1"),
        }
    )
    (first,) = pull(api, "customer")
    api.clock.turn(0.5)
    (again,) = pull(api, "customer")
    assert [event.dedupe_key for event in first.events] == [event.dedupe_key for event in again.events]


def test_members_the_batch_passes_over_are_listed_and_their_customers_read_singly() -> None:
    """Without an interface licence the batch call leaves a member out."""
    api = Api(
        {
            "externalcontact/get_follow_user_list": {**OK, "follow_user": ["a", "b", "c"]},
            "externalcontact/batch/get_by_user": batch(unlicensed=["b", "c"]),
            "externalcontact/list": [{**OK, "external_userid": ["wm1", "wm2"]}, {"errcode": 84061}],
        }
    )
    (page,) = pull(api, "customer")
    assert [(one.topic, one.key) for one in page.fetch] == [("customer", "wm1"), ("customer", "wm2")]


def test_members_are_pulled_department_by_department() -> None:
    """The cursor is the department; departments go by number, not by text."""
    api = Api(
        {
            "department/list": {**OK, "department": [{"id": 10, "name": "店"}, {"id": 2, "name": "区"}]},
            "user/list": [
                {**OK, "userlist": [{"userid": "u", "department": [2]}]},
                {**OK, "userlist": [{"userid": "v", "department": [10]}]},
            ],
        }
    )
    pages = pull(api, "user")
    assert [page.cursor for page in pages] == ["2", None]
    assert [params["department_id"] for path, params, _ in api.asked if path == "user/list"] == ["2", "10"]
    assert [event.partition_key for page in pages for event in page.events] == ["staff:u", "staff:v"]


def test_departments_come_in_one_page() -> None:
    """Parents and children alike."""
    api = Api({"department/list": {**OK, "department": [{"id": 1, "parentid": 0}, {"id": 2, "parentid": 1}]}})
    (page,) = pull(api, "department")
    assert [event.partition_key for event in page.events] == ["unit:1", "unit:2"]


def test_groups_are_listed_by_their_owners_and_read_singly() -> None:
    """Never without owner_filter: large corps are refused."""
    api = Api(
        {
            "externalcontact/get_follow_user_list": {**OK, "follow_user": ["a"]},
            "externalcontact/groupchat/list": {
                **OK,
                "group_chat_list": [{"chat_id": "wr1", "status": 0}],
                "next_cursor": "",
            },
        }
    )
    (page,) = pull(api, "chat")
    assert [(one.topic, one.key) for one in page.fetch] == [("chat", "wr1")]
    assert api.asked[-1][2] == {"owner_filter": {"userid_list": ["a"]}, "limit": 100, "cursor": ""}


def test_a_corp_without_customer_contact_has_nothing_to_pull() -> None:
    """No members, no batch call."""
    api = Api({"externalcontact/get_follow_user_list": {**OK, "follow_user": []}})
    assert pull(api, "customer") == [Page(events=())]
    assert pull(Api({}), "customer", secret=Secret("")) == [Page(events=())]


def test_every_pull_of_the_card_can_be_pulled() -> None:
    """And its topic is on the card."""
    empty = {"department/list": OK, "externalcontact/get_follow_user_list": OK}
    for topic in CARD.pulls:
        assert CARD.topic(topic)
        assert pull(Api(empty), topic) == [Page(events=())]
