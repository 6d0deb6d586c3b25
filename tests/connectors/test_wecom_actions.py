"""Asking WeCom to do something, over real sockets: against the made-up corp, and beside another client of the same API."""

import asyncio
from typing import Any

import msgspec
import pytest
from wechatpy.enterprise.client import WeChatClient

from connectors.wecom import CARD
from connectors.wecom.fake import Api
from connectors.wecom.fake_acts import MINUTELY
from gateway.connector import Command, Connector, Result
from gateway.errors import ConfigError, PartnerDown, PartnerError, PartnerQuota, PartnerUnlisted
from tests.connectors.test_wecom_simulate import linked
from tests.connectors.wecom_kit import Api as Script
from tests.connectors.wecom_kit import account


def asked(name: str, **given: Any) -> Command:
    """An action as the gateway hands it over."""
    offered = CARD.action(name)
    assert offered is not None
    return Command(id="act_1", action=name, parameters=msgspec.convert(given, offered.parameters))


def somebody(api: Api) -> tuple[str, str]:
    """A customer of the corp, and the member they belong to."""
    customer = api._corp.known[0]
    return customer, api._corp.member_of(customer)


async def act(connector: Connector, name: str, **given: Any) -> Result:
    return await connector.act(asked(name, **given))


def story(work: Any, **options: str) -> None:
    async def run() -> None:
        async with linked(agent_id="1000002", **options) as (api, connector):
            await work(api, connector)

    asyncio.run(run())


def test_tag_is_put_on_taken_off_and_read_again() -> None:
    """Twice is once; the customer is to be re-read, since WeCom does not tell of it."""

    async def work(api: Api, connector: Connector) -> None:
        customer, member = somebody(api)
        for _ in range(2):
            result = await act(connector, "tag", userid=member, external_userid=customer, add_tag=["etVIP", "etOld"])
        assert [(one.topic, one.key) for one in result.fetch] == [("customer", customer)]
        await act(connector, "tag", userid=member, external_userid=customer, remove_tag=["etOld"])
        assert api.deeds.tags == {(member, customer): {"etVIP"}}
        read = [event.payload.decode() for event in await connector.fetch("customer", customer)]
        assert any('"etVIP"' in one for one in read)
        assert not any('"etOld"' in one for one in read)

    story(work)


def test_remark_changes_what_it_names_and_leaves_the_rest() -> None:
    """An empty list takes phone numbers away; what is not named stays."""

    async def work(api: Api, connector: Connector) -> None:
        customer, member = somebody(api)
        who = {"userid": member, "external_userid": customer}
        await act(connector, "remark", **who, remark="张三", remark_mobiles=["13800138000"])
        await act(connector, "remark", **who, description="喜欢面膜")
        assert api.deeds.remarks[(member, customer)] == {
            "remark": "张三", "remark_mobiles": ["13800138000"], "description": "喜欢面膜"
        }  # fmt: skip
        await act(connector, "remark", **who, remark_mobiles=[])
        assert api.deeds.remarks[(member, customer)]["remark_mobiles"] == []
        assert api.heard[-1][1]["remark_mobiles"] == [""]

    story(work)


def test_message_reaches_a_member_and_a_repeat_may_be_swallowed() -> None:
    """Its number is kept; with duplicate_check the same text comes once."""

    async def work(api: Api, connector: Connector) -> None:
        result = await act(connector, "message", userid="zhangsan", content="有新客户", duplicate_check=600)
        assert result.data["msgid"] == "msg00000001"
        await act(connector, "message", userid="zhangsan", content="有新客户", duplicate_check=600)
        await act(connector, "message", userid="zhangsan", content="**有**", format="markdown")
        assert api.deeds.messages == [("zhangsan", "有新客户"), ("zhangsan", "**有**")]

    story(work)


def test_messages_over_a_members_minute_are_swallowed_as_the_platform_does() -> None:
    """Without an error: that is why the fake does it."""

    async def work(api: Api, connector: Connector) -> None:
        for number in range(MINUTELY + 3):
            await act(connector, "message", userid="lisi", content=f"第 {number} 条")
        assert len(api.deeds.messages) == MINUTELY

    story(work)


def test_mass_message_tells_whom_it_does_not_reach() -> None:
    """Customers of another member, and who had one today."""

    async def work(api: Api, connector: Connector) -> None:
        customer, member = somebody(api)
        given = {"sender": member, "content": "周末到店有礼"}
        result = await act(
            connector, "mass_message", external_userid=[customer, "wmnobody00000000000000000000000"], **given
        )
        assert result.data["msgid"] == "mass00000001"
        assert api.deeds.templates[0]["external_userid"][0] == customer
        with pytest.raises(PartnerError):
            await act(connector, "mass_message", external_userid=[customer], **given)

    story(work)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("tag", {"userid": "zhangsan", "external_userid": "wm1"}),
        ("tag", {"userid": "zhangsan", "external_userid": "wm1", "add_tag": ["x"] * 101}),
        ("remark", {"userid": "zhangsan", "external_userid": "wm1"}),
        ("remark", {"userid": "zhangsan", "external_userid": "wm1", "remark": "长" * 21}),
        ("message", {"userid": "zhangsan", "content": "长" * 700}),
        ("message", {"userid": "@all", "content": "致全体"}),
        ("message", {"userid": "zhangsan|lisi", "content": "两人"}),
        ("message", {"userid": "zhangsan\n", "content": "一人"}),
        ("message", {"userid": "zhangsan", "content": "x", "duplicate_check": 14_401}),
        ("mass_message", {"sender": "zhangsan", "external_userid": [], "content": "x"}),
        ("mass_message", {"sender": "zhangsan", "external_userid": ["wm1"], "content": "长" * 1400}),
    ],
    ids=range(11),
)
def test_parameters_that_the_platform_would_refuse_or_misread_are_refused_first(
    name: str, given: dict[str, Any]
) -> None:
    """Nobody but the one who is named ever gets a message."""
    with pytest.raises(msgspec.ValidationError):
        asked(name, **given)


@pytest.mark.parametrize(
    ("code", "error"), [(45009, PartnerQuota), (-1, PartnerDown), (60020, PartnerUnlisted), (40096, PartnerError), (84061, PartnerError)]
)  # fmt: skip
def test_error_table_holds_for_actions_too(code: int, error: type[PartnerError]) -> None:
    """What may pass waits, what is a no is a no, and nothing of it is unsure: the platform has answered."""

    async def work(api: Api, connector: Connector) -> None:
        api.fail("message/send", code, times=9)
        with pytest.raises(PartnerError) as caught:
            await act(connector, "message", userid="zhangsan", content="x")
        assert type(caught.value) is error
        assert not getattr(caught.value, "unsure", False)
        assert api.deeds.messages == []

    story(work)


def test_member_who_is_named_and_not_reached_is_no_success() -> None:
    """The platform says yes and names them all the same."""
    script = Script({"message/send": {"errcode": 0, "invaliduser": "zhangsan"}})
    connector = CARD.open(account(agent_id="1000002"), script.tools)
    with pytest.raises(PartnerError, match="cannot be reached"):
        asyncio.run(act(connector, "message", userid="zhangsan", content="x"))


def test_message_without_an_app_is_refused_before_anything_is_asked() -> None:
    """An app of the account is what sends it."""
    script = Script({})
    with pytest.raises(ConfigError, match="agent_id"):
        asyncio.run(act(CARD.open(account(), script.tools), "message", userid="zhangsan", content="x"))
    assert script.paths() == []


def test_requests_are_what_another_client_of_the_api_sends() -> None:
    """wechatpy's own requests to the same fake; what it sends beside them is empty."""

    async def work(api: Api, connector: Connector) -> None:
        customer, member = somebody(api)
        await act(connector, "tag", userid=member, external_userid=customer, add_tag=["etVIP"], remove_tag=["etOld"])
        await act(connector, "message", userid=member, content="你好")
        await act(connector, "mass_message", sender=member, external_userid=[customer], content="你好")
        ours = list(api.heard)
        api.heard.clear()
        api.deeds._massed.clear()
        await asyncio.to_thread(_by_wechatpy, api.url, customer, member)
        theirs = list(api.heard)
        assert [path for path, _ in ours] == [path for path, _ in theirs]
        for (_, own), (_, other) in zip(ours, theirs, strict=True):
            assert {**other, **own} == {**own, **{name: value for name, value in other.items() if not value}}
            assert {name for name in other if other[name]} <= own.keys()

    story(work)


def _by_wechatpy(url: str, customer: str, member: str) -> None:
    client = WeChatClient("corp", "s3cret", access_token="token-1")
    client.API_BASE_URL = f"{url}/cgi-bin/"
    client.external_contact.mark_tag(member, customer, ["etVIP"], ["etOld"])
    client.message.send_text(1000002, [member], "你好")
    template = {"sender": member, "external_userid": [customer], "text": {"content": "你好"}}
    client.external_contact.add_msg_template(template)
