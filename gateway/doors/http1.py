"""HTTP/1.1 on one connection (RFC 9112). llhttp, the parser of Node.js, takes the bytes apart and refuses what can be read in two ways; here is what lies
around it: requests one behind the other, bodies that come faster than they are taken, peers that are slow, and the end.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

import httptools
import structlog

from gateway.doors.exchange import Cut, Exchange
from gateway.doors.heads import MOST_HEAD, MOST_HEADERS, MOST_TARGET, Refused, checked, named, origin, plain, problem

App = Callable[[Exchange], Coroutine[Any, Any, None]]

SMALL = 64 * 1024
"""A body of no more bytes is all here before the application is begun; of a larger one no more are held."""
HEAD_TIME = 30
"""Seconds for a request's head."""
BODY_TIME = 60
"""Seconds for a small body."""
SILENCE = 30
"""Seconds without a byte of a large body, or without one taken of an answer."""
IDLE = 75
"""Seconds between two requests."""

_LINGER = 2
# Who sends on for longer than the one, or more than the other, is not heard out.
_MOST_LINGER = 16 * 1024 * 1024

_log = structlog.get_logger()


class House(Protocol):
    """What the connections of a server share. ``now`` is in seconds, and coarse; ``lingering`` is how many have had their last word."""

    app: App
    now: int
    date: bytes
    leaving: bool
    connections: "set[Connection]"
    lingering: int

    def full(self) -> bool:
        """Whether no more connections are let in."""
        ...


class Connection(asyncio.Protocol):
    """One peer. ``_coming`` is being read, ``_turn`` being answered; whole requests behind that one wait in ``_queue``."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self._house = house
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast("asyncio.Transport", None)
        self._peer = ("", 0)
        self._target, self._fields, self._size = b"", list[tuple[bytes, bytes]](), 0
        self._headers: dict[str, str] = {}
        # Bytes that came; how many of them when the last head or part of a body was begun; bytes still to go.
        self._came = self._told = self._unsent = 0
        self._in_head, self._reading = False, True
        self._coming: Exchange | None = None
        self._turn: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        # Nothing more is taken; what was taken is answered, and then ``_last`` is said.
        self._closing = self._lingering = self._lost = False
        self._last = b""
        # When the present state began, and when a byte came or went.
        self._since = self._heard = house.now

    # ------------------------------------------------------------------ the transport's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or tell it to come again."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self._peer = address[:2] if isinstance(address, tuple) else ("", 0)
        full = self._house.full()
        self._house.connections.add(self)
        if full:
            self._refuse(Refused(503, "too many connections, come again"))

    def data_received(self, data: bytes) -> None:
        """Take it apart."""
        self._heard = self._house.now
        if self._closing:
            self._size += len(data)
            if self._size > _MOST_LINGER:
                self._read(False)
            return
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else Refused(400, "not a request of HTTP/1.1"))
        # Also trailers and chunks' extensions come to an end.
        if self._came - self._told > MOST_HEAD:
            self._refuse(Refused(431, "the head is too large"))

    def eof_received(self) -> bool:
        """The peer says no more; what is whole is answered still."""
        self._no_more()
        first = next(iter(self._queue), None) if self._turn is None else self._turn
        whole = first is not None and first.complete and not first.begun
        if not whole:
            self._hang_up()
        return whole

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """What was begun is finished, for nobody."""
        self._lost = self._closing = True
        self._house.lingering -= self._lingering
        self._queue.clear()
        for one in (self._coming, self._turn):
            if one is not None:
                one.cut()
        self.resume_writing()
        if self._task is None:
            self._house.connections.discard(self)
        self._wake()

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._drain = self._loop.create_future()

    def resume_writing(self) -> None:
        """It reads again, or never will."""
        self._heard = self._house.now
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)
        if self._turn is None:
            self._next()

    # ------------------------------------------------------------------ the parser's side
    def on_message_begin(self) -> None:
        """A request."""
        self._in_head, self._since, self._told = True, self._house.now, self._came
        self._target, self._fields, self._size = b"", [], 0

    def on_url(self, url: bytes) -> None:
        """The target, maybe in parts."""
        self._target += url
        if len(self._target) > MOST_TARGET:
            raise Refused(414, "the target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; behind a body they are trailers, which nobody here asks for."""
        self._fields.append((name, value))
        if len(self._fields) > MOST_HEADERS:
            raise Refused(431, "the head is too large")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._headers = named(self._fields)
        if "upgrade" in self._headers and self._parser.should_upgrade():
            return
        method, version = self._parser.get_method().decode("latin-1"), self._parser.get_http_version()
        checked(method, version, self._headers)
        exchange = self._coming = Exchange(
            self, method=method, target=origin(self._target), version=version, headers=self._headers, peer=self._peer,
        )  # fmt: skip
        exchange.closes = not self._parser.should_keep_alive()
        # Whoever waits to be asked for its body is asked by who wants it.
        if "expect" in self._headers or (exchange.length or 0) > SMALL:
            self._begin(exchange)

    def on_body(self, part: bytes) -> None:
        """Some of the body."""
        exchange, self._told = self._coming, self._came
        if exchange is None or exchange.answered:
            return
        exchange.feed(part)
        if exchange.held > SMALL:
            self._begin(exchange)
            self._read(False)

    def on_message_complete(self) -> None:
        """The request is whole."""
        exchange, self._coming = self._coming, None
        if exchange is not None:
            self._since = self._house.now
            exchange.completed()
            self._begin(exchange)

    # ------------------------------------------------------------------ the exchange's side: see ``exchange.Line``
    @property
    def leaving(self) -> bool:
        """See ``Line``."""
        return self._house.leaving or (self._closing and not self._queue and not self._last)

    @property
    def date(self) -> bytes:
        """See ``Line``."""
        return self._house.date

    @property
    def local(self) -> tuple[str, int] | None:
        """See ``Line``."""
        address = self._transport.get_extra_info("sockname")
        return address[:2] if isinstance(address, tuple) else None

    def write(self, data: bytes) -> None:
        """See ``Line``."""
        if not (self._lost or self._lingering):
            self._transport.write(data)

    async def drained(self) -> None:
        """See ``Line``."""
        if self._drain is not None:
            await asyncio.shield(self._drain)

    def taken(self) -> None:
        """See ``Line``."""
        self._read(True)

    def answered(self) -> None:
        """See ``Line``."""
        exchange, self._turn = self._turn, None
        self._since = self._house.now
        if exchange is not None and exchange.closes:
            self._last = b""
            self._hang_up()
        else:
            self._next()

    # ------------------------------------------------------------------ the server's side
    def leave(self) -> None:
        """An idle connection ends now, any other with its answer."""
        if self._turn is None and self._coming is None and not self._in_head:
            self._hang_up()

    def abort(self) -> None:
        """End it now."""
        if not self._lost:
            self._transport.abort()

    def look(self, now: int) -> None:
        """End it if it has kept us waiting for too long."""
        unsent = 0 if self._lost else self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since, self._heard = unsent, now, now
        elif unsent:
            if now - self._heard > SILENCE:
                self.abort()
        elif self._lingering:
            if now - self._since > _LINGER:
                self.abort()
        elif self._in_head or self._coming is not None:
            if self._late(now):
                self._refuse(Refused(408, "the request did not come to its end"))
        elif self._turn is None and now - self._since > IDLE:
            self._hang_up()

    def _late(self, now: int) -> bool:
        exchange = self._coming
        # While we do not read, it is not the peer who is late.
        if not self._reading or exchange in self._queue:
            return False
        if exchange is not None and exchange is self._turn:
            return now - self._heard > SILENCE
        return now - self._since > (HEAD_TIME if exchange is None else BODY_TIME)

    # ------------------------------------------------------------------ turns
    def _begin(self, exchange: Exchange) -> None:
        if exchange is self._turn or exchange.answered:
            return
        # Who does not read its answers is given no more of them.
        if self._turn is None and self._drain is None:
            self._run(exchange)
        elif not self._queue or self._queue[-1] is not exchange:
            self._queue.append(exchange)
            self._read(False)

    def _run(self, exchange: Exchange) -> None:
        self._turn = exchange
        if self._task is None:
            self._task = self._loop.create_task(self._work())
        self._wake()

    def _wake(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    async def _work(self) -> None:
        # One task a connection: to make one costs as much as to take a request apart.
        try:
            while not self._lost:
                if self._turn is not None:
                    await self._serve(self._turn)
                else:
                    self._idle = self._loop.create_future()
                    await self._idle
        finally:
            self.abort()
            self._house.connections.discard(self)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._house.app(exchange)
        except Cut:
            pass
        except Exception:  # the HTTP edge: a fault of ours is a 500 that says nothing, and a log line that says all
            _log.exception("door.fault", path=exchange.path)
            exchange.answer(500, *problem(Refused(500, "a fault of the gateway, send it again")))
        if not exchange.answered:
            self._unanswered(exchange)

    def _unanswered(self, exchange: Exchange) -> None:
        # Any other answer would be taken for this one; one without its end is known not to be whole.
        exchange.answered = True
        self._turn = None
        self._queue.clear()
        if exchange.begun:
            self.abort()
            return
        if exchange.complete:
            self._last = b""
        self._hang_up()

    def _next(self) -> None:
        if self._drain is not None:
            return
        if self._queue:
            self._run(self._queue.popleft())
        elif self._closing:
            self._hang_up()
        self._read(not self._queue)

    # ------------------------------------------------------------------ the end
    def _refuse(self, refused: Refused) -> None:
        """Answer so when all before it is answered, and take nothing more."""
        if self._closing:
            return
        start, body = problem(refused)
        size = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._last = b"".join((start, self._house.date, size, body))
        self._in_head = False
        self._no_more()
        if self._turn is None and not self._queue:
            self._hang_up()

    def _decline(self, rest: bytes) -> None:
        """Whoever offers another protocol with its request is answered in this one. llhttp left out the body, and what comes behind it may be no HTTP."""
        start = plain(self._parser.get_method(), self._target, self._parser.get_http_version(), self._headers)
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(start + rest)

    def _no_more(self) -> None:
        self._closing = True
        coming, self._coming = self._coming, None
        if coming is not None and not coming.complete:
            coming.cut()

    def _hang_up(self) -> None:
        """Say the last word, and go; who is in the middle of its own gets a moment to hear it."""
        if self._lost or self._lingering or self._transport.is_closing():
            return
        last, self._last = self._last, b""
        unread = bool(last) or self._coming is not None or not self._reading
        self._closing = True
        self._transport.write(last)
        if not unread or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._lingering, self._since, self._size = True, self._house.now, 0
        self._house.lingering += 1
        self._transport.write_eof()
        self._read(True)

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading or self._lost or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._heard = self._house.now
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
