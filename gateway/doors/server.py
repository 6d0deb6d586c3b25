"""The HTTP server of one process, on sockets that may be its successor's too."""

import asyncio
import socket
from collections.abc import Sequence
from email.utils import formatdate

from gateway.clock import SECOND, Clock, at_most
from gateway.doors.http1 import App, Connection

MOST = 4096
"""Connections at a time; more are told to come again."""

_BACKLOG = 1024
_LOOK = 0.02


class HttpServer:
    """Serves an application on ``host:port``, or on the queues of ``sockets``, which are closed with the server. See ``http1.House``."""

    def __init__(
        self, app: App, *, clock: Clock, host: str, port: int, sockets: Sequence[socket.socket] = (), most: int = MOST
    ) -> None:
        self.app = app
        self.now = 0
        self.date = b""
        self.leaving = False
        self.connections: set[Connection] = set()
        self.lingering = 0
        self._clock = clock
        self._place = host, port
        self._sockets = sockets
        self._most = most
        self._listeners: list[asyncio.Server] = []
        self._stopped = asyncio.Event()

    def full(self) -> bool:
        """See ``House``."""
        # Who was told to come again must not keep others out.
        return len(self.connections) - self.lingering >= self._most

    async def run(self) -> None:
        """Until stopped, and whatever was begun has ended."""
        loop = asyncio.get_running_loop()
        self._tell_time()

        def connection() -> Connection:
            return Connection(self, loop)

        if self._sockets:
            self._listeners = [
                await loop.create_server(connection, sock=one, backlog=_BACKLOG) for one in self._sockets
            ]
        else:
            self._listeners = [await loop.create_server(connection, *self._place, backlog=_BACKLOG)]
        try:
            while not self._stopped.is_set() or self.connections:
                self._tell_time()
                for one in tuple(self.connections):
                    one.look(self.now)
                if self._stopped.is_set():
                    await self._clock.sleep(_LOOK)
                else:
                    await at_most(1.0, self._stopped)
        finally:
            self.step_aside()
            for one in tuple(self.connections):
                one.abort()

    def _tell_time(self) -> None:
        self.now = int(self._clock.monotonic())
        self.date = f"date: {formatdate(self._clock.now() / SECOND, usegmt=True)}\r\n".encode()

    def step_aside(self) -> None:
        """Take no more connections; those that are there go on, each until its next answer. Whoever connects from now on waits in the queue for
        somebody else."""
        self.leaving = True
        for one in self._listeners:
            one.close()

    def stop(self) -> None:
        """Take no more, and end idle connections; ``run`` returns when the others have ended."""
        self.step_aside()
        self._stopped.set()
        for one in tuple(self.connections):
            one.leave()
