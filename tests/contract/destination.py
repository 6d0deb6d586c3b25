"""What every way of sending keeps. A way inherits ``DestinationContract``, brings a real far side and says what its protocol can tell."""

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Protocol

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from gateway import destination
from gateway.clock import SECOND, SystemClock
from gateway.destination import Endpoint, Message, Tried
from gateway.model.secret import Secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
IMPATIENT = 0.5
LATEST = 10.0
"""When a far side that hangs is given up at the latest, on however busy a machine: the clients' own patience is 15 s and more."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the far side has it. What the protocol does not tell beside the body is empty; ``headers`` are lower case."""

    body: bytes
    id: str = ""
    type: str = ""
    subject: str = ""
    headers: Mapping[str, str] = {}


class FarSide(Protocol):
    """A real server on 127.0.0.1, and what reached it."""

    url: str

    async def refuse(self) -> None:
        """From now on, answer and say no."""

    async def leave(self) -> None:
        """Be gone: connections are cut, and nobody listens on the port."""

    async def hang(self) -> None:
        """From now on, say nothing more, on connections old and new, without closing them."""

    async def recover(self) -> None:
        """Be well again, at the same address. What arrived before need not be remembered."""

    async def arrived(self) -> Sequence[Arrived]:
        """What was accepted, in its order."""

    async def close(self) -> None:
        """Let go of everything."""


Scenario = Callable[[FarSide], Awaitable[None]]


def message(number: int, *, subject: str = "ord_01", padding: int = 0) -> Message:
    """An event whose body tells its own id, type and subject, in Chinese too."""
    body = msgspec.json.encode(
        {
            "id": f"evt_{number:04}",
            "type": "order.paid",
            "subject": subject,
            "data": {"name": "张*", "padding": "x" * padding},
        }
    )
    return Message(id=f"evt_{number:04}", type="order.paid", subject=subject, at=SystemClock().now(), body=body)


class DestinationContract:
    """The promise of ``gateway.destination.Destination``.

    ``tells`` is what the protocol says of an event beside its body. ``signs``: whether each event carries Standard Webhooks headers. The
    words are what ``Tried.error`` says in each trouble, or ``http NNN`` where the answer has a status.
    """

    kind: ClassVar[destination.Kind]
    tells: ClassVar[frozenset[str]] = frozenset({"id", "type", "subject"})
    signs: ClassVar[bool] = True
    word_refused: ClassVar[str] = "refused"
    word_gone: ClassVar[str] = "connect"
    word_hung: ClassVar[str] = "timeout"

    async def far(self) -> FarSide:
        """A far side that is well and has nothing yet."""
        raise NotImplementedError

    def way(self, end: Endpoint) -> destination.Destination:
        """The way under test, for this endpoint."""
        raise NotImplementedError

    def open(self, end: Endpoint) -> destination.Destination:
        """The same, and closed when the test is over: what a failed test leaves open would be found, and blamed, in another."""
        way = self.way(end)
        self._opened.push_async_callback(way.close)
        return way

    def end(self, far: FarSide, **changes: object) -> Endpoint:
        """An endpoint for ``far``."""
        knobs: dict[str, object] = {
            "name": "crm",
            "url": far.url,
            "kind": self.kind,
            "grants": {},
            "schedule": (0.0, 5.0),
            "secrets": (Secret(SECRET),),
            "allow_private": True,
            "batch": 100,
        }
        return Endpoint(**{**knobs, **changes})

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            far = await self.far()
            self._opened.push_async_callback(far.close)
            await scenario(far)

        self.within(main)

    def within(self, main: Callable[[], Awaitable[None]]) -> None:
        """Run to the end, on a loop of its own, and close what was opened meanwhile, the last first, however it ended."""

        async def whole() -> None:
            async with contextlib.AsyncExitStack() as self._opened:
                await main()

        asyncio.run(whole())

    async def send(self, way: destination.Destination, *messages: Message) -> Tried:
        return await way.send(messages, now=SystemClock().now())

    def told(self, one: Message | Arrived) -> dict[str, str]:
        return {name: getattr(one, name) for name in self.tells}

    def same(self, arrived: Sequence[Arrived], sent: Sequence[Message]) -> None:
        assert [one.body for one in arrived] == [one.body for one in sent]
        assert [self.told(one) for one in arrived] == [self.told(one) for one in sent]

    def test_what_was_sent_arrives_byte_for_byte(self) -> None:
        """And the protocol tells id, type and subject as far as it can."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            sent = message(1)
            tried = await self.send(way, sent)
            assert tried.ok, tried
            self.same(await far.arrived(), [sent])

        self.run(scenario)

    def test_batch_arrives_whole_and_in_order(self) -> None:
        """A hundred events of one subject, in one send."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            sent = [message(number) for number in range(100)]
            tried = await self.send(way, *sent)
            assert tried.ok, tried
            self.same(await far.arrived(), sent)

        self.run(scenario)

    def test_sends_one_after_the_other_keep_their_order(self) -> None:
        """What was acknowledged first stands first."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            sent = [message(number) for number in range(5)]
            for one in sent:
                assert (await self.send(way, one)).ok
            self.same(await far.arrived(), sent)

        self.run(scenario)

    def test_large_body_arrives_whole(self) -> None:
        """Half a MiB in one event: what a person's whole history comes to."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            sent = message(1, padding=512 * 1024)
            assert (await self.send(way, sent)).ok
            self.same(await far.arrived(), [sent])

        self.run(scenario)

    def test_sends_at_once_all_arrive_and_each_batch_keeps_its_order(self) -> None:
        """Ten batches of different subjects under way together."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            batches = [[message(10 * part + at, subject=f"ord_{part}") for at in range(5)] for part in range(10)]
            tries = await asyncio.gather(*(self.send(way, *batch) for batch in batches))
            assert all(tried.ok for tried in tries), tries
            arrived = await far.arrived()
            assert len(arrived) == 50
            for batch in batches:
                bodies = {one.body for one in batch}
                assert [one.body for one in arrived if one.body in bodies] == [one.body for one in batch]

        self.run(scenario)

    def test_signature_convinces_an_independent_receiver(self) -> None:
        """The Standard Webhooks library of the other side verifies each event, with the instant of the attempt."""
        if not self.signs:
            pytest.skip("the protocol has no place for a signature")

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            now = SystemClock().now()
            assert (await way.send([message(1)], now=now)).ok
            (one,) = await far.arrived()
            Webhook(SECRET).verify(one.body, dict(one.headers))
            assert one.headers["webhook-id"] == "evt_0001"
            assert one.headers["webhook-timestamp"] == str(now // SECOND)

        self.run(scenario)

    def test_private_key_signs_beside_the_secret(self) -> None:
        """Verified by an Ed25519 of others, with the public half alone."""
        if not self.signs:
            pytest.skip("the protocol has no place for a signature")
        private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        public = private.public_key()
        whole = base64.b64encode(bytes(range(32)) + public.public_bytes_raw()).decode()

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, keys=(Secret(f"whsk_{whole}"),)))
            assert (await self.send(way, message(1))).ok
            (one,) = await far.arrived()
            Webhook(SECRET).verify(one.body, dict(one.headers))
            entries = dict(entry.split(",", 1) for entry in one.headers["webhook-signature"].split(" "))
            content = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
            public.verify(base64.b64decode(entries["v1a"]), content)

        self.run(scenario)

    def test_refusal_is_told_and_nothing_arrives(self) -> None:
        """The far side says no: that is its answer and no fault of ours. Once it says yes, the same way works."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            await far.refuse()
            tried = await self.send(way, message(1))
            assert (word(tried), tried.ours) == (self.word_refused, False), tried
            await far.recover()
            sent = message(2)
            assert (await self.send(way, sent)).ok
            self.same(await far.arrived(), [sent])

        self.run(scenario)

    def test_far_side_that_is_gone_is_told_and_found_again(self) -> None:
        """From the first send on: nobody listens, then somebody does."""

        async def scenario(far: FarSide) -> None:
            await far.leave()
            way = self.open(self.end(far))
            tried = await self.send(way, message(1))
            assert (word(tried), tried.ours) == (self.word_gone, False), tried
            await far.recover()
            sent = message(2)
            assert (await self.send(way, sent)).ok
            self.same(await far.arrived(), [sent])

        self.run(scenario)

    def test_far_side_that_goes_between_sends_is_told_and_found_again(self) -> None:
        """A connection that once worked does not hide that it no longer does."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, timeout=5.0))
            assert (await self.send(way, message(1))).ok
            await far.leave()
            tried = await self.send(way, message(2))
            assert tried.error and not tried.ok and not tried.ours, tried
            await far.recover()
            sent = message(3)
            assert (await self.send(way, sent)).ok
            assert (await far.arrived())[-1].body == sent.body

        self.run(scenario)

    def test_restart_that_nobody_noticed_costs_no_attempt(self) -> None:
        """The far side was away between two sends; the second finds it."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            assert (await self.send(way, message(1))).ok
            await far.leave()
            await far.recover()
            sent = message(2)
            tried = await self.send(way, sent)
            assert tried.ok, tried
            assert (await far.arrived())[-1].body == sent.body

        self.run(scenario)

    @pytest.mark.parametrize("warm", [False, True], ids=["new", "known"])
    def test_far_side_that_hangs_is_given_up_in_time(self, warm: bool) -> None:
        """By the endpoint's time-out, on a new connection and on one that worked; and the way works once it answers again."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, timeout=IMPATIENT))
            if warm:
                # The first send of all may be slow on a busy machine; it is not what is measured here.
                assert (await self.open_patiently(far)).ok
                await self.send(way, message(1))
            await far.hang()
            began = time.monotonic()
            tried = await self.send(way, message(2))
            took = time.monotonic() - began
            assert (word(tried), tried.ours) == (self.word_hung, False), tried
            assert IMPATIENT * 0.9 < took < LATEST
            await far.recover()
            await way.close()
            again = self.open(self.end(far))
            assert (await self.send(again, message(3))).ok
            await again.close()

        self.run(scenario)

    async def open_patiently(self, far: FarSide) -> Tried:
        return await self.send(self.open(self.end(far)), message(0))

    def test_sends_at_once_to_a_hanging_far_side_all_end_in_time(self) -> None:
        """Nobody waits behind the others' time-outs."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, timeout=IMPATIENT))
            await far.hang()
            began = time.monotonic()
            count = int(2 * LATEST / IMPATIENT)
            tries = await asyncio.gather(*(self.send(way, message(number)) for number in range(count)))
            assert {word(tried) for tried in tries} == {self.word_hung}
            assert time.monotonic() - began < LATEST
            await far.recover()

        self.run(scenario)

    @pytest.mark.parametrize(
        "nonsense", [b"", b"\0" * 64, b"\xff" * 4096, b"HELLO\r\n" * 10], ids=["nothing", "zeros", "ones", "words"]
    )
    def test_far_side_that_talks_nonsense_is_told(self, nonsense: bytes) -> None:
        """Another protocol on the port, a proxy's farewell: a failure in time, never an exception."""

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(nonsense)
            writer.close()

        async def scenario(far: FarSide) -> None:
            server = await self._opened.enter_async_context(await asyncio.start_server(talk, "127.0.0.1", 0))
            port = server.sockets[0].getsockname()[1]
            way = self.open(self.end(far, url=re.sub(r":\d+", f":{port}", far.url, count=1), timeout=IMPATIENT))
            tried = await self.send(way, message(1))
            assert tried.error and not tried.ours, tried

        self.run(scenario)

    def test_private_address_is_refused_with_its_remedy(self) -> None:
        """Unless the endpoint allows it; and nothing is connected to."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, allow_private=False))
            tried = await self.send(way, message(1))
            assert tried.error == "address"
            assert b"allow_private = true" in tried.response
            assert not await far.arrived()

        self.run(scenario)

    def test_name_that_does_not_exist_is_told(self) -> None:
        """RFC 2606 keeps .invalid free of hosts."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, url=far.url.replace("127.0.0.1", "nobody.invalid")))
            assert (await self.send(way, message(1))).error == "dns"

        self.run(scenario)

    def test_close_is_final(self) -> None:
        """A send after it is told so as a fault of ours, and closing twice is no error."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far))
            assert (await self.send(way, message(1))).ok
            await way.close()
            await way.close()
            tried = await self.send(way, message(2))
            assert (tried.error, tried.ours) == ("closed", True)
            assert len(await far.arrived()) == 1

        self.run(scenario)

    def test_close_before_any_send_needs_no_far_side(self) -> None:
        """Opening is lazy: an endpoint nobody has anything for costs no connection."""

        async def scenario(far: FarSide) -> None:
            await far.leave()
            way = self.open(self.end(far))
            await way.close()

        self.run(scenario)

    def test_close_with_a_send_under_way_ends_it(self) -> None:
        """Neither hangs."""

        async def scenario(far: FarSide) -> None:
            way = self.open(self.end(far, timeout=60.0))
            await far.hang()
            under_way = asyncio.ensure_future(self.send(way, message(1)))
            await asyncio.sleep(0)
            async with asyncio.timeout(20.0):
                await way.close()
                tried = await under_way
            assert not tried.ok
            await far.recover()

        self.run(scenario)


def word(tried: Tried) -> str:
    """What an operator reads of it."""
    return tried.error or f"http {tried.status}"
