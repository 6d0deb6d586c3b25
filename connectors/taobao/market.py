"""A made-up shop: its trades and refunds as TOP shows them, and what the platform would say of every change. For simulate.py."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from connectors.taobao.client import china_time
from gateway.clock import Clock

Data = dict[str, Any]
T = TypeVar("T")
_PLACES = (("浙江省", "杭州市", "西湖区"), ("上海", "上海市", "浦东新区"), ("广东省", "深圳市", "南山区"))
_GOODS = ((101, "SKU-A1", "洗面奶 100g", 5900), (102, "SKU-B2", "面霜 50g", 12800), (103, "SKU-C3", "面膜 10片", 9900))
_OPEN = ("WAIT_BUYER_PAY", "WAIT_SELLER_SEND_GOODS", "WAIT_BUYER_CONFIRM_GOODS", "TRADE_BUYER_SIGNED")


class Dice(Protocol):
    """What the shop asks of chance; ``random.Random`` keeps it."""

    def random(self) -> float: ...

    def randrange(self, start: int, stop: int | None = None, /) -> int: ...

    def choice(self, seq: Sequence[T], /) -> T: ...

    def sample(self, population: Sequence[T], k: int, /) -> list[T]: ...


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _fen(yuan: str) -> int:
    return int(yuan.replace(".", ""))


class Market:
    """Trades and refunds as TOP shows them, advancing by themselves. ``push`` hears of every change as (topic, content)."""

    def __init__(self, dice: Dice, clock: Clock, push: Callable[[str, Data], None]) -> None:
        self.trades: dict[int, Data] = {}
        self.refunds: dict[int, Data] = {}
        self.stock = {(str(item), sku): 100 for item, sku, _, _ in _GOODS}
        self._dice = dice
        self._clock = clock
        self._push = push
        self._next = 4_012_345_678_900_000_001 + dice.randrange(10**9) * 1000

    def advance(self) -> Data:
        """One change: a new trade, or the next step of an open one. Returns the trade."""
        waiting = [trade for trade in self.trades.values() if trade["status"] in _OPEN]
        if not waiting or self._dice.random() < 0.35:
            return self.create()
        return self.step(self._dice.choice(waiting))

    def create(self, *, cod: bool | None = None) -> Data:
        """A buyer orders one or two things."""
        buyer = self._dice.randrange(20)
        lines = [self._line(goods) for goods in self._dice.sample(_GOODS, self._dice.choice((1, 2)))]
        state, city, district = _PLACES[buyer % len(_PLACES)]
        items = sum(line.pop("_fen") for line in lines)
        post = self._dice.choice((0, 800))
        on_delivery = self._dice.random() < 0.15 if cod is None else cod
        tid = self._number()
        trade: Data = {
            "tid": tid, "tid_str": str(tid), "type": "cod" if on_delivery else "fixed", "status": "WAIT_BUYER_PAY",
            "created": self._now(), "modified": "", "payment": _yuan(items + post), "total_fee": _yuan(items),
            "post_fee": _yuan(post), "discount_fee": "0.00", "adjust_fee": "0.00", "buyer_nick": f"t**{buyer}",
            "buyer_open_uid": f"AAF{buyer:04d}Zm9vYmFy", "seller_nick": "示例旗舰店", "oaid": f"1tcq{self._dice.randrange(10**12)}",
            "receiver_name": "张**", "receiver_mobile": "*******1234", "receiver_address": "****", "receiver_state": state,
            "receiver_city": city, "receiver_district": district, "receiver_zip": "000000", "orders": {"order": lines},
        }  # fmt: skip
        self.trades[tid] = trade
        self._told(trade, "WAIT_SELLER_SEND_GOODS" if on_delivery else "WAIT_BUYER_PAY", "TradeCreate")
        return trade

    def step(self, trade: Data) -> Data:
        """The next thing that happens to an open trade, now and then a cancellation or a refund."""
        chance = self._dice.random()
        if trade["status"] == "WAIT_BUYER_PAY":
            return self.cancel(trade) if chance < 0.1 else self.pay(trade)
        case = self.open_refund_of(trade)
        if case is not None:
            self.settle_refund(case, success=chance < 0.7)
        elif chance < 0.15 and "pay_time" in trade:
            self.ask_refund(trade, fen=self._dice.choice((None, None, 500)))
        elif trade["status"] == "WAIT_SELLER_SEND_GOODS":
            self.ship(trade)
        elif trade["type"] == "cod" and trade["status"] == "WAIT_BUYER_CONFIRM_GOODS":
            trade["pay_time"] = self._now()
            self._told(trade, "TRADE_BUYER_SIGNED", "TradeBuyerPay")
        else:
            trade["end_time"] = self._now()
            self._told(trade, "TRADE_FINISHED", "TradeSuccess")
        return trade

    def pay(self, trade: Data) -> Data:
        """The buyer pays."""
        trade["pay_time"] = self._now()
        return self._told(trade, "WAIT_SELLER_SEND_GOODS", "TradeBuyerPay")

    def ship(self, trade: Data) -> Data:
        """One parcel for all lines."""
        trade["consign_time"] = self._now()
        number = f"SF{self._dice.randrange(10**12):012d}"
        for line in trade["orders"]["order"]:
            line.update(invoice_no=number, logistics_company="顺丰速运")
        return self._told(trade, "WAIT_BUYER_CONFIRM_GOODS", "TradeSellerShip")

    def cancel(self, trade: Data) -> Data:
        """An unpaid trade is closed."""
        trade["end_time"] = self._now()
        return self._told(trade, "TRADE_CLOSED_BY_TAOBAO", "TradeClose")

    def open_refund_of(self, trade: Data) -> Data | None:
        """The trade's case that waits for the shop."""
        mine = (case for case in self.refunds.values() if case["tid"] == trade["tid"])
        return next((case for case in mine if case["status"] == "WAIT_SELLER_AGREE"), None)

    def ask_refund(self, trade: Data, *, fen: int | None = None) -> Data:
        """The buyer wants a line's money back, or ``fen`` of it; of a line that has given back a part, what is left."""
        line = next(line for line in trade["orders"]["order"] if self._may_ask(line))
        left = self._left(line)
        case: Data = {
            "refund_id": self._number(), "tid": trade["tid"], "oid": line["oid"], "status": "WAIT_SELLER_AGREE",
            "refund_fee": _yuan(left if fen is None else min(fen, left)), "total_fee": line["divide_order_fee"], "created": self._now(),
            "modified": self._now(), "has_good_return": False, "reason": "不想要了", "good_status": "BUYER_NOT_RECEIVED",
            "refund_phase": "onsale", "buyer_open_uid": trade["buyer_open_uid"], "seller_nick": trade["seller_nick"],
        }  # fmt: skip
        self.refunds[case["refund_id"]] = case
        line.update(refund_id=case["refund_id"], refund_status="WAIT_SELLER_AGREE")
        self._touch(trade)
        self._tell_refund(case, "RefundCreated")
        return case

    def settle_refund(self, case: Data, *, success: bool) -> None:
        """The shop pays it back, or the buyer withdraws. A trade whose lines all went back whole is closed."""
        trade = self.trades[case["tid"]]
        line = next(line for line in trade["orders"]["order"] if line["oid"] == case["oid"])
        case.update(
            status="SUCCESS" if success else "CLOSED", end_time=self._now(), modified=self._now(case["modified"])
        )
        line["refund_status"] = case["status"]
        if not self._left(line):
            line["status"] = "TRADE_CLOSED"
        if success:
            trade["payment"] = _yuan(_fen(trade["payment"]) - _fen(case["refund_fee"]))
        self._touch(trade)
        self._tell_refund(case, "RefundSuccess" if success else "RefundClosed")
        if all(one["status"] == "TRADE_CLOSED" for one in trade["orders"]["order"]):
            trade["end_time"] = self._now()
            self._told(trade, "TRADE_CLOSED", "TradeClose")

    def _may_ask(self, line: Data) -> bool:
        return line["status"] != "TRADE_CLOSED" and line["refund_status"] in ("NO_REFUND", "CLOSED", "SUCCESS")

    def _left(self, line: Data) -> int:
        """What the buyer has paid for the line and not been given back, in fen."""
        mine = [case for case in self.refunds.values() if case["oid"] == line["oid"] and case["status"] == "SUCCESS"]
        return _fen(line["divide_order_fee"]) - sum(_fen(case["refund_fee"]) for case in mine)

    def note(self, asked: Mapping[str, str]) -> Data | None:
        """``taobao.trade.memo.update``; None for a trade that there is not. Sellers' notes are pushed to nobody."""
        trade = self.trades.get(int(asked["tid"]))
        if trade is None:
            return None
        trade["seller_memo"] = "" if asked.get("reset") == "true" else asked["memo"]
        trade.update({"seller_flag": int(asked["flag"])} if "flag" in asked else {})
        self._touch(trade)
        return {"trade": {"tid": trade["tid"], "modified": trade["modified"]}}

    def restock(self, asked: Mapping[str, str]) -> Data | None:
        """``taobao.item.quantity.update`` with the whole quantity; None for an item or SKU that there is not."""
        sku = asked.get("outer_id")
        places = [place for place in self.stock if place[0] == asked["num_iid"] and sku in (None, place[1])]
        if not places or asked.get("type", "1") != "1":
            return None
        self.stock[places[0]] = int(asked["quantity"])
        return {"item": {"num_iid": int(places[0][0]), "num": self.stock[places[0]], "modified": self._now()}}

    def _line(self, goods: tuple[int, str, str, int]) -> Data:
        item, sku, title, price = goods
        count = self._dice.choice((1, 1, 2))
        whole = _yuan(price * count)
        return {
            "oid": self._number(), "num_iid": item, "outer_sku_id": sku, "title": title, "price": _yuan(price), "num": count,
            "payment": whole, "divide_order_fee": whole, "total_fee": whole, "status": "WAIT_BUYER_PAY",
            "refund_status": "NO_REFUND", "_fen": price * count,
        }  # fmt: skip

    def _told(self, trade: Data, status: str, topic: str) -> Data:
        for line in trade["orders"]["order"]:
            if line["status"] == trade["status"] or line["status"] == "WAIT_BUYER_PAY":
                line["status"] = status
        trade["status"] = status
        self._touch(trade)
        content = {key: trade[key] for key in ("tid", "buyer_open_uid", "seller_nick", "payment", "post_fee", "type", "status", "modified")}  # fmt: skip
        self._push(f"taobao_trade_{topic}", {**content, "oid": trade["orders"]["order"][0]["oid"]})
        return trade

    def _tell_refund(self, case: Data, topic: str) -> None:
        keys = ("refund_id", "tid", "oid", "refund_fee", "buyer_open_uid", "seller_nick", "modified")
        self._push(f"taobao_refund_{topic}", {key: case[key] for key in keys})

    def _touch(self, trade: Data) -> None:
        trade["modified"] = self._now(trade["modified"])

    def _now(self, after: str = "") -> str:
        """The platform's time, never the same second twice for one thing that changes twice."""
        now = china_time(self._clock.now())
        if now > after:
            return now
        return (datetime.strptime(after, "%Y-%m-%d %H:%M:%S") + timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ007

    def _number(self) -> int:
        self._next += self._dice.randrange(1, 1000)
        return self._next
