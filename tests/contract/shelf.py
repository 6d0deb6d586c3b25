"""What every shelf of documents promises."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.errors import Stale
from gateway.shelf import Document, Shelf

NOW = 1_700_000_000 * SECOND
Scenario = Callable[[Shelf, TurnedClock], Awaitable[None]]


def paper(key: str, body: bytes = b"{}", *, shelf: str = "clients", expires: int | None = None) -> Document:
    """A document of now."""
    return Document(shelf=shelf, key=key, version=0, body=body, updated=NOW, expires=expires)


class ShelfContract:
    """Inherit, and say how one is opened."""

    def opened(self, place: Path, clock: TurnedClock) -> Shelf:
        """The shelf of a folder."""
        raise NotImplementedError

    def run(self, place: Path, scenario: Scenario) -> None:
        """One scenario on a fresh shelf."""
        clock = TurnedClock(NOW)

        async def body() -> None:
            shelf = self.opened(place, clock)
            try:
                await scenario(shelf, clock)
            finally:
                await shelf.close()

        asyncio.run(body())

    def test_filed_document_is_found_with_its_version(self, tmp_path: Path) -> None:
        """On its shelf, and on no other."""

        async def scenario(shelf: Shelf, clock: TurnedClock) -> None:
            await shelf.file(paper("a", b"1"), before=0)
            found = await shelf.document("clients", "a")
            assert found is not None and (found.version, found.body, found.updated) == (1, b"1", NOW)
            assert await shelf.document("users", "a") is None
            await shelf.file(paper("a", b"2"), before=1)
            found = await shelf.document("clients", "a")
            assert found is not None and (found.version, found.body) == (2, b"2")

        self.run(tmp_path, scenario)

    def test_write_over_another_version_is_stale_and_changes_nothing(self, tmp_path: Path) -> None:
        """Inserting what is there, replacing what is not, replacing or dropping an older version."""

        async def scenario(shelf: Shelf, clock: TurnedClock) -> None:
            await shelf.file(paper("a", b"1"), before=0)
            for before in (0, 2):
                with pytest.raises(Stale):
                    await shelf.file(paper("a", b"x"), before=before)
            with pytest.raises(Stale):
                await shelf.file(paper("b", b"x"), before=1)
            with pytest.raises(Stale):
                await shelf.unfile("clients", "a", before=2)
            assert [one.body for one in await shelf.documents("clients")] == [b"1"]
            await shelf.unfile("clients", "a", before=1)
            assert not await shelf.documents("clients")

        self.run(tmp_path, scenario)

    def test_documents_come_by_key_and_in_pages(self, tmp_path: Path) -> None:
        """After a key, at most so many."""

        async def scenario(shelf: Shelf, clock: TurnedClock) -> None:
            for key in "cab":
                await shelf.file(paper(key), before=0)
            await shelf.file(paper("z", shelf="users"), before=0)
            assert [one.key for one in await shelf.documents("clients")] == ["a", "b", "c"]
            assert [one.key for one in await shelf.documents("clients", after="a", limit=1)] == ["b"]

        self.run(tmp_path, scenario)

    def test_expired_document_is_gone_before_anybody_sweeps(self, tmp_path: Path) -> None:
        """It cannot be read, listed or replaced; its key is free; the sweep takes it away for good."""

        async def scenario(shelf: Shelf, clock: TurnedClock) -> None:
            await shelf.file(paper("a", expires=NOW + SECOND), before=0)
            await shelf.file(paper("b", expires=NOW + SECOND), before=0)
            assert await shelf.document("clients", "a") is not None
            clock.turn(1.0)
            assert await shelf.document("clients", "a") is None
            assert not await shelf.documents("clients")
            with pytest.raises(Stale):
                await shelf.file(paper("a"), before=1)
            await shelf.file(paper("a", b"new"), before=0)
            assert await shelf.sweep() == 1
            assert [one.body for one in await shelf.documents("clients")] == [b"new"]

        self.run(tmp_path, scenario)

    def test_two_writers_of_one_version_let_one_through(self, tmp_path: Path) -> None:
        """The other is told."""

        async def scenario(shelf: Shelf, clock: TurnedClock) -> None:
            await shelf.file(paper("a"), before=0)
            said = await asyncio.gather(
                *(shelf.file(paper("a", bytes([n])), before=1) for n in range(5)), return_exceptions=True
            )
            assert sum(one is None for one in said) == 1
            assert all(one is None or isinstance(one, Stale) for one in said)

        self.run(tmp_path, scenario)

    def test_filed_document_outlives_its_opener(self, tmp_path: Path) -> None:
        """A new opener finds it."""

        async def write(shelf: Shelf, clock: TurnedClock) -> None:
            await shelf.file(paper("a", b"kept"), before=0)

        async def read(shelf: Shelf, clock: TurnedClock) -> None:
            found = await shelf.document("clients", "a")
            assert found is not None and found.body == b"kept"

        self.run(tmp_path, write)
        self.run(tmp_path, read)
