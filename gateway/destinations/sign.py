"""Standard Webhooks 1.0 signatures (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md)."""

import base64
import binascii
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import ConfigError
from gateway.model.mac import Mac
from gateway.model.secret import Secret

PREFIX = "whsec_"
PRIVATE = "whsk_"
PUBLIC = "whpk_"


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


def private_key_of(key: Secret, *, place: str = "") -> Ed25519PrivateKey:
    """The Ed25519 key of ``whsk_`` and base64 of seed and public key, 64 bytes. ConfigError otherwise, also when the two do not belong together."""
    text = key.reveal()
    try:
        both = base64.b64decode(text.removeprefix(PRIVATE), validate=True)
    except (binascii.Error, ValueError):
        both = b""
    if not text.startswith(PRIVATE) or len(both) != 64:
        raise ConfigError(
            "is no private signing key",
            place=place,
            remedy="whsk_ followed by base64 of 32 bytes of seed and 32 of public key",
        )
    private = Ed25519PrivateKey.from_private_bytes(both[:32])
    if private.public_key().public_bytes_raw() != both[32:]:
        raise ConfigError("holds a public key that is not its seed's", place=place)
    return private


def private_of(seed: bytes) -> str:
    """A new ``whsk_`` text from 32 random bytes."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return PRIVATE + base64.b64encode(seed + public).decode()


def public_of(key: Secret) -> str:
    """The ``whpk_`` text that verifies what this ``whsk_`` signs: no secret. ConfigError for what is none."""
    public = private_key_of(key).public_key().public_bytes_raw()
    return PUBLIC + base64.b64encode(public).decode()


def signature(
    macs: Sequence[Mac], message: str, timestamp: int, body: bytes, keys: Sequence[Ed25519PrivateKey] = ()
) -> str:
    """The ``webhook-signature`` header: one ``v1,`` entry per secret, then one ``v1a,`` per key, space-separated. ``timestamp`` is unix seconds."""
    content = f"{message}.{timestamp}.".encode() + body
    entries = ["v1," + base64.b64encode(mac.digest(content)).decode() for mac in macs]
    entries += ["v1a," + base64.b64encode(key.sign(content)).decode() for key in keys]
    return " ".join(entries)
