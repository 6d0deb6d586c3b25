"""Documents in one SQLite file."""

import asyncio
from pathlib import Path

import pytest

from gateway.clock import TurnedClock
from gateway.errors import StoreError
from gateway.shelf import Shelf
from gateway.shelves.sqlite import SqliteShelf
from tests.contract.shelf import NOW, ShelfContract, paper


class TestSqliteShelf(ShelfContract):
    """The whole promise."""

    def opened(self, place: Path, clock: TurnedClock) -> Shelf:
        """One file in the folder."""
        return SqliteShelf(place / "desk.db", clock=clock)

    def test_file_is_for_its_owner_only_and_forgets_what_was_dropped(self, tmp_path: Path) -> None:
        """Mode 0600; a dropped body is in no page any more."""

        async def scenario(shelf: Shelf, clock: TurnedClock) -> None:
            await shelf.file(paper("a", b"marker-of-a-secret"), before=0)
            await shelf.unfile("clients", "a", before=1)

        self.run(tmp_path, scenario)
        file = tmp_path / "desk.db"
        assert file.stat().st_mode & 0o077 == 0
        assert b"marker-of-a-secret" not in file.read_bytes()

    def test_unusable_file_is_a_store_error_that_names_it(self, tmp_path: Path) -> None:
        """Instead of a traceback of the driver."""
        (tmp_path / "desk.db").write_bytes(b"this is no database, and long enough to tell" * 40)
        shelf = SqliteShelf(tmp_path / "desk.db", clock=TurnedClock(NOW))
        with pytest.raises(StoreError, match=r"desk\.db"):
            asyncio.run(shelf.documents("clients"))
