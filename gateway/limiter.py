"""Pace: how often something may happen."""

from typing import Protocol

import msgspec


class Rate(msgspec.Struct, frozen=True):
    """``per_second`` on average, up to ``burst`` at once."""

    per_second: float
    burst: float


class Granted(msgspec.Struct, frozen=True):
    """Go ahead."""


class Refused(msgspec.Struct, frozen=True):
    """Not now; in ``wait`` seconds there will be room."""

    wait: float


class Bucket(msgspec.Struct, frozen=True):
    """A token bucket at one instant: ``level`` tokens at ``at`` (seconds)."""

    level: float
    at: float


def take(bucket: Bucket | None, rate: Rate, amount: float, now: float) -> tuple[Bucket, Granted | Refused]:
    """Decide on ``amount`` at ``now`` (seconds). A clock that went back grants nothing and takes nothing.

    ``amount`` above the burst is served from a full bucket, which then goes below zero.
    """
    level = (
        rate.burst if bucket is None else min(rate.burst, bucket.level + max(0.0, now - bucket.at) * rate.per_second)
    )
    at = now if bucket is None else max(now, bucket.at)
    needed = min(amount, rate.burst)
    if level >= needed:
        return Bucket(level - amount, at), Granted()
    return Bucket(level, at), Refused((needed - level) / rate.per_second)


class Limiter(Protocol):
    """Buckets by key, shared by whoever shares the limiter."""

    async def take(self, key: str, rate: Rate, amount: float = 1.0) -> Granted | Refused:
        """Take ``amount`` from ``key``'s bucket, or say how long to wait. Never waits itself."""
        ...
