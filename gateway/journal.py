"""The raw inbound log: what a partner said, sealed, in the order it was written down.

A receipt means durable. The same thing may stand in a journal twice; the store decides what is new.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.model.lane import Lane

ERASED = b"\0erased"
"""What the payload of an entry opens to once it was erased. Projecting it changes nothing; it cannot be retried."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to be written. ``dedupe`` and ``partition`` are keyed hashes; ``payload`` is sealed with the id as context."""

    id: str
    account: str
    topic: str
    lane: Lane
    dedupe: bytes
    partition: bytes
    received_at: int
    payload: bytes


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as read. ``position`` grows within one lane and partition; it need not be dense."""

    position: int
    id: str
    account: str
    topic: str
    lane: Lane
    dedupe: bytes
    partition: bytes
    received_at: int
    payload: bytes


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """``draft`` says once more what the entry ``of`` said when its ``payload`` was this."""

    of: str
    payload: bytes
    draft: Draft


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The journal's word that an entry is durable. ``known`` says this door had already written the same (account, dedupe)."""

    id: str
    known: bool


class Journal(Protocol):
    """Append, read by cursor, forget what is old."""

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Receipt]:
        """Durable when it returns, all of them or none (JournalError). Concurrent callers share one commit. Receipts keep the order."""
        ...

    async def repeat(self, copies: Sequence[Copy]) -> set[str]:
        """Write those whose original still is there with that payload, whatever is known: somebody wants a thing projected once more, whose key may
        have to stay what it was. In the moment in which a copy is written its original is
        neither erased nor sealed anew. Durable when it returns; returns the ids of the drafts that were written."""
        ...

    def shards(self, lane: Lane) -> Sequence[int]:
        """The partitions a reader has to follow; one partition key always falls into the same one."""
        ...

    async def read(self, lane: Lane, shard: int, after: int, limit: int) -> Sequence[Entry]:
        """Entries with a position above ``after``, oldest first; empty at the end."""
        ...

    async def find(self, entry: str) -> Entry | None:
        """One entry by its id, for replay and for a look; None once it is purged."""
        ...

    async def depth(self, lane: Lane, shard: int, after: int) -> tuple[int, int | None]:
        """How many entries lie behind the cursor, and when the oldest of them was received."""
        ...

    async def replace(self, payloads: Sequence[tuple[str, bytes, bytes]]) -> int:
        """Put another sealed payload where it still is what it was, given as (entry id, old, new); nothing else of an entry ever changes. The old
        bytes are overwritten in place. Durable when it returns; returns how many were put."""
        ...

    async def scrub(self) -> bool:
        """Let go of what was overwritten wherever else it lies, such as a write-ahead log. False when somebody who reads kept a part of it."""
        ...

    async def purge(self, before: int, applied: dict[tuple[Lane, int], int]) -> int:
        """Forget entries received before ``before`` that lie at or below the ``applied`` cursor. Returns how many."""
        ...

    async def close(self) -> None:
        """Finish what was appended, then let go."""
        ...
