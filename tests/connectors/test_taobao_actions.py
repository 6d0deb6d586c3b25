"""Asking a shop to do something, over signed calls on a real socket."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from connectors.taobao import CARD
from connectors.taobao.simulate import Fake, Faults
from gateway.connector import Command, Connector, Result
from gateway.errors import PartnerDenied, PartnerDown, PartnerError, PartnerQuota
from tests.connectors.taobao_kit import Caller, Canned, account, fake, tools

Story = Callable[[Fake, Connector], Awaitable[None]]


async def act(shop: Connector, name: str, **given: Any) -> Result:
    offered = CARD.action(name)
    assert offered is not None
    return await shop.act(Command(id="act_1", action=name, parameters=msgspec.convert(given, offered.parameters)))


def story(work: Story, faults: Faults | None = None) -> None:
    async def run() -> None:
        platform, caller = await fake(faults=faults), Caller()
        try:
            await work(platform, CARD.open(account(platform), tools(caller)))
        finally:
            await caller.close()
            await platform.close()

    asyncio.run(run())


def test_memo_is_written_replaced_and_taken_away() -> None:
    """Twice is once, the flag stays where none is given, and the trade is to be re-read."""

    async def work(platform: Fake, shop: Connector) -> None:
        tid = str(platform.market.create()["tid"])
        for _ in range(2):
            result = await act(shop, "memo", tid=tid, memo="VIP，先发货", flag=1)
        assert [(one.topic, one.key) for one in result.fetch] == [("trade", tid)]
        trade = platform.market.trades[int(tid)]
        assert (trade["seller_memo"], trade["seller_flag"]) == ("VIP，先发货", 1)
        (read,) = await shop.fetch("trade", tid)
        assert shop.decode("trade", read.payload).data["seller_memo"] == "VIP，先发货"
        await act(shop, "memo", tid=tid, memo="")
        assert (trade["seller_memo"], trade["seller_flag"]) == ("", 1)

    story(work)


def test_quantity_is_set_as_a_whole() -> None:
    """Of an item, or of the SKU that the seller's code names; twice is once."""

    async def work(platform: Fake, shop: Connector) -> None:
        for _ in range(2):
            await act(shop, "quantity", num_iid="101", quantity=7, outer_id="SKU-A1")
        assert platform.market.stock[("101", "SKU-A1")] == 7
        await act(shop, "quantity", num_iid="102", quantity=0)
        assert platform.market.stock[("102", "SKU-B2")] == 0
        assert platform.router.calls[-1]["type"] == "1"

    story(work)


def test_trade_or_item_that_there_is_not_is_a_no() -> None:
    """Not something to wait for."""

    async def work(platform: Fake, shop: Connector) -> None:
        for name, given in (("memo", {"tid": "1", "memo": "x"}), ("quantity", {"num_iid": "1", "quantity": 1})):
            with pytest.raises(PartnerError) as caught:
                await act(shop, name, **given)
            assert type(caught.value) is PartnerError

    story(work)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ({"code": 7, "sub_msg": "This ban will last for 3 more seconds"}, PartnerQuota),
        ({"code": 27}, PartnerDenied),
        ({"code": 15, "sub_code": "isp.remote-service-unavailable"}, PartnerDown),
        ({"code": 15, "sub_code": "isv.invalid-parameter"}, PartnerError),
    ],
    ids=lambda one: str(one.get("code")) if isinstance(one, dict) else one.__name__,
)
def test_error_table_holds_for_actions_too(failure: dict[str, Any], error: type[PartnerError]) -> None:
    """Quota waits, isp is tried again, isv is a no."""

    async def work(platform: Fake, shop: Connector) -> None:
        platform.router.failures.append({"msg": "", **failure})
        with pytest.raises(PartnerError) as caught:
            await act(shop, "quantity", num_iid="101", quantity=1)
        assert type(caught.value) is error
        assert platform.market.stock[("101", "SKU-A1")] == 100

    story(work)


def test_answer_without_its_envelope_is_unsure() -> None:
    """A proxy's page says nothing of what TOP did."""
    shop = CARD.open(account(), tools(Canned(b"<html>")))
    with pytest.raises(PartnerDown) as caught:
        asyncio.run(act(shop, "quantity", num_iid="101", quantity=1))
    assert caught.value.unsure


@pytest.mark.parametrize(
    "given",
    [{"num_iid": "x", "quantity": 1}, {"num_iid": "1", "quantity": -1}, {"num_iid": "1\n", "quantity": 1},
     {"num_iid": "1", "quantity": 1, "sku_id": "2", "outer_id": "A"}],
    ids=range(4),
)  # fmt: skip
def test_quantity_that_means_nothing_is_refused_first(given: dict[str, Any]) -> None:
    """Without asking the platform."""
    offered = CARD.action("quantity")
    assert offered is not None
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, offered.parameters)
