"""One HTTP request and its answer, as the door's server hands it to an application."""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

Headers = Sequence[tuple[str, str]]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_NO_BODY = frozenset({204, 304})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Cut(ConnectionError):
    """The peer was gone before all of its request had come."""


class Line(Protocol):
    """The connection, as its exchanges need it."""

    @property
    def leaving(self) -> bool:
        """Whether it ends with the next answer."""
        ...

    @property
    def date(self) -> bytes:
        """The header of that name, a whole line."""
        ...

    @property
    def local(self) -> tuple[str, int] | None:
        """Our own address on it."""
        ...

    def write(self, data: bytes) -> None:
        """Send it; nothing when the peer is gone."""
        ...

    async def drained(self) -> None:
        """Return when the peer has read enough, or is gone."""
        ...

    def taken(self) -> None:
        """What had come of the body was taken: there is room for more."""
        ...

    def answered(self) -> None:
        """The present exchange has been answered whole."""
        ...


class Exchange:
    """A request, and the way to answer it once.

    ``path`` and ``query`` are as they were sent. ``headers`` have lower-case names; one that was sent several times holds all its values (RFC 9110 §5.3).
    ``length`` is how long the sender says the body is, None when it comes in chunks.
    """

    __slots__ = (
        "_cut", "_expects", "_line", "_over", "_parts", "_shown", "_wake", "answered", "begun", "closes", "complete", "headers", "held", "length",
        "method", "path", "peer", "query", "version",
    )  # fmt: skip

    def __init__(
        self, line: Line, *, method: str, target: str, version: str, headers: Mapping[str, str], peer: tuple[str, int]
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.version = version
        self.headers = headers
        self.peer = peer
        length = headers.get("content-length")
        self.length = int(length) if length is not None else None if "transfer-encoding" in headers else 0
        # All of the request has come; an answer has begun to leave; it has left; the connection ends with it; bytes of the body not taken yet.
        self.complete = self.begun = self.answered = self.closes = False
        self._shown = True
        self.held = 0
        self._line = line
        self._parts: list[bytes] = []
        self._expects = version != "1.0" and headers.get("expect", "").lower() == "100-continue"
        self._cut = False
        self._wake: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------ the application's side
    @property
    def local(self) -> tuple[str, int] | None:
        """Our own address."""
        return self._line.local

    def ready(self) -> bytes | None:
        """The whole body, when all of it is here and nothing of it was taken; None otherwise."""
        if not self.complete:
            return None
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def part(self) -> bytes:
        """What has come of the body since this was asked last, waiting for it if need be; ``b""`` at its end. Raises Cut."""
        while not self._parts and not self.complete:
            if self._cut:
                raise Cut
            if self._expects:
                self._expects = False
                self._line.write(_CONTINUE)
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        part, self._parts, self.held = b"".join(self._parts), [], 0
        if not self.complete:
            self._line.taken()
        return part

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer. ValueError for a header that is more than one line."""
        self.answer(status, head(status, headers), body)

    def answer(self, status: int, start: bytes, body: bytes) -> None:
        """As ``respond``, with the ``head`` at hand."""
        if self.answered or self.begun:
            return
        size = b"" if status in _NO_BODY else b"content-length: %d\r\n" % len(body)
        shown = b"" if self.method == "HEAD" or status in _NO_BODY else body
        self._line.write(b"".join((start, self._line.date, self._ending(), size, b"\r\n", shown)))
        self._answered()

    def begin(self, status: int, headers: Headers) -> None:
        """Begin an answer in parts. ValueError as for ``respond``."""
        if self.answered or self.begun:
            return
        start = head(status, headers)
        self.begun = True
        self._shown = self.method != "HEAD" and status not in _NO_BODY
        # Without chunks, its end is the connection's.
        self.closes = self.closes or not self._modern
        coding = b"transfer-encoding: chunked\r\n" if self._modern and status not in _NO_BODY else b""
        self._line.write(b"".join((start, self._line.date, self._ending(), coding, b"\r\n")))

    async def send(self, part: bytes) -> None:
        """Another part; returns when the peer has room for the next, or is gone."""
        if part and not self.answered and self._shown:
            self._line.write(b"%x\r\n%b\r\n" % (len(part), part) if self._modern else part)
            await self._line.drained()

    def finish(self) -> None:
        """The answer in parts is whole."""
        if self.answered:
            return
        if self._modern and self._shown:
            self._line.write(b"0\r\n\r\n")
        self._answered()

    async def over(self) -> None:
        """Return when the answer is whole, or nobody is there to hear it."""
        if self.answered or self._cut:
            return
        self._over = self._over or asyncio.get_running_loop().create_future()
        await asyncio.shield(self._over)

    # ------------------------------------------------------------------ the connection's side
    def feed(self, part: bytes) -> None:
        """More of the body."""
        self._parts.append(part)
        self.held += len(part)
        _tell(self._wake)

    def completed(self) -> None:
        """That was all of the request."""
        self.complete = True
        _tell(self._wake)

    def cut(self) -> None:
        """Nothing more will come, and nobody hears an answer."""
        self._cut = True
        _tell(self._wake)
        _tell(self._over)

    # ------------------------------------------------------------------ inside
    @property
    def _modern(self) -> bool:
        return self.version != "1.0"

    def _ending(self) -> bytes:
        # What is left of a body that nobody reads would be taken for the next request.
        self.closes = self.closes or not self.complete or self._line.leaving
        self._expects = False
        if self.closes:
            return b"connection: close\r\n"
        return b"" if self._modern else b"connection: keep-alive\r\n"

    def _answered(self) -> None:
        self.answered = True
        _tell(self._over)
        self._line.answered()


def _tell(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def head(status: int, headers: Headers) -> bytes:
    """Status line and headers. ValueError for a header that is more than one line: it would be another one, or a body."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header holds a line break")
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{lines}".encode("latin-1")


known_head = functools.lru_cache(maxsize=128)(head)
"""As ``head``, for headers (a tuple) that come again and again and say nothing about anybody."""
