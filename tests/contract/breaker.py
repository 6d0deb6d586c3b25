"""What every keeper of circuits keeps. A way inherits ``BreakersContract`` and says how to open one on a clock."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.breaker import Breakers, Policy, State
from gateway.clock import TurnedClock

POLICY = Policy(trip=3, rest=10.0, longest=40.0, probes=1)
TWO_PROBES = Policy(trip=3, rest=10.0, longest=40.0, probes=2)

Scenario = Callable[[Breakers, TurnedClock], Awaitable[None]]


async def trip(breakers: Breakers, key: str, policy: Policy = POLICY) -> None:
    """Fail as often as it takes."""
    for _ in range(policy.trip):
        assert await breakers.ask(key, policy) == 0.0
        await breakers.tell(key, policy, ok=False)
    assert await breakers.look(key) is State.OPEN


class BreakersContract:
    """The promise of ``gateway.breaker.Breakers``, on a hand-turned clock."""

    async def open(self, clock: TurnedClock) -> Breakers:
        """Circuits that are all closed, whose time is ``clock``."""
        raise NotImplementedError

    async def close(self, breakers: Breakers) -> None:
        """Let go of what ``open`` took."""

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            clock = TurnedClock()
            breakers = await self.open(clock)
            try:
                await scenario(breakers, clock)
            finally:
                await self.close(breakers)

        asyncio.run(main())

    def test_unknown_key_is_closed(self) -> None:
        """Nothing is held against a neighbour nobody has called."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            assert await breakers.look("crm") is State.CLOSED
            assert await breakers.ask("crm", POLICY) == 0.0

        self.run(scenario)

    def test_failures_in_a_row_open_the_circuit(self) -> None:
        """The third one does, and says so; callers are told how long it rests."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            states = [await breakers.tell("crm", POLICY, ok=False) for _ in range(3)]
            assert states == [State.CLOSED, State.CLOSED, State.OPEN]
            assert await breakers.ask("crm", POLICY) == pytest.approx(10.0)

        self.run(scenario)

    def test_success_in_between_starts_the_count_again(self) -> None:
        """Two, a success, two: still closed."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            for ok in (False, False, True, False, False):
                assert await breakers.tell("crm", POLICY, ok=ok) is State.CLOSED

        self.run(scenario)

    def test_probe_that_is_answered_badly_does_not_lengthen_the_rest(self) -> None:
        """One event that an endpoint cannot stomach must not shut the others out for longer and longer."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            for _ in range(4):
                clock.turn(10.0)
                assert await breakers.ask("crm", POLICY) == 0.0
                assert await breakers.tell("crm", POLICY, ok=False, answered=True) is State.OPEN
                assert await breakers.ask("crm", POLICY) == pytest.approx(10.0)

        self.run(scenario)

    def test_circuits_do_not_know_each_other(self) -> None:
        """One dead endpoint does not stop another."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "dead")
            assert await breakers.ask("alive", POLICY) == 0.0

        self.run(scenario)

    def test_rested_circuit_lets_one_probe_through(self) -> None:
        """Not before the rest is over, and no second one while the first is out."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            clock.turn(9.9)
            assert await breakers.ask("crm", POLICY) > 0
            clock.turn(0.2)
            asked = await asyncio.gather(*(breakers.ask("crm", POLICY) for _ in range(20)))
            assert sorted(wait == 0.0 for wait in asked) == [False] * 19 + [True]
            assert await breakers.look("crm") is State.HALF_OPEN

        self.run(scenario)

    def test_successful_probe_closes_the_circuit(self) -> None:
        """And nothing is held against it afterwards."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            clock.turn(10.1)
            await breakers.ask("crm", POLICY)
            assert await breakers.tell("crm", POLICY, ok=True) is State.CLOSED
            assert [await breakers.tell("crm", POLICY, ok=False) for _ in range(2)] == [State.CLOSED] * 2

        self.run(scenario)

    def test_circuit_with_two_probes_closes_after_both(self) -> None:
        """The first success alone is not enough."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm", TWO_PROBES)
            clock.turn(10.1)
            asked = [await breakers.ask("crm", TWO_PROBES) for _ in range(3)]
            assert [wait == 0.0 for wait in asked] == [True, True, False]
            assert await breakers.tell("crm", TWO_PROBES, ok=True) is State.HALF_OPEN
            assert await breakers.tell("crm", TWO_PROBES, ok=True) is State.CLOSED

        self.run(scenario)

    def test_failed_probe_doubles_the_rest_up_to_the_longest(self) -> None:
        """10, 20, 40, 40 seconds."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            for rest in (10, 20, 40, 40):
                assert await breakers.ask("crm", POLICY) == pytest.approx(rest)
                clock.turn(rest + 0.1)
                assert await breakers.ask("crm", POLICY) == 0.0
                assert await breakers.tell("crm", POLICY, ok=False) is State.OPEN

        self.run(scenario)

    def test_probe_that_never_reports_back_is_replaced(self) -> None:
        """The process that held it may have died; after another rest the next caller probes."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            clock.turn(100)
            assert await breakers.ask("crm", POLICY) == 0.0
            clock.turn(9)
            assert await breakers.ask("crm", POLICY) > 0
            clock.turn(1.1)
            assert await breakers.ask("crm", POLICY) == 0.0

        self.run(scenario)

    def test_late_news_does_not_touch_an_open_circuit(self) -> None:
        """A call that was let through before it opened ends when it ends."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            assert await breakers.tell("crm", POLICY, ok=True) is State.OPEN
            assert await breakers.tell("crm", POLICY, ok=False) is State.OPEN
            assert await breakers.ask("crm", POLICY) == pytest.approx(10.0)

        self.run(scenario)

    def test_clock_that_went_back_keeps_nobody_out_for_longer_than_the_rest(self) -> None:
        """A jump of an hour does not become an hour's outage."""

        async def scenario(breakers: Breakers, clock: TurnedClock) -> None:
            await trip(breakers, "crm")
            clock.turn(-3600)
            assert await breakers.ask("crm", POLICY) == pytest.approx(10.0)
            clock.turn(10.1)
            assert await breakers.ask("crm", POLICY) == 0.0

        self.run(scenario)
