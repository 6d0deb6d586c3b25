"""What the store's tests are made of, and how they are run."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.model.identity import Strength
from gateway.model.lane import Lane
from gateway.store import (
    Attempt,
    Batch,
    Claimed,
    Cursor,
    DeadLetter,
    Delivery,
    DeliveryState,
    Edge,
    Errand,
    EventRow,
    Reject,
    Result,
    Row,
    Store,
)

NOW = TurnedClock().now()
LEASE = 60 * SECOND

Scenario = Callable[[Store, TurnedClock], Awaitable[None]]


def key(*parts: object) -> bytes:
    """A look-up key as the vault would make one."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def row(name: str, **changes: Any) -> Row:
    """An order of the shop, unless told otherwise."""
    given = {
        "id": name, "kind": "order", "key": key(name), "account": "shop", "customer": None, "unit": None, "at": NOW, "version": None,
        "sequence": 1, "created": NOW, "updated": NOW, "body": b"{}",
    }  # fmt: skip
    return Row(**{**given, **changes})


def edge(name: str, customer: str, **changes: Any) -> Edge:
    """A live strong identity."""
    given = {
        "key": key(name), "customer": customer, "namespace": "taobao.ouid", "scope": "shop", "strength": Strength.STRONG,
        "verified": True, "live": True, "value": "k1.contact.AAAA", "first_seen": NOW, "last_seen": NOW,
    }  # fmt: skip
    return Edge(**{**given, **changes})


def event(name: str, **changes: Any) -> EventRow:
    """An order that was paid."""
    given = {
        "id": name, "type": "order.paid", "subject": "ord_1", "sequence": 1, "at": NOW, "account": "shop", "entry": "ent_1",
        "unit": "hq", "body": b'{"id": "x"}',
    }  # fmt: skip
    return EventRow(**{**given, **changes})


def delivery(name: str, of: str = "evt_1", **changes: Any) -> Delivery:
    """Due now, at ``crm``, in no order."""
    given = {"id": name, "event": of, "endpoint": "crm", "subject": None, "due": NOW, "created": NOW}
    return Delivery(**{**given, **changes})


def batch_of(*deliveries: Delivery, **more: Any) -> Batch:
    """These deliveries with their events."""
    events = [event(name) for name in dict.fromkeys(one.event for one in deliveries)]
    return Batch(events=events, deliveries=deliveries, **more)


def outcome(
    claimed: Claimed, state: DeliveryState = DeliveryState.DONE, *, due: int = NOW, cause: str | None = None
) -> Result:
    """What became of it, with its attempt."""
    held = claimed.delivery
    tried = Attempt(
        id=f"att_{held.id}_{held.tries}", delivery=held.id, endpoint=held.endpoint, event=held.event, at=NOW + held.tries,
        took=1500, status=200, error=None, response=b"ok",
    )  # fmt: skip
    return Result(
        delivery=held.id, claim=held.claim or "", state=state, due=due, tries=held.tries + 1, attempt=tried, cause=cause
    )


def errand(name: str, **changes: Any) -> Errand:
    """A trade to re-read."""
    given = {
        "account": "shop",
        "topic": "trade",
        "hash": key(name),
        "key": "k1.contact.BBBB",
        "due": NOW,
        "entry": "ent_1",
    }
    return Errand(**{**given, **changes})


def dead(name: str, **changes: Any) -> DeadLetter:
    """An entry that could not be mapped."""
    given = {
        "id": name, "entry": "ent_1", "account": "shop", "topic": "trade", "stage": "map", "cause": "payload.value",
        "detail": "no time zone", "at": NOW,
    }  # fmt: skip
    return DeadLetter(**{**given, **changes})


def reject(name: str, at: int = NOW) -> Reject:
    """A forged request."""
    return Reject(
        id=name, account="shop", reason="signature", detail="", peer="192.0.2.1", size=9, at=at, body=b"sealed"
    )


def at(position: int, lane: Lane = Lane.LIVE, shard: int = 0) -> Cursor:
    """A place in the journal."""
    return Cursor(lane=lane, shard=shard, position=position)


async def take(
    store: Store, *, claim: str = "me", limit: int = 100, retries: bool = False, now: int = NOW
) -> Sequence[Claimed]:
    """Claim for a minute."""
    return await store.claim(now=now, lease=now + LEASE, claim=claim, limit=limit, retries=retries)


async def states(store: Store) -> dict[str, str]:
    """Every delivery's state."""
    return {one.id: one.state.value for one in await store.deliveries(limit=10_000)}


def ids(items: Sequence[Any]) -> list[str]:
    """Of records, events, deliveries."""
    return [item.id for item in items]


class StoreTests:
    """A way says how to open its store; each test has one of its own, on a hand-turned clock."""

    def open(self, place: Path, clock: TurnedClock) -> Store:
        """The store that lives in ``place``; the first call makes it."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def run(self, place: Path, scenario: Scenario) -> None:
        async def main() -> None:
            clock = TurnedClock()
            store = self.open(place, clock)
            try:
                await scenario(store, clock)
            finally:
                await store.close()

        asyncio.run(main())
