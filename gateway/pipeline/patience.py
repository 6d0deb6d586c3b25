"""How long an endpoint may do nothing but fail: when operators hear of it, and when it is disabled. Pure."""

from gateway.clock import SECOND
from gateway.store import Health

GRACE = 3600 * SECOND
"""For so long nobody has to fetch what waits for them."""
_AWAY = 180 * SECOND
STEPS = (50, 70, 90, 100)
"""Percent of its patience at which operators are told; at the last one the endpoint is disabled."""


def unfetched(health: Health, now: int, *, base: int | None) -> int | None:
    """Since when nobody fetches what waits for an endpoint that is polled, None while that is nothing to speak of.

    ``base`` is when the oldest that waits was made or when something was last acknowledged, whichever is later; None when nothing waits.
    ``health.last_failure`` is when this was last looked at: time in which nobody looked, because we were away, could not be used to fetch and
    does not count.
    """
    if base is None:
        return None
    since, looked = health.failing_since, health.last_failure
    if since is None or looked is None or base > since:
        return now - GRACE if now - base >= GRACE else None
    away = now - looked
    return since + away if away > _AWAY else since


def step(health: Health, now: int, *, disable_after: float) -> int:
    """The percent that operators should be told of now, 0 for nothing new. ``disable_after`` in seconds; 0 is never.

    What counts is the time between the first failure and the last one: silence since then, because nothing was due or because we were
    away, is not held against the endpoint. Where several steps were passed at once only the highest is told.
    """
    if disable_after <= 0 or health.failing_since is None or health.last_failure is None:
        return 0
    # A clock that was turned back leaves failures in the future.
    failed_for = min(now, health.last_failure) - health.failing_since
    share = failed_for * 100 / (disable_after * SECOND)
    reached = max((one for one in STEPS if one <= share), default=0)
    return reached if reached > health.warned else 0
