"""serve() against a TMC server on a real socket: nothing is confirmed that is not durable, and nothing durable is lost."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from connectors.taobao import protocol
from connectors.taobao.protocol import Format, Frame, Kind, MessageType, Typed
from connectors.taobao.shop import Shop
from connectors.taobao.simulate import Fake, Faults
from connectors.taobao.tmc import Pace, read_message, spread
from gateway.errors import JournalError, PayloadError
from tests.connectors.taobao_kit import QUICK, Ledger, account, fake, tools, until
from tests.servers.process import free_port

NO_CALL = None
QUICK_AGAIN = Faults(redeliver=0.05)


def session(
    check: Callable[[Fake, Ledger], Awaitable[None]],
    *,
    faults: Faults = QUICK_AGAIN,
    pace: Pace = QUICK,
    **options: str,
) -> Fake:
    """Run ``check`` while serve() is connected to a fresh simulator."""

    async def run() -> Fake:
        platform = await fake(faults=faults)
        ledger = Ledger()
        serving = asyncio.create_task(Shop(account(platform, **options), tools(NO_CALL), pace).serve(ledger))
        try:
            await check(platform, ledger)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await platform.close()
        assert serving.cancelled()
        return platform

    return asyncio.run(run())


def test_a_message_is_confirmed_with_its_id_only_after_accept_returned() -> None:
    """While the commit is under way the platform hears nothing."""

    async def check(platform: Fake, ledger: Ledger) -> None:
        ledger.gate.clear()
        await platform.advance()
        await until(lambda: ledger.waiting > 0)
        await asyncio.sleep(0.1)
        assert platform.channel.confirmed == []
        ledger.gate.set()
        await until(lambda: not platform.channel.pending)
        assert [f"tmc:{number}" for number in platform.channel.confirmed] == list(dict.fromkeys(ledger.keys))

    session(check)


def test_messages_that_arrive_during_a_commit_share_the_next() -> None:
    """Ten messages cost two commits, or three when the last of them is slow; not ten."""

    async def check(platform: Fake, ledger: Ledger) -> None:
        await until(lambda: platform.channel.live == 1)
        ledger.gate.clear()
        await platform.advance()
        await until(lambda: ledger.waiting > 0)
        for _ in range(9):
            await platform.advance()
        sent = len(platform.channel.sent)
        # What was sent before the ping is there when its answer comes.
        (socket,) = platform.channel._live
        await (await socket.ping())
        await asyncio.sleep(0.05)
        ledger.gate.set()
        await until(lambda: not platform.channel.pending)
        assert sent >= 10
        assert len(ledger.batches) <= 3

    session(check, faults=Faults(redeliver=60.0))


def test_a_message_that_was_not_confirmed_comes_again() -> None:
    """The journal failed once: the connection is dropped, the message redelivered, accepted and confirmed."""

    async def check(platform: Fake, ledger: Ledger) -> None:
        ledger.failing = [JournalError("disk full")]
        await platform.advance()
        await until(lambda: platform.channel.connections >= 2 and not platform.channel.pending)
        assert len(set(ledger.keys)) == len(platform.channel.confirmed)
        assert ledger.waiting > len(ledger.batches)

    session(check)


def test_a_dropped_connection_is_made_anew_and_loses_nothing() -> None:
    """Cut in the middle of commits, again and again, with duplicates and disorder."""

    async def check(platform: Fake, ledger: Ledger) -> None:
        for _ in range(4):
            await until(lambda: platform.channel.live == 1)
            for _ in range(10):
                await platform.advance()
                await asyncio.sleep(0.005)
            await platform.channel.drop()
            await until(lambda: platform.channel.live == 0)
        await until(lambda: platform.channel.live == 1 and not platform.channel.pending, seconds=60)
        assert platform.channel.connections == 5
        assert set(ledger.keys) == {f"tmc:{number}" for number in platform.channel.confirmed}

    platform = session(check, faults=Faults(redeliver=0.05, duplicate=0.2, disorder=0.2))
    assert platform.channel.bad_frames == 0


def test_every_frame_after_the_greeting_carries_the_token() -> None:
    """The simulator closes a connection that sends one without; here it never had to."""

    async def check(platform: Fake, ledger: Ledger) -> None:
        await platform.advance()
        await until(lambda: not platform.channel.pending)
        assert platform.channel.connections == 1

    assert session(check).channel.bad_frames == 0


def test_what_waited_before_we_connected_is_pulled() -> None:
    """The first pull request goes out at once."""

    async def run() -> None:
        platform = await fake()
        await platform.advance()
        ledger = Ledger()
        serving = asyncio.create_task(Shop(account(platform), tools(NO_CALL), Pace(pull=60.0)).serve(ledger))
        await until(lambda: not platform.channel.pending)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await platform.close()

    asyncio.run(run())


def test_a_wrong_secret_is_refused_and_tried_again_with_patience() -> None:
    """No message flows, nothing is raised, and the pauses grow."""

    async def check(platform: Fake, ledger: Ledger) -> None:
        await platform.advance()
        await until(lambda: platform.channel.refused >= 3)
        assert ledger.batches == []

    session(check, app_secret="another")


def test_a_platform_that_is_away_is_waited_for() -> None:
    """Nothing listens; once it does, the messages come."""

    async def run() -> None:
        platform = await fake()
        await platform.close()
        port = free_port()
        platform.tmc_url = f"ws://127.0.0.1:{port}/"
        ledger = Ledger()
        serving = asyncio.create_task(Shop(account(platform), tools(NO_CALL), QUICK).serve(ledger))
        await asyncio.sleep(0.1)
        await platform.listen("127.0.0.1", 0, port)
        await platform.advance()
        await until(lambda: not platform.channel.pending)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await platform.close()

    asyncio.run(run())


def test_a_frame_that_cannot_be_read_stops_nothing() -> None:
    """Junk and unknown kinds in between; the messages around them are accepted and confirmed in the width they came in."""
    heard: list[Frame] = []

    def data(number: int, form: Format) -> bytes:
        fields = {
            protocol.KIND: Typed(Format.INT32, Kind.DATA),
            "id": Typed(form, number),
            "topic": protocol.string("taobao_item_ItemAdd"),
            "content": protocol.string("{}"),
        }
        return protocol.encode(Frame(type=MessageType.SEND, fields=fields))

    async def handle(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(protocol.encode(Frame(type=MessageType.CONNECTACK, token="t")))
        await socket.send("a text frame")
        await socket.send(b"\x02\x02\x63\x00")
        await socket.send(protocol.encode(Frame(type=MessageType.SENDACK)))
        await socket.send(data(1, Format.INT64))
        await socket.send(data(2, Format.INT32))
        pong = await socket.ping(b"are you there")
        await pong
        async for raw in socket:
            assert isinstance(raw, bytes)
            heard.append(protocol.decode(raw))

    async def run() -> Ledger:
        ledger = Ledger()
        async with serve(handle, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            known = account()
            options = type(known.options)(
                **{name: getattr(known.options, name) for name in ("app_key", "app_secret", "session")},
                tmc_url=f"ws://127.0.0.1:{port}/",
            )
            shop = Shop(type(known)(name="a", connector="taobao", options=options), tools(NO_CALL), QUICK)
            serving = asyncio.create_task(shop.serve(ledger))
            await until(lambda: sum(frame.number(protocol.KIND) == Kind.CONFIRM for frame in heard) == 2)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        return ledger

    ledger = asyncio.run(run())
    confirms = [frame for frame in heard if frame.number(protocol.KIND) == Kind.CONFIRM]
    assert [frame.fields["id"] for frame in confirms] == [Typed(Format.INT64, 1), Typed(Format.INT32, 2)]
    assert {frame.token for frame in heard} == {"t"}
    assert ledger.keys == ["tmc:1", "tmc:2"]


# ------------------------------------------------------------------ what a message becomes
def message(topic: str, content: Any, number: int = 5) -> Frame:
    fields = {
        protocol.KIND: Typed(Format.BYTE, Kind.DATA),
        "id": Typed(Format.INT64, number),
        "topic": protocol.string(topic),
        "dataid": protocol.string("d1"),
        "content": protocol.string(content if isinstance(content, str) else json.dumps(content)),
    }
    return Frame(type=MessageType.SEND, fields=fields)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("taobao_trade_TradeBuyerPay", "tmc_trade"),
        ("taobao_refund_RefundSuccess", "tmc_refund"),
        ("taobao_item_ItemAdd", "tmc_other"),
        ("", "tmc_other"),
    ],
)
def test_a_message_is_kept_under_the_topic_of_its_family(name: str, topic: str) -> None:
    """Trades and refunds lead to a reading; whatever else comes is kept too."""
    found = read_message(message(name, {"tid": 4012345678900000001}))
    assert found is not None
    assert found.event.topic == topic


def test_a_messages_unquoted_ids_keep_all_their_digits() -> None:
    """The order of one trade is kept by its tid, beyond 2**53."""
    found = read_message(message("taobao_trade_TradeCreate", '{"tid": 4012345678900000001, "payment": 12.30}'))
    assert found is not None
    assert found.event.partition_key == "4012345678900000001"
    assert json.loads(found.event.payload)["content"] == '{"tid": 4012345678900000001, "payment": 12.30}'


def test_a_message_with_broken_content_is_kept_by_its_id() -> None:
    """It is for a person to look at, so it is written down and confirmed like any other."""
    found = read_message(message("taobao_trade_TradeCreate", "{"))
    assert found is not None
    assert found.event.partition_key == "5"


def test_a_message_without_an_id_cannot_be_kept() -> None:
    """There would be nothing to confirm it with."""
    frame = message("taobao_trade_TradeCreate", {})
    fields = {name: value for name, value in frame.fields.items() if name != "id"}
    with pytest.raises(PayloadError):
        read_message(Frame(type=MessageType.SEND, fields=fields))


def test_frames_that_are_no_data_are_no_message() -> None:
    """Acknowledgments, failures, and what has no kind at all."""
    assert read_message(Frame(type=MessageType.SENDACK)) is None
    assert read_message(Frame(type=MessageType.SEND)) is None
    assert read_message(Frame(type=MessageType.SEND, fields={protocol.KIND: Typed(Format.BYTE, Kind.FAILED)})) is None


def test_pauses_are_spread_between_four_and_six_fifths() -> None:
    """Accounts that were cut off together come back one by one."""
    factors = [spread(f"account-{number}") for number in range(200)]
    assert min(factors) >= 0.8
    assert max(factors) <= 1.2
    assert len(set(factors)) > 190


# ------------------------------------------------------------------ the simulator itself
def test_the_simulator_refuses_a_forged_connect() -> None:
    """So that a green test of ours proves the signature."""

    async def run() -> Frame:
        platform = await fake()
        forged = protocol.connect("12129701", "wrong", "default", timestamp="1668059200000", address="127.0.0.1")
        async with connect(platform.tmc_url, proxy=None) as socket:
            await socket.send(protocol.encode(forged))
            answer = await socket.recv()
        await platform.close()
        assert isinstance(answer, bytes)
        return protocol.decode(answer)

    answer = asyncio.run(run())
    assert (answer.status, answer.token) == (401, None)
