"""The HTTP server of one process, on a socket that may be its successor's too."""

import contextlib
import os
import select
import socket
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

_BACKLOG = 1024


class HttpServer:
    """Serves an RSGI application on ``host:port``, or on the queue of ``listener``, which is closed with the server."""

    def __init__(self, app: Any, *, host: str, port: int, listener: socket.socket | None) -> None:
        self._descriptor = listener.detach() if listener is not None else -1
        self._server = _Given(
            app,
            address=host,
            port=port,
            interface=Interfaces.RSGI,
            log_enabled=False,
            websockets=False,
            backlog=_BACKLOG,
        )
        self._server.descriptor = self._descriptor

    async def run(self) -> None:
        """Until stopped, and whatever was begun has ended."""
        await self._server.serve()

    def step_aside(self) -> None:
        """Take no more connections; those that are there go on. Whoever connects from now on waits in the queue for somebody else."""
        # The server cannot be told to stop accepting without stopping, which is felt by connections that it has accepted and not read yet: so the
        # system is told not to tell it of new ones.
        for poller in _pollers(self._descriptor):
            # One poller may be open twice.
            with select.epoll.fromfd(os.dup(poller)) as told, contextlib.suppress(FileNotFoundError):
                told.unregister(self._descriptor)

    def stop(self) -> None:
        """Take no more, and end idle connections; ``run`` returns when the others have ended."""
        self._server.stop()  # type: ignore[no-untyped-call]  # granian leaves it untyped


class _Given(Server):
    """The server on a socket that was opened before, if any (granian 2.8.7 opens its own, though its workers would take one)."""

    descriptor = -1

    def _init_shared_socket(self) -> None:
        if self.descriptor < 0:
            super()._init_shared_socket()  # type: ignore[no-untyped-call]  # granian leaves it untyped
            return
        holder: Any = SocketHolder
        self._ssp, self._shd = None, holder(self.descriptor, False, _BACKLOG)


def _pollers(descriptor: int) -> list[int]:
    """The descriptors through which this process waits for one (Linux, proc(5)); none elsewhere."""
    line = f"tfd: {descriptor:>8} "
    found = []
    for info in Path("/proc/self/fdinfo").glob("*"):
        try:
            if descriptor >= 0 and line in info.read_text():
                found.append(int(info.name))
        except OSError:
            continue
    return found
