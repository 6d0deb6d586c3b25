"""Is this really from the gateway, and from now? Standard Webhooks 1.0, symmetric scheme ``v1``. Pure.

The signed text is ``{webhook-id}.{webhook-timestamp}.{body}``; a signature is ``v1,`` and the base64 of its HMAC-SHA256. The header
carries several, separated by spaces, while the sender changes secrets; the receiver keeps several secrets for the same reason.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from gateway.clock import SECOND
from gateway.errors import ConfigError

TOLERANCE = 300
_PREFIX = "whsec_"
# No dot: with one, a forger could move the border between id, timestamp and body without touching the signed text.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_ENTRY = re.compile(r"([a-zA-Z0-9]{1,8}),([!-~]*)", re.ASCII)
_MOST_ENTRIES = 16


class Reason(Enum):
    """Why a delivery was refused."""

    MISSING = "missing"
    MALFORMED = "malformed"
    STALE = "stale"
    SIGNATURE = "signature"


class Refused(msgspec.Struct, frozen=True):
    """Not believed."""

    reason: Reason


class Verified(msgspec.Struct, frozen=True):
    """Genuine. ``id`` is the same on every retry; ``sent`` is the attempt's time in seconds."""

    id: str
    sent: int


def key(secret: str) -> bytes:
    """The HMAC key of ``whsec_<base64>``; the prefix and the padding may be missing. ConfigError when there is nothing to sign with."""
    text = secret.strip().removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError("a webhook secret is not base64", remedy="copy it whole, from whsec_ to its end") from exc
    if not raw:
        raise ConfigError(
            "a webhook secret is empty", remedy="hand over the secret the gateway showed for this endpoint"
        )
    return raw


def verify(headers: Mapping[str, str], body: bytes, *, keys: Sequence[bytes], now: int) -> Verified | Refused:
    """``headers`` have lower-case names, ``body`` is exactly what was received, ``now`` is microseconds.

    Any signature that any key made is enough; schemes other than ``v1`` are passed over. An entry that is not ``scheme,signature``
    refuses the whole delivery.
    """
    given = [headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")]
    if not all(given):
        return Refused(Reason.MISSING)
    name, timestamp, signatures = given
    entries = [_ENTRY.fullmatch(entry) for entry in signatures.split(" ") if entry]
    if not _ID.fullmatch(name) or not _TIMESTAMP.fullmatch(timestamp):
        return Refused(Reason.MALFORMED)
    if not entries or len(entries) > _MOST_ENTRIES or None in entries:
        return Refused(Reason.MALFORMED)
    if abs(now // SECOND - int(timestamp)) > TOLERANCE:
        return Refused(Reason.STALE)
    claimed = [entry[2].encode() for entry in entries if entry and entry[1] == "v1"]
    if not _signed(claimed, f"{name}.{timestamp}.".encode() + body, keys):
        return Refused(Reason.SIGNATURE)
    return Verified(name, int(timestamp))


def _signed(claimed: Sequence[bytes], content: bytes, keys: Sequence[bytes]) -> bool:
    made = [base64.b64encode(hmac.digest(each, content, hashlib.sha256)) for each in keys]
    # Every pair is compared, so that the time taken does not tell which secret or entry came close.
    return sum(hmac.compare_digest(one, other) for one in made for other in claimed) > 0
