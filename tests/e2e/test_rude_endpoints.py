"""What an endpoint can do on its socket: every rudeness is an outcome with a stable word, within the deadline, and bounded in memory."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.clock import SystemClock
from gateway.destination import Endpoint, Message
from gateway.destinations.address import Vetter
from gateway.destinations.webhook import Webhook
from gateway.model.secret import Secret

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


def saying(*parts: bytes, pause: float = 0.0) -> Talk:
    """Read the request's head and answer this."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return talk


async def resets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up at once, hard."""
    writer.transport.abort()


async def hangs(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take it and say nothing."""
    await asyncio.sleep(30)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """10 GiB of an answer, as fast as they are read."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK + b"content-length: 10737418240\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


LATE = {"timeout"}
RUDE: dict[str, tuple[Talk, set[int | str]]] = {
    "resets": (resets, {"network", "connect"}),
    "hangs": (hangs, LATE),
    "drips a byte at a time": (saying(OK + b"x: ", *[b"y"] * 300, pause=0.1), LATE),
    "speaks no HTTP": (saying(b"220 smtp.example ESMTP\r\n"), {"network", "connect"}),
    "breaks off in the head": (saying(b"HTTP/1.1 200"), {"network", "connect"}),
    "breaks off in the body": (saying(OK + b"content-length: 100\r\n\r\nabc"), {"network", 200}),
    "lies about chunks": (saying(OK + b"transfer-encoding: chunked\r\n\r\nzzz\r\n"), {"network", 200}),
    "sends a head of a megabyte": (saying(OK + b"x: " + b"y" * (1 << 20) + b"\r\n\r\n"), {"network", "connect", 200}),
    "answers 10 GiB": (floods, {200}),
    "answers what is no text": (
        saying(b"HTTP/1.1 503 \xff\r\nretry-after: \xff\xfe\r\ncontent-length: 2\r\n\r\n\xff\xfe"),
        {503},
    ),
    "answers a status that is none": (saying(b"HTTP/1.1 99 No\r\n\r\n"), {"network", "connect"}),
    "answers 302": (saying(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"), {302}),
}


@pytest.mark.parametrize("name", RUDE)
def test_a_rude_endpoint_is_an_outcome(name: str) -> None:
    """Nothing is raised, nothing outlasts the deadline, and little of the answer is kept."""
    talk, expected = RUDE[name]

    async def run() -> None:
        async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except (OSError, EOFError, asyncio.CancelledError):
                return
            finally:
                writer.close()

        server = await asyncio.start_server(polite, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
        end = Endpoint(
            name="e", url=url, secrets=(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),), grants={}, schedule=(0.0,),
            timeout=0.5 if expected is LATE else 30.0, allow_private=True,
        )  # fmt: skip
        way = Webhook(end, clock=SystemClock(), vetter=Vetter(SystemClock()))
        began = time.monotonic()
        event = Message(id="evt_1", type="order.paid", subject="ord_1", at=0, body=b"{}")
        tried = await way.send([event], now=SystemClock().now())
        # Half of what the slowest of them would take, and many times the deadline: a busy machine may hold us up, too.
        assert time.monotonic() - began < 15.0
        assert (tried.status or tried.error) in expected, tried
        assert len(tried.response) <= 65536
        await way.close()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run(run())
