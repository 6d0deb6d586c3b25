"""Turns of the API: so many at work at once, and nobody holds one while waiting for somebody else."""

import asyncio
from types import SimpleNamespace
from typing import Any

from gateway.api.turns import WAITS, Turns


def scope(**opt: Any) -> Any:
    """What a layer looks at."""
    return {"type": "http", "route_handler": SimpleNamespace(opt=opt)}


async def silent() -> Any:
    """A body that never comes."""
    await asyncio.Event().wait()


class Work:
    """An application that works until it is let go, and counts who is in it."""

    def __init__(self, *, reads: bool = False, answers: bool = False) -> None:
        self.inside = 0
        self.most = 0
        self.go = asyncio.Event()
        self._reads = reads
        self._answers = answers

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self._answers:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if self._reads:
            await receive()
        await self.go.wait()
        self.inside -= 1


async def told(_message: Any) -> None:
    """Whoever gets the answer."""


async def settle() -> None:
    """Let everybody come as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_no_more_than_so_many_work_at_once_and_all_get_their_turn() -> None:
    """The others wait in line."""

    async def story() -> None:
        turns, work = Turns(3), Work()
        tasks = [asyncio.create_task(turns.handle(scope(), silent, told, work)) for _ in range(10)]
        await settle()
        assert work.inside == 3
        work.go.set()
        await asyncio.gather(*tasks)
        assert (work.most, work.inside) == (3, 0)

    asyncio.run(story())


def test_body_that_does_not_come_holds_no_turn() -> None:
    """A slow partner's upload keeps nobody from being served."""

    async def story() -> None:
        turns, slow, quick = Turns(1), Work(reads=True), Work()
        quick.go.set()
        stuck = [asyncio.create_task(turns.handle(scope(), silent, told, slow)) for _ in range(5)]
        await settle()
        await asyncio.wait_for(turns.handle(scope(), silent, told, quick), 60)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        await asyncio.wait_for(turns.handle(scope(), silent, told, quick), 60)

    asyncio.run(story())


def test_turn_ends_when_the_answer_begins() -> None:
    """Whoever reads a long answer slowly holds none."""

    async def story() -> None:
        turns, long, quick = Turns(1), Work(answers=True), Work()
        quick.go.set()
        reading = asyncio.create_task(turns.handle(scope(), silent, told, long))
        await settle()
        await asyncio.wait_for(turns.handle(scope(), silent, told, quick), 60)
        long.go.set()
        await reading

    asyncio.run(story())


def test_who_only_waits_takes_no_turn() -> None:
    """A long poll is no work."""

    async def story() -> None:
        turns, waiting = Turns(1), Work()
        tasks = [asyncio.create_task(turns.handle(scope(**{WAITS: True}), silent, told, waiting)) for _ in range(5)]
        await settle()
        assert waiting.inside == 5
        waiting.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(story())
