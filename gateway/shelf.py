"""Small documents that people decide at run time: clients, users, sessions, jobs, silences, versions of mappings.

They are few, change seldom and must never be lost to two people who change one at once: every write names the version it replaces.
Bodies are opaque here; whatever personal data one holds was sealed before.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is unique on its ``shelf``; ``version`` counts writes from 1; ``updated`` and ``expires`` are instants (microseconds).
    What has expired is not there any more."""

    shelf: str
    key: str
    version: int
    body: bytes
    updated: int
    expires: int | None = None


class Shelf(Protocol):
    """Keeps documents. StoreError when it cannot be reached; a write is durable when it returns."""

    async def document(self, shelf: str, key: str) -> Document | None:
        """One document, or None."""
        ...

    async def documents(self, shelf: str, *, after: str = "", limit: int = 10_000) -> Sequence[Document]:
        """A shelf's documents by key."""
        ...

    async def file(self, document: Document, *, before: int) -> None:
        """Insert (``before`` 0) or replace. Stale when the version there is not ``before``; the document's own says ``before + 1``."""
        ...

    async def unfile(self, shelf: str, key: str, *, before: int) -> None:
        """Take it away. Stale when the version there is not ``before``."""
        ...

    async def sweep(self) -> int:
        """Forget what has expired. Returns how many."""
        ...

    async def close(self) -> None:
        """Finish and let go."""
        ...
