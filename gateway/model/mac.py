"""HMAC-SHA256 by one key, many times."""

import hashlib

_BLOCK = 64


class Mac:
    """RFC 2104 from prepared states.

    ``hmac.digest`` lets go of the interpreter's lock for every message, however short, and under load has to wait to get it back; this
    keeps it for messages under 2 KiB, and so is several times as fast there.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        """32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()
