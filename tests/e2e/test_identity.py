"""One person, several systems: linked by what they share, never by what proves nothing, and parted again by a person's word."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hl7.client import MLLPClient

from gateway import app, book, settings, store
from gateway.pipeline.route import Router
from gateway.pipeline.settle import Settler
from tests.e2e import house
from tests.e2e.house import FEED_SECRET, Gateway, Got, House, Receiver, endpoint, eventually

# A shop's own mappings: a membership that knows people by card and by WeChat, and its sales, which know WeChat alone.
MEMBER = """
version: 1
connector: feed
topic: member
emit:
  - record: customer
    time: {path: at, as: time}
    fields: {name: name, contacts: [{when: phone, fields: {kind: {const: phone}, value: {path: phone, as: phone}, verified: {const: true}}}]}
    identities:
      - {namespace: erp.customer_code, scope: {const: shop}, value: code}
      - {namespace: wechat.unionid, value: unionid}
      - {namespace: phone, value: {path: phone, as: phone}, verified: {const: true}}
"""
SALE = """
version: 1
connector: feed
topic: sale
emit:
  - record: order
    time: {path: at, as: time}
    fields: {external_id: {path: number, required: true}, channel: {const: shop}}
    identities:
      - {namespace: wechat.unionid, value: unionid}
"""


@dataclass
class Shop:
    """One gateway with four systems behind it."""

    gateway: Gateway
    receiver: Receiver
    hospital: int

    def member(self, **row: str) -> None:
        assert self.gateway.feed("members", {"at": "2026-11-11 08:00:00", **row}).status_code == 202

    def sale(self, number: str, unionid: str, at: str = "08:00") -> None:
        assert (
            self.gateway.feed("sales", {"number": number, "unionid": unionid, "at": f"2026-11-11 {at}:00"}).status_code
            == 202
        )

    def told(self, kind: str, name: str) -> list[Got]:
        return [got for got in self.receiver.of(kind) if got.data["customer"].get("name") == name]

    def customer(self, name: str, kind: str = "customer.created") -> str:
        """The id of the customer of whom an event told this name."""
        return str(eventually(lambda: self.told(kind, name), what=f"{kind} of {name}")[0].subject)

    def buyer(self, number: str) -> str:
        """Whose order this is, by its newest event."""

        def look() -> list[Got]:
            return [got for got in self.receiver.accepted() if got.data.get("order", {}).get("external_id") == number]

        return str(eventually(look)[-1].data["customer"]["id"])


@pytest.fixture(scope="module")
def shop(shared: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    own: Path = tmp_path_factory.mktemp("own")
    (own / "feed").mkdir()
    (own / "feed" / "member.yaml").write_text(MEMBER, encoding="utf-8")
    (own / "feed" / "sale.yaml").write_text(SALE, encoding="utf-8")
    receiver = shared.receiver()
    (mllp,) = house.free_ports(1)
    feed = {"connector": "feed", "secret": FEED_SECRET}
    gateway = shared.gateway(
        {
            "gateway": {"mappings": str(own)},
            "accounts": {
                "crm": house.customers(),
                "erp": house.orders(),
                "members": {**feed, "mapping": "feed/member", "id_path": "code || unionid"},
                "sales": {**feed, "mapping": "feed/sale", "id_path": "number"},
                "his": {"connector": "hl7", "listen": f"127.0.0.1:{mllp}"},
            },
            "endpoints": {"main": endpoint(receiver, grants={"identity": "clear", "contact": "clear"})},
        }
    )
    yield Shop(gateway, receiver, mllp)
    assert receiver.forged == []
    assert gateway.health()["parts"]["worker"]["counts"].get("dead_letters", 0) == 0


def test_a_phone_that_nobody_verified_links_no_two_systems_but_is_shown_to_a_person(shop: Shop) -> None:
    """The ERP's customer and the hospital's patient share a number: two customers, and one pair to decide."""
    shop.gateway.feed(
        "crm", {"customer_code": "C1", "name": "张三", "phone": "13800138001", "updated_at": "2026-11-11 08:00:00"}
    )
    one = shop.customer("张三")
    with MLLPClient("127.0.0.1", shop.hospital) as client:
        header = "MSH|^~\\&|HIS|SHDYYY|SCRM|GW|20260111120000||ADT^A28^ADT_A05|M1|P|2.5||||||UNICODE UTF-8"
        client.send_message(
            f"{header}\rEVN|A28|20260111115900\rPID|1||0001^^^SHDYYY^MR||张叁||19880818|F|||||13800138001^PRN^CP\r"
        )
    two = shop.customer("张叁")
    assert one != two
    (pair,) = on_ground(shop.gateway, candidates)
    assert (pair.a, pair.b) == tuple(sorted((one, two)))
    eventually(lambda: shop.gateway.health()["parts"]["worker"]["counts"]["candidates"] == 1)


def test_a_code_of_one_account_is_one_customer_across_its_records(shop: Shop) -> None:
    """What an order says of a customer code, it says of the customer that the code names."""
    shop.gateway.feed("erp", house.order("SO-1", customer_code="K1", phone="13800138002"))
    first = eventually(
        lambda: [got for got in shop.receiver.of("order.paid") if got.data["order"]["external_id"] == "SO-1"]
    )[0]
    shop.gateway.feed("erp", house.order("SO-2", customer_code="K1"))
    assert shop.buyer("SO-2") == first.data["customer"]["id"]


def test_a_merge_moves_what_the_other_had_and_a_person_can_part_them_again(shop: Shop) -> None:
    """Linked by an assertion of both keys; parted by the Settler; kept apart from then on."""
    shop.member(code="M1", name="李四", at="2026-11-11 08:00:00")
    shop.member(unionid="U1", name="李思", phone="13800138003", at="2026-11-11 08:01:00")
    one, two = shop.customer("李四"), shop.customer("李思")
    shop.sale("S-1", "U1")
    assert shop.buyer("S-1") == two

    shop.member(code="M1", unionid="U1", at="2026-11-11 08:02:00")
    merged = eventually(lambda: [got for got in shop.receiver.of("customer.merged") if got.subject == one])[0]
    assert merged.data["merged"]["id"] == two
    assert merged.data["customer"]["name"] == "李思", "the newer word on the name"
    assert merged.data["customer"]["contacts"][0]["value"] == "+8613800138003"
    shop.sale("S-2", "U1")
    assert shop.buyer("S-2") == one, "the old key leads to the survivor"
    assert {row.customer for row in on_ground(shop.gateway, orders_of(one))} == {one}
    shop.member(code="M1", name="李四新", at="2026-11-11 09:00:00")
    eventually(lambda: shop.told("customer.updated", "李四新"))

    on_ground(shop.gateway, unmerge_of(two))
    parted = eventually(lambda: len(found := shop.receiver.of("customer.unmerged")) == 2 and found)
    said = {got.subject: got.data for got in parted}
    assert said[one]["other"]["id"] == two
    assert said[one]["customer"]["name"] == "李四新", "what was said since the merge stays"
    assert not said[one]["customer"].get("contacts"), "what came by it has gone back"
    assert said[two]["customer"]["name"] == "李思"
    assert said[two]["customer"]["contacts"][0]["value"] == "+8613800138003"
    assert said[two]["customer"]["state"] == "active"
    given_back = {row.id for row in on_ground(shop.gateway, orders_of(two))}
    assert len(given_back) == 1, "S-1 is the other's again"

    shop.sale("S-3", "U1")
    assert shop.buyer("S-3") == two, "the key is the other's again"
    shop.member(code="M1", unionid="U1", name="又来", at="2026-11-11 10:00:00")
    eventually(lambda: shop.told("customer.updated", "又来"))
    assert len([got for got in shop.receiver.of("customer.merged") if got.subject == one]) == 1, "never merged again"


def test_a_phone_that_both_sides_verified_is_one_person(shop: Shop) -> None:
    """A card and a WeChat account with the same proven number, and nothing against it."""
    shop.member(code="M7", name="王五", phone="13800138007")
    one = shop.customer("王五")
    shop.member(unionid="U7", name="王伍", phone="13800138007", at="2026-11-11 09:00:00")
    eventually(lambda: shop.told("customer.updated", "王伍"))
    assert shop.customer("王伍", "customer.updated") == one


# ------------------------------------------------------------------ what a person does, on the same data
def on_ground(gateway: Gateway, work: Any) -> Any:
    """Act on the running gateway's data as a console would."""

    async def run() -> Any:
        ground = app.open_ground(settings.load(gateway.file, environ={}))
        try:
            return await work(ground)
        finally:
            await ground.close()

    return asyncio.run(run())


async def candidates(ground: Any) -> Any:
    """Open pairs."""
    return await ground.records.candidates()


def orders_of(customer: str) -> Any:
    """A customer's orders."""

    async def work(ground: Any) -> Any:
        return await ground.records.rows("order", limit=10, customer=customer)

    return work


def unmerge_of(loser: str) -> Any:
    """Undo the merge that a customer was lost in."""

    async def work(ground: Any) -> None:
        merge: store.Merge = (await ground.records.merges(loser))[0]
        router = Router(book.configured(ground.tree, ground.vault))
        settler = Settler(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock, router=router)
        await settler.unmerge(merge)

    return work
