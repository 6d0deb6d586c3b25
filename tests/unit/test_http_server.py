"""What the door's server takes for a request, and what it answers: raw bytes on real sockets."""

import asyncio
import itertools

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.doors.exchange import Cut, Exchange
from gateway.doors.http1 import SMALL
from tests.servers.peers import CLOSE, Echo, Peer, Place, get, post, tale, told

_CHUNKED = "transfer-encoding: chunked"
_UNCLEAR = {
    "length and chunks": post("/", "content-length: 5", _CHUNKED, body=b"0\r\n\r\n"),
    "chunks and length": post("/", _CHUNKED, "content-length: 5", body=b"0\r\n\r\n"),
    "two lengths": post("/", "content-length: 3", "content-length: 4", body=b"abcd"),
    "the same length twice": post("/", "content-length: 3", "content-length: 3", body=b"abc"),
    "a list of lengths": post("/", "content-length: 3, 3", body=b"abc"),
    "a signed length": post("/", "content-length: +3", body=b"abc"),
    "a negative length": post("/", "content-length: -3", body=b"abc"),
    "no length": post("/", "content-length:", body=b"abc"),
    "a length beyond all": post("/", "content-length: 99999999999999999999", body=b"abc"),
    "blank before the colon": post("/", "content-length : 3", body=b"abc"),
    "folded header": post("/", "a: b", " c: d"),
    "blank before the first header": b"GET / HTTP/1.1\r\n host: x\r\nhost: x\r\n\r\n",
    "bare line feed": b"GET / HTTP/1.1\nhost: x\n\n",
    "bare line feed in a head": b"GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n",
    "bare carriage return": post("/", "a: b\rc: d"),
    "unknown coding": post("/", "transfer-encoding: gzip", body=b"0\r\n\r\n"),
    "unknown coding, then chunks": post("/", "transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunks, then unknown coding": post("/", "transfer-encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "nearly chunks": post("/", "transfer-encoding: xchunked", body=b"0\r\n\r\n"),
    "chunks twice": post("/", _CHUNKED, _CHUNKED, body=b"0\r\n\r\n"),
    "chunks twice in one": post("/", "transfer-encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "no coding": post("/", "transfer-encoding:", body=b"0\r\n\r\n"),
    "chunks with HTTP/1.0": b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "nul in a header": post("/", "a: b\0c"),
    "blank in a name": post("/", "a b: c"),
    "no name": post("/", ": c"),
    "no colon": post("/", "abc"),
    "two hosts": post("/", "host: y"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "byte above ascii in the target": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "unknown version": b"GET / HTTP/1.2\r\nhost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "tunnel": b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "tunnel to a path": b"CONNECT /a HTTP/1.1\r\nhost: x\r\n\r\n",
    "tunnel with an offer": b"CONNECT /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
}
_FAULTY_CHUNKS = {
    "bare line feeds": b"3\nabc\n0\n\n",
    "bare line feed behind an extension": b"3;a=b\nabc\r\n0\r\n\r\n",
    "blank behind the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "sign": b"-3\r\nabc\r\n0\r\n\r\n",
    "no end of line": b"3\r\nabcd\r\n0\r\n\r\n",
    "beyond all": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
}


def byte_by_byte(requests: bytes) -> list[list[bytes]]:
    """All ways to cut it once."""
    return [[requests[:at], requests[at:]] for at in range(1, len(requests))]


@pytest.mark.parametrize("said", _UNCLEAR.values(), ids=_UNCLEAR.keys())
def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(said: bytes) -> None:
    """Nobody is asked; and what comes behind it is no request."""
    echo = Echo()

    async def story(place: Place) -> None:
        (answer,) = await place.ask(said + get("/smuggled"))
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        late = await place.peer(said)
        assert (await late.answer()).status == 400
        await late.say(get("/smuggled"))
        assert await late.rest() == []
        assert echo.seen == []

    told(echo, story)


@pytest.mark.parametrize("chunks", _FAULTY_CHUNKS.values(), ids=_FAULTY_CHUNKS.keys())
def test_chunks_that_can_be_read_in_two_ways_are_refused(chunks: bytes) -> None:
    """The body is no body, and what comes behind it no request."""
    echo = Echo()

    async def story(place: Place) -> None:
        answers = await place.ask(post("/", _CHUNKED, body=chunks) + get("/smuggled"))
        assert [answer.status for answer in answers] == [400]
        assert echo.seen == []

    told(echo, story)


@pytest.mark.parametrize("version", [" HTTP/0.9", " HTTP/2.0", ""], ids=["0.9", "2.0", "none"])
def test_another_version_is_told_which_is_spoken(version: str) -> None:
    """Its framing is not that of HTTP/1."""

    async def story(place: Place) -> None:
        answers = await place.ask(f"GET /{version}\r\nhost: x\r\n\r\n".encode())
        assert [answer.status for answer in answers] == [505]

    told(Echo(), story)


_STREAM = (
    get("/1?a=b")
    + post("/2", "content-length: 5", body=b"hello")
    + post("/3", _CHUNKED, body=b'3;a="b"\r\nabc\r\n2\r\nde\r\n0\r\nx-late: 1\r\n\r\n')
    + get("/4")
    + post("/5", "content-length: 0")
    + CLOSE
)
_SEEN = [("GET", "/1", b""), ("POST", "/2", b"hello"), ("POST", "/3", b"abcde"), ("GET", "/4", b""), ("POST", "/5", b""), ("GET", "/end", b"")]  # fmt: skip


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_requests_in_one_write_are_answered_in_order(loop: object) -> None:
    """Each once, though the first is slow; what comes behind the last is none."""
    seen: list[str] = []

    async def app(exchange: Exchange) -> None:
        seen.append(exchange.path)
        if exchange.path == "/1":
            await asyncio.sleep(0.1)
        body = exchange.ready()
        assert body is not None
        exchange.respond(200, [], f"{exchange.path} ".encode() + body)

    async def story(place: Place) -> None:
        answers = await place.ask(_STREAM + get("/behind"))
        assert [answer.body for answer in answers] == [b"%b %b" % (path.encode(), body) for _, path, body in _SEEN]
        assert seen == [path for _, path, _ in _SEEN]
        assert ["connection" in answer.headers for answer in answers] == [False] * 5 + [True]

    assert callable(loop)
    loop(tale(app, story))


def test_a_faulty_request_behind_good_ones_is_answered_after_them() -> None:
    """The good ones do not suffer for it."""

    async def app(exchange: Exchange) -> None:
        await asyncio.sleep(0.02)
        exchange.respond(200, [], b"")

    async def story(place: Place) -> None:
        answers = await place.ask(get("/1") + get("/2") + _UNCLEAR["two hosts"] + get("/3"))
        assert [answer.status for answer in answers] == [200, 200, 400]
        assert ["connection" in answer.headers for answer in answers] == [False, False, True]

    told(app, story)


def test_requests_cut_at_any_byte_are_the_same() -> None:
    """One write or two: the same requests, the same answers."""
    echo = Echo()

    async def one(place: Place, parts: list[bytes]) -> None:
        peer = await place.peer(parts[0])
        await asyncio.sleep(0.01)
        await peer.say(parts[1])
        assert [answer.body for answer in await peer.rest()] == [body for _, _, body in _SEEN]

    async def story(place: Place) -> None:
        ways = byte_by_byte(_STREAM)
        _ = await asyncio.gather(*(one(place, parts) for parts in ways))
        assert sorted(echo.seen) == sorted(_SEEN * len(ways))

    told(echo, story)


@settings(max_examples=40)
@given(
    bodies=st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 1500), max_size=8),
)
def test_however_a_stream_is_split_into_writes_its_answers_are_the_same(
    bodies: list[tuple[bool, bytes]], cuts: list[int]
) -> None:
    """Lengths, chunks, and any bytes in the bodies."""
    echo = Echo()
    stream = b""
    for number, (chunked, body) in enumerate(bodies):
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        said = _CHUNKED if chunked else f"content-length: {len(body)}"
        stream += post(f"/{number}", said, body=chunks if chunked else body)
    stream += CLOSE
    edges = sorted({0, len(stream), *(at for at in cuts if at < len(stream))})

    async def story(place: Place) -> None:
        peer = await place.peer()
        for begin, end in itertools.pairwise(edges):
            await peer.say(stream[begin:end])
            await asyncio.sleep(0.001)
        assert [answer.body for answer in await peer.rest()] == [*(body for _, body in bodies), b""]
        assert [path for _, path, _ in echo.seen] == [*(f"/{number}" for number in range(len(bodies))), "/end"]

    told(echo, story)


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_flood_in_one_write_is_answered_whole_and_in_order(loop: object) -> None:
    """Also when a read ends in the middle of a head, far behind where it began."""
    many = 6000

    async def app(exchange: Exchange) -> None:
        exchange.respond(200, [], exchange.path.encode())

    async def story(place: Place) -> None:
        answers = await place.ask(b"".join(get(f"/{number}") for number in range(many)) + CLOSE)
        assert [answer.body for answer in answers] == [*(b"/%d" % number for number in range(many)), b"/end"]

    assert callable(loop)
    loop(tale(app, story))


def test_who_does_not_read_answers_is_given_no_more_of_them() -> None:
    """Requests are cheap to send: what they ask for is made when the answers before it were read."""
    made: list[str] = []

    async def app(exchange: Exchange) -> None:
        made.append(exchange.path)
        exchange.respond(200, [], bytes(1_000_000))

    async def story(place: Place) -> None:
        peer = await place.peer(get("/") * 100 + CLOSE, most=SMALL)
        await asyncio.sleep(0.2)
        assert len(made) < 20
        assert sum([len(answer.body) for answer in await peer.rest()]) == 101_000_000

    told(app, story)


def test_asked_for_its_body_a_sender_hears_it_once_and_before() -> None:
    """Only when the application wants the body."""
    asked = asyncio.Event()

    async def app(exchange: Exchange) -> None:
        await asked.wait()
        exchange.respond(200, [], await exchange.part() + await exchange.part())

    async def story(place: Place) -> None:
        peer = await place.peer(post("/", "expect: 100-Continue", "content-length: 4"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.readexactly(1), 0.1)
        asked.set()
        assert (await peer.answer()).status == 100
        await peer.say(b"ab")
        await asyncio.sleep(0.05)
        await peer.say(b"cd" + CLOSE)
        assert [(answer.status, answer.body) for answer in await peer.rest()] == [(200, b"abcd"), (200, b"")]

    told(app, story)


@pytest.mark.parametrize("said", [post("/", "expect: 100-continue", "content-length: 2", body=b"ab"), b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab", post("/", "expect: 100-continue", "content-length: 0")], ids=["did not wait", "HTTP/1.0", "no body"])  # fmt: skip
def test_a_sender_who_does_not_wait_is_not_asked(said: bytes) -> None:
    """HTTP/1.0 would take it for the answer (RFC 9110 §10.1.1)."""

    async def story(place: Place) -> None:
        peer = await place.peer(said)
        assert (await peer.answer()).status == 200

    told(Echo(), story)


def test_an_early_refusal_ends_the_connection_without_asking_for_the_body() -> None:
    """Who waited never sends it; who did not is not taken for a request."""

    async def app(exchange: Exchange) -> None:
        exchange.respond(413, [], b"too large")

    async def story(place: Place) -> None:
        peer = await place.peer(post("/", "expect: 100-continue", "content-length: 1000000"))
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await peer.say(get("/smuggled"))
        assert await peer.rest() == []

    told(app, story)


_HEADS = {
    "head": (post("/", f"a: {'x' * 40_000}", f"b: {'x' * 40_000}"), 431),
    "head without end": (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 1_000_000, 431),
    "name without end": (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x" * 1_000_000, 431),
    "headers": (post("/", *(f"a{number}: b" for number in range(128))), 431),
    "target": (get("/" + "x" * 16 * 1024), 414),
    "target without end": (b"GET /" + b"x" * 1_000_000, 414),
    "trailers": (post("/", _CHUNKED, body=b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n"), 431),
    "trailer without end": (post("/", _CHUNKED, body=b"3\r\nabc\r\n0\r\na: " + b"x" * 1_000_000), 431),
    "extension without end": (post("/", _CHUNKED, body=b"3;" + b"x" * 1_000_000), 431),
}


@pytest.mark.parametrize(("said", "status"), _HEADS.values(), ids=_HEADS.keys())
@pytest.mark.parametrize("step", [1000, 2**20], ids=["slowly", "at once"])
def test_a_head_over_its_limits_is_refused(said: bytes, status: int, step: int) -> None:
    """However it is cut, also when it has no end."""
    echo = Echo()

    async def story(place: Place) -> None:
        peer = await place.peer()
        for at in range(0, min(len(said), 400_000 if step == 1000 else len(said)), step):
            await peer.say(said[at : at + step])
        assert [answer.status for answer in await peer.rest()] == [status]
        assert echo.seen == []

    told(echo, story)


def test_a_head_at_its_limits_is_taken() -> None:
    """They are limits, not fences in front of them."""

    async def story(place: Place) -> None:
        target = "/" + "x" * (16 * 1024 - 1)
        lines = [f"a{number}: {'x' * 400}" for number in range(125)]
        (answer,) = await place.ask(
            get(target).replace(b"\r\n\r\n", "\r\n".join(["", *lines, "connection: close", "", ""]).encode())
        )
        assert answer.status == 200

    told(Echo(), story)


def test_names_are_lower_case_and_repeated_headers_are_joined() -> None:
    """Cookies by their own separator (RFC 6265 §5.4), all others as a list (RFC 9110 §5.3); blanks around a value are none of it."""
    echo = Echo()

    async def story(place: Place) -> None:
        said = (
            post("/", "X-One: a", "x-ONE:b \t", "Cookie: c=1", "cookie: d=2", "empty:", "latin: \xe9")
            .decode()
            .encode("latin-1")
        )
        _ = await place.ask(said + CLOSE)
        assert echo.headers[0] == {"host": "x", "x-one": "a, b", "cookie": "c=1; d=2", "empty": "", "latin": "\xe9"}

    told(echo, story)


@pytest.mark.parametrize("offer", ["websocket", "h2c"])
@pytest.mark.parametrize("framing", ["none", "length", "chunks"])
def test_an_offer_to_speak_something_else_is_answered_in_http1(offer: str, framing: str) -> None:
    """Java's client offers h2c with its first request, whatever it is: the body is taken, and what comes behind it is not."""
    echo = Echo()
    body = b"x" * 100_000
    says = {"none": (), "length": (f"content-length: {len(body)}",), "chunks": (_CHUNKED,)}[framing]
    sent = {"none": b"", "length": body, "chunks": b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)}[framing]

    async def story(place: Place) -> None:
        said = post(
            "/",
            f"Upgrade: {offer}",
            "Connection: Upgrade, HTTP2-Settings",
            "HTTP2-Settings: AAMAAABkAAQAAP",
            *says,
            body=sent,
        )
        (answer,) = await place.ask(said + get("/behind"))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert echo.seen == [("POST", "/", b"" if framing == "none" else body)]

    told(echo, story)


@pytest.mark.parametrize(
    ("said", "sent"),
    [("content-length: 9", b"abc"), (_CHUNKED, b"9\r\nabc"), (_CHUNKED, b"3\r\nabc\r\n"), ("content-length: 99999", b"abc")],
    ids=["length", "in a chunk", "between chunks", "large"],
)  # fmt: skip
@pytest.mark.parametrize("asking", [False, True])
def test_a_body_that_is_cut_off_is_never_a_whole_one(said: str, sent: bytes, asking: bool) -> None:
    """An application that waits for it is told; one that was not begun never is."""
    echo = Echo()

    async def story(place: Place) -> None:
        lines = ("expect: 100-continue", said) if asking else (said,)
        peer = await place.peer(post("/", *lines))
        if asking:
            assert (await peer.answer()).status == 100
        await peer.say(sent)
        await asyncio.sleep(0.05)
        peer.writer.write_eof()
        assert await peer.rest() == []
        assert echo.seen == []
        assert echo.cut == int(asking or said.endswith("99999"))

    told(echo, story)


def test_a_large_body_comes_no_faster_than_it_is_taken() -> None:
    """While nobody takes it no more is held than what is small, and one read; then all of it comes."""
    size = 8_000_000
    held: list[int] = []
    go = asyncio.Event()

    async def app(exchange: Exchange) -> None:
        assert exchange.ready() is None
        await go.wait()
        held.append(exchange.held)
        total = 0
        while part := await exchange.part():
            held.append(len(part))
            total += len(part)
        exchange.respond(200, [], b"%d" % total)

    async def send(peer: Peer) -> None:
        await peer.say(bytes(size))

    async def story(place: Place) -> None:
        for head in (post("/", f"content-length: {size}"), post("/", _CHUNKED, body=b"%x\r\n" % size)):
            go.clear()
            peer = await place.peer(head)
            sending = asyncio.create_task(send(peer))
            await asyncio.sleep(0.1)
            assert not sending.done()
            go.set()
            await sending
            await peer.say(b"\r\n0\r\n\r\n" if b"chunked" in head else b"")
            assert (await peer.answer()).body == b"%d" % size
        assert max(held) <= SMALL + 256 * 1024

    told(app, story)


def test_a_small_body_is_ready_when_the_application_begins() -> None:
    """It need not wait for it."""

    async def app(exchange: Exchange) -> None:
        body = exchange.ready()
        exchange.respond(200, [], b"not ready" if body is None else body)

    async def story(place: Place) -> None:
        for lines, parts in (
            (("content-length: 4",), (b"ab", b"cd")),
            ((_CHUNKED,), (b"2\r\nab\r\n", b"2\r\ncd\r\n0\r\n\r\n")),
        ):
            peer = await place.peer(post("/", *lines))
            for part in parts:
                await peer.say(part)
                await asyncio.sleep(0.02)
            assert (await peer.answer()).body == b"abcd"

    told(app, story)


def test_trailers_do_not_become_headers() -> None:
    """Who sends them behind the body has passed whatever checks the head."""
    echo = Echo()

    async def story(place: Place) -> None:
        _ = await place.ask(post("/", _CHUNKED, body=b"0\r\nx-admin: yes\r\nhost: evil\r\n\r\n") + CLOSE)
        assert echo.headers[0] == {"host": "x", "transfer-encoding": "chunked"}

    told(echo, story)


def test_cut_tells_an_application_that_waits() -> None:
    """Also when the peer resets the connection."""
    heard: list[str] = []

    async def app(exchange: Exchange) -> None:
        try:
            _ = await exchange.part()
            _ = await exchange.part()
        except Cut:
            heard.append("cut")
            raise

    async def story(place: Place) -> None:
        peer = await place.peer(post("/", "content-length: 100000", body=b"abc"))
        await asyncio.sleep(0.05)
        peer.writer.transport.abort()
        while not heard:
            await asyncio.sleep(0.01)

    told(app, story)
