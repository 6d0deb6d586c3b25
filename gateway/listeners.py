"""Sockets that outlive the processes that listen on them: whoever connects while one hands over to the next waits in the queue, and is not refused.

The supervisor opens them before it forks; a process takes duplicates of its own. And what only one process may do at a time, such as watching
directories, is done by whoever holds a lock that the system takes back at the end of a process.
"""

import contextlib
import fcntl
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import ConfigError

_BACKLOG = 1024
_LOOK = 0.05


class Listeners:
    """Open sockets by name, such as ``http/0`` and ``mllp/0.0.0.0:2575``."""

    def __init__(self) -> None:
        self._open: dict[str, list[socket.socket]] = {}

    def open(self, wanted: Mapping[str, tuple[str, int, str]]) -> list[str]:
        """Listen on each (host, port, where the config says so) whose name is not there yet: the names that were new. ConfigError, with none of them
        opened, when somebody else holds one."""
        fresh: list[str] = []
        try:
            for name, (host, port, place) in wanted.items():
                if name not in self._open:
                    self._open[name] = _listen(host, port, place, shared=name.startswith("http/"))
                    fresh.append(name)
        except ConfigError:
            self.close(fresh)
            raise
        return fresh

    def close(self, names: Iterable[str]) -> None:
        """Listen there no more."""
        for name in list(names):
            for one in self._open.pop(name, ()):
                one.close()

    def others(self, names: Iterable[str]) -> list[str]:
        """Those that are open and not among ``names``."""
        kept = set(names)
        return [name for name in self._open if name not in kept]

    def take(self, name: str) -> Sequence[socket.socket]:
        """Sockets of one's own on the same queue; none when nobody opened it."""
        return [one.dup() for one in self._open.get(name, ())]


def _listen(host: str, port: int, place: str, *, shared: bool) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(infos):
            every = family == socket.AF_INET6 and host == "::"
            opened.append(
                socket.create_server(
                    address[:2],
                    family=family,
                    backlog=_BACKLOG,
                    reuse_port=shared,
                    dualstack_ipv6=every and socket.has_dualstack_ipv6(),
                )
            )
            opened[-1].setblocking(False)
    except OSError as error:
        for one in opened:
            one.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}", place=place, remedy="stop who holds it, or choose another port"
        ) from error  # fmt: skip
    return opened


@contextlib.asynccontextmanager
async def alone(path: Path, clock: Clock) -> AsyncIterator[None]:
    """Held by one process at a time; waits for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        while not _took(lock.fileno()):
            await clock.sleep(_LOOK)
        yield


def _took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
