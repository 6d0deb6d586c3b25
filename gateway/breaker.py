"""Trip and recover: a pure state machine. closed → open after ``trip`` failures in a row; open → half-open after ``rest``
seconds; half-open lets ``probes`` through: all succeed → closed, one fails → open again with twice the rest, up to ``longest``.
"""

from enum import Enum
from typing import Protocol

import msgspec


class State(Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """``trip`` failures in a row; ``rest`` and ``longest`` in seconds; ``probes`` calls while half-open."""

    trip: int = 5
    rest: float = 30.0
    longest: float = 600.0
    probes: int = 1


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """One circuit at one instant. ``until`` is when an open one may be probed, seconds."""

    state: State = State.CLOSED
    failures: int = 0
    until: float = 0.0
    rest: float = 0.0
    probing: int = 0
    passed: int = 0


def ask(breaker: Breaker, policy: Policy, now: float) -> tuple[Breaker, float]:
    """May one call go through? The second value is 0.0 for yes, else the seconds to wait."""
    if breaker.state is State.CLOSED:
        return breaker, 0.0
    if breaker.state is State.OPEN:
        if now < breaker.until:
            return breaker, breaker.until - now
        breaker = msgspec.structs.replace(breaker, state=State.HALF_OPEN, probing=0, passed=0)
    if breaker.probing >= policy.probes:
        # A probe that never reported back (its process died) must not keep the circuit shut.
        if now < breaker.until + breaker.rest:
            return breaker, max(0.05, breaker.until + breaker.rest - now)
        breaker = msgspec.structs.replace(breaker, probing=0, passed=0, until=now)
    return msgspec.structs.replace(breaker, probing=breaker.probing + 1), 0.0


def tell(breaker: Breaker, policy: Policy, *, ok: bool, now: float) -> Breaker:
    """What became of a call that was let through."""
    if ok:
        if breaker.state is State.HALF_OPEN and breaker.passed + 1 < policy.probes:
            return msgspec.structs.replace(breaker, passed=breaker.passed + 1)
        return breaker if breaker.state is State.OPEN else Breaker()
    if breaker.state is State.OPEN:
        return breaker
    if breaker.state is State.HALF_OPEN:
        rest = min(policy.longest, breaker.rest * 2)
        return Breaker(state=State.OPEN, failures=breaker.failures + 1, until=now + rest, rest=rest)
    failures = breaker.failures + 1
    if failures < policy.trip:
        return Breaker(failures=failures)
    return Breaker(state=State.OPEN, failures=failures, until=now + policy.rest, rest=policy.rest)


class Breakers(Protocol):
    """Circuits by key, shared by whoever shares this."""

    async def ask(self, key: str, policy: Policy) -> float:
        """0.0 when a call may go through, else seconds to wait."""
        ...

    async def tell(self, key: str, policy: Policy, *, ok: bool) -> State:
        """Report a call's outcome; returns the state it led to."""
        ...

    async def look(self, key: str) -> State:
        """The state now, without asking for a probe."""
        ...
