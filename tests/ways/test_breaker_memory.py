"""Circuits in this process."""

import asyncio

from gateway.breaker import Breakers, State
from gateway.breakers.memory import MemoryBreakers
from gateway.clock import TurnedClock
from tests.contract.breaker import POLICY, BreakersContract, trip


class TestMemoryBreakers(BreakersContract):
    async def open(self, clock: TurnedClock) -> Breakers:
        return MemoryBreakers(clock)


def test_healthy_circuits_take_no_room() -> None:
    """A thousand healthy neighbours do not push out the one that is open; many failing ones do."""

    async def main() -> None:
        breakers = MemoryBreakers(TurnedClock(), keys=3)
        await trip(breakers, "dead")
        for number in range(1000):
            await breakers.tell(f"well{number}", POLICY, ok=True)
        assert await breakers.look("dead") is State.OPEN
        for number in range(3):
            await breakers.tell(f"ill{number}", POLICY, ok=False)
        assert await breakers.look("dead") is State.CLOSED

    asyncio.run(main())
