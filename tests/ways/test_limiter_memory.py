"""Buckets in this process."""

import asyncio

from gateway.clock import TurnedClock
from gateway.limiter import Granted, Limiter, Refused
from gateway.limiters.memory import MemoryLimiter
from tests.contract.limiter import RATE, LimiterContract


class TestMemoryLimiter(LimiterContract):
    async def open(self, clock: TurnedClock) -> Limiter:
        return MemoryLimiter(clock)


def test_limiter_forgets_the_key_unused_for_longest() -> None:
    """A flood of new addresses cannot fill memory, and the busy key among them keeps its bucket."""

    async def main() -> None:
        limiter = MemoryLimiter(TurnedClock(), keys=3)
        await limiter.take("busy", RATE, 4.0)
        await limiter.take("idle", RATE, 4.0)
        for number in range(10):
            assert isinstance(await limiter.take("busy", RATE), Refused)
            await limiter.take(f"new{number}", RATE)
        assert isinstance(await limiter.take("idle", RATE), Granted)

    asyncio.run(main())
