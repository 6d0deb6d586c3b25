"""Who sent this: the four proofs a feed may ask for, as pure functions of a request.

``standard-webhooks`` follows Standard Webhooks 1.0.0, "Signature scheme" (symmetric, ``v1``). ``hmac`` is the hex HMAC-SHA256 of the body in
``x-signature``, with or without ``sha256=`` in front. ``bearer`` is RFC 6750 §2.1. ``none-on-loopback`` asks that the peer be this machine.
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from connectors.feed.options import FeedOptions
from gateway.clock import SECOND
from gateway.connector import Account, Reason, Request
from gateway.errors import ConfigError
from gateway.model.mac import Mac

FILE = "FILE"
FILE_PEER = "file"

_PREFIX = "whsec_"
_MOST_SIGNATURES = 16
# What a proxy or a browser adds: with one of these the request began somewhere else than on this machine.
_FROM_ELSEWHERE = ("forwarded", "x-forwarded-for", "x-real-ip", "origin")


class Fault(msgspec.Struct, frozen=True):
    """Why a request is refused as a whole. ``detail`` is one sentence without payload; ``field`` names a column or a header."""

    reason: Reason
    detail: str
    field: str = ""


Check = Callable[[Request], Fault | None]


def check(account: Account, options: FeedOptions) -> Check:
    """The account's proof. ConfigError when it needs a secret that is missing or cannot be one."""
    place = f"accounts.{account.name}.secret"
    if options.auth == "none-on-loopback":
        return from_loopback
    secrets = options.secret.reveal().split()
    if not secrets:
        raise ConfigError(
            f"auth = {options.auth} needs a secret", place=place, remedy="set it to env:NAME or file:/path"
        )
    if options.auth == "standard-webhooks":
        return standard_webhooks([webhook_key(secret, place) for secret in secrets], account.tolerance)
    keys = [secret.encode() for secret in secrets]
    return body_hmac(keys) if options.auth == "hmac" else bearer(keys)


def webhook_key(secret: str, place: str = "") -> bytes:
    """The key in ``whsec_`` + base64; padding may be missing. ConfigError when it is empty or not base64."""
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(
            "the secret is not base64", place=place, remedy="whsec_ and base64 of 24 to 64 bytes"
        ) from error
    if not key:
        raise ConfigError("the secret is empty", place=place, remedy="whsec_ and base64 of 24 to 64 bytes")
    return key


def webhook_signature(key: bytes, message: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and the base64 HMAC-SHA256 of ``message.timestamp.body``."""
    return "v1," + base64.b64encode(_signed(key, message, timestamp, body)).decode()


def body_signature(key: bytes, body: bytes) -> str:
    """What ``x-signature`` says: ``sha256=`` and the hex HMAC-SHA256 of the body."""
    return "sha256=" + hmac.digest(key, body, "sha256").hex()


def standard_webhooks(keys: Sequence[bytes], tolerance: float | None) -> Check:
    """Any one ``v1`` signature by any one key is enough; entries of other versions and malformed ones are passed over."""
    # Counted in microseconds both ways: a clock ahead of ours is as suspect as an old capture.
    most = None if tolerance is None else int(tolerance * SECOND)
    macs = [Mac(key) for key in keys]

    def verify(request: Request) -> Fault | None:
        headers = request.headers
        message, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
        signatures = headers.get("webhook-signature")
        if not (message and timestamp and signatures):
            return Fault(Reason.CREDENTIALS, "a Standard Webhooks header is missing")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return Fault(Reason.SIGNATURE, "webhook-timestamp is not a number of seconds")
        if most is not None and abs(request.received_at - int(timestamp) * SECOND) > most:
            return Fault(Reason.STALE, "webhook-timestamp is outside the tolerance")
        given = _bytes(signatures).split(b" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]
        signed = _bytes(f"{message}.{timestamp}.") + request.body
        for mac in macs:
            expected = b"v1," + binascii.b2a_base64(mac.digest(signed), newline=False)
            if _any_equal(expected, given):
                return None
        return Fault(Reason.SIGNATURE, "no signature matches")

    return verify


def body_hmac(keys: Sequence[bytes]) -> Check:
    """Hex in either case. It carries no time: a replay is recognised by its content only."""

    def verify(request: Request) -> Fault | None:
        given = request.headers.get("x-signature")
        if not given:
            return Fault(Reason.CREDENTIALS, "x-signature is missing")
        digest = [_bytes("sha256=" + given.lower().removeprefix("sha256="))]
        for key in keys:
            if _any_equal(body_signature(key, request.body).encode(), digest):
                return None
        return Fault(Reason.SIGNATURE, "x-signature does not match")

    return verify


def bearer(keys: Sequence[bytes]) -> Check:
    """``Authorization: Bearer`` with one of the keys."""

    def verify(request: Request) -> Fault | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Fault(Reason.CREDENTIALS, "a bearer key is missing")
        given = _bytes(token.strip())
        if any([hmac.compare_digest(key, given) for key in keys]):  # noqa: C419  every key is compared, whichever matches
            return None
        return Fault(Reason.SIGNATURE, "the bearer key is another")

    return verify


def from_loopback(request: Request) -> Fault | None:
    """Only from this machine, and neither through a proxy nor out of a browser's page."""
    if not is_loopback(request.peer):
        return Fault(Reason.PEER, "the peer is not this machine")
    if any(name in request.headers for name in _FROM_ELSEWHERE):
        return Fault(Reason.PEER, "the request came through a proxy or from a browser")
    return None


@lru_cache(maxsize=1024)
def is_loopback(peer: str) -> bool:
    """Whether an address, with or without a port, is this machine's own. Names are not resolved."""
    host = peer[1:].partition("]")[0] if peer.startswith("[") else peer
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _signed(key: bytes, message: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(key, b"%b.%b.%b" % (_bytes(message), timestamp.encode(), body), "sha256")


def _any_equal(expected: bytes, given: Sequence[bytes]) -> bool:
    # Without an early end that timing could show.
    return True in [hmac.compare_digest(expected, one) for one in given]


def _bytes(text: str) -> bytes:
    # A header may hold anything; what cannot be written as UTF-8 cannot match either.
    return text.encode("utf-8", "replace")
