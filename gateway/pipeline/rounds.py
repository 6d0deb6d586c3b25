"""How whatever is due in the store is taken up, round by round."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.clock import Clock, at_most
from gateway.errors import StoreError

_log = structlog.get_logger()
_LOOK = 0.5
_AWAY = 1.0

Begin = Callable[[asyncio.TaskGroup], Awaitable[int]]


async def rounds(begin: Begin, *, wake: asyncio.Event, clock: Clock, what: str) -> None:
    """Until cancelled. ``begin`` starts in the group what is due, and says how much that was: after nothing the next round waits for ``wake``, and half
    a second at most, since a hint can be lost. A store that is away is asked again after a second; ``what`` stands in the log line then."""
    async with asyncio.TaskGroup() as group:
        while True:
            wake.clear()
            try:
                if await begin(group):
                    continue
            except StoreError as error:
                _log.error("rounds.store_unavailable", what=what, detail=error.detail)
                await clock.sleep(_AWAY)
            await at_most(_LOOK, wake)
