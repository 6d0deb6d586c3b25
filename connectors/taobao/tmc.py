"""TMC: the platform's message channel, a WebSocket that we open. See protocol.py for its frames."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from connectors.taobao import protocol
from connectors.taobao import trade as trades
from connectors.taobao.options import TaobaoOptions
from connectors.taobao.protocol import Frame, Kind, MessageType
from gateway.connector import Account, Inbound, Tools
from gateway.errors import GatewayError, PayloadError

_log = structlog.get_logger()

Accept = Callable[[Sequence[Inbound]], Awaitable[None]]


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. ``pull`` between requests for what waits; ``closed`` before reconnecting after a close, ``failed`` after an error,
    doubling up to ``longest`` while it goes on failing; ``greet`` for the answer to CONNECT; ``ping`` between keep-alives.

    At most ``batch`` messages are accepted together, and ``held`` wait for it before reading stops.
    """

    pull: float = 5.0
    closed: float = 3.0
    failed: float = 15.0
    longest: float = 300.0
    greet: float = 10.0
    ping: float = 20.0
    batch: int = 100
    held: int = 1000


class Message(msgspec.Struct, frozen=True):
    """A message and the id it has to be confirmed with, in the width it came in."""

    id: protocol.Typed
    event: Inbound


class Rejected(Exception):
    """The platform did not take our CONNECT."""


class Stream:
    """Keeps one connection of one shop's group, and makes a new one whenever it ends."""

    def __init__(self, account: Account, tools: Tools, pace: Pace) -> None:
        self._account = account.name
        self._options: TaobaoOptions = account.options
        self._clock = tools.clock
        self._pace = pace
        self._strikes = 0

    async def run(self, accept: Accept) -> None:
        """Until cancelled."""
        while True:
            failure = await self._until_ended(accept)
            wait = self._wait(failure)
            _log.warning("tmc.ended", account=self._account, cause=failure or "closed", again_in=round(wait, 3))
            await self._clock.sleep(wait)

    async def _until_ended(self, accept: Accept) -> str:
        """One connection from beginning to end. ``""`` when it was closed, else what went wrong."""
        failure = ""
        try:
            await self._session(accept)
        except* ConnectionClosed:
            pass
        except* (OSError, TimeoutError, WebSocketException, Rejected) as group:
            failure = str(_first(group))
        except* GatewayError as group:
            # Not durable, so not confirmed: the connection is dropped and the platform sends it again.
            failure = _first(group).__class__.__name__
        return failure

    def _wait(self, failure: str) -> float:
        if not failure:
            base = self._pace.closed
        else:
            base = min(self._pace.longest, self._pace.failed * 2**self._strikes)
            self._strikes = min(self._strikes + 1, 16)
        return base * spread(f"{self._account}:{self._clock.now()}")

    async def _session(self, accept: Accept) -> None:
        async with connect(
            self._options.tmc_url,
            proxy=None,
            compression=None,
            max_size=protocol.FRAME_MOST,
            open_timeout=self._pace.greet,
            close_timeout=1,
            ping_interval=self._pace.ping,
            ping_timeout=self._pace.ping,
        ) as socket:
            token = await self._greet(socket)
            self._strikes = 0
            _log.info("tmc.connected", account=self._account)
            arrived: asyncio.Queue[Message] = asyncio.Queue(self._pace.held)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(socket, token))
                group.create_task(self._hear(socket, arrived))
                group.create_task(self._keep(socket, token, arrived, accept))

    async def _greet(self, socket: ClientConnection) -> str:
        """Sign in; the token has to be on every later frame."""
        options = self._options
        hello = protocol.connect(
            options.app_key,
            options.app_secret.reveal(),
            options.group,
            timestamp=str(self._clock.now() // 1000),
            address=str(socket.local_address[0]),
        )
        try:
            async with asyncio.timeout(self._pace.greet):
                await socket.send(protocol.encode(hello))
                answer = protocol.decode(await socket.recv(decode=False))
        except (PayloadError, ConnectionClosed) as error:
            raise Rejected("CONNECT was not answered") from error
        if answer.type != MessageType.CONNECTACK or answer.status or not answer.token:
            raise Rejected(f"CONNECT was refused with status {answer.status}")
        return answer.token

    async def _ask(self, socket: ClientConnection, token: str) -> None:
        while True:
            await socket.send(protocol.encode(protocol.pull_request(token)))
            await self._clock.sleep(self._pace.pull)

    async def _hear(self, socket: ClientConnection, arrived: asyncio.Queue[Message]) -> None:
        while True:
            raw = await socket.recv(decode=False)
            try:
                message = read_message(protocol.decode(raw))
            except PayloadError as error:
                # It has no id that could be confirmed; the platform will send it again, and this line again.
                _log.warning("tmc.unreadable", account=self._account, detail=error.detail, size=len(raw))
                continue
            if message is not None:
                await arrived.put(message)

    async def _keep(
        self, socket: ClientConnection, token: str, arrived: asyncio.Queue[Message], accept: Accept
    ) -> None:
        """Whatever arrived during one commit shares the next."""
        while True:
            batch = [await arrived.get()]
            while len(batch) < self._pace.batch and not arrived.empty():
                batch.append(arrived.get_nowait())
            await accept([message.event for message in batch])
            for message in batch:
                await socket.send(protocol.encode(protocol.confirm(token, message.id)))


def read_message(frame: Frame) -> Message | None:
    """The message in a data frame; None for every other frame. PayloadError for data without an id."""
    if frame.type != MessageType.SEND or frame.number(protocol.KIND) != Kind.DATA:
        return None
    if frame.number("id") is None:
        raise PayloadError("a message without an id")
    payload = {name: frame.text(name) for name in frame.fields if name != protocol.KIND}
    topic = topic_of(payload.get("topic", ""))
    number = payload["id"]
    event = Inbound(
        topic=topic,
        # By the message's own id: two changes of one trade may share a dataid, and a second reading costs less than a lost one.
        dedupe_key=f"tmc:{number}",
        partition_key=_belongs_to(payload.get("content", "")) or number,
        payload=msgspec.json.encode(payload),
    )
    return Message(frame.fields["id"], event)


def topic_of(name: str) -> str:
    """The card's topic of a platform topic."""
    if name.startswith("taobao_trade_"):
        return "tmc_trade"
    return "tmc_refund" if name.startswith("taobao_refund_") else "tmc_other"


def spread(seed: str) -> float:
    """0.8 to 1.2, evenly over seeds, so that many accounts cut off together do not come back together."""
    digest = hashlib.blake2b(seed.encode(), digest_size=4).digest()
    return 0.8 + 0.4 * int.from_bytes(digest, "big") / 0xFFFF_FFFF


def _belongs_to(content: str) -> str:
    try:
        inner = trades.read_json(content.encode())
    except PayloadError:
        return ""
    return trades.text(inner, "tid") if isinstance(inner, dict) else ""


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
