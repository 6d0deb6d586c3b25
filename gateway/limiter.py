"""Pace: how often something may happen."""

import math
from typing import Protocol

import msgspec


class Rate(msgspec.Struct, frozen=True):
    """``per_second`` on average, up to ``burst`` at once."""

    per_second: float
    burst: float


class Granted(msgspec.Struct, frozen=True):
    """Go ahead; ``left`` more may follow at once."""

    left: float = 0.0


class Refused(msgspec.Struct, frozen=True):
    """Not now; in ``wait`` seconds there will be room."""

    wait: float


class Bucket(msgspec.Struct, frozen=True):
    """A token bucket at one instant: ``level`` tokens at ``at`` (seconds)."""

    level: float
    at: float


# Instants since 1970 as floats carry about a quarter of a microsecond: one who waited as told must not be refused over that.
_EARLY = 1e-6
# Hosts that share a bucket disagree by less than this, and refilling it by each one's clock in turn would grant without end. A bucket that
# stands further ahead belongs to a clock that was turned back, and waiting for it to return would refuse for as long as the jump.
_SKEW = 5.0
# Nobody is sent to spin on waits shorter than a timer can keep.
_SHORTEST = 0.001


def take(bucket: Bucket | None, rate: Rate, amount: float, now: float) -> tuple[Bucket, Granted | Refused]:
    """Decide on ``amount`` at ``now`` (seconds). A clock that went back grants nothing and takes nothing.

    ``amount`` above the burst is served from a full bucket, which then goes below zero. With ``per_second`` 0 the wait is infinite.
    """
    if bucket is None:
        bucket = Bucket(rate.burst, now)
    at = now if bucket.at - now > _SKEW else max(now, bucket.at)
    level = min(rate.burst, bucket.level + max(0.0, at - bucket.at) * rate.per_second)
    missing = min(amount, rate.burst) - level
    if missing <= rate.per_second * _EARLY:
        return Bucket(level - amount, at), Granted(max(0.0, level - amount))
    wait = missing / rate.per_second if rate.per_second > 0 else math.inf
    return Bucket(level, at), Refused(max(_SHORTEST, wait + at - now))


class Limiter(Protocol):
    """Buckets by key, shared by whoever shares the limiter."""

    async def take(self, key: str, rate: Rate, amount: float = 1.0) -> Granted | Refused:
        """Take ``amount`` from ``key``'s bucket, or say how long to wait. Never waits itself."""
        ...
