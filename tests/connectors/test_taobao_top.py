"""TOP calls, re-readings and reconciliation, against the simulator's router on a real socket and against canned answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog

from connectors import taobao
from connectors.taobao import simulate
from connectors.taobao.client import china_time
from connectors.taobao.shop import LAG, PAGE, Shop
from connectors.taobao.simulate import Fake, Faults
from gateway.clock import SECOND, TurnedClock, parse
from gateway.connector import Fetch, Reason, Refused, Request, Window
from gateway.errors import PartnerDenied, PartnerDown, PartnerError, PartnerQuota, PayloadError
from tests.connectors.taobao_kit import KNOWN, QUICK, Caller, Canned, Ledger, account, fake, tools, until

HOUR = 3600 * SECOND


def with_shop(
    check: Callable[[Fake, Shop, TurnedClock], Awaitable[Any]], *, faults: Faults | None = None, **options: str
) -> Any:
    """Run ``check`` with a simulator and a shop that calls it, on a clock turned by hand."""

    async def run() -> Any:
        clock = TurnedClock(parse("2026-11-11T00:00:00Z"))
        platform = await fake(faults=faults, clock=clock)
        caller = Caller()
        try:
            return await check(platform, Shop(account(platform, **options), tools(caller, clock)), clock)
        finally:
            await caller.close()
            await platform.close()

    return asyncio.run(run())


def canned(body: dict[str, Any] | bytes, status: int = 200) -> tuple[Shop, Canned]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = Canned(raw, status=status)
    return Shop(account(), tools(call, TurnedClock(parse("2026-11-11T16:00:01Z")))), call


# ------------------------------------------------------------------ one call
def test_a_call_is_signed_dated_in_china_and_names_its_fields() -> None:
    """The form as TOP documents it; the session goes as ``session``."""
    shop, call = canned({"trade_fullinfo_get_response": {"trade": {"tid": 1, "modified": "2026-11-11 00:00:00"}}})
    asyncio.run(shop.fetch("trade", "1"))
    form = call.forms[0]
    assert form["timestamp"] == "2026-11-12 00:00:01"
    assert (form["method"], form["session"], form["v"]) == ("taobao.trade.fullinfo.get", KNOWN["session"], "2.0")
    assert "orders.refund_status" in form["fields"].split(",")
    assert len(form["sign"]) == 32


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ({"code": 7, "msg": "App Call Limited", "sub_msg": "This ban will last for 3 more seconds"}, PartnerQuota),
        ({"code": "27", "msg": "Invalid session"}, PartnerDenied),
        ({"code": 15, "msg": "Remote service error", "sub_code": "isp.remote-service-unavailable"}, PartnerDown),
        ({"code": 15, "msg": "Remote service error", "sub_code": "isv.invalid-parameter"}, PartnerError),
    ],
)
def test_an_error_in_a_200_is_an_error(failure: dict[str, Any], expected: type[PartnerError]) -> None:
    """HTTP 200 says nothing; the code may be a number or a text."""
    shop, _ = canned({"error_response": failure})
    with pytest.raises(expected) as caught:
        asyncio.run(shop.fetch("trade", "1"))
    assert type(caught.value) is expected


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"[]", b'{"other_response": {}}', b'{"error_response": 5}', b'{"trade_fullinfo_get_response": "\xff"}'])  # fmt: skip
def test_an_answer_without_its_envelope_is_not_taken_for_one(body: bytes) -> None:
    """A proxy's page, an empty body, another method's envelope: try again later."""
    shop, _ = canned(body)
    with pytest.raises(PartnerDown):
        asyncio.run(shop.fetch("trade", "1"))


def test_an_address_that_is_not_allowed_is_denied() -> None:
    """HTTP 403 is not retried."""
    shop, _ = canned(b"", status=403)
    with pytest.raises(PartnerDenied):
        asyncio.run(shop.fetch("trade", "1"))


def test_an_envelope_without_its_trade_is_a_payload_error() -> None:
    """Fields were asked for and did not come."""
    shop, _ = canned({"trade_fullinfo_get_response": {"request_id": "r"}})
    with pytest.raises(PayloadError):
        asyncio.run(shop.fetch("trade", "1"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"app_secret": "wrong"}, PartnerDenied),
        ({"session": "expired"}, PartnerDenied),
        ({"app_key": "1"}, PartnerDenied),
    ],
)
def test_wrong_credentials_are_denied_by_the_simulated_platform(
    changed: dict[str, str], expected: type[PartnerError]
) -> None:
    """The simulator checks signature, session and key, so green tests mean signed calls."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        with pytest.raises(expected):
            await shop.fetch("trade", "1")

    with_shop(check, **changed)


def test_over_the_quota_the_platforms_own_wait_is_told() -> None:
    """Code 7, one second."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> float:
        trade = platform.market.create()
        await shop.fetch("trade", str(trade["tid"]))
        with pytest.raises(PartnerQuota) as caught:
            await shop.fetch("trade", str(trade["tid"]))
        clock.turn(caught.value.wait)
        assert await shop.fetch("trade", str(trade["tid"]))
        return caught.value.wait

    assert with_shop(check, faults=Faults(quota=1)) == 1.0


# ------------------------------------------------------------------ re-reading
def test_a_trade_is_kept_as_the_platform_wrote_it() -> None:
    """Digits, decimals and order of keys: the payload is the trade's own bytes."""
    trade = b'{"tid":4012345678900000001,"payment":"12.30","weight":0.10,"modified":"2026-11-11 08:00:00","orders":{"order":[]}}'
    shop, _ = canned(b'{"trade_fullinfo_get_response":{"trade":' + trade + b',"request_id":"x"}}')
    (event,) = asyncio.run(shop.fetch("trade", "4012345678900000001"))
    assert event.payload == trade
    assert event.partition_key == "4012345678900000001"
    assert event.dedupe_key.startswith("4012345678900000001:2026-11-11 08:00:00")
    data = shop.decode("trade", event.payload).data
    assert data is not None
    assert (data["tid"], data["weight"]) == ("4012345678900000001", "0.10")


def test_the_same_reading_twice_is_one_event_and_another_is_two() -> None:
    """Known by content: reordered keys change nothing, a changed memo within the same second does."""

    def key(trade: str) -> str:
        shop, _ = canned(f'{{"trade_fullinfo_get_response":{{"trade":{trade}}}}}'.encode())
        return asyncio.run(shop.fetch("trade", "1"))[0].dedupe_key

    first = key('{"tid":1,"modified":"2026-11-11 08:00:00","seller_memo":"a"}')
    assert key('{"seller_memo":"a","tid":1,"modified":"2026-11-11 08:00:00"}') == first
    assert key('{"tid":1,"modified":"2026-11-11 08:00:00","seller_memo":"b"}') != first


def test_a_trade_that_is_gone_is_nothing() -> None:
    """Older than three months, or another shop's."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        assert await shop.fetch("trade", "99") == []
        assert await shop.fetch("refund", "99") == []

    with_shop(check)


def test_a_trade_with_refunds_is_read_with_its_cases() -> None:
    """One event, versioned by the newest of them."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade = platform.market.pay(platform.market.create(cod=False))
        clock.turn(60)
        case = platform.market.ask_refund(trade)
        case["modified"] = china_time(clock.now() + 5 * SECOND)
        (event,) = await shop.fetch("trade", str(trade["tid"]))
        data = shop.decode("trade", event.payload).data
        assert data is not None
        assert [one["refund_id"] for one in data["cases"]] == [str(case["refund_id"])]
        assert data["as_of"] == case["modified"]
        assert case["modified"] in event.dedupe_key

    with_shop(check)


def test_a_refund_is_read_as_its_trade_and_ends_in_the_same_event() -> None:
    """Whichever message asks, what is written down is the same reading."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade = platform.market.pay(platform.market.create(cod=False))
        case = platform.market.ask_refund(trade)
        by_trade = await shop.fetch("trade", str(trade["tid"]))
        by_refund = await shop.fetch("refund", str(case["refund_id"]))
        assert list(by_trade) == list(by_refund)
        assert by_refund[0].topic == "trade"

    with_shop(check)


def twice_refunded(platform: Fake, clock: TurnedClock) -> tuple[dict[str, Any], list[str]]:
    """A trade of which one line was given back a part and is asked for more, and the ids of its cases. The buyer has another trade with a case."""
    market = platform.market
    other, trade = (market.pay(market.create(cod=False)) for _ in range(2))
    other["buyer_open_uid"] = trade["buyer_open_uid"]
    market.ask_refund(other)
    first = market.ask_refund(trade, fen=1000)
    clock.turn(60)
    market.settle_refund(first, success=True)
    clock.turn(60)
    second = market.ask_refund(trade, fen=500)
    assert first["oid"] == second["oid"]
    return trade, [str(first["refund_id"]), str(second["refund_id"])]


def test_a_line_that_was_refunded_before_is_read_with_all_its_cases() -> None:
    """It names the newest alone; the list of its buyer's refunds has the others."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade, cases = twice_refunded(platform, clock)
        (event,) = await shop.fetch("trade", str(trade["tid"]))
        data = shop.decode("trade", event.payload).data
        assert data is not None
        assert [case["refund_id"] for case in data["cases"]] == cases
        assert (taobao.trade.refunded(data), taobao.trade.payment(data)) == ("10.00", "partially_refunded")
        assert taobao.trade.payable(data) == taobao.trade.paid(data)
        assert taobao.trade.case_in_charge(data) == "WAIT_SELLER_AGREE"
        assert list(await shop.fetch("refund", cases[0])) == [event]
        assert list(await shop.fetch("refund", cases[1])) == [event]

    with_shop(check)


def test_refunds_are_listed_for_a_trade_that_has_one_and_a_known_buyer() -> None:
    """A trade without costs one call as ever; of a buyer whom nobody names nothing can be listed."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        calm = platform.market.create()
        await shop.fetch("trade", str(calm["tid"]))
        assert [call["method"] for call in platform.router.calls] == ["taobao.trade.fullinfo.get"]
        trade, cases = twice_refunded(platform, clock)
        platform.router.calls.clear()
        await shop.fetch("trade", str(trade["tid"]))
        (listed,) = [call for call in platform.router.calls if call["method"] == "taobao.refunds.receive.get"]
        assert listed["buyer_open_uid"] == trade["buyer_open_uid"]
        assert "start_modified" not in listed
        del trade["buyer_open_uid"]
        (event,) = await shop.fetch("trade", str(trade["tid"]))
        data = shop.decode("trade", event.payload).data
        assert data is not None
        assert [case["refund_id"] for case in data["cases"]] == cases[1:]

    with_shop(check)


def refuse_lists(platform: Fake, failure: dict[str, Any]) -> None:
    """From now on a list of refunds is answered so, and everything else as before."""
    answer = platform.router.answer

    def refuse(params: dict[str, str]) -> dict[str, Any]:
        return {"error_response": failure} if params["method"] == "taobao.refunds.receive.get" else answer(params)

    platform.router.answer = refuse  # type: ignore[method-assign]


def test_a_list_that_cannot_be_had_leaves_the_reading_to_be_done_again() -> None:
    """Without it the reading would say that less went back; nothing is written down."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade, _ = twice_refunded(platform, clock)
        refuse_lists(platform, {"code": 11, "msg": "Insufficient isv permissions"})
        with pytest.raises(PartnerDenied):
            await shop.fetch("trade", str(trade["tid"]))

    with_shop(check)


def test_a_refused_list_leaves_the_newest_cases() -> None:
    """A platform that does not know the filter stops no trade; what it said is in the log."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade, cases = twice_refunded(platform, clock)
        refuse_lists(platform, {"code": 41, "msg": "Invalid arguments:buyer_open_uid"})
        (event,) = await shop.fetch("trade", str(trade["tid"]))
        data = shop.decode("trade", event.payload).data
        assert data is not None
        assert [case["refund_id"] for case in data["cases"]] == cases[1:]

    with structlog.testing.capture_logs() as said:
        with_shop(check)
    assert [one["event"] for one in said if one["log_level"] == "warning"] == ["taobao.refunds_unlisted"]


def test_a_list_of_nothing_does_not_make_the_trade_look_gone() -> None:
    """An empty list may be told as a refund that does not exist; the trade does."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade, _ = twice_refunded(platform, clock)
        refuse_lists(platform, {"code": 15, "msg": "Remote service error", "sub_code": "isv.refund-not-exist"})
        (event,) = await shop.fetch("trade", str(trade["tid"]))
        assert event.partition_key == str(trade["tid"])

    with_shop(check)


def test_a_refund_whose_trade_is_gone_stands_alone() -> None:
    """The case still says what became of the money."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        trade = platform.market.pay(platform.market.create(cod=False))
        case = platform.market.ask_refund(trade)
        del platform.market.trades[trade["tid"]]
        (event,) = await shop.fetch("refund", str(case["refund_id"]))
        assert (event.topic, event.partition_key) == ("refund", str(trade["tid"]))
        data = shop.decode("refund", event.payload).data
        assert data is not None
        assert data["refund_id"] == str(case["refund_id"])

    with_shop(check)


# ------------------------------------------------------------------ reconciliation
async def drain(shop: Shop, topic: str, window: Window, between: Callable[[], None] = lambda: None) -> list[str]:
    """Every key of a window, ``between`` called after each page."""
    keys: list[str] = []
    cursor: str | None = None
    while True:
        page = await shop.pull(topic, window, cursor)
        assert page.events == ()
        assert {fetch.topic for fetch in page.fetch} <= {topic}
        keys += [fetch.key for fetch in page.fetch]
        if page.cursor is None:
            return keys
        cursor = page.cursor
        between()


def test_a_window_is_read_last_page_first() -> None:
    """First the count, then from the oldest page to the newest."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        start = clock.now()
        for _ in range(2 * PAGE + 50):
            platform.market.create()
            clock.turn(1)
        clock.turn(LAG)
        keys = await drain(shop, "trade", Window(since=start, until=clock.now()))
        assert sorted(keys) == sorted(str(tid) for tid in platform.market.trades)
        assert [call["page_no"] for call in platform.router.calls] == ["1", "3", "2", "1"]
        assert keys[0] == str(list(platform.market.trades)[49])

    with_shop(check)


def test_trades_modified_while_the_pages_are_read_are_not_lost() -> None:
    """They leave the window and everything behind them moves up; none of what stays is missed."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        start = clock.now()
        for _ in range(4 * PAGE):
            platform.market.create(cod=False)
            clock.turn(1)
        clock.turn(LAG)
        end = clock.now()
        newest_first = list(platform.market.trades.values())[::-1]
        moved: list[str] = []

        def modify() -> None:
            # From the newest page, the one that is read last: its leaving shifts all the others over their pages' edges.
            for _ in range(7):
                trade = newest_first[3 * len(moved)]
                platform.market.pay(trade)
                moved.append(str(trade["tid"]))

        keys = await drain(shop, "trade", Window(since=start, until=end), modify)
        stayed = {str(tid) for tid in platform.market.trades} - set(moved)
        assert stayed <= set(keys)
        later = await drain(shop, "trade", Window(since=end - LAG * SECOND, until=clock.now() + 2 * LAG * SECOND))
        clock.turn(2 * LAG)
        later += await drain(shop, "trade", Window(since=end - LAG * SECOND, until=clock.now()))
        assert {str(tid) for tid in platform.market.trades} <= set(keys) | set(later)

    with_shop(check)


def test_the_newest_minute_is_left_to_the_next_window_and_the_end_stays_put() -> None:
    """The platform's search lags; between the pages of one window its end must not move."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        window = Window(since=clock.now() - HOUR // 2, until=clock.now())
        clock.turn(-HOUR / SECOND / 4)
        for _ in range(PAGE + 1):
            platform.market.create()
        clock.turn(HOUR / SECOND / 4)
        expected = china_time(window.until - LAG * SECOND)
        await drain(shop, "trade", window, between=lambda: clock.turn(30))
        assert {call["end_modified"] for call in platform.router.calls} == {expected}
        assert len(platform.router.calls) == 3

    with_shop(check)


def test_an_empty_window_is_one_call_and_done() -> None:
    """The platform leaves an empty list out altogether."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        for topic in ("trade", "refund"):
            assert await drain(shop, topic, Window(since=clock.now() - HOUR, until=clock.now())) == []

    with_shop(check)


def test_refunds_are_reconciled_by_their_own_list() -> None:
    """A refund of an old trade does not show among the trades."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> None:
        start = clock.now()
        case = platform.market.ask_refund(platform.market.pay(platform.market.create(cod=False)))
        clock.turn(LAG + 1)
        assert await drain(shop, "refund", Window(since=start, until=clock.now())) == [str(case["refund_id"])]

    with_shop(check)


def test_windows_keep_to_what_the_platform_advises() -> None:
    """At most half an hour, and an overlap that covers what the lag leaves out."""
    for _, overlap, longest in taobao.CARD.pulls.values():
        assert longest <= 1800
        assert overlap > LAG


def test_a_probe_reaches_the_shop_and_says_what_it_saw() -> None:
    """What the doctor asks; wrong credentials are denied like in any other call."""

    async def check(platform: Fake, shop: Shop, clock: TurnedClock) -> str:
        platform.market.create()
        platform.router.failures.append({"code": 27, "msg": "Invalid session"})
        with pytest.raises(PartnerDenied):
            await shop.probe()
        return await shop.probe()

    assert "1 trades" in with_shop(check)


# ------------------------------------------------------------------ messages
@pytest.mark.parametrize(
    ("topic", "content", "expected"),
    [
        ("tmc_trade", '{"tid": 4012345678900000001}', (Fetch(topic="trade", key="4012345678900000001"),)),
        ("tmc_refund", '{"tid": 1, "refund_id": 2}', (Fetch(topic="refund", key="2"),)),
        ("tmc_refund", '{"tid": 1}', (Fetch(topic="trade", key="1"),)),
        ("tmc_other", '{"num_iid": 1}', ()),
    ],
)
def test_a_message_only_says_what_to_re_read(topic: str, content: str, expected: tuple[Fetch, ...]) -> None:
    """Its content is a change signal and is never mapped."""
    decoded = Shop(account(), tools(None)).decode(topic, json.dumps({"content": content}).encode())
    assert (decoded.data, decoded.fetch) == (None, expected)


@pytest.mark.parametrize(
    "payload", [b"{", b"[]", b"{}", b'{"content": "{"}', b'{"content": "[]"}', b'{"content": "{}"}']
)
def test_a_message_that_names_nothing_is_a_payload_error(payload: bytes) -> None:
    """A dead letter, for a person to look at."""
    for topic in ("tmc_trade", "tmc_refund"):
        with pytest.raises(PayloadError):
            Shop(account(), tools(None)).decode(topic, payload)


def test_nothing_is_accepted_over_http() -> None:
    """Anybody may post to the account's door; Taobao never does."""
    outcome = Shop(account(), tools(None)).receive(Request(body=b"{}", received_at=0))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.UNSUPPORTED


# ------------------------------------------------------------------ all of it
def test_every_change_in_the_shop_is_read_through_the_whole_path() -> None:
    """Messages over TMC with all faults, each followed by its reading; at the end every trade stands as the platform has it."""

    async def run() -> None:
        platform = await fake(faults=Faults(redeliver=0.05, duplicate=0.1, disorder=0.1, drop=0.05))
        caller, ledger = Caller(), Ledger()
        shop = Shop(account(platform), tools(caller), QUICK)
        serving = asyncio.create_task(shop.serve(ledger))
        for _ in range(60):
            await platform.advance()
        await until(lambda: not platform.channel.pending, seconds=60)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        seen: dict[str, str] = {}
        for batch in ledger.batches:
            for event in batch:
                for errand in shop.decode(event.topic, event.payload).fetch:
                    for reading in await shop.fetch(errand.topic, errand.key):
                        data = shop.decode(reading.topic, reading.payload).data
                        assert data is not None
                        seen[data["tid"]] = data["status"]
        assert seen == {str(trade["tid"]): trade["status"] for trade in platform.market.trades.values()}
        await caller.close()
        await platform.close()

    asyncio.run(run())


def test_the_simulator_runs_at_the_addresses_an_account_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``gateway simulate`` calls: it says where it listens and what happens, and stops after its time."""
    monkeypatch.setattr(simulate, "SystemClock", TurnedClock)
    told: list[str] = []

    async def run() -> int:
        return await simulate.run(
            url="http://127.0.0.1:0",
            options={**KNOWN, "tmc_url": "ws://127.0.0.1:0/"},
            rate=50.0,
            seconds=0.2,
            seed=1,
            tell=told.append,
        )

    changes = asyncio.run(run())
    assert changes >= 10
    assert told[0].startswith("TOP at http://127.0.0.1:")
    assert len(told) == changes + 1
