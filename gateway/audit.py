"""Who did what to what was entrusted to us: acts that a person or a partner must be able to account for.

Each act carries a keyed hash over itself and the hash before it. Editing, removing or reordering an act breaks the chain from there on;
cutting acts off at the end is told by an anchor that is kept elsewhere.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act. ``actor`` is ``cli:<user>``, ``console:<user>``, ``client:<id>`` or ``gateway``; ``verb`` a stable word (read, export, replay,
    rotate, erase, merge …); ``object`` what it was done to (an id, never a value); ``detail`` plain facts without personal data."""

    at: int
    actor: str
    verb: str
    object: str
    detail: dict[str, str | int] = {}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An act in its place: ``number`` counts from 1 without gaps, ``mac`` is the keyed hash of the act, the number and the mac before it."""

    number: int
    act: Act
    mac: bytes


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the chain, and from which number on. ``kind`` is edited, missing or truncated."""

    number: int
    kind: str
    detail: str


class Trail(Protocol):
    """Keeps acts. Several processes may write at once; numbers stay dense."""

    async def record(self, acts: Sequence[Act]) -> None:
        """Durable when this returns. StoreError when it cannot be written: then the act must not be carried out."""
        ...

    async def acts(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        actor: str | None = None,
        verb: str | None = None,
        object: str | None = None,
    ) -> Sequence[Link]:
        """By number, those that meet every condition."""
        ...

    async def head(self) -> Link | None:
        """The newest link, for somebody else to note; None before the first."""
        ...

    async def verify(self) -> Sequence[Fault]:
        """Walk the whole chain against its anchor; empty when it is whole."""
        ...

    async def close(self) -> None:
        """Finish and let go."""
        ...
