"""The platform's side: a made-up shop, its TMC channel and its TOP router on real sockets, with their signatures, quotas and bad habits.

Taobao does not call the gateway: the gateway connects to it. So ``serve_api`` is the partner, and ``run`` is ``serve_api`` at the
addresses an account is configured with, trading for a while.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from connectors.taobao import protocol
from connectors.taobao.market import Market
from connectors.taobao.protocol import Format, Frame, Kind, MessageType, Typed
from gateway.clock import SECOND, Clock, SystemClock, instant
from gateway.errors import PayloadError

Data = dict[str, Any]
_CHINA = timedelta(hours=8)


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Bad habits. The first three are chances per message; ``redeliver`` is seconds until an unconfirmed message comes again on a pull;
    ``quota`` is TOP calls per second, None for no limit."""

    duplicate: float = 0.0
    disorder: float = 0.0
    drop: float = 0.0
    redeliver: float = 10.0
    quota: int | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the application and the shop are known by."""

    app_key: str = "12129701"
    app_secret: str = "0123456789abcdef0123456789abcdef"  # noqa: S105  made up
    session: str = "6100000session"
    group: str = "default"


# ------------------------------------------------------------------ TOP
class Router:
    """TOP's one address. ``failures`` are answered first, one each."""

    def __init__(self, market: Market, shop: Known, clock: Clock, quota: int | None) -> None:
        self.failures: deque[Data] = deque()
        self.calls: list[dict[str, str]] = []
        self._market = market
        self._shop = shop
        self._clock = clock
        self._quota = quota
        self._second = 0
        self._used = 0

    def answer(self, params: dict[str, str]) -> Data:
        """The JSON of one call."""
        self.calls.append(params)
        failure = self.failures.popleft() if self.failures else self._refusal(params)
        if failure is not None:
            return {"error_response": {**failure, "request_id": "req1"}}
        method = params["method"]
        verb = {
            "taobao.trade.fullinfo.get": self._trade,
            "taobao.refund.get": self._refund,
            "taobao.trades.sold.increment.get": self._trades,
            "taobao.refunds.receive.get": self._refunds,
            "taobao.trade.memo.update": self._market.note,
            "taobao.item.quantity.update": self._market.restock,
        }.get(method)
        if verb is None:
            return {"error_response": {"code": 22, "msg": "Invalid Method", "request_id": "req1"}}
        found = verb(params)
        if found is None:
            sub = f"isv.{method.split('.')[1]}-not-exist"
            return {
                "error_response": {"code": 15, "msg": "Remote service error", "sub_code": sub, "request_id": "req1"}
            }
        return {method.removeprefix("taobao.").replace(".", "_") + "_response": {**found, "request_id": "req1"}}

    def _refusal(self, params: Mapping[str, str]) -> Data | None:
        if params.get("app_key") != self._shop.app_key:
            return {"code": 29, "msg": "Invalid app Key"}
        expected = protocol.top_sign(self._shop.app_secret, params, params.get("sign_method", "md5"))
        if params.get("sign") != expected:
            return {"code": 25, "msg": "Invalid signature"}
        if abs(_china_instant(params.get("timestamp", "")) - self._clock.now()) > 600 * SECOND:
            return {"code": 31, "msg": "Invalid timestamp"}
        if params.get("session") != self._shop.session:
            return {"code": 27, "msg": "Invalid session"}
        if "fields" not in params and params.get("method", "").endswith(".get"):
            return {"code": 40, "msg": "Missing required arguments:fields"}
        return self._over_quota()

    def _over_quota(self) -> Data | None:
        second = self._clock.now() // SECOND
        self._used = self._used + 1 if second == self._second else 1
        self._second = second
        if self._quota is None or self._used <= self._quota:
            return None
        sub = "accesscontrol.limited-by-api-access-count"
        return {
            "code": 7,
            "msg": "App Call Limited",
            "sub_code": sub,
            "sub_msg": "This ban will last for 1 more seconds",
        }

    def _trade(self, params: Mapping[str, str]) -> Data | None:
        trade = self._market.trades.get(int(params["tid"]))
        return None if trade is None else {"trade": _chosen(trade, params["fields"])}

    def _refund(self, params: Mapping[str, str]) -> Data | None:
        case = self._market.refunds.get(int(params["refund_id"]))
        return None if case is None else {"refund": _chosen(case, params["fields"])}

    def _trades(self, params: Mapping[str, str]) -> Data:
        return self._page(params, self._market.trades, "trades", "trade")

    def _refunds(self, params: Mapping[str, str]) -> Data:
        buyer = params.get("buyer_open_uid")
        found = {key: one for key, one in self._market.refunds.items() if buyer in (None, one["buyer_open_uid"])}
        return self._page(params, found, "refunds", "refund")

    def _page(self, params: Mapping[str, str], kept: Mapping[int, Data], outer: str, inner: str) -> Data:
        since, until = params.get("start_modified", ""), params.get("end_modified", "9999")
        found = [one for one in kept.values() if since <= one["modified"] <= until]
        found.sort(key=lambda one: str(one["modified"]), reverse=True)
        size = int(params["page_size"])
        start = (int(params["page_no"]) - 1) * size
        rows = [_chosen(one, params["fields"]) for one in found[start : start + size]]
        # Like the platform: a list without rows is not there at all.
        return {"total_results": len(found), **({outer: {inner: rows}} if rows else {})}


def _chosen(one: Data, fields: str) -> Data:
    """Only what ``fields`` names; ``orders.oid`` chooses inside the lines."""
    names = {name.strip() for name in fields.split(",")}
    inner = {name.partition(".")[2] for name in names if name.startswith("orders.")}
    chosen: Data = {key: value for key, value in one.items() if key in names}
    if inner:
        lines = [{key: value for key, value in line.items() if key in inner} for line in one["orders"]["order"]]
        chosen["orders"] = {"order": lines}
    return chosen


def _china_instant(text: str) -> int:
    try:
        return instant(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) - _CHINA)
    except ValueError:
        return 0


# ------------------------------------------------------------------ TMC
class Channel:
    """The message channel. What is not confirmed stays in ``pending`` and comes again; ``confirmed`` keeps the order of confirms."""

    def __init__(self, shop: Known, clock: Clock, faults: Faults, rng: random.Random) -> None:
        self.pending: dict[int, Frame] = {}
        self.confirmed: list[int] = []
        self.sent: list[int] = []
        self.connections = 0
        self.refused = 0
        self.bad_frames = 0
        self._shop = shop
        self._clock = clock
        self._faults = faults
        self._rng = rng
        self._live: dict[ServerConnection, str] = {}
        self._last: dict[int, float] = {}
        self._held: Frame | None = None
        self._number = 7_300_000_000_000_000_000

    @property
    def live(self) -> int:
        """Connections that are signed in now."""
        return len(self._live)

    def frame(self, topic: str, content: Data) -> Frame:
        """A new message, pending until it is confirmed."""
        self._number += 1
        fields = {
            protocol.KIND: Typed(Format.BYTE, Kind.DATA),
            "id": Typed(Format.INT64, self._number),
            "topic": protocol.string(topic),
            "userid": protocol.string("2088000001"),
            "dataid": protocol.string(f"{topic}-{self._number}"),
            "publisher": protocol.string("12497914"),
            "content": protocol.string(msgspec.json.encode(content).decode()),
            "outtime": Typed(Format.DATE, self._clock.now() // 1000),
        }
        frame = Frame(type=MessageType.SEND, fields=fields)
        self.pending[self._number] = frame
        return frame

    async def push(self, frame: Frame) -> None:
        """Send to one of the connections, with the faults that were asked for. Without a connection it waits for a pull."""
        chance = self._rng.random
        if self._held is None and chance() < self._faults.disorder:
            self._held = frame
            return
        await self._send(frame)
        if self._held is not None:
            await self._send(self._held)
            self._held = None
        if chance() < self._faults.duplicate:
            await self._send(frame)
        if chance() < self._faults.drop:
            await self.drop()

    async def drop(self) -> None:
        """Cut every connection without a word."""
        for socket in list(self._live):
            socket.transport.abort()
        await asyncio.sleep(0)

    async def handle(self, socket: ServerConnection) -> None:
        """One connection from CONNECT to its end."""
        self.connections += 1
        try:
            token = await self._greet(socket)
            if not token:
                return
            self._live[socket] = token
            async for raw in socket:
                await self._heard(socket, token, raw)
        except ConnectionClosed:
            return
        finally:
            self._live.pop(socket, None)

    async def _greet(self, socket: ServerConnection) -> str:
        frame = self._read(await socket.recv())
        if frame is not None and frame.type == MessageType.CONNECT and self._genuine(frame):
            token = f"tok-{self.connections}"
            await socket.send(protocol.encode(Frame(type=MessageType.CONNECTACK, status=0, token=token)))
            return token
        self.refused += 1
        phrase = "invalid signature"
        await socket.send(protocol.encode(Frame(type=MessageType.CONNECTACK, status=401, phrase=phrase)))
        await socket.close()
        return ""

    def _genuine(self, frame: Frame) -> bool:
        shop, stamp = self._shop, frame.text("timestamp")
        expected = protocol.connect_sign(shop.app_key, shop.app_secret, shop.group, stamp)
        near = stamp.isdecimal() and abs(int(stamp) * 1000 - self._clock.now()) < 600 * SECOND
        return near and frame.text("sign") == expected and frame.text("group_name") == shop.group

    async def _heard(self, socket: ServerConnection, token: str, raw: str | bytes) -> None:
        frame = self._read(raw)
        if frame is None or frame.token != token:
            self.bad_frames += 1
            await socket.close(1008)
            return
        kind, number = frame.number(protocol.KIND), frame.number("id")
        if kind == Kind.PULL:
            await self._deliver()
        # The id has to come back in the width it was sent in, or the platform does not know it.
        elif kind == Kind.CONFIRM and number in self.pending and frame.fields["id"].format is Format.INT64:
            del self.pending[number]
            self.confirmed.append(number)

    def _read(self, raw: str | bytes) -> Frame | None:
        try:
            return protocol.decode(raw) if isinstance(raw, bytes) else None
        except PayloadError:
            return None

    async def _deliver(self) -> None:
        now = self._clock.monotonic()
        # What is held back for disorder comes with the next pull at the latest.
        self._held = None
        for number, frame in list(self.pending.items()):
            if now - self._last.get(number, float("-inf")) >= self._faults.redeliver:
                await self._send(frame)

    async def _send(self, frame: Frame) -> None:
        number = frame.number("id") or 0
        if not self._live:
            return
        socket = self._rng.choice(list(self._live))
        try:
            await socket.send(protocol.encode(frame))
        except ConnectionClosed:
            return
        self._last[number] = self._clock.monotonic()
        self.sent.append(number)


# ------------------------------------------------------------------ on sockets
class Fake:
    """A running platform. ``url`` is an account's ``api_base``, ``tmc_url`` its ``tmc_url``."""

    def __init__(self, market: Market, router: Router, channel: Channel, waiting: deque[Frame], clock: Clock) -> None:
        self.market = market
        self.router = router
        self.channel = channel
        self.url = ""
        self.tmc_url = ""
        self._waiting = waiting
        self._clock = clock
        self._servers: list[asyncio.Server | Server] = []

    async def listen(self, host: str, port: int, tmc_port: int) -> None:
        """Open both sockets; port 0 is any."""
        top = await asyncio.start_server(self._http, host, port)
        tmc = await serve(self.channel.handle, host, tmc_port, compression=None)
        self._servers = [top, tmc]
        self.url = f"http://{host}:{top.sockets[0].getsockname()[1]}"
        self.tmc_url = f"ws://{host}:{next(iter(tmc.sockets)).getsockname()[1]}/"

    async def advance(self) -> Data:
        """One change in the shop, and its messages. Returns the trade."""
        trade = self.market.advance()
        await self.flush()
        return trade

    async def flush(self) -> int:
        """Push what the shop has to say since last time. Returns how many messages."""
        sent = 0
        while self._waiting:
            await self.channel.push(self._waiting.popleft())
            sent += 1
        return sent

    async def run(self, rate: float, seconds: float | None, tell: Callable[[str], None] | None = None) -> int:
        """``rate`` changes a second, for ``seconds`` or until cancelled. Returns how many changes."""
        start, done = self._clock.monotonic(), 0
        while seconds is None or self._clock.monotonic() - start < seconds:
            trade = await self.advance()
            done += 1
            if tell is not None:
                tell(f"taobao {trade['tid']} {trade['status']}")
            await self._clock.sleep(max(0.0, start + done / rate - self._clock.monotonic()))
        return done

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        for server in self._servers:
            server.close()
        await self.channel.drop()
        for server in self._servers:
            await server.wait_closed()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request on a kept-alive connection; False when the caller wants it closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = msgspec.json.encode(self.router.answer(dict(parse_qsl(body.decode(), keep_blank_values=True))))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json;charset=UTF-8\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % len(answer) + answer)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


async def serve_api(
    *,
    host: str,
    port: int,
    options: Mapping[str, str],
    seed: int,
    tmc_port: int | None = None,
    faults: Faults | None = None,
    clock: Clock | None = None,
) -> Fake:
    """A fake Taobao for the application and shop that ``options`` name (app_key, app_secret, session, group), listening.

    TMC is on ``tmc_port``, by default the port after TOP's, or any when that is any.
    """
    rng, time, habits = random.Random(seed), clock or SystemClock(), faults or Faults()
    shop = msgspec.convert({name: options[name] for name in Known.__struct_fields__ if options.get(name)}, Known)
    channel = Channel(shop, time, habits, rng)
    waiting: deque[Frame] = deque()
    market = Market(rng, time, lambda topic, content: waiting.append(channel.frame(topic, content)))
    fake = Fake(market, Router(market, shop, time, habits.quota), channel, waiting, time)
    await fake.listen(host, port, (port + 1 if port else 0) if tmc_port is None else tmc_port)
    return fake


async def run(
    *,
    url: str,
    options: Mapping[str, str],
    rate: float,
    seconds: float | None,
    seed: int,
    tell: Callable[[str], None],
) -> int:
    """Be the platform at ``url`` (the account's ``api_base``) and at ``options["tmc_url"]``, trading at ``rate`` changes a second.

    Both must name a port of this machine: the gateway's account has to be configured to connect there. Returns the number of changes;
    OSError when a port cannot be had.
    """
    top, tmc = urlsplit(url), urlsplit(options["tmc_url"])
    fake = await serve_api(
        host=top.hostname or "127.0.0.1",
        port=top.port or 0,
        tmc_port=tmc.port or 0,
        options=options,
        seed=seed,
        faults=Faults(duplicate=0.05, disorder=0.05),
    )
    tell(f"TOP at {fake.url}, TMC at {fake.tmc_url}")
    try:
        return await fake.run(rate, seconds, tell)
    finally:
        await fake.close()
