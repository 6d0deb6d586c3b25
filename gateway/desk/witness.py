"""What is met by looking: a sealed value that was altered is told to operators, whoever happened to open it."""

import msgspec

from gateway import store
from gateway.book import Book
from gateway.clock import Clock
from gateway.errors import Tampered
from gateway.meters import Meters
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.operators import Operators
from gateway.pipeline.route import Router


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """Raises the alarm that delivering raises, to whoever subscribes now."""

    records: store.Store
    book: Book
    clock: Clock
    meters: Meters

    async def alarm(self) -> Alarm:
        """For who goes through many. StoreError when nobody knows who subscribes."""
        router = Router(await self.book.endpoints())
        return Alarm(Operators(records=self.records, router=router, clock=self.clock), self.meters)

    async def altered(self, error: Tampered, *, stage: str, where: str = "", **facts: str) -> None:
        """See ``Alarm.altered``. StoreError when nobody knows who subscribes."""
        await (await self.alarm()).altered(error, stage=stage, where=where or error.place, **facts)
