"""What became of deliveries, on its way to the store: those of one burst share a commit."""

import asyncio
from collections.abc import Callable

import structlog

from gateway import store
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.store import DeliveryState

_log = structlog.get_logger()
_MANY = 16


class Outcomes:
    """Takes outcomes at once and records them in batches. ``woken`` is called when recording made other deliveries due."""

    def __init__(self, *, records: store.Store, clock: Clock, batch: int, woken: Callable[[], None]) -> None:
        self._store = records
        self._clock = clock
        self._batch = batch
        self._woken = woken
        self._results: list[store.Result] = []
        self._flush = asyncio.Event()
        self._recording = asyncio.Lock()

    def add(
        self,
        one: store.Claimed,
        state: DeliveryState,
        *,
        tries: int,
        due: int = 0,
        attempt: store.Attempt | None = None,
        cause: str | None = None,
    ) -> None:
        """A delivery came to this. It is recorded within a few milliseconds."""
        delivery = one.delivery
        self._results.append(
            store.Result(
                delivery=delivery.id, claim=delivery.claim or "", state=state, due=due, tries=tries, attempt=attempt, cause=cause
            )
        )  # fmt: skip
        self._flush.set()

    def back(self, one: store.Claimed, due: int) -> None:
        """Untried: it can be claimed again at ``due``."""
        self.add(one, DeliveryState.DUE, due=due, tries=one.delivery.tries, cause=one.delivery.cause)

    async def run(self) -> None:
        """Record until cancelled. What the store does not take is kept and tried again."""
        while True:
            await self._flush.wait()
            # A short wait lets the outcomes of one burst share a commit; while many come, a longer one is worth it.
            if len(self._results) < self._batch:
                await asyncio.sleep(0.005)
            if _MANY < len(self._results) < self._batch:
                await asyncio.sleep(0.01)
            self._flush.clear()
            try:
                await self.settle()
            except StoreError as error:
                _log.error("deliver.record_failed", detail=error.detail, results=len(self._results))
                await self._clock.sleep(1.0)
                self._flush.set()

    async def settle(self) -> None:
        """Record everything there is, and return when all of it is recorded. StoreError keeps what was not."""
        # Whoever asks while others record waits for those, too: what they have in hand is no more in the list.
        async with self._recording:
            while self._results:
                await self._record()

    async def _record(self) -> None:
        results, self._results = self._results, []
        try:
            freed = await self._store.finish(results)
        except StoreError:
            self._results = results + self._results
            raise
        if freed:
            self._woken()
