"""One process's turn: when it may begin, and when it is to end."""

import asyncio
import os
import signal

from gateway.handover import STEP_ASIDE
from gateway.listeners import Listeners
from gateway.supervisor import Post


class Turn:
    """Lasts until ``stop``, or until this process is to step ``aside`` because its successor is there. Made in a running loop."""

    def __init__(self, post: Post, listeners: Listeners) -> None:
        self.stop = asyncio.Event()
        self.aside = asyncio.Event()
        self.listeners = listeners
        self._post = post
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(STEP_ASIDE, self.aside.set)
        # The end of the pipe is the supervisor's.
        loop.add_reader(post.life, self._orphaned)

    @property
    def waits(self) -> bool:
        """Whether another process still does what this one is for."""
        return self._post.gate is not None

    def ready(self) -> None:
        """Say that everything is loaded."""
        if self._post.ready is not None:
            os.write(self._post.ready, f"{os.getpid()}\n".encode())

    async def begin(self) -> bool:
        """Say that everything is loaded, and wait until it is our turn. False when we are to end instead."""
        self.ready()
        if self._post.gate is None:
            return True
        opened = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._post.gate, opened.set)
        try:
            await _first(opened, self.stop)
        finally:
            loop.remove_reader(self._post.gate)
        return not self.stop.is_set()

    async def over(self) -> None:
        """Until this process is to end, one way or the other."""
        await _first(self.stop, self.aside)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._post.life)
        self.stop.set()


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(one.wait()) for one in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
