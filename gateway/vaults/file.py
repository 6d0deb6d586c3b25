"""Keys in one file on this machine, for the profile that needs no servers. The home of sealing with ``cryptography``.

The file is JSON, mode 0600, and holds numbered envelope keys and one index key::

    {"version": 1, "current": "k2", "index": "<base64>",
     "keys": [{"id": "k1", "created": "2026-11-11T00:01:23.000000Z", "master": "<base64>"}, …]}

An envelope key is never used itself: HKDF-SHA256 (RFC 5869) derives from it one AES-256-GCM key for payloads, one for fields, and one
BLAKE2b key for field nonces. The index key feeds ``blind`` and never rotates, because looking up by it would find nothing afterwards.

A field's nonce is a keyed hash of what it seals, which makes equal fields equal tokens and makes nonce reuse a 96-bit collision;
payload nonces are random. Both stay far below GCM's bounds (NIST SP 800-38D §8.3) up to 2³² seals of one key: rotate before that.
"""

import binascii
import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway import clock
from gateway.errors import ConfigError, KeyMissing, Tampered
from gateway.model.values import Sensitivity

_NONCE = 12
_KEY_ID = re.compile(r"k[1-9]\d{0,5}\Z", re.ASCII)
_FORMAT = 1
_URL = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"===", b"==", b"=")
# The class's own bytes, spared a property look-up and an encoding on every seal.
_CLASS = {sensitivity: f"{sensitivity.value}:" for sensitivity in Sensitivity}


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told about a key. ``created`` is 27-character text."""

    id: str
    created: str
    current: bool


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: str
    master: bytes


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    current: str
    index: bytes
    keys: tuple[_Entry, ...]


class _Key:
    """One envelope key, ready for use."""

    __slots__ = ("field", "head", "id", "nonce", "payload")

    def __init__(self, entry: _Entry) -> None:
        self.id = entry.id
        self.head = bytes([_FORMAT, len(entry.id)]) + entry.id.encode()
        self.payload = AESGCM(_derive(entry.master, b"scrm-gateway payload aes-256-gcm"))
        self.field = AESGCM(_derive(entry.master, b"scrm-gateway field aes-256-gcm"))
        self.nonce = hashlib.blake2b(key=_derive(entry.master, b"scrm-gateway field nonce blake2b"), digest_size=32)


class FileVault:
    """See ``gateway.vault.Vault``. Safe to use from several threads.

    A key that another process has added since is found when something sealed by it is opened; sealing goes on with the key that was
    current when this vault last read its file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, _Key] = {}
        self._read_as: tuple[int, int] = (0, 0)
        self._load()

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """See ``Vault.seal``. Layout: format byte, length and text of the key id, nonce, ciphertext and tag."""
        key = self._current
        nonce = clock.random_bytes(_NONCE)
        return b"".join((key.head, nonce, key.payload.encrypt(nonce, plaintext, context)))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """See ``Vault.open``."""
        start = 2 + sealed[1] if len(sealed) > 2 else 0
        if not start or sealed[0] != _FORMAT or len(sealed) < start + _NONCE + 16:
            raise Tampered("a sealed payload is cut short or of an unknown format")
        key = self._key(sealed[2:start].decode("ascii", "replace"))
        return _decrypt(key.payload, sealed[start : start + _NONCE], sealed[start + _NONCE :], context)

    def seal_text(self, value: str, context: str, sensitivity: Sensitivity) -> str:
        """See ``Vault.seal_text``. Associated data: ``<class>:<context>``."""
        key = self._current
        bound = (_CLASS[sensitivity] + context).encode()
        plaintext = value.encode()
        mac = key.nonce.copy()
        mac.update(len(bound).to_bytes(4, "big") + bound + plaintext)
        nonce = mac.digest()[:_NONCE]
        data = _encode(nonce + key.field.encrypt(nonce, plaintext, bound))
        return f"{key.id}.{sensitivity._value_}.{data}"

    def open_text(self, token: str, context: str) -> str:
        """See ``Vault.open_text``."""
        parts = token.split(".")
        if len(parts) != 3:
            raise Tampered("a sealed text is not of the form key.class.data")
        key = self._key(parts[0])
        raw = _decode(parts[2])
        bound = f"{parts[1]}:{context}".encode()
        return _decrypt(key.field, raw[:_NONCE], raw[_NONCE:], bound).decode()

    def blind(self, *parts: str) -> bytes:
        """See ``Vault.blind``. BLAKE2b keyed with the index key, over the parts, each behind its length."""
        mac = self._index.copy()
        for part in parts:
            raw = part.encode()
            mac.update(len(raw).to_bytes(4, "big") + raw)
        return mac.digest()

    def _key(self, key_id: str) -> _Key:
        found = self._keys.get(key_id)
        if found is None and not _KEY_ID.match(key_id):
            raise Tampered("a sealed value names an impossible key")
        if found is None and self._changed():
            self._load()
            found = self._keys.get(key_id)
        if found is None:
            raise KeyMissing(f"key {key_id} is not in the vault", place=str(self._path))
        return found

    def _changed(self) -> bool:
        # An unknown key id costs one stat, so that a flood of forged ones does not become a flood of reads.
        with contextlib.suppress(OSError):
            return self._read_as != _mark(self._path)
        return False

    def _load(self) -> None:
        self._read_as = _mark(self._path)
        kept = _read(self._path)
        known = self._keys
        self._keys = {entry.id: known.get(entry.id) or _Key(entry) for entry in kept.keys}
        self._current = self._keys[kept.current]
        self._index = hashlib.blake2b(key=_derive(kept.index, b"scrm-gateway index blake2b"), digest_size=16)


def open_vault(path: Path) -> FileVault:
    """The vault in ``path``, made with a first key when there is none. ConfigError when it cannot be used or others may read it."""
    path = Path(path)
    try:
        if not path.exists():
            _first(path)
        return FileVault(path)
    except OSError as fault:
        raise ConfigError(f"the key file cannot be used: {fault.strerror}", place=str(path)) from fault


def rotate(path: Path) -> str:
    """Add a key and make it current; what older ones sealed still opens. Returns its id. Running processes follow at their next start,
    or when they first meet the new key. ConfigError when the file cannot be read or written."""
    path = Path(path)
    try:
        with _alone(path):
            kept = _read(path)
            entry = _fresh(f"k{1 + max(int(entry.id[1:]) for entry in kept.keys)}")
            _write(path, msgspec.structs.replace(kept, current=entry.id, keys=(*kept.keys, entry)))
    except OSError as fault:
        raise ConfigError(f"the key file cannot be changed: {fault.strerror}", place=str(path)) from fault
    return entry.id


def listing(path: Path) -> tuple[Listed, ...]:
    """The keys of ``path``, oldest first, without their material. ConfigError when it cannot be read."""
    try:
        kept = _read(Path(path))
    except OSError as fault:
        raise ConfigError(f"the key file cannot be read: {fault.strerror}", place=str(path)) from fault
    return tuple(Listed(id=entry.id, created=entry.created, current=entry.id == kept.current) for entry in kept.keys)


# ---------------------------------------------------------------------- the file
def _first(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        # Another process may have made it while this one waited for the lock.
        if not path.exists():
            entry = _fresh("k1")
            _write(path, _File(version=1, current=entry.id, index=os.urandom(32), keys=(entry,)))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the one lock under which a key file is made or changed."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, kept: _File) -> None:
    # mkstemp gives 0600 from the first byte on; the rename makes a reader see the old file or the new one.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> _File:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError("the key file can be read by others", place=str(path), remedy=f"chmod 600 {path}")
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.MsgspecError as fault:
        # The library's own message may quote a value of the file.
        raise ConfigError(
            "the key file is not of the form that gateway keys init makes", place=str(path)
        ) from fault.__cause__
    ids = [entry.id for entry in kept.keys]
    sizes = {len(kept.index), *(len(entry.master) for entry in kept.keys)}
    if kept.version != 1 or sizes != {32} or kept.current not in ids or not all(map(_KEY_ID.match, ids)):
        raise ConfigError("the key file is of another version, or a key in it is damaged", place=str(path))
    return kept


def _fresh(key_id: str) -> _Entry:
    return _Entry(id=key_id, created=clock.text(clock.SystemClock().now()), master=os.urandom(32))


def _mark(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


# ---------------------------------------------------------------------- bytes and text
def _derive(master: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(master)


def _decrypt(key: AESGCM, nonce: bytes, ciphertext: bytes, bound: bytes) -> bytes:
    try:
        return key.decrypt(nonce, ciphertext, bound)
    except (InvalidTag, ValueError) as fault:
        raise Tampered("a sealed value was altered, or belongs to another record or field") from fault


def _encode(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).translate(_URL, b"=").decode()


def _decode(data: str) -> bytes:
    try:
        raw = binascii.a2b_base64(data.encode("ascii").translate(_STANDARD) + _PADDING[len(data) % 4])
    except ValueError as fault:
        raise Tampered("a sealed text is not base64url") from fault
    # The decoder skips what it does not know and ignores spare bits; one token must have one spelling.
    if _encode(raw) != data:
        raise Tampered("a sealed text is not base64url")
    return raw
