"""The anchor: how far a trail had come, noted outside of it, so that acts cut off at its end are missed."""

import hmac
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway import durable

Keyed = Callable[..., bytes]
"""A keyed hash over texts, such as ``Vault.blind``."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The newest act's number and mac. Number 0 and no mac before the first."""

    number: int = 0
    mac: bytes = b""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: int
    mac: str
    seal: str


class Anchor:
    """One small file, replaced whole: ``{"number": 7, "mac": "<hex>", "seal": "<hex>"}``; the seal is the keyed hash of the other two."""

    def __init__(self, path: Path, keyed: Keyed) -> None:
        self._path = path
        self._keyed = keyed

    def read(self) -> Mark | None:
        """What was noted last; None when the file is gone, or nobody with our key wrote it. OSError when it cannot be read."""
        try:
            noted = msgspec.json.decode(self._path.read_bytes(), type=_File)
            mark = Mark(number=noted.number, mac=bytes.fromhex(noted.mac))
        except (FileNotFoundError, msgspec.MsgspecError, ValueError):
            return None
        return mark if hmac.compare_digest(self._seal(mark).encode(), noted.seal.encode()) else None

    def write(self, mark: Mark) -> None:
        """Durable when this returns; a crash leaves the old one or the new one. OSError when it cannot be written."""
        content = _File(number=mark.number, mac=mark.mac.hex(), seal=self._seal(mark))
        durable.put(self._path, msgspec.json.encode(content) + b"\n")

    def _seal(self, mark: Mark) -> str:
        return self._keyed("audit.anchor", str(mark.number), mark.mac.hex()).hex()
