"""Trip and recover: a pure state machine. closed → open after ``trip`` failures in a row; open → half-open after ``rest``
seconds; half-open lets ``probes`` through: all succeed → closed, one fails → open again with twice the rest, up to ``longest``, or with the
first rest where the failure was an answer: then somebody is there.
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
    """One circuit at one instant. ``rest`` is how long it stays open, ``until`` when it may be probed (open) or when a probe that has
    not reported back counts as lost (half-open), seconds. ``probing`` probes are out, ``passed`` came back well.
    """

    state: State = State.CLOSED
    failures: int = 0
    until: float = 0.0
    rest: float = 0.0
    probing: int = 0
    passed: int = 0


def ask(breaker: Breaker, policy: Policy, now: float) -> tuple[Breaker, float]:
    """May one call go through? The second value is 0.0 for yes, else the seconds to wait.

    A clock that went back makes nobody wait for longer than the rest.
    """
    if breaker.state is State.CLOSED:
        return breaker, 0.0
    until = min(breaker.until, now + breaker.rest)
    if breaker.state is State.HALF_OPEN and breaker.passed + breaker.probing < policy.probes:
        return _probe(breaker, now), 0.0
    if now < until:
        # A probe that is out may close the circuit any moment: nobody is sent away for the whole of a long rest.
        wait = until - now if breaker.state is State.OPEN else min(until - now, policy.rest)
        return msgspec.structs.replace(breaker, until=until), wait
    # A probe that never reported back (its process died) must not keep the circuit shut: the next one starts anew.
    return _probe(msgspec.structs.replace(breaker, state=State.HALF_OPEN, probing=0, passed=0), now), 0.0


def tell(breaker: Breaker, policy: Policy, *, ok: bool, now: float, answered: bool = False) -> Breaker:
    """What became of a call that was let through. One that comes back while the circuit is open changes nothing. ``answered``: it failed by an
    answer of whoever was called; what is asked next may be answered otherwise, and must not wait longer for each that was not."""
    if breaker.state is State.OPEN:
        return breaker
    if ok:
        if breaker.state is State.CLOSED or breaker.passed + 1 >= policy.probes:
            return Breaker()
        return msgspec.structs.replace(breaker, probing=max(0, breaker.probing - 1), passed=breaker.passed + 1)
    failures = breaker.failures + 1
    if breaker.state is State.HALF_OPEN:
        longer = min(max(policy.rest, policy.longest), breaker.rest * 2)
        return _open(failures, policy.rest if answered else longer, now)
    return _open(failures, policy.rest, now) if failures >= policy.trip else Breaker(failures=failures)


def _probe(breaker: Breaker, now: float) -> Breaker:
    return msgspec.structs.replace(breaker, probing=breaker.probing + 1, until=now + breaker.rest)


def _open(failures: int, rest: float, now: float) -> Breaker:
    return Breaker(state=State.OPEN, failures=failures, until=now + rest, rest=rest)


class Breakers(Protocol):
    """Circuits by key, shared by whoever shares this."""

    async def ask(self, key: str, policy: Policy) -> float:
        """0.0 when a call may go through, else seconds to wait."""
        ...

    async def tell(self, key: str, policy: Policy, *, ok: bool, answered: bool = False) -> State:
        """Report a call's outcome; returns the state it led to. ``answered`` as for ``tell`` above."""
        ...

    async def look(self, key: str) -> State:
        """The state now, without asking for a probe."""
        ...
