"""The tolerant reader, the pure parts of erasing and showing."""

import pytest

from gateway import clock
from gateway.errors import PayloadError
from gateway.model.customer import Customer
from gateway.model.order import Lifecycle, Order, Payment
from gateway.model.values import Money
from scrm import erasing, reading, show, words
from tests.scrm import samples
from tests.scrm.samples import NOW, ORDER, ZHANG, event, raw


def told(**data: object) -> reading.Told:
    """An order event read back."""
    return reading.read(raw(event("order.paid", ORDER, 2, "11-11 00:02", **data)))


def test_an_order_event_is_read_with_its_customer_and_its_own_time() -> None:
    """The place in the timeline is when the buyer paid, not when we heard of it."""
    found = told(order=samples.order(paid_at=samples.at("11-11 00:01"), payment="paid"), customer={"id": ZHANG})
    assert isinstance(found.record, Order) and found.record.payment is Payment.PAID
    assert (found.whose, found.key) == (ZHANG, ORDER)
    assert found.happened == clock.parse("2026-11-11T00:01:00+08:00")
    assert found.unread == ()


def test_a_status_newer_than_this_program_becomes_unknown_and_the_rest_is_read() -> None:
    """One field that cannot be read costs that field, and is named."""
    found = told(order=samples.order(lifecycle="escrowed", placed_at="gestern", payment="paid", hologram={"x": 1}))
    assert isinstance(found.record, Order)
    assert found.record.lifecycle is Lifecycle.UNKNOWN and found.record.payment is Payment.PAID
    assert len(found.record.lines or ()) == 2
    assert found.unread == ("order.placed_at", "order.lifecycle")


def test_a_field_that_is_still_sealed_is_as_if_it_was_not_sent() -> None:
    """A sealed phone inside a contact leaves the contact, without a value, and nothing counts as unread."""
    contact = {"kind": "phone", "value": {"$sealed": "k1.contact.AAAA"}, "verified": True}
    found = told(customer={"id": ZHANG, "name": {"$sealed": "k1.identity.BBBB"}, "contacts": [contact]})
    assert found.customer and not found.customer.name and found.unread == ()
    assert [(point.value, point.verified) for point in found.customer.contacts or ()] == [(None, True)]


def test_an_event_of_an_unknown_type_tells_nothing() -> None:
    """It has no place in a timeline and no record, and it is no error."""
    found = reading.read(raw(event("loyalty.earned", "loy_1", 1, "11-11 00:00", loyalty={"points": 3})))
    assert (found.record, found.happened, found.whose) == (None, None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff\xfe", b"null", raw({**event("order.paid", ORDER, 1, "11-11 00:00"), "sequence": -1}),
        raw({**event("order.paid", ORDER, 1, "11-11 00:00"), "sequence": 2**60}),
        raw({**event("order.paid", ORDER, 1, "11-11 00:00"), "timestamp": "yesterday"}),
        raw({**event("order.paid", ORDER, 1, "11-11 00:00"), "timestamp": "2026-11-11T00:00:00"}),
        raw({**event("order.paid", "", 1, "11-11 00:00")}),
    ],
)  # fmt: skip
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    """A payload error, never another exception."""
    with pytest.raises(PayloadError):
        reading.read(body)


def test_a_patch_keeps_what_is_absent_and_erases_what_is_null() -> None:
    """The three states of a field; a state that is told by silence falls back."""
    old = {"id": ZHANG, "name": "张三", "nickname": "三三", "state": "merged", "merged_into": "cus_x"}
    assert reading.patch(Customer, old, Customer(id=ZHANG, nickname=None)) == {
        "id": ZHANG,
        "name": "张三",
        "nickname": None,
    }


def test_what_is_left_after_erasure_is_public_at_every_depth() -> None:
    """Region stays, street goes; money stays, the note goes."""
    address = {"region": {"city": "南京市"}, "line": "中山路 1 号"}
    body = samples.order(
        ship_to=address,
        ship_to_name="张三",
        ship_to_phone="+8613800138000",
        buyer_note="送前电话",
        attrs={"memo": "张三"},
    )
    left = erasing.public(Order, body)
    assert (
        left["ship_to"] == {"region": {"city": "南京市"}} and left["money"] == body["money"] and len(left["lines"]) == 2
    )
    assert not {"ship_to_name", "ship_to_phone", "buyer_note", "attrs"} & set(left)


def test_money_times_and_phones_look_as_a_person_expects() -> None:
    """¥1,234.50; Shanghai wall time with UTC beside it; 3-4-4."""
    assert show.money(Money(amount=123450)) == "¥1,234.50"
    assert show.money(Money(amount=-5)) == "−¥0.05"
    assert show.money(Money(amount=1200, currency="JPY")) == "¥1,200"
    assert show.money(Money(amount=123456, currency="CHF")) == "CHF 1,234.56"
    shown = show.when(NOW)
    assert (shown.text, shown.utc) == ("2026-11-11 10:30", "2026-11-11 02:30:00 UTC")
    assert show.day("zh", NOW - 24 * 3600 * clock.SECOND, NOW) == "昨天 · 2026年11月10日 周二"
    assert show.day("en", NOW, NOW) == "Today · Wed 11 Nov 2026"


def test_a_mask_is_told_apart_from_a_star_in_a_text() -> None:
    """As the gateway and the marketplaces mask; the star of a size is no mask."""
    for text in ("138****8000", "z***@x.com", "张*", "张**", "***", "欧阳*", "•••", "喜***"):
        assert (found := show.shown(text)) and found.masked, text
    for text in ("羊绒围巾 200*70cm × 2", "a@x.com", "张三", "5*8 的画框"):
        assert (found := show.shown(text)) and not found.masked, text


@pytest.mark.parametrize(
    ("asked", "accept", "lang"),
    [
        (None, "", "zh"), (None, "en-GB,en;q=0.9,zh;q=0.8", "en"), (None, "fr,zh-CN;q=0.5,en;q=0.4", "zh"), ("en", "zh-CN", "en"),
        ("xx", "en", "en"), (None, "en;q=x, ;;;,zh;q=0.1", "zh"), (None, "de", "zh"),
    ],
)  # fmt: skip
def test_the_language_is_what_was_asked_for_else_what_the_browser_prefers(
    asked: str | None, accept: str, lang: str
) -> None:
    """Chinese when neither says anything of use."""
    assert words.choose(asked, accept) == lang
