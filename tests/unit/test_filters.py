"""Filters of endpoints: what may be asked, and what is never there to be asked about."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.pipeline.filters import Filter, Unclear, context_of

EVENT = {
    "id": "evt_1",
    "type": "order.paid",
    "timestamp": "2026-11-11T00:01:23.000000Z",
    "schema": 1,
    "subject": "ord_1",
    "sequence": 2,
    "source": {"account": "tmall-main", "connector": "taobao", "entry": "ent_1", "mapping": "taobao/trade@1"},
    "data": {
        "order": {
            "id": "ord_1",
            "channel": "taobao",
            "money": {"paid": {"amount": 120000, "currency": "CNY"}},
            "ship_to_name": {"$sealed": "k1.identity.abc"},
            "lines": [{"sku": "A", "status": None}, {"sku": "B", "status": None}],
            "tags": ["vip", {"$sealed": "k1.contact.abc"}],
        },
        "customer": {
            "id": "cus_1",
            "contacts": [{"kind": "phone", "value": {"$sealed": "k1.contact.abc"}, "verified": True}],
        },
        "changed": ["payment"],
    },
}


def asked(text: str, event: dict[str, Any] = EVENT) -> bool | Unclear:
    """What a filter says of an event; the same whether it is handed all of it or only what it reaches."""
    asking, body = Filter(text, place="endpoints.x.filter"), json.dumps(event).encode()
    found = asking.holds(context_of(body))
    assert asking.holds(context_of(body, asking.reaches)) == found
    return found


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("data.order.money.paid.amount > 1", {("data", "order", "money", "paid", "amount")}),
        ("has(data.order.x) && type == 'a'", {("data", "order", "x"), ("type",)}),
        ("data.order.lines.exists(line, line.sku == 'B')", {("data", "order", "lines")}),
        ("data.order.unit.startsWith ('SH')", {("data", "order", "unit")}),
        ("data['order'].a == 1", {("data",)}),
        ("data.order[data.order.key] == 1", {("data", "order"), ("data", "order", "key")}),
        ("size(data) == 2 && data.order.a == 1", {("data",), ("data", "order", "a")}),
        ("data // all\n .order.a == 1", {("data",)}),
        ("data.order.lines.all(data, data.sku == 'A')", {("data", "order", "lines"), ("data",), ("data", "sku")}),
        ("true", set()),
    ],
)
def test_only_what_a_filter_can_reach_is_converted(text: str, paths: set[tuple[str, ...]]) -> None:
    """Too much costs time; too little would change an answer."""
    assert Filter(text, place="").reaches == paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.order.money.paid.amount > 100000", True),
        ("data.order.money.paid.amount > 200000", False),
        ("type == 'order.paid' && data.order.channel in ['taobao', 'jd']", True),
        ("'payment' in data.changed", True),
        ("data.order.lines.exists(line, line.sku == 'B')", True),
        ("data.order.lines.all(line, line.sku.startsWith('A'))", False),
        ("has(data.order.parent_id)", False),
        ("has(data.refund) && data.refund.amount > 1", False),
        ("source.account == 'tmall-main'", True),
        ("timestamp(timestamp) > timestamp('2026-11-11T00:00:00Z')", True),
        ("size(data.order.tags) == 1", True),
        ("true", True),
        ("data['order']['channel'] == 'taobao'", True),
        ("size(data) == 3", True),
        ("data.order.all(name, name != 'ship_to_name')", True),
        ("data.exists(name, name == 'changed')", True),
        ("data.order.channel == 'taobao' && data.order == data['order']", True),
        ("data.order.tags[0] == 'vip' && data.order.lines[0].sku == 'A'", True),
    ],
)
def test_a_filter_sees_the_public_fields(text: str, expected: bool) -> None:
    """The whole event, as the subscriber knows it from its schema."""
    assert asked(text) is expected


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("data.order.ship_to_name != ''", "no field 'ship_to_name'"),
        ("data.customer.contacts[0].value == '+8613800138000'", "no field 'value'"),
        ("data.customer.contacts[0].value != null", "no field 'value'"),
        ("data.order.nothing > 1", "no field 'nothing'"),
        ("data.order.channel > 1", "types_differ"),
        ("data.order.lines[7].sku == 'A'", "no_such_place"),
        ("data.order.money.paid.amount / 0 == 1", "ZeroDivisionError"),
        ("data.order.channel.matches('(')", "RuntimeError"),
        ("data.order.channel", "not_a_bool"),
        ("1", "not_a_bool"),
        ("data.order.channel.deeper == 1", "types_differ"),
        ("data.order.lines.sku == 1", "types_differ"),
        ("data.refund.amount > 1", "no field 'refund'"),
    ],
)
def test_what_cannot_be_asked_is_unclear(text: str, cause: str) -> None:
    """And says why without a value."""
    assert asked(text) == Unclear(cause)


def test_whether_a_sealed_field_is_there_cannot_be_seen() -> None:
    """``has`` and ``in`` would otherwise tell who gave a phone number, and equal tokens who shares one."""
    assert asked("has(data.order.ship_to_name)") is False
    assert asked("data.customer.contacts.exists(point, has(point.value))") is False
    assert asked("'value' in data.customer.contacts[0]") is False
    assert asked("data.customer.contacts[0] == {'kind': 'phone', 'verified': true}") is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data.order.total >", "is not a CEL expression: 1:19: "),
        ("", "is not a CEL expression"),
        ("order.money.paid.amount > 1", "nothing is called order"),
        ("data.order.lines.exists(line, lines.sku == 'A')", "nothing is called lines"),
        ("data.order.channel.lowerAscii() == 'x'", "there is no function lowerAscii"),
        ("sum(data.order.lines) > 1", "there is no function sum"),
        ("a" * 2001, "at most 2000 characters"),
        ("data.a.all(x, data.a.all(y, x == y))", "at most one of all, exists and exists_one"),
        ("data.order.lines.map(x, data.order).size() > 0", "no map and no filter"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_before_anything_starts(text: str, words: str) -> None:
    """With its place and what is wrong."""
    with pytest.raises(ConfigError) as caught:
        Filter(text, place="endpoints.crm.filter")
    assert caught.value.place == "endpoints.crm.filter"
    assert words in caught.value.detail


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$sealed", "order"]) | st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(_JSON)
def test_whatever_an_event_holds_a_filter_answers(data: Any) -> None:
    """Any JSON: an answer or unclear, never an exception, and never a sealed text."""
    event = {**EVENT, "data": {"order": data}}
    assert isinstance(asked("data.order.a == 1", event), bool | Unclear)
    assert isinstance(asked("string(data.order) == ''", event), bool | Unclear)
