"""Where a delivery goes: what every kind of endpoint promises, whatever it speaks.

A destination takes finished bytes and says what became of them. It never retries, never reorders and keeps nothing: that is the deliverer's.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from gateway.model.secret import Secret
from gateway.model.values import Sensitivity


class Kind(Enum):
    """What an endpoint speaks."""

    WEBHOOK = "webhook"
    KAFKA = "kafka"
    REDIS = "redis"
    EMAIL = "email"
    POLL = "poll"


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway proves itself beyond signing. ``kind`` is none, basic, bearer, oauth2 or mtls; only the fields of that kind are set.

    ``basic``: username, password (Kafka: SASL/PLAIN; e-mail: SMTP AUTH). ``bearer``: password is the token. ``oauth2``: RFC 6749 §4.4 at
    ``token_url`` with client_id, password and scope. ``mtls``: ``certificate`` is a PEM file of the chain, ``password`` the PEM of the key;
    ``authority`` is a PEM file of a private authority, with any kind: brokers and mail servers trust it instead of the public ones, webhooks beside
    them. For a webhook both may be PEM text itself.
    """

    kind: str = "none"
    username: str = ""
    password: Secret | None = None
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    certificate: str = ""
    authority: str = ""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A subscriber's address and what it asked for.

    ``events`` are types, ``*`` stands for one or more whole words at the end (``order.*``, ``*``). ``secrets`` sign with HMAC, ``keys`` with
    Ed25519, newest first; ``whsec_`` and ``whsk_`` text. ``grants`` say per class what this endpoint sees: clear, mask, token, seal or drop;
    ``recipient`` is the JWK (JSON text) to seal to. ``schedule`` are the waits in seconds before each attempt. ``timeout`` and ``linger`` in
    seconds: ``linger`` is how long a batch of at most ``batch`` events may wait to fill. ``rate`` in sends per second, 0 for no limit.
    ``disable_after`` seconds of nothing but failures; 0 never. ``unit`` and ``filter`` (CEL) narrow what is matched. ``version`` tells two
    states of one endpoint apart.
    """

    name: str
    url: str
    kind: Kind = Kind.WEBHOOK
    events: tuple[str, ...] = ("*",)
    secrets: tuple[Secret, ...] = ()
    keys: tuple[Secret, ...] = ()
    grants: Mapping[Sensitivity, str]
    recipient: str = ""
    ordered: bool = True
    timeout: float = 15.0
    concurrency: int = 32
    schedule: tuple[float, ...]
    allow_private: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    unit: str | None = None
    filter: str = ""
    rate: float = 0.0
    burst: float = 0.0
    batch: int = 1
    linger: float = 0.0
    disable_after: float = 432_000.0
    auth: Auth = Auth()
    to: tuple[str, ...] = ()
    sender: str = ""
    paused: bool = False
    version: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event, ready to leave: ``body`` is exactly what this endpoint may see. ``at`` is the event's instant, microseconds."""

    id: str
    type: str
    subject: str
    at: int
    body: bytes


class Tried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an attempt came to: ``status`` of the answer (protocols without one say 200 for accepted) or ``error``, a stable word.

    ``ours`` marks a fault on our side of the wire (no route, no resolver, no file descriptors): it says nothing of the endpoint and costs it no
    retry. ``response`` is the first bytes of what came back.
    """

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    response: bytes = b""
    ours: bool = False

    @property
    def ok(self) -> bool:
        """2xx and nothing else; a redirect is a failure (Standard Webhooks)."""
        return self.status is not None and 200 <= self.status < 300


class Destination(Protocol):
    """One endpoint's open connection, pool or client."""

    async def send(self, messages: Sequence[Message], *, now: int) -> Tried:
        """All of ``messages`` (never none, at most the endpoint's ``batch``), or none of them: one outcome for all.

        Never raises for what the far side or the network can do, and ends within the endpoint's ``timeout`` and a second. ``now`` is the
        instant of the attempt, microseconds. Order among messages is kept.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. A send under way may fail."""
        ...
