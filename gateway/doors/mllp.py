"""The MLLP door: HL7 messages over TCP. MLLP release 1: ``VT content FS CR``; what peers really send is told at ``blocks.Framer``.

One server per account. It knows nothing of HL7 but the three bytes that begin a message: what a frame means, and what its sender hears, is
decided by ``accept``.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import msgspec

from gateway.clock import Clock
from gateway.connector import Reply, Request
from gateway.doors.blocks import CR, FS, VT, Counts, Frame, Framer

TRUNCATED = "mllp-truncated"
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
_PUSHED_BACK = 429
_LONGEST_PAUSE = 5.0
_FIRST_WORDS = 1.0
_GLANCE = 0.01
_LAST_WORDS = 1.0
_END = FS + CR

Accept = Callable[[Request], Awaitable[Reply]]


class Server:
    """An open door. ``port`` is the one really listened on; ``counts`` grows while it lives."""

    def __init__(self, listeners: Sequence[asyncio.Server], door: "_Door") -> None:
        self._listeners = listeners
        self._clock = door.clock
        self._connections = door.connections
        self._told = Counts()
        self.counts = door.counts
        self.port: int = listeners[0].sockets[0].getsockname()[1]

    @property
    def open(self) -> int:
        """Connections at this moment."""
        return len(self._connections)

    def met(self) -> dict[str, int]:
        """What it has met since this was asked last, by the names of ``Counts``."""
        now, before = msgspec.structs.asdict(self.counts), msgspec.structs.asdict(self._told)
        self._told = msgspec.structs.replace(self.counts)
        return {name: amount - before[name] for name, amount in now.items()}

    async def close(self, grace: float = 5.0) -> None:
        """Take no more connections and frames, let what was taken be answered for ``grace`` seconds, then hang up. Whoever has just come, or is in
        the middle of a frame, is first given a second to say it."""
        for listener in self._listeners:
            listener.close()
        # Who was let in already is made known a turn later.
        await asyncio.sleep(0)
        for _ in range(int(_FIRST_WORDS / _GLANCE)):
            if not any(connection.speaking for connection in self._connections):
                break
            await self._clock.sleep(_GLANCE)
        connections = list(self._connections)
        pending = [task for connection in connections for task in connection.drain()]
        if pending:
            _, late = await asyncio.wait(pending, timeout=grace)
            for task in late:
                task.cancel()
        for connection in connections:
            connection.hang_up()
        if connections:
            await asyncio.wait([connection.closed for connection in connections], timeout=_LAST_WORDS)
        # Who does not read its last acknowledgment must not keep us.
        for connection in connections:
            connection.abort()


class _Door(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections of a server share."""

    accept: Accept
    clock: Clock
    peers: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    max_frame: int
    frame_timeout: float
    hold: float
    most: int
    window: int
    counts: Counts
    connections: "set[_Connection]"


async def serve_mllp(
    *,
    listen: str,
    accept: Accept,
    clock: Clock,
    tls: ssl.SSLContext | None = None,
    peers: Sequence[str] = (),
    max_frame: int = 8 << 20,
    frame_timeout: float = 60.0,
    hold: float = 20.0,
    most: int = 256,
    window: int = 8,
    sockets: Sequence[socket.socket] = (),
) -> Server:
    """Listen on ``host:port`` (``[::1]:2575`` for IPv6, port 0 for any). ValueError for an address or network that is none.

    ``accept`` gets one frame's content as ``Request.body``; a frame over ``max_frame`` comes with its first bytes only and the header
    ``mllp-truncated``. Its reply's body is sent framed, an empty one not at all. A status of 400 and more means that nothing was written
    down: after 429 the frame is offered again for ``hold`` seconds, since waiting for the acknowledgment is all that slows a sender
    down; otherwise the connection is closed, so that the sender comes again. ``peers`` are addresses and networks; none lets all in.

    ``frame_timeout`` seconds are given to a frame from its VT to its FS; between frames a peer may be silent for ever, and a half-open
    one is found by TCP keep-alive. ``sockets`` that listen already are taken instead of new ones. ``most`` connections are kept, others reset. Up to ``window`` frames of one connection, for peers
    that do not wait, are accepted at once, begun and answered in their order.
    """
    host, port = address(listen)
    networks = tuple(ipaddress.ip_network(peer, strict=False) for peer in peers)
    door = _Door(
        accept=accept, clock=clock, peers=networks, max_frame=max_frame, frame_timeout=frame_timeout, hold=hold, most=most,
        window=window, counts=Counts(), connections=set(),
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    if sockets:
        listeners = [await loop.create_server(lambda: _Connection(door, loop), sock=one, ssl=tls) for one in sockets]
    else:
        listeners = [await loop.create_server(lambda: _Connection(door, loop), host, port, ssl=tls, backlog=512)]
    return Server(listeners, door)


def address(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``; ValueError for what is none."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{listen!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Turn:
    """A frame under way. ``reply`` is None until it is ``over``, and after it when there is none."""

    __slots__ = ("over", "reply", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.reply: Reply | None = None
        self.over = False


class _Connection(asyncio.Protocol):
    """One peer. Frames wait in ``_waiting``, turns are under way in ``_running``; answers leave in the order of both."""

    def __init__(self, door: _Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop
        self._framer = Framer(door.max_frame, door.counts)
        self._waiting: deque[Frame] = deque()
        self._running: deque[_Turn] = deque()
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self._peer = ""
        self._reading = True
        self._writable = True
        self._came = loop.time()
        self._heard = False
        self._closing = False

    # ------------------------------------------------------------------ the transport's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let in who may come in."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self._peer = address[0] if isinstance(address, tuple) else ""
        door = self._door
        if len(door.connections) >= door.most or not _may(self._peer, door.peers):
            door.counts.turned_away += 1
            self._closing = True
            self._transport.abort()
            return
        door.counts.connections += 1
        door.connections.add(self)
        _keep_alive(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Forget what was not begun; what was begun is finished, for nobody."""
        self._closing = True
        self._waiting.clear()
        self._set_deadline(False)
        self._door.connections.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Cut frames and begin them."""
        if self._closing:
            return
        frames = self._framer.feed(data)
        if frames:
            self._door.counts.frames += len(frames)
            self._heard = True
            self._waiting.extend(frames)
            if self._deadline is not None:
                self._set_deadline(False)
            self._begin()
        if self._framer.inside and self._deadline is None:
            self._set_deadline(True)

    def pause_writing(self) -> None:
        """The peer does not read its answers: begin nothing more for it."""
        self._writable = False

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable = True
        self._begin()

    # ------------------------------------------------------------------ the door's side
    @property
    def speaking(self) -> bool:
        """Whether a frame is awaited: the first of who has just come, or the rest of one."""
        return self._framer.inside or (not self._heard and self._loop.time() - self._came < _FIRST_WORDS)

    def drain(self) -> list[asyncio.Task[None]]:
        """Take nothing more; returns what is under way."""
        self._waiting.clear()
        if self._transport is not None and self._reading:
            self._reading = False
            self._transport.pause_reading()
        return [turn.task for turn in self._running if turn.task is not None]

    def hang_up(self) -> None:
        """Close once what was written has left. What is under way goes on, for nobody: it may be durable already."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ frames
    def _begin(self) -> None:
        door = self._door
        while self._waiting and self._writable and not self._closing and len(self._running) < door.window:
            turn = _Turn()
            self._running.append(turn)
            turn.task = self._loop.create_task(self._serve(self._waiting.popleft(), turn))
        if self._waiting or not self._reading:
            self._throttle()

    def _throttle(self) -> None:
        wanted = len(self._waiting) < 2 * self._door.window
        if wanted == self._reading or self._closing or self._transport is None:
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    async def _serve(self, frame: Frame, turn: _Turn) -> None:
        door = self._door
        headers = {TRUNCATED: str(frame.size)} if frame.truncated else {}
        request = Request(
            method="MLLP", body=frame.content, peer=self._peer, headers=headers, received_at=door.clock.now()
        )
        try:
            reply = await door.accept(request)
            turn.reply = reply if reply.status != _PUSHED_BACK else await self._offer_again(request, reply)
        finally:
            # Of a task that ends well nobody has to be told by the loop: that would take it another turn.
            if turn.reply is None and turn.task is not None:
                turn.task.add_done_callback(self._failed)
            turn.over = True
            self._settle()

    async def _offer_again(self, request: Request, reply: Reply) -> Reply:
        door = self._door
        until = door.clock.monotonic() + door.hold
        while reply.status == _PUSHED_BACK and door.clock.monotonic() < until:
            await door.clock.sleep(min(_LONGEST_PAUSE, _retry_after(reply)))
            reply = await door.accept(request)
        return reply

    def _failed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._loop.call_exception_handler({"message": "an MLLP frame could not be accepted", "exception": error})

    def _settle(self) -> None:
        running = self._running
        while running and running[0].over and not self._closing:
            self._answer(running.popleft().reply)
        if self._waiting:
            self._begin()

    def _answer(self, reply: Reply | None) -> None:
        assert self._transport is not None
        if reply is None or reply.status >= 400:
            self._door.counts.unanswered += 1
            self.hang_up()
        elif reply.body:
            self._transport.write(VT + reply.body + _END)

    # ------------------------------------------------------------------ time
    def _set_deadline(self, wanted: bool) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(self._door.frame_timeout, self._too_late) if wanted else None

    def _too_late(self) -> None:
        self._deadline = None
        # While we do not read, it is not the peer who is late.
        if not self._reading:
            self._set_deadline(True)
            return
        self._door.counts.timeouts += 1
        self.abort()


def _may(peer: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


def _keep_alive(sock: Any) -> None:
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        # Not every system lets these be set.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


def _retry_after(reply: Reply) -> float:
    for name, value in reply.headers:
        if name == "retry-after" and value.isascii() and value.isdigit():
            return max(0.05, float(value))
    return 1.0
