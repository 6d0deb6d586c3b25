"""The partner's side: a made-up ERP that posts signed rows over real sockets, with the habits real ones have.

It repeats itself, sends an older row after a newer one, mixes a bad row into a good batch, and changes between the formats that its account
takes. Customers and orders hang together, so that what arrives can be looked at.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
import msgspec

from connectors.feed import protocol
from connectors.feed.options import ID_FIELDS
from gateway.clock import SECOND, Clock, SystemClock, moment
from gateway.errors import ConfigError

Row = dict[str, Any]
Sent = tuple[dict[str, str], bytes]

_SURNAMES, _GIVEN = "张李王赵陈刘杨黄周吴", ("伟", "芳", "娜", "敏", "静", "磊", "洋", "艳", "勇", "杰")
_GOODS = (("MILK-1", "婴儿奶粉 1 段", 15900), ("WIPE-80", "湿巾 80 抽", 2000), ("DIAPER-M", "纸尿裤 M 码", 8900))
_STEPS = ("created", "paid", "shipped", "completed")
_CHINA = timedelta(hours=8)


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """Chances per request, from 0 to 1. ``batch`` is that several rows go at once, ``bad`` that such a batch holds a row without its id."""

    duplicate: float = 0.05
    disorder: float = 0.05
    batch: float = 0.1
    bad: float = 0.3


USUAL = Habits()


class Erp:
    """Customers and orders of a made-up shop. ``customer`` and ``order`` give the next row to tell of."""

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        self._rng = rng
        self._clock = clock
        self._run = f"{rng.randrange(1 << 24):06x}".upper()
        self._orders: deque[Row] = deque()
        self._made = 0

    def customer(self) -> Row:
        """A customer of a few hundred, as known now."""
        number = self._rng.randrange(300)
        return {
            "customer_code": f"C{number:05}",
            "name": _SURNAMES[number % 10] + _GIVEN[number // 10 % 10],
            "phone": _phone(number),
            "gender": "男女"[number % 2],
            "birthday": f"19{80 + number % 20}-0{1 + number % 9}-1{number % 10}",
            "store": f"SH{1 + number % 5:02}",
            "tags": ["会员"] if number % 3 else ["会员", "母婴"],
            "updated_at": self._now(),
        }

    def order(self) -> Row:
        """A new order, or the next step of an open one."""
        if not self._orders or self._rng.random() < 0.4:
            self._orders.append(self._new_order())
            return self._orders[-1]
        order = self._orders.popleft()
        step = _STEPS[_STEPS.index(order["status"]) + 1]
        order = order | {"status": step, "updated_at": self._now()}
        if step == "paid":
            order |= {"paid": order["total"], "paid_at": order["updated_at"]}
        if step != _STEPS[-1]:
            self._orders.append(order)
        return order

    def _new_order(self) -> Row:
        number, now = self._rng.randrange(300), self._now()
        goods = self._rng.sample(_GOODS, self._rng.randint(1, 2))
        lines = [
            {"line_no": str(at), "sku": sku, "title": title, "quantity": "1", "price": _yuan(price)}
            for at, (sku, title, price) in enumerate(goods, 1)
        ]
        self._made += 1
        return {
            "order_no": f"SO{self._run}{self._made:06}",
            "customer_code": f"C{number:05}",
            "phone": _phone(number),
            "status": "created",
            "currency": "CNY",
            "total": _yuan(sum(price for _, _, price in goods)),
            "created_at": now,
            "updated_at": now,
            "store": f"SH{1 + number % 5:02}",
            "lines": lines,
        }

    def _now(self) -> str:
        # As an ERP in China writes it: local time, no zone; the fraction keeps two changes within a second apart.
        return (moment(self._clock.now()) + _CHINA).strftime("%Y-%m-%d %H:%M:%S.%f")


def bodies(options: Mapping[str, str], *, rng: random.Random, clock: Clock, habits: Habits = USUAL) -> Iterator[Sent]:
    """Content type and body of one request after the other, without end and without a proof of who sends them.

    ConfigError for a mapping or a format that the made-up ERP does not speak: it knows customers and orders, and writes no XLSX.
    """
    erp = Erp(rng, clock)
    make = {"customer": erp.customer, "order": erp.order}.get(options["mapping"].removeprefix("feed/"))
    if make is None or options.get("format") == "xlsx":
        raise ConfigError("the simulated ERP posts feed/customer or feed/order, and no XLSX")
    late: deque[Sent] = deque()
    before: Sent | None = None
    while True:
        if before is not None and rng.random() < habits.duplicate:
            yield before
        # Held back for at least one whole request, so that what it says is old when it comes.
        if late and rng.random() < 0.5:
            yield late.popleft()
        before = (
            _one(make, options, rng, habits) if rng.random() >= habits.batch else _batch(make, options, rng, habits)
        )
        if rng.random() < habits.disorder:
            late.append(before)
        else:
            yield before


def signed(options: Mapping[str, str], sent: Sent, *, message: str, clock: Clock) -> Sent:
    """The request with the account's proof in its headers. ``message`` is the webhook id, the same when it is sent again."""
    headers, body = dict(sent[0]), sent[1]
    auth, secret = options.get("auth", "standard-webhooks"), options.get("secret", "").split()
    if auth == "standard-webhooks":
        timestamp = str(clock.now() // SECOND)
        signature = protocol.webhook_signature(protocol.webhook_key(secret[0]), message, timestamp, body)
        headers |= {"webhook-id": message, "webhook-timestamp": timestamp, "webhook-signature": signature}
    elif auth == "hmac":
        headers["x-signature"] = protocol.body_signature(secret[0].encode(), body)
    elif auth == "bearer":
        headers["authorization"] = f"Bearer {secret[0]}"
    return headers, body


async def run(
    *,
    url: str,
    options: dict[str, str],
    rate: float,
    seconds: float | None,
    seed: int,
    tell: Callable[[str], None],
) -> int:
    """Post to ``url`` about ``rate`` requests a second, for ``seconds`` or until cancelled. Returns how many were taken.

    ``options`` are the account's, secret in the clear. A request that is pushed back or finds nobody is sent again with the same id.
    """
    clock, rng, counts = SystemClock(), random.Random(seed), Counter[str]()
    began = clock.monotonic()
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
        for number, sent in enumerate(bodies(options, rng=rng, clock=clock)):
            await clock.sleep(max(0.0, began + number / rate - clock.monotonic()))
            if seconds is not None and clock.monotonic() - began >= seconds:
                break
            message = f"msg_{seed}_{clock.now()}_{number}"
            await _post(http, url, options, sent, message=message, clock=clock, counts=counts)
            if (number + 1) % max(1, int(rate * 10)) == 0:
                tell(_told(counts))
    tell(_told(counts))
    return counts["requests"]


async def _post(
    http: httpx.AsyncClient,
    url: str,
    options: Mapping[str, str],
    sent: Sent,
    *,
    message: str,
    clock: Clock,
    counts: Counter[str],
) -> None:
    while True:
        headers, body = signed(options, sent, message=message, clock=clock)
        try:
            answer = await http.post(url, headers=headers, content=body)
        except httpx.TransportError:
            counts["unreachable"] += 1
            await clock.sleep(1.0)
            continue
        if answer.status_code not in (429, 503):
            return _count(counts, answer)
        counts["pushed back"] += 1
        await clock.sleep(float(answer.headers.get("retry-after", "1")))


def _count(counts: Counter[str], answer: httpx.Response) -> None:
    if answer.status_code != 202:
        counts[f"answered {answer.status_code}"] += 1
        return
    counts["requests"] += 1
    told = answer.json()
    counts.update({name: told.get(name, 0) for name in ("accepted", "duplicates", "refused")})


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing was sent"


def _one(make: Callable[[], Row], options: Mapping[str, str], rng: random.Random, habits: Habits) -> Sent:
    form = options.get("format", "auto")
    if form in ("auto", "json"):
        return {"content-type": "application/json"}, msgspec.json.encode(make())
    return _batch(make, options, rng, habits)


def _batch(make: Callable[[], Row], options: Mapping[str, str], rng: random.Random, habits: Habits) -> Sent:
    rows = [make() for _ in range(rng.randint(2, 5))]
    if rng.random() < habits.bad:
        name = ID_FIELDS[options["mapping"].removeprefix("feed/")]
        rows.insert(rng.randrange(len(rows)), rows[0] | {name: ""})
    form = options.get("format", "auto")
    if form == "auto":
        form = rng.choice(("json", "ndjson", "csv", "xml"))
    return {"content-type": _CONTENT_TYPES[form]}, _WRITERS[form](rows)


def _json(rows: list[Row]) -> bytes:
    return msgspec.json.encode(rows)


def _ndjson(rows: list[Row]) -> bytes:
    return msgspec.json.Encoder().encode_lines(rows)


def _csv(rows: list[Row]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [[f"{name}:json" if name in ("lines", "tags") else name for name in names]]
    table += [[_cell(row.get(name, "")) for name in names] for row in rows]
    return "".join(",".join(_quoted(cell) for cell in cells) + "\r\n" for cells in table).encode("gb18030")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _xml(rows: list[Row]) -> bytes:
    return f"<rows>{''.join(_element('row', row) for row in rows)}</rows>".encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = "".join(_element(key, one) for key, one in value.items())
    elif isinstance(value, list):
        inner = "".join(_element(name.removesuffix("s"), one) for one in value)
    else:
        inner = value.replace("&", "&amp;").replace("<", "&lt;")
    return f"<{name}>{inner}</{name}>"


_WRITERS: Mapping[str, Callable[[list[Row]], bytes]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "xml": _xml,
}
_CONTENT_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=gb18030",
    "xml": "application/xml",
}


def _phone(number: int) -> str:
    return f"138001{38000 + number:05}"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"
