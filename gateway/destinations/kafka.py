"""A Kafka topic as an endpoint: ``kafka://host:9092[,host:9092]/topic``, ``kafkas://`` over TLS."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosed,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from gateway.clock import Clock
from gateway.destination import Destination, Endpoint, Message, Tried
from gateway.destinations import faults, trust
from gateway.destinations.address import Unfit, Vetted, Vetter
from gateway.destinations.stamp import Stamp
from gateway.errors import ConfigError

MOST = 64 * 1024 * 1024
"""Bytes of one event that are handed to the broker; what is too large for the topic is the broker's to say."""

_BATCH = 256 * 1024
_AUTH = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)


class Topic(msgspec.Struct, frozen=True):
    """What the URL says; brokers are ``host:port``."""

    brokers: tuple[str, ...]
    name: str
    encrypted: bool


def topic_of(url: str, *, place: str) -> Topic:
    """ConfigError says what is missing."""
    scheme, _, rest = url.partition("://")
    hosts, _, name = rest.partition("/")
    brokers = tuple(one if _has_port(one) else f"{one}:9092" for one in hosts.split(",") if one)
    # Kafka's own rule: org.apache.kafka.common.internals.Topic.
    legal = 0 < len(name) <= 249 and all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name)
    if scheme not in ("kafka", "kafkas") or not brokers or not legal or name in (".", "..") or "@" in hosts:
        raise ConfigError(
            "does not name a topic",
            place=place,
            remedy="kafka://host:9092,host:9092/topic or kafkas://…; a password stands under auth",
        )
    return Topic(brokers=brokers, name=name, encrypted=scheme == "kafkas")


def _has_port(broker: str) -> bool:
    return broker.rpartition(":")[2].isdecimal() and not broker.endswith("]")


# All ways are opened alike; this one has no use for the clock.
def open(end: Endpoint, *, clock: Clock, vetter: Vetter) -> Destination:  # noqa: ARG001
    """A topic; nothing is connected yet. ConfigError when the endpoint cannot be used."""
    # Its lines are not ours, and whatever it complains of ends in the outcome of a send.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
    return KafkaTopic(end, vetter)


class KafkaTopic:
    """One record an event, keyed by its subject so that a subject's events stay in order in one partition.

    Headers are ``webhook-id`` and ``type``, and ``webhook-timestamp`` and ``webhook-signature`` where the endpoint has a secret (Standard
    Webhooks 1.0). Written with ``acks=all`` by an idempotent producer (KIP-98); a batch is acknowledged by all partitions it went to, or failed.
    """

    def __init__(self, end: Endpoint, vetter: Vetter) -> None:
        place = f"endpoints.{end.name}"
        self._end = end
        self._topic = topic_of(end.url, place=f"{place}.url")
        self._login = trust.credentials(end, encrypted=self._topic.encrypted)
        self._context = trust.context(end.auth, place=f"{place}.auth") if self._topic.encrypted else None
        self._stamp = Stamp(end)
        self._vetter = vetter
        self._sends = faults.Sends()
        self._opening = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._letting_go: set[asyncio.Task[None]] = set()
        self._strayed: Unfit | None = None

    async def send(self, messages: Sequence[Message], *, now: int) -> Tried:
        """See ``Destination.send``."""
        used: list[AIOKafkaProducer] = []
        tried = await self._sends.within(self._end.timeout, self._send(messages, now, used))
        if tried.ok or self._sends.closed:
            return tried
        # A producer that failed once has lost count of its sequence; one that timed out would still deliver what is tried again later.
        if used and used[0] is self._producer:
            self._producer = None
            self._let_go(used[0])
        return await self._explained(tried)

    async def close(self) -> None:
        """See ``Destination.close``."""
        await self._sends.close()
        producer, self._producer = self._producer, None
        if producer is not None:
            self._let_go(producer)
        while self._letting_go:
            await asyncio.wait(self._letting_go)

    # ------------------------------------------------------------------ sending
    async def _send(self, messages: Sequence[Message], now: int, used: list[AIOKafkaProducer]) -> Tried:
        records = [self._record(message, now) for message in messages]
        try:
            producer = await self._started()
            if isinstance(producer, Unfit):
                return faults.unfit(producer)
            used.append(producer)
            acks = [await producer.send(self._topic.name, **record) for record in records]
            await asyncio.gather(*acks)
        except (KafkaError, OSError, EOFError) as error:
            return tried_of(error)
        except faults.NONSENSE as error:
            return faults.nonsense(error)
        return Tried(status=200)

    def _record(self, message: Message, now: int) -> dict[str, Any]:
        headers = [("webhook-id", message.id.encode()), ("type", message.type.encode())]
        stamp = self._stamp.of(message, now)
        if stamp is not None:
            headers += [("webhook-timestamp", stamp[0].encode()), ("webhook-signature", stamp[1].encode())]
        return {
            "value": message.body,
            "key": message.subject.encode(),
            "headers": headers,
            "timestamp_ms": message.at // 1000,
        }

    async def _started(self) -> AIOKafkaProducer | Unfit:
        async with self._opening:
            if self._producer is not None:
                return self._producer
            self._strayed = None
            brokers = await self._brokers()
            if isinstance(brokers, Unfit):
                return brokers
            producer = AIOKafkaProducer(
                bootstrap_servers=brokers,
                acks="all",
                enable_idempotence=True,
                max_request_size=MOST,
                max_batch_size=_BATCH,
                request_timeout_ms=max(1, int(self._end.timeout * 1000)),
                **self._wire(),
            )
            guard(producer.client, self._vet_broker)
            try:
                await producer.start()
                self._producer = producer
            finally:
                if self._producer is None:
                    self._let_go(producer)
            return producer

    def _wire(self) -> dict[str, Any]:
        layer = "SSL" if self._topic.encrypted else "PLAINTEXT"
        if self._login is None:
            return {"security_protocol": layer, "ssl_context": self._context}
        user, password = self._login
        return {
            "security_protocol": f"SASL_{layer}",
            "ssl_context": self._context,
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": user,
            "sasl_plain_password": password,
        }

    # ------------------------------------------------------------------ where to
    async def _brokers(self) -> list[str] | Unfit:
        found = []
        refused: Unfit | None = None
        for broker in self._topic.brokers:
            where = await self._vet(broker)
            if isinstance(where, Vetted):
                found += self._targets(where, broker)
            elif where.error == "address":
                return where
            else:
                refused = where
        return found or refused or Unfit("dns", "no broker is named")

    async def _vet(self, broker: str) -> Vetted | Unfit:
        return await self._vetter.vet(f"kafka://{broker}", allow_private=self._end.allow_private)

    async def _vet_broker(self, host: str, port: int) -> str | None:
        """Where a broker that the cluster named may be reached; None when it may not."""
        where = await self._vet(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if isinstance(where, Unfit):
            self._strayed = where
            return None
        return host if self._topic.encrypted else where.address

    def _targets(self, where: Vetted, broker: str) -> list[str]:
        # Over TLS the certificate proves the name, wherever that leads by then. Without, a vetted address is the one connected to.
        if self._topic.encrypted:
            return [broker]
        port = broker.rpartition(":")[2]
        return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in (where.address, *where.others)]

    # ------------------------------------------------------------------ when it failed
    async def _explained(self, tried: Tried) -> Tried:
        """The producer says only that nobody could be reached, or that time ran out. One connection of our own says why."""
        if self._strayed is not None:
            return faults.unfit(self._strayed)
        if tried.error not in ("network", "timeout"):
            return tried
        why = await self._why()
        return tried if why is None else why

    async def _why(self) -> Tried | None:
        brokers = await self._brokers()
        if isinstance(brokers, Unfit):
            return faults.unfit(brokers)
        host, _, port = brokers[0].rpartition(":")
        try:
            async with asyncio.timeout(faults.GRACE):
                wire = await create_conn(host.strip("[]"), int(port), **self._wire())
        except TimeoutError:
            return None
        except (KafkaError, OSError, EOFError) as error:
            found = tried_of(error)
            return None if found.error == "network" else found
        except faults.NONSENSE as error:
            return faults.nonsense(error)
        wire.close()
        return None

    def _let_go(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.get_running_loop().create_task(_ended(producer))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)


def guard(client: AIOKafkaClient, vet: Callable[[str, int], Awaitable[str | None]]) -> None:
    """Let the client connect only where ``vet`` leads. A cluster names its brokers itself, and could name any address inside our network."""
    connect = client._get_conn

    async def vetted(node: Any, **how: Any) -> Any:
        broker = client.cluster.broker_metadata(node)
        if broker is not None:
            address = await vet(broker.host, broker.port)
            if address is None:
                return None
            if address != broker.host:
                client.cluster._brokers[node] = broker._replace(host=address)
        return await connect(node, **how)

    client._get_conn = vetted


async def _ended(producer: AIOKafkaProducer) -> None:
    """Let go of a producer without waiting for a broker that may never answer, as its own ``stop`` would."""
    client, sender, waiting = producer.client, producer._sender, producer._message_accumulator
    client._get_conn = _nobody
    for wire in list(client._conns.values()):
        wire.close()
    if sender.sender_task is not None:
        await sender.close()
        batches = [*waiting._pending_batches, *(one for queue in waiting._batches.values() for one in queue)]
        waiting.fail_all(ProducerClosed())
        for batch in batches:
            with contextlib.suppress(ProducerClosed):
                await batch.wait_drain(timeout=0)
    await producer.stop()


async def _nobody(*_: Any, **__: Any) -> None:
    """No connection to any broker."""


def tried_of(error: KafkaError | OSError | EOFError) -> Tried:
    """The one door of aiokafka's exceptions."""
    for cause in faults.chain(error):
        if isinstance(cause, _AUTH):
            return faults.said("auth", repr(error))
        if isinstance(cause, (KafkaTimeoutError, RequestTimedOutError)):
            return faults.said("timeout", repr(error))
        # Too large, too few replicas, no such topic: the broker is there and says no.
        if isinstance(cause, BrokerResponseError):
            return faults.said("refused", repr(error))
    return faults.of(error)
