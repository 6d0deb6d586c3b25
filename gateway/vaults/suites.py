"""The two suites that things are sealed with. The home of sealing with ``cryptography``.

======  =======================================  =====================================  ==============================
suite   cipher                                   keyed hash (nonces, records' keys)     from envelope keys
======  =======================================  =====================================  ==============================
aes     AES-256-GCM (NIST SP 800-38D)            BLAKE2b-256, keyed (RFC 7693)          HKDF-SHA256 (RFC 5869)
gm      SM4-GCM (GB/T 32907, RFC 8998 §2.1)      HMAC-SM3 (GB/T 32905)                  HKDF over HMAC-SM3
======  =======================================  =====================================  ==============================
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE = 12
TAG = 16
_BEGINNINGS = 1024

ALTERED = (InvalidTag, ValueError)
"""What ``Cipher.decrypt`` raises when anything that went in is not what was sealed."""


class Cipher(Protocol):
    """Authenticated encryption under one key. The tag stands behind the ciphertext."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Ciphertext and tag. A nonce of 12 bytes is used for one plaintext only."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """The plaintext; one of ``ALTERED`` otherwise."""
        ...


Mac = Callable[[bytes], bytes]
"""32 bytes that only the key's holder can tell."""


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """``letter`` stands in key names; ``cipher`` and ``mac`` take a key of ``size`` and 32 bytes."""

    name: str
    letter: str
    size: int
    cipher_name: str
    mac_name: str
    cipher: Callable[[bytes], Cipher]
    mac: Callable[[bytes], Mac]
    hash: Callable[[], hashes.HashAlgorithm]

    def derive(self, master: bytes, purpose: str, length: int) -> bytes:
        """The key for ``purpose`` that an envelope key stands for."""
        info = f"scrm-gateway {purpose}".encode()
        return HKDF(algorithm=self.hash(), length=length, salt=None, info=info).derive(master)


class _Sm4Gcm:
    """The library has no one-call form of it."""

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """See ``Cipher.encrypt``."""
        sealing = _Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        sealing.authenticate_additional_data(associated_data)
        return sealing.update(data) + sealing.finalize() + sealing.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """See ``Cipher.decrypt``."""
        opening = _Cipher(self._algorithm, modes.GCM(nonce, data[-TAG:])).decryptor()
        opening.authenticate_additional_data(associated_data)
        return opening.update(data[:-TAG]) + opening.finalize()


def _blake2b(key: bytes) -> Mac:
    # Copying a keyed state is half the price of keying a new one.
    copy = hashlib.blake2b(key=key, digest_size=32).copy

    def mac(data: bytes) -> bytes:
        state = copy()
        state.update(data)
        return state.digest()

    return mac


def _hmac_sm3(key: bytes) -> Mac:
    copy = HMAC(key, hashes.SM3()).copy

    def mac(data: bytes) -> bytes:
        state = copy()
        state.update(data)
        return state.finalize()

    return mac


class Index:
    """Hashes to look things up by, the same in every suite: BLAKE2b-128 (RFC 7693), keyed, over parts, each behind its length."""

    __slots__ = ("_keyed", "_ready")

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=16)
        self._ready: dict[tuple[str, ...], hashlib.blake2b] = {}

    def hash(self, parts: tuple[str, ...]) -> bytes:
        """16 bytes."""
        # All hashes of an account and topic begin alike: that much of them is made once.
        before = parts[:-1]
        state = (self._ready.get(before) or self._begin(before)).copy()
        for last in parts[-1:]:
            state.update(_measured(last))
        return state.digest()

    def _begin(self, before: tuple[str, ...]) -> "hashlib.blake2b":
        if len(self._ready) >= _BEGINNINGS:
            self._ready.clear()
        state = self._keyed.copy()
        for part in before:
            state.update(_measured(part))
        self._ready[before] = state
        return state


def _measured(part: str) -> bytes:
    raw = part.encode()
    return len(raw).to_bytes(4, "big") + raw


AES = Suite(
    name="aes", letter="a", size=32, cipher_name="aes-256-gcm", mac_name="blake2b",
    cipher=AESGCM, mac=_blake2b, hash=hashes.SHA256,
)  # fmt: skip
GM = Suite(
    name="gm", letter="g", size=16, cipher_name="sm4-gcm", mac_name="hmac-sm3",
    cipher=_Sm4Gcm, mac=_hmac_sm3, hash=hashes.SM3,
)  # fmt: skip

SUITES: Mapping[str, Suite] = {suite.name: suite for suite in (AES, GM)}
