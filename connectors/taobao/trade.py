"""From TOP's trade and refund objects to plain data, and the decisions about them that a table cannot express. Pure.

The data of a snapshot (topics ``trade`` and ``refund``) is TOP's own object with every number as its text, and beside it

``orders.order``  always a list
``cases``         the refund cases: as read, then as lines tell of them (``refund_id``, ``oid``, ``status``)
``as_of``         the newest ``modified`` of the trade and its cases
``parcels``       ``{invoice_no, logistics_company}``, each number once
``payment_state`` what ``payment`` says, which most other decisions ask for (``trade`` only)
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from gateway.errors import PayloadError

Data = dict[str, Any]

_JSON = msgspec.json.Decoder(float_hook=str)
_NO_REFUND = ("", "NO_REFUND", "0")
_NOTHING = Decimal(0)

UNPAID = frozenset({"TRADE_NO_CREATE_PAY", "WAIT_BUYER_PAY", "PAY_PENDING", "WAIT_PRE_AUTH_CONFIRM"})
UNDERWAY = frozenset(
    {
        "WAIT_SELLER_SEND_GOODS",
        "PAID_FORBID_CONSIGN",
        "SELLER_CONSIGNED_PART",
        "WAIT_BUYER_CONFIRM_GOODS",
        "TRADE_BUYER_SIGNED",
        "TRADE_FINISHED",
    }
)
CLOSED = frozenset({"TRADE_CLOSED", "TRADE_CLOSED_BY_TAOBAO"})
# Cash on delivery is paid when the buyer has signed, which these states imply.
_COD_PAID = frozenset({"TRADE_BUYER_SIGNED", "TRADE_FINISHED"})
_FULFILMENT = {
    **dict.fromkeys(UNPAID, "none"),
    "WAIT_SELLER_SEND_GOODS": "none",
    "PAID_FORBID_CONSIGN": "on_hold",
    "SELLER_CONSIGNED_PART": "partially_shipped",
    "WAIT_BUYER_CONFIRM_GOODS": "shipped",
    "TRADE_BUYER_SIGNED": "delivered",
    "TRADE_FINISHED": "delivered",
}
_SHIPPED = frozenset({"partially_shipped", "shipped", "delivered"})
# Of several cases the one that asks most of the shop names the axis.
_URGENCY = (
    "WAIT_SELLER_AGREE",
    "WAIT_SELLER_CONFIRM_GOODS",
    "WAIT_BUYER_RETURN_GOODS",
    "SELLER_REFUSE_BUYER",
    "SUCCESS",
    "CLOSED",
    "NO_REFUND",
)
# TOP's naive times are GMT+8 wherever the account says it lives; saying so costs time, so only where it matters.
_TIMES = ("created", "pay_time", "modified", "consign_time", "end_time")


# ------------------------------------------------------------------ decode
def read_json(payload: bytes) -> Any:
    """Any JSON with every number as the text it was written as: ids exceed 2**53, amounts must stay exact. PayloadError otherwise."""
    try:
        return texts(_JSON.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError("not JSON") from error


def texts(value: Any) -> Any:
    """``value`` with whole numbers as text; true, false and null stay. What was just decoded is changed where it stands: nearly all of it is
    text already."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(item) is not str:
                value[key] = str(item) if type(item) is int else texts(item)
        return value
    if kind is list:
        return [item if type(item) is str else texts(item) for item in value]
    return value if kind is str or kind is bool or value is None else str(value)


def trade_data(payload: bytes, *, zoned: bool = False) -> Data:
    """The snapshot of a trade: ``{"trade": {...}, "refunds": [...]}``, or the trade object alone. ``zoned`` adds ``+08:00`` to its times."""
    whole = _object(read_json(payload))
    trade = _object(whole["trade"]) if "trade" in whole else whole
    refunds = _objects(whole.get("refunds")) if "trade" in whole else []
    lines = lines_of(trade)
    tid = text(trade, "tid_str") or text(trade, "tid")
    if not tid:
        raise PayloadError("a trade without tid")
    as_of = newest(trade, refunds)
    if zoned:
        trade, refunds, as_of = _zoned(trade), [_zoned(refund) for refund in refunds], f"{as_of}+08:00"
    # Just decoded, and nobody else's: what is worked out is put beside what was read.
    trade["tid"] = tid
    trade["orders"] = {"order": lines}
    trade["cases"] = cases_of(lines, refunds)
    trade["parcels"] = _parcels(lines)
    trade["as_of"] = as_of
    trade["payment_state"] = _payment(trade)
    return trade


def refund_data(payload: bytes, *, zoned: bool = False) -> Data:
    """A refund case whose trade the platform no longer hands out. ``zoned`` adds ``+08:00`` to its times."""
    refund = _object(read_json(payload))
    if not text(refund, "tid") or not text(refund, "refund_id"):
        raise PayloadError("a refund without tid or refund_id")
    refund = _zoned(refund) if zoned else refund
    return {**refund, "cases": [refund], "orders": {"order": []}, "as_of": text(refund, "modified")}


def lines_of(trade: Mapping[str, Any]) -> list[Data]:
    """The trade's lines. TOP wraps lists (``{"order": [...]}``) and some proxies unwrap a list of one."""
    orders = trade.get("orders")
    return _objects(orders.get("order") if isinstance(orders, dict) else orders)


def refund_ids(trade: Mapping[str, Any]) -> list[str]:
    """The refund cases that the lines point at, each once, in their order: of a line its newest, and none before that."""
    found = (text(line, "refund_id") for line in lines_of(trade))
    return list(dict.fromkeys(key for key in found if key not in _NO_REFUND))


def newest(trade: Mapping[str, Any], refunds: Sequence[Mapping[str, Any]]) -> str:
    """The latest ``modified`` of a trade and its cases: it never goes back from one reading to the next. ``""`` when none has one."""
    return max([text(one, "modified") for one in (trade, *refunds)])


def cases_of(lines: Sequence[Data], refunds: Sequence[Data]) -> list[Data]:
    """The cases as read, then those that only a line tells of; each once."""
    cases = {text(refund, "refund_id"): refund for refund in refunds}
    for line in lines:
        if "refund_id" not in line:
            continue
        key = text(line, "refund_id")
        if key not in _NO_REFUND and key not in cases:
            cases[key] = {"refund_id": key, "oid": text(line, "oid"), "status": text(line, "refund_status")}
    return list(cases.values())


def _zoned(data: Data) -> Data:
    return {**data, **{key: f"{data[key]}+08:00" for key in _TIMES if data.get(key)}}


def _parcels(lines: Sequence[Data]) -> list[Data]:
    parcels = {
        number: {"invoice_no": number, "logistics_company": text(line, "logistics_company")}
        for line in lines
        if "invoice_no" in line and (number := text(line, "invoice_no"))
    }
    return list(parcels.values())


def text(data: Mapping[str, Any], key: str) -> str:
    """A scalar as text; ``""`` when absent, null or not a scalar."""
    value = data.get(key)
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else ""


def _object(value: Any) -> Data:
    if not isinstance(value, dict):
        raise PayloadError("not a JSON object")
    return value


def _objects(value: Any) -> list[Data]:
    if value is None or value == "":
        return []
    items = value if isinstance(value, list) else [value]
    for item in items:
        if type(item) is not dict:
            raise PayloadError("not a JSON object")
    return items


# ------------------------------------------------------------------ decisions: the card's ``calls``
def lifecycle_key(data: Data, _context: object = None) -> str:
    """The status for the lifecycle table; ``TRADE_CLOSED`` of a trade that was never paid is told apart."""
    status = text(data, "status")
    return "TRADE_CLOSED_UNPAID" if status == "TRADE_CLOSED" and not _was_paid(data) else status


def payment(data: Data, _context: object = None) -> str:
    """The payment axis. ``TRADE_CLOSED`` after a payment is a full refund, before one nothing ever moved."""
    return text(data, "payment_state") or _payment(data)


def _payment(data: Data) -> str:
    status = text(data, "status")
    if status in CLOSED:
        return "refunded" if _was_paid(data) else "voided"
    if status in UNPAID:
        return "partially_paid" if _deposit_only(data) else "unpaid"
    if status not in UNDERWAY:
        return "unknown"
    if not _paid(data):
        return "partially_paid" if _deposit_only(data) else "unpaid"
    lines = lines_of(data)
    refunded = [line for line in lines if line.get("refund_status") == "SUCCESS"]
    if not refunded and not [case for case in data.get("cases", ()) if case.get("status") == "SUCCESS"]:
        return "paid"
    return "refunded" if refunded and all(map(_came_back, lines)) else "partially_refunded"


def fulfilment(data: Data, _context: object = None) -> str:
    """The fulfilment axis; goods that came back count only once their case is settled."""
    status = text(data, "status")
    if status in CLOSED:
        reached = "shipped" if text(data, "consign_time") else "none"
    elif status in _FULFILMENT:
        reached = _FULFILMENT[status]
    else:
        return "unknown"
    if reached in _SHIPPED:
        return _returned(data) or reached
    return reached


def case_in_charge(data: Data, _context: object = None) -> str:
    """The refund status that the aftersale axis stands for: an unknown one before all, so that a person looks, else the most urgent."""
    cases = data.get("cases", ())
    told = {text(case, "oid") for case in cases}
    found = {text(case, "status") for case in cases}
    # A line's own refund_status counts where no case tells of it.
    found.update([text(line, "refund_status") for line in lines_of(data) if text(line, "oid") not in told])
    found.difference_update(_NO_REFUND)
    if not found:
        return "NO_REFUND"
    unknown = sorted(found.difference(_URGENCY))
    return next(state for state in (*unknown, *_URGENCY) if state in found)


def completed_time(data: Data, _context: object = None) -> str | UnsetType:
    """``end_time`` of a trade that ended well; a closed one has it too."""
    return (data.get("status") == "TRADE_FINISHED" and text(data, "end_time")) or UNSET


def postcode(data: Data, _context: object = None) -> str | UnsetType:
    """The receiver's postcode; ``000000`` stands for none."""
    found = text(data, "receiver_zip")
    return found if found.strip("0") else UNSET


def case_kind(data: Data, _context: object = None) -> str | UnsetType:
    """``return`` when goods come back, ``refund`` when only money does; nothing when the case does not say."""
    return {"true": "return", "false": "refund"}.get(text(data, "has_good_return"), UNSET)


def payable(data: Data, _context: object = None) -> str | UnsetType:
    """What the trade cost, in yuan.

    ``payment`` shrinks after a refund, so from then on the sum of the parts stands in for it and the figure stays what it was.
    """
    if not _money_moved_back(data):
        return text(data, "payment") or _sum(data) or UNSET
    return _sum(data) or text(data, "payment") or UNSET


def paid(data: Data, _context: object = None) -> str | UnsetType:
    """What the buyer has paid so far, in yuan, before refunds. Nothing when the status is unknown."""
    state = payment(data)
    if state == "partially_paid":
        return text(data, "step_paid_fee") or UNSET
    if state in ("unpaid", "voided"):
        return "0.00"
    return UNSET if state == "unknown" else payable(data)


def refunded(data: Data, _context: object = None) -> str | UnsetType:
    """Money that went back, in yuan: cases with ``SUCCESS`` and nothing else. Nothing when one of them does not say how much."""
    state = payment(data)
    if state == "unknown":
        return UNSET
    settled = [case for case in data.get("cases", ()) if case.get("status") == "SUCCESS"]
    if not settled:
        return paid(data) if state == "refunded" else "0.00"
    total = _given_back(settled, lines_of(data))
    if state == "refunded" and not total:
        return paid(data)
    return UNSET if total is None else f"{total:.2f}"


def _was_paid(data: Data) -> bool:
    return bool(text(data, "pay_time")) or _deposit_only(data)


def _paid(data: Data) -> bool:
    if text(data, "pay_time"):
        return True
    if text(data, "type") == "cod":
        return text(data, "status") in _COD_PAID
    return not _deposit_only(data)


def _deposit_only(data: Data) -> bool:
    return text(data, "step_trade_status") == "FRONT_PAID_FINAL_NOPAID"


def _came_back(line: Data) -> bool:
    return text(line, "status") in CLOSED and line.get("refund_status") == "SUCCESS"


def _returned(data: Data) -> str:
    back = {
        text(case, "oid")
        for case in data.get("cases", ())
        if text(case, "status") == "SUCCESS" and text(case, "has_good_return") == "true"
    }
    if not back:
        return ""
    lines = {text(line, "oid") for line in lines_of(data)}
    return "returned" if lines and lines <= back else "partially_returned"


def _money_moved_back(data: Data) -> bool:
    return payment(data) in ("partially_refunded", "refunded")


def _sum(data: Data) -> str | None:
    items = _decimal(text(data, "total_fee"))
    if items is None:
        return None
    less, post, adjust = (_decimal(text(data, key)) or Decimal(0) for key in ("discount_fee", "post_fee", "adjust_fee"))
    return f"{items - less + post + adjust:.2f}"


def _given_back(settled: Sequence[Data], lines: Sequence[Data]) -> Decimal | None:
    """What these cases come to in yuan; None when one of them does not say and its line does not either."""
    sums: dict[str, Decimal | None] = {}
    for case in settled:
        oid, amount = text(case, "oid"), _decimal(text(case, "refund_fee"))
        before = sums.get(oid, _NOTHING)
        sums[oid] = None if amount is None or before is None else before + amount
    # A line that went back whole stands for all its cases: what the others gave back is in it.
    for line in lines if None in sums.values() else ():
        oid = text(line, "oid")
        if sums.get(oid, _NOTHING) is None:
            sums[oid] = _whole_line(line)
    amounts = [amount for amount in sums.values() if amount is not None]
    return sum(amounts, _NOTHING) if len(amounts) == len(sums) else None


def _whole_line(line: Data) -> Decimal | None:
    """A closed line went back whole; of an open one a part did, and the line does not say which."""
    if text(line, "status") not in CLOSED:
        return None
    return _decimal(text(line, "divide_order_fee") or text(line, "payment"))


def _decimal(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
