"""A Redis stream as an endpoint: ``redis://host:port/db/stream?maxlen=100000``, ``rediss://`` over TLS."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeout

from gateway.clock import Clock
from gateway.destination import Destination, Endpoint, Message, Tried
from gateway.destinations import faults, trust
from gateway.destinations.address import Unfit, Vetter
from gateway.destinations.chosen import Chosen
from gateway.destinations.stamp import Stamp
from gateway.errors import ConfigError

_AUTH = (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError, NoPermissionError)


class Stream(msgspec.Struct, frozen=True):
    """What the URL says. ``most`` is about how many entries the stream keeps, None for all."""

    host: str
    port: int
    db: int
    name: str
    most: int | None
    encrypted: bool


def stream_of(url: str, *, place: str) -> Stream:
    """ConfigError says what is missing."""
    parts = urlsplit(url)
    db, _, name = parts.path.lstrip("/").partition("/")
    most = parse_qs(parts.query).get("maxlen", [""])[0]
    try:
        port = parts.port or 6379
    except ValueError:
        port = 0
    sound = parts.scheme in ("redis", "rediss") and parts.hostname and port and db.isdecimal() and name
    if not sound or (parts.query and not (most.isdecimal() and int(most))) or parts.username or parts.password:
        raise ConfigError(
            "does not name a stream",
            place=place,
            remedy="redis://host:6379/0/stream or rediss://…, ?maxlen=100000 if it is to be bounded; a password stands under auth",
        )
    return Stream(
        host=str(parts.hostname),
        port=port,
        db=int(db),
        name=unquote(name),
        most=int(most) if most else None,
        encrypted=parts.scheme == "rediss",
    )


# All ways are opened alike; this one has no use for the clock.
def open(end: Endpoint, *, clock: Clock, vetter: Vetter) -> Destination:  # noqa: ARG001
    """A stream; nothing is connected yet. ConfigError when the endpoint cannot be used."""
    return RedisStream(end, vetter)


class _Pinned(Connection):
    """A connection to the vetted address that still checks the certificate of the name."""

    def __init__(self, *, context: ssl.SSLContext | None, name: str, **rest: Any) -> None:
        super().__init__(**rest)
        self._tls = {"ssl": context, "server_hostname": name} if context else {}

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), **self._tls}


class RedisStream:
    """One entry an event, with the fields id, type, subject and body; a batch is one MULTI/EXEC.

    Where the endpoint has a secret, ``timestamp`` is unix seconds of the attempt and ``signature`` covers ``id.timestamp.body`` (Standard
    Webhooks 1.0).
    """

    def __init__(self, end: Endpoint, vetter: Vetter) -> None:
        place = f"endpoints.{end.name}"
        self._end = end
        self._stream = stream_of(end.url, place=f"{place}.url")
        self._login = trust.credentials(end, encrypted=self._stream.encrypted)
        self._context = trust.context(end.auth, place=f"{place}.auth") if self._stream.encrypted else None
        self._stamp = Stamp(end)
        self._vetter = vetter
        self._sends = faults.Sends()
        self._chosen = Chosen()
        self._client: Redis | None = None
        self._at = ""

    async def send(self, messages: Sequence[Message], *, now: int) -> Tried:
        """See ``Destination.send``."""
        return await self._sends.within(self._end.timeout, self._send(messages, now))

    async def close(self) -> None:
        """See ``Destination.close``."""
        await self._sends.close()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _send(self, messages: Sequence[Message], now: int) -> Tried:
        where = await self._vetter.vet(self._end.url, allow_private=self._end.allow_private)
        if isinstance(where, Unfit):
            return faults.unfit(where)
        tried = await self._write(self._chosen.of(where), messages, now)
        if tried.error == "connect":
            self._chosen.avoid(where)
        return tried

    async def _write(self, address: str, messages: Sequence[Message], now: int) -> Tried:
        entries = [self._fields(message, now) for message in messages]
        client = await self._connected(address)
        try:
            async with client.pipeline(transaction=True) as pipe:
                for fields in entries:
                    _ = pipe.xadd(self._stream.name, fields, maxlen=self._stream.most, approximate=True)
                await pipe.execute()
        except (RedisError, OSError, EOFError) as error:
            return tried_of(error)
        except faults.NONSENSE as error:
            # Answers that were not understood may be followed by more of them.
            self._at = ""
            return faults.nonsense(error)
        return Tried(status=200)

    async def _connected(self, address: str) -> Redis:
        if self._client is not None and self._at == address:
            return self._client
        stale, self._at = self._client, address
        self._client = client = Redis.from_pool(self._pool(address))
        if stale is not None:
            await stale.aclose()
        return client

    def _pool(self, address: str) -> BlockingConnectionPool:
        user, password = self._login or (None, None)
        return BlockingConnectionPool(
            max_connections=self._end.concurrency,
            timeout=self._end.timeout,
            connection_class=_Pinned,
            host=address,
            port=self._stream.port,
            db=self._stream.db,
            username=user or None,
            password=password,
            socket_timeout=self._end.timeout,
            socket_connect_timeout=self._end.timeout,
            # Whether and when to try again is the deliverer's to say.
            retry=Retry(NoBackoff(), 0),
            # Ten years of servers know RESP2, and nothing is read here that RESP3 would tell better.
            protocol=2,
            driver_info=None,
            context=self._context,
            name=self._stream.host,
        )

    def _fields(self, message: Message, now: int) -> dict[Any, Any]:
        fields: dict[Any, Any] = {
            "id": message.id,
            "type": message.type,
            "subject": message.subject,
            "body": message.body,
        }
        stamp = self._stamp.of(message, now)
        if stamp is not None:
            fields["timestamp"], fields["signature"] = stamp
        return fields


def tried_of(error: RedisError | OSError | EOFError) -> Tried:
    """The one door of redis-py's exceptions."""
    for cause in faults.chain(error):
        if isinstance(cause, _AUTH):
            return faults.said("auth", error)
        # A stream of another type, no memory, a replica, still loading: the server is there and says no.
        if isinstance(cause, (ResponseError, BusyLoadingError)):
            return faults.said("refused", error)
        if isinstance(cause, RedisTimeout):
            return faults.said("timeout", error)
    return faults.of(error)
