"""Buckets in this process: what the profile of one process needs."""

from collections import OrderedDict

from gateway import limiter
from gateway.clock import Clock


class MemoryLimiter:
    """See ``gateway.limiter.Limiter``. Holds at most ``keys`` buckets; the one unused for longest is forgotten, that is, full again."""

    def __init__(self, clock: Clock, *, keys: int = 65_536) -> None:
        self._clock = clock
        self._most = keys
        self._buckets: OrderedDict[str, limiter.Bucket] = OrderedDict()

    async def take(self, key: str, rate: limiter.Rate, amount: float = 1.0) -> limiter.Granted | limiter.Refused:
        """See ``Limiter.take``."""
        bucket, answer = limiter.take(self._buckets.get(key), rate, amount, self._clock.monotonic())
        self._buckets[key] = bucket
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return answer
