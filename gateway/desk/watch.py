"""Waiting for events: one look at the store four times a second for everybody who waits in this process, and none while nobody does."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog

from gateway import store
from gateway.clock import Clock, at_most
from gateway.errors import StoreError
from gateway.store import EventRow

_log = structlog.get_logger()
_EVERY = 0.25
_PAGE = 500
_KEPT = 1000

Meant = Callable[[EventRow], bool]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What came, by number, and up to which number everything was looked at."""

    rows: Sequence[EventRow]
    number: int


class _Waiter(msgspec.Struct, eq=False):
    """Somebody who waits for what is ``meant``, ``most`` of it at once."""

    meant: Meant
    most: int
    told: asyncio.Future[Heard]

    def hear(self, rows: Sequence[EventRow], number: int) -> bool:
        """Whether anything of it was meant."""
        found = [row for row in rows if self.meant(row)]
        if not found or self.told.done():
            return bool(found)
        kept = found[: self.most]
        self.told.set_result(Heard(rows=kept, number=number if len(kept) == len(found) else kept[-1].number))
        return True


class Watch:
    """What it read last is kept for whoever comes a moment too late. Bodies stay sealed."""

    def __init__(self, records: store.Store, clock: Clock) -> None:
        self._store = records
        self._clock = clock
        self._waiters: set[_Waiter] = set()
        self._recent: deque[EventRow] = deque(maxlen=_KEPT)
        self._floor = self._number = 0
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def wait(self, after: int, meant: Meant, *, seconds: float, most: int = 200) -> Heard | None:
        """What comes behind number ``after``, as soon as some of it is meant; nothing of it when the time is over. None when ``after`` is too
        long ago to be told here: read the store first.

        ``after`` is a number up to which the caller has just read.
        """
        if self.closed:
            return Heard(rows=(), number=after)
        if self._task is None or self._task.done():
            self._begin(after)
        elif after < self._floor:
            return None
        return await self._waited(after, meant, seconds, most)

    def close(self) -> None:
        """Let everybody go with nothing, and keep nobody waiting from now on: the process ends."""
        self._ended.set()
        for one in self._waiters:
            if not one.told.done():
                one.told.set_result(Heard(rows=(), number=0))
        if self._task is not None:
            self._task.cancel()

    @property
    def closed(self) -> bool:
        """Whether this process is about to end: whoever is kept here is better off elsewhere."""
        return self._ended.is_set()

    async def rest(self, seconds: float) -> None:
        """Wait so long, or until this process is about to end."""
        await at_most(seconds, self._ended)

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiters)

    async def _waited(self, after: int, meant: Meant, seconds: float, most: int) -> Heard:
        one = _Waiter(meant, most, asyncio.get_running_loop().create_future())
        if one.hear([row for row in self._recent if row.number > after], max(after, self._number)):
            return one.told.result()
        self._waiters.add(one)
        try:
            async with asyncio.timeout(seconds):
                heard = await one.told
        except TimeoutError:
            # All that was read while it waited was not meant for it.
            return Heard(rows=(), number=max(after, self._number))
        finally:
            self._waiters.discard(one)
        return heard if heard.number else Heard(rows=(), number=after)

    def _begin(self, after: int) -> None:
        self._recent.clear()
        self._floor = self._number = after
        self._task = asyncio.get_running_loop().create_task(self._looking())

    async def _looking(self) -> None:
        idle = 0
        # A moment longer than anybody waits: whoever comes back at once finds it at work.
        while idle < 20:
            await self._clock.sleep(_EVERY)
            idle = 0 if self._waiters else idle + 1
            try:
                await self._look()
            except StoreError as error:
                _log.error("watch.look_failed", detail=error.detail)
        self._recent.clear()

    async def _look(self) -> None:
        while rows := await self._store.events(after=self._number, limit=_PAGE):
            # A page is half of what is kept: what falls out was there before.
            if (over := len(self._recent) + len(rows) - _KEPT) > 0:
                self._floor = self._recent[over - 1].number
            self._recent.extend(rows)
            self._number = rows[-1].number
            for one in list(self._waiters):
                one.hear(rows, self._number)
            if len(rows) < _PAGE:
                return
