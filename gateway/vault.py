"""Keys and sealing: what every way of keeping keys promises, and how a record becomes a sealed body.

A **body** is a record as plain JSON data in which every non-public text is a token ``{"$sealed": "<key id>.<class>.<base64>"}``. It is
the only form in which records and events are stored. A token is bound to its record and field, so it cannot be moved; and equal
text in the same field of the same record seals to the equal token, so that a change is seen without opening anything.
"""

from typing import Protocol

from gateway.model.values import Sensitivity

SEALED = "$sealed"


class Vault(Protocol):
    """Seals, opens, and hashes with keys it never gives away.

    Every sealed thing names the key that sealed it; a key that is gone raises KeyMissing, an altered or moved value Tampered.
    """

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal a payload. ``context`` must be presented again to open; two seals of one payload differ."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The payload again."""
        ...

    def seal_text(self, value: str, context: str, sensitivity: Sensitivity) -> str:
        """``<key id>.<class>.<base64url>``; the same for the same value, context and current key."""
        ...

    def open_text(self, token: str, context: str) -> str:
        """The text again."""
        ...

    def blind(self, *parts: str) -> bytes:
        """16 bytes that are equal for equal parts and tell nothing else: keys to look things up by. Never rotates silently."""
        ...
