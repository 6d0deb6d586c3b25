"""Endpoints at work, as the console shows them: figures of the last minutes, the newest deliveries with their attempts, and what waits or failed."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway import store
from gateway.clock import SECOND, id_from
from gateway.desk.flow import Sent
from gateway.desk.resources import Desk
from gateway.destination import Endpoint
from gateway.pipeline.replay import Replayer
from gateway.store import OPEN, DeliveryState

WINDOW = 300.0
"""Seconds that the figures are about."""

MOST = 50_000
"""Deliveries that one replay from the console makes: more is a job for the command line."""

_PAGE = 1000
_WINDOWS = (10, 120, 3600, 86_400, 30 * 86_400)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The last five minutes: sends per second, the share that succeeded (None without any), median and p99 in seconds. ``points`` are times,
    successes and failures per second."""

    rate: float
    share: float | None
    middle: float | None
    slow: float | None
    points: tuple[list[Any], ...]


def pace(desk: Desk, name: str) -> Pace:
    """From what the processes counted."""
    figures, counted = desk.figures, "gateway_attempts_total"
    every = figures.rate(counted, seconds=WINDOW, endpoint=name)
    good = figures.rate(counted, seconds=WINDOW, endpoint=name, outcome="ok")
    all_, well = figures.rates(counted, endpoint=name), figures.rates(counted, endpoint=name, outcome="ok")
    bad = [
        None if one is None or other is None else max(0.0, one - other) for one, other in zip(all_, well, strict=True)
    ]
    return Pace(
        rate=every,
        share=good / every if every else None,
        middle=figures.quantile("gateway_attempt_seconds", 0.5, seconds=WINDOW, endpoint=name),
        slow=figures.quantile("gateway_attempt_seconds", 0.99, seconds=WINDOW, endpoint=name),
        points=(figures.times(), well, bad),
    )


async def oldest(desk: Desk, name: str) -> int | None:
    """When the oldest delivery that is still open was made."""
    firsts = [await desk.records.deliveries(state=state, endpoint=name, limit=1) for state in OPEN]
    return min((one.created for some in firsts for one in some), default=None)


async def newest(desk: Desk, name: str, *, most: int = 20) -> list[Sent]:
    """The newest deliveries, the newest first."""
    now = desk.clock.now()
    rows: Sequence[store.Delivery] = ()
    # Ids begin with the instant of the event: ever longer windows find the newest without walking all there are.
    for seconds in _WINDOWS:
        rows = await desk.records.deliveries(endpoint=name, limit=_PAGE, after=id_from("dlv", now - seconds * SECOND))
        if len(rows) >= most:
            break
    return [await sent(desk, one) for one in rows[::-1][:most]]


async def troubled(desk: Desk, name: str, *, most: int = 10) -> list[Sent]:
    """Deliveries that failed and are tried again, then those that were given up; oldest first."""
    due = await desk.records.deliveries(state=DeliveryState.DUE, endpoint=name, limit=_PAGE)
    dead = await desk.records.deliveries(state=DeliveryState.DEAD, endpoint=name, limit=most)
    return [await sent(desk, one) for one in [*[one for one in due if one.tries][:most], *dead]]


async def sent(desk: Desk, one: store.Delivery) -> Sent:
    """A delivery with its attempts."""
    return Sent(delivery=one, attempts=await desk.records.attempts(one.id))


async def replayer(desk: Desk) -> Replayer:
    """Sends again by today's endpoints."""
    return Replayer(
        records=desk.records,
        clock=desk.clock,
        router=await desk.router(),
        endpoints=await desk.book.endpoints(),
    )


def sent_with(end: Endpoint, attempt: store.Attempt) -> list[tuple[str, str]]:
    """The headers of an attempt of one event, as far as they are kept: signatures and the values of configured headers are not shown."""
    if end.kind.value != "webhook":
        return []
    ours = [
        ("content-type", "application/json"),
        ("webhook-id", attempt.event if end.batch == 1 else f"{attempt.event} …"),
        ("webhook-timestamp", str(attempt.at // SECOND)),
        ("webhook-signature", " ".join(["v1,…"] * len(end.secrets) + ["v1a,…"] * len(end.keys))),
    ]
    auth = [("authorization", "•••")] if end.auth.kind in ("basic", "bearer", "oauth2") else []
    return [*ours, *auth, *((name.lower(), "•••") for name, _ in end.headers)]
