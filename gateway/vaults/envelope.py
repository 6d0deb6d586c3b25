"""An envelope key made ready: ciphers for payloads and texts, and the keys that it makes with records' own secrets."""

from collections.abc import Callable
from typing import TypeVar

from gateway.vaults.suites import AES, Cipher, Mac, Suite

FORMAT = 1
"""The first byte of a sealed payload."""

# Keys of records stay ready for a few batches: some 3 KB each.
_READY = 1024
_V = TypeVar("_V")


class Sealer:
    """A cipher for texts, with the hash that gives its nonces. ``name`` is what its tokens begin with."""

    __slots__ = ("_mac", "_make", "decrypt", "encrypt", "name")

    def __init__(self, name: str, cipher: Cipher, make: Callable[[], Mac]) -> None:
        self.name = name
        self.encrypt = cipher.encrypt
        self.decrypt = cipher.decrypt
        self._make = make
        self._mac: Mac | None = None

    @property
    def mac(self) -> Mac:
        """Made when it is first asked for: opening does without, and most records are only opened."""
        if self._mac is None:
            self._mac = self._make()
        return self._mac


class Recent(dict[str, _V]):
    """Remembers between ``most`` and twice as many, those used last. Itself holds the younger half."""

    __slots__ = ("_most", "_older")

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._older: dict[str, _V] = {}

    def again(self, key: str) -> _V | None:
        """What was put under ``key``, kept for longer because it was asked for; ``get`` asks the younger half only."""
        found = self.get(key)
        if found is None and (found := self._older.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: str, value: _V) -> None:
        """Remember ``value``; what was not asked for since twice ``most`` others came is let go."""
        if len(self) >= self._most:
            self._older = self.copy()
            super().clear()
        self[key] = value

    def clear(self) -> None:
        """Both halves."""
        super().clear()
        self._older = {}


class Envelope:
    """One envelope key in one suite, ready for use."""

    def __init__(self, key_id: str, master: bytes, suite: Suite) -> None:
        self._suite = suite
        self._mac = suite.mac(suite.derive(master, f"record {suite.mac_name}", 32))
        payload_name = key_id if suite is AES else f"{key_id}{suite.letter}"
        self.head = bytes([FORMAT, len(payload_name)]) + payload_name.encode()
        self.payload = suite.cipher(suite.derive(master, f"payload {suite.cipher_name}", suite.size))
        self.name = f"{key_id}{suite.letter}r"
        self.plain = self._sealer(f"{key_id}{suite.letter}", b"")
        # Not made within: what makes it would keep the master key at hand.
        nonces = suite.mac(suite.derive(master, f"field nonce {suite.mac_name}", 32))
        self.old = Sealer(
            key_id,
            suite.cipher(suite.derive(master, f"field {suite.cipher_name}", suite.size)),
            lambda: nonces,
        )
        self.recent: Recent[Sealer] = Recent(_READY)

    def of(self, secret: bytes) -> Sealer:
        """The sealer of the record with this secret."""
        return self._sealer(self.name, secret)

    def _sealer(self, name: str, secret: bytes) -> Sealer:
        cipher = self._suite.cipher(self._mac(b"cipher:" + secret)[: self._suite.size])
        return Sealer(name, cipher, lambda: self._suite.mac(self._mac(b"nonce:" + secret)))
