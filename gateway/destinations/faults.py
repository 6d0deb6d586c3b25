"""What went wrong on the wire, in stable words; shared by the ways that speak through a client library.

``address`` not allowed · ``dns`` no such host · ``connect`` nobody there · ``tls`` · ``auth`` · ``refused`` said no · ``timeout`` · ``network``
broke off · ``protocol`` spoke another one · ``route``, ``resources`` our side of the wire · ``closed`` by us.
"""

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import Coroutine, Iterator
from typing import Any

from gateway.destination import Tried
from gateway.destinations.address import Unfit

KEPT = 2048
"""Bytes of a complaint that are kept."""

GRACE = 0.5
"""Seconds that a library has for letting go of a send that is given up."""

NONSENSE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What a client library's reader raises over an answer that is none of its protocol. To be caught around the library only."""

CLOSED = Tried(error="closed", ours=True)

_ROUTE = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


def said(error: str, detail: object, *, ours: bool = False) -> Tried:
    """A failure and what was said about it."""
    return Tried(error=error, response=str(detail).encode(errors="replace")[:KEPT], ours=ours)


def nonsense(error: Exception) -> Tried:
    """An answer that the library could not read."""
    return said("protocol", f"the answer is none of this protocol: {error!r}")


def unfit(where: Unfit) -> Tried:
    """An address that may not, or cannot, be connected to."""
    return said(where.error, where.detail, ours=where.ours)


def of(error: BaseException) -> Tried:
    """The word for what lies beneath a library's exception; ``network`` when nothing does."""
    for cause in chain(error):
        if isinstance(cause, (OSError, EOFError)) and (word := _word(cause)):
            return said(word, error, ours=word in ("route", "resources"))
    return said("network", error)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those it came from, outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        yield at
        seen.add(id(at))
        at = at.__cause__ or at.__context__


def _word(error: OSError | EOFError) -> str | None:
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, (EOFError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return "network"
    if error.errno in _ROUTE:
        return "route"
    if error.errno in _RESOURCES:
        return "resources"
    # A library's own exception may be an OSError without a number: the cause says more.
    return "connect" if error.errno is not None else None


class Sends:
    """The sends under way of one destination: each ends within its time, and all of them end at ``close``."""

    def __init__(self) -> None:
        self.closed = False
        self._tasks: set[asyncio.Task[Tried]] = set()

    async def within(self, seconds: float, work: Coroutine[Any, Any, Tried]) -> Tried:
        """What ``work`` comes to, or ``timeout``; ends at most ``GRACE`` later than it should."""
        if self.closed:
            work.close()
            return CLOSED
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            task.cancel()
        if not task.done():
            await asyncio.wait({task}, timeout=GRACE)
        if task.done() and not task.cancelled():
            return task.result()
        return CLOSED if self.closed else Tried(error="timeout")

    async def close(self) -> None:
        """No more sends; those under way are told."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)
