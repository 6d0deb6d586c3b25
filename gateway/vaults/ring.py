"""A ring of envelope keys as the sealing engine sees it, whatever way keeps it."""

from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """``master`` is 32 bytes; empty when the caller has it already."""

    id: str
    master: bytes


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """All envelope keys, oldest first, and the index key, which never changes."""

    current: str
    index: bytes
    keys: tuple[Key, ...]


class Keeping(Protocol):
    """Where a ring is kept."""

    @property
    def place(self) -> str: ...

    @property
    def secrets(self) -> Path: ...

    def load(self, known: Container[str]) -> Ring:
        """The ring, with the masters of keys that are not ``known``. ConfigError, KeyMissing or VaultDown says what to do."""
        ...

    def mark(self) -> object:
        """Differs when the ring was changed. OSError when it cannot be looked at."""
        ...


class Wrapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A master as only its wrapping key opens it. ``by`` names that key, ``version`` its version where it has some."""

    by: str
    data: bytes
    version: str = ""


class Wrapping(Protocol):
    """A key that never leaves where it lives."""

    def wrap(self, plaintext: bytes) -> Wrapped:
        """Seal a few dozen bytes."""
        ...

    def unwrap(self, wrapped: Wrapped) -> bytes:
        """The bytes again; ValueError when they were altered."""
        ...


class Wrapper(msgspec.Struct, frozen=True, kw_only=True):
    """How to come by a wrapping key. ``reach(True)`` may make it where it lives; otherwise KeyMissing when it is not there."""

    way: str
    by: str
    reach: Callable[[bool], AbstractContextManager[Wrapping]]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told about a key. ``created`` is 27-character text; ``wrapped_by`` is empty for one that lies in the clear."""

    id: str
    created: str
    current: bool
    way: str
    suite: str
    wrapped_by: str
