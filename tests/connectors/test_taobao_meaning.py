"""What trades and refunds mean: samples, golden cases, and that no combination of statuses or order of readings breaks an order."""

import asyncio
import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.taobao import CARD, trade
from connectors.taobao.market import Market
from connectors.taobao.options import TaobaoOptions
from connectors.taobao.shop import Shop
from connectors.taobao.simulate import Known, Router
from gateway import cases, mapping
from gateway.clock import TurnedClock, parse
from gateway.connector import Account, Can, Secret
from gateway.errors import PayloadError
from gateway.model.order import Aftersale, Fulfilment, Lifecycle, Order, Payment
from gateway.pipeline import change
from tests.connectors.taobao_kit import Straight, account, tools

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "connectors/taobao/samples"
PROGRAMS = {stem: mapping.load(ROOT / "mappings", "taobao", stem, CARD.calls) for stem in ("trade", "refund")}
STATUSES = [
    "TRADE_NO_CREATE_PAY", "WAIT_BUYER_PAY", "PAY_PENDING", "WAIT_PRE_AUTH_CONFIRM", "PAID_FORBID_CONSIGN", "WAIT_SELLER_SEND_GOODS",
    "SELLER_CONSIGNED_PART", "WAIT_BUYER_CONFIRM_GOODS", "TRADE_BUYER_SIGNED", "TRADE_FINISHED", "TRADE_CLOSED",
    "TRADE_CLOSED_BY_TAOBAO",
]  # fmt: skip
REFUND_STATUSES = [
    "WAIT_SELLER_AGREE", "WAIT_BUYER_RETURN_GOODS", "WAIT_SELLER_CONFIRM_GOODS", "SELLER_REFUSE_BUYER", "CLOSED", "SUCCESS",
]  # fmt: skip


def context(zone: str = "Asia/Shanghai") -> mapping.Context:
    return mapping.Context(account="tmall-main", zone=zone, received_at=0, options={"app_key": "12129701"})


def order_of(data: dict[str, Any], stem: str = "trade") -> tuple[Order, mapping.Mapped]:
    (mapped,) = PROGRAMS[stem].run(data, context())
    assert isinstance(mapped.record, Order)
    return mapped.record, mapped


# ------------------------------------------------------------------ samples and golden cases
def test_every_golden_case_holds() -> None:
    """The cases beside the mappings."""
    results = cases.run_cases(ROOT / "mappings", [CARD], ROOT / "mappings/taobao")
    assert len(results) >= 20
    assert [(result.place, result.faults) for result in results if result.faults] == []


@pytest.mark.parametrize("file", sorted((SAMPLES / "ok").iterdir()), ids=lambda file: file.stem)
def test_a_good_sample_is_decoded_and_mapped(file: Path) -> None:
    """The file's name begins with its topic."""
    topic = file.name.split("-")[0]
    decoded = Shop(account(), tools(None)).decode(topic, file.read_bytes())
    stem = CARD.topic(topic).mapping
    assert (decoded.data is not None) is bool(stem)
    if decoded.data is not None:
        assert PROGRAMS[stem].run(decoded.data, context())


@pytest.mark.parametrize("file", sorted((SAMPLES / "refused").iterdir()), ids=lambda file: file.stem)
def test_a_refused_sample_is_refused(file: Path) -> None:
    """Its name says why, then of which topic it is."""
    reason, topic = file.name.split("-")[:2]
    with pytest.raises(PayloadError) as caught:
        Shop(account(), tools(None)).decode(topic, file.read_bytes())
    assert caught.value.code == f"payload.{reason}"


@given(st.binary(max_size=80) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["trade", "refunds", "tid", "orders", "order", "refund_id", "content"]), inner, max_size=4), max_leaves=12).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_the_bytes_decoding_raises_nothing_but_a_payload_error(payload: bytes) -> None:
    """Any JSON in any shape, and what is no JSON."""
    shop = Shop(account(), tools(None))
    for topic in CARD.topics:
        try:
            shop.decode(topic.name, payload)
        except PayloadError:
            pass


# ------------------------------------------------------------------ axes
_LINES = st.lists(
    st.fixed_dictionaries(
        {
            "oid": st.sampled_from(["11", "12", "13"]),
            "status": st.sampled_from([*STATUSES, "NEW_WORD", ""]),
            "refund_status": st.sampled_from(["NO_REFUND", *REFUND_STATUSES, "NEW_WORD", ""]),
        },
        optional={"refund_id": st.sampled_from(["0", "21", "22"]), "divide_order_fee": st.just("5.00")},
    ),
    max_size=3,
)
_CASES = st.lists(
    st.fixed_dictionaries(
        {"refund_id": st.sampled_from(["21", "22", "23"]), "oid": st.sampled_from(["11", "12", "99"]), "status": st.sampled_from([*REFUND_STATUSES, "NEW_WORD"]), "modified": st.just("2026-11-12 00:00:00")},
        optional={"refund_fee": st.sampled_from(["1.00", "5.00", ""]), "has_good_return": st.booleans()},
    ),
    max_size=3,
)  # fmt: skip
_TRADES = st.fixed_dictionaries(
    {"tid": st.just(4012345678900000001), "status": st.sampled_from([*STATUSES, "NEW_WORD", ""]), "modified": st.just("2026-11-11 00:00:00")},
    optional={
        "pay_time": st.just("2026-11-11 00:00:00"),
        "consign_time": st.just("2026-11-11 00:00:00"),
        "type": st.sampled_from(["fixed", "cod", "step"]),
        "step_trade_status": st.sampled_from(["FRONT_NOPAID_FINAL_NOPAID", "FRONT_PAID_FINAL_NOPAID", "FRONT_PAID_FINAL_PAID"]),
        "payment": st.sampled_from(["10.00", "0.00"]),
        "total_fee": st.just("10.00"),
    },
)  # fmt: skip


def _payload(one: dict[str, Any], lines: Sequence[dict[str, Any]], refunds: Sequence[dict[str, Any]]) -> bytes:
    return json.dumps({"trade": {**one, "orders": {"order": list(lines)}}, "refunds": list(refunds)}).encode()


@settings(max_examples=300)
@given(_TRADES, _LINES, _CASES)
def test_any_combination_of_statuses_gives_four_valid_axes(one: dict[str, Any], lines: Any, refunds: Any) -> None:
    """Never an error, never a default: what is not known is unknown, and counted."""
    order, mapped = order_of(trade.trade_data(_payload(one, lines, refunds)))
    assert isinstance(order.lifecycle, Lifecycle) or one["status"] == ""
    assert isinstance(order.payment, Payment)
    assert isinstance(order.fulfilment, Fulfilment)
    assert isinstance(order.aftersale, Aftersale)
    if one["status"] == "NEW_WORD":
        assert order.payment is Payment.UNKNOWN
        assert order.fulfilment is Fulfilment.UNKNOWN
        assert mapping.Unknown("lifecycle", "NEW_WORD") in mapped.unknowns
    if one["status"] in STATUSES:
        assert order.lifecycle is not Lifecycle.UNKNOWN
        assert order.payment is not Payment.UNKNOWN
    if order.payment in (Payment.UNPAID, Payment.VOIDED):
        assert order.money is not msgspec.UNSET
        assert order.money.paid is not None
        assert order.money.paid.amount == 0


@given(_TRADES, _LINES, _CASES)
def test_no_money_is_back_before_a_case_succeeded(one: dict[str, Any], lines: Any, refunds: Any) -> None:
    """Asking, agreeing and refusing move nothing; only SUCCESS does, or a paid trade that was closed."""
    states = [case["status"] for case in refunds] + [line["refund_status"] for line in lines]
    order, _ = order_of(trade.trade_data(_payload(one, lines, refunds)))
    if "SUCCESS" not in states and one["status"] not in trade.CLOSED:
        assert order.payment not in (Payment.REFUNDED, Payment.PARTIALLY_REFUNDED)
        assert order.money is msgspec.UNSET or order.money.refunded is None or order.money.refunded.amount == 0


@pytest.mark.parametrize("status", STATUSES)
def test_every_documented_status_has_its_place_on_every_axis(status: str) -> None:
    """Nothing that the platform documents is unknown to us."""
    order, mapped = order_of({"tid": "1", "status": status, "as_of": "2026-11-11 00:00:00"})
    assert mapped.unknowns == ()
    assert Lifecycle.UNKNOWN is not order.lifecycle
    assert Payment.UNKNOWN is not order.payment
    assert Fulfilment.UNKNOWN is not order.fulfilment


def test_a_trade_that_was_paid_cannot_look_cancelled() -> None:
    """``TRADE_CLOSED`` means both; the payment decides."""
    for status, paid_at in itertools.product(sorted(trade.CLOSED), ("", "2026-11-11 00:00:00")):
        order, _ = order_of({"tid": "1", "status": status, "pay_time": paid_at, "as_of": "2026-11-12 00:00:00"})
        assert order.payment is (Payment.REFUNDED if paid_at else Payment.VOIDED)


# ------------------------------------------------------------------ money
def test_partial_refunds_of_two_lines_add_up() -> None:
    """Each case once, whatever the trade's shrunken ``payment`` says."""
    data = {
        "tid": "1", "status": "WAIT_BUYER_CONFIRM_GOODS", "pay_time": "2026-11-11 00:00:00", "payment": "70.00", "total_fee": "100.00",
        "post_fee": "0.00", "as_of": "2026-11-13 00:00:00",
        "cases": [
            {"refund_id": "21", "oid": "11", "status": "SUCCESS", "refund_fee": "10.00"},
            {"refund_id": "22", "oid": "12", "status": "SUCCESS", "refund_fee": "20.00"},
            {"refund_id": "23", "oid": "13", "status": "WAIT_SELLER_AGREE", "refund_fee": "5.00"},
        ],
    }  # fmt: skip
    order, _ = order_of(data)
    assert isinstance(order.money, msgspec.Struct)
    assert [part.amount for part in (order.money.payable, order.money.paid, order.money.refunded) if part] == [
        10000,
        10000,
        3000,
    ]
    assert (order.payment, order.aftersale) == (Payment.PARTIALLY_REFUNDED, Aftersale.OPEN)


def test_a_line_that_went_back_whole_stands_for_all_its_cases() -> None:
    """What an earlier case gave back is not added to the whole of the line."""
    data = {
        "tid": "1", "status": "WAIT_BUYER_CONFIRM_GOODS", "pay_time": "2026-11-11 00:00:00", "total_fee": "100.00", "as_of": "2026-11-13 00:00:00",
        "orders": {"order": [
            {"oid": "11", "status": "TRADE_CLOSED", "refund_status": "SUCCESS", "refund_id": "22", "divide_order_fee": "40.00"},
            {"oid": "12", "status": "WAIT_BUYER_CONFIRM_GOODS", "refund_status": "SUCCESS", "refund_id": "23", "divide_order_fee": "60.00"},
        ]},
        "cases": [
            {"refund_id": "21", "oid": "11", "status": "SUCCESS", "refund_fee": "10.00"},
            {"refund_id": "22", "oid": "11", "status": "SUCCESS"},
            {"refund_id": "23", "oid": "12", "status": "SUCCESS", "refund_fee": "5.00"},
        ],
    }  # fmt: skip
    assert trade.refunded(data) == "45.00"


def test_a_case_that_is_there_twice_is_counted_once() -> None:
    """By its id."""
    line = {"oid": "11", "status": "WAIT_BUYER_CONFIRM_GOODS", "refund_status": "SUCCESS", "refund_id": "21"}
    case = {
        "refund_id": "21",
        "oid": "11",
        "status": "SUCCESS",
        "refund_fee": "1.50",
        "modified": "2026-11-12 00:00:00",
    }
    one = {
        "tid": 1,
        "status": "WAIT_BUYER_CONFIRM_GOODS",
        "pay_time": "2026-11-11 00:00:00",
        "modified": "2026-11-11 00:00:00",
    }
    assert trade.refunded(trade.trade_data(_payload(one, [line], [case, case]))) == "1.50"


def test_a_refund_that_does_not_say_how_much_leaves_the_figure_unsaid() -> None:
    """Better none than one that is too small."""
    lines = [{"oid": "11", "status": "WAIT_BUYER_CONFIRM_GOODS", "refund_status": "SUCCESS", "refund_id": "21"}]
    one = {"tid": 1, "status": "WAIT_BUYER_CONFIRM_GOODS", "pay_time": "2026-11-11 00:00:00", "payment": "10.00", "modified": "2026-11-11 00:00:00"}  # fmt: skip
    order, _ = order_of(trade.trade_data(_payload(one, lines, [])))
    assert order.payment is Payment.PARTIALLY_REFUNDED
    assert isinstance(order.money, msgspec.Struct)
    assert order.money.refunded is None


# ------------------------------------------------------------------ one clock
async def _lived(seed: int) -> tuple[list[bytes], int]:
    """Every reading that a life of one trade with refunds could have led to, in the order they were made, and the fen that went back."""
    dice, clock = random.Random(seed), TurnedClock(parse("2026-11-11T00:00:00Z"))
    market = Market(dice, clock, lambda topic, content: None)
    shop = Shop(account(), tools(Straight(Router(market, Known(), clock, None)), clock))
    one = market.create(cod=False)
    readings: list[bytes] = []

    async def read() -> None:
        clock.turn(60)
        asked = [("trade", str(one["tid"])), *(("refund", str(key)) for key in market.refunds)]
        for topic, key in dice.sample(asked, dice.randrange(1, len(asked) + 1)):
            readings.extend([event.payload for event in await shop.fetch(topic, key)])

    await read()
    market.pay(one)
    await read()
    for turn in range(6):
        if one["status"] == "TRADE_CLOSED":
            break
        case = market.ask_refund(one, fen=dice.choice((None, 100, 2500)))
        await read()
        if turn == 1:
            market.ship(one)
        market.settle_refund(case, success=dice.random() < 0.7)
        await read()
    back = [case["refund_fee"] for case in market.refunds.values() if case["status"] == "SUCCESS"]
    return readings, sum(int(fee.replace(".", "")) for fee in back)


def _applied(readings: Sequence[bytes]) -> dict[str, Any]:
    """The order after these readings, under the pipeline's own version rule."""
    body: dict[str, Any] | None = None
    for payload in readings:
        _, mapped = order_of(trade.trade_data(payload))
        patch = msgspec.json.decode(msgspec.json.encode(mapped.record))
        body = change.change(
            body, patch, source="tmall-main/taobao/trade", at=mapped.source_time or 0, version=None
        ).body
    assert body is not None
    # What is remembered of a step back depends on the way; the order itself must not.
    return {name: value for name, value in body.items() if name != "flags"}


@given(st.integers(0, 20), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_readings_in_any_order_and_any_number_end_in_the_same_order(seed: int, shuffler: random.Random) -> None:
    """Late, repeated and reversed readings of a trade whose lines are refunded again and again: the newest decides, the rest change nothing,
    and each fen that went back is counted once."""
    readings, back = asyncio.run(_lived(seed))
    straight = _applied(readings)
    assert straight["money"]["refunded"]["amount"] == back
    assert (
        sum(case["refund"]["amount"] for case in straight["aftersales"] if case["status"]["value"] == "completed")
        == back
    )
    mixed = readings + shuffler.sample(readings, len(readings) // 2)
    shuffler.shuffle(mixed)
    assert _applied(mixed) == straight


def test_a_line_that_a_reading_does_not_have_stays() -> None:
    """The platform closes lines; nothing that it documents drops one. So one that is missing is not taken for one that ended."""
    whole = json.loads((SAMPLES / "ok/trade-partly-refunded.json").read_bytes())
    short = json.loads((SAMPLES / "ok/trade-partly-refunded.json").read_bytes())
    del short["trade"]["orders"]["order"][1]
    short["trade"]["modified"] = "2026-11-15 08:00:00"
    body = _applied([json.dumps(whole).encode(), json.dumps(short).encode()])
    assert [(line["line_no"], line["status"]["value"]) for line in body["lines"]] == [
        ("4012345678900000002", "closed"),
        ("4012345678900000003", "processing"),
    ]


# ------------------------------------------------------------------ who, where, when
def test_an_oaid_is_never_an_identity() -> None:
    """It changes with shop, application and week: two orders sharing one may be two people, and one person has many."""
    payload = (SAMPLES / "ok/trade-paid.json").read_bytes()
    assert b'"oaid"' in payload
    _, mapped = order_of(trade.trade_data(payload))
    assert {claim.namespace for claim in mapped.identities} == {"taobao.buyer_open_uid", "taobao.ouid"}
    assert "1tcq000000001" not in msgspec.json.encode(mapped).decode()


def test_blanked_names_and_phones_reach_nothing() -> None:
    """``张**`` and ``*******8000`` are not data; the region is."""
    order, mapped = order_of(trade.trade_data((SAMPLES / "ok/trade-paid.json").read_bytes()))
    assert "*" not in msgspec.json.encode(mapped).decode()
    assert mapped.customer is None
    assert isinstance(order.ship_to, msgspec.Struct)
    assert order.ship_to.region is not None
    assert order.ship_to.region.province == "浙江省"


def test_times_are_chinas_wherever_the_account_lives() -> None:
    """TOP says GMT+8; an account in New York does not move an order by thirteen hours."""
    options = TaobaoOptions(app_key="1", app_secret=Secret("s"), session=Secret("s"))
    there = Account(name="a", connector="taobao", options=options, zone="America/New_York")
    data = Shop(there, tools(None)).decode("trade", (SAMPLES / "ok/trade-partly-refunded.json").read_bytes()).data
    here, _ = order_of(trade.trade_data((SAMPLES / "ok/trade-partly-refunded.json").read_bytes()))
    (mapped,) = PROGRAMS["trade"].run(data, context("America/New_York"))
    abroad = mapped.record
    assert isinstance(abroad, Order)
    assert (abroad.placed_at, abroad.paid_at, abroad.updated_at) == (here.placed_at, here.paid_at, here.updated_at)
    assert abroad.aftersales == here.aftersales


def test_ids_written_as_numbers_or_as_text_are_the_same() -> None:
    """19 digits, none lost."""
    number = trade.trade_data(b'{"tid":4012345678900000001,"orders":{"order":{"oid":4012345678900000002}}}')
    quoted = trade.trade_data(b'{"tid":"4012345678900000001","orders":{"order":[{"oid":"4012345678900000002"}]}}')
    assert number == quoted
    assert number["orders"]["order"][0]["oid"] == "4012345678900000002"


# ------------------------------------------------------------------ the card
def test_the_card_tells_every_option_and_hides_the_secrets() -> None:
    """Forms, lint and scrubbing are derived from it."""
    fields = {field.name: field for field in msgspec.inspect.type_info(CARD.options).fields}  # type: ignore[attr-defined]
    assert list(fields) == ["app_key", "app_secret", "session", "tmc_url", "group"]
    secret = {name for name, field in TaobaoOptions.__annotations__.items() if Secret in getattr(field, "__args__", (field,)) or "Secret" in str(field)}  # fmt: skip
    assert secret == {"app_secret", "session"}
    assert CARD.can == {Can.SERVE, Can.PULL, Can.FETCH, Can.PROBE, Can.ACT}
    assert (fields["tmc_url"].default, fields["group"].default) == ("ws://mc.api.taobao.com/", "default")


def test_every_topic_that_is_pulled_or_mapped_has_what_it_needs() -> None:
    """A mapping for a stem, a pull for a topic."""
    assert {topic.mapping for topic in CARD.topics if topic.mapping} == set(PROGRAMS)
    assert set(CARD.pulls) <= {topic.name for topic in CARD.topics}
