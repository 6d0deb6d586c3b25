"""Connections that are kept open, and those whose other end is gone without our having heard of it."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.clock import SystemClock
from gateway.destination import Tried
from gateway.destinations.address import Vetter
from gateway.destinations.post import Post
from tests.ways.test_destination_webhook import read_request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
Send = Callable[[], Awaitable[Tried]]


class Far:
    """A server that answers ``first`` requests of its first connection and ``later`` of each other, and hangs up on the next."""

    def __init__(self, *, first: int, later: int) -> None:
        self.requests = 0
        self._answers = [first]
        self._later = later

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = self._answers.pop() if self._answers else self._later
        try:
            while True:
                await read_request(reader)
                self.requests += 1
                if answers == 0:
                    return
                answers -= 1
                writer.write(OK)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


def told(far: Far, story: Callable[[Send], Awaitable[None]]) -> None:
    """Run ``story`` with a way to send to ``far``."""

    async def run() -> None:
        server = await asyncio.start_server(far.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        clock = SystemClock()
        post = Post(f"http://127.0.0.1:{port}/", clock=clock, vetter=Vetter(clock), allow_private=True)
        await story(lambda: post.post(b"{}", {"webhook-id": "evt_1"}, timeout=60.0))
        await post.close()
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_attempt() -> None:
    """The far side answered on it before, and hangs up when it is used again; a new one is answered."""
    far = Far(first=1, later=9)

    async def story(send: Send) -> None:
        assert (await send()).status == 200
        assert (await send()).status == 200
        assert far.requests == 3

    told(far, story)


def test_an_endpoint_that_hangs_up_is_asked_once_an_attempt() -> None:
    """Whether it never answered, or does so no more: once more after an answer, and then not until the next answer."""
    never = Far(first=0, later=0)

    async def story(send: Send) -> None:
        assert (await send()).status is None
        assert (await send()).status is None
        assert never.requests == 2

    told(never, story)
    no_more = Far(first=1, later=0)

    async def after(send: Send) -> None:
        assert (await send()).status == 200
        assert [(await send()).status for _ in range(3)] == [None] * 3
        assert no_more.requests == 1 + 2 + 1 + 1

    told(no_more, after)
