"""The store in one SQLite file."""

from pathlib import Path

from gateway.clock import TurnedClock
from gateway.store import Store
from gateway.stores.sqlite import open_store
from tests.contract.store import StoreContract


class TestSqliteStore(StoreContract):
    def open(self, place: Path, clock: TurnedClock) -> Store:
        return open_store(place / "store.db", clock=clock, patience=1.0)
