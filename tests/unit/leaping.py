"""A loop whose time leaps: where nothing is left to do until a moment comes, that moment is now.

Stories of seconds take none, and a machine that is busy, or stands still, is no part of them: time goes by only where somebody waits for it, and
stands while a thread (a store's, a look-up's) is at work. For one process without sockets: what is on its way through the kernel, nobody here sees.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from gateway.clock import SECOND

T = TypeVar("T")


class _Leaps(selectors.DefaultSelector):
    """Does not wait for a time, but says that it has passed; ``elsewhere`` are threads at work, whose end wakes it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.elsewhere = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.elsewhere:
            return super().select(None)
        if found := super().select(0):
            return found
        self.now += timeout
        return []


class Leaping(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._leaps = _Leaps()
        super().__init__(self._leaps)

    def time(self) -> float:
        """Seconds that were waited for."""
        return self._leaps.now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """As any loop does; time stands until it has ended."""
        self._leaps.elsewhere += 1
        work = super().run_in_executor(executor, func, *args)
        work.add_done_callback(self._back)
        return work

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """However long that takes: here it would seem for ever at once."""
        del timeout
        self._leaps.elsewhere += 1
        await super().shutdown_default_executor()
        self._leaps.elsewhere -= 1

    def _back(self, _work: object) -> None:
        self._leaps.elsewhere -= 1


class LoopClock:
    """Tells the time of the loop that it was made in, for everybody."""

    def __init__(self, now: int = 1_760_000_000 * SECOND) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = now

    def now(self) -> int:
        """See ``Clock.now``."""
        return self._start + int(self._loop.time() * SECOND)

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(seconds)


def leap(story: Coroutine[Any, Any, T]) -> T:
    """Run it in such a loop."""
    with asyncio.Runner(loop_factory=Leaping) as runner:
        return runner.run(story)
