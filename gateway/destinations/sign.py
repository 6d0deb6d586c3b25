"""Standard Webhooks 1.0 signatures (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md)."""

import base64
import binascii
from collections.abc import Sequence

from gateway.errors import ConfigError
from gateway.model.mac import Mac
from gateway.model.secret import Secret

PREFIX = "whsec_"


def key_of(secret: Secret, *, place: str = "") -> bytes:
    """The signing key of a ``whsec_`` secret: 24 to 64 bytes. ConfigError otherwise."""
    text = secret.reveal().removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(
            "the signing secret is not base64", place=place, remedy="whsec_ followed by base64 of 24 to 64 random bytes"
        ) from error
    if not 24 <= len(key) <= 64:
        raise ConfigError(f"the signing secret has {len(key)} bytes", place=place, remedy="use 24 to 64 random bytes")
    return key


def secret_of(random: bytes) -> str:
    """A new secret's text from random bytes."""
    return PREFIX + base64.b64encode(random).decode()


def signature(macs: Sequence[Mac], message: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header: one ``v1,`` entry per key, space-separated. ``timestamp`` is unix seconds."""
    content = f"{message}.{timestamp}.".encode() + body
    return " ".join(["v1," + base64.b64encode(mac.digest(content)).decode() for mac in macs])
