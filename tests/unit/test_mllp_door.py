"""The MLLP door: frames as they really come, peers as they really behave, on real sockets."""

import asyncio
import datetime
import itertools
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.clock import SystemClock, TurnedClock
from gateway.connector import Reply, Request
from gateway.doors.blocks import CR, FS, VT, Counts, Frame, Framer
from gateway.doors.mllp import TRUNCATED, Accept, Server, serve_mllp
from gateway.errors import JournalError

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def framed(*bodies: bytes) -> bytes:
    """By the book."""
    return b"".join(b"\x0b" + body + b"\x1c\r" for body in bodies)


def cut(stream: bytes, cuts: list[int], most: int = 1 << 20) -> tuple[list[Frame], Counts]:
    """What a framer makes of a stream that arrives in these pieces."""
    counts = Counts()
    framer = Framer(most, counts)
    edges = [0, *sorted(at % (len(stream) + 1) for at in cuts), len(stream)]
    frames = [frame for start, end in itertools.pairwise(edges) for frame in framer.feed(stream[start:end])]
    return frames, counts


def contents(stream: bytes, cuts: list[int] | None = None, most: int = 1 << 20) -> list[bytes]:
    """The frames' bytes."""
    return [frame.content for frame in cut(stream, cuts or [], most)[0]]


# ------------------------------------------------------------------ framing
_PIECES = st.sampled_from(
    [b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\x0bMSH|a", b"MSH", b"MSH|^~\\&|x", b"junk", b"\n", b"y" * 30, b"\x0b\x1c\r"]
)


@given(
    st.lists(_PIECES | st.binary(max_size=6), max_size=30).map(b"".join),
    st.lists(st.integers(0, 500), max_size=20),
    st.sampled_from([8, 40, 1000]),
)
@example(b"\x0ba\x1c\r\x0bb\x1c\r", [5], 1000)
@example(b"\x0ba\x1c\r\r\x0bb\x1c\r", [4, 5], 1000)
def test_a_stream_cut_anywhere_has_the_same_frames_and_counts(stream: bytes, cuts: list[int], most: int) -> None:
    """TCP promises bytes and no pieces; garbage never raises."""
    whole = cut(stream, [], most)
    assert cut(stream, cuts, most) == whole
    assert cut(stream, list(range(len(stream))), most) == whole


@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\x0b", b"").replace(b"\x1c", b"")), max_size=8))
def test_what_is_framed_by_the_book_comes_out_whole(bodies: list[bytes]) -> None:
    """Every content without framing bytes."""
    assert contents(framed(*bodies)) == bodies


def test_fs_without_cr_ends_a_frame() -> None:
    """And the sender is not left waiting for its answer."""
    assert contents(b"\x0bone\x1c") == [b"one"]
    assert contents(b"\x0bone\x1c\x0btwo\x1c\x0bthree\x1c\r") == [b"one", b"two", b"three"]


def test_bytes_between_frames_are_counted_and_skipped() -> None:
    """LF behind CR, a heartbeat, a banner; the CR that belongs to FS is none of them, wherever it arrives."""
    frames, counts = cut(b"\nhello\x0bone\x1c\r\n\x0btwo\x1c\r  ", [9])
    assert ([frame.content for frame in frames], counts.junk) == ([b"one", b"two"], 9)
    assert cut(b"\x0bone\x1c\r", [5])[1].junk == 0


def test_a_frame_begun_again_is_its_last_beginning() -> None:
    """A sender that gave up half way starts over on the same connection; a VT in a text is only a VT."""
    frames, counts = cut(b"\x0bMSH|half\x0bMSH|whole\x0bline\x1c\r", [])
    assert ([frame.content for frame in frames], counts.restarted) == ([b"MSH|whole\x0bline"], 1)


def test_a_frame_too_large_is_cut_and_says_so() -> None:
    """Only its first bytes are kept; the next frame is whole again."""
    frames, counts = cut(framed(b"MSH|" + b"x" * 5000, b"MSH|ok"), [100, 2000, 4000], most=1000)
    assert [(frame.truncated, len(frame.content), frame.size) for frame in frames] == [
        (True, 1000, 5004),
        (False, 6, 6),
    ]
    assert counts.too_large == 1


def test_a_large_frame_in_many_pieces_takes_linear_time() -> None:
    """8 MiB in pieces of 1,400 bytes: what was searched is not searched again."""
    body = b"MSH|" + b"A" * (8 << 20)
    stream = framed(body)
    counts = Counts()
    framer = Framer(16 << 20, counts)
    found = [frame for at in range(0, len(stream), 1400) for frame in framer.feed(stream[at : at + 1400])]
    assert [frame.content for frame in found] == [body]


# ------------------------------------------------------------------ on sockets
async def echo(request: Request) -> Reply:
    """An acknowledgment that shows what was taken."""
    return Reply(body=b"ack:" + request.body)


def run(test: Callable[[Server], Awaitable[None]], accept: Accept = echo, **options: object) -> None:
    """A test against an open door; the door is closed whatever happens."""

    async def body() -> None:
        server = await serve_mllp(**{"listen": "127.0.0.1:0", "accept": accept, "clock": SystemClock(), **options})  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(60):
                await test(server)
        finally:
            await server.close()

    asyncio.run(body())


async def dial(server: Server) -> Streams:
    """A connection."""
    return await asyncio.open_connection("127.0.0.1", server.port)


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The next block's content."""
    return (await reader.readuntil(b"\x1c\r"))[1:-2]


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the door hung up."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


def test_a_frame_is_answered_in_a_frame() -> None:
    """One message, one acknowledgment, and the request says who sent it and when."""
    seen: list[Request] = []

    async def accept(request: Request) -> Reply:
        seen.append(request)
        return Reply(body=b"MSA|AA")

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"MSH|1"))
        assert await answer(reader) == b"MSA|AA"
        writer.close()
        assert (seen[0].body, seen[0].peer, seen[0].method, dict(seen[0].headers)) == (
            b"MSH|1",
            "127.0.0.1",
            "MLLP",
            {},
        )
        assert seen[0].received_at == 7
        assert server.counts.frames == server.counts.connections == 1
        met = server.met()
        assert (met["frames"], met["connections"], met["junk"]) == (1, 1, 0)
        assert not any(server.met().values())

    run(test, accept, clock=TurnedClock(7))


def test_frames_split_and_joined_are_all_answered_in_order() -> None:
    """Byte by byte, two and a half in one write, the rest later."""

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        for byte in framed(b"slow"):
            writer.write(bytes([byte]))
            await writer.drain()
        assert await answer(reader) == b"ack:slow"
        writer.write(framed(b"one", b"two") + b"\x0bthr")
        assert [await answer(reader), await answer(reader)] == [b"ack:one", b"ack:two"]
        writer.write(b"ee\x1c")
        assert await answer(reader) == b"ack:three"
        writer.write(b"\r" + framed(b"four"))
        assert await answer(reader) == b"ack:four"
        writer.close()
        assert server.counts.junk == 0

    run(test)


def test_pipelined_frames_are_begun_and_answered_in_order_though_the_first_takes_longest() -> None:
    """A sender that does not wait hears its answers in its order, and no more than the window are under way."""
    running, most, begun = 0, 0, []
    gates = [asyncio.Event() for _ in range(20)]

    async def accept(request: Request) -> Reply:
        nonlocal running, most
        number = int(request.body)
        begun.append(number)
        running += 1
        most = max(most, running)
        if number == 0:
            await gates[0].wait()
        elif number == 3:
            gates[0].set()
        running -= 1
        return Reply(body=request.body)

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(*(str(number).encode() for number in range(20))))
        assert [int(await answer(reader)) for _ in range(20)] == list(range(20)) == begun
        assert most <= 4
        writer.close()

    run(test, accept, window=4)


def test_an_empty_reply_is_not_sent() -> None:
    """Acknowledgments are not acknowledged, and the connection stays."""

    async def accept(request: Request) -> Reply:
        return Reply(body=b"" if request.body == b"ack" else b"yes")

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"ack", b"msg"))
        assert await answer(reader) == b"yes"
        writer.close()

    run(test, accept)


def test_what_was_not_written_down_is_not_answered_and_the_sender_is_let_go() -> None:
    """A status of 503 closes the connection, so that the sender comes again; frames behind it are not begun."""
    bodies: list[bytes] = []

    async def accept(request: Request) -> Reply:
        bodies.append(request.body)
        return Reply(status=503, body=b'{"title":"not for hospitals"}')

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"one", b"two"))
        assert await ended(reader)
        writer.close()
        assert (bodies, server.counts.unanswered) == ([b"one"], 1)

    run(test, accept, window=1)


def test_a_mistake_of_ours_closes_one_connection_and_is_reported() -> None:
    """Nothing is acknowledged, the others go on, and the loop's handler hears of it."""
    heard: list[object] = []

    async def accept(request: Request) -> Reply:
        if request.body == b"bad":
            raise JournalError("no disk")
        return Reply(body=request.body)

    async def test(server: Server) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context["exception"]))
        reader, writer = await dial(server)
        other_reader, other_writer = await dial(server)
        writer.write(framed(b"bad"))
        assert await ended(reader)
        other_writer.write(framed(b"good"))
        assert await answer(other_reader) == b"good"
        writer.close()
        other_writer.close()
        assert [type(error) for error in heard] == [JournalError]

    run(test, accept)


def test_a_busy_gateway_holds_the_answer_back_and_then_lets_go() -> None:
    """429 is offered again after its Retry-After; a gateway that stays busy closes without an answer."""
    clock = TurnedClock()
    busy = [Reply(status=429, headers=(("retry-after", "3"),)), Reply(body=b"in")]
    full = Reply(status=429)

    async def accept(request: Request) -> Reply:
        return busy.pop(0) if request.body == b"soon" else full

    async def test(server: Server) -> None:
        start = clock.monotonic()
        reader, writer = await dial(server)
        writer.write(framed(b"soon"))
        assert await answer(reader) == b"in"
        assert clock.monotonic() - start == 3.0
        writer.write(framed(b"never"))
        assert await ended(reader)
        writer.close()
        assert 20 <= clock.monotonic() - start - 3.0 < 26

    run(test, accept, clock=clock)


def test_a_frame_too_large_reaches_the_connector_cut_and_marked() -> None:
    """It hears its refusal once the frame has ended, and the connection serves the next one."""

    async def accept(request: Request) -> Reply:
        return Reply(body=f"{request.headers.get(TRUNCATED, 'whole')}:{len(request.body)}".encode())

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"MSH|" + b"x" * 300_000, b"MSH|ok"))
        assert [await answer(reader), await answer(reader)] == [b"300004:2000", b"whole:6"]
        writer.close()

    run(test, accept, max_frame=2000)


def test_a_frame_that_never_ends_ends_the_connection_and_silence_between_frames_does_not() -> None:
    """A drip of bytes does not buy time either."""

    async def test(server: Server) -> None:
        idle_reader, idle_writer = await dial(server)
        reader, writer = await dial(server)
        writer.write(b"\x0bMSH|half")
        late = asyncio.ensure_future(ended(reader))
        while not late.done():
            writer.write(b".")
            await asyncio.sleep(0.02)
        idle_writer.write(framed(b"still here"))
        assert await answer(idle_reader) == b"ack:still here"
        writer.close()
        idle_writer.close()
        assert server.counts.timeouts == 1

    run(test, frame_timeout=0.2)


def test_only_the_peers_on_the_list_are_let_in() -> None:
    """Addresses and networks; a peer that is not on it is reset before it has said anything."""

    async def allowed(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"x"))
        assert await answer(reader) == b"ack:x"
        writer.close()

    async def refused(server: Server) -> None:
        reader, writer = await dial(server)
        assert await ended(reader)
        writer.close()
        assert (server.counts.turned_away, server.counts.connections) == (1, 0)

    run(allowed, peers=("10.0.0.1", "127.0.0.0/8"))
    run(refused, peers=("10.0.0.0/8", "::1"))


def test_connections_over_the_limit_are_reset_and_make_room_when_others_leave() -> None:
    """The limit is on what is open, not on what ever was."""

    async def test(server: Server) -> None:
        first, second = await dial(server), await dial(server)
        for reader, writer in (first, second):
            writer.write(framed(b"x"))
            assert await answer(reader) == b"ack:x"
        third = await dial(server)
        assert await ended(third[0])
        first[1].close()
        await first[1].wait_closed()
        while True:
            reader, writer = await dial(server)
            writer.write(framed(b"again"))
            try:
                assert await answer(reader) == b"ack:again"
                break
            except (asyncio.IncompleteReadError, ConnectionResetError):
                continue
        for _, open_writer in (second, third, (reader, writer)):
            open_writer.close()

    run(test, most=2)


def test_a_peer_that_vanishes_in_a_frame_or_before_its_answer_harms_nobody() -> None:
    """Half frames are forgotten, answers for nobody are dropped."""
    gate = asyncio.Event()

    async def accept(request: Request) -> Reply:
        if request.body == b"slow":
            await gate.wait()
        return Reply(body=request.body)

    async def test(server: Server) -> None:
        for start in (b"\x0bMSH|half", framed(b"slow"), b"\x1c\x1c\r\x0b"):
            _, writer = await dial(server)
            writer.write(start)
            await writer.drain()
            writer.transport.abort()
        gate.set()
        reader, writer = await dial(server)
        writer.write(framed(b"next"))
        assert await answer(reader) == b"next"
        writer.close()

    run(test, accept)


def test_a_peer_that_sends_and_never_reads_is_not_read_without_end() -> None:
    """What it may have under way is bounded; the door's memory is not its to fill."""
    taken = 0

    async def accept(request: Request) -> Reply:
        nonlocal taken
        taken += 1
        return Reply(body=b"z" * 50_000)

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(*[b"x"] * 800))
        before = -1
        while taken != before:
            before = taken
            await asyncio.sleep(0.1)
        assert taken < 400
        for _ in range(800):
            assert len(await answer(reader)) == 50_000
        writer.close()

    run(test, accept)


def test_closing_answers_what_was_taken() -> None:
    """A drain: the acknowledgment of a durable message still leaves, then the connection ends."""
    entered, gate = asyncio.Event(), asyncio.Event()

    async def accept(request: Request) -> Reply:
        entered.set()
        await gate.wait()
        return Reply(body=b"durable")

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"x"))
        await entered.wait()
        closing = asyncio.ensure_future(server.close())
        await asyncio.sleep(0)
        gate.set()
        assert await answer(reader) == b"durable"
        assert await ended(reader)
        await closing
        writer.close()

    run(test, accept)


@pytest.mark.parametrize("before", [b"", VT + b"MSH|half"])
def test_closing_hears_out_who_has_just_come_or_is_in_the_middle(
    monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    """Whoever was let in is answered by whom it came to; nothing is awaited of those who have said their frames."""
    monkeypatch.setattr("gateway.doors.mllp._FIRST_WORDS", 30.0)

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        _, quiet = await dial(server)
        quiet.write(framed(b"x"))
        writer.write(before)
        while server.open < 2 or not server.counts.frames:
            await asyncio.sleep(0.01)
        closing = asyncio.ensure_future(server.close())
        await asyncio.sleep(0.1)
        assert not closing.done()
        writer.write(framed(b"late") if not before else b" whole" + FS + CR)
        assert await answer(reader) == (b"ack:MSH|half whole" if before else b"ack:late")
        assert await ended(reader)
        await closing
        for one in (writer, quiet):
            one.close()

    run(test)


def test_closing_does_not_wait_for_ever() -> None:
    """What cannot be finished within the grace is given up."""

    async def accept(request: Request) -> Reply:
        await asyncio.Event().wait()
        return Reply()

    async def test(server: Server) -> None:
        reader, writer = await dial(server)
        writer.write(framed(b"x"))
        while not server.counts.frames:
            await asyncio.sleep(0.01)
        await server.close(grace=0.05)
        assert await ended(reader)
        writer.close()

    run(test, accept)


@pytest.mark.parametrize("listen", ["2575", "host", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    """ValueError, before anything is opened."""
    with pytest.raises(ValueError, match="host:port"):
        asyncio.run(serve_mllp(listen=listen, accept=echo, clock=SystemClock()))


def test_mllp_is_spoken_over_tls(tmp_path: Path) -> None:
    """With a certificate, and not without it on the same door."""
    ours, theirs = _certificates(tmp_path)

    async def test(server: Server) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=theirs, server_hostname="localhost"
        )
        writer.write(framed(b"sealed"))
        assert await answer(reader) == b"ack:sealed"
        writer.close()
        await writer.wait_closed()
        plain_reader, plain_writer = await dial(server)
        plain_writer.write(framed(b"plain"))
        assert b"ack" not in await plain_reader.read()
        plain_writer.close()

    run(test, tls=ours)


def _certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context around a certificate made for the occasion."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1)).not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    chain, secret = folder / "cert.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(chain, secret)
    return ours, ssl.create_default_context(cafile=str(chain))
