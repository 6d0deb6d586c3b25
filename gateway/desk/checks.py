"""Examinations that take a while: begun by a button, run beside everything else, looked at by every process. Outcomes lie on the shelf ``checks``."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from gateway import shelf
from gateway.clock import SECOND, Clock
from gateway.errors import GatewayError, Stale

SHELF = "checks"
_KEPT = 24 * 3600 * SECOND
_LONGEST = 900.0
_json = msgspec.json.Encoder()


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found. ``state`` is ok, warning, fault or unreachable; ``part`` names it or is empty."""

    state: str
    detail: str
    remedy: str = ""
    part: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """``ended`` is None while it runs. ``by`` is who began it. ``figures`` are counts, by name."""

    began: int
    by: str
    ended: int | None = None
    lines: tuple[Line, ...] = ()
    figures: dict[str, int] = {}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What an examination came to."""

    lines: tuple[Line, ...] = ()
    figures: dict[str, int] = {}


_check = msgspec.json.Decoder(Check)


class Checks:
    """One examination of a name at a time: beginning one that runs changes nothing."""

    def __init__(self, documents: shelf.Shelf, clock: Clock) -> None:
        self._shelf = documents
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def last(self, name: str) -> Check | None:
        """The one that runs, or the last one; None when that is more than a day ago, or it was begun and its process died."""
        kept = await self._shelf.document(SHELF, name)
        one = _check.decode(kept.body) if kept else None
        lost = one is not None and one.ended is None and self._clock.now() - one.began > _LONGEST * SECOND
        return None if lost else one

    async def begin(self, name: str, by: str, work: Coroutine[Any, Any, Told]) -> None:
        """Run ``work`` beside everything else."""
        running = await self.last(name)
        if running is not None and running.ended is None:
            work.close()
            return
        one = Check(began=self._clock.now(), by=by)
        await self._put(name, one)
        task = asyncio.get_running_loop().create_task(self._run(name, one, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, one: Check, work: Coroutine[Any, Any, Told]) -> None:
        try:
            async with asyncio.timeout(_LONGEST):
                told = await work
        except GatewayError as error:
            told = Told(lines=(Line(state="fault", detail=error.detail, remedy=error.remedy),))
        except TimeoutError:
            told = Told(lines=(Line(state="unreachable", detail="it took longer than a quarter of an hour"),))
        await self._put(
            name, msgspec.structs.replace(one, ended=self._clock.now(), lines=told.lines, figures=told.figures)
        )

    async def _put(self, name: str, one: Check) -> None:
        kept = await self._shelf.document(SHELF, name)
        before = kept.version if kept else 0
        now = self._clock.now()
        document = shelf.Document(
            shelf=SHELF, key=name, version=before + 1, body=_json.encode(one), updated=now, expires=now + _KEPT
        )
        try:
            await self._shelf.file(document, before=before)
        except Stale:
            # Two pressed at once: either outcome is as good.
            return

    async def close(self) -> None:
        """Give up what runs."""
        for task in self._tasks:
            task.cancel()
