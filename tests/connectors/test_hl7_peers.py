"""The connector behind its door, spoken to over real sockets by software we did not write, and by our own simulated hospital."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from connectors.hl7 import simulate
from connectors.hl7.listener import Listener
from connectors.hl7.parse import Message
from gateway.clock import SystemClock, TurnedClock
from gateway.connector import Accepted, Inbound, Reply, Request
from gateway.doors.mllp import Server, serve_mllp
from tests.connectors.hl7_kit import PID, listener, message


class Ward:
    """A listener behind a door; what it accepts is kept in memory, once per key."""

    def __init__(self, opened: Listener) -> None:
        self.opened = opened
        self.kept: dict[str, Inbound] = {}
        self.order: list[Inbound] = []
        self.frames = 0

    async def accept(self, request: Request) -> Reply:
        """As the pipeline does, without a disk."""
        self.frames += 1
        outcome = self.opened.receive(request)
        if isinstance(outcome, Accepted):
            await asyncio.sleep(0)
            for event in outcome.events:
                if event.dedupe_key not in self.kept:
                    self.kept[event.dedupe_key] = event
                    self.order.append(event)
        return outcome.reply


class Day(TurnedClock):
    """Passes as fast as what is to be done in it is done, and is over after so many seconds of its own."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.monotonic() >= self._seconds:
            raise TimeoutError


def run(test: Callable[[Server, Ward], Awaitable[None]], **options: object) -> None:
    """A test against an open ward."""

    async def body() -> None:
        ward = Ward(listener(**options))
        server = await serve_mllp(listen="127.0.0.1:0", accept=ward.accept, clock=SystemClock())
        try:
            async with asyncio.timeout(60):
                await test(server, ward)
        finally:
            await server.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "codec"), [("UNICODE UTF-8", "utf-8"), ("GB 18030-2000", "gb18030"), ("GBK", "gb18030")]
)
def test_the_independent_client_is_acknowledged_message_by_message(name: str, codec: str) -> None:
    """python-hl7's asyncio client: AA for each of its messages, MSA-2 its own id, in Chinese of either kind."""

    async def test(server: Server, ward: Ward) -> None:
        reader, writer = await open_hl7_connection("127.0.0.1", server.port, encoding=codec)
        for number in range(20):
            text = message(f"PID|1||{number + 1}^^^H^MR||乗亅俓{number}", control_id=f"M{number}", more=f"||||||{name}")
            writer.writemessage(hl7.parse(text))
            await writer.drain()
            answer = await reader.readmessage()
            assert (answer["MSA.1"], answer["MSA.2"], answer["MSH.9.1.2"]) == ("AA", f"M{number}", "A08")
        writer.close()
        await writer.wait_closed()
        names = [ward.opened.decode("adt", event.payload).data for event in ward.order]
        assert [data and data["name"] for data in names] == [f"乗亅俓{number}" for number in range(20)]

    run(test)


def test_the_independent_client_hears_why_it_was_refused() -> None:
    """AE with the place in ERR, and the connection stays for the next message."""

    async def test(server: Server, ward: Ward) -> None:
        reader, writer = await open_hl7_connection("127.0.0.1", server.port, encoding="utf-8")
        for segments, code in ((("PV1|1|I",), "AE"), ((PID,), "AA")):
            writer.writemessage(hl7.parse(message(*segments)))
            await writer.drain()
            answer = await reader.readmessage()
            assert answer["MSA.1"] == code
        writer.close()
        await writer.wait_closed()
        assert len(ward.order) == 1

    run(test)


def test_garbage_and_messages_on_one_connection_are_each_answered() -> None:
    """Junk, an empty frame, a frame without FS CR's CR, two frames in one write: one answer per frame, none lost."""

    async def test(server: Server, ward: Ward) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        good = message(PID).encode()
        writer.write(b"\r\n\x0b\x1c\r\n\x0b" + good + b"\x1c\x0bnonsense\x1c\rjunk\x0b" + good + b"\x1c\r")
        codes = [simulate.answer(await reader.readuntil(b"\x1c\r"))[0] for _ in range(4)]
        assert codes == ["AR", "AA", "AR", "AA"]
        writer.close()
        assert len(ward.kept) == 1

    run(test)


def test_both_acknowledgments_of_enhanced_mode_are_frames_of_their_own() -> None:
    """The independent client reads CA, then AA."""

    async def test(server: Server, _ward: Ward) -> None:
        reader, writer = await open_hl7_connection("127.0.0.1", server.port, encoding="utf-8")
        writer.writemessage(hl7.parse(message(PID, more="|||AL|AL")))
        await writer.drain()
        assert [(await reader.readmessage())["MSA.1"] for _ in range(2)] == ["CA", "AA"]
        writer.close()
        await writer.wait_closed()

    run(test, ack="auto")


@pytest.mark.parametrize("encoding", ["GB18030", "utf-8"])
def test_the_simulated_hospital_is_understood_to_the_last_message(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message is acknowledged positively, duplicates are told from news, every topic occurs, every name is Chinese."""
    monkeypatch.setattr(simulate, "SystemClock", lambda: Day(2.0))
    heard: list[str] = []

    async def test(server: Server, ward: Ward) -> None:
        count = await simulate.run(
            url=f"mllp://127.0.0.1:{server.port}",
            options={"encoding": encoding},
            rate=300,
            seconds=None,
            seed=7,
            tell=heard.append,
        )
        assert count == ward.frames
        assert 100 < len(ward.kept) < count
        assert {event.topic for event in ward.order} == {"adt", "merge", "siu", "orm", "oru"}
        for event in ward.order:
            data = ward.opened.decode(event.topic, event.payload).data
            assert data is not None
            assert not data["name"].isascii()

    run(test)
    assert not [line for line in heard if "refused" in line or "again" in line]


def test_the_simulated_hospital_keeps_each_patients_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control ids of one patient grow, whatever the number of connections."""
    monkeypatch.setattr(simulate, "SystemClock", lambda: Day(1.0))

    async def test(server: Server, ward: Ward) -> None:
        await simulate.run(
            url=f"mllp://127.0.0.1:{server.port}", options={}, rate=400, seconds=None, seed=3, tell=lambda _line: None
        )
        assert len(ward.order) > 100
        numbers: dict[str, list[int]] = {}
        for event in ward.order:
            control_id = event.dedupe_key.split("|")[2]
            numbers.setdefault(event.partition_key, []).append(int(control_id[11:], 16))
        assert all(earlier < later for found in numbers.values() for earlier, later in pairwise(found))

    run(test)


def test_the_simulated_hospital_sends_again_what_was_not_acknowledged() -> None:
    """A gateway that drops every connection at first loses nothing."""
    heard: list[str] = []

    async def body() -> None:
        ward = Ward(listener())
        refusals = 2

        async def accept(request: Request) -> Reply:
            nonlocal refusals
            if refusals:
                refusals -= 1
                return Reply(status=503)
            return await ward.accept(request)

        server = await serve_mllp(listen="127.0.0.1:0", accept=accept, clock=SystemClock())
        try:
            count = await simulate.run(
                url=f"mllp://127.0.0.1:{server.port}", options={}, rate=50, seconds=0.5, seed=1, tell=heard.append
            )
        finally:
            await server.close()
        assert count == ward.frames > 0

    asyncio.run(body())
    assert len([line for line in heard if "again" in line]) == 2


def test_the_same_seed_and_clock_tell_the_same_story() -> None:
    """And its messages are well-formed for the independent parser."""
    first, second = (simulate.Hospital(5, TurnedClock(), "utf-8") for _ in range(2))
    told = [first.messages() for _ in range(200)]
    assert told == [second.messages() for _ in range(200)]
    for messages in told:
        text = messages[0].body.decode()
        assert str(hl7.parse(text)["MSH.10"]) == messages[0].control_id == Message(text).get("MSH-10")


def test_a_hospital_of_an_unknown_tongue_is_refused() -> None:
    """ValueError names what it can speak."""
    with pytest.raises(ValueError, match="GB18030 or UTF-8"):
        simulate.Hospital(1, TurnedClock(), "EBCDIC")
