"""How the door's server answers, how long it waits, and how its connections end: raw bytes on real sockets, and a clock turned by hand."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from structlog.testing import capture_logs

from gateway.clock import TurnedClock
from gateway.doors.exchange import Exchange
from gateway.doors.http1 import BODY_TIME, HEAD_TIME, IDLE, SILENCE, App
from gateway.doors.server import HttpServer
from tests.servers.peers import CLOSE, Answer, Echo, Peer, Place, get, post, serving, tale, told, whole


async def stream(exchange: Exchange) -> None:
    """Two parts; three with an empty one."""
    exchange.begin(200, [("x-own", "yes")])
    for part in (b"one ", b"", b"two"):
        await exchange.send(part)
    exchange.finish()


async def until(true: Callable[[], object]) -> None:
    """Return when it is."""
    while not true():
        await asyncio.sleep(0.01)


async def read(place: Place, *said: int) -> None:
    """Return when the server has read so many bytes of each connection, and no more."""
    await until(lambda: sorted(one._came for one in place.server.connections) == sorted(said))


# ---------------------------------------------------------------------- what an answer looks like
@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_what_has_no_body_ends_with_its_head(status: int, method: str, streamed: bool) -> None:
    """HEAD, 204 and 304 (RFC 9112 §6.3): the next answer begins right behind it."""

    async def app(exchange: Exchange) -> None:
        if not streamed:
            exchange.respond(status, [], b"body")
            return
        exchange.begin(status, [])
        await exchange.send(b"body")
        exchange.finish()

    async def story(place: Place) -> None:
        peer = await place.peer(get("/").replace(b"GET", method.encode()) * 2)
        for _ in range(2):
            answer = await peer.answer(bodyless=method == "HEAD")
            assert (answer.status, answer.body) == (status, b"body" if (method, status) == ("GET", 200) else b"")
            if status != 200:
                assert not answer.headers.keys() & {"content-length", "transfer-encoding"}
            elif not streamed:
                assert answer.headers["content-length"] == "4"
        assert peer.reader._buffer == b""  # type: ignore[attr-defined]

    told(app, story)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", None),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", "keep-alive"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", None),
    ],
    ids=["1.0", "1.0 kept", "1.1 closed"],
)
def test_the_connection_is_kept_for_who_asks_for_it(said: bytes, kept: str | None) -> None:
    """HTTP/1.0 asks to keep it, HTTP/1.1 to end it; what comes behind the last request is none."""
    echo = Echo()

    async def story(place: Place) -> None:
        answers = await place.ask(said + CLOSE)
        assert [answer.headers["connection"] for answer in answers] == ([kept, "close"] if kept else ["close"])
        assert len(echo.seen) == len(answers)

    told(echo, story)


def test_a_streamed_answer_comes_in_chunks_or_ends_with_the_connection() -> None:
    """Chunks came with HTTP/1.1. An empty part is not the last chunk."""

    async def story(place: Place) -> None:
        new, last = await place.ask(get("/") + CLOSE)
        assert (new.body, new.whole, last.body) == (b"one two", True, b"one two")
        (old,) = await place.ask(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert (old.body, old.headers["connection"]) == (b"one two", "close")
        assert "transfer-encoding" not in old.headers

    told(stream, story)


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb", "€"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_header_that_is_none_is_a_fault_of_ours(value: str, streamed: bool) -> None:
    """It would be another header, or a body. Nothing of it leaves; the connection is as good as before."""

    async def app(exchange: Exchange) -> None:
        if streamed:
            exchange.begin(200, [("x-secret", value)])
        exchange.respond(200, [("x-secret", value)], b"secret")

    async def story(place: Place) -> None:
        with capture_logs() as logs:
            peer = await place.peer(get("/"))
            answer = await peer.answer()
            assert answer.status == 500
            assert "secret" not in str(answer.headers) + answer.body.decode()
            assert "connection" not in answer.headers
        assert [line["event"] for line in logs] == ["door.fault"]

    told(app, story)


def test_an_application_that_raises_in_the_middle_leaves_its_answer_without_an_end() -> None:
    """Its peer must not take it for a whole one; the next request goes elsewhere."""

    async def app(exchange: Exchange) -> None:
        exchange.begin(200, [])
        await exchange.send(b"half")
        await asyncio.sleep(0.05)
        raise RuntimeError("a fault of ours")

    async def story(place: Place) -> None:
        with capture_logs():
            (answer,) = await place.ask(get("/") * 2)
        assert (answer.body, answer.whole) == (b"half", False)

    told(app, story)


def test_an_application_that_answers_nothing_ends_the_connection() -> None:
    """The answer to the next request would be taken for this one's, and so would a refusal."""
    seen: list[str] = []

    async def app(exchange: Exchange) -> None:
        seen.append(exchange.path)
        if exchange.path == "/1":
            exchange.respond(200, [], b"")

    async def story(place: Place) -> None:
        for behind in (get("/3"), b"no request\r\n\r\n"):
            answers = await place.ask(get("/1") + get("/2") + behind)
            assert [answer.status for answer in answers] == [200]
        assert seen == ["/1", "/2"] * 2

    told(app, story)


# ---------------------------------------------------------------------- before the request is whole
@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_early_answer_reaches_a_sender_who_still_sends(loop: Callable[..., None], chunked: bool) -> None:
    """It sends all of 12 MB before it listens, and is not reset before; what it sends after the answer is no request."""
    size = 12_000_000
    seen: list[str] = []

    async def app(exchange: Exchange) -> None:
        seen.append(exchange.path)
        exchange.respond(413, [], b"too large")

    async def story(place: Place) -> None:
        head = post("/", "transfer-encoding: chunked", body=b"%x\r\n" % size) if chunked else post("/", f"content-length: {size}")  # fmt: skip
        peer = await place.peer(head)
        for _ in range(50):
            await peer.say(get("/smuggled").ljust(size // 50, b"x"))
            await asyncio.sleep(0.002)
        await peer.say(b"\r\n0\r\n\r\n" * chunked + get("/smuggled"))
        (answer,) = await peer.rest()
        assert (answer.status, answer.headers["connection"], answer.body) == (413, "close", b"too large")
        assert seen == ["/"]

    loop(tale(app, story))


# ---------------------------------------------------------------------- patience
async def silent(peer: Peer, place: Place, seconds: int, behind: bytes = b"") -> list[Answer]:
    """What is heard after so many seconds, and nothing before."""
    await place.turn(seconds - 1)
    await peer.say(behind)
    assert not peer.reader.at_eof()
    assert peer.reader._buffer == b""  # type: ignore[attr-defined]
    await place.turn(3)
    return await peer.rest()


@pytest.mark.parametrize(
    ("said", "seconds", "statuses"),
    [
        (b"", IDLE, []),
        (b"GET / HTTP/1.1\r\nhost", HEAD_TIME, [408]),
        (post("/", "content-length: 9", body=b"abc"), BODY_TIME, [408]),
        (post("/", "content-length: 99999", body=b"abc"), SILENCE, [408]),
    ],
    ids=["idle", "head", "small body", "large body"],
)
def test_who_keeps_us_waiting_is_not_waited_for(said: bytes, seconds: int, statuses: list[int]) -> None:
    """Each part of a request has its time; who begins none is let go without a word."""
    echo = Echo()

    async def story(place: Place) -> None:
        peer = await place.peer(said)
        await read(place, len(said))
        answers = await silent(peer, place, seconds)
        assert [(answer.status, answer.headers["connection"]) for answer in answers] == [
            (status, "close") for status in statuses
        ]
        assert echo.seen == []
        assert echo.cut == int(b"99999" in said)

    told(echo, story)


def test_the_server_looks_by_itself() -> None:
    """Once in a real second, whatever its clock says."""

    async def story(place: Place) -> None:
        peer = await place.peer()
        place.clock.turn(IDLE + 1)
        assert await peer.rest() == []

    told(Echo(), story)


def test_bytes_one_by_one_do_not_buy_time() -> None:
    """A head and a small body have their time however often something comes."""

    async def story(place: Place) -> None:
        begun = b"GET / HTTP/1.1\r\nhost", post("/", "content-length: 9", body=b"a")
        head, body = [await place.peer(said) for said in begun]
        await read(place, *map(len, begun))
        assert [answer.status for answer in await silent(head, place, HEAD_TIME, b": ")] == [408]
        assert [answer.status for answer in await silent(body, place, BODY_TIME - HEAD_TIME - 2, b"b")] == [408]

    told(Echo(), story)


def test_a_large_body_may_take_its_time_as_long_as_it_comes() -> None:
    """Only silence ends it."""

    async def story(place: Place) -> None:
        head = post("/", "content-length: 70000")
        peer = await place.peer(head)
        for part in range(1, 5):
            await peer.say(bytes(17_500))
            await read(place, len(head) + part * 17_500)
            await place.turn(SILENCE - 1)
        assert (await peer.answer()).status == 200

    told(Echo(), story)


def test_a_request_being_worked_on_has_all_the_time_it_wants() -> None:
    """Also when its body is large and not taken, and the next request waits behind it, whole or not."""
    go = asyncio.Event()
    begun: list[str] = []

    async def app(exchange: Exchange) -> None:
        begun.append(exchange.path)
        await go.wait()
        exchange.respond(200, [], b"%d" % len(await whole(exchange)))

    async def story(place: Place) -> None:
        small = await place.peer(get("/"))
        large = await place.peer(post("/", "content-length: 1000000"))
        sending = asyncio.create_task(large.say(bytes(1_000_000)))
        many = await place.peer(get("/") + get("/2") + b"GET /3")
        await until(lambda: begun == ["/"] * 3)
        await place.turn(10 * IDLE)
        await place.turn(10)
        go.set()
        await sending
        assert [(await peer.answer()).body for peer in (small, large, many, many)] == [b"0", b"1000000", b"0", b"0"]
        await many.say(b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await many.answer()).body == b"0"

    told(app, story)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_takes_nothing_of_its_answer_is_cut_and_who_takes_it_slowly_is_not(loop: Callable[..., None], streamed: bool) -> None:  # fmt: skip
    """What counts is that bytes go."""
    ended: list[str] = []

    async def app(exchange: Exchange) -> None:
        if not streamed:
            exchange.respond(200, [], bytes(30_000_000))
            return
        exchange.begin(200, [])
        for _ in range(300):
            await exchange.send(bytes(100_000))
        exchange.finish()
        ended.append(exchange.path)

    async def story(place: Place) -> None:
        deaf = await place.peer(get("/deaf"), most=1000)
        slow = await place.peer(get("/slow"), most=1000)
        await asyncio.sleep(0.1)
        taken = 0
        for _ in range(4):
            taken += len(await slow.reader.readexactly(5_000_000))
            await asyncio.sleep(0.05)
            await place.turn(SILENCE - 10)
        await until(lambda: len(place.server.connections) == 1)
        taken += len(await slow.reader.readexactly(30_000_000 - taken))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            _ = await deaf.reader.readexactly(30_000_000)

    loop(tale(app, story))


# ---------------------------------------------------------------------- peers who go
@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_says_no_more_is_answered_still(loop: Callable[..., None]) -> None:
    """A whole request was sent, and another; the one behind them was not."""

    async def app(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await (stream(exchange) if exchange.path == "/2" else Echo()(exchange))

    async def story(place: Place) -> None:
        peer = await place.peer(post("/1", "content-length: 2", body=b"ab") + get("/2") + b"GET /3")
        await asyncio.sleep(0.05)
        peer.writer.write_eof()
        assert [(answer.body, answer.whole) for answer in await peer.rest()] == [(b"ab", True), (b"one two", True)]

    loop(tale(app, story))


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("politely", [False, True])
def test_over_tells_when_nobody_hears_an_answer_any_more(loop: Callable[..., None], politely: bool) -> None:
    """An answer that would never end ends with its peer."""
    ended: list[bool] = []

    async def app(exchange: Exchange) -> None:
        exchange.begin(200, [])
        await exchange.send(b"one")
        await exchange.over()
        ended.append(True)
        await exchange.send(b"for nobody")
        exchange.finish()

    async def story(place: Place) -> None:
        peer = await place.peer(get("/"))
        _ = await peer.reader.readuntil(b"one")
        assert not ended
        _ = peer.writer.close() if politely else peer.writer.transport.abort()
        await until(lambda: ended)
        await until(lambda: not place.server.connections)

    loop(tale(app, story))


# ---------------------------------------------------------------------- the server goes
def slowly(go: asyncio.Event) -> App:
    """An application that answers when told to."""

    async def app(exchange: Exchange) -> None:
        await go.wait()
        exchange.respond(200, [], exchange.path.encode())

    return app


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_stopped_it_ends_idle_connections_and_finishes_what_was_begun(loop: Callable[..., None]) -> None:
    """Each begun one with its answer; then ``run`` returns."""
    go = asyncio.Event()

    async def story() -> None:
        async with asyncio.timeout(60), serving(slowly(go)) as place:
            begun = b"", get("/busy"), b"GET /new HTTP/1.1\r\n"
            idle, busy, new = [await place.peer(said) for said in begun]
            await read(place, *map(len, begun))
            place.server.stop()
            assert await idle.rest() == []
            with pytest.raises(ConnectionRefusedError):
                _ = await place.peer()
            await new.say(b"host: x\r\n\r\n")
            go.set()
            for peer, body in ((busy, b"/busy"), (new, b"/new")):
                (answer,) = await peer.rest()
                assert (answer.body, answer.headers["connection"]) == (body, "close")
            await until(lambda: not place.server.connections)

    loop(story())


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_stepping_aside_leaves_new_connections_to_the_successor(loop: Callable[..., None]) -> None:
    """On the same queue: nobody is refused, and those that are there are answered by whom they came to."""
    go = asyncio.Event()

    async def after(exchange: Exchange) -> None:
        exchange.respond(200, [], b"successor")

    async def story() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        kept = listening.dup()
        old, new = [
            HttpServer(app, clock=TurnedClock(), host="", port=0, sockets=[one])
            for app, one in ((slowly(go), listening), (after, kept))
        ]
        first = asyncio.create_task(old.run())
        place = Place(old, TurnedClock(), port)
        busy = await place.peer(get("/busy"))
        await until(lambda: old.connections)
        old.step_aside()
        waiting = await place.peer(get("/waiting"))
        second = asyncio.create_task(new.run())
        answers = [await waiting.answer(), *[await (await place.peer(get("/"))).answer() for _ in range(20)]]
        assert [answer.body for answer in answers] == [b"successor"] * 21
        go.set()
        (answer,) = await busy.rest()
        assert (answer.body, answer.headers["connection"]) == (b"/busy", "close")
        place.leave()
        for server, run in ((old, first), (new, second)):
            server.stop()
            await run

    async def bounded(story: Awaitable[None]) -> None:
        async with asyncio.timeout(60):
            await story

    loop(bounded(story()))


def test_one_connection_too_many_is_told_to_come_again() -> None:
    """And is let in when another has gone."""

    async def story(place: Place) -> None:
        kept = [await place.peer(get("/")) for _ in range(2)]
        _ = [await peer.answer() for peer in kept]
        (answer,) = await place.ask(get("/"))
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert int(answer.headers["retry-after"]) > 0
        kept[0].writer.close()
        # Who was refused is still there, and does not count.
        await until(lambda: len(place.server.connections) == 2)
        assert (await (await place.peer(get("/"))).answer()).status == 200

    told(Echo(), story, most=2)


def test_an_application_that_is_cancelled_ends_its_connection() -> None:
    """Nobody else would ever answer it."""

    async def app(exchange: Exchange) -> None:
        raise asyncio.CancelledError

    async def story(place: Place) -> None:
        assert await place.ask(get("/")) == []
        await until(lambda: not place.server.connections)

    told(app, story)
