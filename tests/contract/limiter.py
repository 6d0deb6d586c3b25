"""What every limiter keeps. A way inherits ``LimiterContract`` and says how to open one on a clock."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.clock import TurnedClock
from gateway.limiter import Granted, Limiter, Rate, Refused

RATE = Rate(per_second=2.0, burst=4.0)

Scenario = Callable[[Limiter, TurnedClock], Awaitable[None]]


class LimiterContract:
    """The promise of ``gateway.limiter.Limiter``, on a hand-turned clock."""

    async def open(self, clock: TurnedClock) -> Limiter:
        """A limiter with empty memory whose time is ``clock``."""
        raise NotImplementedError

    async def close(self, limiter: Limiter) -> None:
        """Let go of what ``open`` took."""

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            clock = TurnedClock()
            limiter = await self.open(clock)
            try:
                await scenario(limiter, clock)
            finally:
                await self.close(limiter)

        asyncio.run(main())

    def test_burst_is_granted_at_once_and_the_next_one_waits(self) -> None:
        """Four at once, and the fifth is told when."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            assert [await limiter.take("shop", RATE) for _ in range(4)] == [Granted(left) for left in (3, 2, 1, 0)]
            answer = await limiter.take("shop", RATE)
            assert isinstance(answer, Refused)
            assert answer.wait == pytest.approx(0.5, abs=0.01)

        self.run(scenario)

    def test_who_waited_as_told_is_granted(self) -> None:
        """And not one more than that."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            await limiter.take("shop", RATE, 4.0)
            answer = await limiter.take("shop", RATE)
            assert isinstance(answer, Refused)
            clock.turn(answer.wait)
            assert isinstance(await limiter.take("shop", RATE), Granted)
            assert isinstance(await limiter.take("shop", RATE), Refused)

        self.run(scenario)

    def test_refusal_takes_nothing(self) -> None:
        """Asking in vain does not push the next grant away."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            await limiter.take("shop", RATE, 4.0)
            for _ in range(20):
                assert isinstance(await limiter.take("shop", RATE), Refused)
            clock.turn(0.51)
            assert isinstance(await limiter.take("shop", RATE), Granted)

        self.run(scenario)

    def test_long_silence_saves_no_more_than_the_burst(self) -> None:
        """An hour without calls is worth four of them."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            await limiter.take("shop", RATE, 4.0)
            clock.turn(3600)
            answers = [await limiter.take("shop", RATE) for _ in range(5)]
            assert [type(answer) for answer in answers] == [Granted] * 4 + [Refused]

        self.run(scenario)

    def test_keys_do_not_share_a_bucket(self) -> None:
        """One noisy account leaves the others alone."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            await limiter.take("noisy", RATE, 4.0)
            assert isinstance(await limiter.take("noisy", RATE), Refused)
            assert isinstance(await limiter.take("quiet", RATE, 4.0), Granted)

        self.run(scenario)

    def test_more_than_the_burst_is_served_from_a_full_bucket_and_paid_back(self) -> None:
        """A batch of ten goes through once, and then the debt of six is waited for."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            assert isinstance(await limiter.take("shop", RATE, 10.0), Granted)
            answer = await limiter.take("shop", RATE)
            assert isinstance(answer, Refused)
            assert answer.wait == pytest.approx(3.5, abs=0.01)

        self.run(scenario)

    def test_callers_at_once_get_no_more_than_the_burst(self) -> None:
        """However many ask in the same moment."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            answers = await asyncio.gather(*(limiter.take("shop", RATE) for _ in range(50)))
            assert sum(isinstance(answer, Granted) for answer in answers) == 4

        self.run(scenario)

    def test_clock_that_went_back_neither_grants_more_nor_refuses_for_long(self) -> None:
        """After a jump of an hour the pace goes on from where it stood."""

        async def scenario(limiter: Limiter, clock: TurnedClock) -> None:
            await limiter.take("shop", RATE, 4.0)
            clock.turn(-3600)
            answer = await limiter.take("shop", RATE)
            assert isinstance(answer, Refused)
            assert answer.wait <= 6.0
            clock.turn(answer.wait)
            assert isinstance(await limiter.take("shop", RATE), Granted)

        self.run(scenario)
