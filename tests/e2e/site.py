"""A subscriber's site on this machine, and one send to it: for tests of what webhooks do over a real socket."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.clock import SECOND, SystemClock
from gateway.destination import Endpoint, Message, Tried
from gateway.destinations import sign
from gateway.destinations.address import Vetter
from gateway.destinations.webhook import Webhook
from gateway.model.secret import Secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = sign.private_of(b"k" * 32)
AT = 1_760_000_000 * SECOND


class Asked(msgspec.Struct):
    """One request as it came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[Asked], Answer | Awaitable[Answer]]
OK: Answer = (204, {}, b"")


class Site:
    """An HTTP server that answers as it is told. ``port`` once it is started; ``asked`` is what came."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self.asked: list[Asked] = []
        self.port = 0

    async def __aenter__(self) -> "Site":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def url(self, host: str = "127.0.0.1", path: str = "/hooks") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError, ssl.SSLError):
            while True:
                asked = await self._read(reader)
                self.asked.append(asked)
                answer = self._handler(asked)
                status, headers, body = answer if isinstance(answer, tuple) else await answer
                lines = [
                    f"HTTP/1.1 {status} Told",
                    f"content-length: {len(body)}",
                    *(f"{k}: {v}" for k, v in headers.items()),
                ]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Asked(head[0].split(" ")[1], headers, body)


def endpoint(url: str, **knobs: Any) -> Endpoint:
    """A subscriber on this machine."""
    given: dict[str, Any] = {"secrets": (Secret(SECRET),), "timeout": 20.0, "allow_private": True, **knobs}
    return Endpoint(name="crm", url=url, grants={}, schedule=(0.0,), **given)


def message(number: int) -> Message:
    """An event that tells its id."""
    body = msgspec.json.encode({"id": f"evt_{number}", "type": "order.paid", "data": {"name": "张*"}})
    return Message(id=f"evt_{number}", type="order.paid", subject="ord_1", at=AT + number, body=body)


async def send(end: Endpoint, *messages: Message, vetter: Vetter | None = None) -> Tried:
    """Once, with a client of its own."""
    clock = SystemClock()
    way = Webhook(end, clock=clock, vetter=vetter or Vetter(clock))
    try:
        return await way.send(messages or [message(1)], now=clock.now())
    finally:
        await way.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def resolving(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> list[str]:
    """Scripted DNS for every name: one list of addresses a question, the last for all that follow. Returns who was asked for."""
    asked: list[str] = []

    async def look(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr("gateway.destinations.address._look", look)
    return asked
