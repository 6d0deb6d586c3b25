"""A deliverer over a real store, with destinations that do as they are told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.breakers.memory import MemoryBreakers
from gateway.clock import Clock
from gateway.destination import Endpoint, Message, Tried
from gateway.limiters.memory import MemoryLimiter
from gateway.meters import Meters
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.pipeline.attempt import Ways
from gateway.pipeline.deliver import Deliverer
from gateway.pipeline.operators import Operators
from gateway.pipeline.route import Router
from gateway.store import Batch, DeliveryState, EventRow
from gateway.stores.sqlite import SqliteStore, open_store
from gateway.vaults.file import open_vault
from tests.unit.leaping import LoopClock

OK = Tried(status=204)
Answer = Callable[[Endpoint, Sequence[Message]], Awaitable[Tried]]


async def well(_end: Endpoint, _messages: Sequence[Message]) -> Tried:
    """Take everything, in the next turn of the loop."""
    await asyncio.sleep(0)
    return OK


class Far:
    """The far side: ``answer`` decides; ``sent`` is what arrived, as (endpoint, event ids); ``opened`` and ``closed`` count destinations."""

    def __init__(self, answer: Answer = well) -> None:
        self.answer = answer
        self.sent: list[tuple[Endpoint, list[str]]] = []
        self.opened: list[Endpoint] = []
        self.closed: list[Endpoint] = []

    def open(self, end: Endpoint) -> "Opened":
        """A destination."""
        self.opened.append(end)
        return Opened(self, end)

    def ids(self, name: str = "crm") -> list[str]:
        """Events that one endpoint was sent, in order."""
        return [one for end, sent in self.sent if end.name == name for one in sent]


class Opened:
    """See ``gateway.destination.Destination``."""

    def __init__(self, far: Far, end: Endpoint) -> None:
        self._far = far
        self._end = end

    async def send(self, messages: Sequence[Message], *, now: int) -> Tried:
        """Note and answer."""
        self._far.sent.append((self._end, [one.id for one in messages]))
        return await self._far.answer(self._end, messages)

    async def close(self) -> None:
        """Note it."""
        self._far.closed.append(self._end)


def endpoint(name: str = "crm", **more: Any) -> Endpoint:
    """A subscriber to everything that is allowed everything."""
    given: dict[str, Any] = {
        "url": "https://crm.example", "secrets": (Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),),
        "grants": dict.fromkeys(Sensitivity, "clear"), "schedule": (0.0, 0.0, 0.0), **more,
    }  # fmt: skip
    return Endpoint(name=name, **given)


def events(numbers: Iterable[int], clock: Clock, *, subject: str = "", body: bytes = b"{}") -> list[EventRow]:
    """Paid orders, each of its own subject unless one is given."""
    return [
        EventRow(
            id=f"evt_{number}", type="order.paid", subject=subject or f"ord_{number}", sequence=number + 1, at=clock.now(), account="a",
            entry="e", unit=None, body=body,
        )
        for number in numbers
    ]  # fmt: skip


class Rig:
    """One store, one router, one deliverer."""

    def __init__(
        self,
        folder: Path,
        ends: Sequence[Endpoint],
        far: Far,
        *,
        clock: Clock | None = None,
        records: SqliteStore | None = None,
        **more: Any,
    ) -> None:
        self.clock = clock or LoopClock()
        self.records = records or open_store(folder / "store.db", clock=self.clock)
        self.far = far
        self.router = Router(ends)
        self.meters = Meters()
        self.operators = Operators(records=self.records, router=self.router, clock=self.clock)
        ways = Ways(
            open_destination=far.open, vault=open_vault(folder / "keys.json"), clock=self.clock, meters=self.meters,
            limits=MemoryLimiter(self.clock), breakers=MemoryBreakers(self.clock), operators=self.operators,
            **{name: more.pop(name) for name in ("circuit", "dice") if name in more},
        )  # fmt: skip
        self.deliverer = Deliverer(endpoints=ends, records=self.records, ways=ways, claim="clm_1", **more)

    async def publish(self, given: Sequence[EventRow]) -> None:
        """Store the events and what they lead to."""
        now = self.clock.now()
        deliveries = [one for event in given for one in self.router.deliveries(event, now=now)]
        await self.records.apply(Batch(events=given, deliveries=deliveries))
        self.deliverer.wake()

    def replace(self, *ends: Endpoint) -> None:
        """As the worker does when an endpoint was booked."""
        self.deliverer.replace(ends)
        self.router.replace(ends)

    async def until(self, what: Callable[[], Any], *, seconds: float = 10.0) -> Any:
        """What ``what`` says once it is truthy."""
        async with asyncio.timeout(seconds):
            while True:
                said = what()
                found = await said if isinstance(said, Awaitable) else said
                if found:
                    return found
                await asyncio.sleep(0.01)

    async def count(self, state: DeliveryState) -> int:
        """Deliveries in a state."""
        return int((await self.records.counts())[f"deliveries.{state.value}"])

    async def until_count(self, state: DeliveryState, count: int, *, seconds: float = 10.0) -> None:
        """Return when there are so many."""

        async def enough() -> bool:
            return await self.count(state) >= count

        await self.until(enough, seconds=seconds)

    async def told(self) -> list[EventRow]:
        """Operator events, in order."""
        return [one for one in await self.records.events(limit=10_000) if one.type.startswith("operator.")]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At work inside the block; drained and closed after it."""
        work = asyncio.create_task(self.deliverer.run())
        try:
            yield
        finally:
            await self.deliverer.drain(1.0)
            work.cancel()
            await asyncio.wait([work])
            await self.deliverer.close()
            await self.records.close()
