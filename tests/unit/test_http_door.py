"""The HTTP door and the bridge to the inner application, on the real server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.clock import SystemClock
from gateway.connector import Reply, Request
from gateway.doors.http import HttpDoor
from gateway.doors.server import HttpServer
from gateway.meters import Meters

MOST = 1000
TOO_LARGE = Reply(status=413, body=b"too large")


class Inside:
    """What the door hands on."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Request]] = []
        self.oversized: list[int] = []

    async def accept(self, name: str, request: Request) -> Reply:
        if name == "broken":
            raise RuntimeError("a fault of ours")
        self.requests.append((name, request))
        return Reply(status=202, body=b"kept", content_type="text/plain", headers=(("x-own", "yes"),))

    def refuse(self, _name: str, _request: Request, size: int) -> Reply:
        self.oversized.append(size)
        return TOO_LARGE


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that echoes, or streams two parts."""
    said = await receive()
    if said["type"] == "http.disconnect":
        raise ConnectionError("the sender is gone")
    body = said["body"]
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"x-path", scope["path"].encode())],
        }
    )
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": False})
        return
    await send({"type": "http.response.body", "body": body + scope["query_string"]})


def served(story: Callable[[httpx.AsyncClient, Inside], Awaitable[None]]) -> None:
    """Run ``story`` against a served door."""

    async def run() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        inside = Inside()
        door = HttpDoor(
            accept=inside.accept,
            oversized=inside.refuse,
            inner=inner,
            clock=SystemClock(),
            meters=Meters(),
            max_body=MOST,
        )
        server = HttpServer(door, clock=SystemClock(), host="", port=0, sockets=[listening])
        serving = asyncio.create_task(server.run())
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http:
                await story(http, inside)
        finally:
            server.stop()
            await serving

    asyncio.run(run())


def test_a_callback_reaches_its_account_with_everything_it_said() -> None:
    """Method, raw query, lower-case headers, body and peer arrive; the reply goes out as the connector made it."""

    async def story(http: httpx.AsyncClient, inside: Inside) -> None:
        answer = await http.post("/in/shop?a=1%2B2&b=", content=b"\x00body", headers={"X-Signature": "abc"})
        assert (answer.status_code, answer.content, answer.headers["x-own"]) == (202, b"kept", "yes")
        ((name, request),) = inside.requests
        assert (name, request.method, request.query, request.body, request.peer) == (
            "shop",
            "POST",
            "a=1%2B2&b=",
            b"\x00body",
            "127.0.0.1",
        )
        assert request.headers["x-signature"] == "abc"

    served(story)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit_is_refused_and_one_at_it_is_taken(chunked: bool) -> None:
    """Whether the sender says how long it is or not; whoever reads it is told which."""

    async def parts(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 100):
            yield b"x" * 100

    async def story(http: httpx.AsyncClient, inside: Inside) -> None:
        for size, status in ((MOST, 202), (MOST + 100, 413)):
            answer = await http.post("/in/shop", content=parts(size) if chunked else b"x" * size)
            assert answer.status_code == status
        assert [len(request.body) for _, request in inside.requests] == [MOST]
        assert inside.oversized == [MOST + 100]
        assert (await http.get("/in/shop?echostr=1")).status_code == 202

    served(story)


@pytest.mark.parametrize(
    ("said", "sent"),
    [("content-length: 10", b"hello"), ("transfer-encoding: chunked", b"5\r\nhello\r\n"), ("transfer-encoding: chunked", b"5\r\nhe")],
    ids=["length", "between chunks", "in a chunk"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/in/shop", "/echo"])
def test_a_body_that_is_cut_off_reaches_nobody(path: str, said: str, sent: bytes) -> None:
    """The sender died: neither the pipeline nor the inner application takes what came for all of it."""

    async def story(http: httpx.AsyncClient, inside: Inside) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\n{said}\r\n\r\n".encode() + sent)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        assert inside.requests == []
        assert b" 20" not in answer.partition(b"\r\n")[0]

    served(story)


def test_a_fault_of_ours_is_a_500_that_says_nothing() -> None:
    """The sender is asked to come again; what went wrong stands in the log."""

    async def story(http: httpx.AsyncClient, _inside: Inside) -> None:
        answer = await http.post("/in/broken", content=b"x")
        assert answer.status_code == 500
        assert b"RuntimeError" not in answer.content

    served(story)


def test_other_methods_are_told_which_are_taken() -> None:
    """A DELETE on a callback address is nobody's protocol."""

    async def story(http: httpx.AsyncClient, _inside: Inside) -> None:
        answer = await http.delete("/in/shop")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")

    served(story)


def test_everything_else_goes_to_the_inner_application() -> None:
    """Path unquoted, query raw, body whole; parts are streamed."""

    async def story(http: httpx.AsyncClient, _inside: Inside) -> None:
        answer = await http.post("/a%20b?q=%2F", content=b"said ")
        assert (answer.content, answer.headers["x-path"]) == (b"said q=%2F", "/a b")
        assert (await http.get("/stream")).text == "one two"

    served(story)
