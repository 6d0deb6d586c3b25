"""Endpoints that asked for a part: one region's stores, one kind of order. Through running processes."""

import json

from tests.e2e import house as houses
from tests.e2e.house import FEED_SECRET, House, endpoint

TREE = [
    {"unit_code": "HQ", "name": "总部", "parent_code": ""},
    {"unit_code": "EAST", "name": "华东", "parent_code": "HQ"},
    {"unit_code": "SH01", "name": "上海一店", "parent_code": "EAST"},
    {"unit_code": "CD01", "name": "成都一店", "parent_code": "HQ"},
]
BIG = "data.order.money.paid.amount >= 100000"


def test_a_region_and_a_filter_get_exactly_theirs(house: House) -> None:
    """By the tree that the ERP told, in the same stretch as the orders; a restart knows it again."""
    everything, region, big, operators = (house.receiver() for _ in range(4))
    gateway = house.gateway(
        {
            "accounts": {
                "erp": houses.orders(),
                "org": {"connector": "feed", "mapping": "feed/unit", "secret": FEED_SECRET},
            },
            "endpoints": {
                "everything": endpoint(everything, events=["*"]),
                "region": endpoint(region, events=["order.*", "unit.*"], unit="EAST"),
                "big": endpoint(big, events=["order.*", "customer.*"], filter=BIG),
                "operators": endpoint(operators, events=["operator.*"]),
            },
        }
    )
    assert gateway.feed("org", TREE).json()["accepted"] == 4
    houses.eventually(lambda: len(everything.of("unit.updated")) == 4)
    rows = [
        houses.order("SO-1", store="SH01", paid="1999.00", total="1999.00"),
        houses.order("SO-2", store="CD01", paid="2999.00", total="2999.00"),
        houses.order("SO-3", store="SH01", paid="9.90", total="9.90"),
        houses.order("SO-4", store="EAST"),
        houses.order("SO-5", store=""),
    ]
    assert gateway.feed("erp", rows).json()["accepted"] == 5
    everything.wait(5, "order.paid")
    region.wait(3, "order.paid")
    big.wait(2, "order.paid")
    assert _orders(region) == ["SO-1", "SO-3", "SO-4"]
    assert _orders(big) == ["SO-1", "SO-2"]
    units = region.wait(2, "unit.updated")
    assert sorted(got.data["unit"]["external_id"] for got in units) == ["EAST", "SH01"]
    # Customers have no money: such an event is not sent, counted, and told once.
    houses.eventually(lambda: gateway.metric("gateway_filter_faults_total", endpoint="big") == 5)
    assert [one["cause"] for one in gateway.facts("route.filter_failed")] == ["no field 'order'"]
    assert operators.accepted() == []

    gateway.stop()
    gateway.start()
    assert gateway.feed("erp", houses.order("SO-6", store="SH01")).json()["accepted"] == 1
    houses.eventually(lambda: "SO-6" in _orders(region))


def _orders(receiver: houses.Receiver) -> list[str]:
    return sorted(got.data["order"]["external_id"] for got in receiver.of("order.paid"))


def test_check_says_what_is_wrong_with_a_filter(house: House) -> None:
    """With its place, before anything starts."""
    receiver = house.receiver()
    gateway = house.gateway(
        {"accounts": {"erp": houses.orders()}, "endpoints": {"crm": endpoint(receiver, filter="order.total > 1")}},
        start=False,
    )
    code, said = gateway.command("check", "--json")
    assert code == 1
    (fault,) = json.loads(said)
    assert (fault["place"], fault["fault"]) == ("endpoints.crm.filter", "nothing is called order")
    assert "data.order.payment == 'paid'" in fault["remedy"]
