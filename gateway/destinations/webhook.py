"""Events as signed HTTP requests: Standard Webhooks 1.0."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway import clock as time
from gateway.clock import SECOND, Clock
from gateway.destination import Auth, Endpoint, Message, Tried
from gateway.destinations import sign
from gateway.destinations.address import Vetter
from gateway.destinations.oauth import Tokens
from gateway.destinations.post import Post, Trust
from gateway.errors import ConfigError
from gateway.model.mac import Mac

_PEM = "-----BEGIN "


def envelope(messages: Sequence[Message]) -> tuple[str, bytes]:
    """The ``webhook-id`` and the body that carry several events: equal for equal events in equal order.

    ``{"type": "batch", "timestamp": the newest event's, "data": [event, …]}``; each event is as it would travel alone, with its own id.
    """
    name = time.derived_id("bat", messages[0].at, *[one.id for one in messages])
    newest = time.text(max(one.at for one in messages))
    events = b",".join([one.body for one in messages])
    return name, b'{"type":"batch","timestamp":"' + newest.encode() + b'","data":[' + events + b"]}"


class Webhook:
    """One subscriber's address. ConfigError for an endpoint that could not be posted to, or not signed for."""

    def __init__(self, end: Endpoint, *, clock: Clock, vetter: Vetter) -> None:
        place = f"endpoints.{end.name}"
        if not end.secrets and not end.keys:
            raise ConfigError(
                "has nothing to sign with",
                place=place,
                remedy="gateway serve makes a secret and shows it, gateway endpoints rotate another",
            )
        self._clock = clock
        self._timeout = end.timeout
        self._macs = [Mac(sign.key_of(one, place=f"{place}.secret")) for one in end.secrets]
        self._keys = [sign.private_key_of(one, place=f"{place}.private_key") for one in end.keys]
        # Ours stand last: what a subscriber asked to be sent along may not replace them.
        self._headers = {name.lower(): value for name, value in (*end.headers, *_proof(end.auth))}
        try:
            self._post = Post(
                end.url, clock=clock, vetter=vetter, allow_private=end.allow_private, idle=end.concurrency, trust=_trust(end.auth)
            )  # fmt: skip
            self._tokens = (
                Tokens(end.auth, clock=clock, vetter=vetter, allow_private=end.allow_private, timeout=end.timeout)
                if end.auth.kind == "oauth2"
                else None
            )
        except ConfigError as error:
            raise ConfigError(error.detail, place=place, remedy=error.remedy) from error

    async def send(self, messages: Sequence[Message], *, now: int) -> Tried:
        """See ``Destination.send``. One event is posted as it is, several in an ``envelope``."""
        name, body = (messages[0].id, messages[0].body) if len(messages) == 1 else envelope(messages)
        seconds = now // SECOND
        headers = {
            **self._headers,
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign.signature(self._macs, name, seconds, body, self._keys),
        }
        if self._tokens is None:
            return await self._post.post(body, headers, timeout=self._timeout)
        return await self._with_token(self._tokens, body, headers)

    async def _with_token(self, tokens: Tokens, body: bytes, headers: Mapping[str, str]) -> Tried:
        """A token that the endpoint refuses may have been taken back before its time: one more is asked for, and no more than one."""
        ends = self._clock.monotonic() + self._timeout
        tried = Tried(error="timeout")
        for again in (False, True):
            left = ends - self._clock.monotonic()
            header = await tokens.header(timeout=left)
            left = ends - self._clock.monotonic()
            if isinstance(header, Tried) or left <= 0:
                return header if isinstance(header, Tried) else tried
            tried = await self._post.post(body, {**headers, "authorization": header}, timeout=left)
            if tried.status != 401 or again:
                return tried
            tokens.spoil(header)
        return tried

    async def close(self) -> None:
        """See ``Destination.close``."""
        if self._tokens is not None:
            await self._tokens.close()
        await self._post.close()


def _proof(auth: Auth) -> list[tuple[str, str]]:
    """The header that a fixed credential makes."""
    password = auth.password.reveal() if auth.password else ""
    if auth.kind == "basic":
        # RFC 7617 §2.1: UTF-8, as nearly every server reads it.
        return [("authorization", "Basic " + base64.b64encode(f"{auth.username}:{password}".encode()).decode())]
    return [("authorization", f"Bearer {password}")] if auth.kind == "bearer" else []


def _trust(auth: Auth) -> Trust | None:
    """The PEM that this endpoint needs; None for the plain case."""
    if auth.kind != "mtls" and not auth.authority:
        return None
    key = auth.password.reveal().encode() if auth.kind == "mtls" and auth.password else b""
    chain = _pem(auth.certificate) if auth.kind == "mtls" else b""
    return Trust(identity=chain + b"\n" + key if chain else b"", authority=_pem(auth.authority))


def _pem(given: str) -> bytes:
    """PEM text itself, or the file's."""
    if not given or given.startswith(_PEM):
        return given.encode()
    try:
        return Path(given).read_bytes()
    except OSError as error:
        raise ConfigError(f"{given} cannot be read: {error.strerror}") from error
