"""The key file, and the way that needs nothing else: envelope keys in a file on this machine, for its owner only.

The file is JSON, mode 0600, and holds numbered envelope keys and one index key. In the clear it is ::

    {"version": 1, "current": "k2", "index": "<base64>",
     "keys": [{"id": "k1", "created": "2026-11-11T00:01:23.000000Z", "master": "<base64>"}, …]}

Where a hardware module or a key service wraps the keys it is the same with ``"version": 2``, and each key stands as
``{"by": "<wrapping key>", "data": "<base64>", "version": "<of the wrapping key>"}``. What is wrapped is the key's id, a zero byte and the key,
so that no two can be exchanged.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway import clock, durable
from gateway.errors import ConfigError
from gateway.vaults.ring import Key, Listed, Ring, Wrapped, Wrapper, Wrapping
from gateway.vaults.sealing import Sealing

_KEY_ID = re.compile(r"k[1-9]\d{0,5}\Z", re.ASCII)
_SIZE = 32
_INDEX = "index"


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: str
    master: bytes


class _Clear(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    current: str
    index: bytes
    keys: tuple[_Entry, ...]


class _WrappedEntry(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: str
    master: Wrapped


class _WrappedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    current: str
    index: Wrapped
    keys: tuple[_WrappedEntry, ...]


_File = _Clear | _WrappedFile


class KeyFile:
    """A ring in a file. See ``ring.Keeping``. With a ``wrapper`` no key stands in it that could be used without the wrapping key."""

    def __init__(self, path: Path, wrapper: Wrapper | None = None) -> None:
        self._path = Path(path)
        self._wrapper = wrapper

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def secrets(self) -> Path:
        """Where records' own secrets are kept: beside the file."""
        return self._path.with_name("secrets.db")

    def mark(self) -> tuple[int, int]:
        """See ``Keeping.mark``."""
        state = self._path.stat()
        return state.st_ino, state.st_mtime_ns

    def load(self, known: Container[str]) -> Ring:
        """See ``Keeping.load``. OSError when the file cannot be read."""
        kept = self._read()
        if isinstance(kept, _Clear):
            keys = tuple(Key(id=entry.id, master=entry.master) for entry in kept.keys)
            return Ring(current=kept.current, index=kept.index, keys=keys)
        with self._wrapping(create=False) as wrapping:
            return Ring(
                current=kept.current,
                index=self._unwrap(wrapping, _INDEX, kept.index),
                keys=tuple(
                    Key(id=one.id, master=b"" if one.id in known else self._unwrap(wrapping, one.id, one.master))
                    for one in kept.keys
                ),
            )

    def first(self) -> None:
        """Make the file with a first key, unless it is there."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            # Another process may have made it while this one waited for the lock.
            if self._path.exists():
                return
            clear = _Clear(version=1, current="k1", index=os.urandom(_SIZE), keys=(_fresh("k1"),))
            self._write(self._sealed(clear, create=True) if self._wrapper else clear)

    def rotate(self) -> str:
        """Add a key and make it current; what older ones sealed still opens. Returns its id. ConfigError when the file cannot be changed."""
        try:
            with self._alone():
                kept = self._read()
                entry = _fresh(f"k{1 + max(int(entry.id[1:]) for entry in kept.keys)}")
                self._write(self._with(kept, entry))
        except OSError as fault:
            raise ConfigError(f"the key file cannot be changed: {fault.strerror}", place=self.place) from fault
        return entry.id

    def retire(self, key: str) -> None:
        """Forget a key: whatever it sealed can never be opened again. ConfigError when it is current, or not there, or the file cannot be changed."""
        try:
            with self._alone():
                kept = self._read()
                if key == kept.current:
                    raise ConfigError(
                        f"{key} is what is sealed with now", place=self.place, remedy="gateway keys rotate"
                    )
                left = tuple(one for one in kept.keys if one.id != key)
                if len(left) == len(kept.keys):
                    raise ConfigError(f"there is no key {key}", place=self.place, remedy="gateway keys list")
                self._write(msgspec.structs.replace(kept, keys=left))
        except OSError as fault:
            raise ConfigError(f"the key file cannot be changed: {fault.strerror}", place=self.place) from fault

    def wrapped(self) -> bool:
        """Whether no key stands in the clear. ConfigError when the file cannot be read."""
        try:
            return isinstance(_parsed(self._path), _WrappedFile)
        except OSError as fault:
            raise ConfigError(f"the key file cannot be read: {fault.strerror}", place=self.place) from fault

    def wrap(self) -> int:
        """Wrap the keys of a file that holds them in the clear. Returns how many there were; nothing is done when they are wrapped already."""
        try:
            with self._alone():
                kept = _parsed(self._path)
                if isinstance(kept, _WrappedFile):
                    self._read()
                    return 0
                self._write(self._sealed(kept, create=True))
        except OSError as fault:
            raise ConfigError(f"the key file cannot be changed: {fault.strerror}", place=self.place) from fault
        return len(kept.keys)

    def listing(self, suite: str = "aes") -> tuple[Listed, ...]:
        """The keys, oldest first, without their material; nothing is reached for it. ConfigError when it cannot be read."""
        try:
            kept = self._read()
        except OSError as fault:
            raise ConfigError(f"the key file cannot be read: {fault.strerror}", place=self.place) from fault
        way = self._wrapper.way if self._wrapper else "file"
        return tuple(
            Listed(
                id=one.id, created=one.created, current=one.id == kept.current, way=way, suite=suite, wrapped_by=_by(one.master),
            )
            for one in kept.keys
        )  # fmt: skip

    # ------------------------------------------------------------------ wrapping
    @contextlib.contextmanager
    def _wrapping(self, *, create: bool) -> Iterator[Wrapping]:
        assert self._wrapper is not None
        with self._wrapper.reach(create) as wrapping:
            yield wrapping

    def _with(self, kept: _File, entry: _Entry) -> _File:
        if isinstance(kept, _Clear):
            return msgspec.structs.replace(kept, current=entry.id, keys=(*kept.keys, entry))
        with self._wrapping(create=False) as wrapping:
            return msgspec.structs.replace(kept, current=entry.id, keys=(*kept.keys, _wrapped(wrapping, entry)))

    def _sealed(self, clear: _Clear, *, create: bool) -> _WrappedFile:
        with self._wrapping(create=create) as wrapping:
            return _WrappedFile(
                version=2,
                current=clear.current,
                index=wrapping.wrap(_named(_INDEX, clear.index)),
                keys=tuple(_wrapped(wrapping, entry) for entry in clear.keys),
            )

    def _unwrap(self, wrapping: Wrapping, name: str, wrapped: Wrapped) -> bytes:
        try:
            named, _, master = wrapping.unwrap(wrapped).partition(b"\0")
        except ValueError as fault:
            raise self._damaged(f"{name} does not unwrap") from fault
        if named != name.encode() or len(master) != _SIZE:
            raise self._damaged(f"{name} unwraps to another key")
        return master

    # ------------------------------------------------------------------ the file
    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the one lock under which a key file is made or changed."""
        lock = self._path.with_name(f"{self._path.name}.lock")
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> _File:
        kept = _parsed(self._path)
        if isinstance(kept, _Clear) and self._wrapper is not None:
            raise ConfigError(
                "the key file holds keys in the clear, and vault.url names a key to wrap them with",
                place=self.place,
                remedy="gateway keys wrap",
            )
        if isinstance(kept, _WrappedFile):
            self._check(kept)
        return kept

    def _check(self, kept: _WrappedFile) -> None:
        strange = {_by(kept.index), *(_by(one.master) for one in kept.keys)} if self._wrapper is None else set()
        if self._wrapper is not None:
            strange = {wrapped.by for wrapped in (kept.index, *(one.master for one in kept.keys))} - {self._wrapper.by}
        if strange:
            raise ConfigError(
                f"its keys are wrapped by {', '.join(sorted(strange))}, which vault.url does not name",
                place=self.place,
                remedy="set vault.url to what wrapped them",
            )

    def _damaged(self, how: str) -> ConfigError:
        return ConfigError(
            f"{how}: the key file is damaged, or the wrapping key is another than it was",
            place=self.place,
            remedy="restore the key file from its backup",
        )

    def _write(self, kept: _File) -> None:
        durable.put(self._path, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")


def open_kept(keeping: KeyFile, *, suite: str = "aes", classes: Mapping[str, str] | None = None) -> Sealing:
    """The vault of a key file, made with a first key when there is none. ConfigError when it cannot be used or others may read it;
    KeyMissing or VaultDown when its wrapping key cannot be had."""
    try:
        if not Path(keeping.place).exists():
            keeping.first()
        return Sealing(keeping, suite=suite, classes=classes or {})
    except OSError as fault:
        raise ConfigError(f"the key file cannot be used: {fault.strerror}", place=keeping.place) from fault


def open_vault(path: Path) -> Sealing:
    """The vault of keys in the clear in ``path``, suite aes. See ``open_kept``."""
    return open_kept(KeyFile(path))


def rotate(path: Path) -> str:
    """See ``KeyFile.rotate``. Running processes follow at their next start, or when they first meet the new key."""
    return KeyFile(path).rotate()


def listing(path: Path) -> tuple[Listed, ...]:
    """See ``KeyFile.listing``."""
    return KeyFile(path).listing()


# ---------------------------------------------------------------------- reading
class _Version(msgspec.Struct, frozen=True):
    version: int


def _parsed(path: Path) -> _File:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError("the key file can be read by others", place=str(path), remedy=f"chmod 600 {path}")
    raw = path.read_bytes()
    try:
        version = msgspec.json.decode(raw, type=_Version).version
        kept: _File = (
            msgspec.json.decode(raw, type=_WrappedFile) if version == 2 else msgspec.json.decode(raw, type=_Clear)
        )
    except msgspec.MsgspecError as fault:
        # The library's own message may quote a value of the file.
        raise ConfigError(
            "the key file is not of the form that gateway keys init makes", place=str(path)
        ) from fault.__cause__
    ids = [entry.id for entry in kept.keys]
    if version not in (1, 2) or kept.current not in ids or not all(map(_KEY_ID.match, ids)) or not _sound(kept):
        raise ConfigError("the key file is of another version, or a key in it is damaged", place=str(path))
    return kept


def _sound(kept: _File) -> bool:
    if isinstance(kept, _WrappedFile):
        return all(len(wrapped.data) > _SIZE for wrapped in (kept.index, *(one.master for one in kept.keys)))
    return {len(kept.index), *(len(entry.master) for entry in kept.keys)} == {_SIZE}


def _fresh(key_id: str) -> _Entry:
    return _Entry(id=key_id, created=clock.text(clock.SystemClock().now()), master=os.urandom(_SIZE))


def _wrapped(wrapping: Wrapping, entry: _Entry) -> _WrappedEntry:
    return _WrappedEntry(id=entry.id, created=entry.created, master=wrapping.wrap(_named(entry.id, entry.master)))


def _named(name: str, master: bytes) -> bytes:
    return name.encode() + b"\0" + master


def _by(master: Any) -> str:
    if not isinstance(master, Wrapped):
        return ""
    return f"{master.by} version {master.version}" if master.version else master.by
