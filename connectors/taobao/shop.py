"""One shop: how its trades and refunds are re-read, reconciled and decoded, and its message channel.

An order has one clock. Whatever asked for a reading (a trade message, a refund message, a reconciliation), what is written down is
the trade together with every refund case of it, versioned by the newest ``modified`` among them. Two readings in any order, or the
same one twice, end in the state of the newer.

A line names its newest case alone, and TOP lists refunds by buyer but not by trade. So a trade that has a refund is read with what the
list has of its buyer for that trade: without it, what a line was given back before its newest case would be forgotten.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from connectors.taobao import actions
from connectors.taobao import trade as trades
from connectors.taobao.client import Gone, Top, china_time
from connectors.taobao.tmc import Pace, Stream
from gateway.clock import SECOND
from gateway.connector import (
    Account,
    Command,
    Decoded,
    Fetch,
    Inbound,
    Outcome,
    Page,
    Reason,
    Refused,
    Reply,
    Request,
    Result,
    Tools,
    Window,
)
from gateway.errors import PartnerError, PayloadError

_log = structlog.get_logger()

CHINA = "Asia/Shanghai"
PAGE = 100
# The platform's search lags behind its messages; what this window leaves out is inside the next one's overlap.
LAG = 60

TRADE_FIELDS = (
    "tid,tid_str,status,type,created,pay_time,modified,consign_time,end_time,payment,received_payment,total_fee,post_fee,"
    "discount_fee,adjust_fee,coupon_fee,buyer_nick,buyer_open_uid,ouid,seller_nick,shipping_type,receiver_name,receiver_mobile,"
    "receiver_phone,receiver_address,receiver_state,receiver_city,receiver_district,receiver_town,receiver_zip,oaid,buyer_message,"
    "seller_memo,seller_flag,trade_from,step_trade_status,step_paid_fee,"
    "orders.oid,orders.num_iid,orders.sku_id,orders.outer_iid,orders.outer_sku_id,orders.title,orders.sku_properties_name,"
    "orders.price,orders.num,orders.payment,orders.divide_order_fee,orders.part_mjz_discount,orders.total_fee,orders.status,"
    "orders.refund_status,orders.refund_id,orders.logistics_company,orders.invoice_no"
)
REFUND_FIELDS = (
    "refund_id,tid,oid,status,refund_fee,total_fee,payment,created,modified,end_time,has_good_return,reason,good_status,order_status,"
    "refund_phase,buyer_open_uid,seller_nick"
)


class _List(msgspec.Struct, frozen=True):
    """How TOP lists what changed: ``outer`` and ``inner`` are the envelope's list and its item, ``fields`` what is asked of an item."""

    method: str
    outer: str
    inner: str
    key: str
    fields: str


_LISTS = {
    "trade": _List("taobao.trades.sold.increment.get", "trades", "trade", "tid", "tid,modified"),
    "refund": _List("taobao.refunds.receive.get", "refunds", "refund", "refund_id", "refund_id,tid,modified"),
}


class Shop:
    """See ``gateway.connector.Connector``: serve, pull, fetch, act and decode."""

    def __init__(self, account: Account, tools: Tools, pace: Pace | None = None) -> None:
        self._top = Top(account, tools)
        self._account = account.name
        self._clock = tools.clock
        self._abroad = account.zone != CHINA
        self._stream = Stream(account, tools, pace or Pace())

    async def serve(self, accept: Callable[[Sequence[Inbound]], Awaitable[None]]) -> None:
        """Keep the message channel open until cancelled; a message is confirmed only after ``accept`` returned for it."""
        await self._stream.run(accept)

    def receive(self, _request: Request) -> Outcome:
        """Nothing is sent to us over HTTP: the platform's messages come over the connection that ``serve`` opens."""
        return Refused(
            reason=Reason.UNSUPPORTED, reply=Reply(status=404), detail="taobao sends over TMC, not over HTTP"
        )

    def decode(self, topic: str, payload: bytes) -> Decoded:
        """A message names what to re-read and holds nothing to map; a snapshot is mapped."""
        if topic == "trade":
            return Decoded(data=trades.trade_data(payload, zoned=self._abroad))
        if topic == "refund":
            return Decoded(data=trades.refund_data(payload, zoned=self._abroad))
        if topic in ("tmc_trade", "tmc_refund"):
            return Decoded(data=None, fetch=_errands(topic, message_content(payload)))
        return Decoded(data=None)

    async def fetch(self, topic: str, key: str) -> Sequence[Inbound]:
        """What TOP now says of a trade (by tid) or of a refund's trade (by refund id); empty when it is gone."""
        try:
            if topic == "trade":
                return [await self._snapshot(key)]
            return [await self._of_refund(key)]
        except Gone:
            return []

    async def pull(self, topic: str, window: Window, cursor: str | None) -> Page:
        """One page of what was modified in ``window``, last page first; its keys are re-read one by one.

        The list is sorted by ``modified``, newest first, and an object that is modified again leaves the window: everything behind it
        moves up. Read from the front, the one that slips over a page's edge would be missed; read from the back it is met again.
        """
        page, until = _cursor(cursor, window, self._clock.now())
        listed = await self._changed(topic, page or 1, window.since, until, size=PAGE)
        pages = -(-_total(listed) // PAGE)
        if page is None and pages > 1:
            return Page(events=(), cursor=f"{pages}@{until}")
        left = (page or 1) - 1
        return Page(events=(), fetch=_listed(topic, listed), cursor=f"{left}@{until}" if left else None)

    async def probe(self) -> str:
        """Count the last half hour's trades: proves key, signature, session and permission, and moves nothing."""
        now = self._clock.now()
        listed = await self._changed("trade", 1, now - 1800 * SECOND, now, size=1)
        return f"TOP answers for this shop: {_total(listed)} trades changed in the last half hour"

    async def act(self, command: Command) -> Result:
        """See ``connectors.taobao.actions``."""
        return await actions.act(self._top, command)

    async def _changed(self, topic: str, page: int, since: int, until: int, *, size: int) -> dict[str, msgspec.Raw]:
        window = {"start_modified": china_time(since), "end_modified": china_time(until)}
        return await self._list(topic, page, size=size, **window)

    async def _list(self, topic: str, page: int, *, size: int, **asked: str) -> dict[str, msgspec.Raw]:
        how = _LISTS[topic]
        return await self._top.call(
            how.method, fields=how.fields, page_no=str(page), page_size=str(size), use_has_next="false", **asked
        )

    async def _snapshot(self, tid: str, *more: str) -> Inbound:
        answer = await self._top.call("taobao.trade.fullinfo.get", tid=tid, fields=TRADE_FIELDS)
        raw = _part(answer, "trade")
        trade = trades.read_json(raw)
        known = {*trades.refund_ids(trade), *more}
        if known:
            known |= await self._listed_cases(tid, trades.text(trade, "buyer_open_uid"))
        # By their ids: whichever of them was asked for, the reading is the same.
        refunds = [await self._refund(key) for key in sorted(known)]
        return snapshot(raw, [refund for refund in refunds if refund is not None])

    async def _listed_cases(self, tid: str, buyer: str) -> set[str]:
        """The trade's cases among the newest hundred of its buyer; none when nobody says who that is, or the platform refuses to tell."""
        if not buyer:
            return set()
        try:
            listed = await self._list("refund", 1, size=PAGE, buyer_open_uid=buyer)
        except Gone:
            return set()
        except PartnerError as error:
            if error.code != PartnerError.code:
                raise
            # A platform that does not know the filter must not stop every trade that has a refund: its newest cases are read all the same.
            _log.warning("taobao.refunds_unlisted", account=self._account, detail=error.detail)
            return set()
        rows = [row for row in _rows("refund", listed) if trades.text(row, "tid") == tid]
        return {key for row in rows if (key := trades.text(row, "refund_id"))}

    async def _of_refund(self, key: str) -> Inbound:
        raw = await self._refund(key)
        if raw is None:
            raise Gone
        refund = trades.refund_data(raw)
        try:
            return await self._snapshot(trades.text(refund, "tid"), key)
        except Gone:
            return _inbound("refund", trades.text(refund, "tid"), refund["as_of"], raw)

    async def _refund(self, key: str) -> bytes | None:
        try:
            return _part(await self._top.call("taobao.refund.get", refund_id=key, fields=REFUND_FIELDS), "refund")
        except Gone:
            return None


def snapshot(trade: bytes, refunds: Sequence[bytes]) -> Inbound:
    """The trade as TOP wrote it, alone or with its refund cases, as one event of topic ``trade``."""
    payload = b'{"trade":' + trade + b',"refunds":[' + b",".join(refunds) + b"]}" if refunds else trade
    data = trades.trade_data(payload)
    return _inbound("trade", data["tid"], data["as_of"], payload)


def message_content(payload: bytes) -> dict[str, Any]:
    """The business content of a kept message. PayloadError when it is not a JSON object."""
    message = trades.read_json(payload)
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str):
        raise PayloadError("a message without content")
    inner = trades.read_json(content.encode())
    if not isinstance(inner, dict):
        raise PayloadError("a message whose content is not a JSON object")
    return inner


def _errands(topic: str, content: dict[str, Any]) -> tuple[Fetch, ...]:
    tid, refund = trades.text(content, "tid"), trades.text(content, "refund_id")
    # A refund is re-read with its trade in one snapshot; the trade alone is asked for where the message names no case.
    if topic == "tmc_refund" and refund:
        return (Fetch(topic="refund", key=refund),)
    if not tid:
        raise PayloadError("a message without tid")
    return (Fetch(topic="trade", key=tid),)


def _inbound(topic: str, tid: str, as_of: str, payload: bytes) -> Inbound:
    # Canonical before hashing: a proxy may reorder fields, which changes nothing.
    canonical = msgspec.json.encode(trades.read_json(payload), order="deterministic")
    digest = hashlib.blake2b(canonical, digest_size=16).hexdigest()
    return Inbound(topic=topic, dedupe_key=f"{tid}:{as_of}:{digest}", partition_key=tid, payload=payload)


def _cursor(cursor: str | None, window: Window, now: int) -> tuple[int | None, int]:
    """The page to read (None: not counted yet) and the window's end in microseconds, which must not move between pages."""
    if cursor is None:
        return None, max(window.since, min(window.until, now - LAG * SECOND))
    page, _, until = cursor.partition("@")
    return int(page), int(until)


def _listed(topic: str, listed: dict[str, msgspec.Raw]) -> tuple[Fetch, ...]:
    key = _LISTS[topic].key
    rows = _rows(topic, listed)
    return tuple(Fetch(topic=topic, key=trades.text(row, key)) for row in rows if trades.text(row, key))


def _rows(topic: str, listed: dict[str, msgspec.Raw]) -> list[dict[str, Any]]:
    how = _LISTS[topic]
    wrapped = _plain(listed).get(how.outer)
    items = wrapped.get(how.inner) if isinstance(wrapped, dict) else wrapped
    return items if isinstance(items, list) else [items] if isinstance(items, dict) else []


def _total(listed: dict[str, msgspec.Raw]) -> int:
    total = trades.text(_plain(listed), "total_results")
    return int(total) if total.isdecimal() else 0


def _plain(fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: trades.read_json(bytes(raw)) for name, raw in fields.items()}


def _part(answer: dict[str, msgspec.Raw], name: str) -> bytes:
    if name not in answer:
        raise PayloadError(f"TOP's answer has no {name}")
    return bytes(answer[name])
